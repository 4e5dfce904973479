"""Pixels of a frame: views for detectors, face regions as RGB and back into the planes.

Regions are converted with the stream's own matrix and range (``colour.py``), one affine map per pixel, so that
what is written back unchanged comes back as the same codes. Chroma is read by replication and written by the
alpha-weighted mean of its block, which is the exact inverse.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from vidanon.media import colour as colours
from vidanon.media.formats import SUPPORTED, SWS_SPACE, Planes, from_av, plane_shape, to_av, views
from vidanon.media.orientation import coded_from_upright, upright
from vidanon.types import ByteArray, Colour, FloatArray, Frame, PixelFormat, View

__all__ = ["SUPPORTED", "from_av", "luma", "plane_shape", "region_rgb", "to_av", "view", "write_region"]

Box = tuple[int, int, int, int]  #: x0, y0, x1, y1 in coded pixels, x1 and y1 exclusive


def view(frame: Frame, max_side: int | None = None) -> View:
    """What a detector sees: upright, square pixels, 8-bit RGB, the longer side at most ``max_side`` pixels.

    PQ and HLG go through the tone curve of ``colour.py``. About 1 ms for 720p 8-bit 4:2:0 on one core, 4 ms for HDR.
    """
    width, height = _square_size(frame.width, frame.height, frame.sar, max_side)
    turned = upright(_picture_rgb(frame, width, height), frame.orientation)
    scale = np.array([frame.width / width, frame.height / height])[:, None]
    to_coded = (coded_from_upright(width, height, frame.orientation) * scale).astype(np.float32)
    return View(np.ascontiguousarray(turned), to_coded, frame.index)


def _square_size(width: int, height: int, sar: Fraction, max_side: int | None) -> tuple[int, int]:
    """Size with square pixels: the thinner direction is stretched, then both shrink to ``max_side``."""
    ratio = float(sar) if sar > 0 and abs(float(sar) - 1.0) > 0.01 else 1.0  # off by a rounding: not worth scaling
    wide, high = width * max(1.0, ratio), height * max(1.0, 1.0 / ratio)
    shrink = 1.0 if max_side is None else min(1.0, max_side / max(wide, high))
    return max(1, round(wide * shrink)), max(1, round(high * shrink))


def _picture_rgb(frame: Frame, width: int, height: int) -> ByteArray:
    """The stored picture, scaled to (height, width, 3) uint8 RGB."""
    fmt, colour = frame.format, frame.colour
    if fmt.planes == 1:
        grey = _resize(np.take(_grey_lut(fmt, colour), frame.planes[0]), width, height)
        return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
    space = SWS_SPACE.get(colours.resolve_matrix(colour, frame.width, frame.height))
    if space is None or fmt.rgb and not colour.full_range:  # what libswscale does not know (YCgCo, ICtCp, "tv" RGB)
        whole = region_rgb(frame, (0, 0, frame.width, frame.height))
        return _resize(np.rint(whole * 255.0).astype(np.uint8), width, height)
    hdr = colours.is_hdr(colour)
    target = "gbrp10le" if hdr else "gbrp" if fmt.rgb else "rgb24"
    unscaled = (width, height) == (frame.width, frame.height)
    # POINT: unscaled, only chroma is replicated (FAST_BILINEAR drops half of it, even in 4:4:4).
    # A fresh reformatter costs 0.1 ms and holds no state between threads.
    scaled = VideoReformatter().reformat(
        to_av(frame), width, height, target, src_colorspace=None if fmt.rgb else space, dst_colorspace=space,
        src_color_range=ColorRange.JPEG if colour.full_range else ColorRange.MPEG, dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.POINT if unscaled else Interpolation.BILINEAR, threads=1,
    )  # fmt: skip
    if target == "rgb24":
        plane: Any = scaled.planes[0]  # a buffer
        rows = np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)
        return np.ascontiguousarray(rows[:, : width * 3]).reshape(height, width, 3)
    green, blue, red = views(scaled, SUPPORTED[target], writable=False)
    rgb = cv2.merge([red, green, blue])
    return np.asarray(cv2.LUT(rgb, colours.display_lut(colour.transfer, 10)) if hdr else rgb, np.uint8)


def _resize(picture: ByteArray, width: int, height: int) -> ByteArray:
    if picture.shape[:2] == (height, width):
        return picture
    kernel = cv2.INTER_AREA if width < picture.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, height), interpolation=kernel), np.uint8)


@lru_cache(maxsize=16)
def _grey_lut(fmt: PixelFormat, colour: Colour) -> ByteArray:
    """(2^depth,) uint8: code -> display grey."""
    scale, offset = colours.conversion(fmt, 6, colour.full_range).luma
    values = (np.arange(1 << fmt.depth) * scale + offset).clip(0, 1)
    if colours.is_hdr(colour):
        values = colours.curve(values, colour.transfer)
    return np.rint(255.0 * values).astype(np.uint8)


def luma(frame: Frame, box: Box | None = None) -> FloatArray:
    """(h, w) float32 in [0, 1]: gamma-coded luma of a region (whole frame by default), range taken out."""
    x0, y0, x1, y1 = box or (0, 0, frame.width, frame.height)
    fmt = frame.format
    if fmt.rgb:
        weights = np.array([0.2126, 0.7152, 0.0722], np.float32)
        return np.asarray(region_rgb(frame, (x0, y0, x1, y1)) @ weights, np.float32)
    scale, offset = colours.conversion(fmt, 6, frame.colour.full_range).luma
    out = frame.planes[0][y0:y1, x0:x1].astype(np.float32)
    out *= np.float32(scale)
    out += np.float32(offset)
    return np.clip(out, 0.0, 1.0, out=out)


def region_rgb(frame: Frame, box: Box, clip: bool = True) -> FloatArray:
    """(y1 - y0, x1 - x0, 3) float32 RGB of a region that lies inside the picture (ValueError otherwise).

    In [0, 1]; ``clip=False`` keeps what the stream has beyond it (super-white, colours outside the gamut), so
    that even those come back unchanged through :func:`write_region`.
    """
    x0, y0, x1, y1 = _checked(box, frame.width, frame.height)
    fmt, colour = frame.format, frame.colour
    channels = [frame.planes[0][y0:y1, x0:x1].astype(np.float32)]
    for plane in frame.planes[1:]:
        channels.append(_read_plane(plane, fmt, (x0, y0, x1, y1)))
    maps = colours.conversion(fmt, colours.resolve_matrix(colour, frame.width, frame.height), colour.full_range)
    if fmt.planes == 1:
        scale, offset = maps.luma
        rgb = np.repeat((channels[0] * np.float32(scale) + np.float32(offset))[:, :, None], 3, axis=2)
    else:
        rgb = colours.affine(cv2.merge(channels), maps.to_rgb)
    rgb = colours.tone_map(rgb, colour.transfer)
    return np.clip(rgb, 0.0, 1.0, out=rgb) if clip else rgb


def write_region(
    planes: Planes, fmt: PixelFormat, colour: Colour, box: Box, rgb: FloatArray, alpha: npt.NDArray[Any]
) -> None:
    """Blend an RGB region into writable planes, in place: ``(1 - alpha) * old + alpha * new`` in code values.

    ``rgb`` (h, w, 3) as from :func:`region_rgb`, ``alpha`` (h, w) in [0, 1]; the box lies inside the picture
    (ValueError otherwise). Where alpha is 0 nothing changes; a chroma sample takes the largest alpha of the
    pixels it colours, and their alpha-weighted mean colour, so no colour of a covered pixel stays behind.
    """
    height, width = planes[0].shape
    x0, y0, x1, y1 = _checked(box, width, height)
    if rgb.shape != (y1 - y0, x1 - x0, 3) or alpha.shape != rgb.shape[:2]:
        raise ValueError(f"rgb {rgb.shape} and alpha {alpha.shape} do not fit the box {box}")
    # What is no number covers: full alpha, black. Never the old picture.
    alpha = np.clip(_finite(np.ascontiguousarray(alpha, np.float32), 1.0), 0.0, 1.0)
    maps = colours.conversion(fmt, colours.resolve_matrix(colour, width, height), colour.full_range)
    signal = colours.tone_unmap(_finite(np.ascontiguousarray(rgb, np.float32), 0.0), colour.transfer)
    if fmt.planes == 1:
        weights = maps.to_codes[0]
        codes = [signal @ weights[:3].astype(np.float32) + np.float32(weights[3])]
    else:
        codes = [np.asarray(c, np.float32) for c in cv2.split(colours.affine(signal, maps.to_codes))]
    _blend(planes[0][y0:y1, x0:x1], codes[0], alpha, fmt)
    for plane, code in zip(planes[1:], codes[1:], strict=True):
        if fmt.rgb or not (fmt.chroma_shift_x or fmt.chroma_shift_y):
            _blend(plane[y0:y1, x0:x1], code, alpha, fmt)
    if not fmt.rgb and fmt.planes == 3 and (fmt.chroma_shift_x or fmt.chroma_shift_y):
        _write_chroma(planes[1:], codes[1:], alpha, (x0, y0, x1, y1), fmt)


def _finite(values: FloatArray, instead: float) -> FloatArray:
    return values if cv2.checkRange(values)[0] else np.nan_to_num(values, nan=instead, posinf=instead, neginf=instead)


def _checked(box: Box, width: int, height: int) -> Box:
    x0, y0, x1, y1 = (int(v) for v in box)
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(f"box {box} is empty or reaches out of the {width}x{height} picture")
    return x0, y0, x1, y1


def _read_plane(plane: npt.NDArray[Any], fmt: PixelFormat, box: Box) -> FloatArray:
    """A region of plane 1 or 2 at luma resolution, by replication."""
    x0, y0, x1, y1 = box
    sx, sy = fmt.chroma_shift_x, fmt.chroma_shift_y
    part = plane[y0 >> sy : ((y1 - 1) >> sy) + 1, x0 >> sx : ((x1 - 1) >> sx) + 1].astype(np.float32)
    if sx or sy:
        size = (part.shape[1] << sx, part.shape[0] << sy)
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_NEAREST), np.float32)
        top, left = y0 - (y0 >> sy << sy), x0 - (x0 >> sx << sx)
        part = part[top : top + y1 - y0, left : left + x1 - x0]
    return part


def _write_chroma(planes: Planes, codes: list[FloatArray], alpha: FloatArray, box: Box, fmt: PixelFormat) -> None:
    x0, y0, x1, y1 = box
    sx, sy = fmt.chroma_shift_x, fmt.chroma_shift_y
    # Grown to whole chroma blocks; what is added has alpha 0, hence no weight.
    top, left = y0 & ((1 << sy) - 1), x0 & ((1 << sx) - 1)
    bottom, right = -y1 & ((1 << sy) - 1), -x1 & ((1 << sx) - 1)
    border = ((top, bottom), (left, right))
    grown = _pad(alpha, border)
    weight = _pool_sum(grown, sx, sy)
    largest = _pool_max(grown, sx, sy)
    cy, cx = y0 >> sy, x0 >> sx
    safe = np.maximum(weight, np.float32(1e-6))
    for plane, code in zip(planes, codes, strict=True):
        mean = np.asarray(_pool_sum(_pad(code * alpha, border), sx, sy) / safe, np.float32)
        _blend(plane[cy : cy + mean.shape[0], cx : cx + mean.shape[1]], mean, largest, fmt)


def _pad(values: FloatArray, border: tuple[tuple[int, int], tuple[int, int]]) -> FloatArray:
    return np.pad(values, border) if any(map(any, border)) else values


def _pool_sum(values: FloatArray, sx: int, sy: int) -> FloatArray:
    if sy:
        values = values[0::2] + values[1::2]
    return values[:, 0::2] + values[:, 1::2] if sx else values


def _pool_max(values: FloatArray, sx: int, sy: int) -> FloatArray:
    if sy:
        values = np.maximum(values[0::2], values[1::2])
    return np.maximum(values[:, 0::2], values[:, 1::2]) if sx else values


def _blend(target: npt.NDArray[Any], codes: FloatArray, alpha: FloatArray, fmt: PixelFormat) -> None:
    """In place: old + alpha (codes - old), rounded."""
    old = target.astype(np.float32)
    out = codes - old
    out *= alpha
    out += old
    out += np.float32(0.5)
    np.clip(out, 0, (1 << fmt.depth) - 1, out=out)
    target[...] = out.astype(target.dtype)
