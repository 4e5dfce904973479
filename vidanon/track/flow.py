"""Carry a face box from one frame to its neighbour by sparse optical flow.

Median flow (Kalal, Mikolajczyk, Matas 2010): points on the face are followed forward and back again; those that do
not return are dropped, the median of the others moves the box and the median change of their distances scales it.
A patch comparison (normalised cross-correlation) tells whether the same thing is still under the box. All of it
happens on a small crop in which the face has always about the same size, so a step costs the same for any face.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vidanon.track.base import Box
from vidanon.types import ByteArray, Frame

MAX_SIDE = 1280  #: longer side of the luma pictures that are kept, px
_FACE = 40.0  #: px of the face's longer side in the crop
_ZOOM = 2.0  #: a face is never enlarged by more
_REACH = 1.1  #: half side of the crop, in longer sides of the face
_GRID = 7
_UNIT = np.stack(np.meshgrid(*2 * [np.linspace(-1, 1, _GRID)]), -1).reshape(-1, 2)
_UNIT = _UNIT[(_UNIT**2).sum(1) <= 1.3]
_WINDOW = (11, 11)
_LEVELS = 1  # the window at the coarsest level must stay on the face: half of it
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 12, 0.02)
_MAX_RETURN = 1.2  #: largest forward-backward error of a point, crop px
_MIN_POINTS = 8
_MIN_NCC = 0.5  #: of the patch between neighbouring frames
_MAX_SCALE = 1.2  #: largest believable change of size between neighbouring frames
_PATCH = 24
_SEARCH = 1.6  #: half side of the area searched for a face that jumped, in longer sides of the face
_MIN_TEMPLATE = 6  #: px


Points = npt.NDArray[np.float32]  #: (N, 2) x, y
Patch = npt.NDArray[np.float32]  #: (576,) grey values of the inner face: mean 0, norm 1; all 0 where it is flat


@dataclass(frozen=True)
class Luma:
    """A small grey picture of a frame, kept for a while after the frame is gone."""

    index: int
    image: ByteArray  #: (h, w)
    scale: float  #: its pixels per coded pixel
    width: int  #: coded px
    height: int
    _levels: list[ByteArray] = field(default_factory=list, compare=False, repr=False)

    def level(self, zoom: float) -> tuple[ByteArray, float]:
        """The picture halved until a further reduction by ``zoom`` does not alias; and its px per coded px."""
        wanted = 0
        while zoom < 0.6 and min(self.image.shape) >> (wanted + 1) >= 8:
            wanted, zoom = wanted + 1, zoom * 2
        while len(self._levels) < wanted:
            below = self._levels[-1] if self._levels else self.image
            self._levels.append(_halved(below))
        return (self._levels[wanted - 1] if wanted else self.image), self.scale / (1 << wanted)


def luma_of(frame: Frame) -> Luma:
    """Plane 0 of a frame as 8 bits, its longer side at most MAX_SIDE. Always a copy."""
    plane = frame.planes[0]
    height, width = plane.shape
    scale = min(1.0, MAX_SIDE / max(height, width))
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        plane = cv2.resize(plane, size, interpolation=cv2.INTER_AREA)
    if plane.dtype != np.uint8:
        plane = plane >> (frame.format.depth - 8)
    return Luma(frame.index, np.array(plane, np.uint8, order="C"), scale, width, height)


@dataclass(frozen=True)
class Step:
    """A box carried to the neighbouring frame."""

    box: Box
    ncc: float  #: -1..1, likeness of what is under the box before and after
    patch: Patch  #: what is under it now


def carry(
    before: Luma, after: Luma, box: Box, shift: npt.NDArray[np.float64], look: Patch | None = None
) -> Step | None:
    """Carry ``box`` (coded px) from ``before`` to ``after``; ``shift`` (2,) is where it is expected to have moved.

    ``look``: the patch under the box, where it is at hand. None: the flow does not hold (too few points come back,
    another thing is there, the face left the picture).
    """
    look = patch(before, box) if look is None else look
    shift = np.asarray(shift, np.float64)
    step = _carry(before, after, box, shift, look)
    if step is None:
        far = _search(before, after, box, shift)
        step = None if far is None else _carry(before, after, box, far, look)
    return step


def _search(before: Luma, after: Luma, box: Box, shift: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """Where the inner face went, by template matching: for motion too large for the flow. (2,) coded px or None."""
    side = float(max(box[2] - box[0], box[3] - box[1]))
    zoom = min(_PATCH / max(side * before.scale, 1e-6), 1.0)
    centre = (box[:2] + box[2:]) / 2
    template, k = _crop(before, centre, side, zoom, 0.4)
    area, _ = _crop(after, centre + shift, side, zoom, _SEARCH)
    if min(template.shape) < _MIN_TEMPLATE or float(template.std()) < 2.0:
        return None
    answer = cv2.matchTemplate(area, template, cv2.TM_CCOEFF_NORMED)
    _, best, _, at = cv2.minMaxLoc(answer)
    if best < _MIN_NCC:
        return None
    middle = (area.shape[0] - template.shape[0]) / 2
    return np.asarray(shift + (np.array(at) - middle) / k)


def _carry(before: Luma, after: Luma, box: Box, shift: npt.NDArray[np.float64], look: Patch) -> Step | None:
    side = float(max(box[2] - box[0], box[3] - box[1]))
    zoom = min(_FACE / max(side * before.scale, 1e-6), _ZOOM)
    centre = (box[:2] + box[2:]) / 2
    a, ka = _crop(before, centre, side, zoom)
    b, kb = _crop(after, centre + shift, side, zoom)
    points = _points(before, centre, box, ka, a.shape[0])
    if len(points) < _MIN_POINTS:
        return None
    there, found = _lucas_kanade(a, b, points)
    back, refound = _lucas_kanade(b, a, there)
    error = np.hypot(*(back - points).T)
    kept = found & refound & (error <= _MAX_RETURN)
    if np.count_nonzero(kept) < max(_MIN_POINTS, 0.3 * len(points)):
        return None
    kept &= error <= _median(error[kept])
    p, q = points[kept], there[kept]
    scale = _scale(p, q) * ka / kb
    if not 1 / _MAX_SCALE <= scale <= _MAX_SCALE:
        return None
    # Points may cover the face unevenly: the shift that counts is that of the face's centre.
    origin = a.shape[0] / 2 - 0.5
    moved = (q - origin) / kb - scale * (p - origin) / ka
    new_centre = centre + shift + [_median(moved[:, 0]), _median(moved[:, 1])]
    half = (box[2:] - box[:2]) / 2 * scale
    new = np.concatenate([new_centre - half, new_centre + half])
    there_look = patch(after, new)
    likeness = ncc(look, there_look)
    return Step(new, likeness, there_look) if likeness >= _MIN_NCC else None


def _lucas_kanade(a: ByteArray, b: ByteArray, points: Points) -> tuple[Points, npt.NDArray[np.bool_]]:
    """Points (N, 2) of ``a`` in ``b``, and which of them were found."""
    guess = points.copy()  # written over; the default start, and it spares the optional argument
    there, status, _ = cv2.calcOpticalFlowPyrLK(a, b, points, guess, winSize=_WINDOW, maxLevel=_LEVELS, criteria=_STOP)
    return np.asarray(there, np.float32), np.asarray(status)[:, 0] == 1


def patch(luma: Luma, box: Box) -> Patch:
    """What is under the inner 80 % of the box, free of gain and offset."""
    centre, size = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) * 0.8
    image, scale = luma.level(_PATCH / max(float(size.max()) * luma.scale, 1e-6))
    k = _PATCH / (size * scale)
    c = centre * scale - 0.5
    matrix = np.array([[k[0], 0, _PATCH / 2 - 0.5 - k[0] * c[0]], [0, k[1], _PATCH / 2 - 0.5 - k[1] * c[1]]])
    grey = cv2.warpAffine(image, matrix, (_PATCH, _PATCH), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    values = grey.reshape(-1).astype(np.float32)
    values -= values.mean()
    norm = float(np.sqrt(values @ values))
    flat = _PATCH * 1.0  # about one grey level of standard deviation
    return values / norm if norm >= flat else values * 0


def ncc(a: Patch, b: Patch) -> float:
    """Normalised cross-correlation, -1..1; two flat patches are alike, a flat and a textured one are not."""
    if not a.any() and not b.any():
        return 1.0
    return float(a @ b)


def _crop(
    luma: Luma, centre: npt.NDArray[np.float64], side: float, zoom: float, reach: float = _REACH
) -> tuple[npt.NDArray[Any], float]:
    """A square of ``reach`` sides about ``centre`` either way, and its px per coded px."""
    image, scale = luma.level(zoom)
    k = zoom * luma.scale / scale  # crop px per px of the level
    half = int(np.ceil(reach * side * zoom * luma.scale))
    c = centre * scale - 0.5
    matrix = np.array([[k, 0, half - 0.5 - k * c[0]], [0, k, half - 0.5 - k * c[1]]])
    crop = cv2.warpAffine(image, matrix, (2 * half, 2 * half), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return crop, zoom * luma.scale


def _points(luma: Luma, centre: npt.NDArray[np.float64], box: Box, k: float, size: int) -> Points:
    """A grid over the inner 80 % of the box, the corners left out, in crop px; only what lies in the picture."""
    offset = _UNIT * (box[2:] - box[:2]) * 0.4
    at = centre + offset
    inside = ((at > 1) & (at < np.array([luma.width - 1, luma.height - 1]))).all(1)
    return np.asarray(offset[inside] * k + size / 2 - 0.5, np.float32)


def _scale(p: Points, q: Points) -> float:
    i, j = _pairs(len(p))
    before, after = np.hypot(*(p[i] - p[j]).T), np.hypot(*(q[i] - q[j]).T)
    return _median(after / np.maximum(before, 1e-6))


@lru_cache(maxsize=64)
def _pairs(count: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    return np.triu_indices(count, 1)


def _median(values: npt.NDArray[np.floating[Any]]) -> float:
    """The upper median: a tenth of the time of np.median, which matters for arrays this small."""
    middle = len(values) // 2
    return float(np.partition(values, middle)[middle])


def _halved(image: ByteArray) -> ByteArray:
    height, width = image.shape
    return np.asarray(cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)


Get = Callable[[int], Luma | None]


def follow(
    get: Get, start: int, stop: int, box: Box, velocity: npt.NDArray[np.float64], *, min_anchor: float
) -> list[Step]:
    """Carry a box from frame ``start`` towards ``stop`` (before or after it), as far as the flow holds.

    ``velocity`` (2,) px per frame in the order of time; ``min_anchor``: least likeness to the patch at ``start``.
    Returns the steps for the frames next to ``start`` onwards: fewer than asked for where the check failed or
    ``get`` had no picture.
    """
    direction = 1 if stop > start else -1
    here = get(start)
    if here is None:
        return []
    anchor = look = patch(here, box)
    shift = np.asarray(velocity, np.float64) * direction
    out: list[Step] = []
    for index in range(start + direction, stop + direction, direction):
        there = get(index)
        if there is None or (there.width, there.height) != (here.width, here.height):
            break
        step = carry(here, there, box, shift, look)
        if step is None or ncc(anchor, step.patch) < min_anchor:
            break
        shift = 0.5 * shift + 0.5 * ((step.box[:2] + step.box[2:]) - (box[:2] + box[2:])) / 2
        out.append(step)
        here, box, look = there, step.box, step.patch
    return out
