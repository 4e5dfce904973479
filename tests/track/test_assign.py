from itertools import permutations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vidanon.track import assign
from vidanon.track.base import iou, map_boxes, to_boxes, to_state


@st.composite
def boxes(draw: st.DrawFn, most: int = 5) -> np.ndarray:
    count = draw(st.integers(0, most))
    number = st.floats(0, 300)
    side = st.floats(8, 80)
    rows = [(x := draw(number), y := draw(number), x + draw(side), y + draw(side)) for _ in range(count)]
    return np.array(rows, np.float64).reshape(-1, 4)


@settings(max_examples=60, deadline=None)
@given(boxes(), boxes(), st.floats(0, 2))
def test_assignment_is_one_to_one_gated_and_cheapest(tracks: np.ndarray, found: np.ndarray, slack: float) -> None:
    slacks = np.full(len(tracks), slack)
    match = assign.assign(tracks, found, slacks)
    left, right = [i for i, _ in match.pairs], [j for _, j in match.pairs]
    assert sorted(left + match.tracks) == list(range(len(tracks)))
    assert sorted(right + match.detections) == list(range(len(found)))
    allowed = assign.gate(tracks, found, slacks) if len(tracks) and len(found) else np.zeros((0, 0), bool)
    assert all(allowed[i, j] for i, j in match.pairs)
    if len(tracks) and len(found):
        cost = np.where(allowed, assign._cost(tracks, found), assign._FAR)
        a, b = (cost, len(found)) if len(tracks) <= len(found) else (cost.T, len(tracks))
        best = min(sum(a[i, p] for i, p in enumerate(order)) for order in permutations(range(b), len(a)))
        unmatched = min(len(tracks), len(found)) - len(match.pairs)
        ours = sum(cost[i, j] for i, j in match.pairs) + unmatched * assign._FAR
        assert ours <= best + 1e-6


@settings(max_examples=40, deadline=None)
@given(boxes(4), st.randoms(use_true_random=False))
def test_order_of_detections_does_not_matter(found: np.ndarray, random: object) -> None:
    tracks = found + np.random.default_rng(1).normal(0, 2, found.shape)
    order = list(range(len(found)))
    random.shuffle(order)  # type: ignore[attr-defined]
    slack = np.zeros(len(tracks))
    plain = assign.assign(tracks, found, slack)
    shuffled = assign.assign(tracks, found[order], slack)
    total = sum(assign._cost(tracks, found)[i, j] for i, j in plain.pairs)
    other = sum(assign._cost(tracks, found)[i, order[j]] for i, j in shuffled.pairs)
    assert len(plain.pairs) == len(shuffled.pairs)
    np.testing.assert_allclose(total, other, atol=1e-9)


def test_weak_scores_go_to_live_tracks_only() -> None:
    tracks = np.array([[0, 0, 40, 40], [100, 0, 140, 40], [200, 0, 240, 40]], float)
    found = tracks + 2
    scores = np.array([0.9, 0.3, 0.3])
    match = assign.two_stage(tracks, np.zeros(3), found, scores, high=0.6, low=0.1, live=np.array([True, True, False]))
    assert match.pairs == [(0, 0), (1, 1)]
    assert match.tracks == [2]
    assert match.detections == []  # a weak one starts nothing


def test_a_weak_score_does_not_take_a_track_from_a_strong_one() -> None:
    tracks = np.array([[0, 0, 40, 40]], float)
    found = np.array([[0, 0, 40, 40], [8, 8, 48, 48]], float)
    match = assign.two_stage(tracks, np.zeros(1), found, np.array([0.3, 0.9]), high=0.6, low=0.1, live=np.array([True]))
    assert match.pairs == [(0, 1)]


def test_size_and_distance_gate() -> None:
    track = np.array([[100, 100, 140, 140]], float)
    far, small, near = track + 60, np.array([[115, 115, 125, 125]], float), track + 15
    assert not assign.gate(track, far, np.zeros(1)).any()
    assert assign.gate(track, far, np.full(1, 2.0)).all()
    assert not assign.gate(track, small, np.zeros(1)).any()
    assert assign.gate(track, near, np.zeros(1)).all()


@settings(max_examples=50, deadline=None)
@given(boxes())
def test_state_and_back(found: np.ndarray) -> None:
    np.testing.assert_allclose(to_boxes(*to_state(found)), found, atol=1e-6)
    np.testing.assert_allclose(np.diag(iou(found, found)), 1.0, atol=1e-9)


def test_quarter_turn_keeps_boxes_in_order() -> None:
    turn = np.array([[0, 1, 0], [-1, 0, 100]], np.float32)  # view (x, y) -> coded (y, 100 - x)
    np.testing.assert_allclose(map_boxes(np.array([[10.0, 20, 30, 60]]), turn), [[20, 70, 60, 90]])
