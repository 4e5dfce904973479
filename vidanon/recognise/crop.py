"""Cut the crop a recogniser wants out of a picture."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from vidanon.faces.align import similarity
from vidanon.recognise.base import Description
from vidanon.types import ByteArray, FloatArray


def crop(rgb: ByteArray, landmarks: FloatArray, description: Description) -> ByteArray:
    """(h, w, 3) uint8 RGB and (5, 2) landmarks in its pixels (centres at +0.5) -> (size, size, 3) uint8 RGB.

    Parts outside the picture are black. Raises ValueError where the landmarks coincide.
    """
    size = description.size
    return np.asarray(
        cv2.warpAffine(rgb, to_crop(landmarks, description), (size, size), flags=cv2.INTER_LINEAR), np.uint8
    )


def to_crop(landmarks: FloatArray, description: Description) -> npt.NDArray[np.float64]:
    """(5, 2) landmarks, centres at +0.5 -> (2, 3) from the picture to the crop, both with pixel centres at integers.

    Raises ValueError where the landmarks coincide.
    """
    matrix = similarity(landmarks, np.array(description.template, np.float32)).astype(np.float64)
    matrix[:, 2] += matrix[:, :2].sum(1) / 2  # landmarks have pixel centres at +0.5, the template and cv2 at 0
    return matrix
