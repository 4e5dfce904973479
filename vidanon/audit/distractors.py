"""Other people's faces: impostors at the size of the faces in the video, and the crowd of a gallery."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from vidanon.detect.base import Detector
from vidanon.errors import UsageError
from vidanon.faces.align import longer_side
from vidanon.media.planes import from_av, view
from vidanon.recognise.base import Recogniser
from vidanon.recognise.crop import crop
from vidanon.types import ByteArray, Detection, FloatArray, Frame, PlanRow, RowState

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
MAX_BYTES = 32 << 20  #: of one picture
MAX_SIDE = 1024  #: px; larger ones are made smaller before the detector looks
MIN_SCORE = 0.8
SIZES = (24.0, 32.0, 48.0, 72.0, 108.0)  #: px between the eyes that distractors are brought to


@dataclass(frozen=True)
class Picture:
    """One stranger."""

    rgb: ByteArray
    face: Detection


@dataclass
class Distractors:
    """Strangers with their faces found; embeddings by recogniser and size are made once."""

    pictures: tuple[Picture, ...] = ()
    refused: int = 0  #: pictures without exactly one clear face, or unreadable
    _embedded: dict[tuple[str, float], FloatArray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pictures)

    def embedded(self, judge: Recogniser, eyes: float) -> FloatArray:
        """(N, D), or (0, 0) of nobody: every stranger, the eyes ``eyes`` px apart or less (one of SIZES)."""
        size = max((s for s in SIZES if s <= eyes), default=SIZES[0])
        key = judge.description.name, size
        if key not in self._embedded:
            crops = []
            for picture in self.pictures:
                small = sized(picture, size)
                assert small.face.landmarks is not None
                crops.append(crop(small.rgb, small.face.landmarks, judge.description))
            self._embedded[key] = embed_all(judge, crops)
        return self._embedded[key]


def embed_all(judge: Recogniser, crops: list[ByteArray]) -> FloatArray:
    """(N, D) of any number of crops; (0, 0) of none."""
    if not crops:
        return np.zeros((0, 0), np.float32)
    return np.concatenate([judge.embed(np.stack(crops[at : at + 64])) for at in range(0, len(crops), 64)])


def sized(picture: Picture, eyes: float) -> Picture:
    """The picture made smaller, so that the eyes are ``eyes`` px apart; unchanged where they are closer already."""
    marks = picture.face.landmarks
    assert marks is not None
    scale = eyes / max(1e-6, float(np.linalg.norm(marks[1] - marks[0])))
    if scale >= 1:
        return picture
    height, width = picture.rgb.shape[:2]
    size = max(8, round(width * scale)), max(8, round(height * scale))
    rgb = np.asarray(cv2.resize(picture.rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    by = np.array([size[0] / width, size[1] / height], np.float32)
    face = replace(picture.face, box=picture.face.box * np.tile(by, 2), landmarks=marks * by)
    return Picture(rgb, face)


def as_frame(picture: Picture) -> tuple[Frame, PlanRow]:
    """A still frame with one planned face, for a protector."""
    rgb = picture.rgb[: picture.rgb.shape[0] // 2 * 2, : picture.rgb.shape[1] // 2 * 2]
    planes, fmt, colour = from_av(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24"))
    frame = Frame(planes, fmt, colour, 0, 0, Fraction(1, 25))
    return frame, PlanRow(0, 1, picture.face.box, picture.face.landmarks, RowState.DETECTED, picture.face.score)


def rgb_of(frame: Frame) -> ByteArray:
    return view(frame).rgb


def load_distractors(path: Path, count: int, detector: Detector, seed: int = 0) -> Distractors:
    """At most ``count`` strangers from a folder or tar file of pictures, drawn by ``seed``.

    A picture counts where the detector sees its one largest face surely. Raises UsageError for no usable picture.
    """
    found: list[Picture] = []
    refused = 0
    for data in _chosen(path, count, seed):
        picture = _read(data, detector)
        if picture is None:
            refused += 1
        else:
            found.append(picture)
    if not found:
        raise UsageError(f"distractors {path}: no face found in any picture; give a folder or tar of portraits")
    return Distractors(tuple(found), refused)


def _chosen(path: Path, count: int, seed: int) -> Iterator[bytes]:
    generator = np.random.default_rng(seed)
    try:
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            for i in sorted(generator.permutation(len(files))[:count]):
                if files[i].stat().st_size <= MAX_BYTES:
                    yield files[i].read_bytes()
            return
        with tarfile.open(path) as tar:
            members = sorted(
                (m for m in tar.getmembers() if m.isfile() and m.name.lower().endswith(SUFFIXES)), key=lambda m: m.name
            )
            for i in sorted(generator.permutation(len(members))[:count]):
                member = tar.extractfile(members[i])
                if member is not None and members[i].size <= MAX_BYTES:
                    yield member.read()
    except (OSError, tarfile.TarError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise UsageError(f"distractors {path}: {reason}; give a folder or tar of portraits") from error


def _read(data: bytes, detector: Detector) -> Picture | None:
    raw = np.frombuffer(io.BytesIO(data).getbuffer(), np.uint8)
    try:
        picture = cv2.imdecode(raw, cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    if picture is None:
        return None
    scale = min(1.0, MAX_SIDE / max(picture.shape[:2]))
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    rgb = np.ascontiguousarray(picture[:, :, ::-1], np.uint8)
    faces = [d for d in detector.detect([rgb])[0] if d.score >= MIN_SCORE and d.landmarks is not None]
    if not faces:
        return None
    return Picture(rgb, max(faces, key=lambda d: longer_side(d.box)))
