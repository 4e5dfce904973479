"""The same face from elsewhere: turned, with closed eyes, narrower, drawn from a picture and its mesh.

Portraits look at the camera with open eyes. A mesh has depth, so its triangles can be drawn turned, each with its part
of the picture; what lies around the face is stretched along.
"""

from __future__ import annotations

import cv2
import numpy as np

from vidanon.faces.mesh_points import LEFT_LIDS, OVAL, RIGHT_LIDS
from vidanon.train.mesh_teacher import Anatomy
from vidanon.types import ByteArray, FloatArray

YAW, PITCH = 50.0, 18.0  #: degrees, at most
_CLOSED = 0.35  # share of views with eyes more closed than in the picture
_RINGS = ((1.35, 0.7), (2.4, 0.0))  # how far out, in half widths; share of the oval's move that is left there
_FINE = 4  # bits of a pixel's fraction when triangles are drawn


def another_view(
    picture: ByteArray, mesh: FloatArray, anatomy: Anatomy, generator: np.random.Generator
) -> tuple[ByteArray, FloatArray]:
    """(h, w, 3) picture and its mesh (468, 3) px -> the same, seen and looking otherwise."""
    moved = mesh.astype(np.float32).copy()
    if generator.random() < _CLOSED:
        _close(moved, RIGHT_LIDS, generator.uniform(0.4, 1))
        _close(moved, LEFT_LIDS, generator.uniform(0.4, 1) if generator.random() < 0.2 else None)
    centre = moved.mean(0)
    stretch = np.array([*generator.uniform(0.92, 1.08, 2), 1])
    turned = ((moved - centre) * stretch @ _rotation(generator).T + centre).astype(np.float32)
    return draw(picture, mesh, turned, anatomy), turned


def draw(picture: ByteArray, mesh: FloatArray, target: FloatArray, anatomy: Anatomy) -> ByteArray:
    """The picture with its mesh (468, 3) moved to ``target`` (468, 3); nearer triangles hide farther ones."""
    oval = list(OVAL)
    middle = mesh[:, :2].mean(0)
    source, goal, strips = [mesh[:, :2]], [target[:, :2]], []
    inner = np.array(oval)
    for number, (out, share) in enumerate(_RINGS):
        place = middle + (mesh[oval, :2] - middle) * out
        source.append(place)
        goal.append(place + (target[oval, :2] - mesh[oval, :2]) * share)
        outer = len(mesh) + number * len(oval) + np.arange(len(oval))
        strips.append(np.stack([inner, np.roll(inner, -1), outer], 1))
        strips.append(np.stack([np.roll(inner, -1), np.roll(outer, -1), outer], 1))
        inner = outer
    points, goals = np.concatenate(source), np.concatenate(goal)
    depth = target[anatomy.triangles][..., 2].mean(1)
    triangles = np.concatenate([*strips[::-1], anatomy.triangles[np.argsort(-depth)]])  # the last is on top
    affine, drawn = _affine(goals[triangles], points[triangles])
    height, width = picture.shape[:2]
    owner = np.full((height, width), -1, np.int32)
    corners = np.round((goals[triangles] - 0.5) * (1 << _FINE)).astype(np.int32)
    for number in np.flatnonzero(drawn).tolist():
        cv2.fillConvexPoly(owner, corners[number], number, cv2.LINE_8, _FINE)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) + 0.5
    affine = np.concatenate([affine, np.eye(2, 3)[None]])  # where no triangle was drawn (-1), the picture as it was
    own = affine[owner].astype(np.float32)
    map_x = own[..., 0, 0] * x + own[..., 0, 1] * y + own[..., 0, 2] - 0.5
    map_y = own[..., 1, 0] * x + own[..., 1, 1] * y + own[..., 1, 2] - 0.5
    return np.asarray(cv2.remap(picture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _close(mesh: FloatArray, lids: tuple[tuple[int, int], ...], share: float | None) -> None:
    """Bring the upper lid down by ``share`` of its opening, in place; None leaves it."""
    for upper, lower in lids if share is not None else ():
        mesh[upper] += (mesh[lower] - mesh[upper]) * np.float32(share or 0)


def _rotation(generator: np.random.Generator) -> FloatArray:
    yaw = np.radians(generator.uniform(-YAW, YAW))
    pitch = np.radians(generator.uniform(-PITCH, PITCH))
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    return np.asarray(about_x @ about_y, np.float32)


def _affine(source: FloatArray, target: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(T, 3, 2) triangles -> the affines (T, 2, 3) between them, and which of the first face the camera (T,)."""
    a, b = (source[:, k] - source[:, 0] for k in (1, 2))
    c, d = (target[:, k] - target[:, 0] for k in (1, 2))
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    before = c[:, 0] * d[:, 1] - c[:, 1] * d[:, 0]
    faces = (area * before > 0) & (np.abs(area) > 1e-3)
    safe = np.where(faces, area, 1)
    inverse = np.stack([b[:, 1], -b[:, 0], -a[:, 1], a[:, 0]], 1).reshape(-1, 2, 2) / safe[:, None, None]
    linear = np.stack([c, d], 2) @ inverse
    shift = target[:, 0] - (linear @ source[:, 0, :, None])[..., 0]
    return np.concatenate([linear, shift[..., None]], 2).astype(np.float32), faces
