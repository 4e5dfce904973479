"""What surrounds a face is moved outward, and nobody else is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.swap import swapkit
from vidanon.faces.mesh_points import OVAL, eye_distance, five
from vidanon.swap.outline import WIDER, Outline, eased

WHO = 20


def radii(mesh: np.ndarray) -> np.ndarray:
    oval = mesh[list(OVAL), :2]
    return np.linalg.norm(oval - oval.mean(0), axis=1)


def bars(size: int) -> np.ndarray:
    """A picture whose red and green say where a pixel is."""
    line = (np.arange(size, dtype=np.float32) + 0.5) / size
    x, y = np.meshgrid(line, line)
    return np.stack([x, y, np.zeros_like(x)], 2)


@pytest.mark.parametrize("size", [64, 160, 512])
def test_the_oval_is_as_much_wider_and_eyes_and_mouth_stay(size: int) -> None:
    _, mesh = swapkit.face(WHO, size)
    wider = Outline(mesh, WIDER).mesh(mesh)
    assert np.abs(radii(wider) / radii(mesh) - 1 - WIDER).max() < 0.02
    unit = float(eye_distance(mesh))
    assert np.linalg.norm(five(wider) - five(mesh), axis=1).max() < 0.04 * unit
    assert (wider[:, 2] == mesh[:, 2]).all()


@pytest.mark.parametrize("size", [64, 160, 512])
def test_what_is_around_moves_with_the_mesh(size: int) -> None:
    """Where the picture shows that a pixel comes from is where the mesh says that it does."""
    _, mesh = swapkit.face(WHO, size)
    outline = Outline(mesh, WIDER)
    moved, shown = outline.picture(bars(size))
    there = outline.mesh(mesh)[list(OVAL), :2]
    x, y = (there - 0.5).round().astype(int).clip(0, size - 1).T
    found = moved[y, x, :2] * size
    assert np.linalg.norm(found - mesh[list(OVAL), :2], axis=1).max() < 0.02 * size
    outside = (
        np.linalg.norm(bars(size)[..., :2] * size - mesh[list(OVAL), :2].mean(0), axis=2) > 1.85 * radii(mesh).max()
    )
    assert outside.any() and shown[outside].max() == 0
    assert shown[y, x].min() > 0.9 or size == 64


def test_none_is_none() -> None:
    patch, mesh = swapkit.face(WHO, 160)
    outline = Outline(mesh, 0.0)
    np.testing.assert_allclose(outline.mesh(mesh), mesh, atol=1e-4)
    moved, shown = outline.picture(patch)
    np.testing.assert_allclose(moved, patch, atol=1e-6)
    assert shown.max() < 1e-4


def test_nothing_of_others_is_moved_and_nothing_is_moved_to_them() -> None:
    patch, mesh = swapkit.face(WHO, 192)
    others = np.zeros((192, 192), np.float32)
    x1 = int(Outline(mesh, WIDER).reach()[2])
    others[40:150, x1 - 30 :] = 1
    marked = patch.copy()
    marked[others > 0] = (1, 0, 1)
    moved, shown = Outline(mesh, WIDER).picture(marked, others)
    assert (moved[others > 0] == (1, 0, 1)).all() and shown[others > 0].max() == 0
    from_them = (np.abs(moved - marked).max(2) > 1e-3) & (shown > 0)
    colours = moved[from_them]
    assert from_them.any()
    assert not ((colours[:, 0] > 0.8) & (colours[:, 1] < 0.2) & (colours[:, 2] > 0.8)).any()


@pytest.mark.parametrize("turned", [0.0, 0.5])
def test_beyond_its_reach_nothing_is_moved_or_shown(turned: float) -> None:
    """A new face that is not told of as near may lie there, and the picture here is the source's."""
    _, mesh = swapkit.face(WHO, 256)
    middle = np.array([512, 512, 0], np.float32)
    mesh = (mesh - mesh.mean(0)) * np.array([1 - turned, 1, 1], np.float32) * 3 + middle
    outline = Outline(mesh, WIDER)
    x0, y0, x1, y1 = outline.reach().round().astype(int)
    assert 0 < x0 < x1 < 1024 and 0 < y0 < y1 < 1024
    picture = bars(1024)
    moved, shown = outline.picture(picture)
    beyond = np.ones_like(shown, bool)
    beyond[y0:y1, x0:x1] = False
    assert shown[beyond].max() < 0.01 and np.abs(moved - picture)[beyond].max() * 1024 < 0.01


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=60), st.floats(0, 1), st.integers(1, 12))
def test_it_comes_and_goes_smoothly_and_never_where_there_is_no_room(
    free: list[bool], before: float, steps: int
) -> None:
    found = eased(np.array(free, np.float32), before, steps)
    assert found.min() >= 0 and found.max() <= 1
    assert (found[~np.array(free)] == 0).all()
    assert np.abs(np.diff(found)).max(initial=0) <= 1 / steps + 1e-6
    assert found[0] <= before + 1 / steps + 1e-6


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31))
def test_whatever_the_mesh_numbers_stay_numbers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mesh = rng.normal(rng.uniform(-50, 250), rng.uniform(0, 90), (468, 3)).astype(np.float32)
    patch = rng.random((96, 96, 3), np.float32)
    outline = Outline(mesh, WIDER)
    moved, shown = outline.picture(patch)
    assert np.isfinite(outline.mesh(mesh)).all() and np.isfinite(moved).all() and np.isfinite(shown).all()
    assert moved.min() >= 0 and moved.max() <= 1 and shown.min() >= 0 and shown.max() <= 1
