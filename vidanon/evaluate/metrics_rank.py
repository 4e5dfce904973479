"""Identification in a gallery: ranks, Rank-N-T and Rank-N-UT.

``similarities`` is (P, G): probe by gallery photo, larger is more alike. A mask (P, G) marks the gallery photos that
are of the person in question. Ties count against the protection: a true photo wins them, a target's photo loses them.
So R1-T <= R1-UT, RN-T never falls and RN-UT never rises with N.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Similarities = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
Ranks = NDArray[np.int64]


def ranks(similarities: Similarities, of: Mask, *, win_ties: bool = True) -> Ranks:
    """(P,) place, from 1, of the best photo marked in ``of`` among all gallery photos.

    Other marked photos do not count: the place is one more than the unmarked photos ahead of it. ``win_ties``: an
    unmarked photo exactly as similar is behind it, else ahead. Raises ValueError where a row marks none.
    """
    if similarities.shape != of.shape or similarities.ndim != 2:
        raise ValueError(f"similarities of shape {similarities.shape}, mask of shape {of.shape}: expected one (P, G)")
    if not of.any(axis=1).all():
        raise ValueError("a probe has no photo in the gallery")
    if np.isnan(similarities).any():
        raise ValueError("similarities hold values that are no number")
    best = np.where(of, similarities, -np.inf).max(axis=1, keepdims=True)
    ahead = (similarities > best) if win_ties else (similarities >= best)
    return np.asarray(1 + (ahead & ~of).sum(axis=1), np.int64)


def rank_targeted(similarities: Similarities, target: Mask, n: int) -> float:
    """Rank-N-T: share of probes with a photo of their target among the N most similar."""
    return float((ranks(similarities, target, win_ties=False) <= _at_least_one(n)).mean())


def rank_untargeted(similarities: Similarities, true: Mask, n: int) -> float:
    """Rank-N-UT: share of probes with no photo of the true person among the N most similar."""
    return float((ranks(similarities, true) > _at_least_one(n)).mean())


def rank_found(similarities: Similarities, true: Mask, n: int) -> float:
    """Share of probes whose person is found among the N most similar: 1 - Rank-N-UT."""
    return 1 - rank_untargeted(similarities, true, n)


def same_person(probes: NDArray[Any], gallery: NDArray[Any]) -> Mask:
    """(P,) and (G,) names -> (P, G) mask of equal ones."""
    return np.asarray(probes[:, None] == gallery[None], np.bool_)


def _at_least_one(n: int) -> int:
    if n < 1:
        raise ValueError(f"rank {n}: at least 1")
    return n
