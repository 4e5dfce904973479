"""Maximum mean discrepancy: how different two sets of vectors are distributed.

Kernel k(x, y) = sum over bandwidths s of exp(-||x - y||^2 / (2 s)).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.floating[Any]]

#: The 19 bandwidths of the public TIP-IM code. For single pictures in 0..255 MMD^2 is then an L2 penalty that
#: saturates at 38.
TIP_IM_BANDWIDTHS = (
    1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 5, 10, 15, 20, 25, 30, 35, 100, 1e3, 1e4, 1e5, 1e6,
)  # fmt: skip
_HEURISTIC = (0.25, 0.5, 1.0, 2.0, 4.0)


def squared_mmd(x: Vectors, y: Vectors, bandwidths: Sequence[float] | None = None, *, unbiased: bool = False) -> float:
    """MMD^2 between the rows of ``x`` (N, D) and ``y`` (M, D), summed over ``bandwidths`` (default: the median's).

    The biased estimate (default) is never negative and 0 for equal sets; the unbiased one leaves out each vector's
    similarity to itself and needs two rows in each. Raises ValueError for other shapes.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or not len(x) or not len(y):
        raise ValueError(f"two sets of vectors of one length expected, got shapes {x.shape} and {y.shape}")
    if unbiased and min(len(x), len(y)) < 2:
        raise ValueError("the unbiased estimate needs two vectors in each set")
    chosen = median_bandwidths(x, y) if bandwidths is None else tuple(bandwidths)
    within_x, within_y = _kernel(x, x, chosen), _kernel(y, y, chosen)
    across = float(_kernel(x, y, chosen).mean())
    if not unbiased:
        return max(0.0, float(within_x.mean() + within_y.mean()) - 2 * across)
    n, m = len(x), len(y)
    own_x = float(within_x.sum() - np.trace(within_x)) / (n * (n - 1))
    own_y = float(within_y.sum() - np.trace(within_y)) / (m * (m - 1))
    return own_x + own_y - 2 * across


def median_bandwidths(x: Vectors, y: Vectors) -> tuple[float, ...]:
    """Five bandwidths around the median squared distance between different vectors of both sets together."""
    both = np.concatenate([x, y]).astype(np.float64)
    distances = _squared_distances(both, both)[np.triu_indices(len(both), 1)]
    middle = float(np.median(distances)) if len(distances) else 0.0
    middle = middle or float(distances.max(initial=0.0)) or 1.0
    return tuple(factor * middle for factor in _HEURISTIC)


def _kernel(x: Vectors, y: Vectors, bandwidths: Sequence[float]) -> Vectors:
    squared = _squared_distances(x.astype(np.float64), y.astype(np.float64))
    return np.asarray(sum(np.exp(-squared / (2 * s)) for s in bandwidths))


def _squared_distances(x: Vectors, y: Vectors) -> Vectors:
    # Differences, not norms and products: those lose what is small, which narrow kernels are about.
    return np.array([((row - y) ** 2).sum(axis=1) for row in x])
