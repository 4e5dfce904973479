"""How people's faces differ in light and shade: brows, lids, the build of nose and cheeks, folds.

The directions are principal components (Turk and Pentland 1991) of the donors' own fine structure, women's and men's,
free of what goes with age, skin tone and gender: along them a face becomes another's, not an older or a darker one.
The file is safetensors, its card ``models/variation.md``; ``vidanon.train.variation`` makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from vidanon.errors import ModelError
from vidanon.faces.mesh_points import LEFT_EYE, LIPS_OUTER, OVAL, POINTS, RIGHT_EYE, eye_distance
from vidanon.swap.light import LUMA, low_band, smoothed
from vidanon.swap.merge import filled, rims
from vidanon.swap.warp import Triangles, portrait_map
from vidanon.types import FloatArray
from vidanon.zoo.fetch import resolve
from vidanon.zoo.load import load_state
from vidanon.zoo.save import save_tensors

NAME = "variation"
SIDE = 128  #: px of a portrait on which it is seen
_DARK = 0.03  #: below this a logarithm says nothing
_SOFT = 0.07  #: of the eye distance: how softly the face's middle begins
_EYES, _ROUND_EYES = 3.0, 0.055  #: eyes are left out, and what lies that near, as a share of the eye distance
_LIPS, _ROUND_LIPS = 0.6, 0.037  #: lips mostly: mouths do not lie alike


@dataclass(frozen=True)
class Variation:
    """Directions, by gender."""

    mesh: FloatArray  #: (468, 3) px of SIDE, even on both sides: where they lie
    men: FloatArray  #: (K, SIDE, SIDE) natural logarithm of brightness, one deviation each, the widest first
    women: FloatArray

    def on(self, points: FloatArray, triangles: Triangles, female: float) -> FloatArray:
        """(468, 3) the mesh of a portrait, px of SIDE, and how it is likely to be read -> (K, SIDE, SIDE) over it."""
        there = portrait_map(points, self.mesh, triangles, SIDE).where
        directions = self.women if female >= 0.5 else self.men
        x, y = np.ascontiguousarray(there[..., 0]), np.ascontiguousarray(there[..., 1])
        return np.stack([
            np.asarray(cv2.remap(each, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.float32)
            for each in directions
        ])  # fmt: skip


def place(mesh: FloatArray) -> FloatArray:
    """(468, >=2) px of SIDE -> (SIDE, SIDE) in [0, 1]: the middle of a face, no eyes, little of its lips."""
    unit = float(eye_distance(mesh))
    fine = rims(mesh, unit, SIDE).fine
    eyes = np.maximum(*(filled(mesh[list(eye), :2], SIDE) for eye in (RIGHT_EYE, LEFT_EYE)))
    lips = smoothed(filled(mesh[list(LIPS_OUTER), :2], SIDE), _ROUND_LIPS * unit)
    eyes = np.clip(_EYES * smoothed(eyes, _ROUND_EYES * unit), 0, 1)
    inside = np.clip(smoothed(fine, _SOFT * unit), 0, 1) * fine
    return np.asarray(inside * (1 - eyes) * (1 - np.float32(_LIPS) * lips), np.float32)


def detail(picture: FloatArray, mesh: FloatArray, clean: FloatArray | None = None) -> FloatArray:
    """(SIDE, SIDE, 3) RGB in [0, 1] of a face and its mesh -> (SIDE, SIDE) within :func:`place`: the logarithm of how
    much lighter a place is than what is around it.

    clean: (SIDE, SIDE) in [0, 1], 0 where the picture shows no face.
    """
    inside = filled(mesh[list(OVAL), :2], SIDE) * (1 if clean is None else clean)
    low = low_band(picture, np.asarray(inside, np.float32), float(eye_distance(mesh)))
    away = np.log(np.maximum(picture @ LUMA, _DARK)) - np.log(np.maximum(low @ LUMA, _DARK))
    return np.asarray(away * place(mesh) * (1 if clean is None else clean), np.float32)


def load_variation(path: Path | None = None) -> Variation:
    """The directions in ``path``, or the shipped ones (their hash is checked). Raises ModelError, ModelUnavailable."""
    path = path or resolve(NAME, offline=True)
    state = load_state(path)
    try:
        mesh, men, women = (state[name].float().numpy() for name in ("mesh", "men", "women"))
    except KeyError as error:
        raise ModelError(f"{path}: no {error} in it; get the original") from error
    half = (SIDE, SIDE // 2)
    if mesh.shape != (POINTS, 3) or men.shape[1:] != half or men.shape != women.shape or not len(men):
        raise ModelError(f"{path}: tensors of shapes {mesh.shape}, {men.shape}, {women.shape}; get the original")
    if not all(np.isfinite(each).all() for each in (mesh, men, women)):
        raise ModelError(f"{path}: its directions hold numbers that are none; get the original")
    return Variation(mesh, *(np.concatenate([each, each[..., ::-1]], 2) for each in (men, women)))


def write_variation(path: Path, variation: Variation) -> None:
    """Write directions, their left halves: the right ones are mirrored, and numbers kept to half precision.

    Raises OSError; the file takes its name only once it is whole.
    """
    halves = {
        name: torch.from_numpy(np.ascontiguousarray(each[..., : SIDE // 2])).half()
        for name, each in (("men", variation.men), ("women", variation.women))
    }
    save_tensors(path, {"mesh": torch.from_numpy(variation.mesh.astype(np.float32)), **halves})
