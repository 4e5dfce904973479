"""Where a portrait shows skin and where hair, ears or jewellery lie over the rim of its face."""

from __future__ import annotations

import cv2
import numpy as np

from vidanon.faces.mesh_points import LEFT_BROW, LEFT_EYE, LIPS_OUTER, OVAL, RIGHT_BROW, RIGHT_EYE, eye_distance
from vidanon.swap.base import Donor
from vidanon.swap.light import smoothed
from vidanon.types import ByteArray, FloatArray

_RIM = 0.45  #: share of the eye distance inside the oval in which there may be hair; further in is all face
_DARKER, _LIGHTER, _OTHER = 20.0, 32.0, 16.0  #: Lab: away from the skin around, by so much it is no skin
_OUTER = 0.06  #: share of the eye distance: so near the oval, it comes from outside
_SOFT = 0.03  #: share of the eye distance
_BESIDE = 4  #: px around the oval that are looked at


def skin(donor: Donor) -> FloatArray:
    """(H, W) in [0, 1]: 1 on skin and on the middle of the face, 0 on what lies over its rim, and outside the oval."""
    out = np.zeros(donor.image.shape[:2], np.float32)
    oval = donor.points[list(OVAL), :2]
    (x0, y0), (x1, y1) = (oval.min(0) - _BESIDE).astype(int).clip(0), (oval.max(0) + _BESIDE).astype(int).clip(1)
    part = donor.image[y0:y1, x0:x1]
    if part.size:
        out[y0:y1, x0:x1] = _skin(part, donor.points[:, :2] - np.array([x0, y0], np.float32))
    return out


def _skin(image: ByteArray, points: FloatArray) -> FloatArray:
    unit = float(eye_distance(points))
    rgb = image.astype(np.float32) / np.float32(255)
    lab: FloatArray = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab), np.float32)
    oval = _filled(points, OVAL, lab.shape[:2])
    features = np.zeros_like(oval)
    for part in (RIGHT_EYE, LEFT_EYE, LIPS_OUTER):
        features |= _filled(points, part, lab.shape[:2])
    kept = features.copy()
    for brow in (RIGHT_BROW, LEFT_BROW):
        features |= _filled(points, brow, lab.shape[:2])
    kept, features = (
        np.asarray(cv2.dilate(f, np.ones((3, 3), np.uint8), iterations=max(1, round(0.06 * unit))), np.uint8)
        for f in (kept, features)
    )
    deep = np.asarray(cv2.distanceTransform(oval, cv2.DIST_L2, cv2.DIST_MASK_5) / unit, np.float32)
    plain = (deep > 0.2) & (features == 0)
    weight = plain.astype(np.float32)
    # the skin's own colour changes over a face: what is around, from further in
    sigma = 0.45 * unit
    spread = smoothed(np.dstack([lab * weight[..., None], weight]), sigma)
    around = spread[..., :3] / np.maximum(spread[..., 3:], 1e-4)
    away = lab - around
    foreign = (
        (away[..., 0] < -_DARKER) | (away[..., 0] > _LIGHTER) | (np.hypot(away[..., 1], away[..., 2]) > _OTHER)
    ) & (deep < _RIM)
    looks_foreign = foreign
    foreign = foreign & (features == 0)
    # hair and ears reach in from outside; what lies within is a fold or a mole, and the face's own
    _, parts = cv2.connectedComponents(foreign.astype(np.uint8))
    reaching = np.unique(parts[foreign & (deep < _OUTER)])
    foreign = np.isin(parts, reaching[reaching > 0])
    # a brow is dark as hair is: where hair lies around it, it is hair
    brows = looks_foreign & (features > 0) & (kept == 0)
    foreign |= brows & _at_nearest(foreign, features)
    grown = cv2.dilate(foreign.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(1, round(0.03 * unit)))
    out = ((grown == 0) & (oval > 0)).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(out, (0, 0), max(_SOFT * unit, 0.5)) * out, np.float32)


def _filled(points: FloatArray, part: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    picture = np.zeros(shape, np.uint8)
    outline = points[list(part), :2]
    if part in (RIGHT_BROW, LEFT_BROW):
        outline = np.asarray(cv2.convexHull(outline)[:, 0], np.float32)
    cv2.fillPoly(picture, [np.rint(outline - 0.5).astype(np.int32)], 1)
    return picture


def _at_nearest(values: np.ndarray, features: np.ndarray) -> np.ndarray:
    """(H, W) bool ``values`` as they are at the nearest pixel that is no feature."""
    _, labels = cv2.distanceTransformWithLabels(features, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL)
    at = np.zeros(int(labels.max()) + 1, np.bool_)
    plain = features == 0
    at[labels[plain]] = values[plain]
    return np.asarray(at[labels])
