"""The teacher of the dense landmarks, made steadier: several looks at a face, mirrored ones too, and their mean.

One look of the teacher wavers by some 3 % of the eye distance with the crop it is given; a student taught by single
looks would learn that as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.spatial import Delaunay

from vidanon.errors import InputError, ModelError
from vidanon.faces.align import apply, similarity
from vidanon.faces.mesh import SIZE, TEMPLATE, cut_crop
from vidanon.faces.mesh_points import OVAL, POINTS, eye_distance, five
from vidanon.runtime.device import Runtime
from vidanon.train.network import load_network
from vidanon.types import ByteArray, FloatArray

SIDE = 192  #: px, the teacher's crop
MARGIN = 1.5  #: its side over that of the face
_LOOKS = ((-3.0, 0.96), (3.0, 1.05))  # degrees, zoom of the looks whose mean is the answer; each mirrored as well
_SYMMETRIC = 0.3  # share of the eye distance the average mesh's points may be away from their mirror images


@dataclass(frozen=True)
class Anatomy:
    """What the teacher's meshes have in common."""

    mean: FloatArray  #: (468, 3) the average face in the student's crop, shares of its side, symmetric
    mirror: npt.NDArray[np.int64]  #: (468,) where each point goes when the picture is mirrored
    triangles: npt.NDArray[np.int64]  #: (T, 3) within the oval


class MeshTeacher:
    """Takes (N, 3, 192, 192) RGB in [0, 1]; answers points (N, 468, 3) in [0, 1] of the crop and presence (N,)."""

    def __init__(self, path: Path, runtime: Runtime) -> None:
        """Raises ModelError for a file that is no such network."""
        self._run = load_network(path, runtime)
        probe = np.random.default_rng(0).uniform(0, 1, (2, 3, SIDE, SIDE)).astype(np.float32)
        try:
            shapes = [answer.shape for answer in self._run(probe)]
        except Exception as error:  # whatever a network of another kind raises
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1][:120]
            raise ModelError(
                f"teacher {path}: does not take crops of {SIDE} px ({reason}); give one that does"
            ) from error
        if len(shapes) < 2 or shapes[0] != (2, POINTS, 3) or int(np.prod(shapes[1])) != 2:
            raise ModelError(f"teacher {path}: answers {shapes}, not {POINTS} points and a presence; give a face mesh")

    def look(self, picture: ByteArray, places: list[FloatArray], mirrored: list[bool]) -> tuple[FloatArray, FloatArray]:
        """Meshes (N, 468, 3) px of the picture and logits of presence (N,), from crops at ``places``.

        picture: (h, w, 3) uint8 RGB; places: (2, 3) each, teacher's crop to picture, similarities; mirrored:
        whether the crop is mirrored before the teacher sees it. Points of mirrored crops keep the teacher's order: see
        Anatomy.
        """
        crops = np.stack([cut_crop(picture, place, SIDE) for place in places]).astype(np.float32) / 255
        for crop, flip in zip(crops, mirrored, strict=True):
            if flip:
                crop[:] = crop[:, ::-1].copy()
        points, presence = self._run(np.ascontiguousarray(crops.transpose(0, 3, 1, 2)))[:2]
        points = points * SIDE
        for mesh, place, flip in zip(points, places, mirrored, strict=True):
            if flip:
                mesh[:, 0] = SIDE - mesh[:, 0]
            mesh[:, :2] = apply(place, mesh[:, :2])
            mesh[:, 2] *= np.hypot(place[0, 0], place[1, 0])
        return points, presence.reshape(-1)

    def first(self, picture: ByteArray, landmarks: FloatArray) -> FloatArray:
        """(468, 3) px: one look at the face with these five landmarks, and one more where its mesh says it is."""
        scale = float(np.linalg.norm(landmarks[1] - landmarks[0]) * 4.3 / SIDE)
        centre = landmarks.mean(0)
        points, _ = self.look(picture, [_square(centre, scale, _level(landmarks))], [False])
        points, _ = self.look(picture, [around(points[0])], [False])
        return np.asarray(points[0], np.float32)

    def steady(self, picture: ByteArray, mesh: FloatArray, anatomy: Anatomy) -> tuple[FloatArray, float, float]:
        """(468, 3) px: the mean of four looks around ``mesh``; the least presence of them (0..1); and how far they lie
        from their mean, on average, share of the eye distance."""
        places = [around(mesh, degrees, zoom) for degrees, zoom in _LOOKS for _ in (0, 1)]
        mirrored = [False, True] * len(_LOOKS)
        points, presence = self.look(picture, places, mirrored)
        points[1::2] = points[1::2][:, anatomy.mirror]
        points[..., 2] -= points[..., 2].mean(1, keepdims=True)  # only differences of depth mean something
        mean = np.asarray(points.mean(0), np.float32)
        spread = np.linalg.norm((points - mean)[..., :2], axis=-1).mean() / eye_distance(mean)
        return mean, float(1 / (1 + np.exp(-presence.min()))), float(spread)


def around(mesh: FloatArray, degrees: float = 0.0, zoom: float = 1.0) -> FloatArray:
    """(2, 3): the teacher's crop of a face with this mesh (468, 3), eyes level, to the picture."""
    level = _level(five(mesh)[:, :2])
    turn = np.array([[np.cos(level), np.sin(level)], [-np.sin(level), np.cos(level)]])
    upright = mesh[:, :2] @ turn.T
    low, high = upright.min(0), upright.max(0)
    centre = (low + high) / 2 @ turn
    return _square(centre, float((high - low).max()) * MARGIN * zoom / SIDE, level + np.radians(degrees))


def anatomy(meshes: FloatArray) -> Anatomy:
    """From (N, 468, 3) meshes of upright faces, mostly frontal, any unit. InputError where they are not symmetric."""
    brought = []
    for mesh in meshes:
        transform = similarity(five(mesh)[:, :2], np.array(TEMPLATE, np.float32))
        scale = np.hypot(transform[0, 0], transform[1, 0])
        depth = (mesh[:, 2:] - mesh[:, 2].mean()) * scale
        brought.append(np.concatenate([apply(transform, mesh[:, :2]), depth], 1))
    mean = np.median(brought, 0).astype(np.float64)
    flipped = mean * (-1, 1, 1) + (SIZE, 0, 0)
    mirror = linear_sum_assignment(((flipped[:, None] - mean[None]) ** 2).sum(-1))[1].astype(np.int64)
    off = np.linalg.norm(flipped - mean[mirror], axis=1).max() / eye_distance(mean)
    if off > _SYMMETRIC or not np.array_equal(mirror[mirror], np.arange(POINTS)):
        raise InputError(
            f"the faces' average mesh is {off:.2f} of the eye distance from symmetric; give more portraits"
        )
    mean = (mean + flipped[mirror]) / 2
    triangles = Delaunay(mean[:, :2]).simplices.astype(np.int64)
    middles = mean[triangles][..., :2].mean(1).astype(np.float32)
    oval = mean[list(OVAL), :2].astype(np.float32)
    inside = [cv2.pointPolygonTest(oval, (float(x), float(y)), False) >= 0 for x, y in middles]
    return Anatomy((mean / SIZE).astype(np.float32), mirror, triangles[inside])


def _level(landmarks: FloatArray) -> float:
    """Radians the line of the eyes is turned by, clockwise in the picture."""
    across = landmarks[1] - landmarks[0]
    return float(np.arctan2(across[1], across[0]))


def _square(centre: npt.NDArray[np.floating], scale: float, angle: float) -> FloatArray:
    """(2, 3): a crop of SIDE px around ``centre``, ``scale`` picture pixels per pixel, turned by ``angle``."""
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.concatenate([linear, (centre - linear @ (SIDE / 2, SIDE / 2))[:, None]], 1).astype(np.float32)
