"""Glasses for a new face, clear ones: gaze and lids stay to be seen.

Recognisers go by eyes and brows most, and take who wears glasses for somebody else easily; people who do not exist may
wear them as well as others. Nearly all of that is the upper rim's doing, and every other edge trembles where the
picture's motion is not known well: so they are browlines, with a faint lower rim. They are stiff: they follow the head
and the corners of the eyes, not lids, brows or cheeks. Lengths are shares of the distance between the eyes (about
63 mm).
"""

from __future__ import annotations

import cv2
import numpy as np

from vidanon.faces.mesh_points import LEFT_EYE, OVAL, RIGHT_EYE
from vidanon.faces.mesh_pose import Floats, fit_pose
from vidanon.swap.base import Glasses
from vidanon.types import FloatArray

_CORNERS = ((RIGHT_EYE[0], RIGHT_EYE[8]), (LEFT_EYE[0], LEFT_EYE[8]))  #: outer and inner; lids do not move them
_EARS = (OVAL[-8], OVAL[8])  #: where the sides of the oval meet the ears
_OUT = 0.07  #: how far the middle of a lens lies outside that of its eye
_FRONT = 0.25  #: how far the lenses lie in front of the corners of the eyes
_ROUND = 48  #: corners of a lens as it is drawn
_ENDS = (27, 45)  #: of them, where the upper rim ends: a little above the sides of the lens
_FINER = 2  #: as large it is drawn
_SHIFT = 4  #: of OpenCV's fixed point
_THICKEST = 255  #: px: more than any line here has, less than OpenCV takes
_LIGHT, _THIN = 0.8, 0.3  #: of the rim, that temples and bridge are thick, and the lower rim


#: horn and acetate: black, dark brown, tortoise, dark blue, grey
_COLOURS = ((0.25, 0.24, 0.24), (0.36, 0.27, 0.22), (0.42, 0.3, 0.22), (0.25, 0.27, 0.35), (0.36, 0.36, 0.37))
_UNDER = (0.3, 0.45, 0.6)


def chosen(rng: np.random.Generator) -> Glasses:
    """A pair as people wear them."""
    return Glasses(
        float(rng.uniform(0.41, 0.45)),
        float(rng.uniform(0.22, 0.27)),
        float(rng.uniform(4.0, 9.0)),
        float(rng.uniform(0.06, 0.1)),
        float(rng.uniform(0.025, 0.04)),
        float(rng.choice(_UNDER)),
        _COLOURS[int(rng.integers(len(_COLOURS)))],
    )


def worn(glasses: Glasses, mesh: FloatArray, average: Floats, size: int) -> FloatArray:
    """Where the rim is seen: (size, size) in [0, 1].

    mesh: (468, 3) px of the picture, the face that wears them. average: (468, 3) of eye distance 1, as
    :class:`vidanon.swap.shape.Shapes` has it.
    """
    rotation, scale, place = (each[0] for each in fit_pose(average, mesh[None].astype(np.float64)))
    shape = (mesh - place) @ rotation / scale
    right, left, bridge, *temples = ((line @ rotation.T * scale + place)[:, :2] for line in _lines(glasses, shape))
    picture = np.zeros((size * _FINER, size * _FINER), np.uint8)
    rim = glasses.rim * float(scale) * _FINER
    for lens in (right, left):
        if glasses.under > 0:
            _drawn(picture, lens, _THIN * rim, True, round(255 * glasses.under))
        _drawn(picture, lens[_ENDS[0] : _ENDS[1] + 1], rim)
    _drawn(picture, bridge, _LIGHT * rim)
    across = left.mean(0) - right.mean(0)
    for temple, way in zip(temples, (-across, across), strict=True):
        if (temple[1] - temple[0]) @ way > 0:  # else the face hides it
            _drawn(picture, temple, _LIGHT * rim)
    small = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32) / np.float32(255)


def _lines(glasses: Glasses, shape: Floats) -> list[Floats]:
    """(P, 3) each, in the common frame, where ``shape`` (468, 3) is the face's: two lenses, bridge, two temples."""
    angle = np.linspace(0, 2 * np.pi, _ROUND, endpoint=False)
    cos, sin = np.cos(angle), np.sin(angle)
    power = 2 / glasses.square
    x = glasses.width * np.sign(cos) * np.abs(cos) ** power
    y = glasses.height * np.sign(sin) * np.abs(sin) ** power
    lenses, temples, inner = [], [], []
    for corners, ear, side in zip(_CORNERS, _EARS, (-1, 1), strict=True):
        middle = shape[list(corners)].mean(0) + (side * _OUT, glasses.low, -_FRONT)
        lens = middle + np.stack([x, y, np.zeros(_ROUND)], 1)
        nose, hinge = lens[[_ENDS[1], _ENDS[0]] if side < 0 else [_ENDS[0], _ENDS[1]]]
        lenses.append(lens)
        temples.append(np.stack([hinge, (shape[ear, 0], hinge[1], shape[ear, 2])]))
        inner.append(nose)
    way = np.linspace(0, 1, 9)[:, None]
    bridge = inner[0] + way * (inner[1] - inner[0])
    bridge[:, 1] -= glasses.rim * np.sin(np.pi * way[:, 0])
    return [*lenses, bridge, *temples]


def _drawn(picture: np.ndarray, line: Floats, thick: float, closed: bool = False, how: int = 255) -> None:
    fixed = np.rint((line * _FINER - 0.5) * (1 << _SHIFT)).clip(-(2**30), 2**30).astype(np.int32)
    cv2.polylines(picture, [fixed], closed, how, min(max(1, round(thick)), _THICKEST), cv2.LINE_AA, _SHIFT)
