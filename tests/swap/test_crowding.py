"""Which of two new faces yields."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.swap import swapkit
from vidanon.swap.crowding import crowded, near, touch
from vidanon.swap.poses import Seen

REACH = 1.3


def seen(*meshes: np.ndarray, first: int = 0) -> Seen:
    boxes = np.stack([swapkit.box_of(points) for points in meshes])
    n = len(meshes)
    return Seen(
        tuple(range(first, first + n)), np.stack(meshes), np.ones(n, np.float32), boxes, np.zeros((n, 5, 2), np.float32)
    )


def answer(large: Seen, small: Seen, shares: tuple[float, float] = (1, 1)) -> dict[int, list[bool]]:
    faces = {1: large, 2: small}
    meshes = {track: each.raw for track, each in faces.items()}
    return crowded(faces, meshes, {1: np.full(len(large), shares[0]), 2: np.full(len(small), shares[1])}, REACH)


def pair(gap: float) -> tuple[np.ndarray, np.ndarray]:
    """A mesh and a smaller one, ``gap`` of whose width lies between the boxes."""
    large = swapkit.face(1)[1]
    small = 0.6 * large
    box, own = swapkit.box_of(large), swapkit.box_of(small)
    shift = (box[2] + gap * (own[2] - own[0]) - own[0], (box[1] + box[3] - own[1] - own[3]) / 2, 0)
    return large, small + np.array(shift, np.float32)


def test_the_smaller_yields_where_the_larger_lies_over_it():
    for gap, yields in ((-0.3, True), (0.0, True), (0.2, False)):
        large, small = pair(gap)
        assert answer(seen(large), seen(small)) == {1: [False], 2: [yields]}


def test_heads_one_above_the_other_and_a_little_aside_are_side_by_side():
    """Their boxes reach into one another, and faces have round corners."""
    large, small = pair(-0.15)
    high = np.ptp(swapkit.box_of(large)[1::2]) + np.ptp(swapkit.box_of(small)[1::2])
    aside = small + np.array([0, 0.42 * high, 0], np.float32)
    apart = swapkit.box_of(aside)[:2] > swapkit.box_of(large)[2:]
    assert not apart.any()
    assert answer(seen(large), seen(aside)) == {1: [False], 2: [False]}


def test_of_a_face_that_goes_over_all_that_its_cover_takes_counts():
    for gap, yields in ((0.1, True), (0.3, False)):
        large, small = pair(gap)
        assert answer(seen(large), seen(small), (1, 0.5)) == {1: [False], 2: [yields]}


def test_only_to_a_face_that_is_drawn_in_the_same_frame():
    large, small = pair(-0.3)
    assert answer(seen(large), seen(small), (0, 1)) == {1: [False], 2: [False]}
    assert answer(seen(large), seen(small), (1, 0)) == {1: [False], 2: [True]}
    assert answer(seen(large, large), seen(small, small, first=1)) == {1: [False, False], 2: [True, False]}


def test_of_two_as_large_both_yield():
    points = swapkit.face(1)[1]
    assert answer(seen(points), seen(points * 0.99 + 10)) == {1: [True], 2: [True]}


def test_a_face_without_a_mesh_is_known_by_what_covers_it():
    for gap, yields in ((0.1, True), (0.4, False)):
        large, small = pair(gap)
        nowhere = replace(seen(small), raw=np.full_like(small, np.nan)[None])
        assert answer(seen(large), nowhere, (1, 0)) == {1: [False], 2: [yields]}


def test_places_touch_unless_they_lie_apart():
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    diamond = np.array([[0, -1], [1, 0], [0, 1], [-1, 0]], np.float32) * np.float32(0.7)
    for far in (0, 1e5):
        assert touch(square + far, square + far + 0.5) and not touch(square + far, square + far + 2)
    assert touch(square, square) and touch(square, square * 0.2 + 0.4)  # one within the other
    assert touch(square, diamond + 1.3) and not touch(square, diamond + 1.4)  # their bounds overlap
    for part in (square[:1] * 0 + 0.5, square[:2] * 0.5 + 0.2):  # a point and a line, of a face seen edge-on
        assert touch(square, part) and touch(part, square) and touch(part, part)
        assert not touch(square, part + 3)


def test_a_place_that_is_no_number_is_touched():
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    for spoilt in (np.full((4, 2), np.nan, np.float32), np.where(square > 0, np.nan, square)):
        assert touch(square, spoilt) and touch(spoilt, square + 9)


def beside(large: Seen, small: Seen, drawn: bool):
    faces = {1: large, 2: small}
    shares = {1: np.ones(len(large), np.float32), 2: np.full(len(small), float(drawn), np.float32)}
    rows = [
        swapkit.row_of(points, frame, track)
        for track, each in faces.items()
        for frame, points in zip(each.frames, each.raw, strict=True)
    ]
    return near(faces, {track: each.raw for track, each in faces.items()}, shares, rows, REACH)


def test_who_is_near_is_told_and_whether_they_are_drawn():
    for gap, is_near in ((0.1, True), (3.0, False)):
        for drawn in (True, False):
            large, small = pair(gap)
            (found,) = beside(seen(large), seen(small), drawn)[1]
            assert len(found.places) == is_near and found.drawn == (is_near and drawn)


def test_nobody_is_near_oneself_or_in_another_frame():
    large, small = pair(-0.3)
    found = beside(seen(large), seen(small, first=1), True)
    assert not found[1][0].places and not found[2][0].places


def test_a_place_that_is_no_number_is_near():
    large, small = pair(3.0)
    nowhere = replace(swapkit.row_of(small, 0, 2), box=np.full(4, np.nan, np.float32))
    found = near({1: seen(large)}, {1: large[None]}, {1: np.ones(1, np.float32)}, [nowhere], REACH)
    assert len(found[1][0].places) == 1


def test_a_cover_that_may_reach_into_a_mouth_is_told_and_a_new_face_is_none():
    for gap, reaches in ((-0.5, True), (0.6, False)):
        large, small = pair(gap)
        for drawn in (True, False):
            (found,) = beside(seen(large), seen(small), drawn)[1]
            assert found.mouth_covered == (reaches and not drawn)
    nowhere = replace(swapkit.row_of(large, 0, 2), box=np.full(4, np.nan, np.float32))
    (found,) = near({1: seen(large)}, {1: large[None]}, {1: np.ones(1, np.float32)}, [nowhere], REACH)[1]
    assert found.mouth_covered
