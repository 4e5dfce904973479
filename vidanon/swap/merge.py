"""Where the new face lies, and how it runs into the picture around it.

The finest detail changes over within a narrow rim, the middle band over a wide one, and the low band is the source's
already (:mod:`vidanon.swap.light`): so there is no edge to see, and nothing of the source's detail further in
than the rim. Pictures are (S, S, 3) float32 in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vidanon.faces.mesh_points import LEFT_EYE, LIPS_INNER, LIPS_OUTER, OVAL, RIGHT_EYE
from vidanon.swap.light import smoothed, to_rgb
from vidanon.types import FloatArray

_FINE_RIM, _MIDDLE_RIM = 0.10, 0.18  # widths of the two rims inside the oval, share of the eye distance
_AROUND = 0.06  #: of the eye distance: how softly lips and eyes end
_FINE = 0.06  #: sigma that parts fine from middle, share of the eye distance
_SHIFT = 4


@dataclass(frozen=True)
class Rims:
    """Shares of the new face, (S, S) in [0, 1]."""

    region: FloatArray  #: 1 in the oval
    fine: FloatArray
    middle: FloatArray
    mouth: FloatArray  #: 1 inside the open mouth, which stays the source's


def rims(points: FloatArray, unit: float, size: int) -> Rims:
    """points: (468, >=2) px of the patch; unit: eye distance in px."""
    region = filled(points[list(OVAL), :2], size)
    distance = cv2.distanceTransform((region > 0.5).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    away = np.maximum(distance - np.float32(0.5), 0) / np.float32(unit)
    mouth = filled(points[list(LIPS_INNER), :2], size)
    return Rims(region, ramp(away / _FINE_RIM), ramp(away / _MIDDLE_RIM), mouth)


def inner(at: Rims) -> FloatArray:
    """(S, S) 0 or 1: the face without its rim, where hair and background may show, and without an open mouth."""
    return np.asarray((at.fine >= 1) & (at.mouth < 0.5), np.float32)


def coloured(points: FloatArray, unit: float, size: int) -> FloatArray:
    """(468, >=2) px of the patch -> (size, size) in [0, 1]: lips and eyes, which have a colour of their own."""
    parts = [filled(points[list(part), :2], size) for part in (LIPS_OUTER, RIGHT_EYE, LEFT_EYE)]
    return np.asarray(np.clip(2 * smoothed(np.maximum.reduce(parts), _AROUND * unit), 0, 1), np.float32)


def merged(source: FloatArray, donor: FloatArray, at: Rims, unit: float) -> FloatArray:
    """The donor inside the rims, the source outside."""
    sigma = _FINE * unit
    change = donor - source  # blending is linear: the two bands of the difference are all there is to weigh
    soft = smoothed(change, sigma)
    change -= soft
    change *= to_rgb(at.fine)
    soft *= to_rgb(at.middle)
    change += soft
    change *= to_rgb(1 - at.mouth)
    change += source
    return np.asarray(np.clip(change, 0, 1, out=change), np.float32)


def filled(polygon: FloatArray, size: int) -> FloatArray:
    """(P, 2) px, centres at +0.5 -> (size, size) in [0, 1], its edge anti-aliased."""
    picture = np.zeros((size, size), np.uint8)
    fixed = np.rint((polygon.astype(np.float64) - 0.5) * (1 << _SHIFT)).astype(np.int32)
    cv2.fillPoly(picture, [fixed], 255, cv2.LINE_AA, _SHIFT)
    return picture.astype(np.float32) / np.float32(255)


def ramp(share: FloatArray) -> FloatArray:
    """From 0 to 1, smoothly at both ends."""
    t = np.clip(share, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
