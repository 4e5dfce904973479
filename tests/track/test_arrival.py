"""A place is said to be empty only where the face would have changed it, and did not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trackkit
from hypothesis import given, settings
from hypothesis import strategies as st

from vidanon.track.arrival import nothing_came
from vidanon.track.base import Box
from vidanon.track.flow import Luma
from vidanon.types import ByteArray

FACE = np.array([30.0, 40.0, 62.0, 80.0])
WALL = trackkit.texture(7, trackkit.WIDTH, trackkit.HEIGHT, 24)


def luma(image: ByteArray, index: int = 0, noise: float = 0.0) -> Luma:
    rough = image + np.random.default_rng(index).normal(0, noise, image.shape)
    return Luma(index, np.clip(rough, 0, 255).astype(np.uint8), 1.0, trackkit.WIDTH, trackkit.HEIGHT)


def with_face(box: Box | None, wall: ByteArray = WALL, face: ByteArray | None = None) -> ByteArray:
    out = wall.copy()
    if box is not None:
        trackkit.draw(out, list(box), trackkit.texture(101, 64, 80, 7) if face is None else face)
    return out


def at(x: float, y: float, grown: float = 1.0) -> Box:
    half = (FACE[2:] - FACE[:2]) / 2
    return np.array([x, y, x, y]) + np.concatenate([-half, half]) * grown


def test_an_unchanged_place_is_empty_whatever_the_noise() -> None:
    then = luma(with_face(FACE), 1, noise=4)
    for noise in (0, 4, 8):
        assert nothing_came(then, luma(with_face(None), 2, noise), FACE, at(180, 90, 1.3), [])


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(120, 290), y=st.floats(30, 150), off=st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)),
    grown=st.floats(1.0, 1.4), noise=st.floats(0, 8), seed=st.integers(0, 50),
)  # fmt: skip
def test_a_place_where_the_face_is_is_never_empty(
    x: float, y: float, off: tuple[float, float], grown: float, noise: float, seed: int
) -> None:
    """Wherever it came to within the guess, whatever it looks like."""
    face = trackkit.texture(seed, 64, 80, 7)
    then = luma(with_face(FACE, face=face), 1, noise)
    there = at(x + off[0] * 32, y + off[1] * 40)
    now = luma(with_face(there, face=face), 2, noise)
    assert not nothing_came(then, now, FACE, at(x, y, grown), [])


@settings(max_examples=60, deadline=None)
@given(x=st.floats(120, 290), y=st.floats(30, 150), beside=st.floats(-40, 40))
def test_nor_is_one_where_it_stands_beside_somebody(x: float, y: float, beside: float) -> None:
    """Half of it or more is seen next to another face, in front of which it is drawn or not."""
    other = at(x, y)
    there = at(x + np.copysign(max(20.0, abs(beside)), beside), y)
    wall = with_face(other, face=trackkit.texture(5, 64, 80, 7))
    assert not nothing_came(luma(with_face(FACE, wall)), luma(with_face(there, wall)), FACE, there, [other])


def test_what_another_face_hides_and_what_changes_there_is_no_evidence() -> None:
    other = at(180, 90)
    before = with_face(other, face=trackkit.texture(5, 64, 80, 7))
    after = with_face(other + 3, face=trackkit.texture(5, 64, 80, 7))  # it has moved a little
    place = at(200, 90, 1.3)
    assert nothing_came(luma(with_face(FACE, before)), luma(after), FACE, place, [other + 3])
    assert not nothing_came(luma(with_face(FACE, before)), luma(after), FACE, place, [])
    assert not nothing_came(luma(with_face(FACE, before)), luma(after), FACE, at(182, 92), [other + 3])  # all of it


@pytest.mark.parametrize(("level", "lighter"), [(6, 3), (40, 7), (128, 9), (200, 9)])
def test_a_face_that_would_hardly_be_seen_may_be_there(level: int, lighter: int) -> None:
    wall = np.full_like(WALL, level)
    face = np.full((80, 64), level + lighter, np.uint8)
    then, now = luma(with_face(FACE, wall, face)), luma(wall)
    assert not nothing_came(then, now, FACE, at(200, 90), [])


@pytest.mark.parametrize(("level", "lighter"), [(6, 6), (20, 6), (40, 10), (128, 14)])
def test_in_the_dark_less_is_seen(level: int, lighter: int) -> None:
    wall = np.full_like(WALL, level)
    face = np.full((80, 64), level + lighter, np.uint8)
    then = luma(with_face(FACE, wall, face))
    assert nothing_came(then, luma(wall), FACE, at(200, 90), [])
    assert not nothing_came(then, luma(with_face(at(200, 90), wall, face)), FACE, at(200, 90), [])


def test_a_face_that_would_not_show_in_part_of_the_place_may_be_there() -> None:
    wall = np.full_like(WALL, 60)
    wall[:, 200:] = 120
    face = np.full((80, 64), 124, np.uint8)
    then = luma(with_face(FACE, wall, face))
    assert nothing_came(then, luma(wall), FACE, at(150, 90, 1.4), [])
    assert not nothing_came(
        then, luma(wall), FACE, at(205, 90, 1.4), []
    )  # before the right of it, it would not be seen


def test_in_front_of_a_larger_face_a_small_one_may_be() -> None:
    other = at(200, 90, 2.5)
    before = with_face(other, face=trackkit.texture(5, 64, 80, 7))
    there = at(200, 115)
    now = with_face(there, before)
    assert not nothing_came(luma(with_face(FACE, before)), luma(now), FACE, there, [other])
    beside = at(236, 120)  # at its shoulder
    now = with_face(beside, before)
    assert not nothing_came(luma(with_face(FACE, before)), luma(now), FACE, beside, [other])


def test_nothing_is_said_of_a_picture_of_another_size() -> None:
    then, now = luma(with_face(FACE)), luma(with_face(None))
    assert nothing_came(then, now, FACE, at(200, 90), [])
    assert not nothing_came(then, replace(now, width=2 * now.width, scale=0.5), FACE, at(200, 90), [])


def test_nothing_is_said_of_a_place_it_had_not_left() -> None:
    then = luma(with_face(FACE))
    assert not nothing_came(then, then, FACE, FACE + 20, [])
    assert nothing_came(then, then, FACE, FACE + 80, [])


def test_a_moving_camera_proves_nothing() -> None:
    then = luma(with_face(FACE))
    now = luma(np.roll(with_face(None), 5, axis=1))
    assert not nothing_came(then, now, FACE, at(200, 90), [])


def test_what_has_left_the_picture_may_still_be_at_its_border() -> None:
    then = luma(with_face(FACE))
    gone = at(trackkit.WIDTH + 40, 90)
    assert nothing_came(then, luma(with_face(None)), FACE, gone, [])
    late = luma(with_face(at(trackkit.WIDTH - 10, 90)))
    assert not nothing_came(then, late, FACE, gone, [])
