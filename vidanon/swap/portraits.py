"""From a portrait to what a donor needs: its face found, looked at by the mesh, judged, and brought to one framing."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vidanon.detect.base import Detector
from vidanon.faces.align import apply, similarity
from vidanon.faces.mesh import MeshFinder, cut_crop
from vidanon.faces.mesh_points import LEFT_LIDS, LIPS, RIGHT_LIDS, eye_distance, five, openness, yaw
from vidanon.recognise.base import Recogniser
from vidanon.recognise.crop import crop
from vidanon.types import ByteArray, FloatArray

SIDE = 384  #: px of a donor's picture
EYES = 84.0  #: px between its eyes
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
#: shares of SIDE: where the five landmarks of an average face lie in the picture
TEMPLATE = ((0.391, 0.443), (0.609, 0.443), (0.5, 0.566), (0.403, 0.653), (0.597, 0.653))
LEAST_EYES = 43.0  #: px between the eyes of a portrait: below, it is too coarse
MOST_YAW = 8.0  #: degrees a portrait may be turned
MOST_LIPS = 0.085  #: of the eye distance, between the lips of a closed mouth: full lips read so far apart
LEAST_LIDS = 0.06  #: of the eye distance, between the lids of open eyes
LEAST_SURE = 0.85  #: the mesh's confidence
_SCORE = 0.85  # of a detection that is a face
_MOST_SIDE = 768  # px of a picture kept of a large portrait
_LOOK = 640  # px: larger pictures are searched for faces at this size


class Unusable(Exception):
    """A portrait that cannot be a donor; the message says why, in half a line."""


@dataclass(frozen=True)
class Portrait:
    """A face and its mesh."""

    image: ByteArray  #: (H, W, 3) uint8 RGB
    points: FloatArray  #: (468, 3) px of ``image``


def read_picture(path: Path) -> ByteArray:
    """(h, w, 3) uint8 RGB. Raises Unusable."""
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
    except OSError as error:
        raise Unusable(f"cannot be read ({error.strerror})") from error
    picture: Any = None
    with contextlib.suppress(cv2.error):  # more pixels than OpenCV decodes
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if picture is None:
        raise Unusable("not a picture that can be decoded")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def find_face(rgb: ByteArray, finder: MeshFinder, detector: Detector) -> tuple[FloatArray, float]:
    """The one face of a picture: its mesh (468, 3) px and the mesh's confidence.

    Raises Unusable where there is none, or more than one that is large.
    """
    less = min(1.0, _LOOK / max(rgb.shape[:2]))
    size = (max(1, round(rgb.shape[1] * less)), max(1, round(rgb.shape[0] * less)))
    small = rgb if less == 1 else np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
    found = [d for d in detector.detect([small])[0] if d.score >= _SCORE]
    if not found:
        raise Unusable("no face in it")
    found.sort(key=lambda d: d.box[2] - d.box[0], reverse=True)
    if len(found) > 1 and _width(found[1].box) > _width(found[0].box) / 2:
        raise Unusable("more than one face in it")
    back = np.array([rgb.shape[1] / size[0], rgb.shape[0] / size[1]], np.float32)
    box, marks = found[0].box * np.tile(back, 2), found[0].landmarks
    meshes = finder.detect_picture(rgb, box[None], None if marks is None else (marks * back)[None], looks=3)
    if not np.isfinite(meshes.points).all():
        raise Unusable("no face in it")
    return meshes.points[0], float(meshes.confidence[0])


def judge(points: FloatArray, confidence: float) -> None:
    """Raises Unusable where a face with this mesh is no donor."""
    if (eyes := float(eye_distance(points))) < LEAST_EYES:
        raise Unusable(f"too small: {eyes:.0f} px between the eyes, {LEAST_EYES:.0f} wanted")
    if confidence < LEAST_SURE:
        raise Unusable("face partly hidden, turned or unclear")
    if abs(turned := float(yaw(points))) > MOST_YAW:
        raise Unusable(f"turned by {abs(turned):.0f} degrees")
    if float(openness(points, LIPS)) > MOST_LIPS:
        raise Unusable("mouth open")
    if min(float(openness(points, lids)) for lids in (RIGHT_LIDS, LEFT_LIDS)) < LEAST_LIDS:
        raise Unusable("eyes closed")


def to_canvas(points: FloatArray, side: int = SIDE) -> FloatArray:
    """(468, 3) mesh of a portrait -> (2, 3): portrait to a square of ``side`` px, the face upright in it."""
    return similarity(five(points)[:, :2], np.array(TEMPLATE, np.float32) * side)


def moved(points: FloatArray, transform: FloatArray) -> FloatArray:
    """(468, 3) through a (2, 3) similarity; z is scaled along."""
    scale = float(np.sqrt(abs(np.linalg.det(transform[:, :2].astype(np.float64)))))
    return np.concatenate([apply(transform, points[:, :2]), points[:, 2:] * np.float32(scale)], 1)


def framed(rgb: ByteArray, points: FloatArray) -> Portrait:
    """A portrait in a donor's framing: a square of SIDE px, more (to twice that) where it shows more."""
    detail = float(eye_distance(points)) / EYES
    side = int(min(_MOST_SIDE, max(SIDE, round(SIDE * detail))))
    forth = to_canvas(points, side)
    back = cv2.invertAffineTransform(forth.astype(np.float64)).astype(np.float32)
    return Portrait(np.asarray(cut_crop(rgb, back, side), np.uint8), moved(points, forth))


def face_crop(portrait: Portrait, recogniser: Recogniser) -> ByteArray:
    """The (size, size, 3) crop that ``recogniser`` wants of a portrait."""
    return crop(portrait.image, five(portrait.points)[:, :2], recogniser.description)


def _width(box: FloatArray) -> float:
    return float(box[2] - box[0])
