"""Thresholds from all cross pairs, and the SVM that names people."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from vidanon.evaluate import cross
from vidanon.evaluate.cross import cross_thresholds
from vidanon.evaluate.identification import Identifier, split
from vidanon.evaluate.metrics_match import rate_at, threshold_at_far
from vidanon.recognise.base import ARCFACE_112, Description, similarities


def world(people=40, each=6, spread=0.6, seed=0, dimensions=24):
    rng = np.random.default_rng(seed)
    names = np.repeat([f"p{i}" for i in range(people)], each)
    vectors = np.repeat(rng.normal(size=(people, dimensions)), each, axis=0)
    vectors = vectors + rng.normal(0, spread, vectors.shape)
    order = rng.permutation(len(names))
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors[order].astype(np.float32), names[order]


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("rows", [7, 64, 512])
def test_agrees_with_every_pair_written_out(monkeypatch, metric, rows):
    monkeypatch.setattr(cross, "_ROWS", rows)
    vectors, names = world()
    description = Description("x", 112, ARCFACE_112, metric=metric)
    scores = similarities(description, vectors, vectors)[np.triu(names[:, None] != names[None])]
    found = cross_thresholds(description, vectors, names.tolist())
    assert found.pairs == len(scores) == 240 * 234 // 2
    for far, threshold in found.thresholds.items():
        assert threshold == pytest.approx(threshold_at_far(scores, far), abs=1e-6)
        assert far - 2 / len(scores) <= rate_at(scores, threshold) <= far + 2 / len(scores)
    assert set(found.thresholds) == {0.01, 0.001}


def test_rates_that_few_pairs_cannot_tell_are_left_out():
    description = Description("x", 112, ARCFACE_112)
    vectors, names = world(10, 6)
    assert set(cross_thresholds(description, vectors, names.tolist()).thresholds) == {0.01}
    one = cross_thresholds(description, vectors[:6], ["a"] * 6)
    assert one.thresholds == {} and one.pairs == 0
    assert cross_thresholds(description, vectors[:0], []).pairs == 0


def test_the_split_is_by_person_and_seed():
    names = ["a"] * 10 + ["b"] * 20 + ["c"] * 9
    parts = split(names, 10, seed=1)
    assert parts.people == 2 and len(parts.train) == 7 + 14 and len(parts.test) == 3 + 6
    assert not set(parts.train) & set(parts.test) and max(parts.train.max(), parts.test.max()) < 30
    assert (parts.train == split(names, 10, seed=1).train).all()
    assert (parts.train != split(names, 10, seed=2).train).any()
    with pytest.raises(ValueError, match="fewer than two"):
        split(names, 21)


def test_the_svm_is_scikit_learns():
    vectors, names = world(15, 12, 0.8)
    parts = split(names.tolist())
    identifier = Identifier(vectors[parts.train], names[parts.train].tolist(), seed=3)
    own = LinearSVC(C=1.0, random_state=3, dual=True, max_iter=5000).fit(vectors[parts.train], names[parts.train])
    predicted = identifier.predict(vectors[parts.test])
    assert (predicted == own.predict(vectors[parts.test])).mean() >= 0.99
    assert (predicted == names[parts.test]).mean() > 0.85
    large = Identifier(vectors[parts.train] * 50, names[parts.train].tolist(), seed=3)  # scale does not matter
    assert (large.predict(vectors[parts.test] * 50) == predicted).mean() >= 0.99
