"""Does a recogniser still know the face? One of the leak gate's questions, asked of what was really encoded.

Every so many frames each protected face is cut out of the source and of the decoded output under the source's
landmarks, the easiest case there is for a recogniser. A single frame says little: hair, neck and place alone match in
some. So a track is judged by the median over the frames looked at: where that is a match, the protection has left the
person recognisable.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import median

import numpy as np

from vidanon.faces.align import similarity
from vidanon.faces.gather import sample_rgb
from vidanon.recognise.base import Recogniser, similarities, threshold
from vidanon.types import ByteArray, FloatArray, Frame, PlanRow

MIN_EYES = 20.0  #: px between the eyes, below which recognisers take anybody for anybody
FAR = 0.01  #: share of strangers that would match
_SWAPPED = (1, 0, 2, 4, 3)  #: the landmarks of a mirrored picture, its left first


class Likeness:
    """A recogniser as one of the leak gate's eyes; ``begin`` opens the count of one segment."""

    def __init__(self, recogniser: Recogniser) -> None:
        """Raises KeyError where the recogniser has no threshold at 1 % false accepts."""
        self._recogniser = recogniser
        self._least = threshold(recogniser.description, FAR)

    def begin(self) -> Tally:
        return Tally(self._recogniser, self._least)


class Tally:
    """Faces of one segment before and after; ``known`` says whose track is still recognised."""

    def __init__(self, recogniser: Recogniser, least: float) -> None:
        self._recogniser = recogniser
        self._least = least
        # the template has pixel centres at whole numbers, frames at +0.5
        self._template = np.array(recogniser.description.template, np.float32) + np.float32(0.5)
        self._pairs: dict[int, list[ByteArray]] = defaultdict(list)

    def look(self, source: Frame, output: Frame, row: PlanRow) -> None:
        """Take one face in; one without landmarks, or too small to be judged, is left out."""
        if row.landmarks is None or not np.isfinite(row.landmarks).all():
            return
        if float(np.linalg.norm(row.landmarks[0] - row.landmarks[1])) < MIN_EYES:
            return
        marks = row.landmarks[list(_SWAPPED)] if source.orientation.hflip else row.landmarks
        to_frame = similarity(self._template, marks)
        self._pairs[row.track] += [self._crop(source, to_frame), self._crop(output, to_frame)]

    def known(self) -> dict[int, float]:
        """Track -> median similarity, for the tracks that are still recognised."""
        found: dict[int, float] = {}
        for track, crops in self._pairs.items():
            embeddings = self._recogniser.embed(np.stack(crops))
            alike = similarities(self._recogniser.description, embeddings[0::2], embeddings[1::2]).diagonal()
            middle = float(median(alike.tolist()))
            if not middle < self._least:  # NaN is no proof either
                found[track] = middle
        return found

    def _crop(self, frame: Frame, to_frame: FloatArray) -> ByteArray:
        size = self._recogniser.description.size
        rgb = np.empty((3, size, size), np.float32)
        sample_rgb(frame, to_frame, rgb)
        return np.asarray(np.rint(rgb * 255), np.uint8).transpose(1, 2, 0)
