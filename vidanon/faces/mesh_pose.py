"""Where a head is: the rotation, scale and place that bring one mesh onto another (Procrustes)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vidanon.faces.mesh_points import NOSE, OVAL

Floats = npt.NDArray[np.float64]
_CORNERS = (33, 133, 362, 263)
#: points that move with the skull: nose, corners of the eyes, upper half of the oval
STIFF = (*NOSE, *_CORNERS, *OVAL[:8], *OVAL[-8:])


def fit_pose(reference: Floats, meshes: Floats) -> tuple[Floats, Floats, Floats]:
    """Rotations (T, 3, 3), scales (T,) and places (T, 3) that best bring the reference (468, 3) to each of the meshes
    (T, 468, 3), by the stiff points (Umeyama 1991): ``mesh = scale * rotation @ reference + place``."""
    stiff = list(STIFF)
    source = reference[stiff]
    middle = source.mean(0)
    target = meshes[:, stiff]
    centre = target.mean(1)
    covariance = np.einsum("tpi,pj->tij", target - centre[:, None], source - middle)
    u, singular, vt = np.linalg.svd(covariance)
    sign = np.ones((len(meshes), 3))
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[:, None]) @ vt
    scale = (singular * sign).sum(1) / ((source - middle) ** 2).sum()
    place = centre - scale[:, None] * np.einsum("tij,j->ti", rotation, middle)
    return rotation, scale, place
