"""A new face in its surroundings: no edge, nothing of the source's fine structure inside, all of it outside."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.swap import swapkit
from vidanon.faces.mesh_points import LEFT_EYE, LIPS_INNER, LIPS_OUTER, OVAL, RIGHT_EYE, eye_distance
from vidanon.swap.light import smoothed
from vidanon.swap.merge import coloured, filled, inner, merged, rims

SIZE = 192


def case(which: int = 0, mouth: float = 0.0, size: int = SIZE):
    """(picture, mesh, unit, rims)."""
    picture, mesh = swapkit.face(which, size)
    mesh = swapkit.with_open_mouth(mesh, mouth)
    unit = float(eye_distance(mesh))
    return picture, mesh, unit, rims(mesh, unit, size)


def noise(seed: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.05, (size, size, 3)).astype(np.float32)


def left(source_noise: np.ndarray, out: np.ndarray, where: np.ndarray, sigma: float) -> float:
    """Share of the source's fine noise that is in the output (a regression)."""
    a = (source_noise - smoothed(source_noise, sigma))[where].astype(np.float64)
    b = (out - smoothed(out, sigma))[where].astype(np.float64)
    return float((a * b).sum() / (a * a).sum())


@pytest.mark.parametrize("size", [64, 192, 384])
def test_a_polygon_is_filled_by_its_area(size):
    corners = np.array([[10.3, 12.6], [50.1, 9.2], [44.7, 55.4], [14.9, 40.0]], np.float32) * np.float32(size / 64)
    x, y = corners.T
    area = 0.5 * abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
    picture = filled(corners, size)
    # OpenCV counts a pixel that the outline touches: most of a pixel all round
    around = np.linalg.norm(corners - np.roll(corners, 1, 0), axis=1).sum()
    assert area - 0.1 * around < picture.sum() < area + 0.9 * around
    assert picture.min() == 0 and picture.max() == 1


def test_a_polygon_beside_the_picture_fills_nothing():
    corners = np.array([[-90, -90], [-50, -90], [-50, -40]], np.float32)
    assert filled(corners, 64).max() == 0
    assert filled(np.full((5, 2), 1e5, np.float32), 64).max() == 0


def test_lips_and_eyes_have_a_colour_of_their_own_and_cheeks_have_not():
    _, mesh, unit, _ = case()
    own = coloured(mesh, unit, SIZE)
    assert own.min() >= 0 and own.max() <= 1
    for part in (LIPS_OUTER, LEFT_EYE, RIGHT_EYE):
        assert own[swapkit.painted(mesh, part, SIZE)].mean() > 0.9
    cheeks = mesh[[50, 280, 9], :2].astype(int)  # and between the brows
    assert own[cheeks[:, 1], cheeks[:, 0]].max() == 0


def test_rims_rise_from_the_oval_inwards():
    _, mesh, unit, at = case()
    away = cv2.distanceTransform(swapkit.oval(mesh, SIZE).astype(np.uint8), cv2.DIST_L2, 5) / unit
    for share in (at.region, at.fine, at.middle, at.mouth):
        assert share.min() >= 0 and share.max() <= 1 and share.shape == (SIZE, SIZE)
    outside = ~swapkit.oval(mesh, SIZE, 2)
    for share in (at.region, at.fine, at.middle):
        assert share[outside].max() == 0
        by_depth = [float(share[(away > low) & (away <= low + 0.05)].mean()) for low in np.arange(0, 0.5, 0.05)]
        assert np.all(np.diff(by_depth) >= -1e-6)
        assert share[away > 0.6].min() == 1
    assert (at.fine >= at.middle - 1e-6).all()  # the finest detail changes over first
    assert at.mouth[outside].max() == 0


def test_the_inner_face_is_without_rim_and_open_mouth():
    _, mesh, _, at = case(mouth=15)
    face = inner(at)
    assert set(np.unique(face)) == {0, 1}
    assert face[~swapkit.oval(mesh, SIZE)].max() == 0
    assert face.sum() < 0.97 * at.region.sum()
    assert face[swapkit.painted(mesh, LIPS_INNER, SIZE)].mean() < 0.1
    assert face[swapkit.oval(mesh, SIZE)].mean() > 0.4


def test_the_mouth_grows_with_its_opening():
    areas = [float(case(mouth=gap)[3].mouth.sum()) for gap in (0, 4, 8, 16)]
    assert areas == sorted(areas) and areas[-1] > 2 * areas[0]


@pytest.mark.parametrize("mouth", [0, 12])
def test_the_source_merged_with_itself_is_the_source(mouth):
    source, _, unit, at = case(3, mouth)
    np.testing.assert_allclose(merged(source, source.copy(), at, unit), source, atol=1e-6)


@pytest.mark.parametrize("size", [64, 192, 384])
def test_outside_the_oval_nothing_changes(size):
    source, mesh, unit, at = case(0, size=size)
    donor, _ = swapkit.face(20, size)
    out = merged(source, donor, at, unit)
    outside = (at.region <= 0.5) | ~swapkit.oval(mesh, size, 1)
    assert np.abs(out - source)[outside].max() < 1e-6
    assert np.abs(out - source)[~outside].mean() > 0.03


@pytest.mark.parametrize("mouth", [0, 14])
def test_beyond_the_rim_nothing_of_the_sources_fine_structure_is_left(mouth):
    picture, mesh, unit, at = case(0, mouth)
    donor = np.full_like(picture, 0.5)
    grain = noise(1)
    source = np.clip(smoothed(picture, 2) * 0.5 + 0.25 + grain, 0, 1)
    out = merged(source, donor, at, unit)
    sigma = 0.05 * unit
    assert abs(left(grain, out, inner(at) > 0, sigma)) < 0.03
    assert left(grain, out, ~swapkit.oval(mesh, SIZE, 2), sigma) > 0.99
    if mouth:
        lips = cv2.erode(at.mouth, np.ones((3, 3))) > 0.99
        assert lips.sum() > 50
        assert left(grain, out, lips, sigma) > 0.95


def test_the_donors_fine_structure_is_there_beyond_the_rim():
    picture, _, unit, at = case(0)
    grain = noise(2)
    donor = np.clip(0.5 + grain, 0, 1)
    out = merged(picture, donor, at, unit)
    assert left(grain, out, inner(at) > 0, 0.05 * unit) > 0.95


def test_there_is_no_edge_to_see():
    """A brighter donor: along no line across the rim does the picture step."""
    _, mesh, unit, at = case(0)
    source, donor = np.full((SIZE, SIZE, 3), 0.4, np.float32), np.full((SIZE, SIZE, 3), 0.6, np.float32)
    out = merged(source, donor, at, unit)
    skin = cv2.dilate(at.mouth, np.ones((5, 5))) == 0
    for axis in (0, 1):
        steps = np.abs(np.diff(out[..., 0], axis=axis))
        assert steps[skin[1:] if axis == 0 else skin[:, 1:]].max() < 0.2 / 3
    centre = mesh[list(OVAL), :2].mean(0).astype(int)
    assert out[centre[1], centre[0], 0] == pytest.approx(0.6, abs=1e-3)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_black_and_white_stay_in_range(value):
    picture, _, unit, at = case(0, 10)
    flat = np.full_like(picture, value)
    for source, donor in ((picture, flat), (flat, picture), (flat, 1 - flat)):
        out = merged(source, donor, at, unit)
        assert out.min() >= 0 and out.max() <= 1 and np.isfinite(out).all() and out.dtype == np.float32


@pytest.mark.parametrize(
    "points", [np.full((468, 3), 30.0), np.full((468, 3), -500.0), np.zeros((468, 3))], ids=["point", "away", "corner"]
)
def test_a_mesh_without_area_leaves_the_source(points):
    source, _, _, _ = case(0)
    at = rims(points.astype(np.float32), 1.0, SIZE)
    out = merged(source, 1 - source, at, 1.0)
    changed = np.abs(out - source).max(2) > 1e-6
    assert changed.sum() <= 4
