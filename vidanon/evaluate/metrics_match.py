"""Verification: false and true accepts, thresholds, equal error rate, accuracy, attack success.

A score is a similarity: two faces match where it is *at least* the threshold. Scores are (N,) floating point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating[Any]]
Truth = NDArray[np.bool_]


@dataclass(frozen=True)
class Roc:
    """Points of the curve, from "nothing matches" to "everything matches"; all (K,)."""

    thresholds: Scores  #: falling; the first is +inf
    far: Scores  #: share of impostor scores >= threshold, rising 0..1
    tar: Scores  #: share of genuine scores >= threshold, rising 0..1


def rate_at(scores: Scores, threshold: float) -> float:
    """Share of scores that match: the FAR of impostors, the TAR of genuine pairs. Raises ValueError for none."""
    return float((_double(scores) >= threshold).mean())


def threshold_at_far(impostors: Scores, far: float) -> float:
    """The least threshold at which at most the share ``far`` of the impostor scores match.

    It lies just above a score of theirs (in the scores' own floating-point type), so ties never match in excess.
    Raises ValueError for no scores or a ``far`` outside [0, 1].
    """
    if not 0 <= far <= 1:
        raise ValueError(f"a false accept rate of {far} is not between 0 and 1")
    falling = np.sort(_some(impostors, "impostor scores"))[::-1]
    allowed = int(np.floor(far * len(falling) + 1e-9))  # .001 * 3000 is 3, whatever binary fractions make of it
    if allowed >= len(falling):
        return float(falling[-1])
    return float(np.nextafter(falling[allowed], falling.dtype.type(np.inf)))


def tar_at_far(genuine: Scores, impostors: Scores, far: float) -> float:
    """Share of genuine pairs that match at the threshold of ``far``."""
    return rate_at(genuine, threshold_at_far(impostors, far))


def roc(genuine: Scores, impostors: Scores) -> Roc:
    """The curve at every distinct score."""
    thresholds = np.unique(np.concatenate([_some(genuine, "genuine scores"), _some(impostors, "impostor scores")]))
    thresholds = thresholds[::-1]

    def accepted(scores: Scores) -> Scores:
        rising = np.sort(scores)
        return np.asarray(1 - np.searchsorted(rising, thresholds, side="left") / len(rising))

    start = np.zeros(1)
    return Roc(
        np.concatenate([[np.inf], thresholds]),
        np.concatenate([start, accepted(impostors)]),
        np.concatenate([start, accepted(genuine)]),
    )


def equal_error_rate(genuine: Scores, impostors: Scores) -> float:
    """Where false accepts and false rejects are equally frequent; between two points of the curve, on their line."""
    curve = roc(genuine, impostors)
    gap = curve.far - (1 - curve.tar)  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])
    return float(curve.far[before] + share * (curve.far[after] - curve.far[before]))


def best_threshold(scores: Scores, same: Truth) -> float:
    """The threshold with the most right answers; the middle of the widest such stretch between two scores."""
    order = np.argsort(_some(scores, "scores"), kind="stable")
    rising, truth = scores[order].astype(np.float64), same[order]
    # Cut i lies below score i: what comes before is rejected, the rest accepted.
    right = np.concatenate([[0], np.cumsum(~truth)]) + np.concatenate([np.cumsum(truth[::-1])[::-1], [0]])
    edges = np.concatenate([[rising[0] - 1], rising, [rising[-1] + 1]])
    gaps = np.diff(edges)
    possible = gaps > 0  # between equal scores no cut exists
    best = right == right[possible].max()
    cut = int(np.argmax(np.where(best & possible, gaps, -1)))
    return float((edges[cut] + edges[cut + 1]) / 2)


def fold_accuracies(scores: Scores, same: Truth, folds: NDArray[np.integer[Any]]) -> Scores:
    """LFW's protocol: each fold judged with the threshold that is best on all others -> one accuracy per fold.

    Raises ValueError where there are fewer than two folds.
    """
    names = np.unique(folds)
    if len(names) < 2:
        raise ValueError("the protocol needs at least two folds")
    found = []
    for name in names:
        held = folds == name
        threshold = best_threshold(scores[~held], same[~held])
        found.append(((_double(scores[held]) >= threshold) == same[held]).mean())
    return np.array(found)


def attack_success(scores: Scores, threshold: float, clean: Scores | None = None) -> float:
    """Share of protected photos that no longer match their person at ``threshold``.

    scores: each protected photo against another photo of its person. ``clean``: the same photos unprotected; then
    only those count that matched before, and the result is NaN where none did.
    """
    escaped = _double(scores) < threshold
    if clean is None:
        return float(escaped.mean())
    if clean.shape != scores.shape:
        raise ValueError(f"{clean.shape[0]} clean scores for {scores.shape[0]} protected ones")
    known = _double(clean) >= threshold
    return float(escaped[known].mean()) if known.any() else float("nan")


def misclassification(predicted: NDArray[Any], labels: NDArray[Any]) -> float:
    """Share of predictions (N,) other than ``labels`` (N,): the people's names, or the predictions on clean photos."""
    if predicted.shape != labels.shape or predicted.size == 0:
        raise ValueError(f"as many predictions as labels expected, got {predicted.shape} and {labels.shape}")
    return float((predicted != labels).mean())


def _double(scores: Scores) -> Scores:
    """In float64: beside a float32 score a Python float would be rounded, and a threshold just above it fall on it."""
    return _some(scores, "scores").astype(np.float64)


def _some(scores: Scores, what: str) -> Scores:
    if scores.ndim != 1 or scores.size == 0:
        raise ValueError(f"a row of {what} expected, got an array of shape {scores.shape}")
    if np.isnan(scores).any():
        raise ValueError(f"{what} hold values that are no number")
    return scores
