"""How far a recipe is, and how long it will still take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a stage is."""

    stage: str  #: "faces", "pool", "mixes" or "train"
    done: int
    total: int  #: 0: not known
    left: float  #: seconds left of the stage at the speed so far, NaN where not known
    note: str = ""


class Clock:
    """Turns counts into Progress with the time left."""

    def __init__(self, progress: Callable[[Progress], None]) -> None:
        self._progress = progress
        self._stage = ""
        self._begun, self._first = 0.0, 0

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        if stage != self._stage:  # from here: what was done before, or in the first call, says nothing of the speed
            self._stage, self._begun, self._first = stage, now, done
        speed = (done - self._first) / (now - self._begun) if now > self._begun else 0.0
        left = (total - done) / speed if speed and total else math.nan
        self._progress(Progress(stage, done, total, left, note))
