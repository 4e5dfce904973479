"""Gaussian blur; a wide one at a fraction of the size, which shows no difference and costs a fraction."""

from __future__ import annotations

import cv2
import numpy as np

from vidanon.types import FloatArray


def shrink(sigma: float) -> int:
    """How much smaller a picture may be before a blur that wide."""
    factor = 1
    while sigma / factor >= 6 and factor < 16:
        factor *= 2
    return factor


def smoothed(picture: FloatArray, sigma: float) -> FloatArray:
    """(H, W) or (H, W, C) blurred; sigma in px. Beyond its edge a picture goes on as it ends."""
    factor = shrink(sigma)
    if factor == 1:
        return np.asarray(
            cv2.GaussianBlur(picture, (0, 0), max(sigma, 0.1), borderType=cv2.BORDER_REPLICATE), np.float32
        )
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (max(1, width // factor), max(1, height // factor)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
