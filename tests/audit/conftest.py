"""A made-up scene whose faces are known, and what a protector that works makes of it."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from auditkit import write

from vidanon.config import DetectSettings
from vidanon.detect.assemble import make_detectors
from vidanon.faces.mesh import load_mesh
from vidanon.runtime.device import choose_runtime
from vidanon.swap.composite import Composer
from vidanon.swap.donors import load_donors
from vidanon.track.plan import Plan
from vidanon.track.plan_io import export_plan
from vidanon.types import ByteArray, FloatArray, PlanInfo, PlanRow, RowState

WIDTH, HEIGHT, SIDE = 720, 400, 150
FRAMES = 100
PLACES = ((20, 20), (200, 60), (390, 25), (555, 70), (300, 235))


@dataclass(frozen=True)
class Scene:
    """Five people on a drifting ground, each going their own way."""

    ground: ByteArray
    portraits: tuple[ByteArray, ...]
    boxes: tuple[FloatArray, ...]  #: in the portrait
    marks: tuple[FloatArray, ...]

    def shift(self, person: int, frame: int) -> FloatArray:
        x, y = PLACES[person]
        return np.array([x + round(12 * np.sin(frame / 9 + person)), y + round(8 * np.cos(frame / 7 + 2 * person))])

    def picture(self, frame: int) -> ByteArray:
        at = 2 * frame % 200
        rgb = self.ground[at // 2 : at // 2 + HEIGHT, at : at + WIDTH].copy()
        for person, portrait in enumerate(self.portraits):
            x, y = self.shift(person, frame)
            rgb[y : y + SIDE, x : x + SIDE] = portrait
        return rgb

    def swapped(self, frame: int, faces: tuple[ByteArray, ...], share: float = 1.0) -> ByteArray:
        """The picture with everybody's portrait replaced; ``share``: of the new one, the rest is the old."""
        rgb = self.picture(frame)
        for person, (face, portrait) in enumerate(zip(faces, self.portraits, strict=True)):
            x, y = self.shift(person, frame)
            mixed = share * face.astype(np.float32) + (1 - share) * portrait
            rgb[y : y + SIDE, x : x + SIDE] = np.rint(mixed).astype(np.uint8)
        return rgb

    def frames(self, count: int = FRAMES) -> Iterator[ByteArray]:
        return map(self.picture, range(count))

    def row(self, person: int, frame: int) -> PlanRow:
        by = self.shift(person, frame)
        box = (self.boxes[person] + np.tile(by, 2)).astype(np.float32)
        marks = (self.marks[person] + by).astype(np.float32)
        return PlanRow(frame, person + 1, box, marks, RowState.DETECTED, 0.99)

    def covered(self, frame: int, people: range | tuple[int, ...] = range(5)) -> ByteArray:
        """The picture with a dark ellipse over everybody named."""
        rgb = self.picture(frame)
        for person in people:
            x0, y0, x1, y1 = (float(v) for v in self.row(person, frame).box)
            centre = (round((x0 + x1) / 2), round((y0 + y1) / 2))
            cv2.ellipse(rgb, centre, (round((x1 - x0) * 0.68), round((y1 - y0) * 0.68)), 0, 0, 360, (24, 24, 24), -1)
        return rgb

    def blurred(self, frame: int, sigma: float) -> ByteArray:
        """The picture with everybody's face blurred by sigma px."""
        rgb = self.picture(frame)
        soft = cv2.GaussianBlur(rgb, (0, 0), sigma)
        for person in range(5):
            x0, y0, x1, y1 = (round(float(v)) for v in self.row(person, frame).box)
            rgb[y0:y1, x0:x1] = soft[y0:y1, x0:x1]
        return rgb


@pytest.fixture(scope="session")
def scene(test_data: Path) -> Scene:
    detector = make_detectors(DetectSettings(detector="mtcnn"), choose_runtime("cpu", 1)).finder
    portraits, boxes, marks = [], [], []
    with tarfile.open(test_data / "faces" / "donors384.tar") as tar:
        for member in sorted((m for m in tar if m.name.endswith((".jpg", ".png"))), key=lambda m: m.name):
            file = tar.extractfile(member)
            assert file is not None
            bgr = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)
            rgb = np.ascontiguousarray(cv2.resize(bgr, (250, 250), interpolation=cv2.INTER_AREA)[:, :, ::-1])
            faces = [d for d in detector.detect([rgb])[0] if d.score > 0.9 and d.landmarks is not None]
            if len(faces) == 1 and faces[0].landmarks is not None:
                left, top = (round(float(v)) - SIDE // 2 for v in faces[0].landmarks[2])
                left, top = max(0, min(left, 250 - SIDE)), max(0, min(top, 250 - SIDE))
                portraits.append(np.ascontiguousarray(rgb[top : top + SIDE, left : left + SIDE]))
                boxes.append(faces[0].box - np.array([left, top, left, top], np.float32))
                marks.append(faces[0].landmarks - np.array([left, top], np.float32))
            if len(portraits) == 5:
                break
    noise = np.random.default_rng(7).uniform(40, 160, (HEIGHT // 20 + 6, WIDTH // 20 + 12)).astype(np.float32)
    grey = cv2.resize(noise, (WIDTH + 220, HEIGHT + 120), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    ground = np.repeat(grey[:, :, None], 3, axis=2)
    return Scene(ground, tuple(portraits), tuple(boxes), tuple(marks))


@pytest.fixture(scope="session")
def new_faces(scene: Scene) -> tuple[ByteArray, ...]:
    """The portraits with other people's faces drawn over them, as the swap draws them."""
    finder = load_mesh(choose_runtime("cpu", 1))
    composer = Composer(finder)
    actors = composer.actors(load_donors()[:12])
    made = []
    for person, (portrait, box, marks) in enumerate(zip(scene.portraits, scene.boxes, scene.marks, strict=True)):
        mesh = finder.detect_picture(portrait, box[None], marks[None]).points[0]
        shape, patch = composer.shapes.common(mesh[None])[0], portrait.astype(np.float32) / 255
        # whoever is built least like the person
        actor = max(actors, key=lambda a, own=shape: float(np.abs(a.shape - own).sum()))  # type: ignore[misc]
        offset = composer.shapes.offset(actor.shape, shape)
        drawn = composer.draw(patch, mesh, offset, actor, None, np.random.default_rng(person))
        made.append(np.rint(drawn.patch * 255).astype(np.uint8))
    return tuple(made)


@pytest.fixture(scope="session")
def original(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("scene") / "original.mp4", scene.frames())


@pytest.fixture(scope="session")
def plan(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "plan.jsonl"
    with Plan(0) as made:
        made.add(scene.row(person, frame) for frame in range(FRAMES) for person in range(5))
        made.finish(PlanInfo(WIDTH, HEIGHT, FRAMES, 0, 0, ("known",)))
        export_plan(made, path)
    return path


@pytest.fixture
def output(tmp_path: Path) -> Callable[..., Path]:
    """Write an output: ``output(frame -> picture)``."""

    def make(picture: Callable[[int], ByteArray], name: str = "out.mp4", count: int = FRAMES) -> Path:
        return write(tmp_path / name, (picture(i) for i in range(count)))

    return make
