"""Verification metrics agree with scikit-learn, and keep their invariants."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from sklearn.metrics import accuracy_score, roc_curve

from vidanon.evaluate.metrics_match import (
    attack_success,
    best_threshold,
    equal_error_rate,
    fold_accuracies,
    misclassification,
    rate_at,
    roc,
    tar_at_far,
    threshold_at_far,
)


def scores(least=1, most=40):
    """Rows of scores with many ties, float32 as embeddings give them, or float64."""
    element = st.integers(-8, 8).map(lambda i: i / 8) | st.floats(-1, 1, width=32)
    return st.sampled_from([np.float32, np.float64]).flatmap(
        lambda kind: hnp.arrays(kind, st.integers(least, most), elements=element.map(float))
    )


def sample(seed=0, genuine=400, impostors=900, kind=np.float32):
    rng = np.random.default_rng(seed)
    return rng.normal(0.6, 0.2, genuine).astype(kind), rng.normal(0.1, 0.2, impostors).astype(kind)


@pytest.mark.parametrize("seed", range(3))
def test_roc_and_equal_error_rate_agree_with_scikit_learn(seed):
    genuine, impostors = sample(seed)
    both = np.concatenate([genuine, impostors])
    truth = np.concatenate([np.ones(len(genuine)), np.zeros(len(impostors))])
    far, tar, thresholds = roc_curve(truth, both, drop_intermediate=False)
    curve = roc(genuine, impostors)
    np.testing.assert_allclose(curve.far, far, atol=1e-4)
    np.testing.assert_allclose(curve.tar, tar, atol=1e-4)
    np.testing.assert_allclose(curve.thresholds[1:], thresholds[1:])
    wanted = brentq(lambda x: 1 - x - interp1d(far, tar)(x), 0, 1)
    assert equal_error_rate(genuine, impostors) == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("far", [0.001, 0.01, 0.1])
def test_tar_at_far_agrees_with_scikit_learn(far):
    genuine, impostors = sample(3, impostors=3000)
    both = np.concatenate([genuine, impostors])
    curve = roc_curve(np.arange(len(both)) < len(genuine), both, drop_intermediate=False)
    wanted = curve[1][curve[0] <= far + 1e-12].max()
    assert tar_at_far(genuine, impostors, far) == pytest.approx(wanted, abs=1e-4)


def test_accuracy_is_that_of_the_best_threshold_of_the_other_folds():
    genuine, impostors = sample(4, 300, 300)
    both, same = np.concatenate([genuine, impostors]), np.arange(600) < 300
    folds = np.arange(600) % 10
    wanted = []
    for fold in range(10):
        train, cuts = folds != fold, np.unique(both)
        right = [accuracy_score(same[train], both[train] >= cut) for cut in cuts]
        threshold = best_threshold(both[train], same[train])
        assert accuracy_score(same[train], both[train].astype(float) >= threshold) == pytest.approx(max(right))
        wanted.append(accuracy_score(same[~train], both[~train].astype(float) >= threshold))
    np.testing.assert_allclose(fold_accuracies(both, same, folds), wanted)
    assert 0.8 < np.mean(wanted) < 1


def test_attack_success_and_misclassification():
    after, clean = np.array([0.1, 0.3, 0.5, 0.1]), np.array([0.9, 0.9, 0.9, 0.2])
    assert attack_success(after, 0.4) == 0.75
    assert attack_success(after, 0.4, clean) == pytest.approx(2 / 3)
    assert np.isnan(attack_success(after, 0.95, clean))
    assert misclassification(np.array(["a", "b", "b"]), np.array(["a", "b", "c"])) == pytest.approx(1 / 3)


@given(scores(), st.floats(0, 1))
def test_the_false_accept_rate_is_kept_and_the_threshold_is_the_least_that_keeps_it(impostors, far):
    threshold = threshold_at_far(impostors, far)
    assert rate_at(impostors, threshold) <= far + 1e-9
    lower = np.unique(impostors[impostors.astype(float) < threshold])
    if len(lower):
        assert rate_at(impostors, float(lower[-1])) > far - 1e-9


@given(scores(), scores(), st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_stricter_rates_mean_higher_thresholds_and_fewer_accepts(genuine, impostors, rates):
    rates = sorted(rates)
    thresholds = [threshold_at_far(impostors, far) for far in rates]
    assert thresholds == sorted(thresholds, reverse=True)
    accepted = [tar_at_far(genuine, impostors, far) for far in rates]
    assert accepted == sorted(accepted)
    escaped = [attack_success(genuine, threshold) for threshold in thresholds]
    assert escaped == sorted(escaped, reverse=True)


@given(scores(), scores())
def test_the_curve_rises_from_nothing_to_everything(genuine, impostors):
    impostors = impostors.astype(genuine.dtype)
    curve = roc(genuine, impostors)
    for rate in (curve.far, curve.tar):
        assert rate[0] == 0 and rate[-1] == 1 and (np.diff(rate) >= 0).all()
    assert (np.diff(curve.thresholds) < 0).all()
    for i in range(1, len(curve.far)):
        assert curve.far[i] == pytest.approx(rate_at(impostors, float(curve.thresholds[i])))
    assert 0 <= equal_error_rate(genuine, impostors) <= 1
    assert equal_error_rate(genuine, genuine) == pytest.approx(0.5)


@given(scores(2), st.randoms(use_true_random=False))
def test_the_best_threshold_is_no_worse_than_any_other(values, random):
    same = np.array([random.random() < 0.5 for _ in values])
    at = (values.astype(float) >= best_threshold(values, same)) == same
    for cut in [*np.unique(values), np.inf]:
        assert at.mean() >= ((values >= cut) == same).mean()


def test_refusals():
    empty = np.empty(0, np.float32)
    for call in (
        lambda: rate_at(empty, 0.0),
        lambda: threshold_at_far(empty, 0.1),
        lambda: threshold_at_far(np.ones(3), 1.5),
        lambda: threshold_at_far(np.array([np.nan, 1.0]), 0.1),
        lambda: roc(np.ones(2), empty),
        lambda: fold_accuracies(np.ones(3), np.ones(3, bool), np.zeros(3, int)),
        lambda: attack_success(np.ones(3), 0.5, np.ones(2)),
        lambda: misclassification(np.ones(3), np.ones(2)),
    ):
        with pytest.raises(ValueError):
            call()
