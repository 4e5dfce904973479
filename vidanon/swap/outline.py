"""Another outline: a face becomes a little larger, and hair, ears and what else is around it move outward.

Recognisers know a person by the outline as well, which a swap within it leaves. Along each ray from the middle of the
face what lies at its oval moves outward by a share of its distance; further in and further out less, and beyond _REACH
nothing. Pictures are (S, S, 3) float32, meshes (468, 3) px of them, x and y with pixel centres at +0.5.
"""

from __future__ import annotations

import cv2
import numpy as np

from vidanon.faces.mesh_points import OVAL
from vidanon.swap.merge import ramp
from vidanon.types import FloatArray

WIDER = 0.11  #: of the oval's radius, that it is moved outward. More of it hides more, and shows.
_INNER = 0.65  #: of the oval's radius: eyes, nose and mouth lie further in, mostly, and stay
_REACH = 1.8  #: of the oval's radius
_BESIDE = 0.08  #: of it: how much further the coarse grid may carry
_RAYS = 72
_SMOOTH = 6  #: waves around the oval: how finely its radius is known
_COARSE = 96  #: px, side of the grid on which the way of pixels is reckoned: it is smooth
_KNOWN = 256  #: places along a ray whose way is known; it is read between them
_SHOWS = 1.0  #: px: a way so short is not seen, and the picture is left as it is
_TINY = 1e-3


class Outline:
    """One face's, moved outward."""

    def __init__(self, mesh: FloatArray, by: float) -> None:
        """by: share of the oval's radius, 0..WIDER."""
        self._by = np.float32(by)
        oval = mesh[list(OVAL), :2]
        self._middle = oval.mean(0)
        self._radii = _radii(oval - self._middle)

    def mesh(self, mesh: FloatArray) -> FloatArray:
        """The face's mesh with its outline."""
        away = mesh[:, :2] - self._middle
        at = np.hypot(away[:, 0], away[:, 1]) / self._radius(away[:, 0], away[:, 1])
        further = 1 + self._by * _share(at) / np.maximum(at, _TINY)
        return np.asarray(np.concatenate([self._middle + away * further[:, None], mesh[:, 2:]], 1), np.float32)

    def picture(self, patch: FloatArray, others: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
        """What is around the face moved with it, and (S, S) in [0, 1] where that is to replace the picture.

        others: (S, S) above 0 where somebody else is: that is not moved, and nothing is moved to it.
        """
        size = patch.shape[0]
        side = min(size, _COARSE)
        line = (np.arange(side, dtype=np.float32) + np.float32(0.5)) * np.float32(size / side)
        x, y = np.meshgrid(line - self._middle[0], line - self._middle[1])
        there = np.hypot(x, y) / self._radius(x, y)
        way = np.linspace(0, _REACH, _KNOWN, dtype=np.float32)
        # where it comes from: the way there, inverted
        at = np.where(there < _REACH, np.interp(there, way + self._by * _share(way), way), there).astype(np.float32)
        shorter = at / np.maximum(there, _TINY) - 1
        shown = np.clip(-shorter * np.hypot(x, y) / np.float32(_SHOWS), 0, 1)
        right, down, shown = (
            np.asarray(cv2.resize(each, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)
            for each in (shorter * x, shorter * y, shown)
        )
        kind = cv2.INTER_LINEAR | cv2.WARP_RELATIVE_MAP
        moved = cv2.remap(patch, right, down, kind, borderMode=cv2.BORDER_REPLICATE)
        if others is not None and others.any():
            from_them = cv2.remap(others, right, down, kind)
            theirs = (others > 0) | (from_them > 0)
            moved[theirs], shown[theirs] = patch[theirs], 0
        return np.asarray(moved, np.float32), np.asarray(shown, np.float32)

    def reach(self) -> FloatArray:
        """(4,) x0, y0, x1, y1: outside of it nothing is moved."""
        rays = _rays()
        way = (_REACH + _BESIDE) * self._radii[:, None] * np.stack([np.cos(rays), np.sin(rays)], 1)
        return np.asarray(np.concatenate([self._middle + way.min(0), self._middle + way.max(0)]), np.float32)

    def _radius(self, x: FloatArray, y: FloatArray) -> FloatArray:
        at = (np.arctan2(y, x) / np.float32(2 * np.pi) + np.float32(0.5)) * np.float32(_RAYS)
        before = np.floor(at)
        share, ray = at - before, before.astype(np.intp)
        return np.asarray(self._radii[ray % _RAYS] * (1 - share) + self._radii[(ray + 1) % _RAYS] * share, np.float32)


def eased(free: FloatArray, before: float, steps: int) -> FloatArray:
    """(T,) 1 where there is room for the outline, else 0 -> (T,) in [0, 1]: no more, and with no more change than
    1 / steps from frame to frame where it can be foreseen. before: in the frame before."""
    out = np.array(free, np.float32)
    last = before
    for i in range(len(out)):
        out[i] = last = min(out[i], last + 1 / steps)
    last = 1.0
    for i in range(len(out) - 1, -1, -1):
        out[i] = last = min(out[i], last + 1 / steps)
    return out


def _radii(oval: FloatArray) -> FloatArray:
    """(P, 2) around the middle -> (_RAYS,) its radius along each, smooth."""
    following = np.roll(oval, -1, 0)
    sides = np.concatenate([oval + np.float32(t) * (following - oval) for t in (0, 0.25, 0.5, 0.75)])
    found = np.interp(_rays(), np.arctan2(sides[:, 1], sides[:, 0]), np.hypot(*sides.T), period=2 * np.pi)
    waves = np.fft.rfft(found)
    waves[_SMOOTH + 1 :] = 0
    return np.asarray(np.maximum(np.fft.irfft(waves, _RAYS), 1.0), np.float32)


def _rays() -> FloatArray:
    return np.linspace(-np.pi, np.pi, _RAYS, endpoint=False, dtype=np.float32)


def _share(at: FloatArray) -> FloatArray:
    """Distance from the middle, in radii -> share of the whole way."""
    return np.where(at < 1, ramp((at - _INNER) / (1 - _INNER)), ramp((_REACH - at) / (_REACH - 1)))
