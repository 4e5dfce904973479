"""Frames, rows and geometry for the tests of face patches."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from vidanon.types import Colour, Frame, PixelFormat, PlanRow, RowState

FORMATS = [
    PixelFormat(f"{name}{'' if depth == 8 else f'{depth}le'}", depth, sx, sy, planes, rgb)
    for depth in (8, 10, 12)
    for name, sx, sy, planes, rgb in (
        ("yuv420p", 1, 1, 3, False),
        ("yuv422p", 1, 0, 3, False),
        ("yuv444p", 0, 0, 3, False),
        ("gray", 0, 0, 1, False),
        ("gbrp", 0, 0, 3, True),
    )
]
YUV420 = FORMATS[0]


def shapes(fmt: PixelFormat, width: int, height: int) -> list[tuple[int, int]]:
    """(rows, columns) of each plane."""
    sx, sy = (0, 0) if fmt.rgb else (fmt.chroma_shift_x, fmt.chroma_shift_y)
    return [(height, width)] + [(-(-height >> sy), -(-width >> sx))] * (fmt.planes - 1)


def noise(
    fmt: PixelFormat = YUV420,
    size: tuple[int, int] = (160, 120),
    seed: int = 0,
    index: int = 0,
    colour: Colour | None = None,
    damaged: bool = False,
) -> Frame:
    """A frame (width, height) of independent random codes over the whole range of its depth."""
    rng = np.random.default_rng(seed)
    dtype = np.uint8 if fmt.depth == 8 else np.dtype("<u2")
    planes = tuple(rng.integers(0, 1 << fmt.depth, s).astype(dtype) for s in shapes(fmt, *size))
    for plane in planes:
        plane.flags.writeable = False  # as a decoder hands them over
    colour = colour or Colour(1, 1, 1, full_range=fmt.rgb)
    return Frame(planes, fmt, colour, index, index, Fraction(1, 25), damaged=damaged)


def flat(codes: tuple[int, ...], fmt: PixelFormat = YUV420, size: tuple[int, int] = (160, 120)) -> Frame:
    """A frame of one code per plane."""
    dtype = np.uint8 if fmt.depth == 8 else np.dtype("<u2")
    planes = tuple(np.full(s, code, dtype) for s, code in zip(shapes(fmt, *size), codes, strict=True))
    return Frame(planes, fmt, Colour(1, 1, 1, full_range=fmt.rgb), 0, 0, Fraction(1, 25))


def row(box: tuple[float, ...], frame: int = 0, track: int = 1, landmarks: Any = None) -> PlanRow:
    marks = None if landmarks is None else np.array(landmarks, np.float32)
    return PlanRow(frame, track, np.array(box, np.float32), marks, RowState.DETECTED, 1.0)


def touched(frame: Frame, box: tuple[float, ...], scale: float, shape: str = "ellipse") -> list[npt.NDArray[np.bool_]]:
    """Per plane, the samples that colour a pixel whose area meets a shape: exactly, from geometry alone.

    ``shape``: the ellipse inscribed in ``box`` grown by ``scale``, or ``solid``, that rectangle itself.
    """
    nearest = []
    for axis, length in ((0, frame.width), (1, frame.height)):
        half = (box[axis + 2] - box[axis]) / 2 * scale
        centre = (box[axis + 2] + box[axis]) / 2
        low = np.arange(length) - centre
        # The point of each pixel's open interval next to the centre, in units of the half axis.
        nearest.append((np.clip(0, low + 1e-3, low + 1 - 1e-3)) / half)
    x, y = nearest[0][None, :], nearest[1][:, None]
    luma = (np.abs(x) <= 1) & (np.abs(y) <= 1) if shape == "solid" else x * x + y * y <= 1
    masks = []
    for plane in frame.planes:
        rows, columns = np.nonzero(luma)
        mask = np.zeros(plane.shape, bool)
        mask[rows // -(-frame.height // plane.shape[0]), columns // -(-frame.width // plane.shape[1])] = True
        masks.append(mask)
    return masks


def points_of(box: tuple[float, ...], scale: float, shape: str = "ellipse") -> npt.NDArray[np.float64]:
    """(4000, 2) points spread over a shape as in :func:`touched`, many of them on its border."""
    rng = np.random.default_rng(0)
    half = np.array([box[2] - box[0], box[3] - box[1]]) / 2 * scale
    centre = np.array([box[2] + box[0], box[3] + box[1]]) / 2
    if shape == "solid":
        unit = rng.uniform(-1, 1, (4000, 2))
        unit[:2000] /= np.abs(unit[:2000]).max(1, keepdims=True)
    else:
        angle, radius = rng.uniform(0, 2 * np.pi, 4000), np.sqrt(rng.uniform(0, 1, 4000))
        radius[:2000] = 1
        unit = np.stack([np.cos(angle), np.sin(angle)], 1) * radius[:, None]
    return unit * half * (1 - 1e-6) + centre
