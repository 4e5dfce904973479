"""Thresholds from all pairs of photos of different people, however many millions those are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidanon.evaluate.metrics_match import threshold_at_far
from vidanon.recognise.base import Description, similarities
from vidanon.types import FloatArray

FARS = (0.01, 0.001)
LEAST_ACCEPTS = 10  #: impostor pairs above a threshold; with fewer it is chance
_ROWS = 512


@dataclass(frozen=True)
class CrossThresholds:
    thresholds: Mapping[float, float]  #: false accept rate -> least similarity that matches; only where pairs suffice
    pairs: int  #: of different people


def cross_thresholds(
    description: Description, embeddings: FloatArray, people: Sequence[str], fars: Sequence[float] = FARS
) -> CrossThresholds:
    """The threshold of each rate, over every pair of rows (N, D) whose ``people`` (N,) differ."""
    who = np.unique(np.asarray(people), return_inverse=True)[1]
    counts = np.bincount(who) if len(who) else np.zeros(0, np.int64)
    total = (len(who) ** 2 - int((counts.astype(np.int64) ** 2).sum())) // 2
    usable = [far for far in fars if total * far >= LEAST_ACCEPTS]
    if not usable:
        return CrossThresholds({}, total)
    keep = int(np.floor(max(usable) * total + 1e-9)) + 1  # the highest so many decide
    top: NDArray[np.floating[Any]] = np.empty(0, np.float32)
    for start in range(0, len(who), _ROWS):
        stop = min(len(who), start + _ROWS)
        scores = similarities(description, embeddings[start:stop], embeddings[start:])
        later = np.arange(start, len(who))[None] > np.arange(start, stop)[:, None]
        fresh = scores[later & (who[start:stop, None] != who[None, start:])]
        top = np.concatenate([top, fresh])
        if len(top) > 4 * keep:
            top = np.partition(top, len(top) - keep)[-keep:]
    if len(top) > keep:
        top = np.partition(top, len(top) - keep)[-keep:]
    # Of the pairs left out none could match: as a share of those kept, the rate is larger.
    return CrossThresholds({far: threshold_at_far(top, min(1.0, far * total / len(top))) for far in usable}, total)
