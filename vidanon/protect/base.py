"""What a protector is: face patches in, changed patches out. Pure; state belongs to a track."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from vidanon.types import FaceBatch, Protected

TrackStates = Mapping[int, Any]  #: track id -> the protector's own bounded state


class Protector(ABC):
    name: str

    @abstractmethod
    def __call__(self, batch: FaceBatch, states: TrackStates) -> tuple[Protected, TrackStates]:
        """Answer for every row of ``batch`` in order; states of tracks not in the batch pass through."""
