"""Several detectors as one: what any of them finds counts; what two find of the same face becomes one detection.

The convention every detector here answers in. Box: the face from hairline to chin and ear to ear, as MTCNN frames it;
with d the eye distance of a frontal face, 1.1 d to either side of the point between the eyes, 1.2 d up, 1.8 d down.
Score: comparable with O-Net's probability, so that the tracker's thresholds mean the same for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from vidanon.detect.base import Detector
from vidanon.detect.nms import overlaps
from vidanon.types import ByteArray, Detection, FloatArray

UNSEEN_SIDE = 48  #: px: a face with a longer longer side the witness sees, turned and half hidden ones too
UNSEEN_SCORE = 0.55  #: most that is believed of one it does not see: enough to keep a track alive, not to start one

_SAME_IOU = 0.4  #: two boxes of one face at least overlap so much,
_SAME_CENTRE = 0.3  #: or their centres are as near (share of the smaller one's longer side) ...
_SAME_SIZE = 1.6  #: ... and their longer sides differ at most by this factor


class UnionDetector(Detector):
    """All faces that any of ``detectors`` finds. Thread-safe as they are.

    threshold: least score of a merged detection. witness: name of the one of ``detectors`` that misses no large face;
    what only others take for one (a print on a shirt, folded hands, a door) is doubted: see UNSEEN_SCORE.
    """

    def __init__(self, detectors: Sequence[Detector], threshold: float = 0.0, witness: str | None = None) -> None:
        if not detectors:
            raise ValueError("a union needs at least one detector")
        self.detectors = tuple(detectors)
        self.threshold = threshold
        self.witness = witness
        self.name = "+".join(d.name for d in self.detectors)

    def detect(self, images: Sequence[ByteArray]) -> list[list[Detection]]:
        answers = [detector.detect(images) for detector in self.detectors]
        merged = ([self._doubted(d) for d in merge(per_image)] for per_image in zip(*answers, strict=True))
        return [[d for d in faces if d.score >= self.threshold] for faces in merged]

    def _doubted(self, d: Detection) -> Detection:
        if self.witness is None or self.witness in d.detector.split("+"):
            return d
        large = float((d.box[2:] - d.box[:2]).max()) >= UNSEEN_SIDE
        return replace(d, score=min(d.score, UNSEEN_SCORE)) if large else d


class UnionRefiner:
    """Several refiners as one: the first looks where it is told to, each later one where the face was found so far.

    What several of them see is fused as a union of detectors does it, with the later one's landmarks (order them coarse
    to fine), if it is the same face; else the better score wins.
    """

    def __init__(self, refiners: Sequence[_Refines]) -> None:
        if not refiners:
            raise ValueError("a union needs at least one refiner")
        self.refiners = tuple(refiners)

    def refine(self, images: Sequence[ByteArray], boxes: Sequence[FloatArray]) -> list[list[Detection | None]]:
        """As each refiner: per picture and box the face there, or None."""
        known: list[list[Detection | None]] = [[None] * len(b) for b in boxes]
        for refiner in self.refiners:
            places = [
                np.array([b if d is None else d.box for b, d in zip(given, seen, strict=True)], np.float32).reshape(
                    -1, 4
                )
                for given, seen in zip(boxes, known, strict=True)
            ]
            answers = refiner.refine(images, places)
            known = [
                [_both(a, b) for a, b in zip(seen, new, strict=True)] for seen, new in zip(known, answers, strict=True)
            ]
        return known


class _Refines(Protocol):
    def refine(self, images: Sequence[ByteArray], boxes: Sequence[FloatArray]) -> list[list[Detection | None]]: ...


def _both(a: Detection | None, b: Detection | None) -> Detection | None:
    if a is None or b is None:
        return b if a is None else a
    if same_face(a.box[None], b.box[None])[0, 0] > 0:
        return replace(fuse(a, b), landmarks=a.landmarks if b.landmarks is None else b.landmarks)
    return a if a.score >= b.score else b


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
