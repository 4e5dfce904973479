"""What a face goes through on its way to a student: small moves, loss of detail, light, noise, JPEG, occlusion.

The teacher saw the face before all this, so the student learns to see through it. No mesh is needed.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vidanon.types import ByteArray

Pixels = npt.NDArray[Any]


def augment(face: ByteArray, generator: np.random.Generator) -> ByteArray:
    """(S, S, 3) uint8 RGB, S > 50 -> the same shape and type."""
    moved = _move(face, generator)
    less = _lose_detail(moved, generator)
    lit = light(less.astype(np.float32), generator)
    pixels = np.asarray(lit.clip(0, 255), np.uint8)
    return _occlude(compress(pixels, generator), generator)


def _move(face: ByteArray, generator: np.random.Generator) -> ByteArray:
    """As much as landmarks err: degrees, share of the size, px."""
    size = face.shape[0]
    angle, zoom, shift = generator.normal(0, 4), 1 + generator.normal(0, 0.04), generator.normal(0, 2, 2)
    matrix = cv2.getRotationMatrix2D((size / 2, size / 2), angle, zoom)
    matrix[:, 2] = matrix[:, 2] + shift
    moved = cv2.warpAffine(face, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(moved, np.uint8)


def _lose_detail(face: ByteArray, generator: np.random.Generator) -> ByteArray:
    """A crop of down to 24 px enlarged again, or out of focus."""
    size = face.shape[0]
    if generator.random() < 0.35:
        side = int(generator.uniform(24, 90))
        small = cv2.resize(face, (side, side), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(small, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)
    if generator.random() < 0.2:
        return np.asarray(cv2.GaussianBlur(face, (0, 0), generator.uniform(0.5, 2.2)), np.uint8)
    return face


def light(face: Pixels, generator: np.random.Generator) -> Pixels:
    """Exposure, contrast and white balance; next to no colour; noise; light from one side."""
    if generator.random() < 0.7:
        face = face * generator.uniform(0.6, 1.35) + generator.uniform(-25, 25)
        contrast, tint = generator.uniform(0.7, 1.3), generator.normal(0, 0.05, 3)
        face = (face.mean() + (face - face.mean()) * contrast) * (1 + tint.astype(np.float32))
    if generator.random() < 0.25:
        face = face.mean(2, keepdims=True).repeat(3, 2) * 0.9 + face * 0.1
    if generator.random() < 0.3:
        face = face + generator.normal(0, generator.uniform(1, 8), face.shape)
    if generator.random() < 0.25:
        slope = np.linspace(-1, 1, face.shape[0], dtype=np.float32) * generator.uniform(-40, 40)
        face = face + (slope[None, :, None] if generator.random() < 0.7 else slope[:, None, None])
    return face


def compress(face: ByteArray, generator: np.random.Generator) -> ByteArray:
    """JPEG, now and then."""
    if generator.random() >= 0.35:
        return face
    # OpenCV takes the channels for blue, green, red: the order comes back as it went in, chroma is weighed otherwise
    _, data = cv2.imencode(".jpg", face, [cv2.IMWRITE_JPEG_QUALITY, int(generator.uniform(25, 90))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def _occlude(face: ByteArray, generator: np.random.Generator) -> ByteArray:
    """A box of one colour, 15 to 49 px a side."""
    if generator.random() >= 0.12:
        return face
    size = face.shape[0]
    width, height = generator.integers(15, 50, 2)
    left, top = generator.integers(0, size - width), generator.integers(0, size - height)
    face = face.copy()
    face[top : top + height, left : left + width] = generator.integers(0, 255, 3)
    return face
