"""How far one picture is from another: L2, PSNR, SSIM and MSSIM.

Pictures are (h, w) or (h, w, c), both of one shape and type: uint8 (0..255) or floating point (0..1).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon.types import FloatArray

Picture = NDArray[Any]
Mask = NDArray[np.bool_]

GAUSSIAN_TAPS, GAUSSIAN_SIGMA = 11, 1.5  #: the window of Wang et al. (2004)
UNIFORM_TAPS = 7
_K1, _K2 = 0.01, 0.03


def l2(a: Picture, b: Picture) -> float:
    """Euclidean distance over all values, in units of the full range (as of pictures in 0..1)."""
    x, y = _pair(a, b)
    return float(np.sqrt(((x - y) ** 2).sum()))


def psnr(a: Picture, b: Picture, mask: Mask | None = None) -> float:
    """Peak signal-to-noise ratio, dB; infinite for equal pictures. ``mask`` (h, w): count these pixels only.

    Raises ValueError where the mask holds no pixel.
    """
    x, y = _pair(a, b)
    error = (x - y) ** 2
    mean = float((error if mask is None else error[_chosen(mask, x)]).mean())
    return float("inf") if mean == 0 else float(-10 * np.log10(mean))


def mssim(a: Picture, b: Picture, mask: Mask | None = None) -> float:
    """Mean structural similarity with the 11-tap Gaussian window of sigma 1.5 (population statistics), in [-1, 1].

    Channels are compared one by one and averaged. Without a mask the 5 px along the edges, where the window would
    leave the picture, do not count. Raises ValueError for a picture smaller than the window or an empty mask.
    """
    return _mean(ssim_map(a, b), GAUSSIAN_TAPS // 2, mask)


def ssim(a: Picture, b: Picture, mask: Mask | None = None) -> float:
    """Mean structural similarity with a uniform 7x7 window (sample statistics): scikit-image's default.

    Otherwise as :func:`mssim`.
    """
    x, y = _pair(a, b)
    kernel = np.full(UNIFORM_TAPS, 1 / UNIFORM_TAPS)
    count = UNIFORM_TAPS**2
    return _mean(_map(x, y, kernel, count / (count - 1)), UNIFORM_TAPS // 2, mask)


def ssim_map(a: Picture, b: Picture) -> FloatArray:
    """Structural similarity around every pixel, Gaussian window: float32 of the pictures' shape; edges mirrored."""
    x, y = _pair(a, b)
    kernel = cv2.getGaussianKernel(GAUSSIAN_TAPS, GAUSSIAN_SIGMA, cv2.CV_64F).ravel()
    return np.asarray(_map(x, y, kernel, 1.0), np.float32)


def _map(x: Picture, y: Picture, kernel: Picture, covariance_norm: float) -> Picture:
    """SSIM per pixel of two (h, w[, c]) float64 pictures in 0..1."""
    if min(x.shape[:2]) < len(kernel):
        raise ValueError(f"pictures of {x.shape[1]}x{x.shape[0]} px are smaller than the window of {len(kernel)} px")

    def local(picture: Picture) -> Picture:
        channels = [
            cv2.sepFilter2D(np.ascontiguousarray(channel), -1, kernel, kernel, borderType=cv2.BORDER_REFLECT)
            for channel in (picture[..., None] if picture.ndim == 2 else picture).transpose(2, 0, 1)
        ]
        return np.stack(channels, axis=-1).reshape(picture.shape)

    mean_x, mean_y = local(x), local(y)
    var_x = covariance_norm * (local(x * x) - mean_x**2)
    var_y = covariance_norm * (local(y * y) - mean_y**2)
    cov = covariance_norm * (local(x * y) - mean_x * mean_y)
    c1, c2 = _K1**2, _K2**2
    top = (2 * mean_x * mean_y + c1) * (2 * cov + c2)
    return np.asarray(top / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)))


def _mean(values: Picture, border: int, mask: Mask | None) -> float:
    if mask is not None:
        return float(values[_chosen(mask, values)].mean(dtype=np.float64))
    return float(values[border : values.shape[0] - border, border : values.shape[1] - border].mean(dtype=np.float64))


def _chosen(mask: Mask, picture: Picture) -> Mask:
    if mask.shape != picture.shape[:2]:
        raise ValueError(f"mask of shape {mask.shape} for a picture of shape {picture.shape[:2]}")
    if not mask.any():
        raise ValueError("the mask holds no pixel")
    return mask


def _pair(a: Picture, b: Picture) -> tuple[Picture, Picture]:
    """Both as float64 in 0..1."""
    if a.shape != b.shape or a.dtype != b.dtype or a.ndim not in (2, 3):
        raise ValueError(f"pictures of one shape and type expected, got {a.shape} {a.dtype} and {b.shape} {b.dtype}")
    if a.dtype == np.uint8:
        return a / np.float64(255), b / np.float64(255)
    if not np.issubdtype(a.dtype, np.floating):
        raise ValueError(f"pictures are uint8 or floating point, not {a.dtype}")
    return a.astype(np.float64), b.astype(np.float64)
