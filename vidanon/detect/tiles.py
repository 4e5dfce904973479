"""Large views: the whole, scaled down, for the large faces, and overlapping tiles at full size for the small ones."""

from __future__ import annotations

import enum
import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from vidanon.detect.base import Detector
from vidanon.detect.nms import overlaps
from vidanon.types import ByteArray, Detection, FloatArray

_OVERLAP = 1.5  #: tiles share at least this many times the smallest face that the scaled whole is sure to show
_SAME = 0.4  #: overlap of two boxes of one face, seen in two places
_INSIDE = 0.7  #: share of a box cut by a tile's border that lies inside another face
_TOUCH = 2.0  #: px from a tile's inner border that count as cut


class Seen(enum.IntEnum):
    """How well a place shows a face, best first."""

    FULL = 0  #: whole in a tile, at full size
    SMALL = 1  #: in the scaled whole
    CUT = 2  #: at a tile's border


class TiledDetector(Detector):
    """``inner`` on views up to ``max_side`` px; on larger ones on the scaled whole and on tiles of that size."""

    def __init__(self, inner: Detector, max_side: int, min_face: int) -> None:
        if max_side < 8 * min_face:
            raise ValueError(f"max_side {max_side} must be at least 8 times min_face {min_face}")
        self.inner = inner
        self.name = inner.name
        self.max_side = max_side
        self.min_face = min_face

    def detect(self, images: Sequence[ByteArray]) -> list[list[Detection]]:
        small = [i for i, image in enumerate(images) if max(image.shape[:2]) <= self.max_side]
        answers: dict[int, list[Detection]] = {}
        if small:  # in one call: the detector may batch
            answers.update(zip(small, self.inner.detect([images[i] for i in small]), strict=True))
        for i, image in enumerate(images):
            if i not in answers:
                answers[i] = self._large(image)
        return [answers[i] for i in range(len(images))]

    def _large(self, image: ByteArray) -> list[Detection]:
        h, w = image.shape[:2]
        scale = self.max_side / max(h, w)
        whole = cv2.resize(image, (max(1, round(w * scale)), max(1, round(h * scale))), interpolation=cv2.INTER_AREA)
        overlap = math.ceil(min(_OVERLAP * self.min_face / scale, self.max_side / 2))
        rows, columns = spans(h, self.max_side, overlap), spans(w, self.max_side, overlap)
        faces: list[Detection] = []
        seen: list[Seen] = []
        for d in self.inner.detect([np.asarray(whole, np.uint8)])[0]:
            faces.append(_moved(d, 0, 0, w / whole.shape[1], h / whole.shape[0]))
            seen.append(Seen.SMALL)
        for (y0, y1), (x0, x1) in itertools.product(rows, columns):
            # one at a time: a tile is a full picture's work, and memory stays that of one
            tile = np.ascontiguousarray(image[y0:y1, x0:x1])
            for d in self.inner.detect([tile])[0]:
                face = _moved(d, x0, y0, 1, 1)
                faces.append(face)
                seen.append(Seen.CUT if touches(face.box, (x0, y0, x1, y1), (w, h)) else Seen.FULL)
        return drop_repeats(faces, seen)


def spans(length: int, most: int, overlap: int) -> list[tuple[int, int]]:
    """Where tiles begin and end along one side: as few of at most ``most`` px as cover it and share at least
    ``overlap`` px, and no larger than they must be."""
    if length <= most:
        return [(0, length)]
    count = math.ceil((length - overlap) / (most - overlap))
    tile = math.ceil((length + (count - 1) * overlap) / count)
    begins = [i * (length - tile) // (count - 1) for i in range(count)]
    return [(begin, begin + tile) for begin in begins]


def touches(box: FloatArray, tile: tuple[int, int, int, int], size: tuple[int, int]) -> bool:
    """True where a box reaches a tile border that is not the picture's: part of the face may lie beyond it."""
    x0, y0, x1, y1 = tile
    w, h = size
    return bool(
        (x0 > 0 and box[0] < x0 + _TOUCH)
        or (y0 > 0 and box[1] < y0 + _TOUCH)
        or (x1 < w and box[2] > x1 - _TOUCH)
        or (y1 < h and box[3] > y1 - _TOUCH)
    )


def drop_repeats(faces: Sequence[Detection], seen: Sequence[Seen]) -> list[Detection]:
    """One detection per face, best score first: the best seen one's box and landmarks, the best score. A cut one goes
    also where it lies inside another, and stays where nothing else shows that face."""
    order = sorted(range(len(faces)), key=lambda i: (seen[i], -faces[i].score))
    kept: list[Detection] = []
    for i in order:
        if kept:
            box, others = faces[i].box[None], np.stack([d.box for d in kept])
            same = overlaps(box, others)[0]
            best = int(same.argmax())
            if same[best] > _SAME:
                kept[best] = replace(kept[best], score=max(kept[best].score, faces[i].score))
                continue
            if seen[i] is Seen.CUT and overlaps(box, others, "min").max() > _INSIDE:
                continue
        kept.append(faces[i])
    return sorted(kept, key=lambda d: -d.score)


def _moved(d: Detection, x: float, y: float, scale_x: float, scale_y: float) -> Detection:
    scale, origin = np.array([scale_x, scale_y], np.float32), np.array([x, y], np.float32)
    landmarks = None if d.landmarks is None else d.landmarks * scale + origin
    return replace(d, box=d.box * np.tile(scale, 2) + np.tile(origin, 2), landmarks=landmarks)
