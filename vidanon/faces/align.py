"""Where a face's patch lies in its frame: canvas sizes, windows and the transforms between patch and frame.

All transforms are (2, 3) float32 acting on column vectors, ``p' = A p + t``, with pixel centres at +0.5 on both sides.
"""

from __future__ import annotations

import math

import numpy as np

from vidanon.types import FloatArray

CANVASES = (64, 128, 256, 512)  #: patch sides, px
#: patch sides where a face is drawn anew: finer steps, so that it is neither blurred nor drawn larger than it is shown
FINE_CANVASES = (64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512)
CONTEXT = 0.15  #: picture kept around the soft edge on each side, share of the face's longer side
MAX_COORDINATE = 1e6  #: a box further out than this is a fault, not a face


def is_box(box: FloatArray) -> bool:
    """Whether (4,) ``box`` is finite, not empty and in a range that arithmetic survives."""
    values = [float(v) for v in box]
    if not all(math.isfinite(v) and abs(v) <= MAX_COORDINATE for v in values):
        return False
    return values[2] > values[0] and values[3] > values[1]


def longer_side(box: FloatArray) -> float:
    """The longer side of (4,) ``box``: what every strength is relative to."""
    return max(float(box[2] - box[0]), float(box[3] - box[1]))


def canvas_for(side: float, canvases: tuple[int, ...] = CANVASES) -> int:
    """The largest canvas that does not enlarge a window of ``side`` px; the smallest one for smaller windows."""
    return max((canvas for canvas in canvases if canvas <= side), default=canvases[0])


def window(
    box: FloatArray, scale: float, feather: float, detail: float = 1.0, canvases: tuple[int, ...] = CANVASES
) -> tuple[int, FloatArray]:
    """The square around a face that goes to its patch: ``(S, to_frame)``.

    The square holds the face box grown by ``scale``, its soft edge ``feather`` (share of the longer side) and some
    context, and may reach outside the picture. ``to_frame`` (2, 3) takes patch pixels of the (S, S) canvas to coded
    pixels; the box's centre is the canvas' centre. ``detail`` is the patch pixels wanted per coded pixel, at most.
    """
    longest = longer_side(box)
    # One frame pixel and three patch pixels on each side are what a mask rendered with its guard needs (masks.py).
    least = longest * (scale + 2 * feather + 2 * CONTEXT) + 2
    canvas = canvas_for(least * detail, canvases)
    side = least * canvas / (canvas - 6)
    step = side / canvas
    x = (float(box[0]) + float(box[2]) - side) / 2
    y = (float(box[1]) + float(box[3]) - side) / 2
    return canvas, np.array([[step, 0, x], [0, step, y]], np.float32)


def invert(transform: FloatArray) -> FloatArray:
    """The inverse of a (2, 3) affine; ZeroDivisionError where it has none."""
    (a, b, x), (c, d, y) = transform.tolist()
    scale = 1 / (a * d - b * c)
    a, b, c, d = d * scale, -b * scale, -c * scale, a * scale
    return np.array([[a, b, -(a * x + b * y)], [c, d, -(c * x + d * y)]], np.float32)


def apply(transform: FloatArray, points: FloatArray) -> FloatArray:
    """(..., 2) points through a (2, 3) affine."""
    moved = points @ transform[:, :2].T.astype(np.float64) + transform[:, 2]
    return np.asarray(moved, np.float32)


def move_box(transform: FloatArray, box: FloatArray) -> FloatArray:
    """The axis-aligned box (4,) around ``box`` taken through ``transform``."""
    x0, y0, x1, y1 = box.tolist()
    (a, b, x), (c, d, y) = transform.tolist()
    xs = [a * px + b * py + x for px in (x0, x1) for py in (y0, y1)]
    ys = [c * px + d * py + y for px in (x0, x1) for py in (y0, y1)]
    return np.array([min(xs), min(ys), max(xs), max(ys)], np.float32)


def similarity(source: FloatArray, target: FloatArray) -> FloatArray:
    """Least-squares rotation, scale and translation (2, 3) taking (N, 2) ``source`` to ``target`` (Umeyama 1991).

    No reflection. N >= 2; raises ValueError where all source points coincide.
    """
    a = source.astype(np.float64)
    b = target.astype(np.float64)
    centre_a, centre_b = a.mean(0), b.mean(0)
    a, b = a - centre_a, b - centre_b
    spread = float((a * a).sum())
    if not spread > 0:
        raise ValueError("a similarity needs source points that do not all coincide")
    real = float((a * b).sum()) / spread
    imaginary = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / spread
    linear = np.array([[real, -imaginary], [imaginary, real]])
    shift = centre_b - linear @ centre_a
    return np.concatenate([linear, shift[:, None]], axis=1).astype(np.float32)
