"""Meshes between frames and patches."""

from __future__ import annotations

import numpy as np

from vidanon.faces.align import apply, invert
from vidanon.types import FloatArray


def to_patch(to_frame: FloatArray, mesh: FloatArray) -> FloatArray:
    """(468, 3) coded px -> px of the patch whose ``to_frame`` (2, 3) this is; z scaled alike."""
    inverse = invert(to_frame)
    scale = float(np.sqrt(abs(np.linalg.det(inverse[:, :2].astype(np.float64)))))
    return np.concatenate([apply(inverse, mesh[:, :2]), mesh[:, 2:] * np.float32(scale)], 1)
