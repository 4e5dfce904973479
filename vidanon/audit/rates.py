"""A share of trials with its interval, from counts by block: the frames of one face are no independent trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vidanon.evaluate.bootstrap import bootstrap, wilson

BLOCK = 25  #: frames of one track counted as one draw
DRAWS = 500
SWAPS = 4000
LEAST_STRANGERS = 20


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % interval."""

    value: float
    low: float
    high: float
    hits: int
    count: int


@dataclass(frozen=True)
class Compared:
    """One figure for the output, and what it is to be read beside; None where there was nothing to count."""

    protected: Rate | None
    solid: Rate | None = None  #: the same faces under a solid ellipse, encoded the same way
    impostor: Rate | None = None  #: other people's faces of that size
    clean: Rate | None = None  #: the unprotected face
    stranger: Rate | None = None  #: the output taken for other people: what it has of anybody
    excess: float | None = None  #: lower end (95 %) of how much more the output matches than the solid fill
    chance: float | None = None  #: how likely strangers in the place of these people match as often (see ``by_chance``)

    @property
    def floor(self) -> float | None:
        """The share that is not the face's doing: what a solid fill matches, or what matches anybody, the larger."""
        shares = [rate.value for rate in (self.solid, self.stranger) if rate is not None]
        return max(shares, default=None)


def rate(hits: Sequence[int], counts: Sequence[int], seed: int = 0) -> Rate | None:
    """Share of hits over blocks of trials; None for no trial.

    The interval is a bootstrap over blocks; where every trial or none is a hit, or there is one block, nothing
    varies, and it is Wilson's over as many trials as there are blocks.
    """
    n = np.asarray(counts, np.int64)
    h = np.asarray(hits, np.int64)[n > 0]
    n = n[n > 0]
    if not len(n):
        return None
    total, found = int(n.sum()), int(h.sum())
    if found in (0, total) or len(n) == 1:
        blocks = len(n)
        interval = wilson(round(blocks * found / total), blocks)
        return Rate(found / total, min(interval.low, found / total), max(interval.high, found / total), found, total)
    interval = bootstrap(lambda a, b: float(a.sum() / b.sum()), h, n, seed=seed, draws=DRAWS)
    return Rate(interval.value, interval.low, interval.high, found, total)


def excess(hits: Sequence[int], floor: Sequence[int], counts: Sequence[int], seed: int = 0) -> float | None:
    """Lower end of the 95 % bootstrap interval of the share of ``hits`` less that of ``floor``, in the same blocks."""
    n = np.asarray(counts, np.int64)
    used = n > 0
    if not used.any():
        return None
    more = np.asarray(hits, np.int64)[used] - np.asarray(floor, np.int64)[used]
    return bootstrap(lambda d, c: float(d.sum() / c.sum()), more, n[used], seed=seed, draws=DRAWS).low


def by_chance(own: Sequence[float], strangers: Sequence[Sequence[float]], weights: Sequence[int]) -> float | None:
    """How likely the output's matches are no recognition: a permutation test over tracks.

    A disguise may resemble somebody by chance, and then does so in all frames of its track. ``own``: per track the
    share of frames that match its person; ``strangers``: per track the shares that match each stranger. Each track's
    person is exchanged for anybody at random, and the total counted that reaches the real one. None where there are
    too few strangers to tell.
    """
    if not own or min(map(len, strangers)) < LEAST_STRANGERS:
        return None
    generator = np.random.default_rng(0)
    total = np.zeros(SWAPS)
    for mine, theirs, weight in zip(own, strangers, weights, strict=True):
        total += weight * generator.choice(np.array([mine, *theirs]), SWAPS)
    real = sum(mine * weight for mine, weight in zip(own, weights, strict=True))
    return float((1 + (total >= real - 1e-9).sum()) / (1 + SWAPS))


def each(hits: Sequence[bool]) -> Rate | None:
    """Share of independent trials; Wilson's interval."""
    if not hits:
        return None
    interval = wilson(sum(hits), len(hits))
    return Rate(interval.value, interval.low, interval.high, sum(hits), len(hits))
