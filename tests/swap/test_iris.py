"""Irises are found where they were painted, and not where there are none; gaze over time."""

from __future__ import annotations

import cv2
import eyekit
import numpy as np
import pytest

from vidanon.faces.mesh_points import RIGHT_EYE
from vidanon.swap.eye_motion import smooth_gaze
from vidanon.swap.iris import find_irises, gaze

GAZES = ((0.0, -0.03), (0.17, -0.05), (-0.17, -0.02), (0.08, 0.01))


@pytest.mark.parametrize("unit", [20, 40, 120])
def test_gaze_of_filmed_eyes(unit):
    points = eyekit.mesh(unit)
    for seed, wanted in enumerate(GAZES):
        seen = eyekit.filmed(eyekit.paint(points, wanted), seed)
        irises = find_irises(seen, points)
        assert (irises.confidence > 0.5).all()
        assert np.abs(gaze(irises, points) - wanted) == pytest.approx(0, abs=0.06), (wanted, gaze(irises, points))


def test_a_jittering_mesh_does_not_throw_the_search_off():
    rng = np.random.default_rng(2)
    points = eyekit.mesh(40)
    seen = eyekit.filmed(eyekit.paint(points, (0.15, -0.04)))
    for _ in range(5):
        moved = points + np.append(rng.normal(0, 0.01 * 40, 2), 0).astype(np.float32)
        assert abs(gaze(find_irises(seen, moved), moved)[0] - 0.15) < 0.08


def test_centres_and_radius_are_those_painted():
    points = eyekit.mesh(100)
    irises = find_irises(eyekit.paint(points, (0.1, -0.04)), points, sized=True)
    corners = points[[RIGHT_EYE[0], RIGHT_EYE[8]], :2]
    along = corners[1] - corners[0]
    where = corners.mean(0) + 0.1 * along - 0.04 * np.array([-along[1], along[0]])
    assert np.linalg.norm(irises.centre[0] - where) < 0.2 * eyekit.RADIUS * 100
    assert irises.radius == pytest.approx(eyekit.RADIUS * 100, rel=0.15)


def test_eyes_that_are_closed_or_not_there_say_nothing():
    closed = eyekit.mesh(40, openness=0.1)
    irises = find_irises(eyekit.paint(closed), closed)
    assert not irises.confidence.any()
    assert np.isnan(gaze(irises, closed)).all()
    opened = eyekit.mesh(40)
    skin = eyekit.filmed(np.full_like(eyekit.paint(opened), eyekit.SKIN))
    assert np.isnan(gaze(find_irises(skin, opened), opened)).all()
    missed = eyekit.filmed(eyekit.paint(closed))  # a blink that the mesh did not see
    assert np.isnan(gaze(find_irises(missed, opened), opened)).all()
    nowhere = np.full((468, 3), np.nan, np.float32)
    assert np.isnan(gaze(find_irises(skin, nowhere), nowhere)).all()


def test_one_eye_behind_hair_is_led_by_the_other():
    points = eyekit.mesh(50)
    picture = eyekit.paint(points, (0.15, -0.04))
    picture[:, : int(points[RIGHT_EYE[0], 0] + 0.3 * 50)] = (0.1, 0.07, 0.05)
    found = gaze(find_irises(eyekit.filmed(picture), points), points)
    assert found[0] == pytest.approx(0.15, abs=0.06)


def test_rolled_mirrored_and_byte_pictures_tell_the_same():
    points = eyekit.mesh(60)
    picture = eyekit.paint(points, (0.12, -0.04))
    straight = gaze(find_irises(picture, points), points)
    as_bytes = gaze(find_irises((picture * 255).astype(np.uint8), points[:, :2]), points[:, :2])
    assert as_bytes == pytest.approx(straight, abs=0.01)
    rolled = eyekit.mesh(60, roll=25)
    assert gaze(find_irises(eyekit.paint(rolled, (0.12, -0.04)), rolled), rolled) == pytest.approx(straight, abs=0.03)
    other = eyekit.paint(points, (-0.12, -0.04), glint=False)
    assert gaze(find_irises(other, points), points)[0] == pytest.approx(-straight[0], abs=0.03)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="468"):
        find_irises(np.zeros((9, 9, 3), np.float32), np.zeros((5, 2)))
    with pytest.raises(ValueError, match="rate"):
        smooth_gaze(np.zeros((3, 2)), np.ones(3), 0)
    with pytest.raises(ValueError, match="confidence"):
        smooth_gaze(np.zeros((3, 2)), np.ones(2), 25)


def test_smoothing_steadies_fixations_and_keeps_jumps():
    rng = np.random.default_rng(0)
    truth = np.zeros((60, 2))
    truth[30:] = (0.18, -0.05)
    noisy = truth + rng.normal(0, 0.015, truth.shape)
    noisy[12] = (0.2, 0.1)  # one wrong frame
    smooth = smooth_gaze(noisy, np.full(60, 0.8), 25)
    assert np.abs(smooth - truth).max() < 0.03
    kept = np.delete(np.arange(60), 12)
    assert (smooth - truth)[kept].std() < 0.6 * (noisy - truth)[kept].std()


def test_a_blink_is_bridged_and_nothing_known_stays_unknown():
    gazes = np.tile(np.array([0.1, -0.03]), (20, 1))
    gazes[12:] = (-0.1, -0.03)
    gazes[8:12] = np.nan
    smooth = smooth_gaze(gazes, np.ones(20), 25)
    assert np.isfinite(smooth).all()
    assert smooth[:10, 0] == pytest.approx(0.1, abs=0.01)
    assert smooth[10:, 0] == pytest.approx(-0.1, abs=0.01)
    assert np.isnan(smooth_gaze(np.full((4, 2), np.nan), np.zeros(4), 25)).all()
    assert np.isnan(smooth_gaze(gazes[:4], np.zeros(4), 25)).all()
    assert smooth_gaze(np.zeros((0, 2)), np.zeros(0), 25).shape == (0, 2)


def test_a_large_eye_is_averaged_not_skipped_through():
    points = eyekit.mesh(200)
    picture = eyekit.paint(points, (0.1, -0.04))
    stripes = picture.copy()
    stripes[::2] = (stripes[::2] * 0.5).clip(0, 1)  # fine detail that a skipping search would take for an edge
    assert gaze(find_irises(cv2.GaussianBlur(stripes, (0, 0), 0.3), points), points)[0] == pytest.approx(0.1, abs=0.04)
