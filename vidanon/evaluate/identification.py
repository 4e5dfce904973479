"""Attack success in identification: a linear SVM learns people from clean photos and names the protected ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidanon.evaluate.extras import need
from vidanon.types import FloatArray

Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Split:
    """Photos by row; every person has both kinds."""

    train: Rows
    test: Rows
    people: int


def split(people: Sequence[str], least: int = 10, train_share: float = 0.7, seed: int = 0) -> Split:
    """Photos of people with at least ``least`` of them, divided per person. ``people`` (N,) names who is on each.

    Raises ValueError where fewer than two people have enough photos.
    """
    who = np.asarray(people)
    names, counts = np.unique(who, return_counts=True)
    chosen = names[counts >= max(2, least)]
    if len(chosen) < 2:
        raise ValueError(f"fewer than two people have {max(2, least)} photos")
    generator = np.random.default_rng(seed)
    train, test = [], []
    for name in chosen:
        rows = generator.permutation(np.flatnonzero(who == name))
        cut = min(len(rows) - 1, max(1, round(train_share * len(rows))))
        train.append(rows[:cut])
        test.append(rows[cut:])
    return Split(np.concatenate(train), np.concatenate(test), len(chosen))


class Identifier:
    """A linear SVM (one against the rest, C = 1) over embeddings scaled to a mean norm of 1."""

    def __init__(self, embeddings: FloatArray, people: Sequence[str], seed: int = 0) -> None:
        """Learns (N, D) of ``people`` (N,). Raises UsageError without scikit-learn."""
        svm = need("sklearn.svm", "scikit-learn")
        self._scale = 1 / max(float(np.linalg.norm(embeddings, axis=1).mean()), 1e-9)
        self._svm: Any = svm.LinearSVC(C=1.0, random_state=seed, dual=True, max_iter=5000)
        self._svm.fit(embeddings * self._scale, np.asarray(people))

    def predict(self, embeddings: FloatArray) -> NDArray[Any]:
        """(N, D) -> (N,) names."""
        return np.asarray(self._svm.predict(embeddings * self._scale))
