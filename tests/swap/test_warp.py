"""Portraits on meshes: where each pixel comes from, what hides what, and what a portrait does not show."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.swap import swapkit
from vidanon.swap.warp import Portrait, portrait_map, retouch_at


def portrait(image: np.ndarray) -> Portrait:
    return Portrait(image, np.ones(image.shape[:2], np.float32))


def test_a_portrait_on_its_own_mesh_is_itself():
    donor = swapkit.donors()[0]
    found = portrait_map(donor.points, donor.points, swapkit.finder().triangles, 384)
    picture, skin = portrait(donor.image).sample(found.where, 1.0)
    inside = swapkit.oval(donor.points, 384, -1)
    held = inside & (skin > 0.999)
    assert swapkit.psnr(picture[held], donor.image[held] / 255) > 45
    assert (found.shown[inside] == 1).mean() > 0.99  # where lids or nostrils fold, a triangle may face away
    assert held[inside].mean() > 0.99


def test_beside_the_mesh_there_is_nothing():
    donor = swapkit.donors()[0]
    found = portrait_map(donor.points, donor.points, swapkit.finder().triangles, 384)
    picture, skin = portrait(donor.image).sample(found.where, 1.0)
    outside = ~swapkit.oval(donor.points, 384, 6)  # the oval is a little hollow at the temples
    assert outside.mean() > 0.5
    assert (found.shown[outside] == 0).all() and (picture[outside] == 0).all() and (skin[outside] == 0).all()


@pytest.mark.parametrize("size", [64, 96, 144, 256, 384, 512])
def test_at_every_size_the_picture_is_the_portrait_brought_to_it(size):
    donor = swapkit.donors()[6]
    points = donor.points * np.float32(size / 384)
    found = portrait_map(points, donor.points, swapkit.finder().triangles, size)
    picture, _ = portrait(donor.image).sample(found.where, 384 / size)
    smaller = size < 384
    wanted = cv2.resize(donor.image, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    inside = swapkit.oval(points, size, -2)
    assert picture.shape == (size, size, 3)
    assert picture.dtype == np.float32 and found.where.dtype == np.float32
    assert swapkit.psnr(picture[inside], wanted[inside] / 255) > 27


def test_a_small_face_does_not_skip_pixels():
    """Stripes finer than a patch pixel come out grey, not as other stripes."""
    donor = swapkit.donors()[0]
    stripes = np.zeros_like(donor.image)
    stripes[:, ::2] = 255
    points = donor.points * np.float32(0.25)
    found = portrait_map(points, donor.points, swapkit.finder().triangles, 96)
    picture, _ = portrait(stripes).sample(found.where, 4.0)
    assert picture[swapkit.oval(points, 96, -2)].std() < 0.05


TWO = np.array([[0, 1, 2], [3, 4, 5]], np.int16)


@pytest.mark.parametrize("nearer", [0, 1])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_nearer_triangle_hides_the_farther(nearer, order):
    flat = np.array([[5, 5], [45, 5], [5, 45]], np.float32)
    z = np.repeat([[-9.0], [9.0]] if nearer == 0 else [[9.0], [-9.0]], 3, axis=0)
    points = np.concatenate([np.concatenate([flat, flat]), z], 1).astype(np.float32)
    portrait_points = np.concatenate([flat, flat + 100])
    found = portrait_map(points, portrait_points, TWO[list(order)], 50)
    assert found.where[15, 15] == pytest.approx((15, 15) if nearer == 0 else (115, 115), abs=1e-3)


def test_of_triangles_equally_far_the_later_is_on_top_on_every_processor():
    """Both sides of an even mesh are equally far; numpy's usual sort takes such in an order that the processor says."""
    rng = np.random.default_rng(3)
    count = 300
    corners = rng.uniform(0, 64, (count, 1, 2)) + rng.uniform(-20, 20, (count, 3, 2))
    triangles = np.arange(3 * count, dtype=np.int16).reshape(count, 3)
    portrait = rng.uniform(0, 64, (3 * count, 3)).astype(np.float32)

    def seen(depth):
        points = np.concatenate([corners.reshape(-1, 2), np.repeat(depth, 3)[:, None]], 1)
        return portrait_map(points.astype(np.float32), portrait, triangles, 64)

    depth = rng.integers(0, 3, count)
    even, nearer = seen(depth), seen(depth - np.arange(count) / 1024)
    np.testing.assert_array_equal(even.where, nearer.where)
    np.testing.assert_array_equal(even.shown, nearer.shown)


@pytest.mark.parametrize("way", [-1, 1])
def test_what_the_portrait_hardly_shows_counts_less(way):
    """A portrait turned away brought onto a face from the front: its far side is stretched, its near side is not."""
    donor = swapkit.donors()[0]
    away = swapkit.turned(donor.points, yaw=way * 40)
    found = portrait_map(donor.points, away, swapkit.finder().triangles, 384)
    inside = swapkit.oval(donor.points, 384, -4)
    middle = int(donor.points[:, 0].mean())
    left, right = np.zeros_like(inside), np.zeros_like(inside)
    left[:, : middle - 45], right[:, middle + 45 :] = True, True
    sides = [float(found.shown[inside & side].mean()) for side in (left, right)]
    # the side that is farther away in the turned portrait: there its points are closer together
    oval_left, oval_right = away[[234, 454], 2]
    far, near = (0, 1) if oval_left > oval_right else (1, 0)
    assert sides[near] > 0.95
    assert sides[far] < 0.75
    assert found.shown.min() >= 0 and found.shown.max() <= 1


def test_a_portrait_seen_from_the_front_serves_a_turned_face():
    donor = swapkit.donors()[0]
    away = swapkit.turned(donor.points, yaw=30)
    found = portrait_map(away, donor.points, swapkit.finder().triangles, 384)
    inside = swapkit.oval(away, 384, -4)
    assert found.shown[inside].mean() > 0.8


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "points",
    [
        np.full((468, 3), 20.0),
        np.full((468, 3), -1e5),
        np.full((468, 3), 1e6),
        np.zeros((468, 3)),
        np.stack([np.linspace(0, 60, 468)] * 3, 1),
    ],
    ids=["one point", "far left", "far right", "the corner", "a line"],
)
def test_a_mesh_without_area_paints_nothing(points):
    donor = swapkit.donors()[0]
    found = portrait_map(points.astype(np.float32), donor.points, swapkit.finder().triangles, 64)
    assert np.isfinite(found.where).all()
    assert found.shown.max() == 0
    picture, skin = portrait(donor.image).sample(found.where, 1.0)
    assert picture.max() == 0 and skin.max() == 0


def test_a_mesh_beside_the_patch_paints_nothing():
    donor = swapkit.donors()[0]
    for shift in ((500, 0), (-500, 0), (0, 500), (0, -500)):
        moved = donor.points + np.array([*shift, 0], np.float32)
        assert portrait_map(moved, donor.points, swapkit.finder().triangles, 64).shown.max() == 0


def test_a_portrait_without_area_is_shown_nowhere():
    donor = swapkit.donors()[0]
    found = portrait_map(donor.points, np.full((468, 3), 20, np.float32), swapkit.finder().triangles, 384)
    assert found.shown.max() == 0 and np.isfinite(found.where).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 300), st.sampled_from([64, 96, 200]))
def test_any_mesh_at_all(seed, spread, size):
    rng = np.random.default_rng(seed)
    points = rng.normal(size / 2, spread, (468, 3)).astype(np.float32)
    found = portrait_map(points, swapkit.donors()[0].points, swapkit.finder().triangles, size)
    assert np.isfinite(found.where).all() and np.isfinite(found.shown).all()
    assert found.shown.min() >= 0 and found.shown.max() <= 1


@pytest.mark.parametrize("step", [0.01, 0.5, 1.0, 1.7, 3.0, 1e6])
def test_any_step_gives_a_picture(step):
    where = np.stack(np.meshgrid(np.arange(40.0), np.arange(40.0)), 2).astype(np.float32) * 9
    grey = np.full((384, 384, 3), 100, np.uint8)
    picture, skin = portrait(grey).sample(where, step)
    assert np.abs(picture[2:-2, 2:-2] - 100 / 255).max() < 1e-5
    assert np.abs(skin[2:-2, 2:-2] - 1).max() < 1e-5


def test_a_retouch_lies_over_the_portrait():
    retouch = np.random.default_rng(0).random((16, 16), np.float32)
    x, y = np.meshgrid(np.arange(64, dtype=np.float32), np.arange(64, dtype=np.float32))
    found = retouch_at(retouch, np.stack([x, y], 2), 64)
    np.testing.assert_allclose(found[8:56, 8:56], cv2.resize(retouch, (64, 64))[8:56, 8:56], atol=0.02)
    assert (retouch_at(retouch, np.full((4, 4, 2), -1e6, np.float32), 64) == 0).all()
