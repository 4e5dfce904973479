"""The union of detectors: same faces merge, others stay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidanon.detect.base import Detector
from vidanon.detect.union import UNSEEN_SCORE, UnionDetector, UnionRefiner, fuse, merge, same_face
from vidanon.types import Detection


def face(x, y, side, score=0.9, detector="a", landmarks=None):
    box = np.array([x, y, x + side, y + side * 1.25], np.float32)
    return Detection(box, score, landmarks, detector)


class Fixed(Detector):
    def __init__(self, name, answers):
        self.name, self.answers = name, answers

    def detect(self, images):
        return [list(self.answers) for _ in images]


def test_one_face_seen_by_both_is_one():
    (found,) = merge([[face(100, 100, 40, 0.9, "a")], [face(104, 96, 40, 0.6, "b")]])
    assert found.score == pytest.approx(0.9)
    assert found.detector == "a+b"
    assert found.box[0] == pytest.approx((0.9 * 100 + 0.6 * 104) / 1.5)


def test_faces_only_one_of_them_sees_stay():
    left, right = face(0, 0, 30, 0.4, "a"), face(200, 0, 30, 0.7, "b")
    assert merge([[left], [right]]) == [right, left]


def test_neighbours_are_not_merged():
    a = [face(0, 0, 40), face(44, 0, 40)]
    b = [face(46, 2, 40, 0.8, "b"), face(1, 1, 40, 0.8, "b")]
    found = merge([a, b])
    assert sorted(round(float(d.box[0])) for d in found) == [0, 45]
    assert all(d.detector == "a+b" for d in found)


def test_each_face_joins_at_most_one_other():
    found = merge([[face(0, 0, 40)], [face(1, 0, 40, 0.8, "b"), face(6, 0, 40, 0.7, "b")]])
    assert sorted(d.detector for d in found) == ["a+b", "b"]


def test_a_face_inside_a_much_larger_box_is_another():
    assert len(merge([[face(0, 0, 200)], [face(80, 90, 40, 0.8, "b")]])) == 2


def test_three_detectors():
    found = merge([[face(0, 0, 40)], [], [face(2, 0, 40, 0.95, "c"), face(300, 0, 20, 0.2, "c")]])
    assert [(d.detector, d.score) for d in found] == [("a+c", 0.95), ("c", 0.2)]


def test_landmarks_of_either():
    marks = np.ones((5, 2), np.float32)
    assert fuse(face(0, 0, 9, landmarks=marks), face(0, 0, 9)).landmarks is marks
    assert fuse(face(0, 0, 9), face(0, 0, 9, landmarks=marks)).landmarks is marks
    both = fuse(face(0, 0, 9, 0.5, landmarks=marks), face(0, 0, 9, 0.5, landmarks=3 * marks))
    assert np.allclose(both.landmarks, 2)


@st.composite
def some_faces(draw, name):
    rows = draw(
        st.lists(st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(4, 60), st.floats(0.01, 1)), max_size=8)
    )
    return [face(*row, name) for row in rows]


@given(some_faces("a"), some_faces("b"))
@settings(deadline=None)
def test_nothing_is_lost_and_nothing_is_made_up(a, b):
    found = merge([a, b])
    assert max(len(a), len(b)) <= len(found) <= len(a) + len(b)
    assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)
    merged = sum(d.detector == "a+b" for d in found)
    assert len(found) + merged == len(a) + len(b)
    if a or b:
        assert max(d.score for d in found) == max(d.score for d in a + b)
    boxes = np.stack([d.box for d in found]) if found else np.zeros((0, 4), np.float32)
    for d in a + b:  # every face is answered by a box that at least touches it
        assert (same_face(d.box[None], boxes) > 0).any() or any(np.array_equal(d.box, box) for box in boxes)


def test_union_of_detectors_and_threshold():
    union = UnionDetector([Fixed("a", [face(0, 0, 40)]), Fixed("b", [face(200, 0, 40, 0.3, "b")])], threshold=0.5)
    picture = np.zeros((60, 300, 3), np.uint8)
    assert union.name == "a+b"
    assert [[d.detector for d in found] for found in union.detect([picture, picture])] == [["a"], ["a"]]
    assert union.detect([]) == []


def test_empty_boxes_do_no_harm():
    nothing = Detection(np.zeros(4, np.float32), 0.0, None, "a")
    assert len(merge([[nothing], [face(50, 50, 20, detector="b")]])) == 2


def test_a_union_of_nothing():
    with pytest.raises(ValueError, match="at least one"):
        UnionDetector([])


class Again:
    """Answers fixed faces and remembers where it was told to look."""

    def __init__(self, *answers):
        self.answers, self.boxes = list(answers), None

    def refine(self, images, boxes):
        self.boxes = [np.array(b) for b in boxes]
        return [list(self.answers) for _ in images]


def test_refiners_one_after_the_other():
    coarse_marks, fine_marks = np.zeros((5, 2), np.float32), np.ones((5, 2), np.float32)
    coarse = Again(face(12, 0, 40, 0.8, "a", coarse_marks), None, face(200, 0, 40, 0.5, "a"), None)
    fine = Again(face(14, 0, 40, 0.8, "b", fine_marks), face(100, 0, 40, 0.9, "b"), face(300, 0, 40, 0.4, "b"), None)
    places = np.array([[0, 0, 40, 50], [90, 0, 130, 50], [190, 0, 230, 50], [0, 90, 40, 140]], np.float32)
    (found,) = UnionRefiner([coarse, fine]).refine([np.zeros((99, 99, 3), np.uint8)], [places])
    assert fine.boxes[0][0, 0] == 12 and fine.boxes[0][1, 0] == 90  # where it was found, else where it was expected
    assert found[0].detector == "a+b" and found[0].box[0] == pytest.approx(13) and found[0].landmarks is fine_marks
    assert found[1].detector == "b" and found[2].detector == "a" and found[3] is None


def test_refining_nothing():
    again = UnionRefiner([Again(), Again()])
    assert again.refine([], []) == []
    assert again.refine([np.zeros((9, 9, 3), np.uint8)], [np.zeros((0, 4), np.float32)]) == [[]]
    with pytest.raises(ValueError, match="at least one"):
        UnionRefiner([])


def test_a_large_face_the_witness_does_not_see_is_doubted():
    large, small, shared = face(0, 0, 100, 0.95, "a"), face(300, 0, 20, 0.95, "a"), face(500, 0, 100, 0.95, "a")
    seen = face(502, 2, 98, 0.4, "b")
    union = UnionDetector([Fixed("a", [large, small, shared]), Fixed("b", [seen])], witness="b")
    (found,) = union.detect([np.zeros((300, 700, 3), np.uint8)])
    scores = {round(float(d.box[0]) / 100): d.score for d in found}
    assert scores == {0: UNSEEN_SCORE, 3: pytest.approx(0.95), 5: pytest.approx(0.95)}
