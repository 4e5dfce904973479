"""Several detectors as one: what any of them finds counts; what two find of the same face becomes one detection.

The convention every detector here answers in. Box: the face from hairline to chin and ear to ear, as MTCNN frames it;
with d the eye distance of a frontal face, 1.1 d to either side of the point between the eyes, 1.2 d up, 1.8 d down.
Score: comparable with O-Net's probability, so that the tracker's thresholds mean the same for all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidanon.detect.base import Detector
from vidanon.detect.nms import overlaps
from vidanon.types import ByteArray, Detection, FloatArray

_SAME_IOU = 0.4  #: two boxes of one face at least overlap so much,
_SAME_CENTRE = 0.3  #: or their centres are as near (share of the smaller one's longer side) ...
_SAME_SIZE = 1.6  #: ... and their longer sides differ at most by this factor


class UnionDetector(Detector):
    """All faces that any of ``detectors`` finds. Thread-safe as they are.

    threshold: least score of a merged detection.
    """

    def __init__(self, detectors: Sequence[Detector], threshold: float = 0.0) -> None:
        if not detectors:
            raise ValueError("a union needs at least one detector")
        self.detectors = tuple(detectors)
        self.threshold = threshold
        self.name = "+".join(d.name for d in self.detectors)

    def detect(self, images: Sequence[ByteArray]) -> list[list[Detection]]:
        answers = [detector.detect(images) for detector in self.detectors]
        merged = (merge(per_image) for per_image in zip(*answers, strict=True))
        return [[d for d in faces if d.score >= self.threshold] for faces in merged]


def merge(answers: Sequence[Sequence[Detection]]) -> list[Detection]:
    """One list per detector, all of one picture -> one list, best score first.

    Pairs are taken best overlap first; each face of a detector joins at most one of the others'.
    """
    faces: list[Detection] = []
    for found in answers:
        faces = _merge_two(faces, list(found))
    return sorted(faces, key=lambda d: -d.score)


def _merge_two(a: list[Detection], b: list[Detection]) -> list[Detection]:
    if not a or not b:
        return a + b
    likeness = same_face(np.stack([d.box for d in a]), np.stack([d.box for d in b]))
    partner: dict[int, int] = {}
    for flat in np.argsort(-likeness, axis=None, kind="stable").tolist():
        i, j = divmod(flat, len(b))
        if likeness[i, j] <= 0:
            break
        if i not in partner and j not in partner.values():
            partner[i] = j
    joined = [fuse(d, b[partner[i]]) if i in partner else d for i, d in enumerate(a)]
    return joined + [d for j, d in enumerate(b) if j not in partner.values()]


def same_face(a: FloatArray, b: FloatArray) -> FloatArray:
    """(n, m): how surely boxes a (n, 4) and b (m, 4) show one face, 0 where they do not."""
    iou = overlaps(a, b)
    side_a, side_b = ((x[:, 2:4] - x[:, :2]).max(1) for x in (a, b))
    centres = ((a[:, None, :2] + a[:, None, 2:4]) - (b[None, :, :2] + b[None, :, 2:4])) / 2
    distance = np.hypot(centres[..., 0], centres[..., 1])
    small = np.maximum(np.minimum(side_a[:, None], side_b[None, :]), 1e-6)
    ratio = np.maximum(side_a[:, None], side_b[None, :]) / small
    near = (distance <= _SAME_CENTRE * small) & (ratio <= _SAME_SIZE)
    return np.asarray(np.where((iou >= _SAME_IOU) | near, np.maximum(iou, 1e-3), 0), np.float32)


def fuse(a: Detection, b: Detection) -> Detection:
    """Box and landmarks averaged by score (two independent errors are smaller than one), the better score kept:
    two detectors that agree are no independent witnesses, both are fooled by the back of a head."""
    weight = np.float32(a.score / max(a.score + b.score, 1e-6))
    landmarks = b.landmarks if a.landmarks is None else a.landmarks
    if a.landmarks is not None and b.landmarks is not None:
        landmarks = weight * a.landmarks + (1 - weight) * b.landmarks
    box = weight * a.box + (1 - weight) * b.box
    return Detection(box, max(a.score, b.score), landmarks, f"{a.detector}+{b.detector}")
