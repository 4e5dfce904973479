"""Solid covers, which need no look at the picture: a face that could not be protected, or a whole frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vidanon.faces.align import is_box
from vidanon.media.colour import conversion, resolve_matrix, tone_unmap
from vidanon.types import PROTECTION_KEY, FloatArray, Frame, PlanRow, ProtectedFrame

WHOLE = (64, 64, 64)  #: RGB 0-255 of a frame covered whole: a dark neutral grey, told from a black fade


def codes_of(rgb: npt.NDArray[Any], frame: Frame) -> FloatArray:
    """(3, ...) display R'G'B' in [0, 1] as sample codes (P, ...) of the planes of ``frame``, not yet rounded."""
    flat = np.ascontiguousarray(rgb, np.float32).reshape(3, -1)
    convert = conversion(frame.format, resolve_matrix(frame.colour, frame.width, frame.height), frame.colour.full_range)
    matrix = convert.to_codes[: frame.format.planes].astype(np.float32)
    codes = matrix[:, :3] @ tone_unmap(flat, frame.colour.transfer) + matrix[:, 3:]
    np.clip(codes, 0, (1 << frame.format.depth) - 1, out=codes)
    return codes.reshape(frame.format.planes, *rgb.shape[1:])


def colour_codes(colour: tuple[int, int, int], frame: Frame) -> list[int]:
    """One code per plane for a flat RGB 0-255 colour."""
    return [int(code) for code in np.rint(codes_of(np.array(colour, np.float32) / 255, frame))]


def fill(planes: Sequence[npt.NDArray[Any]], frame: Frame, box: FloatArray, colour: tuple[int, int, int]) -> None:
    """Paint every sample of ``planes`` (writable, laid out as ``frame``) that (4,) ``box`` touches."""
    low_x, low_y = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
    high_x, high_y = min(frame.width, math.ceil(box[2])), min(frame.height, math.ceil(box[3]))
    if low_x >= high_x or low_y >= high_y:
        return
    fmt = frame.format
    for index, (plane, code) in enumerate(zip(planes, colour_codes(colour, frame), strict=True)):
        sx, sy = (0, 0) if index == 0 or fmt.rgb else (fmt.chroma_shift_x, fmt.chroma_shift_y)
        plane[low_y >> sy : -(-high_y >> sy), low_x >> sx : -(-high_x >> sx)] = code


def grown(box: FloatArray, scale: float) -> FloatArray:
    """(4,) ``box`` scaled about its centre."""
    x0, y0, x1, y1 = (float(v) for v in box)
    half_x, half_y = (x1 - x0) / 2 * scale, (y1 - y0) / 2 * scale
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return np.array([x - half_x, y - half_y, x + half_x, y + half_y], np.float32)


def cover_faces(
    frame: Frame, rows: Sequence[PlanRow], scale: float, colour: tuple[int, int, int] = (0, 0, 0)
) -> ProtectedFrame:
    """Solid rectangles over the boxes of ``rows`` grown by ``scale``; the whole frame where one is no box."""
    if not all(is_box(row.box) for row in rows):
        return cover_whole(frame)
    planes = tuple(np.array(plane) for plane in frame.planes) if rows else frame.planes
    for row in rows:
        fill(planes, frame, grown(row.box, scale), colour)
    return ProtectedFrame(replace(frame, planes=planes), PROTECTION_KEY)


def cover_whole(frame: Frame) -> ProtectedFrame:
    """The whole picture one flat neutral grey, in the frame's own layout, depth and range."""
    codes = colour_codes(WHOLE, frame)
    planes = tuple(np.full(plane.shape, code, plane.dtype) for plane, code in zip(frame.planes, codes, strict=True))
    return ProtectedFrame(replace(frame, planes=planes), PROTECTION_KEY)
