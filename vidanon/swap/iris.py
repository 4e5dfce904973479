"""Where the irises are, and where the eyes look: dark discs of known size in the openings of the mesh's eyelids.

An iris is the same size in almost everybody, so only its centre is searched. Both eyes are searched at once, since they
move together: an eye in shadow or behind hair gets help from the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vidanon.faces.mesh_points import LEFT_EYE, RIGHT_EYE, eye_distance
from vidanon.types import FloatArray

RADIUS = 0.085  #: of an iris, share of the eye distance
EYES = (RIGHT_EYE, LEFT_EYE)
TRUSTED = 0.15  #: an iris of less confidence says nothing about the gaze

Mono = npt.NDArray[np.float32]

_R = 6  # px of the search map that an iris' radius takes
_ACROSS, _DOWN = 21, 13  # half the map, px: 3.6 and 2.1 radii
_RING = 1.6  # the sclera beside an iris is looked at up to so many radii
# red tells skin from iris best: both skin and sclera are bright in it, irises of any colour are dark
_MIX = np.array([0.5, 0.35, 0.15], np.float32)
_RADII = (0.9, 1.0, 1.12)  # sizes tried where there are pixels enough, times RADIUS
_SIZED = 4.0  # px: a smaller radius is not measured
_AT_REST = (0.0, -0.05)  # shares of the eye's width: where irises are when nothing is seen of them
_SPREAD = (0.17, 0.055)  # the deviation of that
_APART = 0.045  # and how far the two eyes may differ
_HIGH = 0.02  # the lid's shadow makes an iris look so much higher, shares of the eye's width
_TRUST_PRIOR = 0.1  # explained share that a deviation of one is worth
_LASHES = 0.4  # radii under the upper lid that lashes and shadow darken
_ACROSSES = np.arange(-_ACROSS, _ACROSS + 1, dtype=np.float32)  # px of the map from its middle
_DOWNS = np.arange(-_DOWN, _DOWN + 1, dtype=np.float32)
_PLACES = np.arange((2 * _DOWN + 1) * (2 * _ACROSS + 1))  # of a map's pixels in a row
_TAILS = (4, 92)  # percentiles of the brightness in an opening: neither catch lights nor the pupil lead
_FLAT = (0.05, 0.12)  # contrast between them (their difference over their sum) of no eye, and of an eye
_POOR, _GOOD = 0.06, 0.4  # explained shares that are not trusted, and wholly trusted
_CLOSED, _OPEN = 0.45, 0.8  # radii: an opening less high shows no iris; one higher shows enough


@dataclass(frozen=True)
class Irises:
    """The irises of one face; RIGHT_EYE, the one on the picture's left, first."""

    centre: FloatArray  #: (2, 2) px, x and y with pixel centres at +0.5; NaN where the mesh is no face
    radius: FloatArray  #: (2,) px
    confidence: FloatArray  #: (2,) 0..1: how well a dark disc explains what is in the opening, 0 in a closed eye


@dataclass(frozen=True)
class EyeFrame:
    """An eye's own frame: the middle between its corners, shares of its width along and across them."""

    middle: FloatArray  #: (2,) px
    along: FloatArray  #: (2,) px: from the corner on the picture's left to the other one
    down: FloatArray  #: (2,) px: as long as the eye is wide in space, at a right angle, towards the cheek

    def to_picture(self, shares: npt.NDArray[Any]) -> FloatArray:
        """(..., 2) shares of the width -> px."""
        return np.asarray(self.middle + shares[..., :1] * self.along + shares[..., 1:] * self.down, np.float32)

    def to_shares(self, places: npt.NDArray[Any]) -> FloatArray:
        """(..., 2) px -> shares of the width."""
        apart = places - self.middle
        return np.asarray(
            np.stack([apart @ self.along / (self.along @ self.along), apart @ self.down / (self.down @ self.down)], -1),
            np.float32,
        )


def eye_frame(points: npt.NDArray[Any], eye: tuple[int, ...]) -> EyeFrame:
    """points (468, 2 or 3) px; eye: RIGHT_EYE or LEFT_EYE."""
    first, second = points[eye[0]], points[eye[8]]
    if eye is LEFT_EYE:
        first, second = second, first
    flat = np.asarray(second - first, np.float64)
    along = flat[:2]
    length = max(math.hypot(*along.tolist()), 1e-3)
    # in space an eye is as wide as it is, however the head is turned; a mesh seen edge-on has no say
    wide = min(math.hypot(*flat.tolist()), 2 * length)
    down = np.array([-along[1], along[0]]) * (wide / length)
    return EyeFrame(*(np.asarray(v, np.float32) for v in ((first[:2] + second[:2]) / 2, along, down)))


def find_irises(picture: npt.NDArray[Any], points: npt.NDArray[Any], *, sized: bool = False) -> Irises:
    """picture (H, W, 3) RGB, float in [0, 1] or uint8; points (468, 2 or 3) the mesh, px of it.

    Works from an eye distance of about 20 px. sized: measure the irises' radius too, where there are pixels enough;
    otherwise everybody's are taken for equal. ValueError for another shape.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or points.shape not in ((468, 2), (468, 3)):
        raise ValueError(f"picture {picture.shape}, points {points.shape}: (H, W, 3) and (468, 2 or 3) wanted")
    unit = float(eye_distance(points))
    base = RADIUS * unit
    none = Irises(np.full((2, 2), np.nan, np.float32), np.full(2, np.nan, np.float32), np.zeros(2, np.float32))
    if not np.isfinite(points).all() or not 1.0 < unit < 1e5:
        return none
    sizes = _RADII if sized and base >= _SIZED else (1.0,)
    best: tuple[float, list[tuple[float, float, float]], float] | None = None
    frames = [eye_frame(points, eye) for eye in EYES]
    for size in sizes:
        looks = [_look(picture, points, eye, frame, base * size) for eye, frame in zip(EYES, frames, strict=True)]
        found, score = _joint(looks)
        if best is None or score > best[0]:
            best = score, found, base * size
    assert best is not None
    _, found, radius = best
    centre = np.stack([frame.to_picture(np.array(at[:2])) for frame, at in zip(frames, found, strict=True)])
    confidence = np.array([at[2] for at in found], np.float32)
    return Irises(np.asarray(centre, np.float32), np.full(2, radius, np.float32), confidence)


def gaze(irises: Irises, points: npt.NDArray[Any]) -> FloatArray:
    """-> (2,): how far the irises are from the middle between the eye's corners, shares of the eye's width.

    x towards the picture's right in an upright face, y down; the mean of both eyes by confidence. NaN where neither is
    trusted.
    """
    trusted = [(which, sure) for which, sure in enumerate(irises.confidence.tolist()) if sure >= TRUSTED]
    if not trusted:
        return np.full(2, np.nan, np.float32)
    total = np.zeros(2)
    for which, sure in trusted:
        total += sure * np.nan_to_num(eye_frame(points, EYES[which]).to_shares(irises.centre[which]))
    return np.asarray(total / sum(sure for _, sure in trusted), np.float32)


@dataclass(frozen=True)
class _Look:
    """One eye's map: how well a dark disc at each place explains what is seen."""

    gain: Mono  #: (h, w) share of the variation explained, 0..1
    contrast: float  #: 0..1: whether there is enough variation to be that of an eye
    across: Mono  #: (w,) shares of the eye's width
    down: Mono  #: (h,)
    open: float  #: 0 closed .. 1


def _look(
    picture: npt.NDArray[Any], points: npt.NDArray[Any], eye: tuple[int, ...], frame: EyeFrame, radius: float
) -> _Look:
    height, width = 2 * _DOWN + 1, 2 * _ACROSS + 1
    step = radius / _R
    long, wide = (max(math.hypot(*axis.tolist()), 1e-3) for axis in (frame.along, frame.down))
    x_axis = frame.along / long * step
    y_axis = np.array([-x_axis[1], x_axis[0]])
    to_picture = np.column_stack([x_axis, y_axis, frame.middle - x_axis * _ACROSS - y_axis * _DOWN])
    across = _ACROSSES * np.float32(step / long)
    down = _DOWNS * np.float32(step / wide)
    contour = (points[list(eye), :2] - to_picture[:, 2]) @ (to_picture[:, :2] / step**2)  # its axes are that long
    opening = sorted((contour[6:1:-1, 1] - contour[10:15, 1]).tolist())  # lower lid less upper, but for the corners
    opened = _between((opening[2] / _R - _CLOSED) / (_OPEN - _CLOSED))
    seen = _cut(picture, to_picture, height, width, step)
    contour[9:, 1] += _LASHES * _R
    mask = np.zeros((height, width), np.uint8)
    cv2.fillPoly(mask, [np.rint(np.clip(contour, -200, 200) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    weight = mask.astype(np.float32) / np.float32(255)
    if opened <= 0 or weight.sum() < _R * _R / 2:
        return _Look(np.zeros_like(weight), 0.0, across, down, 0.0)
    values = np.sort(seen[weight > 0.5])
    dark, bright = (float(np.interp(tail / 100 * (len(values) - 1), _PLACES[: len(values)], values)) for tail in _TAILS)
    contrast = (bright - dark) / max(bright + dark, 0.05)
    sure = _between((contrast - _FLAT[0]) / (_FLAT[1] - _FLAT[0]))
    if sure <= 0:
        return _Look(np.zeros_like(weight), 0.0, across, down, opened)
    value = (np.clip(seen, dark, bright) - dark) / np.float32(bright - dark)
    return _Look(_gain(value, weight), sure, across, down, opened)


def _cut(picture: npt.NDArray[Any], to_picture: npt.NDArray[Any], height: int, width: int, step: float) -> Mono:
    """(h, w) the brightness that tells irises best; to_picture (2, 3) from map px to picture px (centres at +0.5)."""
    fine = max(1, int(np.ceil(step - 0.2)))  # a large eye is averaged, not skipped through
    matrix = to_picture.astype(np.float64).copy()
    matrix[:, 2] -= (matrix[:, :2] * ((fine - 1) / (2 * fine))).sum(1) + 0.5
    matrix[:, :2] /= fine
    cut = cv2.warpAffine(
        picture,
        matrix,
        (width * fine, height * fine),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if fine > 1:
        cut = cv2.resize(cut, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(
        cut.astype(np.float32) @ (_MIX / np.float32(255) if picture.dtype == np.uint8 else _MIX), np.float32
    )


@cache
def _kernels() -> tuple[Mono, Mono]:
    """A disc, and the sclera on both of its sides."""
    half = int(np.ceil(_R * _RING)) + 1
    y, x = np.mgrid[-half : half + 1, -half : half + 1].astype(np.float32)
    far = np.hypot(x, y)
    disc = np.clip((_R - far) / 2 + 0.5, 0, 1)
    ring = np.clip((_R * _RING - far) / 2 + 0.5, 0, 1) * np.clip((far - _R) / 2 + 0.5, 0, 1)
    ring *= np.maximum(np.abs(x), 0.7 * y.clip(0)) / np.maximum(far, 1e-3)  # above is the lid
    return np.asarray(disc, np.float32), np.asarray(ring, np.float32)


def _gain(value: Mono, weight: Mono) -> Mono:
    """(h, w): what share of ``value``'s variation in the opening a disc there, darker than its sides, explains."""
    disc, ring = _kernels()
    weighted = weight * value
    n1, n2 = (cv2.filter2D(weight, -1, k, borderType=cv2.BORDER_CONSTANT) for k in (disc, ring))
    s1, s2 = (cv2.filter2D(weighted, -1, k, borderType=cv2.BORDER_CONSTANT) for k in (disc, ring))
    total = float(weight.sum())
    mean = float(weighted.sum()) / total
    variation = float((weight * (value - mean) ** 2).sum())
    m1, m2 = s1 / np.maximum(n1, 1), s2 / np.maximum(n2, 1)
    # the sides count as if they were the whole rest of the opening: an iris in a corner has one side only
    rest = np.maximum(total - n1, 0)
    contrast = np.square(np.maximum(m2 - m1, 0))
    explained = n1 * rest / total * contrast / max(variation, 1e-6)
    explained[(n1 < 0.25 * n1.max()) | (n2 < 0.1 * n2.max())] = 0
    return np.asarray(np.minimum(explained, 1), np.float32)


def _joint(looks: list[_Look]) -> tuple[list[tuple[float, float, float]], float]:
    """Both eyes' (x, y, confidence), shares of the width, and how well they are explained together."""
    total: Mono = np.zeros_like(looks[0].gain)
    across, down = looks[0].across, looks[0].down
    for look in looks:
        total = total + _resampled(look, across, down)
    away = _away((across - _AT_REST[0]) / _SPREAD[0], (down - _AT_REST[1]) / _SPREAD[1])
    x0, y0, score = _peak(total - away, across, down)
    out = []
    for look in looks:
        away = _away((look.across - x0) / _APART, (look.down - y0) / _APART)
        px, py, _ = _peak(look.gain - away, look.across, look.down)
        i, j = int(np.abs(look.down - py).argmin()), int(np.abs(look.across - px).argmin())
        sure = _between((float(look.gain[i, j]) - _POOR) / (_GOOD - _POOR))
        out.append((px, py + _HIGH, sure * look.contrast * look.open))
    return out, score


def _between(share: float) -> float:
    return min(max(share, 0.0), 1.0)


def _away(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> Mono:
    """(h, w): what a place costs that is so many deviations, (w,) and (h,), from the one expected."""
    return np.asarray(np.float32(_TRUST_PRIOR) * (np.square(y)[:, None] + np.square(x)), np.float32)


def _resampled(look: _Look, across: Mono, down: Mono) -> Mono:
    """A look's gain at other shares of the width."""
    fx = (across - look.across[0]) / (look.across[1] - look.across[0])
    fy = (down - look.down[0]) / (look.down[1] - look.down[0])
    x, y = np.meshgrid(fx.astype(np.float32), fy.astype(np.float32))
    return np.asarray(cv2.remap(look.gain, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.float32)


def _peak(values: Mono, across: Mono, down: Mono) -> tuple[float, float, float]:
    """The highest place, between the cells, and its value."""
    i, j = np.unravel_index(int(values.argmax()), values.shape)
    best = float(values[i, j])
    at = []
    for k, line, axis in ((int(j), values[i], across), (int(i), values[:, j], down)):
        shift = 0.0
        if 0 < k < len(line) - 1:
            a, c = float(line[k - 1]), float(line[k + 1])
            bend = a - 2 * best + c
            shift = min(max(0.5 * (a - c) / bend, -0.5), 0.5) if bend < -1e-9 else 0.0
        at.append(float(axis[k]) + shift * float(axis[1] - axis[0]))
    return at[0], at[1], best
