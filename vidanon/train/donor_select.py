"""A subset of faces that are far apart: no two that a recogniser takes for one person, if that can be had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from vidanon.types import FloatArray

_ALIKE = 0.2  # similarity from which a pair costs, with the square of what is over: a third below a match at 1 % FAR


def select(
    embeddings: FloatArray, groups: npt.NDArray[Any], families: npt.NDArray[Any], quota: Mapping[int, int]
) -> npt.NDArray[np.int64]:
    """Indices, ascending, of faces that are as unlike as could be found; the same input gives the same answer.

    embeddings: (N, D) of unit length; groups: (N,), of each ``quota[group]`` are wanted; families: (N,), of each at
    most one is taken. Where a group has too few families, fewer are given. Greedy, then exchanged one by one while
    that helps.
    """
    cost = np.clip((embeddings @ embeddings.T).astype(np.float64) - _ALIKE, 0, None) ** 2
    np.fill_diagonal(cost, 0)
    left = {group: wanted for group, wanted in quota.items() if wanted > 0}
    chosen: list[int] = []
    burden = np.zeros(len(embeddings))  # what each face costs beside those chosen
    while True:
        free = _free(groups, families, chosen, left)
        if not len(free):
            break
        # the first one: nothing is chosen yet, so the one that is least like all others
        scores = burden[free] if chosen else cost[free].mean(1)
        best = int(free[scores.argmin()])
        chosen.append(best)
        burden += cost[best]
        left[int(groups[best])] -= 1
    while _exchange(chosen, cost, groups, families):
        pass
    return np.array(sorted(chosen), np.int64)


def _free(
    groups: npt.NDArray[Any], families: npt.NDArray[Any], chosen: list[int], left: Mapping[int, int]
) -> npt.NDArray[np.int64]:
    open_groups = [group for group, wanted in left.items() if wanted > 0]
    return np.flatnonzero(np.isin(groups, open_groups) & ~np.isin(families, families[chosen]))


def _exchange(
    chosen: list[int], cost: npt.NDArray[np.float64], groups: npt.NDArray[Any], families: npt.NDArray[Any]
) -> bool:
    """Put a better face in the place of each, once around; whether any was."""
    better = False
    for place, old in enumerate(chosen):
        others = chosen[:place] + chosen[place + 1 :]
        burden = cost[:, others].sum(1)
        free = np.flatnonzero((groups == groups[old]) & ~np.isin(families, families[others]))
        new = int(free[burden[free].argmin()])
        if burden[new] < burden[old] - 1e-9:
            chosen[place] = new
            better = True
    return better
