"""An eyeball made from what a portrait shows of it: the colours of sclera, lids and lashes, and a whole iris.

The upper lid always hides a part of the iris and shades another; both are taken from their mirror images below.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

from vidanon.faces.mesh_points import LEFT_EYE
from vidanon.swap.iris import EYES, EyeFrame, eye_frame
from vidanon.types import FloatArray

RINGS, SPOKES = 24, 64  #: of an unwrapped iris
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

Array = npt.NDArray[Any]

#: skin below and above each eye, off the lashes: what light falls on it
_AROUND = (
    (25, 110, 24, 23, 22, 26, 228, 229, 230, 231, 232, 30, 29, 27, 28, 56),
    (255, 339, 254, 253, 252, 256, 448, 449, 450, 451, 452, 260, 259, 257, 258, 286),
)
#: the same, of the upper lid alone
_LIDS = ((30, 29, 27, 28, 56), (260, 259, 257, 258, 286))
_LID_POINTS = 9  # of the mesh along a lid, corners included
_LID_CURVE = 33  # along the curve through them
_SIDES, _SIDES_AT, _DIMMEST = 0.6, 0.45, 0.3  # an eyeball's sides: how much darker, how far out, never darker
_SHADE, _SHADED = 0.5, 0.06  # the upper lid's shadow: how much darker, how far down (shares of the eye's width)
_RIM = 0.88  # radii: farther out, what is seen is half sclera
_PUPIL, _LIMBUS = 0.32, 0.94  # radii of the pupil's rim and the dark ring's middle, of an iris radius of 1


@dataclass(frozen=True)
class Lids:
    """The curves of an eye's lids in its own frame (shares of its width), x increasing."""

    x: FloatArray  #: (2, 33) upper, lower
    y: FloatArray

    @property
    def height(self) -> float:
        """Of the opening where it is highest, shares of the eye's width; 0 or less where it is closed."""
        return float((np.interp(self.x[0], self.x[1], self.y[1]) - self.y[0]).max())


@dataclass(frozen=True)
class Eyeball:
    """One eye of a donor, in the light of its portrait. Colours are (3,) R'G'B' in [0, 1]."""

    iris: FloatArray  #: (RINGS, SPOKES, 3): from the centre to the rim, from x (the picture's right) over y (down)
    sclera: FloatArray
    lash: FloatArray
    skin: FloatArray  #: around the eye, what :func:`skin_around` gives
    lid: FloatArray  #: skin of the upper lid


@cache
def _curve() -> Array:
    """(33, 9): from points along a lid to a smooth curve through them."""
    return np.asarray(CubicSpline(np.arange(_LID_POINTS), np.eye(_LID_POINTS))(np.linspace(0, 8, _LID_CURVE)))


def lids(points: Array, eye: tuple[int, ...], frame: EyeFrame) -> Lids:
    """points (468, 2 or 3) px."""
    around = frame.to_shares(points[list(eye), :2])
    upper, lower = around[[0, 15, 14, 13, 12, 11, 10, 9, 8]], around[:9]
    if eye is LEFT_EYE:
        upper, lower = upper[::-1], lower[::-1]
    both = np.einsum("cp,lpk->lck", _curve(), np.stack([upper, lower]))
    # a fold of the mesh must not fold the curve
    x = np.maximum.accumulate(both[..., 0] + np.arange(_LID_CURVE) * 1e-6, axis=1)
    return Lids(np.asarray(x, np.float32), np.asarray(both[..., 1], np.float32))


def skin_around(picture: Array, points: Array, which: int) -> FloatArray:
    """(3,): the mean skin around eye ``which`` (0 the picture's left), in the picture's numbers; NaN outside of it."""
    return _mean_at(picture, points[list(_AROUND[which]), :2])


def _mean_at(picture: Array, places: Array) -> FloatArray:
    at = np.floor(places).astype(int)
    height, width = picture.shape[:2]
    inside = (at >= 0).all(1) & (at[:, 0] < width) & (at[:, 1] < height)
    if not inside.any():
        return np.full(3, np.nan, np.float32)
    values = np.sort(picture[at[inside, 1], at[inside, 0]].astype(np.float32), axis=0)
    cut = len(values) // 5  # neither a strand of hair nor a shine
    return np.asarray(values[cut : len(values) - cut].mean(0), np.float32)


def shading(across: Array, below: Array) -> Array:
    """How light an eyeball is: ``across`` from the eye's middle, ``below`` the upper lid, shares of the eye's width."""
    round_ = np.maximum(1 - np.float32(_SIDES) * np.square(across / np.float32(_SIDES_AT)), np.float32(_DIMMEST))
    lid = 1 - np.float32(_SHADE) * np.exp(-np.square(np.maximum(below, 0) / np.float32(_SHADED)))
    return np.asarray(round_ * lid)


def eyeball(picture: FloatArray, points: Array, which: int, centre: Array, radius: float) -> Eyeball:
    """picture: the whole portrait; centre (2,) px and radius px of its iris in eye ``which``."""
    corner, picture = _beside(picture, points, which)
    points, centre = points.copy(), centre - corner
    points[:, :2] -= corner
    frame = eye_frame(points, EYES[which])
    curves = lids(points, EYES[which], frame)
    soft = cv2.GaussianBlur(picture, (0, 0), max(0.15 * radius, 0.4))
    skin = skin_around(cv2.GaussianBlur(picture, (0, 0), 0.5 * radius), points, which)
    lid = _mean_at(soft, points[list(_LIDS[which]), :2])
    return Eyeball(
        iris=_iris(picture, frame, curves, centre, radius),
        sclera=_sclera(soft, frame, curves, centre, radius, skin),
        lash=_lash(picture, frame, curves),
        skin=skin,
        lid=lid,
    )


def _beside(picture: FloatArray, points: Array, which: int) -> tuple[Array, FloatArray]:
    """The part of a portrait that an eyeball is made from, and where its corner (2,) lies."""
    places = points[[*EYES[which], *_AROUND[which]], :2]
    margin = np.ptp(places[:, 0])
    low = np.floor(places.min(0) - margin).astype(int).clip(0)
    high = np.ceil(places.max(0) + margin).astype(int).clip(low + 1)
    return low.astype(np.float32), np.ascontiguousarray(picture[low[1] : high[1], low[0] : high[0]])


def _sample(picture: Array, places: Array) -> FloatArray:
    """(h, w, 2) px, centres at +0.5 -> (h, w, 3)."""
    at = places.astype(np.float32) - np.float32(0.5)
    return np.asarray(
        cv2.remap(picture, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def _inside(shares: Array, curves: Lids, above: float, below: float) -> Array:
    """bool: which places lie in the opening, that far (shares of the width) from the lids."""
    upper = np.interp(shares[..., 0], curves.x[0], curves.y[0]) + above
    lower = np.interp(shares[..., 0], curves.x[1], curves.y[1]) - below
    return np.asarray((shares[..., 1] > upper) & (shares[..., 1] < lower))


def _iris(picture: FloatArray, frame: EyeFrame, curves: Lids, centre: Array, radius: float) -> FloatArray:
    rho = (np.arange(RINGS) + 0.5) / RINGS
    theta = np.arange(SPOKES) * (2 * np.pi / SPOKES)
    x_axis = frame.along / np.linalg.norm(frame.along)
    y_axis = np.array([-x_axis[1], x_axis[0]])
    rays = np.cos(theta)[:, None] * x_axis + np.sin(theta)[:, None] * y_axis
    places = centre + radius * np.minimum(rho, _RIM)[:, None, None] * rays[None]
    colours = _sample(picture, places)
    seen = _inside(frame.to_shares(places), curves, 0.06, 0.055).astype(np.float32)
    seen *= np.where(np.sin(theta) < -0.2, 0.35, 1).astype(np.float32)  # the lid shades what is above
    luma = colours @ LUMA
    visible = luma[seen > 0] if (seen > 0).any() else luma.ravel()
    middle = float(np.median(visible))
    seen[luma > middle + 0.10 + 0.25 * middle] = 0  # the catch light
    low = float(np.percentile(visible, 5))
    mirror = (-np.arange(SPOKES)) % SPOKES
    mass = (seen + seen[:, mirror])[..., None]
    both = colours * seen[..., None] + (colours * seen[..., None])[:, mirror]
    total = np.maximum(mass.sum(1), 1e-6)
    profile = both.sum(1) / total
    known = mass.sum(1)[:, 0] > 2
    rings = np.arange(RINGS)
    if not known.any():
        profile[:] = np.median(colours.reshape(-1, 3), axis=0)
    else:
        for channel in range(3):
            profile[:, channel] = np.interp(rings, rings[known], profile[known, channel])
    share = np.clip(mass, 0, 1)
    texture = share * both / np.maximum(mass, 1e-6) + (1 - share) * profile[:, None]
    wrapped = np.concatenate([texture[:, -4:], texture, texture[:, :4]], 1).astype(np.float32)
    texture = cv2.GaussianBlur(wrapped, (0, 0), sigmaX=1.2, sigmaY=0.6)[:, 4:-4]
    dark = np.clip((_PUPIL - rho) / 0.1 + 0.5, 0, 1)[:, None, None]
    pupil = np.minimum(profile[:4].mean(0), np.maximum(low * 0.6, 0.02))
    ring = (0.3 * np.exp(-(((rho - _LIMBUS) / 0.1) ** 2)))[:, None, None]
    return np.asarray((texture * (1 - 0.85 * dark) + pupil * 0.85 * dark) * (1 - ring), np.float32)


def _sclera(
    picture: Array, frame: EyeFrame, curves: Lids, centre: Array, radius: float, skin: FloatArray
) -> FloatArray:
    x, y = np.meshgrid(np.linspace(-0.42, 0.42, 43), np.linspace(-0.3, 0.3, 31))
    shares = np.stack([x, y], -1)
    places = frame.to_picture(shares)
    white = _inside(shares, curves, 0.07, 0.04) & (np.linalg.norm(places - centre, axis=-1) > 1.2 * radius)
    bright = float(skin @ LUMA)
    plain = np.full(3, bright, np.float32) * np.float32(0.9) + skin * np.float32(0.1)
    if white.sum() < 12:
        return plain
    below = y - np.interp(x, curves.x[0], curves.y[0])
    colours = _sample(picture, places)[white] / shading(x, below)[white, None]
    luma = colours @ LUMA
    best = colours[(luma >= np.percentile(luma, 70)) & (luma <= np.percentile(luma, 97))].mean(0)
    # lashes and lids dull what little of it small pictures show
    grey = float(best @ LUMA)
    best = grey + (best - grey) * 0.7
    return np.asarray(best * max(1.0, 0.85 * bright / max(grey, 1e-3)), np.float32)


def _lash(picture: FloatArray, frame: EyeFrame, curves: Lids) -> FloatArray:
    x, y = curves.x[0][4:-4], curves.y[0][4:-4]
    across = np.linspace(-0.07, 0.06, 14)
    shares = np.stack([np.broadcast_to(x, (14, len(x))), y[None] + across[:, None]], -1)
    colours = _sample(picture, frame.to_picture(shares))
    darkest = (colours @ LUMA).argmin(0)
    return np.asarray(np.median(colours[darkest, np.arange(len(x))], axis=0), np.float32)
