"""What tracking takes and gives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from vidanon.types import ByteArray, Detection, FloatArray

Box = npt.NDArray[np.float64]  #: (4,) x0 y0 x1 y1, coded px, may reach outside the picture
Boxes = npt.NDArray[np.float64]  #: (N, 4)


class Refiner(Protocol):
    """Looks again at given places: much cheaper than a search of the whole picture."""

    def refine(self, images: Sequence[ByteArray], boxes: Sequence[FloatArray]) -> list[list[Detection | None]]:
        """``images`` each (h, w, 3) uint8 RGB; ``boxes`` per image (n, 4) px where a face is expected.

        Answers per image and box in that image's pixels; None: no face there.
        """
        ...


_TILT = 0.15  #: growth of the box of a face tilted by 45 degrees
Again = Callable[[Boxes], Sequence[Detection | None]]  #: looks again at (N, 4) coded px in one frame; coded px back


def to_state(boxes: Boxes) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(N, 4) boxes to (N, 3) cx, cy, log size, and (N,) log aspect; size is sqrt(w h), aspect w / h."""
    size = np.maximum(boxes[..., 2:] - boxes[..., :2], 1e-3)
    centre = (boxes[..., 2:] + boxes[..., :2]) / 2
    logs = np.log(size)
    state = np.concatenate([centre, logs.mean(-1, keepdims=True)], -1)
    return state, logs[..., 0] - logs[..., 1]


def to_boxes(state: npt.NDArray[np.float64], log_aspect: npt.NDArray[np.float64]) -> Boxes:
    """The inverse of :func:`to_state`."""
    half_w = np.exp(state[..., 2] + log_aspect / 2) / 2
    half_h = np.exp(state[..., 2] - log_aspect / 2) / 2
    cx, cy = state[..., 0], state[..., 1]
    return np.stack([cx - half_w, cy - half_h, cx + half_w, cy + half_h], -1)


def stack(boxes: Sequence[Box]) -> Boxes:
    """(N, 4), also of none."""
    return np.stack(boxes) if len(boxes) else np.zeros((0, 4))


def iou(a: Boxes, b: Boxes) -> npt.NDArray[np.float64]:
    """(N, 4), (M, 4) -> (N, M) intersection over union."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inter = np.prod(np.clip(high - low, 0, None), -1)
    areas = np.prod(a[:, 2:] - a[:, :2], -1)[:, None] + np.prod(b[:, 2:] - b[:, :2], -1)[None]
    return np.asarray(inter / np.maximum(areas - inter, 1e-9))


def union(*boxes: Box) -> Box:
    """The smallest box that holds all of them."""
    stacked = np.stack(boxes)
    return np.concatenate([stacked[:, :2].min(0), stacked[:, 2:].max(0)])


def grown(box: Box, share: float) -> Box:
    """The box about its centre, larger by ``share`` of its sides."""
    margin = (box[2:] - box[:2]) * share / 2
    return np.concatenate([box[:2] - margin, box[2:] + margin])


def tilt_margin(landmarks: FloatArray | None) -> float:
    """Share by which a box is to grow for a tilted face: its chin and brow lie off the axes of an upright ellipse.

    ``landmarks`` (5, 2): the tilt is that of the line from between the eyes to between the corners of the mouth; 0 for
    upright faces and for those of pictures stored on their side.
    """
    if landmarks is None or not np.isfinite(landmarks).all():
        return 0.0
    x, y = (landmarks[3] + landmarks[4] - landmarks[0] - landmarks[1]).astype(np.float64) / 2
    length = float(x * x + y * y)
    return _TILT * abs(2 * x * y) / length if length > 0 else 0.0  # |sin 2a|


def map_boxes(boxes: Boxes, transform: FloatArray) -> Boxes:
    """Boxes through a (2, 3) affine map that keeps axes axis-parallel (scale, quarter turns, flips)."""
    matrix = np.asarray(transform, np.float64)
    a = boxes[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    b = boxes[..., 2:] @ matrix[:, :2].T + matrix[:, 2]
    return np.concatenate([np.minimum(a, b), np.maximum(a, b)], -1)
