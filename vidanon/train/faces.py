"""Training faces: pictures of a folder or tar, each face found and brought to the recognisers' alignment."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vidanon.errors import InputError
from vidanon.recognise.base import ARCFACE_112
from vidanon.types import ByteArray, FloatArray

SIZE = 112  #: px, side of an aligned face
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_LOOK = 256  # px: the side at which faces are looked for
_SCORE = 0.4


def pictures(source: Path) -> Iterator[tuple[str, ByteArray]]:
    """Name and (h, w, 3) uint8 BGR of every picture in a folder (and those below it) or tar, by name.

    Raises InputError where it is neither, or a picture is broken.
    """
    if source.is_dir():
        for path in sorted(p for p in source.rglob("*") if p.suffix.lower() in _SUFFIXES):
            yield path.name, _decode(path.read_bytes(), path.name)
        return
    try:
        with tarfile.open(source) as archive:
            members = [m for m in archive.getmembers() if m.isfile() and m.name.lower().endswith(_SUFFIXES)]
            for member in sorted(members, key=lambda m: m.name):
                data = archive.extractfile(member)
                assert data is not None  # it is a file
                yield member.name, _decode(data.read(), member.name)
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"{source}: no folder and no tar of pictures ({error}); give one of them") from error


def _decode(data: bytes, name: str) -> ByteArray:
    picture: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if picture is None:
        raise InputError(f"{name}: not a picture; take it out of the training faces")
    return np.asarray(picture, np.uint8)


def aligned_faces(source: Path, detector: Path, progress: Callable[[int], None] = lambda done: None) -> ByteArray:
    """(N, 112, 112, 3) uint8 RGB: the best face of each picture that has one, in the order of the names.

    detector: YuNet's file. Pictures are taken for square portraits: one is looked at in 256 px. ``progress`` is told
    how many pictures were looked at. Raises InputError where no picture has a face.
    """
    faces = [
        face for _, picture, landmarks in portraits(source, detector, progress)
        if (face := _align(picture, landmarks)) is not None
    ]  # fmt: skip
    if not faces:
        raise InputError(f"{source}: no picture with a face in it; give portraits of one face each")
    return np.stack(faces)


def portraits(
    source: Path, detector: Path, progress: Callable[[int], None] = lambda done: None
) -> Iterator[tuple[str, ByteArray, FloatArray]]:
    """Name, (h, w, 3) uint8 BGR and the best face's (5, 2) landmarks of each picture that has a face, by name.

    Landmarks: px, pixel centres at 0, in the order of :class:`vidanon.types.Detection`. The rest as
    :func:`aligned_faces`.
    """
    yunet = cv2.FaceDetectorYN.create(str(detector), "", (_LOOK, _LOOK), _SCORE)
    for number, (name, picture) in enumerate(pictures(source), start=1):
        if (landmarks := _find(picture, yunet)) is not None:
            yield name, picture, landmarks
        progress(number)


def _find(picture: ByteArray, yunet: cv2.FaceDetectorYN) -> FloatArray | None:
    found: Any = yunet.detect(cv2.resize(picture, (_LOOK, _LOOK), interpolation=cv2.INTER_CUBIC))
    rows = found[1]
    if rows is None:
        return None
    best = max(rows, key=lambda row: float(row[-1] * row[2]))  # sure and large
    scale = np.array([picture.shape[1], picture.shape[0]], np.float32) / _LOOK
    return np.asarray(best[4:14].reshape(5, 2) * scale, np.float32)


def _align(picture: ByteArray, landmarks: FloatArray) -> ByteArray | None:
    template = np.array(ARCFACE_112, np.float32)
    matrix: Any
    matrix, _ = cv2.estimateAffinePartial2D(landmarks, template, method=cv2.LMEDS)
    if matrix is None:
        return None
    face = cv2.warpAffine(picture, matrix, (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(cv2.cvtColor(face, cv2.COLOR_BGR2RGB), np.uint8)
