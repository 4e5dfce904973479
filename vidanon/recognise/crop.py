"""Cut the crop a recogniser wants out of a picture."""

from __future__ import annotations

import cv2
import numpy as np

from vidanon.faces.align import similarity
from vidanon.recognise.base import Description
from vidanon.types import ByteArray, FloatArray


def crop(rgb: ByteArray, landmarks: FloatArray, description: Description) -> ByteArray:
    """(h, w, 3) uint8 RGB and (5, 2) landmarks in its pixels (centres at +0.5) -> (size, size, 3) uint8 RGB.

    Parts outside the picture are black. Raises ValueError where the landmarks coincide.
    """
    size = description.size
    matrix = similarity(landmarks, np.array(description.template, np.float32)).astype(np.float64)
    matrix[:, 2] += matrix[:, :2].sum(1) / 2  # landmarks have pixel centres at +0.5, the template and cv2 at 0
    return np.asarray(cv2.warpAffine(rgb, matrix, (size, size), flags=cv2.INTER_LINEAR), np.uint8)
