"""Glasses: stiff, in front of the eyes, out of the way where the head hides them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.swap import swapkit
from vidanon.faces.mesh_points import LEFT_LIDS, RIGHT_BROW, RIGHT_LIDS, eye_distance, five
from vidanon.swap.base import Glasses, Retouch
from vidanon.swap.glasses import chosen, worn
from vidanon.swap.traits import SIDE

SIZE = 192
PLAIN = Glasses(0.4, 0.25, 3.0, 0.06, 0.05, 0.0, (0.2, 0.2, 0.2))


def rim(mesh: np.ndarray, glasses: Glasses = PLAIN, size: int = SIZE) -> np.ndarray:
    return worn(glasses, mesh, swapkit.composer().shapes.average, size)


def retouch(glasses: Glasses | None) -> Retouch:
    return Retouch(np.zeros((SIDE, SIDE), np.float32), 1.0, glasses=glasses)


def draw(patch: np.ndarray, mesh: np.ndarray, glasses: Glasses | None):
    composer, actor = swapkit.composer(), swapkit.actors()[0]
    offset = composer.shapes.offset(actor.shape, swapkit.actors()[20].shape)
    rng = np.random.default_rng(0)
    return composer.draw(patch, mesh, offset, actor, None, rng, (0.0, 0.0), retouch(glasses))


def test_the_upper_rim_lies_around_the_eyes_and_the_bridge_between_them():
    mesh = swapkit.face(20, SIZE)[1]
    unit, at = float(eye_distance(mesh)), rim(mesh)
    assert at.shape == (SIZE, SIZE) and at.dtype == np.float32 and at.min() >= 0 and at.max() == 1
    marks = five(mesh)[:, :2]
    rows, columns = np.nonzero(at > 0.5)
    middle = marks[:2].mean(0)
    assert abs(columns.mean() - middle[0]) < 0.1 * unit
    assert (rows < middle[1] + 0.15 * unit).all()  # nothing below the eyes
    for eye in marks[:2]:
        x, y = (int(v) for v in eye)
        assert at[y - 2 : y + 3, x - 2 : x + 3].max() == 0  # it looks through a lens, not through the rim
        above = at[y - round(0.4 * unit) : y, x]
        assert above.max() > 0.9
    assert at[:, int(middle[0])].max() > 0.9


def test_the_lower_rim_is_thin_and_seen_as_much_as_is_asked_for():
    mesh, size = 4 * swapkit.face(20, SIZE)[1], 4 * SIZE  # where even a thin line fills its pixels
    unit, eye = float(eye_distance(mesh)), five(mesh)[0, :2]
    x, y, far = int(eye[0]), int(eye[1]), round(0.5 * unit)
    for under in (0.0, 0.25, 1.0):
        at = rim(mesh, replace(PLAIN, under=under), size)
        below, above = at[y : y + far, x], at[y - far : y, x]
        assert below.max() == pytest.approx(under, abs=0.05)
        if under:
            assert 0 < (below > 0.5 * under).sum() < 0.6 * (above > 0.5).sum()


def test_lids_and_brows_do_not_move_it_and_the_head_does():
    mesh = swapkit.face(20, SIZE)[1]
    moved = mesh.copy()
    moved[[a for a, _ in (*RIGHT_LIDS, *LEFT_LIDS)], 1] += 4
    moved[list(RIGHT_BROW), 1] -= 5
    np.testing.assert_array_equal(rim(moved), rim(mesh))
    there = rim(mesh + np.array([9, 5, 0], np.float32))
    np.testing.assert_allclose(there[5:, 9:], rim(mesh)[:-5, :-9], atol=0.02)
    double = rim(mesh * 2, size=2 * SIZE)
    smaller = cv2.resize(double, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    assert np.abs(smaller - rim(mesh)).mean() < 0.002


def test_a_turned_head_hides_the_temple_on_the_far_side():
    mesh = swapkit.face(20, SIZE)[1]
    unit = float(eye_distance(mesh))
    for yaw in (-35.0, 35.0):
        turned = swapkit.turned(mesh, yaw)
        columns = np.nonzero((rim(turned) > 0.5).any(0))[0]
        eyes = sorted(five(turned)[:2, 0])
        left, right = eyes[0] - columns.min(), columns.max() - eyes[1]
        assert max(left, right) > min(left, right) + 0.2 * unit  # the near temple reaches far, the far one nowhere
        nose = five(turned)[2, 0]
        near = left if nose > np.mean(eyes) else right
        assert near == max(left, right)


def test_a_drawn_face_wears_them_and_nothing_else_changes():
    patch, mesh = swapkit.face(20, SIZE)
    without, wearing = draw(patch, mesh, None), draw(patch, mesh, PLAIN)
    changed = np.abs(wearing.patch - without.patch).max(2)
    assert changed[without.mask == 0].max() == 0
    assert (wearing.layer.inside == without.layer.inside).all() and (wearing.mask == without.mask).all()
    seen = rim(mesh)  # about where the new face has its eyes as well
    near = cv2.dilate(seen, np.ones((31, 31))) > 0
    assert changed[~near].max() == 0
    dark = (without.layer.luma - wearing.layer.luma)[without.layer.inside >= 1]
    assert dark.max() > 0.2 and dark.min() > -0.1
    # eyes stay to be seen
    for x, y in five(mesh)[:2, :2].astype(int):
        assert changed[y - 1 : y + 2, x - 1 : x + 2].max() < 0.02


def test_they_are_as_sharp_as_the_picture_around():
    patch, mesh = swapkit.face(20, SIZE)
    steep = []
    for blur in (0.0, 3.0):
        source = patch if blur == 0 else cv2.GaussianBlur(patch, (0, 0), blur)
        change = np.abs(draw(source, mesh, PLAIN).layer.luma - draw(source, mesh, None).layer.luma)
        steep.append(np.abs(np.diff(change, axis=0)).max())
    assert steep[1] < 0.6 * steep[0]


def test_who_draws_a_pair_draws_another_the_next_time():
    pairs = {chosen(np.random.default_rng(seed)) for seed in range(20)}
    assert len(pairs) == 20 and len({pair.colour for pair in pairs}) > 2
    assert chosen(np.random.default_rng(3)) == chosen(np.random.default_rng(3))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([1e-3, 1.0, 60.0, 1e5]), middle=st.floats(-1e4, 1e4))
def test_any_finite_mesh_at_all(seed, spread, middle):
    rng = np.random.default_rng(seed)
    mesh = (middle + rng.normal(0, spread, (468, 3))).astype(np.float32)
    at = rim(mesh, chosen(rng), 64)
    assert at.shape == (64, 64) and np.isfinite(at).all() and at.min() >= 0 and at.max() <= 1
