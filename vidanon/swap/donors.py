"""The donors' file, and donors from a folder of the user's own synthetic portraits.

The file is safetensors: pictures as JPEG, one after the other, with what belongs to them in arrays beside; names and
licence in the head. The shipped one is ``donors`` in the registry, its card ``models/donors.md``;
``vidanon.train.donors`` makes such files.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from vidanon.detect.base import Detector
from vidanon.errors import ModelError, UsageError
from vidanon.faces.mesh import MeshFinder
from vidanon.faces.mesh_points import POINTS, five
from vidanon.recognise.student import Student
from vidanon.swap.attributes import Attributes, features, load_attributes, views
from vidanon.swap.base import Donor
from vidanon.swap.portraits import SUFFIXES, Unusable, face_crop, find_face, framed, judge, read_picture
from vidanon.types import ByteArray, FloatArray
from vidanon.zoo.fetch import resolve
from vidanon.zoo.load import load_metadata, load_state
from vidanon.zoo.save import save_tensors

NAME = "donors"
LICENCE = "CC0-1.0"
_KEY = "vidanon.donors"
_QUALITY = 95
_MOST = 4096  # px of a picture's side: what a file may ask the decoder for
_NUMBERS = ("female", "age", "tone")


def write_donors(path: Path, donors: Sequence[Donor], licence: str = LICENCE) -> None:
    """Write ``donors`` (at least one; names differ, embeddings of one length). Raises ValueError, OSError.

    Pictures lose what JPEG of quality 95 with full colour loses; embeddings are kept to 1e-3. The file
    takes its name only once it is whole.
    """
    names = [donor.name for donor in donors]
    if not donors or len(set(names)) != len(names):
        raise ValueError(f"{len(donors)} donors with {len(set(names))} names: at least one, names that differ")
    pictures = [_encoded(donor.image) for donor in donors]
    tensors = {
        "pictures": torch.from_numpy(np.concatenate(pictures)),
        "offsets": torch.from_numpy(np.cumsum([0, *map(len, pictures)]).astype(np.int64)),
        "points": torch.from_numpy(np.stack([donor.points for donor in donors]).astype(np.float32)),
        "embeddings": torch.from_numpy(np.stack([donor.embedding for donor in donors]).astype(np.float32)).half(),
        **{
            name: torch.tensor([float(getattr(donor, name)) for donor in donors], dtype=torch.float32)
            for name in _NUMBERS
        },
    }
    head = {"names": names, "licence": licence}
    save_tensors(path, tensors, {_KEY: json.dumps(head)})


def load_donors(path: Path | None = None) -> tuple[Donor, ...]:
    """The donors in ``path``, or the shipped ones (their hash is checked). Raises ModelError, ModelUnavailable."""
    path = path or resolve(NAME, offline=True)
    state, head = load_state(path), load_metadata(path)
    try:
        return _donors(state, json.loads(head[_KEY]))
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise ModelError(f"{path}: no donors in it ({error}); get the original, or give other donors") from error


def donors_from_folder(
    folder: Path, finder: MeshFinder, detector: Detector, student: Student, attributes: Attributes | None = None
) -> tuple[tuple[Donor, ...], list[tuple[str, str]]]:
    """The donors in a folder of portraits, one face each, and the files left out with the reason, both by name.

    student: what ``attributes`` was made for (None: the shipped probes). Who the portraits show is
    the user's to answer for: nothing here can tell a synthetic face from a photograph. Raises UsageError where none can
    be used.
    """
    try:
        files = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    except OSError as error:
        raise UsageError(f"--donors {folder}: {error.strerror}; give a folder of synthetic portraits") from error
    attributes = attributes or load_attributes()
    donors: list[Donor] = []
    left_out: list[tuple[str, str]] = []
    for path in files:
        try:
            donors.append(_donor(path, finder, detector, student, attributes))
        except Unusable as error:
            left_out.append((path.name, str(error)))
    if not donors:
        why = f"{left_out[0][0]}: {left_out[0][1]}" if left_out else f"no {', '.join(SUFFIXES)} in it"
        raise UsageError(
            f"--donors {folder}: no portrait that can be used ({why}); "
            "give synthetic portraits that face the camera, mouth closed, eyes open"
        )
    return tuple(donors), left_out


def _donor(path: Path, finder: MeshFinder, detector: Detector, student: Student, attributes: Attributes) -> Donor:
    rgb = read_picture(path)
    points, confidence = find_face(rgb, finder, detector)
    judge(points, confidence)
    portrait = framed(rgb, points)
    seen = views(rgb, five(points)[:, :2])[None]
    look = attributes.guess(features(student, seen), seen[:, 0])
    embedding = student.embed(face_crop(portrait, student)[None])[0]
    return Donor(path.name, portrait.image, portrait.points, look.female, look.age, look.tone, embedding)


def _encoded(image: ByteArray) -> ByteArray:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not 0 < max(image.shape[:2]) <= _MOST:
        raise ValueError(f"picture {image.dtype} {image.shape}: (H, W, 3) uint8 wanted, {_MOST} px a side at most")
    options = [
        cv2.IMWRITE_JPEG_QUALITY, _QUALITY, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        cv2.IMWRITE_JPEG_OPTIMIZE, 1,
    ]  # fmt: skip
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)
    return np.asarray(data, np.uint8).ravel()


def _decoded(data: ByteArray) -> ByteArray:
    height, width = _jpeg_size(data)
    if max(height, width) > _MOST:
        raise ValueError(f"a picture of {width}x{height}")
    picture: Any = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError("a picture that cannot be decoded")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def _jpeg_size(data: ByteArray) -> tuple[int, int]:
    """Height and width in the head of a JPEG, before anything is decoded. Raises ValueError."""
    raw = data.tobytes()
    at = 2 if raw[:2] == b"\xff\xd8" else len(raw)
    while at + 9 <= len(raw) and raw[at] == 0xFF:
        if raw[at + 1] in (0xC0, 0xC1, 0xC2):  # start of a frame: baseline, extended, progressive
            return int.from_bytes(raw[at + 5 : at + 7]), int.from_bytes(raw[at + 7 : at + 9])
        at += 2 + int.from_bytes(raw[at + 2 : at + 4])
    raise ValueError("a picture that is no JPEG")


def _donors(state: dict[str, torch.Tensor], head: dict[str, Any]) -> tuple[Donor, ...]:
    """Raises ValueError, KeyError, TypeError for anything but what :func:`write_donors` writes."""
    names = head["names"]
    count = len(names)
    if not count or not all(isinstance(name, str) for name in names) or len(set(names)) != count:
        raise ValueError("its names are none")
    points = _floats(state["points"], (count, POINTS, 3))
    embeddings = _floats(state["embeddings"], (count, state["embeddings"].shape[-1]))
    female, age, tone = (_floats(state[name], (count,)) for name in _NUMBERS)
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    if embeddings.shape[1] == 0 or not (np.abs(norms - 1) < 0.01).all():
        raise ValueError("embeddings that are not of unit length")
    if not ((female >= 0) & (female <= 1)).all():
        raise ValueError("a look out of range")
    offsets, pictures = state["offsets"], state["pictures"]
    if offsets.dtype != torch.int64 or pictures.dtype != torch.uint8 or offsets.shape != (count + 1,):
        raise ValueError("its pictures do not fit its names")
    ends = offsets.tolist()
    if ends[0] != 0 or ends[-1] != pictures.numel() or any(a >= b for a, b in zip(ends, ends[1:], strict=False)):
        raise ValueError("its pictures do not fit its offsets")
    data = pictures.numpy().ravel()
    donors = []
    for i, name in enumerate(names):
        image = _decoded(data[ends[i] : ends[i + 1]])
        if points[i, :, :2].min() < -max(image.shape) or points[i].max() > 2 * max(image.shape):
            raise ValueError(f"a mesh that is not of its picture ({name})")
        embedding = np.asarray(embeddings[i] / norms[i], np.float32)
        donors.append(Donor(name, image, points[i], float(female[i]), float(age[i]), float(tone[i]), embedding))
    return tuple(donors)


def _floats(tensor: torch.Tensor, shape: tuple[int, ...]) -> FloatArray:
    values = np.asarray(tensor.float().numpy(), np.float32)
    if values.shape != shape or not np.isfinite(values).all():
        raise ValueError(f"numbers of shape {values.shape} where {shape} belong, or some that are none")
    return values
