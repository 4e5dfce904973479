"""Where a portrait shows skin: everywhere on a face but for what reaches over its rim from outside."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from tests.swap import swapkit
from vidanon.faces.mesh_points import LEFT_BROW, LEFT_EYE, LIPS_OUTER, OVAL, RIGHT_BROW, RIGHT_EYE, eye_distance
from vidanon.swap.skin import skin

SKIN = (200, 150, 125)


@pytest.fixture(scope="module")
def plain():
    """A donor whose picture is skin alone, and its oval."""
    donor = swapkit.donors()[0]
    return replace(donor, image=np.full_like(donor.image, SKIN))


def disc(donor, centre, radius, colour):
    image = donor.image.copy()
    cv2.circle(image, tuple(int(v) for v in centre), int(radius), colour, -1)
    return replace(donor, image=image)


def test_plain_skin_is_skin_up_to_the_oval(plain):
    found = skin(plain)
    assert found.shape == (384, 384) and found.dtype == np.float32
    assert found[swapkit.oval(plain.points, 384, -6)].min() > 0.95
    assert found[~swapkit.oval(plain.points, 384, 1)].max() == 0
    assert found.min() >= 0 and found.max() <= 1 + 1e-6


@pytest.mark.parametrize("colour", [(30, 20, 15), (250, 245, 240), (60, 90, 200)], ids=["hair", "light", "cloth"])
@pytest.mark.parametrize("point", [10, 234, 454, 103], ids=["brow", "right", "left", "temple"])
def test_what_reaches_over_the_rim_is_none(plain, colour, point):
    unit = float(eye_distance(plain.points))
    at = plain.points[point, :2]
    found = skin(disc(plain, at, 0.22 * unit, colour))
    inside = swapkit.oval(plain.points, 384)
    lies = np.zeros((384, 384), np.uint8)
    cv2.circle(lies, tuple(int(v) for v in at), int(0.22 * unit), 1, -1)
    assert (inside & (lies > 0)).sum() > 50
    assert found[inside & (lies > 0)].max() < 0.3
    far = np.hypot(*(np.indices((384, 384))[::-1] - at[:, None, None])) > 0.7 * unit
    assert found[far & swapkit.oval(plain.points, 384, -6)].min() > 0.9


def test_a_mole_is_the_faces_own(plain):
    unit = float(eye_distance(plain.points))
    cheek = plain.points[[50, 205], :2].mean(0)
    found = skin(disc(plain, cheek, 0.06 * unit, (60, 40, 30)))
    assert found[swapkit.oval(plain.points, 384, -6)].min() > 0.9


def test_eyes_brows_and_lips_are_the_faces_own(plain):
    image = plain.image.copy()
    for part in (RIGHT_EYE, LEFT_EYE, RIGHT_BROW, LIPS_OUTER):
        outline = np.rint(cv2.convexHull(plain.points[list(part), :2])).astype(np.int32)
        cv2.fillPoly(image, [outline], (40, 20, 25))
    assert skin(replace(plain, image=image))[swapkit.oval(plain.points, 384, -6)].min() > 0.9


def test_hair_over_a_brow_is_hair_and_the_other_brow_is_not(plain):
    image = plain.image.copy()
    hair = (40, 25, 20)
    for brow in (RIGHT_BROW, LEFT_BROW):
        outline = cv2.convexHull(plain.points[list(brow), :2])
        cv2.fillPoly(image, [np.rint(outline).astype(np.int32)], hair)
    unit = float(eye_distance(plain.points))
    end = plain.points[70, :2] - (0.12 * unit, 0)  # beyond the outer end of the brow on the picture's left
    lock = np.zeros((384, 384), np.uint8)
    cv2.ellipse(lock, tuple(int(v) for v in end), (int(0.28 * unit), int(0.5 * unit)), 0, 0, 360, 1, -1)
    image[lock > 0] = hair
    found = skin(replace(plain, image=image))
    covered = (lock > 0) & swapkit.oval(plain.points, 384)
    assert covered.sum() > 300
    assert found[covered].mean() < 0.15
    assert found[swapkit.painted(plain.points, LEFT_BROW, 384)].mean() > 0.9
    inner = plain.points[[55, 107], :2].mean(0).astype(int)
    assert found[inner[1], inner[0]] > 0.9


@pytest.mark.parametrize("which", range(0, 40, 6))
def test_of_shipped_portraits_most_is_skin(which):
    donor = swapkit.donor_at(which)
    found = skin(donor)
    unit = float(eye_distance(donor.points))
    inside = swapkit.oval(donor.points, 384)
    deep = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5) > 0.6 * unit
    assert found[inside].mean() > 0.6
    assert found[deep].min() > 0.9  # whatever it shows, the middle is the face
    assert found[~swapkit.oval(donor.points, 384, 1)].max() == 0


@pytest.mark.parametrize("size", [96, 192])
def test_a_smaller_portrait_has_the_same_skin(size):
    donor = swapkit.donors()[12]
    image, points = swapkit.face(12, size)
    small = skin(replace(donor, image=np.rint(image * 255).astype(np.uint8), points=points))
    large = cv2.resize(skin(donor), (size, size), interpolation=cv2.INTER_AREA)
    assert np.abs(small - large).mean() < 0.03


@pytest.mark.parametrize("value", [0, 128, 255])
def test_flat_pictures(value):
    donor = swapkit.donors()[0]
    found = skin(replace(donor, image=np.full_like(donor.image, value)))
    assert np.isfinite(found).all()
    assert found[swapkit.oval(donor.points, 384, -6)].min() > 0.95


def test_the_oval_is_that_of_the_mesh():
    donor = swapkit.donors()[0]
    smaller = donor.points.copy()
    middle = smaller[list(OVAL)].mean(0)
    smaller = (smaller - middle) * np.float32(0.5) + middle
    flat = np.full_like(donor.image, SKIN)
    areas = [float(skin(replace(donor, image=flat, points=p)).sum()) for p in (donor.points, smaller)]
    assert areas[1] == pytest.approx(0.25 * areas[0], rel=0.15)
