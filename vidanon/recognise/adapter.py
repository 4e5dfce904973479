"""What every adapter does alike: check the patches, batch them, bring embeddings to the description's metric."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from vidanon.recognise.base import Description
from vidanon.types import ByteArray, FloatArray

BATCH = 32  #: patches per pass: more is no faster on one thread


class Adapter(ABC):
    """A recogniser around somebody's network; a subclass writes :meth:`run`. Thread-safe where ``run`` is."""

    def __init__(self, description: Description, dimensions: int) -> None:
        """dimensions: D, the length of an embedding."""
        self._description = description
        self.dimensions = dimensions

    @property
    def description(self) -> Description:
        return self._description

    @abstractmethod
    def run(self, patches: ByteArray) -> FloatArray:
        """(n, size, size, 3) uint8 RGB, 1 <= n <= BATCH -> (n, D) floating point, as the network gives them."""

    def embed(self, patches: ByteArray) -> FloatArray:
        """(N, size, size, 3) uint8 RGB, aligned to the template -> (N, D) float32, of unit norm for "cosine".

        N = 0 gives (0, D). Raises ValueError for another shape or type.
        """
        side = self._description.size
        if patches.dtype != np.uint8 or patches.ndim != 4 or patches.shape[1:] != (side, side, 3):
            raise ValueError(
                f"{self._description.name}: patches (N, {side}, {side}, 3) uint8 expected, "
                f"got {patches.shape} {patches.dtype}"
            )
        out = np.empty((len(patches), self.dimensions), np.float32)
        for start in range(0, len(patches), BATCH):
            out[start : start + BATCH] = self.run(patches[start : start + BATCH])
        if self._description.metric == "cosine":
            out /= np.linalg.norm(out, axis=1, keepdims=True).clip(1e-9)
        return out


def planes(patches: ByteArray, description: Description) -> FloatArray:
    """(n, S, S, 3) uint8 RGB -> (n, 3, S, S) float32 as the network takes it: its channel order, offset and scale."""
    if description.channels == "bgr":
        patches = patches[..., ::-1]
    values = patches.transpose(0, 3, 1, 2).astype(np.float32)
    if description.offset or description.scale != 1:
        values -= description.offset
        values /= description.scale
    return np.ascontiguousarray(values)
