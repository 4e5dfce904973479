"""Put the eyelids of a portrait's mesh exactly onto the picture: a landmark network is off by a few pixels there.

What a mesh misses of a portrait's eyes stays beside the openings when it is warped: slivers of sclera under a lid, the
upper part of an iris. Each lid is moved to the path along it, near to where it is, with the clearest edge: for an upper
lid the lash line, dark under skin; for a lower one the rim at which the redness of skin begins.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vidanon.faces.mesh_points import LEFT_EYE, eye_distance
from vidanon.swap.eye_texture import LUMA, lids, skin_around
from vidanon.swap.iris import EYES, eye_frame
from vidanon.types import ByteArray, FloatArray

Array = npt.NDArray[Any]

_STEP = 0.01  # shares of the eye's width
_REACH = 12  # steps up and down that a lid may move
_MARGIN = 8  # more steps that edges look at
_STIFF = 0.5  # price of moving apart by a step between neighbours on the curve, in deviations of the edges
_STAY = (0.025, 0.012)  # price of a step of the upper and the lower lid away from the mesh, squared
_PULL = 0.13  # share of the eye distance: how far around a lid the mesh is carried along


def fit_lids(image: ByteArray, points: FloatArray) -> FloatArray:
    """image (H, W, 3) uint8 RGB, a clear portrait; points (468, 3) its mesh, px -> the mesh with its eyelids moved."""
    picture = image.astype(np.float32) / np.float32(255)
    unit = float(eye_distance(points))
    moved = points.astype(np.float64).copy()
    moves = np.zeros((len(points), 2))
    for side, eye in enumerate(EYES):
        frame = eye_frame(points, eye)
        shifts = _shifts(picture, lids(points, eye, frame), frame, skin_around(picture, points, side))
        upper, lower = shifts[0, ::4].copy(), shifts[1, ::4].copy()
        gap = lids(points, eye, frame)
        before = (gap.y[1] - gap.y[0])[8:-8].mean()
        if not 0.7 < (before + (shifts[1] - shifts[0])[8:-8].mean()) / max(before, 1e-3) < 1.9:
            continue  # that is another edge: a crease, the lower lashes
        for end in (0, -1):
            upper[end] = lower[end] = (upper[end] + lower[end]) / 2
        if eye is LEFT_EYE:
            upper, lower = upper[::-1], lower[::-1]
        share = np.zeros(16)
        share[:9] = lower
        share[9:] = upper[1:-1][::-1]
        moves[list(eye)] = share[:, None] * frame.down
    contours = [i for eye in EYES for i in eye]
    apart = np.linalg.norm(points[:, None, :2] - points[None, contours, :2], axis=-1) / unit
    near = np.exp(-0.5 * (apart / 0.04) ** 2) + 1e-12
    carried = near @ moves[contours] / near.sum(1, keepdims=True) * np.exp(-((apart.min(1) / _PULL) ** 2))[:, None]
    carried[contours] = moves[contours]
    moved[:, :2] += carried
    return np.asarray(moved, np.float32)


def _shifts(picture: FloatArray, curves: Any, frame: Any, skin: FloatArray) -> Array:
    """(2, 33) how far down each lid is to move, shares of the eye's width."""
    offsets = np.arange(-_REACH - _MARGIN, _REACH + _MARGIN + 1) * _STEP
    out = []
    for which in (0, 1):
        shares = np.stack(np.broadcast_arrays(curves.x[which][None], curves.y[which][None] + offsets[:, None]), -1)
        at = frame.to_picture(shares).astype(np.float32) - np.float32(0.5)
        seen = cv2.remap(picture, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        if which == 0:
            luma = seen @ LUMA
            edge = _mean(luma, -8, -4) - _mean(luma, -2, 2)
        else:
            # a brown iris is as red as skin, only dark; a sclera beside dark skin differs as much between red and blue
            ratios = [has / max(float(usual), 0.02) for has, usual in zip(_redness(seen), _redness(skin), strict=True)]
            red = np.minimum(*(np.clip(ratio, 0, 1) for ratio in ratios))
            edge = _mean(red, 1, 6) - _mean(red, -6, -1)
        edge = edge / max(float(edge.std()), 1e-6)
        smooth = cv2.GaussianBlur(edge.astype(np.float32), (0, 0), sigmaX=1.5, sigmaY=0.5)
        out.append(_path(smooth, _STAY[which]))
    return np.stack(out) * _STEP


def _redness(colours: Array) -> tuple[Array, Array]:
    """(..., 3) -> (...), (...): how much more red than blue there is, as it is and as a share of all."""
    red = colours[..., 0] - colours[..., 2]
    return red, red / np.maximum(colours.sum(-1), 0.06)


def _mean(values: Array, first: int, last: int) -> Array:
    """(2 _REACH + 1, 33): the mean from ``first`` to ``last`` steps below each offset."""
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, 0)])
    at = np.arange(_MARGIN, _MARGIN + 2 * _REACH + 1)
    return np.asarray((sums[at + last + 1] - sums[at + first]) / (last - first + 1))


def _path(edge: Array, stay: float) -> Array:
    """(2 _REACH + 1, n) -> (n,): the smooth path, in steps, that sums up most."""
    count, length = edge.shape
    place = np.arange(count) - _REACH
    # at the corners both lids meet and there is no edge to follow
    weight = np.clip(np.minimum(np.arange(length), np.arange(length)[::-1]) / (0.15 * length), 0, 1)
    gain = edge * weight - stay * np.square(place)[:, None]
    bend = _STIFF * np.square(place[:, None] - place[None])
    best = gain[:, 0]
    back = np.zeros((length, count), np.intp)
    for i in range(1, length):
        total = best[None] - bend
        back[i] = total.argmax(1)
        best = total.max(1) + gain[:, i]
    path = np.zeros(length, np.intp)
    path[-1] = int(best.argmax())
    for i in range(length - 1, 0, -1):
        path[i - 1] = back[i, path[i]]
    smooth = cv2.GaussianBlur(
        place[path].astype(np.float32)[None], (0, 0), sigmaX=2.0, sigmaY=0.1, borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(smooth[0])
