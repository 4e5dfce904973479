"""Decoder pictures as numpy planes, and planes as pictures for an encoder.

Every layout in :data:`SUPPORTED` is read and written without loss. What a decoder delivers otherwise (packed,
semi-planar, palette, big-endian, ...) is converted once by libswscale to the nearest of them, depth kept.
Alpha planes are dropped: they are a second picture nobody looks at.
"""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from vidanon.errors import UnsupportedError
from vidanon.media import colour as colours
from vidanon.types import Colour, Frame, PixelFormat

Planes = tuple[npt.NDArray[Any], ...]

_CHROMA = {"420": (1, 1), "422": (1, 0), "440": (0, 1), "444": (0, 0)}


def _formats() -> dict[str, PixelFormat]:
    table: dict[str, PixelFormat] = {}
    for depth in (8, 9, 10, 12, 14, 16):
        suffix = "" if depth == 8 else f"{depth}le"
        for chroma, (shift_x, shift_y) in _CHROMA.items():
            if chroma != "440" or depth in (8, 10, 12):
                name = f"yuv{chroma}p{suffix}"
                table[name] = PixelFormat(name, depth, shift_x, shift_y, 3)
        table[f"gray{suffix}"] = PixelFormat(f"gray{suffix}", depth, 0, 0, 1)
        table[f"gbrp{suffix}"] = PixelFormat(f"gbrp{suffix}", depth, 0, 0, 3, rgb=True)
    return table


#: libav's name -> layout. The deprecated ``yuvj*`` names are read as ``yuv*`` with ``Colour.full_range``.
SUPPORTED: dict[str, PixelFormat] = _formats()


def from_av(frame: av.VideoFrame, keep_rgb: bool = False) -> tuple[Planes, PixelFormat, Colour]:
    """Read-only views of the decoder's planes (they keep ``frame`` alive), their layout and colour tags.

    RGB of 8 bits that is not planar (GIF, PNG, screen captures) becomes yuv420p, which plays everywhere, tagged
    with the matrix used; deeper RGB becomes yuv444p of 10 or 12 bits. ``keep_rgb`` keeps it as gbrp, without
    loss (still pictures). Raises UnsupportedError for hardware frames and unknown layouts.
    """
    name = frame.format.name
    tagged_range = int(frame.color_range)  # 0 unspecified, 1 limited, 2 full
    colour = Colour(int(frame.colorspace), int(frame.color_primaries), int(frame.color_trc), tagged_range == 2)
    if name.startswith("yuvj"):
        name, colour = "yuv" + name[4:], replace(colour, full_range=True)
    elif name.startswith("yuva") or name.startswith("gbrap"):
        name = name.replace("yuva", "yuv", 1).replace("gbrap", "gbrp", 1)  # plane 3 is simply not looked at
    fmt = SUPPORTED.get(name)
    if fmt is not None and (fmt.rgb or fmt.planes == 1) or len(frame.format.components) < 3:
        colour = replace(colour, full_range=tagged_range != 1)  # full unless tagged otherwise, as in libav
    if fmt is None:
        frame, fmt, colour = _convert(frame, colour, keep_rgb)
    # Read-only: the decoder may still predict from this picture.
    return views(frame, fmt, writable=False), fmt, colour


def _convert(frame: av.VideoFrame, colour: Colour, keep_rgb: bool) -> tuple[av.VideoFrame, PixelFormat, Colour]:
    """Through libswscale to the nearest supported layout."""
    source = frame.format
    if not source.components:
        raise UnsupportedError(f"pixel format {source.name} cannot be read; convert the file to yuv420p first")
    depth = next((d for d in (8, 9, 10, 12, 14, 16) if d >= max(c.bits for c in source.components)), 16)
    from_rgb = source.is_rgb or source.has_palette or source.is_bayer
    out_range = ColorRange.JPEG if colour.full_range else ColorRange.MPEG
    if from_rgb and keep_rgb:
        target, out_range = f"gbrp{'' if depth == 8 else f'{depth}le'}", ColorRange.JPEG
        colour = replace(colour, matrix=0, full_range=True)
    elif from_rgb:
        target = "yuv420p" if depth == 8 else "yuv444p10le" if depth <= 10 else "yuv444p12le"
        matrix = colours.resolve_matrix(Colour(), frame.width, frame.height)
        known = colour.primaries not in (0, 2), colour.transfer not in (0, 2)
        colour = Colour(matrix, colour.primaries if known[0] else 1, colour.transfer if known[1] else 13, False)
        out_range = ColorRange.MPEG
    elif len(source.components) < 3:
        target = f"gray{'' if depth == 8 else f'{depth}le'}"
    else:
        shift_x = max(0, min(1, (frame.width // max(1, source.chroma_width(frame.width))).bit_length() - 1))
        shift_y = max(0, min(1, (frame.height // max(1, source.chroma_height(frame.height))).bit_length() - 1))
        chroma = next(c for c, shifts in _CHROMA.items() if shifts == (shift_x, shift_y))
        depth = depth if chroma != "440" or depth in (8, 10, 12) else 12
        target = f"yuv{chroma}p{'' if depth == 8 else f'{depth}le'}"
    space = SWS_SPACE.get(colours.resolve_matrix(colour, frame.width, frame.height), Colorspace.ITU601)
    try:
        converted = VideoReformatter().reformat(
            frame, format=target, src_colorspace=None if from_rgb else space, dst_colorspace=space,
            src_color_range=None if from_rgb else out_range, dst_color_range=out_range, threads=1,
            interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INP,
        )  # fmt: skip
    except (av.FFmpegError, ValueError) as error:
        raise UnsupportedError(f"pixel format {source.name} cannot be read; convert it to yuv420p first") from error
    return converted, SUPPORTED[target], colour


SWS_SPACE = {1: Colorspace.ITU709, 4: Colorspace.FCC, 5: Colorspace.ITU601, 6: Colorspace.ITU601,
              7: Colorspace.SMPTE240M, 9: Colorspace.BT2020, 10: Colorspace.BT2020}  # fmt: skip


def plane_shape(fmt: PixelFormat, plane: int, width: int, height: int) -> tuple[int, int]:
    """(rows, columns) of a plane; odd pictures have the half sample more."""
    if plane == 0 or fmt.rgb:
        return height, width
    return -(-height >> fmt.chroma_shift_y), -(-width >> fmt.chroma_shift_x)


def to_av(frame: Frame) -> av.VideoFrame:
    """A fresh libav frame: planes copied, pts, time base and colour tags set, no side data."""
    out = av.VideoFrame(frame.width, frame.height, frame.format.name)
    for view, plane in zip(views(out, frame.format, writable=True), frame.planes, strict=True):
        view[...] = plane
    out.pts, out.time_base = frame.pts, frame.time_base
    out.colorspace, out.color_primaries = frame.colour.matrix, frame.colour.primaries
    out.color_trc, out.color_range = frame.colour.transfer, 2 if frame.colour.full_range else 1
    return out


def views(frame: av.VideoFrame, fmt: PixelFormat, writable: bool) -> Planes:
    """The picture's memory as arrays, rows top-down and without padding; valid as long as any of them lives."""
    dtype = np.dtype(np.uint8 if fmt.depth == 8 else "<u2")
    views = []
    for index in range(fmt.planes):
        plane: Any = frame.planes[index]  # a buffer
        rows, columns = plane_shape(fmt, index, frame.width, frame.height)
        stride = abs(plane.line_size)
        if plane.line_size >= 0:
            samples = np.frombuffer(plane, dtype).reshape(rows, stride // dtype.itemsize)
        else:  # bottom-up: the pointer is at the top row, which is the last one in memory
            memory: Any = (ctypes.c_uint8 * (stride * rows)).from_address(plane.buffer_ptr - stride * (rows - 1))
            memory.owner = frame  # keeps the picture alive as long as the view
            samples = np.frombuffer(memory, dtype).reshape(rows, stride // dtype.itemsize)[::-1]
        view = samples[:, :columns]
        view.flags.writeable = writable
        views.append(view)
    return tuple(views)
