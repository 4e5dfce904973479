"""Does a recogniser still know the face? One of the leak gate's questions, asked of what was really encoded.

Every so many frames each protected face is cut out of the source and of the decoded output under the source's
landmarks, the easiest case there is for a recogniser. A single frame says little: hair, neck and place alone match in
some. So a track is judged by the median over the frames looked at: where that is a match, the protection has left the
person recognisable.

Where the surroundings alone match, a cover would change nothing: beside each protected face the same face under a solid
fill is looked at, and a track counts as recognised only where it is more like the source than that.
"""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import median

import numpy as np

from vidanon.faces.align import invert, move_box, similarity
from vidanon.faces.gather import sample_rgb
from vidanon.faces.mesh import MeshFinder
from vidanon.recognise.base import Recogniser, similarities, threshold
from vidanon.types import ByteArray, FloatArray, Frame, PlanRow

MIN_EYES = 20.0  #: px between the eyes, below which recognisers take anybody for anybody
FAR = 0.01  #: share of strangers that would match
NO_FACE = 0.05  #: confidence of the dense landmarks below which what a detector took for a face is none
ABOVE = 0.05  #: similarity by which a protected face is to exceed the solid fill for a cover to change anything
FILL = 64  #: grey of a solid cover
_SWAPPED = (1, 0, 2, 4, 3)  #: the landmarks of a mirrored picture, its left first


class Likeness:
    """A recogniser as one of the leak gate's eyes; ``begin`` opens the count of one segment."""

    def __init__(self, recogniser: Recogniser, finder: MeshFinder | None = None) -> None:
        """finder: tells whether there is a face at all; None: every row is taken for one. Raises KeyError where the
        recogniser has no threshold at 1 % false accepts."""
        self._recogniser = recogniser
        self._finder = finder
        self._least = threshold(recogniser.description, FAR)

    def begin(self) -> Tally:
        return Tally(self._recogniser, self._least, self._finder)


class Tally:
    """Faces of one segment before and after; ``known`` says whose track is still recognised."""

    def __init__(self, recogniser: Recogniser, least: float, finder: MeshFinder | None) -> None:
        self._recogniser = recogniser
        self._finder = finder
        self._least = least
        # the template has pixel centres at whole numbers, frames at +0.5
        self._template = np.array(recogniser.description.template, np.float32) + np.float32(0.5)
        self._faces: dict[int, list[ByteArray]] = defaultdict(list)

    def look(self, source: Frame, output: Frame, row: PlanRow) -> None:
        """Take one face in; one without landmarks, too small, or in which no face is seen, is left out."""
        if row.landmarks is None or not np.isfinite(row.landmarks).all():
            return
        if float(np.linalg.norm(row.landmarks[0] - row.landmarks[1])) < MIN_EYES:
            return
        if self._finder is not None:
            seen = self._finder.detect(source, row.box[None], row.landmarks[None])
            if float(seen.confidence[0]) < NO_FACE:
                return
        marks = row.landmarks[list(_SWAPPED)] if source.orientation.hflip else row.landmarks
        to_frame = similarity(self._template, marks)
        clear, shown = self._crop(source, to_frame), self._crop(output, to_frame)
        self._faces[row.track] += [clear, shown, _filled(clear, move_box(invert(to_frame), row.box))]

    def known(self) -> dict[int, float]:
        """Track -> median similarity, for the tracks that are still recognised."""
        found: dict[int, float] = {}
        for track, crops in self._faces.items():
            embeddings = self._recogniser.embed(np.stack(crops))
            clear, shown, solid = (embeddings[i::3] for i in range(3))
            middle, floor = self._middle(clear, shown), self._middle(clear, solid)
            if not (middle < self._least or middle < floor + ABOVE):  # NaN is no proof either
                found[track] = middle
        return found

    def _middle(self, clear: FloatArray, other: FloatArray) -> float:
        alike = similarities(self._recogniser.description, clear, other).diagonal()
        return float(median(alike.tolist()))

    def _crop(self, frame: Frame, to_frame: FloatArray) -> ByteArray:
        size = self._recogniser.description.size
        rgb = np.empty((3, size, size), np.float32)
        sample_rgb(frame, to_frame, rgb)
        return np.asarray(np.rint(rgb * 255), np.uint8).transpose(1, 2, 0)


def _filled(crop: ByteArray, box: FloatArray) -> ByteArray:
    """``crop`` with a flat grey over (4,) ``box``, its px."""
    out = crop.copy()
    x0, y0 = (max(0, math.floor(v)) for v in box[:2])
    x1, y1 = (max(0, math.ceil(v)) for v in box[2:])
    out[y0:y1, x0:x1] = FILL
    return out
