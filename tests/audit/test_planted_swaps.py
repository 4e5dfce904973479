"""A swap that works passes; swaps that leave the source to be seen do not, each for its own reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from auditkit import PixelJudge, write
from conftest import HEIGHT, WIDTH, Scene

from vidanon.audit.html import page
from vidanon.audit.judges import RunFacts
from vidanon.audit.result import AuditResult
from vidanon.audit.run import Asked, audit
from vidanon.cli.audit_summary import lines
from vidanon.config import AuditSettings, DetectSettings, RunConfig
from vidanon.errors import UsageError
from vidanon.recognise.assemble import make_recogniser
from vidanon.runtime.device import choose_runtime
from vidanon.track.plan import Plan
from vidanon.track.plan_io import export_plan
from vidanon.types import ByteArray, PlanInfo

COUNT = 30
STRICT = {0.01: 0.8, 0.001: 0.85}  #: hair, jaw and where the eyes are stay, and the judge of pixels sees them
ROOM = 0.04  #: between a measured likeness and the limit on either side
Make = Callable[[Callable[[int], ByteArray]], AuditResult]


@pytest.fixture(scope="module")
def clip(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The first frames of the scene, and their plan as a swap would export it."""
    folder = tmp_path_factory.mktemp("swap")
    with Plan(0) as made:
        made.add(scene.row(person, frame) for frame in range(COUNT) for person in range(5))
        made.finish(PlanInfo(WIDTH, HEIGHT, COUNT, 0, 0, ("known",), mode="swap"))
        export_plan(made, folder / "plan.jsonl")
    return write(folder / "original.mp4", scene.frames(COUNT)), folder / "plan.jsonl"


@pytest.fixture
def judged(clip: tuple[Path, Path], tmp_path: Path) -> Make:
    """Write an output and audit it: ``judged(frame -> picture)``."""

    def make(picture: Callable[[int], ByteArray]) -> AuditResult:
        output = write(tmp_path / "out.mp4", (picture(i) for i in range(COUNT)))
        settings = AuditSettings(look_every=15, same_person=0.8)
        config = RunConfig(audit=settings, detect=DetectSettings(detector="mtcnn"), threads=1)
        judge = PixelJudge(thresholds=STRICT)
        return audit(Asked(clip[0], output, [judge], tracks=clip[1]), config)

    return make


def missed(result: AuditResult) -> set[str]:
    return {check.name for check in result.checks if not check.passed}


def test_a_swap_passes_and_is_told_as_one(scene: Scene, new_faces: tuple[ByteArray, ...], judged: Make) -> None:
    result = judged(lambda i: scene.swapped(i, new_faces))
    assert result.passed, result.problems
    assert result.mode == "swap" and result.picture.faces == 5 * COUNT and result.picture.clear == 0
    assert 0 < result.picture.worst_likeness < 0.78 - ROOM
    assert result.faces_again == 1 and all(look.outside == 0 for look in result.coverage)
    same = result.judges[0].same_person
    assert same is not None and same.neighbours is not None and same.apart is not None
    assert same.neighbours.pairs == 5 * (COUNT - 1) and same.neighbours.output_same == 1
    assert same.neighbours.output == pytest.approx(same.neighbours.source, abs=0.05) and same.apart.output > 0.9
    assert not result.judges[0].parrot and any("without the run's key" in note for note in result.notes)
    said, html = "\n".join(lines(result, [])), page(result)
    assert "10 of 10 faces again, as new ones" in said and "outside the tracks" not in said
    assert "one person through" in said and "Found again, as new ones" in html and "Half a track apart" in html


def test_a_swap_that_leaves_one_frame_clear_is_caught(
    scene: Scene, new_faces: tuple[ByteArray, ...], judged: Make
) -> None:
    result = judged(lambda i: scene.picture(i) if i == 17 else scene.swapped(i, new_faces))
    assert {"faces that show the original", "people matched in any frame at 1 % false accepts"} <= missed(result)
    assert result.picture.clear == 5 and {frame for frame, _ in result.picture.clear_at} == {17}


def test_a_swap_that_leaves_one_person_clear_is_caught(
    scene: Scene, new_faces: tuple[ByteArray, ...], judged: Make
) -> None:
    kept = (*new_faces[:3], scene.portraits[3], new_faces[4])
    result = judged(lambda i: scene.swapped(i, kept))
    assert "faces that show the original" in missed(result) and result.picture.clear_tracks == {4}


def test_a_swap_that_does_nothing_is_caught(scene: Scene, judged: Make) -> None:
    result = judged(scene.picture)
    assert {"faces that show the original", "faces matched at 0.1 % false accepts"} <= missed(result)
    assert result.picture.clear == 5 * COUNT and result.picture.worst_likeness > 0.95


def test_a_swap_blended_half_with_the_source_is_caught(
    scene: Scene, new_faces: tuple[ByteArray, ...], judged: Make
) -> None:
    result = judged(lambda i: scene.swapped(i, new_faces, share=0.5))
    assert {"faces that show the original", "faces matched at 1 % false accepts"} <= missed(result)


def test_a_source_that_is_blurred_a_little_is_caught(scene: Scene, judged: Make) -> None:
    box = scene.boxes[0]
    result = judged(lambda i: scene.blurred(i, 0.02 * float(box[3] - box[1])))
    assert result.picture.clear == 5 * COUNT


def test_a_face_of_the_frame_before_is_caught(scene: Scene, new_faces: tuple[ByteArray, ...], judged: Make) -> None:
    """The ground is the right frame's, so that nothing but the faces tells."""

    def late(frame: int) -> ByteArray:
        rgb, before = scene.swapped(frame, new_faces), scene.picture(max(0, frame - 1))
        for person in range(5):
            x0, y0, x1, y1 = (round(float(v)) for v in scene.row(person, frame).box)
            rgb[y0:y1, x0:x1] = before[y0:y1, x0:x1]
        return rgb

    result = judged(late)
    assert result.picture.clear > 0.95 * 5 * COUNT


def test_faces_that_the_swap_pixelated_instead_pass(
    scene: Scene, new_faces: tuple[ByteArray, ...], judged: Make
) -> None:
    cells = np.random.default_rng(1).integers(60, 200, (8, 8, 3)).astype(np.uint8)

    def picture(frame: int) -> ByteArray:
        rgb = scene.swapped(frame, new_faces)
        x0, y0, x1, y1 = (round(float(v)) for v in scene.row(2, frame).box)
        rows, columns = (np.arange(size) * 8 // size for size in (y1 - y0, x1 - x0))
        rgb[y0:y1, x0:x1] = cells[rows][:, columns]
        return rgb

    result = judged(picture)
    assert result.picture.clear == 0 and "faces that show the original" not in missed(result)


def test_another_new_person_in_each_frame_is_reported(
    scene: Scene, new_faces: tuple[ByteArray, ...], judged: Make
) -> None:
    """Each place takes everybody's picture in turn."""
    result = judged(lambda i: scene.swapped(i, new_faces[i % 5 :] + new_faces[: i % 5]))
    assert "one person through each track" in missed(result)
    same = result.judges[0].same_person
    assert same is not None and same.neighbours is not None
    assert same.neighbours.output < 0.3 < 0.9 < same.neighbours.source


def test_the_recogniser_that_chose_the_new_faces_may_not_judge(clip: tuple[Path, Path], tmp_path: Path) -> None:
    student = make_recogniser("student", choose_runtime("cpu", 1))
    facts = RunFacts("swap", {"student": student.description.sha256})
    asked = Asked(clip[0], tmp_path / "out.mp4", [student], facts=facts, tracks=clip[1])
    with pytest.raises(UsageError, match="the run itself used it, as student"):
        audit(asked, RunConfig())
    renamed = replace(facts, models={"chooser": student.description.sha256})
    with pytest.raises(UsageError, match="the run itself used it, as chooser"):
        audit(replace(asked, facts=renamed), RunConfig())
