"""Intervals hold what they should as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from vidanon.evaluate.bootstrap import bootstrap, wilson


def test_covers_the_truth_about_as_often_as_stated():
    rng = np.random.default_rng(1)
    hits = 0
    for seed in range(200):
        found = bootstrap(lambda x: float(x.mean()), rng.normal(0, 1, 50), seed=seed, draws=200)
        hits += found.low <= 0 <= found.high
    assert 176 <= hits <= 198


def test_same_seed_same_interval():
    values = np.random.default_rng(0).normal(size=30)
    one, two, other = (bootstrap(np.median, values, seed=seed, draws=100) for seed in (3, 3, 4))
    assert one == two != other
    assert one.low <= one.value <= one.high


def test_pairs_stay_pairs():
    x = np.arange(40.0)
    found = bootstrap(lambda a, b: float((a - b).mean()), x, x + 1, draws=50)
    assert (found.low, found.value, found.high) == (-1, -1, -1)
    free = bootstrap(lambda a, b: float(a.mean() - b.mean()), x, x[:20], draws=50, paired=False)
    assert free.low < free.high


def test_whole_groups_are_drawn():
    """Ten people with 30 equal photos each are ten facts, not 300."""
    people = np.repeat(np.arange(10), 30)
    values = people % 2 * 1.0
    single = bootstrap(lambda x: float(x.mean()), values, draws=300)
    grouped = bootstrap(lambda x: float(x.mean()), values, groups=people, draws=300)
    assert grouped.high - grouped.low > 3 * (single.high - single.low)


def test_draws_without_a_value_are_left_out():
    values = np.array([np.nan] * 3 + [1.0] * 3)
    assert bootstrap(lambda x: float(np.nanmean(x)) if (x == 1).any() else float("nan"), values, draws=80).low == 1


@given(st.integers(0, 60), st.integers(1, 60))
def test_wilson_agrees_with_scipy(hits, count):
    hits = min(hits, count)
    wanted = binomtest(hits, count).proportion_ci(method="wilson")
    found = wilson(hits, count)
    assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-4)
    assert found.low <= found.value + 1e-12 and found.value <= found.high + 1e-12


def test_refusals():
    values = np.arange(3.0)
    for call in (
        lambda: bootstrap(np.mean, values[:0]),
        lambda: bootstrap(np.mean, values, values[:2]),
        lambda: bootstrap(np.mean, values, groups=values[:2]),
        lambda: wilson(3, 2),
        lambda: wilson(0, 0),
    ):
        with pytest.raises(ValueError):
            call()
