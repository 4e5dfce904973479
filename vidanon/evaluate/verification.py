"""LFW's verification protocol: accuracy over ten folds, equal error rate, true accepts at stated false accepts."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from vidanon.errors import InputError
from vidanon.evaluate.bootstrap import Interval, bootstrap
from vidanon.evaluate.cross import FARS, cross_thresholds
from vidanon.evaluate.embed import embed_photos
from vidanon.evaluate.landmarks import Landmarks
from vidanon.evaluate.lfw import Pair
from vidanon.evaluate.metrics_match import Scores, equal_error_rate, fold_accuracies, rate_at, roc, threshold_at_far
from vidanon.evaluate.photos import Photos, key, person
from vidanon.recognise.base import Recogniser, similarities
from vidanon.types import FloatArray

_POINTS = 400  #: of the curve that is kept for the plot


@dataclass(frozen=True)
class Accepts:
    """One false accept rate."""

    far: float
    threshold: float  #: least similarity that matches
    tar: Interval  #: share of genuine pairs that match
    impostors: int  #: pairs that the threshold comes from


@dataclass(frozen=True)
class Verification:
    """What one recogniser reaches on a set of pairs."""

    recogniser: str
    sha256: str
    pairs: int
    accuracy: float  #: mean over folds
    accuracy_error: float  #: standard error of that mean
    eer: Interval
    from_pairs: list[Accepts]  #: thresholds from the impostor pairs of the file
    from_cross: list[Accepts]  #: thresholds from all pairs of different people
    cross_pairs: int
    seconds: float  #: that reading, cutting and embedding took (0 where all was known)
    curve: dict[str, list[float]] = field(default_factory=dict)  #: far, tar


@dataclass(frozen=True)
class LfwSet:
    """Photos, pairs and landmarks that fit together."""

    photos: Photos
    pairs: list[Pair]
    landmarks: Landmarks
    left_out: int = 0  #: pairs with a photo that is missing or has no landmarks

    @property
    def names(self) -> list[str]:
        """Every photo of a pair, once."""
        return sorted({name for pair in self.pairs for name in (pair.first, pair.second)})


def fit(photos: Photos, pairs: Sequence[Pair], landmarks: Landmarks) -> LfwSet:
    """The pairs whose photos are there, with landmarks. Raises InputError where one kind of pair has none left."""
    there = {key(name): name for name in photos.names if key(name) in landmarks}
    usable = [
        Pair(there[key(p.first)], there[key(p.second)], p.same, p.fold)
        for p in pairs
        if key(p.first) in there and key(p.second) in there
    ]
    for kind, same in (("the same person", True), ("different people", False)):
        if not any(pair.same is same for pair in usable):
            raise InputError(f"no pair of {kind} has both photos and landmarks; give the photos of the pairs file")
    return LfwSet(photos, usable, landmarks, len(pairs) - len(usable))


def verify(
    recogniser: Recogniser,
    data: LfwSet,
    *,
    folder: Path | None = None,
    workers: int = 1,
    seed: int = 0,
    draws: int = 500,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Run the protocol. ``folder``: where embeddings are kept; ``draws``: of the bootstrap."""
    names = data.names
    began = time.perf_counter()
    embeddings = embed_photos(
        recogniser, data.photos, names, data.landmarks, folder=folder, workers=workers, progress=progress
    )
    seconds = time.perf_counter() - began
    description = recogniser.description
    place = {name: i for i, name in enumerate(names)}
    scores = pair_scores(recogniser, embeddings, [(place[p.first], place[p.second]) for p in data.pairs])
    same = np.array([pair.same for pair in data.pairs])
    folds = np.array([pair.fold for pair in data.pairs])
    genuine, impostors = scores[same], scores[~same]
    cross = cross_thresholds(description, embeddings, [person(name) for name in names])
    accuracies = fold_accuracies(scores, same, folds) if len(set(folds)) > 1 else np.array([np.nan])

    def accepts(far: float, threshold: float, count: int) -> Accepts:
        return Accepts(
            far, threshold, bootstrap(partial(rate_at, threshold=threshold), genuine, seed=seed, draws=draws), count
        )

    curve = roc(genuine, impostors)
    kept = np.unique(np.linspace(0, len(curve.far) - 1, _POINTS).astype(int))
    return Verification(
        recogniser=description.name,
        sha256=description.sha256,
        pairs=len(scores),
        accuracy=float(accuracies.mean()),
        accuracy_error=float(accuracies.std(ddof=1) / np.sqrt(len(accuracies))) if len(accuracies) > 1 else 0.0,
        eer=bootstrap(equal_error_rate, genuine, impostors, seed=seed, draws=draws, paired=False),
        from_pairs=[accepts(far, threshold_at_far(impostors, far), len(impostors)) for far in FARS],
        from_cross=[accepts(far, threshold, cross.pairs) for far, threshold in cross.thresholds.items()],
        cross_pairs=cross.pairs,
        seconds=seconds,
        curve={"far": curve.far[kept].tolist(), "tar": curve.tar[kept].tolist()},
    )


def pair_scores(recogniser: Recogniser, embeddings: FloatArray, pairs: Sequence[tuple[int, int]]) -> Scores:
    """Similarity of rows i and j of (N, D) ``embeddings`` for each pair (i, j)."""
    description = recogniser.description
    return np.array(
        [similarities(description, embeddings[i : i + 1], embeddings[j : j + 1])[0, 0] for i, j in pairs], np.float32
    )
