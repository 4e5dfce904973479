"""Meshes between frames and patches."""

from __future__ import annotations

import numpy as np

from vidanon.faces.align import apply, invert
from vidanon.faces.mesh_points import five
from vidanon.types import FloatArray


def to_patch(to_frame: FloatArray, mesh: FloatArray) -> FloatArray:
    """(468, 3) coded px -> px of the patch whose ``to_frame`` (2, 3) this is; z scaled alike."""
    inverse = invert(to_frame)
    scale = float(np.sqrt(abs(np.linalg.det(inverse[:, :2].astype(np.float64)))))
    return np.concatenate([apply(inverse, mesh[:, :2]), mesh[:, 2:] * np.float32(scale)], 1)


def mirrored(mesh: FloatArray) -> bool:
    """Whether (468, >=2) points are those of a mirror image, as frames shown mirrored hold it."""
    eye, other, _, right, left = five(mesh)[:, :2].astype(np.float64)
    along, down = other - eye, (right + left - eye - other) / 2
    return bool(along[0] * down[1] - along[1] * down[0] < 0)


def unmirrored(patch: FloatArray, mesh: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A patch (S, S, 3) and its mesh, as they are or, where they show a mirror image, turned back."""
    if not mirrored(mesh):
        return patch, mesh
    turned = mesh.copy()
    turned[:, 0] = patch.shape[1] - turned[:, 0]
    return np.ascontiguousarray(patch[:, ::-1]), turned
