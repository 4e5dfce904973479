"""Ranks agree with scikit-learn, and keep the invariants that their definitions demand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score

from vidanon.evaluate.metrics_rank import rank_found, rank_targeted, rank_untargeted, ranks, same_person


@st.composite
def galleries(draw):
    """Similarities with ties, and for each probe one or more true photos and, apart from those, target photos."""
    probes, photos = draw(st.integers(1, 6)), draw(st.integers(2, 9))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    similarities = rng.integers(0, draw(st.sampled_from([2, 5, 1000])), (probes, photos)) / 8
    role = rng.integers(0, 3, (probes, photos))
    for row in range(probes):
        role[row, rng.permutation(photos)[:2]] = 1, 2
    return similarities.astype(np.float32), role == 1, role == 2


@given(galleries())
def test_rank_invariants(gallery):
    similarities, true, target = gallery
    assert rank_targeted(similarities, target, 1) <= rank_untargeted(similarities, true, 1)
    last = similarities.shape[1]
    targeted = [rank_targeted(similarities, target, n) for n in range(1, last + 1)]
    untargeted = [rank_untargeted(similarities, true, n) for n in range(1, last + 1)]
    assert targeted == sorted(targeted) and targeted[-1] == 1
    assert untargeted == sorted(untargeted, reverse=True) and untargeted[-1] == 0
    assert rank_found(similarities, true, 2) == pytest.approx(1 - rank_untargeted(similarities, true, 2))


@given(galleries())
def test_ties_count_against_the_protection(gallery):
    similarities, true, target = gallery
    noise = np.random.default_rng(0).normal(0, 1e-4, similarities.shape)
    for n in (1, 2):
        assert rank_targeted(similarities, target, n) <= rank_targeted(similarities + noise, target, n)
        assert rank_untargeted(similarities, true, n) <= rank_untargeted(similarities + noise, true, n)


@pytest.mark.parametrize("n", [1, 3, 5])
def test_agrees_with_scikit_learn(n):
    rng = np.random.default_rng(n)
    similarities, person = rng.normal(size=(50, 12)), rng.integers(0, 12, 50)
    true = same_person(person, np.arange(12))
    wanted = top_k_accuracy_score(person, similarities, k=n, labels=np.arange(12))
    assert rank_found(similarities, true, n) == pytest.approx(wanted, abs=1e-4)
    assert rank_targeted(similarities, true, n) == pytest.approx(wanted, abs=1e-4)


def test_the_best_photo_of_a_person_counts():
    similarities = np.array([[0.9, 0.2, 0.8, 0.7]])
    assert ranks(similarities, np.array([[False, True, True, False]])).tolist() == [2]
    assert ranks(similarities, np.array([[False, True, False, False]])).tolist() == [4]


def test_refusals():
    similarities = np.zeros((2, 3))
    with pytest.raises(ValueError, match="no photo"):
        ranks(similarities, np.zeros((2, 3), bool))
    with pytest.raises(ValueError, match="expected one"):
        ranks(similarities, np.ones((2, 2), bool))
    with pytest.raises(ValueError, match="at least 1"):
        rank_targeted(similarities, np.ones((2, 3), bool), 0)
    with pytest.raises(ValueError, match="no number"):
        ranks(similarities * np.nan, np.ones((2, 3), bool))
