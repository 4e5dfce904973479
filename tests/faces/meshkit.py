"""A face that is nobody's: 468 points on half an ellipsoid, mirror images in pairs, landmarks where they belong."""

from __future__ import annotations

import numpy as np

from vidanon.faces import mesh_points as mp

MIRROR_PAIRS = (
    (mp.RIGHT_EYE, mp.LEFT_EYE), (mp.RIGHT_BROW, mp.LEFT_BROW), ((mp.MOUTH_RIGHT,), (mp.MOUTH_LEFT,)), ((234,), (454,)),
)  # fmt: skip


def ring(middle, radii, count):
    angles = np.pi - np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([middle[0] + radii[0] * np.cos(angles), middle[1] + radii[1] * np.sin(angles)], 1)


def face(opening: float = 0.12, mouth: float = 0.1) -> np.ndarray:
    """(468, 3): eye distance 1, eyes at (-.5, 0) and (.5, 0), y down; ``opening`` of lids, ``mouth`` of lips."""
    rng = np.random.default_rng(4)
    points = np.zeros((mp.POINTS, 3))
    points[:, :2] = rng.uniform((-1.0, -0.8), (1.0, 1.7), (mp.POINTS, 2))
    eye = ring((-0.5, 0.0), (0.22, opening / 2), len(mp.RIGHT_EYE))
    points[list(mp.RIGHT_EYE), :2] = eye
    points[list(mp.LEFT_EYE), :2] = eye * (-1, 1)
    brow = np.stack([np.linspace(-0.85, -0.2, len(mp.RIGHT_BROW)), np.full(len(mp.RIGHT_BROW), -0.35)], 1)
    points[list(mp.RIGHT_BROW), :2] = brow
    points[list(mp.LEFT_BROW), :2] = brow * (-1, 1)
    points[list(mp.LIPS_OUTER), :2] = ring((0, 1.1), (0.45, 0.15 + mouth / 2), len(mp.LIPS_OUTER))
    points[list(mp.LIPS_INNER), :2] = ring((0, 1.1), (0.38, mouth / 2), len(mp.LIPS_INNER))
    points[list(mp.NOSE), :2] = rng.uniform((-0.2, 0.1), (0.2, 0.75), (len(mp.NOSE), 2))
    points[mp.NOSE_TIP, :2] = (0, 0.65)
    points[list(mp.OVAL), :2] = ring((0, 0.5), (1.1, 1.3), len(mp.OVAL))[np.r_[27:36, 0:27]][::-1]
    points[234, :2], points[454, :2] = (-1.1, 0.5), (1.1, 0.5)
    points[:, 2] = (points[:, 0] / 1.2) ** 2 + ((points[:, 1] - 0.5) / 1.5) ** 2 - 0.5
    points[mp.NOSE_TIP, 2] -= 0.3
    return points


def rotation(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """(3, 3), degrees."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_z @ about_x @ about_y
