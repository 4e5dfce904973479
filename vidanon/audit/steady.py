"""Is it one person through a track of the output? Asked where the output still shows faces, as after a swap.

The embeddings of two judged frames of one track are compared with each other, in the output and, beside it, in the
source: neighbours, which flicker would part, and frames half a track apart, between which a disguise may have drifted
or been exchanged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vidanon.recognise.base import Description, similarities
from vidanon.types import FloatArray


@dataclass(frozen=True)
class Alike:
    """Pairs of frames of one track. Mean cosines, and the shares taken for one person at the threshold given."""

    pairs: int
    output: float
    source: float
    output_same: float
    source_same: float


@dataclass(frozen=True)
class SamePerson:
    """None where there was no such pair."""

    neighbours: Alike | None  #: consecutive judged frames
    apart: Alike | None  #: half a track apart
    #: mean cosine of the source with other people: what is far from 1 for one recogniser is near it for another
    strangers: float | None = None

    @property
    def least(self) -> float | None:
        """The lower of the output's mean cosines."""
        return min((each.output for each in (self.neighbours, self.apart) if each is not None), default=None)


class Pairs:
    """Sums over pairs of frames."""

    def __init__(self, about: Description, least: float) -> None:
        """least: similarity from which two faces are one person's."""
        self._about, self._least = about, least
        self._count = 0
        self._sums = np.zeros((2, 2))  # output, source by cosine, same

    def add(self, output: tuple[FloatArray, FloatArray], source: tuple[FloatArray, FloatArray]) -> None:
        """The (D,) embeddings of both frames, in the output and in the source."""
        self._count += 1
        for sums, (a, b) in zip(self._sums, (output, source), strict=True):
            sums += _cosine(a, b), float(similarities(self._about, a[None], b[None])[0, 0]) >= self._least

    def result(self) -> Alike | None:
        if not self._count:
            return None
        output, source = (self._sums / self._count).tolist()
        return Alike(self._count, output[0], source[0], output[1], source[1])


class Neighbours:
    """Every judged frame of a track with the judged one before it. Frames of a track come in order."""

    def __init__(self, about: Description, least: float) -> None:
        self._pairs = Pairs(about, least)
        self._last: dict[int, tuple[FloatArray, FloatArray]] = {}  #: track -> output, source

    def add(self, track: int, output: FloatArray, source: FloatArray) -> None:
        """(D,) each."""
        before = self._last.get(track)
        if before is not None:
            self._pairs.add((before[0], output), (before[1], source))
        self._last[track] = np.array(output), np.array(source)

    def drop(self, tracks: Iterable[int]) -> None:
        """No more frames of these."""
        for track in tracks:
            self._last.pop(track, None)

    def result(self) -> Alike | None:
        return self._pairs.result()


def among_strangers(faces: Iterable[FloatArray], crowd: FloatArray) -> float | None:
    """Mean cosine of (D,) embeddings with those (N, D) of other people; None without either."""
    alike = [_cosine(face, other) for face in faces for other in crowd]
    return float(np.mean(alike)) if alike else None


def _cosine(a: FloatArray, b: FloatArray) -> float:
    return float(a @ b) / max(1e-12, float(np.linalg.norm(a)) * float(np.linalg.norm(b)))
