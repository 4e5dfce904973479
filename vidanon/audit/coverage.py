"""Does another detector still find a clear face, in or beside what was covered?

The run's own detectors share their blind spots with the run. The one here that a run never uses is dlib's gradient
detector (extra ``audit``); where it is not installed only the run's are left, and the report says so.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from vidanon.audit.faces import Face
from vidanon.audit.picture import AROUND
from vidanon.detect.base import Detector
from vidanon.faces.cover import grown
from vidanon.types import ByteArray, Detection, FloatArray
from vidanon.verify import MAX_SURVIVING_DETAIL, surviving_detail

LOOK_SIDE = 1280  #: px, longer side of what dlib looks at; smaller pictures are doubled at most
DLIB_FACE = 80  #: px, of its smallest face in that
SURE = 0.4  #: dlib's score from which a face is taken for one
SURE_OTHER = 0.85  #: the same for the run's own kind of detector
_SHOWN = 20


class DlibHog(Detector):
    """dlib's frontal face detector on gradients: no landmarks, faces from DLIB_FACE px that look at the camera."""

    name = "dlib-hog"

    def __init__(self, dlib: Any) -> None:
        self._detector = dlib.get_frontal_face_detector()

    def detect(self, images: Sequence[ByteArray]) -> list[list[Detection]]:
        return [self._one(image) for image in images]

    def _one(self, image: ByteArray) -> list[Detection]:
        scale = min(2.0, LOOK_SIDE / max(image.shape[:2]))
        kernel = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), None, fx=scale, fy=scale, interpolation=kernel)
        boxes, scores, _ = self._detector.run(np.ascontiguousarray(grey), 0, 0.0)
        found = []
        for box, score in zip(boxes, scores, strict=True):
            corners = np.array([box.left(), box.top(), box.right() + 1, box.bottom() + 1], np.float32) / scale
            found.append(Detection(corners.astype(np.float32), float(score), None, self.name))
        return sorted(found, key=lambda d: -d.score)


def independent_detector() -> Detector | None:
    """dlib's, where the extra ``audit`` is installed."""
    try:
        return DlibHog(importlib.import_module("dlib"))
    except ImportError:
        return None


@dataclass
class Coverage:
    """What one detector saw. Counts are of faces in the frames it looked at."""

    detector: str
    took_part: bool  #: whether the run may have used it
    frames: int = 0
    planned: int = 0  #: faces of the plan seen in the original
    found: int = 0  #: of them, found in the original
    still: int = 0  #: of those found, found again in the output (a mask hides a face, a swap keeps one)
    outside: int = 0  #: clear faces outside every track
    outside_at: list[tuple[int, list[int]]] = field(default_factory=list)  #: (frame, box) of the first ones


class CoverageLook:
    """One detector over some frames."""

    def __init__(self, detector: Detector, took_part: bool) -> None:
        self._detector = detector
        self._least = SURE if isinstance(detector, DlibHog) else SURE_OTHER
        self.result = Coverage(detector.name, took_part)

    def add(self, frame: int, faces: Sequence[Face], original: ByteArray, protected: ByteArray) -> None:
        """(h, w, 3) RGB of both."""
        before, after = (
            [d for d in found if d.score >= self._least]
            for found in (self._detector.detect([original])[0], self._detector.detect([protected])[0])
        )
        result = self.result
        result.frames += 1
        for face in faces:
            if face.seen and not face.kept:
                result.planned += 1
                if any(_inside(d, face.box) for d in before):
                    result.found += 1
                    result.still += any(_inside(d, face.box) for d in after)
        known = [grown(face.box, AROUND) for face in faces]
        for d in before:
            if not any(_inside(d, box) for box in known) and _shows(d.box, original, protected):
                result.outside += 1
                if len(result.outside_at) < _SHOWN:
                    result.outside_at.append((frame, [round(float(v)) for v in d.box]))


def _inside(found: Detection, box: FloatArray) -> bool:
    x, y = (found.box[0] + found.box[2]) / 2, (found.box[1] + found.box[3]) / 2
    return bool(box[0] <= x <= box[2] and box[1] <= y <= box[3])


def _shows(box: FloatArray, original: ByteArray, protected: ByteArray) -> bool:
    """Whether the output still has the original's detail there."""
    height, width = original.shape[:2]
    x0, y0 = max(0, int(box[0])), max(0, int(box[1]))
    x1, y1 = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    if x1 - x0 < 8 or y1 - y0 < 8:
        return False
    a, b = (
        np.asarray(cv2.cvtColor(np.ascontiguousarray(p[y0:y1, x0:x1]), cv2.COLOR_RGB2GRAY), np.float32)
        / np.float32(255)
        for p in (original, protected)
    )
    return surviving_detail(a, b) > MAX_SURVIVING_DETAIL
