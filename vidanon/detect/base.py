"""What a face detector is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from vidanon.types import ByteArray, Detection


class Detector(ABC):
    """Finds faces in RGB pictures. Thread-safe: several worker threads call one instance at once."""

    name: str

    @abstractmethod
    def detect(self, images: Sequence[ByteArray]) -> list[list[Detection]]:
        """Each image (h, w, 3) uint8 RGB, sizes may differ; answers in that image's pixels, best score first.

        Low-score candidates are returned too: who decides is the tracker.
        """
