"""What the swap is made from: synthetic portraits with what is needed to choose among them, and looks at the source."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from vidanon.types import ByteArray, FloatArray


@dataclass(frozen=True)
class Donor:
    """A synthetic person, seen from the front."""

    name: str
    image: ByteArray  #: (H, W, 3) uint8 RGB
    points: FloatArray  #: (468, 3) the mesh, px of ``image``, x and y with pixel centres at +0.5
    female: float  #: 0..1, how the face is likely to be read; for coarse matching only
    age: float  #: apparent, years; the same
    tone: float  #: skin: individual typology angle, degrees (-60 very dark .. 60 very light)
    embedding: FloatArray  #: (D,) of unit length, by the project's own recogniser


@dataclass(frozen=True)
class Shot:
    """One look at a face of the source."""

    patch: FloatArray  #: (S, S, 3) R'G'B' in [0, 1]
    mesh: FloatArray  #: (468, 3) px of the patch
    shrunk: float = 1.0  #: px of the footage per px of the patch

    def within(self, side: int) -> Shot:
        """The same, of ``side`` px at most."""
        size = self.patch.shape[0]
        if size <= side:
            return self
        patch = cv2.resize(self.patch, (side, side), interpolation=cv2.INTER_AREA)
        return Shot(np.asarray(patch, np.float32), self.mesh * np.float32(side / size), self.shrunk * size / side)


@dataclass(frozen=True)
class Glasses:
    """One pair; lengths are shares of the distance between the eyes."""

    width: float  #: of half a lens
    height: float  #: the same
    square: float  #: 2: an ellipse; the more, the squarer
    low: float  #: how far below the eyes the lenses' middles lie
    rim: float  #: how thick it is
    under: float  #: how much is seen of the lower half of the rim, 0..1
    colour: tuple[float, float, float]  #: of the light on the face, that comes back from the rim


@dataclass(frozen=True)
class Retouch:
    """What makes a donor's portrait another person's, for one track."""

    gain: FloatArray  #: (N, N) over the portrait: how much lighter or darker it becomes there, as a share
    contrast: float  #: times the source's, that the drawn face may have, if that is no more than the portrait's
    off: float = math.inf  #: how far the likeness of the drawn face to the source is from a stranger's; inf: not known
    glasses: Glasses | None = None  #: that it wears
