"""Properties of non-maximum suppression, for any boxes."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vidanon.detect.mtcnn import peaks_cv, peaks_torch
from vidanon.detect.nms import areas, nms, nms_by_group, overlaps
from vidanon.types import FloatArray

MODES = st.sampled_from(["union", "min"])
THRESHOLDS = st.floats(0.05, 0.95)


@st.composite
def scored_boxes(draw: st.DrawFn, most: int = 40) -> tuple[FloatArray, FloatArray]:
    n = draw(st.integers(0, most))
    values = hnp.arrays(np.float32, (n, 2), elements=st.floats(0, 60, width=32))
    low, sides = draw(values), draw(values)
    scores = draw(hnp.arrays(np.float32, n, elements=st.sampled_from([0.1, 0.5, 0.50001, 0.9, 1.0])))
    return np.concatenate((low, low + sides), 1).astype(np.float32), scores


@given(scored_boxes(), THRESHOLDS, MODES)
@settings(deadline=None)
def test_what_stays_does_not_overlap_and_what_goes_has_a_better_one(data, threshold, over):
    boxes, scores = data
    keep = nms(boxes, scores, threshold, over)
    between = overlaps(boxes[keep], boxes[keep], over) - 2 * np.eye(len(keep), dtype=np.float32)
    assert (between <= threshold).all()
    assert (np.diff(scores[keep]) <= 0).all()
    for gone in set(range(len(boxes))) - set(keep.tolist()):
        better = keep[scores[keep] >= scores[gone]]
        assert overlaps(boxes[gone : gone + 1], boxes[better], over).max(initial=0) > threshold


@given(scored_boxes(), THRESHOLDS, st.integers(1, 4))
@settings(deadline=None)
def test_groups_do_not_see_each_other(data, threshold, count):
    boxes, scores = data
    groups = np.arange(len(boxes)) % count
    together = nms_by_group(boxes, scores, groups, threshold)
    apart = [np.flatnonzero(groups == g)[nms(boxes[groups == g], scores[groups == g], threshold)] for g in range(count)]
    assert together.tolist() == [int(i) for part in apart for i in part]


@given(scored_boxes(), scored_boxes(), MODES)
@settings(deadline=None)
def test_overlap_is_symmetric_bounded_and_one_with_itself(a, b, over):
    boxes, others = a[0], b[0]
    found = overlaps(boxes, others, over)
    assert found.shape == (len(boxes), len(others))
    assert ((found >= 0) & (found <= 1 + 1e-5)).all()
    assert np.allclose(found, overlaps(others, boxes, over).T)
    with_area = areas(boxes) > 1e-3
    assert np.allclose(np.diag(overlaps(boxes, boxes, over))[with_area], 1, atol=1e-5)


def test_known_overlaps():
    a = np.array([[0, 0, 10, 10]], np.float32)
    b = np.array([[5, 0, 15, 10], [2, 2, 4, 4], [20, 20, 30, 30], [8, 8, 2, 2]], np.float32)
    assert np.allclose(overlaps(a, b), [[1 / 3, 0.04, 0, 0]])
    assert np.allclose(overlaps(a, b, "min"), [[0.5, 1, 0, 0]])


@given(hnp.arrays(np.float32, (9, 13), elements=st.floats(-4, 4, width=32)), st.floats(-2, 2))
@settings(deadline=None)
def test_peaks_of_a_level_are_greedy_suppression_of_its_windows(logits, threshold):
    """Twelve px windows on a grid of two overlap by more than a half only where they are neighbours."""
    ties = (3 * (np.arange(9)[:, None] % 3) + np.arange(13)[None] % 3) * np.float32(1e-5)
    y, x = np.nonzero(logits >= threshold)
    low = np.stack((x, y), 1).astype(np.float32) * 2
    scores = (logits + ties.astype(np.float32))[y, x]
    keep = nms(np.concatenate((low, low + 12), 1), scores, 0.5)
    expected = np.zeros(logits.shape, bool)
    expected[y[keep], x[keep]] = True
    peaks = peaks_cv(logits, threshold)
    assert (peaks == peaks_torch(torch.from_numpy(logits), threshold).numpy()).all()
    if len(np.unique(scores)) == len(scores):  # between equal scores far apart the order of suppression is free
        assert (peaks == expected).all()


def test_a_flat_region_does_not_keep_all_its_windows():
    peaks = peaks_cv(np.full((60, 60), 3, np.float32), 0)
    assert 0 < peaks.sum() <= 60 * 60 / 4
