"""Which detection belongs to which track: gated assignment, in two stages as in ByteTrack (Zhang et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from vidanon.track.base import Boxes, iou, to_state

_FAR = 1e6
_MIN_IOU = 0.15
_MAX_DISTANCE = 0.6  #: between centres, in sizes of the face, for a track seen at the last look
_MAX_LOG_RATIO = 0.7  #: of the sizes: a factor of two


@dataclass(frozen=True)
class Match:
    """Indices into the tracks and the detections that were given."""

    pairs: list[tuple[int, int]]
    tracks: list[int]  #: left over
    detections: list[int]  #: left over


def assign(tracks: Boxes, detections: Boxes, slack: npt.NDArray[np.float64]) -> Match:
    """The cheapest one-to-one assignment inside the gate.

    ``tracks`` (N, 4) where each is expected now, ``detections`` (M, 4), ``slack`` (N,) >= 0: how much farther than
    usual, in sizes of the face, a track may have gone (it was not seen for a while).
    A pair is admitted where the boxes overlap or their centres are near, and their sizes are alike.
    """
    n, m = len(tracks), len(detections)
    if not n or not m:
        return Match([], list(range(n)), list(range(m)))
    cost = np.where(gate(tracks, detections, slack), _cost(tracks, detections), _FAR)
    rows, columns = linear_sum_assignment(cost)
    pairs = [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if cost[i, j] < _FAR]
    left, right = {i for i, _ in pairs}, {j for _, j in pairs}
    return Match(pairs, [i for i in range(n) if i not in left], [j for j in range(m) if j not in right])


def gate(tracks: Boxes, detections: Boxes, slack: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """(N, M): could this detection be this track?"""
    distance, ratio = _apart(tracks, detections)
    reach = _MAX_DISTANCE + slack[:, None]
    near = (iou(tracks, detections) >= _MIN_IOU) | (distance <= reach)
    return near & (ratio <= _MAX_LOG_RATIO + 0.3 * np.minimum(slack, 2.0)[:, None])


def two_stage(
    tracks: Boxes,
    slack: npt.NDArray[np.float64],
    detections: Boxes,
    scores: npt.NDArray[np.float64],
    *,
    high: float,
    low: float,
    live: npt.NDArray[np.bool_],
) -> Match:
    """High scores go to any track; then scores in [low, high) to tracks still live and without a match.

    Of the detections only those with a score >= ``high`` are reported as left over: the others start nothing.
    """
    strong = np.flatnonzero(scores >= high)
    weak = np.flatnonzero((scores >= low) & (scores < high))
    first = assign(tracks, detections[strong], slack)
    pairs = [(i, int(strong[j])) for i, j in first.pairs]
    waiting = [i for i in first.tracks if live[i]]
    second = assign(tracks[waiting], detections[weak], slack[waiting])
    pairs += [(waiting[i], int(weak[j])) for i, j in second.pairs]
    matched = {i for i, _ in pairs}
    return Match(
        sorted(pairs),
        [i for i in range(len(tracks)) if i not in matched],
        [int(strong[j]) for j in first.detections],
    )


def _apart(tracks: Boxes, detections: Boxes) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    a, _ = to_state(tracks)
    b, _ = to_state(detections)
    # The larger of the two sizes: a small box inside a large one is not "many sizes away" from it.
    size = np.exp(np.maximum(a[:, None, 2], b[None, :, 2]))
    distance = np.linalg.norm(a[:, None, :2] - b[None, :, :2], axis=-1) / size
    return distance, np.abs(a[:, None, 2] - b[None, :, 2])


def _cost(tracks: Boxes, detections: Boxes) -> npt.NDArray[np.float64]:
    distance, ratio = _apart(tracks, detections)
    return np.asarray(1 - iou(tracks, detections) + 0.5 * distance + 0.5 * ratio)
