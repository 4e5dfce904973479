"""The traits of people who do not exist: the light and shade of their brows, noses, mouths and cheeks, on one mesh.

Each is a synthetic portrait's own fine structure, even on both sides. Mixed region by region they give other people
again, as a photofit does (:mod:`vidanon.swap.retouch`). The file is safetensors, its card ``models/traits.md``;
``vidanon.train.traits`` makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from vidanon.errors import ModelError
from vidanon.faces.mesh_points import (
    LEFT_BROW,
    LEFT_EYE,
    LIPS_OUTER,
    NOSE,
    OVAL,
    POINTS,
    RIGHT_BROW,
    RIGHT_EYE,
    eye_distance,
)
from vidanon.swap.light import LUMA, smoothed
from vidanon.swap.merge import filled, rims
from vidanon.swap.warp import Triangles, portrait_map
from vidanon.types import FloatArray
from vidanon.zoo.fetch import resolve
from vidanon.zoo.load import load_state
from vidanon.zoo.save import save_tensors

NAME = "traits"
SIDE = 128  #: px of a portrait on which they are seen
_DARK = 0.03  #: below this a logarithm says nothing
_LEAST = 1e-3  #: share of the face around a place
#: of the oval, about its middle, and of the eye distance: how far out the face's middle reaches, how softly it begins:
#: further out portraits have hair, and shades of it
_INNER, _SOFT = 0.82, 0.14
_EYES, _ROUND_EYES = 3.0, 0.055  #: eyes are left out, and what lies that near, as a share of the eye distance
_LIPS, _ROUND_LIPS = 0.6, 0.037  #: lips mostly: mouths do not lie alike
#: sigmas, shares of the eye distance: finer structure does not lie alike on two faces, coarser is the light on them
_FINEST, _COARSEST = 0.037, 0.25
#: points around which a region lies, and how far it reaches, as a share of the eye distance
_AROUND = (
    ((*RIGHT_BROW, *LEFT_BROW, *RIGHT_EYE, *LEFT_EYE), 0.25),
    (NOSE, 0.18),
    ((*LIPS_OUTER, *OVAL[10:28]), 0.33),  # mouth, chin and the lower cheeks
    ((*OVAL[:6], *OVAL[-6:]), 0.35),  # forehead
)
REGIONS = len(_AROUND)


@dataclass(frozen=True)
class Traits:
    """Of N people."""

    mesh: FloatArray  #: (468, 3) px of SIDE, even on both sides: where they lie
    faces: FloatArray  #: (N, SIDE, SIDE) natural logarithm of brightness over what is around
    female: FloatArray  #: (N,) 0..1, how each is likely to be read
    age: FloatArray  #: (N,) apparent, years

    def on(self, points: FloatArray, triangles: Triangles) -> tuple[FloatArray, FloatArray]:
        """(468, 3) the mesh of a portrait, px of SIDE -> over it the faces (N, SIDE, SIDE), and the share that each
        region has of a place (REGIONS, SIDE, SIDE)."""
        there = portrait_map(points, self.mesh, triangles, SIDE).where
        x, y = np.ascontiguousarray(there[..., 0]), np.ascontiguousarray(there[..., 1])
        return _carried(self.faces, x, y), _carried(regions(self.mesh), x, y)


def regions(mesh: FloatArray) -> FloatArray:
    """(468, >=2) px of SIDE -> (REGIONS, SIDE, SIDE) in [0, 1], together 1: brows and eyes, nose, mouth, forehead."""
    unit = float(eye_distance(mesh))
    shares = []
    for points, reach in _AROUND:
        at = np.zeros((SIDE, SIDE), np.float32)
        column, row = mesh[list(points), :2].clip(0, SIDE - 1).astype(np.intp).T
        at[row, column] = 1
        near = smoothed(at, reach * unit)
        shares.append((near / max(float(near.max()), 1e-9) + np.float32(1e-3)) ** 2)
    whole = np.stack(shares)
    return np.asarray(whole / whole.sum(0), np.float32)


def place(mesh: FloatArray) -> FloatArray:
    """(468, >=2) px of SIDE -> (SIDE, SIDE) in [0, 1]: the middle of a face, no eyes, little of its lips."""
    unit, oval = float(eye_distance(mesh)), mesh[list(OVAL), :2]
    middle = oval.mean(0)
    inner = filled(np.asarray(middle + _INNER * (oval - middle), np.float32), SIDE)
    eyes = np.maximum(*(filled(mesh[list(eye), :2], SIDE) for eye in (RIGHT_EYE, LEFT_EYE)))
    lips = smoothed(filled(mesh[list(LIPS_OUTER), :2], SIDE), _ROUND_LIPS * unit)
    eyes = np.clip(_EYES * smoothed(eyes, _ROUND_EYES * unit), 0, 1)
    inside = smoothed(inner, _SOFT * unit) * rims(mesh, unit, SIDE).fine
    return np.asarray(inside * (1 - eyes) * (1 - np.float32(_LIPS) * lips), np.float32)


def detail(picture: FloatArray, mesh: FloatArray, clean: FloatArray | None = None) -> FloatArray:
    """(SIDE, SIDE, 3) RGB in [0, 1] of a face and its mesh -> (SIDE, SIDE) within :func:`place`: the logarithm of how
    much lighter a place is than what is around it, softened to what lies alike on two faces.

    clean: (SIDE, SIDE) in [0, 1], 0 where the picture shows no face.
    """
    unit = float(eye_distance(mesh))
    share = np.asarray(place(mesh) * (1 if clean is None else clean), np.float32)
    seen = np.log(np.maximum(picture @ LUMA, _DARK)).astype(np.float32)
    around = smoothed(seen * share, _COARSEST * unit) / np.maximum(smoothed(share, _COARSEST * unit), _LEAST)
    return smoothed(np.asarray((seen - around) * share, np.float32), _FINEST * unit)


def load_traits(path: Path | None = None) -> Traits:
    """The traits in ``path``, or the shipped ones (their hash is checked). Raises ModelError, ModelUnavailable."""
    path = path or resolve(NAME, offline=True)
    state = load_state(path)
    try:
        mesh, faces, female, age = (state[name].float().numpy() for name in ("mesh", "faces", "female", "age"))
    except KeyError as error:
        raise ModelError(f"{path}: no {error} in it; get the original") from error
    if mesh.shape != (POINTS, 3) or faces.shape != (len(female), SIDE, SIDE // 2) or female.shape != age.shape:
        raise ModelError(f"{path}: tensors of shapes {mesh.shape}, {faces.shape}; get the original")
    if not len(faces) or not all(np.isfinite(each).all() for each in (mesh, faces, female, age)):
        raise ModelError(f"{path}: it holds no faces, or numbers that are none; get the original")
    return Traits(mesh, np.concatenate([faces, faces[..., ::-1]], 2), female, age)


def write_traits(path: Path, traits: Traits) -> None:
    """Write traits, their left halves: the right ones are mirrored, and numbers kept to half precision.

    Raises OSError; the file takes its name only once it is whole.
    """
    halves = torch.from_numpy(np.ascontiguousarray(traits.faces[..., : SIDE // 2])).half()
    looks = {name: torch.from_numpy(getattr(traits, name).astype(np.float32)) for name in ("mesh", "female", "age")}
    save_tensors(path, {"faces": halves, **looks})


def _carried(pictures: Sequence[FloatArray] | FloatArray, x: FloatArray, y: FloatArray) -> FloatArray:
    return np.stack([
        np.asarray(cv2.remap(each, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.float32)
        for each in pictures
    ])  # fmt: skip
