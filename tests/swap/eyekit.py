"""Painted portraits whose eyes look where they are told to, painted by other means than the package's own."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import torch

from vidanon.faces.mesh import load_mesh
from vidanon.faces.mesh_points import LEFT_EYE, RIGHT_EYE, eye_distance
from vidanon.runtime.device import Runtime
from vidanon.swap.base import Donor

SKIN = (0.78, 0.58, 0.47)
SCLERA = (0.86, 0.84, 0.82)
IRIS = (0.22, 0.30, 0.42)
LASH = (0.16, 0.11, 0.09)
RADIUS = 0.085  #: of an iris, share of the eye distance
_FINE = 4


@cache
def _mean() -> np.ndarray:
    return load_mesh(Runtime(torch.device("cpu"), 1)).mean.astype(np.float64)


def mesh(unit: float, openness: float = 1.0, roll: float = 0.0) -> np.ndarray:
    """(468, 3) px: the average face of that eye distance in the middle of a picture of 2.4 of it a side.

    openness: of the eyelids, 0 closed; roll: degrees.
    """
    points = _mean() * (unit / float(eye_distance(_mean())))
    for eye in (RIGHT_EYE, LEFT_EYE):
        upper, lower = points[[eye[i] for i in range(15, 8, -1)]], points[[eye[i] for i in range(1, 8)]]
        points[[eye[i] for i in range(15, 8, -1)]] = lower + openness * (upper - lower)
    turn = np.deg2rad(roll)
    points[:, :2] -= points[[33, 263], :2].mean(0)
    points[:, :2] @= np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    points[:, :2] += 1.2 * unit
    return points.astype(np.float32)


def paint(points: np.ndarray, gaze=(0.0, -0.04), *, glint: bool = True, iris=IRIS, skin=SKIN) -> np.ndarray:
    """(S, S, 3) float32 RGB in [0, 1]: skin, and eyes in the openings of ``points``, by plain polygons and circles."""
    unit = float(eye_distance(points))
    side = int(round(2.4 * unit)) * _FINE
    picture = np.empty((side, side, 3), np.float32)
    picture[:] = skin
    for eye in (RIGHT_EYE, LEFT_EYE):
        contour = points[list(eye), :2].astype(np.float64) * _FINE
        left, right = sorted((contour[0], contour[8]), key=lambda at: at[0])
        along = right - left
        down = np.array([-along[1], along[0]])
        centre = (left + right) / 2 + gaze[0] * along + gaze[1] * down
        polygon = np.rint((contour - 0.5) * 16).astype(np.int32)
        opening = np.zeros((side, side), np.uint8)
        cv2.fillPoly(opening, [polygon], 1, cv2.LINE_8, 4)
        ball = np.empty_like(picture)
        ball[:] = SCLERA
        fixed = tuple(np.rint((centre - 0.5) * 16).astype(int).tolist())
        cv2.circle(ball, fixed, int(RADIUS * unit * _FINE * 16), iris, -1, cv2.LINE_8, 4)
        cv2.circle(ball, fixed, int(0.35 * RADIUS * unit * _FINE * 16), (0.04, 0.04, 0.04), -1, cv2.LINE_8, 4)
        if glint:
            spot = np.rint((centre + RADIUS * unit * _FINE * np.array([0.3, -0.35]) - 0.5) * 16).astype(int)
            cv2.circle(ball, tuple(spot.tolist()), int(0.15 * RADIUS * unit * _FINE * 16), (1, 1, 1), -1, cv2.LINE_8, 4)
        picture = np.where(opening[..., None] > 0, ball, picture)
        line = polygon[[0, 15, 14, 13, 12, 11, 10, 9, 8]]
        thick = max(1, round(0.025 * unit * _FINE))
        cv2.polylines(picture, [line], False, LASH, thick, cv2.LINE_8, 4)
    out = cv2.resize(picture, (side // _FINE, side // _FINE), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(out, (0, 0), 0.5)


def filmed(picture: np.ndarray, seed: int = 0, noise: float = 0.02, quality: int = 70, blur: float = 0.6) -> np.ndarray:
    """(S, S, 3) uint8: as a camera and a codec would leave it."""
    rng = np.random.default_rng(seed)
    seen = cv2.GaussianBlur(picture, (0, 0), blur) + rng.normal(0, noise, picture.shape)
    ok, data = cv2.imencode(".jpg", (seen.clip(0, 1) * 255).astype(np.uint8)[..., ::-1], [1, quality])
    assert ok
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


def donor(unit: float = 80, gaze=(0.03, -0.05), **paints) -> Donor:
    points = mesh(unit)
    image = (paint(points, gaze, **paints) * 255).round().astype(np.uint8)
    return Donor("painted", image, points, 0.5, 30.0, 30.0, np.zeros(8, np.float32))
