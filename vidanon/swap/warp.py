"""Bring a donor's portrait onto a mesh: a piecewise-affine map from patch pixels to pixels of the portrait."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vidanon.types import ByteArray, FloatArray

_STRETCHED = 0.3  #: share of the usual size below which a triangle of the portrait is no picture of a face
_TINY = 1e-3  #: px^2: a triangle seen edge-on paints nothing
_NOWHERE = -1e6  #: a place that no portrait reaches

Triangles = npt.NDArray[np.int16]


@dataclass(frozen=True)
class PortraitMap:
    """Where in the portrait each pixel of a patch comes from."""

    where: FloatArray  #: (S, S, 2) x, y with pixel centres at whole numbers, as ``cv2.remap`` takes them
    #: (S, S) in [0, 1]: how far the portrait shows what is asked for; 0 where the mesh does not reach, and where a side
    #: of the face that the portrait hardly shows is stretched
    shown: FloatArray


def portrait_map(points: FloatArray, portrait: FloatArray, triangles: Triangles, size: int) -> PortraitMap:
    """(468, 3) target mesh and (468, >=2) mesh of the portrait, px, centres at +0.5 -> the map of a (size, size) patch.

    Nearer triangles hide farther ones.
    """
    flat = points[:, :2].astype(np.float64)
    # far to near: z points away from the camera. Both sides of an even mesh are equally far, and a sort that is not
    # stable takes such in another order on another processor
    order = np.argsort(-points[triangles, 2].mean(1), kind="stable")
    corners = flat[triangles[order]]
    along, down = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = along[:, 0] * down[:, 1] - along[:, 1] * down[:, 0]
    wide = np.abs(area) > _TINY
    order, corners, along, down, area = order[wide], corners[wide], along[wide], down[wide], area[wide]
    if not len(order):
        return PortraitMap(np.full((size, size, 2), _NOWHERE, np.float32), np.zeros((size, size), np.float32))
    source = portrait[triangles[order], :2].astype(np.float64)
    to_along, to_down = source[:, 1] - source[:, 0], source[:, 2] - source[:, 0]
    # the (2, 2) that takes (along, down) to (to_along, to_down)
    inverse = np.stack([down[:, 1], -down[:, 0], -along[:, 1], along[:, 0]], 1) / area[:, None]
    linear = (
        to_along[:, :, None] * inverse[:, None, :2] + to_down[:, :, None] * inverse[:, None, 2:]
    )  # (T, 2, 2): row by coordinate of the portrait
    shift = source[:, 0] - np.einsum("tij,tj->ti", linear, corners[:, 0])
    affine = np.concatenate([linear.reshape(-1, 4), shift], 1).astype(np.float32)
    # the smaller singular value of each map: portrait pixels per patch pixel where it is stretched most
    square = (linear**2).sum((1, 2))
    determinant = linear[:, 0, 0] * linear[:, 1, 1] - linear[:, 0, 1] * linear[:, 1, 0]
    least = np.sqrt(np.maximum((square - np.sqrt(np.maximum(square**2 - 4 * determinant**2, 0))) / 2, 0))
    usual = np.median(least)
    shown = np.where(determinant > 0, ((least / max(usual, 1e-9) - _STRETCHED) / _STRETCHED).clip(0, 1), 0)
    which = _rasterised(corners - 0.5, size)
    # the last one is what -1 takes: no triangle
    nowhere: FloatArray = np.array([[0, 0, 0, 0, _NOWHERE, _NOWHERE]], np.float32)
    planes = np.ascontiguousarray(np.concatenate([affine, nowhere]).T)
    clear = np.take(np.append(shown, 0).astype(np.float32), which, mode="wrap")
    where = np.empty((size, size, 2), np.float32)
    line = np.arange(size, dtype=np.float32) + np.float32(0.5)
    for axis, (across, along_it, start) in enumerate(((0, 1, 4), (2, 3, 5))):  # whole planes: faster than their parts
        found = np.take(planes[across], which, mode="wrap")
        found *= line[None]
        part = np.take(planes[along_it], which, mode="wrap")
        part *= line[:, None]
        found += part
        found += np.take(planes[start], which, mode="wrap")
        found -= np.float32(0.5)
        where[..., axis] = found
    return PortraitMap(where, clear)


def _rasterised(corners: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.int32]:
    """(T, 3, 2) triangles, px with centres at whole numbers -> (size, size) the last that touches each pixel, -1 none.

    All rows of all triangles at once: a call for each triangle costs more than what it paints.
    """
    downward = np.argsort(corners[..., 1], axis=1, kind="stable")
    by_row = np.take_along_axis(corners, downward[..., None], 1).astype(np.float32)
    x, y = by_row[..., 0], by_row[..., 1]
    top = np.clip(np.rint(y[:, 0]), 0, size).astype(np.intp)
    bottom = np.clip(np.rint(y[:, 2]), -1, size - 1).astype(np.intp)
    which, down = _ragged(np.maximum(bottom - top + 1, 0))
    row = top[which] + down
    first, second = [0, 0, 1], [2, 1, 2]  # the side from top to bottom, the upper and the lower one beside it
    slope = (x[:, second] - x[:, first]) / np.maximum(y[:, second] - y[:, first], np.float32(_TINY))
    at = np.clip(row, y[which, 0], y[which, 2])
    along = x[which, 0] + (at - y[which, 0]) * slope[which, 0]
    upper = x[which, 0] + (at - y[which, 0]) * slope[which, 1]
    lower = x[which, 1] + (at - y[which, 1]) * slope[which, 2]
    beside = np.where(at < y[which, 1], upper, lower)
    left = np.clip(np.rint(np.minimum(along, beside)), 0, size).astype(np.intp)
    right = np.clip(np.rint(np.maximum(along, beside)), -1, size - 1).astype(np.intp)
    span, across = _ragged(np.maximum(right - left + 1, 0))
    out = np.full(size * size, -1, np.int32)
    out[(row * size + left)[span] + across] = which[span]  # of several the last stays
    return out.reshape(size, size)


def _ragged(lengths: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """0, 0, 0, 1, ... and 0, 1, 2, 0, ... for lengths 3, ...: which of them, and how far into it."""
    which = np.repeat(np.arange(len(lengths)), lengths)
    before = np.cumsum(lengths) - lengths
    return which, np.arange(len(which)) - before[which]


def retouch_at(retouch: FloatArray, where: FloatArray, portrait: int) -> FloatArray:
    """(N, N) over a portrait of ``portrait`` px -> (S, S) at the places ``where`` of a :class:`PortraitMap`; 0 where it
    does not reach."""
    half = np.float32(0.5)
    at = (where + half) * np.float32(len(retouch) / portrait) - half
    found = cv2.remap(retouch, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(found, np.float32)


class Portrait:
    """A portrait at several sizes, so that bringing it to a small face does not skip pixels."""

    def __init__(self, image: ByteArray, skin: FloatArray) -> None:
        """image: (H, W, 3) uint8 RGB; skin: (H, W) in [0, 1], 0 where something lies over the face (hair, an ear)."""
        levels = [np.dstack([image.astype(np.float32) / np.float32(255), skin.astype(np.float32)])]
        while min(levels[-1].shape[:2]) >= 48:
            height, width = levels[-1].shape[:2]
            levels.append(cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA))
        self._levels = levels

    def sample(self, where: FloatArray, step: float) -> tuple[FloatArray, FloatArray]:
        """(S, S, 2) as :class:`PortraitMap` has it -> (S, S, 3) RGB and (S, S) skin, in [0, 1]; 0 where it does not
        reach.

        step: pixels of the portrait per pixel of the patch; between two sizes the picture is mixed.
        """
        level = float(np.clip(np.log2(max(step, 1.0)), 0, len(self._levels) - 1))
        low = int(level)
        out = self._at(where, low)
        share = level - low
        if share > 0.05 and low + 1 < len(self._levels):
            out = out * np.float32(1 - share) + self._at(where, low + 1) * np.float32(share)
        return np.ascontiguousarray(out[..., :3]), out[..., 3]

    def _at(self, where: FloatArray, level: int) -> FloatArray:
        image = self._levels[level]
        full = self._levels[0].shape
        half = np.float32(0.5)
        x = (where[..., 0] + half) * np.float32(image.shape[1] / full[1]) - half
        y = (where[..., 1] + half) * np.float32(image.shape[0] / full[0]) - half
        return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT), np.float32)
