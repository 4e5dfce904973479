"""A subset of faces that are far apart: no two that a recogniser takes for one person, if that can be had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vidanon.types import FloatArray

_ALIKE = 0.2  # similarity from which a pair costs, with the square of what is over: a third below a match at 1 % FAR


def select(
    embeddings: FloatArray,
    groups: npt.NDArray[Any],
    families: npt.NDArray[Any],
    quota: Mapping[int, int],
    siblings: int = 1,
) -> npt.NDArray[np.int64]:
    """Indices, ascending, of faces that are as unlike as could be found; the same input gives the same answer.

    embeddings: (N, D) of unit length; groups: (N,), of each ``quota[group]`` are wanted; families: (N,), of each at
    most ``siblings`` are taken. Where a group has too few families, fewer are given. Greedy, then exchanged one by one
    while that helps.
    """
    cost = np.clip((embeddings @ embeddings.T).astype(np.float64) - _ALIKE, 0, None) ** 2
    np.fill_diagonal(cost, 0)
    left = {group: wanted for group, wanted in quota.items() if wanted > 0}
    chosen: list[int] = []
    burden = np.zeros(len(embeddings))  # what each face costs beside those chosen
    while True:
        free = _free(groups, families, chosen, left, siblings)
        if not len(free):
            break
        # the first one: nothing is chosen yet, so the one that is least like all others
        scores = burden[free] if chosen else cost[free].mean(1)
        best = int(free[scores.argmin()])
        chosen.append(best)
        burden += cost[best]
        left[int(groups[best])] -= 1
    while _exchange(chosen, cost, groups, families, siblings):
        pass
    return np.array(sorted(chosen), np.int64)


def _free(
    groups: npt.NDArray[Any], families: npt.NDArray[Any], chosen: list[int], left: Mapping[int, int], siblings: int
) -> npt.NDArray[np.int64]:
    open_groups = [group for group, wanted in left.items() if wanted > 0]
    free = np.isin(groups, open_groups) & ~_full(families, chosen, siblings)
    free[chosen] = False
    return np.flatnonzero(free)


def _full(families: npt.NDArray[Any], chosen: list[int], siblings: int) -> npt.NDArray[np.bool_]:
    """(N,): whether so many of a face's family are chosen."""
    names, counts = np.unique(families[chosen], return_counts=True)
    return np.asarray(np.isin(families, names[counts >= siblings]))


def _exchange(
    chosen: list[int],
    cost: npt.NDArray[np.float64],
    groups: npt.NDArray[Any],
    families: npt.NDArray[Any],
    siblings: int,
) -> bool:
    """Put a better face in the place of each, once around; whether any was."""
    better = False
    for place, old in enumerate(chosen):
        others = chosen[:place] + chosen[place + 1 :]
        burden = cost[:, others].sum(1)
        fits = (groups == groups[old]) & ~_full(families, others, siblings)
        fits[others] = False
        free = np.flatnonzero(fits)
        new = int(free[burden[free].argmin()])
        if burden[new] < burden[old] - 1e-9:
            chosen[place] = new
            better = True
    return better
