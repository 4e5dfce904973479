"""How sure a figure is: bootstrap and Wilson intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Values = NDArray[Any]


@dataclass(frozen=True)
class Interval:
    """A figure and where it lies with the stated confidence."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"


def bootstrap(
    statistic: Callable[..., float],
    *samples: Values,
    seed: int = 0,
    draws: int = 1000,
    level: float = 0.95,
    groups: Values | None = None,
    paired: bool = True,
) -> Interval:
    """Percentile bootstrap of ``statistic(*samples)``.

    samples: arrays drawn along their first axis; ``paired``: with the same draw for all (they are of one length),
    else each for itself. ``groups`` (N,), paired only: whole groups are drawn, as all photos of a person or all
    frames of a track, which are not independent. Draws whose statistic is NaN are left out.
    Raises ValueError for empty samples, or unequal lengths where paired.
    """
    if not samples or any(len(sample) == 0 for sample in samples):
        raise ValueError("nothing to draw from")
    if paired and len({len(sample) for sample in samples}) > 1:
        raise ValueError(f"samples of {[len(sample) for sample in samples]}: not of one length")
    if groups is not None and (not paired or len(groups) != len(samples[0])):
        raise ValueError("groups name each row of paired samples")
    generator = np.random.default_rng(seed)
    members = None
    if groups is not None:
        inverse = np.unique(groups, return_inverse=True)[1]
        members = [np.flatnonzero(inverse == i) for i in range(int(inverse.max()) + 1)]
    found = np.empty(draws)
    for i in range(draws):
        if members is not None:
            picked = np.concatenate([members[j] for j in generator.integers(0, len(members), len(members))])
            found[i] = statistic(*(sample[picked] for sample in samples))
        elif paired:
            picked = generator.integers(0, len(samples[0]), len(samples[0]))
            found[i] = statistic(*(sample[picked] for sample in samples))
        else:
            found[i] = statistic(*(s[generator.integers(0, len(s), len(s))] for s in samples))
    tail = (1 - level) / 2
    low, high = np.nanquantile(found, [tail, 1 - tail])
    return Interval(float(statistic(*samples)), float(low), float(high))


def wilson(hits: int, count: int, level: float = 0.95) -> Interval:
    """Wilson's score interval of a rate: not empty at 0 of n, where a bootstrap is. Raises ValueError for no trial."""
    if not 0 <= hits <= count or count == 0:
        raise ValueError(f"{hits} of {count} is no rate")
    z = float(norm.ppf(0.5 + level / 2))
    rate = hits / count
    middle = (rate + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * float(np.sqrt(rate * (1 - rate) / count + z * z / (4 * count * count)))
    return Interval(rate, max(0.0, middle - half), min(1.0, middle + half))
