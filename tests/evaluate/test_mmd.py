"""MMD agrees with scikit-learn's kernels and behaves as a distance between sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics.pairwise import rbf_kernel

from vidanon.evaluate.mmd import TIP_IM_BANDWIDTHS, median_bandwidths, squared_mmd


def sets(seed, n=20, m=15, shift=0.5):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 8)), rng.normal(shift, 1, (m, 8))


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_scikit_learn(seed):
    x, y = sets(seed)
    bandwidths = (0.5, 3.0, 20.0)

    def kernel(a, b):
        return sum(rbf_kernel(a, b, gamma=1 / (2 * s)) for s in bandwidths)

    wanted = kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()
    assert squared_mmd(x, y, bandwidths) == pytest.approx(wanted, abs=1e-4)
    away = kernel(x, x)[~np.eye(20, dtype=bool)].mean() + kernel(y, y)[~np.eye(15, dtype=bool)].mean()
    assert squared_mmd(x, y, bandwidths, unbiased=True) == pytest.approx(away - 2 * kernel(x, y).mean(), abs=1e-4)


@given(st.integers(0, 1000), st.floats(0, 3))
def test_not_negative_and_symmetric(seed, shift):
    x, y = sets(seed, 5, 4, shift)
    value = squared_mmd(x, y)
    assert value >= 0 and value == pytest.approx(squared_mmd(y, x))
    assert squared_mmd(x, x) == pytest.approx(0, abs=1e-12)


def test_farther_sets_differ_more():
    found = [squared_mmd(*sets(1, 60, 60, shift)) for shift in (0, 0.5, 1, 2)]
    assert found == sorted(found) and found[-1] > 10 * found[0]


def test_single_pictures_saturate_at_38():
    """One picture each: 2 sum(1 - exp(-d^2 / 2s)), which is a bounded penalty on the distance."""
    x, y = np.zeros((1, 300)), np.full((1, 300), 2.0)
    wanted = 2 * sum(1 - np.exp(-1200 / (2 * s)) for s in TIP_IM_BANDWIDTHS)
    assert squared_mmd(x, y, TIP_IM_BANDWIDTHS) == pytest.approx(wanted, abs=1e-9)
    assert squared_mmd(x, y * 1e5, TIP_IM_BANDWIDTHS) == pytest.approx(38)


def test_the_median_of_squared_distances_sets_the_bandwidth():
    x, y = np.array([[0.0], [1.0]]), np.array([[3.0]])
    assert median_bandwidths(x, y) == (1, 2, 4, 8, 16)  # squared distances 1, 4, 9
    assert squared_mmd(x, x[:1] * 0, None) >= 0


def test_refusals():
    x, y = sets(0)
    for a, b, unbiased in ((x, y[:, :3], False), (x[:0], y, False), (x[0], y, False), (x[:1], y, True)):
        with pytest.raises(ValueError):
            squared_mmd(a, b, unbiased=unbiased)
