"""Several recognisers as one: distances in units of each one's own threshold, squared, averaged."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import cv2
import numpy as np

from vidanon.faces.align import apply, similarity
from vidanon.recognise.base import Description, Recogniser
from vidanon.types import ByteArray, FloatArray

FAR = 0.01  #: at whose threshold the members' distances count as 1


class Ensemble:
    """A recogniser made of others. Thread-safe where they are.

    Its patch is large enough for every member's crop. An embedding is the members' embeddings side by side, each
    divided by the distance of its threshold at 1 % FAR (a cosine c is the distance sqrt(2 - 2c) of unit embeddings)
    and by sqrt(K); so the metric is "l2", and -1 is where the members' thresholds lie on average. It declares no
    threshold of its own: those are measured (``vidanon eval lfw``).
    """

    def __init__(self, members: Sequence[Recogniser]) -> None:
        """Raises ValueError for fewer than two members, and KeyError for one without a threshold at 1 % FAR."""
        if len(members) < 2:
            raise ValueError("an ensemble needs two recognisers")
        self.members = tuple(members)
        descriptions = [member.description for member in members]
        size, template = _canvas(descriptions)
        points = np.array(template, np.float32)
        self._to_member = [similarity(points, np.array(d.template, np.float32)) for d in descriptions]
        self._scales = [1 / (_threshold_distance(d) * np.sqrt(len(members))) for d in descriptions]
        self._description = Description(
            name="+".join(d.name for d in descriptions),
            size=size,
            template=template,
            metric="l2",
            licence=", ".join(dict.fromkeys(d.licence for d in descriptions if d.licence)),
            sha256=hashlib.sha256("".join(d.sha256 for d in descriptions).encode()).hexdigest(),
            teachers=tuple(dict.fromkeys(t for d in descriptions for t in d.teachers)),
        )

    @property
    def description(self) -> Description:
        return self._description

    def embed(self, patches: ByteArray) -> FloatArray:
        """As :meth:`vidanon.recognise.base.Recogniser.embed`."""
        side = self._description.size
        if patches.dtype != np.uint8 or patches.ndim != 4 or patches.shape[1:] != (side, side, 3):
            raise ValueError(f"patches (N, {side}, {side}, 3) uint8 expected, got {patches.shape} {patches.dtype}")
        parts = []
        for member, matrix, scale in zip(self.members, self._to_member, self._scales, strict=True):
            own = member.description.size
            crops = np.empty((len(patches), own, own, 3), np.uint8)
            for i, patch in enumerate(patches):
                crops[i] = cv2.warpAffine(patch, matrix, (own, own), flags=cv2.INTER_LINEAR)
            parts.append(member.embed(crops) * np.float32(scale))
        return np.concatenate(parts, axis=1)


def _threshold_distance(description: Description) -> float:
    similarity_then = description.thresholds[FAR]
    return float(np.sqrt(2 - 2 * similarity_then)) if description.metric == "cosine" else -similarity_then


def _canvas(descriptions: Sequence[Description]) -> tuple[int, tuple[tuple[float, float], ...]]:
    """Side and template of the smallest square, at the finest member's scale, that holds every member's crop."""
    finest = max(descriptions, key=lambda d: float(np.std(np.array(d.template))))
    frame = np.array(finest.template, np.float32)
    corners = [
        apply(
            similarity(np.array(d.template, np.float32), frame),
            np.array([[x, y] for x in (-0.5, d.size - 0.5) for y in (-0.5, d.size - 0.5)], np.float32),
        )
        for d in descriptions
    ]
    every = np.concatenate(corners)
    low, high = np.floor(every.min(0)), np.ceil(every.max(0))
    side = int((high - low).max()) + 2
    shift = (side - 1) / 2 - (low + high) / 2
    return side, tuple((float(x), float(y)) for x, y in frame + shift)
