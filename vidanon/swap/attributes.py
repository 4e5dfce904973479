"""What a face is likely to be read as, coarsely: so that a donor is chosen that does not jar on the body it is put on.

Two linear probes on what the project's own recogniser sees before it says who it is guess apparent gender and age; the
skin's tone is measured. Nothing of it is kept: a guess serves one choice and is dropped. The probes' card is
``models/attributes.md``.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

import cv2
import numpy as np
import torch

from vidanon.errors import ModelError
from vidanon.recognise.base import ARCFACE_112, Description
from vidanon.recognise.crop import crop
from vidanon.types import ByteArray, FloatArray
from vidanon.zoo.fetch import resolve
from vidanon.zoo.load import load_state
from vidanon.zoo.save import save_tensors

NAME = "attributes"
SIDE = 112  #: px of the crops, aligned for the recogniser
PARTS = 3  #: a crop is described in so many rows and columns: hair, jaw and lips do not lie in one place
AGES = (15.0, 90.0)  #: years: what a guess is kept within
#: x0, y0, x1, y1 px of the crop: forehead, both cheeks, bridge of the nose
_SKIN = ((42, 26, 71, 40), (27, 68, 43, 82), (69, 68, 85, 82), (51, 52, 61, 70))
_MIDDLE, _SMALLER, _DOWN = (56.0, 72.0), 0.74, -10.0
_MATT = 0.6  # share of the skin, its darker part: the rest shines


#: the recogniser's own crop, and one with the hair and the neck, which say much of how somebody is read
NEAR = Description("face", SIDE, ARCFACE_112)
WIDE = Description(
    "face and hair",
    SIDE,
    tuple(
        (_MIDDLE[0] + _SMALLER * (x - _MIDDLE[0]), _MIDDLE[1] + _SMALLER * (y - _MIDDLE[1]) + _DOWN)
        for x, y in ARCFACE_112
    ),
)


class Look(NamedTuple):
    """How a face is likely to be read; a guess about its look, not about the person."""

    female: float  #: 0..1
    age: float  #: years
    tone: float  #: skin: individual typology angle, degrees (-60 very dark .. 60 very light)


class Backbone(Protocol):
    """The part of a recogniser before its head."""

    def pooled(self, patches: ByteArray, side: int) -> FloatArray:
        """(N, 112, 112, 3) uint8 RGB -> (N, channels * side * side): its last map, averaged over side x side parts."""
        ...


class Attributes:
    """Guesses. Thread-safe."""

    def __init__(self, female: FloatArray, age: FloatArray) -> None:
        """(D + 1,) each: weights of what :func:`features` gives, then the constant; of a logit, and of years."""
        if female.ndim != 1 or female.shape != age.shape or len(female) < 2:
            raise ValueError(f"probes of shapes {female.shape} and {age.shape}: one length (D + 1,) wanted")
        self._female, self._age = female.astype(np.float64), age.astype(np.float64)

    @property
    def dimensions(self) -> int:
        """D of the features."""
        return len(self._female) - 1

    def guess(self, features: FloatArray, crops: ByteArray) -> Look:
        """One face seen K >= 1 times: (K, D) features and the (K, 112, 112, 3) uint8 RGB crops for the skin's tone.

        Raises ValueError for other shapes.
        """
        if features.ndim != 2 or features.shape[1] != self.dimensions or not 0 < len(features) == len(crops):
            raise ValueError(f"features {features.shape}, {len(crops)} crops: (K, {self.dimensions}), K wanted")
        logit = float((features @ self._female[:-1]).mean() + self._female[-1])
        age = float((features @ self._age[:-1]).mean() + self._age[-1])
        return Look(float(1 / (1 + np.exp(-logit))), min(max(age, AGES[0]), AGES[1]), float(np.median(tones(crops))))


def views(rgb: ByteArray, landmarks: FloatArray) -> ByteArray:
    """(h, w, 3) uint8 RGB and (5, 2) landmarks, px -> (2, 112, 112, 3): NEAR and WIDE; black outside the picture."""
    return np.stack([crop(rgb, landmarks, NEAR), crop(rgb, landmarks, WIDE)])


def features(backbone: Backbone, seen: ByteArray) -> FloatArray:
    """(K, 2, 112, 112, 3) of :func:`views` -> (K, D): what is seen in PARTS x PARTS parts of both, side by side."""
    return np.concatenate([backbone.pooled(np.ascontiguousarray(seen[:, which]), PARTS) for which in (0, 1)], 1)


def tones(crops: ByteArray) -> FloatArray:
    """(K, 112, 112, 3) uint8 RGB, aligned -> (K,) skin tones in degrees: of the median colour of cheeks, brow, nose.

    The light counts as skin: a face in the shade reads darker. Raises ValueError for another shape.
    """
    if crops.dtype != np.uint8 or crops.ndim != 4 or crops.shape[1:] != (SIDE, SIDE, 3):
        raise ValueError(f"crops {crops.dtype} {crops.shape}: (K, {SIDE}, {SIDE}, 3) uint8 wanted")
    out = np.empty(len(crops), np.float32)
    for i, face in enumerate(crops):
        skin = np.concatenate([face[y0:y1, x0:x1].reshape(-1, 3) for x0, y0, x1, y1 in _SKIN])
        lab = cv2.cvtColor((skin[None] / np.float32(255)).astype(np.float32), cv2.COLOR_RGB2Lab)[0]
        lab = lab[lab[:, 0] <= np.quantile(lab[:, 0], _MATT)]
        light, _, yellow = np.median(lab, 0)
        # skin is never blue; where the light makes it so, the angle would run over
        out[i] = np.degrees(np.arctan2(light - 50, max(float(yellow), 1.0)))
    return out


def load_attributes(path: Path | None = None) -> Attributes:
    """The probes in ``path``, or the shipped ones (their hash is checked). Raises ModelError, ModelUnavailable."""
    path = path or resolve(NAME, offline=True)
    state = load_state(path)
    try:
        probes = Attributes(*(state[name].float().numpy() for name in ("female", "age")))
    except (KeyError, ValueError) as error:
        raise ModelError(f"{path}: no probes of a face's look in it ({error}); get the original") from error
    if not all(bool(torch.isfinite(state[name]).all()) for name in ("female", "age")):
        raise ModelError(f"{path}: its probes hold numbers that are none; get the original")
    return probes


def write_attributes(path: Path, female: FloatArray, age: FloatArray) -> None:
    """Write probes as :class:`Attributes` takes them. Raises OSError; the file takes its name only once it is whole."""
    tensors = {"female": torch.from_numpy(female.astype(np.float32)), "age": torch.from_numpy(age.astype(np.float32))}
    save_tensors(path, tensors)
