"""What the swap bench swaps: LFW people as short clips, and the sample clips, small ones enlarged.

An LFW photo becomes FRAMES frames: enlarged to SIDE px, with a slow drift below a pixel a frame, so that it is a video
and its face's place is known in every frame. Several people follow one another in a clip, with cuts between them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tests.bench.audit import write
from tests.bench.peers import ToolError, run_quietly
from vidanon.evaluate.landmarks import read_landmarks
from vidanon.evaluate.lfw import read_pairs
from vidanon.evaluate.photos import Photos, decode, key, open_photos, person
from vidanon.faces.align import apply
from vidanon.types import ByteArray, FloatArray

SIDE = 480  #: px of an LFW clip
FRAMES = 6  #: of each person
PER_CLIP = 30  #: people in one clip
ASL = ("again", "sister", "book", "night", "eat", "walk", "help", "school", "no", "please", "bird", "learn", "student")
#: name -> file of 270 lines, and the lines it is enlarged to, so that its faces count. That adds no detail: faces of
#: the last four have 4 to 9 px between the eyes in the file, and are harder than faces filmed at the enlarged size.
SMALL = {
    "pair": ("head-pose-face-detection-female-and-male.gif", 720),
    "woman": ("head-pose-face-detection-female.gif", 720),
    "man": ("head-pose-face-detection-male.gif", 720),
    "walking": ("face-demographics-walking.gif", 1080),
    "pause": ("face-demographics-walking-and-pause.gif", 1080),
    "classroom": ("classroom.gif", 1080),
    "aisle": ("store-aisle-detection.gif", 1080),
}
STREET = ("walking", "pause", "classroom", "aisle")


# LFW -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Person:
    """Two photos of one person, never the same, with five landmarks (px of the photo, centres at +0.5) each."""

    first: ByteArray  #: (250, 250, 3) RGB: is protected
    first_marks: FloatArray  #: (5, 2)
    second: ByteArray  #: is compared with
    second_marks: FloatArray


def people(data: Path, count: int, seed: int) -> list[Person]:
    """``count`` people of LFW's pairs of one person, drawn by ``seed``; of each the first of their pairs."""
    faces = data / "faces"
    photos = open_photos(faces / "lfw-deepfunneled.tar")
    marks = read_landmarks(faces / "lfw-landmarks.csv")
    there = set(photos.names)
    pairs: dict[str, tuple[str, str]] = {}
    for pair in read_pairs(faces / "lfw-pairs.txt"):
        both = pair.first, pair.second
        if pair.same and both[0] != both[1] and all(name in there and key(name) in marks for name in both):
            pairs.setdefault(person(pair.first), both)
    chosen = np.random.default_rng(seed).permutation(sorted(pairs))[:count]
    return [_person(photos, marks, *pairs[str(name)]) for name in chosen]


def _person(photos: Photos, marks: Mapping[str, FloatArray], first: str, second: str) -> Person:
    pictures = [decode(photos.read(name), name) for name in (first, second)]
    return Person(pictures[0], marks[key(first)], pictures[1], marks[key(second)])


def drift(frame: int, width: int) -> FloatArray:
    """(2, 3): px of a photo ``width`` px wide to px of frame ``frame`` of its clip, centres at +0.5."""
    scale = SIDE / width * (1.02 + 0.0015 * frame)
    middle = (SIDE - scale * width) / 2
    return np.array([[scale, 0, middle + 0.45 * frame - 1], [0, scale, middle + 0.3 * frame - 1]], np.float32)


def moved(photo: ByteArray, frame: int) -> ByteArray:
    """(SIDE, SIDE, 3): frame ``frame`` of the photo's clip."""
    matrix = drift(frame, photo.shape[1]).astype(np.float64)
    matrix[:, 2] += matrix[:, :2].sum(1) / 2 - 0.5  # pixel centres at 0 in OpenCV
    return np.asarray(
        cv2.warpAffine(photo, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def truth(someone: Person, frame: int) -> FloatArray:
    """(5, 2): where the first photo's landmarks lie in frame ``frame`` of its clip."""
    return apply(drift(frame, someone.first.shape[1]), someone.first_marks)


def stitched(several: Sequence[Person], path: Path) -> Path:
    """One clip of these people, FRAMES frames each, one after the other."""

    def frames() -> Iterator[ByteArray]:
        for someone in several:
            for frame in range(FRAMES):
                yield moved(someone.first, frame)

    return write(path, frames())


# Sample clips --------------------------------------------------------------------------------------------


def sample_names(asl: int) -> list[str]:
    """All sample clips, the first ``asl`` of one person signing among them."""
    return [*(f"sign-{name}" for name in ASL[:asl]), *SMALL]


def lines_of(name: str) -> int | None:
    """The lines a clip is enlarged to; None where it is taken as it is."""
    return SMALL[name][1] if name in SMALL else None


def group_of(name: str) -> str:
    """ "close" (one or two people near the camera) or "street" (small faces, much enlarged)."""
    return "street" if name in STREET else "close"


def sample(data: Path, name: str, folder: Path, frames: int | None) -> Path:
    """The clip called ``name`` as ``folder/name.mp4``, its first ``frames`` frames (None: all). Raises ToolError."""
    if name in SMALL:
        source = data / "videos" / SMALL[name][0]
    else:
        source = data / "videos" / "asl_gestures" / f"{name.removeprefix('sign-')}.mkv"
    if not source.is_file():
        raise ToolError(f"no clip '{name}' in the test data ({source} is missing)")
    path = folder / f"{name}.mp4"
    lines = lines_of(name)
    scale = [] if lines is None else ["-vf", f"scale=-2:{lines}:flags=lanczos"]
    limit = [] if frames is None else ["-frames:v", str(frames)]
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(source), "-an", *scale, *limit]
    coding = ["-c:v", "libx264", "-crf", "12", "-preset", "veryfast", "-pix_fmt", "yuv420p", str(path)]
    try:
        run_quietly([*command, *coding])
    except (FileNotFoundError, subprocess.SubprocessError) as error:
        raise ToolError(f"ffmpeg does not run ({error}); install it") from error
    return path
