"""What the privacy bench protects: faces whose landmarks are known, as frames of clips.

``crowd`` are walls of small LFW faces, ``street`` and ``close`` the sample clips: washed out, and with few people, so
that a recogniser takes any smooth oval of skin in them for the source.
"""

from __future__ import annotations

import csv
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon.media.planes import from_av, to_av
from vidanon.types import Frame, PlanRow, RowState

Bytes = NDArray[np.uint8]
TRACKS = 10**5  #: more than one clip has
STREETS = ("classroom", "face-demographics-walking", "store-aisle-detection")


@dataclass
class Clip:
    """Frames of one size, who is in them, and for photos the person's name."""

    name: str
    group: str  #: "photos", "crowd", "street" or "close"
    frames: list[Frame]
    rows: list[PlanRow]  #: landmarks in every one
    people: dict[int, str] = field(default_factory=dict)  #: frame index -> person


def to_frame(rgb: Bytes, index: int) -> Frame:
    """An 8-bit RGB picture as a yuv420p frame."""
    planes, fmt, colour = from_av(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24"))
    return Frame(tuple(p.copy() for p in planes), fmt, colour, index, index, Fraction(1, 25))


def to_rgb(frame: Frame) -> Bytes:
    return np.asarray(to_av(frame).to_ndarray(format="rgb24"), np.uint8)


def photos(data: Path, count: int, seed: int) -> Clip:
    """LFW: ``count`` photos, two of each person; photos as the frames of one clip."""
    with open(data / "faces" / "lfw-landmarks.csv", newline="") as table:
        listed = {line["path"]: line for line in csv.DictReader(table)}
    clip = Clip("lfw", "photos", [], [])
    with tarfile.open(data / "faces" / "lfw-deepfunneled.tar") as tar:
        there = {name.split("/", 1)[1]: name for name in tar.getnames() if name.endswith(".jpg")}
        by_person: dict[str, list[str]] = {}
        for path in sorted(there):
            if path in listed:
                by_person.setdefault(path.split("/")[0], []).append(path)
        several = sorted(person for person, paths in by_person.items() if len(paths) > 1)
        chosen = np.random.default_rng(seed).permutation(several)[: max(1, count // 2)]
        for person in chosen:
            for path in by_person[str(person)][:2]:
                member = tar.extractfile(there[path])
                assert member is not None
                picture = cv2.imdecode(np.frombuffer(member.read(), np.uint8), cv2.IMREAD_COLOR)
                index, line = len(clip.frames), listed[path]
                x, y, w, h = (float(line[key]) for key in ("x", "y", "w", "h"))
                marks = [[float(line[f"{key}x"]), float(line[f"{key}y"])] for key in ("re", "le", "n", "rm", "lm")]
                clip.frames.append(to_frame(picture[:, :, ::-1], index))
                clip.rows.append(_row(index, index, (x, y, x + w, y + h), marks))
                clip.people[index] = str(person)
    return clip


def crowd(source: Clip, side: int, frames: int, size: tuple[int, int] = (1280, 720)) -> Clip:
    """Every frame a full wall of different photos of ``source``, each made ``side`` px large: many small faces."""
    columns, lines = size[0] // side, size[1] // side
    clip = Clip("crowd", "crowd", [], [])
    for index in range(min(frames, len(source.frames) // (columns * lines))):
        wall = np.full((size[1], size[0], 3), 90, np.uint8)
        for place in range(columns * lines):
            photo = index * columns * lines + place
            shift = np.array([place % columns, place // columns]) * side
            picture = cv2.resize(to_rgb(source.frames[photo]), (side, side), interpolation=cv2.INTER_AREA)
            wall[shift[1] : shift[1] + side, shift[0] : shift[0] + side] = picture
            row, scale = source.rows[photo], side / source.frames[photo].width
            assert row.landmarks is not None
            clip.rows.append(_row(index, photo, row.box * scale + np.tile(shift, 2), row.landmarks * scale + shift))
        clip.frames.append(to_frame(wall, index))
    return clip


def footage(data: Path, frames_each: int, step: int) -> Iterator[Clip]:
    """The sample videos that hold faces; those with small faces enlarged to 1080 lines, so that their faces count."""
    paths = sorted((data / "videos").glob("*.gif")) + sorted((data / "videos" / "asl_gestures").glob("*.mkv"))[:4]
    detector = cv2.FaceDetectorYN.create(str(data / "detectors" / "yunet_n_640_640.onnx"), "", (320, 320), 0.7, 0.3)
    for number, path in enumerate(paths, 1):
        street = path.stem.startswith(STREETS)
        clip = Clip(path.stem, "street" if street else "close", [], [])
        for rgb in _pictures(path, frames_each, step):
            if street:
                rgb = cv2.resize(
                    rgb, None, fx=1080 / rgb.shape[0], fy=1080 / rgb.shape[0], interpolation=cv2.INTER_CUBIC
                )
                rgb = np.ascontiguousarray(rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2])
            index = len(clip.frames)
            detector.setInputSize((rgb.shape[1], rgb.shape[0]))
            found = detector.detect(np.ascontiguousarray(rgb[:, :, ::-1]))[1]
            clip.frames.append(to_frame(rgb, index))
            for track, face in enumerate(() if found is None else found):
                x, y, w, h = face[:4]
                # Not one face's track through the clip: the texture, which a track fixes, is to vary like the faces.
                clip.rows.append(
                    _row(index, TRACKS * number + 100 * index + track, (x, y, x + w, y + h), face[4:14].reshape(5, 2))
                )
        if clip.rows:
            yield clip


def _pictures(path: Path, count: int, step: int) -> Iterator[Bytes]:
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % step == 0:
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                count -= 1
                if count == 0:
                    return


def _row(index: int, track: int, box: Sequence[float], marks: object) -> PlanRow:
    return PlanRow(index, track, np.array(box, np.float32), np.array(marks, np.float32), RowState.DETECTED, 1.0)
