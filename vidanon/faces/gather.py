"""Cut the planned faces of some frames into batches of square RGB patches.

Planes are resampled first and converted after: both are linear, and the canvas is the smaller picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from vidanon.config import ProtectSettings
from vidanon.faces.align import CANVASES, FINE_CANVASES, apply, invert, is_box, move_box, window
from vidanon.media.colour import conversion, is_hdr, resolve_matrix, tone_map
from vidanon.types import FaceBatch, FloatArray, Frame, PlanRow

#: Patches of one batch, at most (one patch at least), by device type: a batch that stays in a CPU's cache is faster.
BATCH_BYTES = {"cpu": 3 * 2**20, "cuda": 128 * 2**20}

#: patch pixels per coded pixel at most, by mode: what is smooth afterwards needs fewer
DETAIL = {"blur": 0.5}


def gather(
    frames: Sequence[Frame], rows: Sequence[PlanRow], protect: ProtectSettings, device: str | torch.device
) -> Iterator[FaceBatch]:
    """Batches that together hold every one of ``rows``, in the order of ``rows`` within a canvas size.

    A window may reach outside the picture: edge pixels are repeated there. HDR patches come tone-mapped
    (``media.colour``). Mode ``mask`` paints over everything unseen: its patches are black, nothing is read. A row
    whose box is no box gets NaN as ``to_frame``: blend covers its frame whole. A batch is made when it is asked for,
    and holds BATCH_BYTES at most. Raises ValueError for a row whose frame is not in ``frames``.
    """
    limit = BATCH_BYTES.get(torch.device(device).type, BATCH_BYTES["cpu"])
    by_index = {frame.index: frame for frame in frames}
    held: dict[int, list[tuple[PlanRow, FloatArray]]] = {}
    for row in rows:
        if row.frame not in by_index:
            raise ValueError(f"a planned row is of frame {row.frame}, which is not among the frames given")
        if is_box(row.box):
            detail, canvases = DETAIL.get(protect.mode, 1.0), FINE_CANVASES if protect.mode == "swap" else CANVASES
            canvas, to_frame = window(row.box, protect.mask_scale, protect.feather, detail, canvases)
        else:
            canvas, to_frame = CANVASES[0], np.full((2, 3), np.nan, np.float32)
        bucket = held.setdefault(canvas, [])
        bucket.append((row, to_frame))
        if (len(bucket) + 1) * 3 * 4 * canvas * canvas > limit:
            yield _batch(held.pop(canvas), canvas, by_index, protect, device)
    for canvas, bucket in held.items():
        yield _batch(bucket, canvas, by_index, protect, device)


def _batch(
    cuts: Sequence[tuple[PlanRow, FloatArray]],
    canvas: int,
    frames: dict[int, Frame],
    protect: ProtectSettings,
    device: str | torch.device,
) -> FaceBatch:
    """One batch; ``cuts`` are rows with their ``to_frame``."""
    n = len(cuts)
    boxes = np.empty((n, 4), np.float32)
    landmarks = np.full((n, 5, 2), np.nan, np.float32)
    if protect.mode == "mask":
        patches = torch.zeros((1, 1, 1, 1), device=device).expand(n, 3, canvas, canvas)
    else:
        pixels = np.zeros((n, 3, canvas, canvas), np.float32)
        patches = torch.from_numpy(pixels)
    for i, (row, to_frame) in enumerate(cuts):
        if not np.isfinite(to_frame).all():
            boxes[i] = (canvas / 4, canvas / 4, canvas * 3 / 4, canvas * 3 / 4)  # a stand-in: nothing of it is used
            continue
        to_patch = invert(to_frame)
        boxes[i] = move_box(to_patch, row.box)
        if row.landmarks is not None:
            landmarks[i] = apply(to_patch, row.landmarks)
        if protect.mode != "mask":
            sample_rgb(frames[row.frame], to_frame, pixels[i])
    return FaceBatch(
        patches=patches.to(device),
        to_frame=np.stack([to_frame for _, to_frame in cuts]),
        boxes=boxes,
        landmarks=landmarks,
        tracks=tuple(row.track for row, _ in cuts),
        frames=tuple(row.frame for row, _ in cuts),
        poses=tuple(row.pose for row, _ in cuts),
    )


def sample_rgb(frame: Frame, to_frame: FloatArray, out: FloatArray) -> None:
    """Fill ``out`` (3, S, S) with R'G'B' in [0, 1] of ``frame`` under ``to_frame`` (2, 3), patch to coded pixels."""
    fmt = frame.format
    size = out.shape[-1]
    codes = np.empty((fmt.planes, size, size), np.float32)
    for index, plane in enumerate(frame.planes):
        down = (1, 1) if index == 0 or fmt.rgb else (1 << fmt.chroma_shift_x, 1 << fmt.chroma_shift_y)
        codes[index] = _sample(plane, to_frame.astype(np.float64) / np.array(down)[:, None], size)
    convert = conversion(fmt, resolve_matrix(frame.colour, frame.width, frame.height), frame.colour.full_range)
    rgb = out.reshape(3, -1)
    if fmt.planes == 1:
        rgb[...] = codes.reshape(1, -1) * np.float32(convert.luma[0]) + np.float32(convert.luma[1])
    else:
        matrix = convert.to_rgb.astype(np.float32)
        np.matmul(matrix[:, :3], codes.reshape(3, -1), out=rgb)
        rgb += matrix[:, 3:]
    if is_hdr(frame.colour):
        rgb[...] = tone_map(rgb, frame.colour.transfer)
    np.clip(rgb, 0, 1, out=rgb)


def _sample(plane: npt.NDArray[Any], transform: npt.NDArray[np.float64], size: int) -> npt.NDArray[Any]:
    """(size, size) samples of ``plane`` in its own type; ``transform`` (2, 3): patch pixel -> pixel of this plane."""
    height, width = plane.shape
    (a, b, shift_x), (c, d, shift_y) = transform.tolist()
    # Only what lies in the picture is touched, however far the window reaches beyond it; never less than a pixel.
    x0, x1 = _extent(size * a, size * b, shift_x, width)
    y0, y1 = _extent(size * c, size * d, shift_y, height)
    crop = plane[y0:y1, x0:x1]
    matrix = transform - np.array([[0, 0, x0], [0, 0, y0]])
    step = math.sqrt(abs(a * d - b * c))
    if step >= 2:  # average first: linear interpolation alone would skip samples
        less = (max(1, (x1 - x0) // int(step)), max(1, (y1 - y0) // int(step)))
        crop = cv2.resize(crop, less, interpolation=cv2.INTER_AREA)
        matrix *= np.array([[less[0] / (x1 - x0)], [less[1] / (y1 - y0)]])
    matrix[:, 2] += matrix[:, :2].sum(1) / 2 - 0.5  # pixel centres at +0.5 here, at 0 in OpenCV
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(crop, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _extent(across: float, down: float, shift: float, length: int) -> tuple[int, int]:
    """First and last-but-one sample, on one axis of ``length``, that a canvas of these two edge vectors may read."""
    low = shift + min(0.0, across) + min(0.0, down)
    high = shift + max(0.0, across) + max(0.0, down)
    first = min(max(math.floor(low) - 1, 0), length - 1)
    return first, min(max(math.ceil(high) + 1, first + 1), length)
