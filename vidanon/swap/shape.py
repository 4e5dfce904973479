"""The shape of the new face: the donor's, in the source's pose, with the source's expression.

Shapes are compared in a common frame (the average face's), where both are free of pose and size. What differs between
the donor and the source's *mean* shape is added to every mesh of the source, so that whatever moves in the source
moves in the result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vidanon.faces.mesh_points import (
    LEFT_EYE,
    LIPS_INNER,
    LIPS_OUTER,
    OVAL,
    RIGHT_EYE,
    eye_distance,
)
from vidanon.faces.mesh_pose import Floats, fit_pose
from vidanon.types import FloatArray

_RIM = 0.3  #: share of the eye distance from the oval over which the donor's shape sets in
_MOUTH = 0.15  #: the same from the lips
_LIDS = 0.20  #: from the eyes' contours: nearer, points move with their eye as a whole


@dataclass(frozen=True)
class Pose:
    """Where a head is in one frame: ``mesh = scale * rotation @ shape + place``."""

    rotation: Floats  #: (3, 3)
    scale: float
    place: Floats  #: (3,)


class Shapes:
    """Brings meshes into the common frame and donors' shapes onto sources."""

    def __init__(self, mean: FloatArray) -> None:
        """mean: (468, 3) the average face; its scale and place do not matter."""
        average = mean.astype(np.float64)
        self.average: Floats = (average - average.mean(0)) / float(eye_distance(mean))
        self._weight = self._weights()
        self._eyes = tuple(self._near(np.array(eye)) for eye in (RIGHT_EYE, LEFT_EYE))

    def common(self, meshes: FloatArray) -> Floats:
        """(T, 468, 3) meshes -> the same without pose and size, in shares of the average face's eye distance."""
        found = meshes.astype(np.float64)
        rotation, scale, place = fit_pose(self.average, found)
        shape = np.einsum("tji,tpj->tpi", rotation, found - place[:, None]) / scale[:, None, None]
        return np.asarray(shape, np.float64)

    def offset(self, donor: Floats, source: Floats) -> Floats:
        """(468, 3) shapes in the common frame -> (468, 3) what is to be added to the source's."""
        away = donor - source
        out = away * self._weight[:, None]
        for near in self._eyes:
            moved = (away * near[:, None]).sum(0) / near.sum()
            out += near[:, None] * (moved * 1.0 - out)
        return out

    def placed(self, meshes: FloatArray, offset: Floats) -> FloatArray:
        """(T, 468, 3) meshes of the source -> the meshes to paint the donor on."""
        rotation, scale, _ = fit_pose(self.average, meshes.astype(np.float64))
        added = np.einsum("tij,pj->tpi", rotation, offset) * scale[:, None, None]
        return np.asarray(meshes + added, np.float32)

    def _weights(self) -> Floats:
        rim = _ramp(self._distance(np.array(OVAL)), 0.0, _RIM)
        lips = _ramp(self._distance(np.array((*LIPS_OUTER, *LIPS_INNER))), 0.0, _MOUTH)
        return np.asarray(rim * lips, np.float64)

    def _near(self, eye: np.ndarray) -> Floats:
        """(468,) 1 on the eye's contour, 0 from _LIDS on."""
        return np.asarray(1 - _ramp(self._distance(eye), 0.04, _LIDS), np.float64)

    def _distance(self, points: np.ndarray) -> Floats:
        """(468,) distance in the picture's plane to the nearest of these points."""
        flat = self.average[:, :2]
        away = np.linalg.norm(flat[:, None] - flat[points][None], axis=2)
        return np.asarray(away.min(1), np.float64)


def _ramp(value: Floats, low: float, high: float) -> Floats:
    t = ((value - low) / (high - low)).clip(0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float64)
