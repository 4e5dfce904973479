"""How far a landmark network is from its teacher, on faces it was not trained on, sharp and small."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vidanon.faces.align import apply
from vidanon.faces.mesh import SIZE, MeshFinder
from vidanon.faces.mesh_points import LEFT_LIDS, LIPS, RIGHT_LIDS, eye_distance, five, openness, yaw
from vidanon.train.mesh_pool import CANVAS, STEP, MeshPool
from vidanon.types import ByteArray, FloatArray

_EDGES = (15, 30, 45)  # degrees of yaw between the groups that are told apart


@dataclass(frozen=True)
class Condition:
    """How a picture is made worse before the network sees it."""

    name: str
    eyes: float = np.inf  #: px, eye distance it is shrunk to where that is less
    blur: float = 0.0  #: sigma, share of the eye distance


CONDITIONS = (
    Condition("as it is"),
    Condition("24 px, blurred", 24, 0.06),
    Condition("16 px", 16),
    Condition("12 px", 12),
    Condition("8 px", 8),
)


def worsen(picture: ByteArray, eyes: float, condition: Condition) -> tuple[ByteArray, FloatArray]:
    """(h, w, 3) picture with a face of ``eyes`` px eye distance -> the worse one, and (2, 3) picture to it."""
    share = min(1.0, condition.eyes / eyes)
    height, width = (max(1, round(side * share)) for side in picture.shape[:2])
    small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA) if share < 1 else picture
    if condition.blur:
        small = cv2.GaussianBlur(small, (0, 0), condition.blur * eyes * share)
    across, down = width / picture.shape[1], height / picture.shape[0]
    return np.asarray(small, np.uint8), np.array([[across, 0, 0], [0, down, 0]], np.float32)


def errors(found: FloatArray, wanted: FloatArray) -> FloatArray:
    """(N, 468, 3) twice -> (N,): mean distance of the points in the picture, share of the eye distance (in space)."""
    away = np.linalg.norm((found - wanted)[..., :2], axis=-1).mean(-1)
    return np.asarray(away / eye_distance(wanted), np.float32)


def look(
    finder: MeshFinder, picture: ByteArray, landmarks: FloatArray, eyes: float, condition: Condition
) -> tuple[FloatArray, float]:
    """The mesh (468, 3) in the picture's pixels, of what the condition leaves of it, and the confidence."""
    worse, to_worse = worsen(picture, eyes, condition)
    box = np.zeros((1, 4), np.float32)
    meshes = finder.detect_picture(worse, box, apply(to_worse, landmarks)[None])
    points = meshes.points[0]
    scale = (to_worse[0, 0], to_worse[1, 1], np.sqrt(to_worse[0, 0] * to_worse[1, 1]))
    return np.asarray(points / scale, np.float32), float(meshes.confidence[0])


def measure(finder: MeshFinder, pool: MeshPool) -> dict[str, dict[str, float]]:
    """Figures by condition, of the faces held out, placed as their detector's landmarks say; and of turned views.

    For each: number of faces, mean and 95th percentile of the error, mean error of lid and lip openness (share of the
    eye distance), mean confidence, and its rank correlation with the error.
    """
    held = pool.known(held=True)
    pictures = [int(p) for p, view in held.tolist() if view == 0]
    result = {}
    spot = (five(pool.anatomy.mean)[:, :2] * SIZE - SIZE / 2) * np.float32(STEP) + CANVAS / 2
    for condition in CONDITIONS if pictures else ():
        wanted = np.stack([pool.meshes[p, 0] for p in pictures])
        distance = eye_distance(wanted)
        seen = [
            look(finder, np.asarray(pool.faces[p, 0]), spot, float(d), condition)
            for p, d in zip(pictures, distance, strict=True)
        ]
        result[condition.name] = figures(np.stack([s[0] for s in seen]), wanted, np.array([s[1] for s in seen]))
    views = [(int(p), int(view)) for p, view in held.tolist() if view > 0]
    if views:
        wanted = np.stack([pool.meshes[v] for v in views])
        turned = np.abs(yaw(wanted))
        seen = []
        for v, mesh, distance_of in zip(views, wanted, eye_distance(wanted), strict=True):
            seen.append(look(finder, np.asarray(pool.faces[v]), five(mesh)[:, :2], float(distance_of), CONDITIONS[0]))
        found, sure = np.stack([s[0] for s in seen]), np.array([s[1] for s in seen])
        for low, high in zip((0, *_EDGES), (*_EDGES, 90), strict=True):
            group = (turned >= low) & (turned < high)
            if group.any():
                result[f"views turned {low} to {high} degrees"] = figures(found[group], wanted[group], sure[group])
    return result


def figures(found: FloatArray, wanted: FloatArray, confidence: FloatArray) -> dict[str, float]:
    """See :func:`measure`."""
    away = errors(found, wanted)
    lids = [abs(openness(found, pairs) - openness(wanted, pairs)).mean() for pairs in (RIGHT_LIDS, LEFT_LIDS)]
    ranks = [values.argsort().argsort().astype(np.float64) for values in (-away, confidence)]
    return {
        "faces": len(away),
        "error": round(float(away.mean()), 4),
        "error_95": round(float(np.percentile(away, 95)), 4),
        "lids": round(float(np.mean(lids)), 4),
        "lips": round(float(abs(openness(found, LIPS) - openness(wanted, LIPS)).mean()), 4),
        "confidence": round(float(confidence.mean()), 3),
        "rank": round(float(np.asarray(np.corrcoef(np.stack(ranks)))[0, 1]), 3) if len(away) > 1 else float("nan"),
    }
