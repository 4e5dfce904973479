"""What a protector is: face patches in, changed patches out. Pure; state belongs to a track."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from vidanon.types import FaceBatch, Frame, PlanRow, Protected

TrackStates = Mapping[int, Any]  #: track id -> the protector's own bounded state


class Protector(ABC):
    name: str

    @abstractmethod
    def __call__(self, batch: FaceBatch, states: TrackStates) -> tuple[Protected, TrackStates]:
        """Answer for every row of ``batch`` in order; states of tracks not in the batch pass through."""

    def prepare(
        self, frames: Sequence[Frame], rows: Sequence[PlanRow], states: TrackStates
    ) -> tuple[list[PlanRow], TrackStates]:
        """Once per segment, before its first batch: look at all of it. Answers the same rows, maybe with poses."""
        return list(rows), states

    def rejected(self, tracks: Sequence[int], states: TrackStates) -> tuple[frozenset[int], TrackStates]:
        """These tracks are still recognised. Answers which of them it will protect in another way from now on, and are
        worth drawing again; the others are covered."""
        return frozenset(), states
