"""Colour maths: sample codes of any planar layout to RGB in [0, 1] and back.

The conversion is the stream's own: matrix coefficients and range of ITU-T H.273, so that what is not
changed comes back as the same code. Everything is one affine map per pixel (``codes @ A.T + b``), done by
``cv2.transform``.

HDR (PQ, HLG). Networks and obscuring modes expect ordinary gamma-coded RGB, so each channel goes through a
tone curve *g* and comes back through its inverse. With ``e`` the PQ or HLG signal and ``L(e)`` in cd/m²
(PQ: ST 2084 EOTF; HLG: inverse OETF and the 1000 cd/m² system gamma 1.2, per channel)::

    x = L(e) / 100      y = x (1 + x / w²) / (1 + x),  w = L(1) / 100      g(e) = 0.95 y^(1 / 2.4) + 0.05 e

(the extended Reinhard curve, white point = the peak of the format): diffuse white at 203 cd/m² lands at 0.84,
skin around 0.65-0.75, the peak at 1. The linear part keeps the slope of g at 0.05 or more, so that the inverse is
well conditioned; g is odd about 0 and linear beyond 1, so that out-of-gamut values survive as well. Primaries are
left as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vidanon.types import Colour, FloatArray, PixelFormat

PQ, HLG = 16, 18
_LUMA_WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087),
                 9: (0.2627, 0.0593), 10: (0.2627, 0.0593), 14: (0.2627, 0.0593)}  # fmt: skip
_YCGCO = 8


def resolve_matrix(colour: Colour, width: int, height: int) -> int:
    """The matrix to convert with; what is unspecified (or not a YCbCr matrix) is guessed by size, as players do."""
    if colour.matrix in _LUMA_WEIGHTS or colour.matrix == _YCGCO:
        return colour.matrix
    if colour.primaries == 9:
        return 9
    return 1 if width >= 1280 or height > 576 else 6


def is_hdr(colour: Colour) -> bool:
    return colour.transfer in (PQ, HLG)


@dataclass(frozen=True)
class Conversion:
    """Affine maps between the three sample codes of a pixel and R'G'B' (full scale [0, 1])."""

    to_rgb: npt.NDArray[np.float64]  #: (3, 4): [Y, Cb, Cr, 1] (or [G, B, R, 1]) codes -> R, G, B
    to_codes: npt.NDArray[np.float64]  #: (3, 4): [R, G, B, 1] -> codes
    luma: tuple[float, float]  #: scale, offset: code of plane 0 -> [0, 1]


@lru_cache(maxsize=256)
def conversion(fmt: PixelFormat, matrix: int, full_range: bool) -> Conversion:
    """The maps for a layout; ``matrix`` is already resolved (see :func:`resolve_matrix`)."""
    top = (1 << fmt.depth) - 1
    step = 1 << (fmt.depth - 8)
    y_scale, y_offset = (top, 0) if full_range else (219 * step, 16 * step)
    c_scale = top if full_range else 224 * step
    if fmt.rgb:
        encode = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], np.float64) * y_scale
        offset = np.full(3, y_offset, np.float64)
    else:
        encode = _ycc_from_rgb(matrix) * np.array([[y_scale], [c_scale], [c_scale]], np.float64)
        offset = np.array([y_offset, 1 << (fmt.depth - 1), 1 << (fmt.depth - 1)], np.float64)
    decode = np.linalg.inv(encode)
    return Conversion(
        to_rgb=np.hstack([decode, -(decode @ offset)[:, None]]),
        to_codes=np.hstack([encode, offset[:, None]]),
        luma=(1.0 / y_scale, -y_offset / y_scale),
    )


def _ycc_from_rgb(matrix: int) -> npt.NDArray[np.float64]:
    """(3, 3): R'G'B' -> Y' in [0, 1], Cb and Cr in [-0.5, 0.5]."""
    if matrix == _YCGCO:
        return np.array([[0.25, 0.5, 0.25], [-0.25, 0.5, -0.25], [0.5, 0.0, -0.5]])
    kr, kb = _LUMA_WEIGHTS[matrix]
    y = np.array([kr, 1.0 - kr - kb, kb])
    return np.stack([y, (np.array([0, 0, 1.0]) - y) / (2 * (1 - kb)), (np.array([1.0, 0, 0]) - y) / (2 * (1 - kr))])


def affine(values: npt.NDArray[Any], matrix: npt.NDArray[np.float64]) -> FloatArray:
    """(h, w, 3) float32 through a (3, 4) affine map."""
    out = cv2.transform(np.ascontiguousarray(values, np.float32), matrix)
    return np.asarray(out, np.float32)


# The tone curve as look-up tables over [-1.5, 2.5], which holds every code of every matrix; read with linear
# interpolation, which is exact to less than half a code at 12 bits.
_LOW, _HIGH, _STEPS = -1.5, 2.5, 4 * (1 << 16)


def tone_map(rgb: FloatArray, transfer: int) -> FloatArray:
    """PQ or HLG signal -> display RGB, channel by channel; other transfers unchanged."""
    return rgb if transfer not in (PQ, HLG) else _look_up(rgb, _tables(transfer)[0])


def tone_unmap(rgb: FloatArray, transfer: int) -> FloatArray:
    """The inverse of :func:`tone_map`."""
    return rgb if transfer not in (PQ, HLG) else _look_up(rgb, _tables(transfer)[1])


def _look_up(values: FloatArray, table: tuple[FloatArray, FloatArray]) -> FloatArray:
    position = np.clip(np.nan_to_num(values), _LOW, _HIGH)
    position -= np.float32(_LOW)
    position *= np.float32(_STEPS / (_HIGH - _LOW))
    index = position.astype(np.int32)
    position -= index
    position *= np.take(table[1], index)
    position += np.take(table[0], index)
    return position


def curve(signal: npt.NDArray[np.float64], transfer: int) -> npt.NDArray[np.float64]:
    """g of the module's docstring, exactly, for any signal."""
    inside = np.clip(np.abs(signal), 0.0, 1.0)
    white = _nits(np.ones(1), transfer)[0] / 100.0
    x = _nits(inside, transfer) / 100.0
    y = x * (1.0 + x / white**2) / (1.0 + x)
    beyond = np.maximum(np.abs(signal) - 1.0, 0.0)
    return np.asarray(np.sign(signal) * (0.95 * y ** (1 / 2.4) + 0.05 * inside + beyond))


def _nits(signal: npt.NDArray[np.float64], transfer: int) -> npt.NDArray[np.float64]:
    if transfer == PQ:
        p = signal ** (1.0 / 78.84375)
        return np.asarray(10000.0 * (np.maximum(p - 0.8359375, 0.0) / (18.8515625 - 18.6875 * p)) ** 6.277394636)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3.0, (np.exp((signal - c) / a) + b) / 12.0)
    return np.asarray(1000.0 * scene**1.2)


@lru_cache(maxsize=2)
def _tables(transfer: int) -> tuple[tuple[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]:
    """Forward and inverse, each as (values, differences to the next)."""
    grid = np.linspace(_LOW, _HIGH, _STEPS + 1)
    forward = curve(grid, transfer)
    # Between the grid's points the curve is refined, so that its inverse is right where it is flat.
    fine = np.linspace(_LOW, _HIGH, 8 * _STEPS + 1)
    inverse = np.interp(grid, curve(fine, transfer), fine)
    return _with_differences(forward), _with_differences(inverse)


def _with_differences(values: npt.NDArray[np.float64]) -> tuple[FloatArray, FloatArray]:
    return values.astype(np.float32), np.append(np.diff(values), 0.0).astype(np.float32)


@lru_cache(maxsize=8)
def display_lut(transfer: int, bits: int) -> npt.NDArray[np.uint8]:
    """(65536,) uint8: full-range code of a PQ or HLG channel -> 8-bit display code, for whole-frame views."""
    codes = np.minimum(np.arange(1 << 16) / ((1 << bits) - 1), 1.0)
    return np.rint(255.0 * curve(codes, transfer)).clip(0, 255).astype(np.uint8)
