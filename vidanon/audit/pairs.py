"""Frames of the original with those of the output, by time; and whether they really show the same moment.

Times say which frames belong together, and can be rewritten. So the picture beside the faces is compared too: where
something moves, an output frame must be nearer to its own original frame than to those before and after it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon.types import ByteArray, FloatArray, Frame

TOLERANCE = Fraction(2, 1000)  #: s, at most, for containers that round times
REACH = 3  #: frames before and after that an output frame is compared with
THUMB = 320  #: px, longer side of the pictures compared
MOVED = 12.0  #: grey levels of 255 that a pixel must change by for its frame to be told from a neighbour
MOVING = 40  #: such pixels needed
MISPLACED = 2  #: frames nearer to a neighbour than to their own that make a shift
OTHER_PICTURE = 25.0  #: mean grey levels off the face: this is no copy of that picture
FLAT = 3.0  #: standard deviation in grey levels of a frame covered whole
_SHOWN = 10


@dataclass
class Pairing:
    """How the frames of the two files belong together."""

    paired: int = 0
    missing: int = 0  #: frames of the original without one in the output
    extra: int = 0  #: frames of the output without one in the original
    first_missing: list[int] = field(default_factory=list)  #: frame numbers, the first few
    sizes: str = ""  #: "" or how the pictures differ in size
    judged: int = 0  #: frames with enough movement beside the faces to tell them from their neighbours
    misplaced: dict[int, int] = field(default_factory=dict)  #: frames off -> how many frames show that other moment
    first_misplaced: list[int] = field(default_factory=list)
    other: int = 0  #: frames whose surroundings are not the original's
    whole: int = 0  #: frames covered whole

    def problems(self) -> list[str]:
        """What is wrong, a line each; empty where every frame has its own."""
        found = []
        if self.sizes:
            found.append(self.sizes)
        if self.missing:
            where = ", ".join(map(str, self.first_missing))
            found.append(f"{self.missing} frames of the original have none at their time in the output (first {where})")
        if self.extra:
            found.append(f"{self.extra} frames of the output have none at their time in the original")
        off = {d: n for d, n in self.misplaced.items() if n >= MISPLACED}
        if off:
            most = max(off, key=lambda d: off[d])
            where = ", ".join(map(str, self.first_misplaced))
            found.append(
                f"the output is shifted: {sum(off.values())} frames show another moment than their time says, "
                f"{off[most]} of them that of {abs(most)} frame{'s' if abs(most) > 1 else ''} "
                f"{'later' if most > 0 else 'earlier'} (first {where})"
            )
        if self.other:
            found.append(f"{self.other} frames of the output do not show the original's picture beside the faces")
        if not self.paired:
            found.append("no frame of the output belongs to one of the original")
        return found


class Pairer:
    """Takes frames of the original in order and answers each with the output's frame at the same time.

    Times count from each file's first frame.
    """

    def __init__(self, protected: Iterator[Frame]) -> None:
        self._frames = protected
        self._next = next(protected, None)
        self._start = None if self._next is None else _time(self._next)
        self._original_start: Fraction | None = None
        self.pairing = Pairing()

    def match(self, original: Frame) -> Frame | None:
        if self._original_start is None:
            self._original_start = _time(original)
        wanted = _time(original) - self._original_start
        tolerance = _tolerance(original, self._next)
        while self._next is not None and self._start is not None:
            away = _time(self._next) - self._start - wanted
            if abs(away) <= tolerance:
                found = self._next
                self._next = next(self._frames, None)
                self.pairing.paired += 1
                return found
            if away > 0:
                break
            self.pairing.extra += 1
            self._next = next(self._frames, None)
        self.pairing.missing += 1
        if len(self.pairing.first_missing) < _SHOWN:
            self.pairing.first_missing.append(original.index)
        return None

    def finish(self) -> None:
        """What is left of the output belongs to nothing."""
        while self._next is not None:
            self.pairing.extra += 1
            self._next = next(self._frames, None)


def _time(frame: Frame) -> Fraction:
    return frame.pts * frame.time_base


def _tolerance(original: Frame, protected: Frame | None) -> Fraction:
    if protected is None or protected.time_base == original.time_base:
        return Fraction(0)
    return min(protected.time_base, TOLERANCE)


@dataclass(frozen=True)
class _Thumbs:
    index: int
    original: FloatArray  #: (h, w) grey levels
    protected: FloatArray
    free: NDArray[np.bool_]  #: (h, w) True off the faces


class Content:
    """Whether each output frame shows the moment its time says. Frames come in order, REACH are held on each side."""

    def __init__(self, pairing: Pairing) -> None:
        self._pairing = pairing
        self._held: deque[_Thumbs] = deque(maxlen=2 * REACH + 1)
        self._votes: Counter[int] = Counter()
        self._at = 0  #: position in ``_held`` of the next frame to judge

    def add(self, index: int, original: ByteArray, protected: ByteArray, boxes: Sequence[FloatArray]) -> bool:
        """(h, w, 3) RGB of both, of one size; ``boxes`` (4,) hold the faces and what was painted around them.

        Returns whether the output frame is covered whole.
        """
        scale = min(1.0, THUMB / max(original.shape[:2]))
        a, b = _thumb(original, scale), _thumb(protected, scale)
        whole = float(b.std()) < FLAT < float(a.std())
        if whole:
            self._pairing.whole += 1
        free = np.full(a.shape, not whole, np.bool_)
        for box in boxes:
            x0, y0, x1, y1 = (float(v) * scale for v in box)
            free[max(0, int(y0)) : max(0, int(np.ceil(y1))), max(0, int(x0)) : max(0, int(np.ceil(x1)))] = False
        if free.any() and float(np.abs(a - b)[free].mean()) > OTHER_PICTURE:
            self._pairing.other += 1
        if len(self._held) == self._held.maxlen:
            self._at -= 1
        self._held.append(_Thumbs(index, a, b, free))
        if len(self._held) - self._at > REACH:
            self._judge(self._at)
            self._at += 1
        return whole

    def finish(self) -> None:
        while self._at < len(self._held):
            self._judge(self._at)
            self._at += 1
        self._pairing.misplaced = dict(self._votes)

    def _judge(self, at: int) -> None:
        own = self._held[at]
        told = False
        best: tuple[float, int] | None = None
        for other in self._held:
            off = other.index - own.index
            if off == 0 or abs(off) > REACH:
                continue
            moved = own.free & other.free & (np.abs(own.original - other.original) > MOVED)
            if int(moved.sum()) < MOVING:
                continue
            told = True
            here = float(np.abs(own.protected - own.original)[moved].mean())
            there = float(np.abs(own.protected - other.original)[moved].mean())
            ratio = there / max(here, 1e-6)
            if ratio < 0.5 and (best is None or ratio < best[0]):
                best = (ratio, off)
        self._pairing.judged += told
        if best is not None:
            self._votes[best[1]] += 1
            if len(self._pairing.first_misplaced) < _SHOWN:
                self._pairing.first_misplaced.append(own.index)


def _thumb(rgb: ByteArray, scale: float) -> FloatArray:
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)


def same_size(original: ByteArray, protected: ByteArray, pairing: Pairing) -> ByteArray | None:
    """The output's picture in the original's size: one line more on an axis is an encoder's padding and is cut.

    None, with a note in ``pairing``, where the sizes differ by more.
    """
    (h, w), (ph, pw) = original.shape[:2], protected.shape[:2]
    if not (0 <= ph - h <= 1 and 0 <= pw - w <= 1):
        pairing.sizes = f"the pictures differ in size: {w}x{h} in the original, {pw}x{ph} in the output"
        return None
    return protected[:h, :w]
