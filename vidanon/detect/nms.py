"""Overlaps between boxes and greedy non-maximum suppression, in numpy.

Boxes are (n, 4) float, x0 y0 x1 y1 in px, covering ``[x0, x1) x [y0, y1)``; an empty or inverted box
has no area and overlaps nothing.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from vidanon.types import FloatArray

Overlap = Literal["union", "min"]  #: intersection over the union, or over the smaller box


def areas(boxes: FloatArray) -> FloatArray:
    """(n,) px^2, 0 for an empty box."""
    sides = np.maximum(boxes[:, 2:4] - boxes[:, 0:2], 0)
    return np.asarray(sides[:, 0] * sides[:, 1])


def overlaps(a: FloatArray, b: FloatArray, over: Overlap = "union") -> FloatArray:
    """(n, m) in 0..1 for boxes a (n, 4) and b (m, 4)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    sides = np.maximum(high - low, 0)
    inter = sides[..., 0] * sides[..., 1]
    area_a, area_b = areas(a)[:, None], areas(b)[None, :]
    base = area_a + area_b - inter if over == "union" else np.minimum(area_a, area_b)
    return np.asarray(inter / np.maximum(base, np.finfo(np.float32).tiny), dtype=np.float32)


def nms(boxes: FloatArray, scores: FloatArray, threshold: float, over: Overlap = "union") -> npt.NDArray[np.intp]:
    """Indices of the boxes that stay, best score first: each one drops every lower one that overlaps it by more.

    Equal scores go by position, so the answer depends on the input alone.
    """
    order = np.argsort(-scores, kind="stable")
    keep: list[int] = []
    while order.size:
        best = order[0]
        keep.append(int(best))
        rest = order[1:]
        order = rest[overlaps(boxes[best : best + 1], boxes[rest], over)[0] <= threshold]
    return np.asarray(keep, dtype=np.intp)


def nms_by_group(
    boxes: FloatArray, scores: FloatArray, groups: npt.NDArray[np.intp], threshold: float, over: Overlap = "union"
) -> npt.NDArray[np.intp]:
    """:func:`nms` inside each group (picture) alone; answers group by group, ascending, best score first in each."""
    kept = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    kept = [idx[nms(boxes[idx], scores[idx], threshold, over)] for idx in kept]
    return np.concatenate(kept) if kept else np.zeros(0, np.intp)
