"""The 468 points of the face mesh: which belong to what, and what is read off them.

The points are those of the MediaPipe face mesh, in its order. "Right" and "left" are the subject's: the right eye lies
on the left of an upright picture. x to the right, y down, z away from the camera, all three in the same unit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vidanon.types import FloatArray

POINTS = 468

#: closed contours, each point once, in order around
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
LIPS_OUTER = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
LIPS_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
RIGHT_BROW = (46, 53, 52, 65, 55, 70, 63, 105, 66, 107)
LEFT_BROW = (276, 283, 282, 295, 285, 300, 293, 334, 296, 336)
#: bridge, tip, wings and nostrils
NOSE = (
    168, 6, 197, 195, 5, 4, 1, 19, 94, 2, 98, 97, 326, 327, 64, 294, 48, 278, 115, 344, 220, 440, 45, 275, 44, 274,
    125, 354, 237, 457, 218, 438, 79, 309, 129, 358, 49, 279, 131, 360, 102, 331,
)  # fmt: skip

#: (upper lid, lower lid) pairs above one another
RIGHT_LIDS = ((161, 163), (160, 144), (159, 145), (158, 153), (157, 154))
LEFT_LIDS = ((388, 390), (387, 373), (386, 374), (385, 380), (384, 381))
#: (upper, lower) pairs of the inner lips
LIPS = ((81, 178), (82, 87), (13, 14), (312, 317), (311, 402))

NOSE_TIP, MOUTH_RIGHT, MOUTH_LEFT = 1, 61, 291

_CONTOURS = np.array((RIGHT_EYE, LEFT_EYE))
_OTHERS = np.array((NOSE_TIP, MOUTH_RIGHT, MOUTH_LEFT))


def five(points: npt.NDArray[Any]) -> FloatArray:
    """(..., 468, D) -> (..., 5, D): eye on the picture's left, other eye, nose tip, mouth left, mouth right.

    The order of :class:`vidanon.types.Detection`. An eye is the mean of its contour.
    """
    marks = np.empty((*points.shape[:-2], 5, points.shape[-1]), np.float32)
    marks[..., :2, :] = _eyes(points)
    marks[..., 2:, :] = np.take(points, _OTHERS, -2)
    return marks


def eye_distance(points: npt.NDArray[Any]) -> FloatArray:
    """(..., 468, 3) -> (...): the distance of the eyes' centres in space, so that turning the head does not shorten
    it. In the unit of the points."""
    eyes = _eyes(points)
    apart = eyes[..., 0, :] - eyes[..., 1, :]
    return np.asarray(np.sqrt(np.add.reduce(apart * apart, -1)), np.float32)


def _eyes(points: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(..., 468, D) -> (..., 2, D): the means of their contours. Asked many times for every face: np.mean takes longer
    to begin than this takes."""
    return np.asarray(np.add.reduce(np.take(points, _CONTOURS, -2), -2) / len(RIGHT_EYE))


def openness(points: npt.NDArray[Any], pairs: tuple[tuple[int, int], ...]) -> FloatArray:
    """(..., 468, 3) -> (...): mean distance of ``pairs`` (lids or lips), share of the eye distance."""
    upper, lower = (points[..., [pair[side] for pair in pairs], :] for side in (0, 1))
    return np.asarray(np.linalg.norm(upper - lower, axis=-1).mean(-1) / eye_distance(points), np.float32)


def yaw(points: npt.NDArray[Any]) -> FloatArray:
    """(..., 468, 3) -> (...): degrees the face is turned about the vertical, from its plane of mirror points in space.

    Positive: the face looks towards the picture's right. Read from the line between the oval's outermost points, so a
    face that is not symmetric reads a little off.
    """
    across = points[..., 454, :] - points[..., 234, :]
    return np.asarray(np.degrees(np.arctan2(across[..., 2], np.hypot(across[..., 0], across[..., 1]))), np.float32)
