"""Eyes drawn from a donor's portrait: where they look, how they close, what light they are in."""

from __future__ import annotations

from dataclasses import replace

import cv2
import eyekit
import numpy as np
import pytest

from vidanon.faces.mesh_points import LEFT_EYE, RIGHT_EYE
from vidanon.swap.eye_lids import fit_lids
from vidanon.swap.eyes import draw_eyes, prepare
from vidanon.swap.iris import eye_frame, find_irises, gaze

LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture(scope="module")
def donor():
    return eyekit.donor()


@pytest.fixture(scope="module")
def balls(donor):
    return prepare(donor)


def opening(points: np.ndarray, eye, grown: int, side: int) -> np.ndarray:
    """bool (side, side): the inside of an eye's contour, grown (or shrunk) by px."""
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [np.rint(points[list(eye), :2] - 0.5).astype(np.int32)], 1)
    kernel = np.ones((2 * abs(grown) + 1,) * 2, np.uint8)
    return (cv2.dilate if grown > 0 else cv2.erode)(mask, kernel) > 0


def skin_patch(points: np.ndarray) -> np.ndarray:
    side = eyekit.paint(points).shape[0]
    return np.full((side, side, 3), eyekit.SKIN, np.float32)


def test_an_eyeball_has_the_portraits_colours(balls):
    for ball in balls.balls:
        assert np.abs(ball.iris[14:20].mean((0, 1)) - eyekit.IRIS).max() < 0.08
        assert ball.iris[:5].max() < 0.15  # the pupil, without the catch light
        assert np.abs(ball.iris.max((0, 1)) - eyekit.IRIS).max() < 0.15  # nowhere sclera or catch light
        assert 0.7 < ball.sclera @ LUMA <= 1.0
        assert ball.lash @ LUMA < 0.3
        assert ball.skin == pytest.approx(np.array(eyekit.SKIN), abs=0.03)
    assert balls.gaze == pytest.approx((0.03, -0.05), abs=0.03)
    assert balls.radius == pytest.approx(eyekit.RADIUS, rel=0.15)


@pytest.mark.parametrize("unit", [20, 40, 110])
def test_drawn_eyes_look_where_they_are_told_to(balls, unit):
    points = eyekit.mesh(unit)
    for wanted in ((0.0, -0.04), (0.18, -0.05), (-0.18, -0.03)):
        drawn = draw_eyes(skin_patch(points), points, balls, np.array(wanted, np.float32))
        assert gaze(find_irises(eyekit.filmed(drawn), points), points) == pytest.approx(wanted, abs=0.06)


def test_only_the_eyes_are_touched(balls):
    points = eyekit.mesh(50)
    patch = np.random.default_rng(0).uniform(0.4, 0.6, (120, 120, 3)).astype(np.float32)
    before = patch.copy()
    drawn = draw_eyes(patch, points, balls, balls.gaze)
    assert (patch == before).all()
    around = opening(points, RIGHT_EYE, 5, 120) | opening(points, LEFT_EYE, 5, 120)
    assert (drawn == patch)[~around].all()
    assert (np.abs(drawn - patch).max(-1) > 0.05)[around].mean() > 0.2
    assert drawn.dtype == np.float32
    assert drawn.min() >= 0
    assert drawn.max() <= 1


def test_nothing_of_what_was_in_the_opening_shows(balls):
    points = eyekit.mesh(60)
    patch = skin_patch(points)
    side = patch.shape[0]
    spoilt = patch.copy()
    for eye in (RIGHT_EYE, LEFT_EYE):
        spoilt[opening(points, eye, 1, side)] = (1, 0, 1)
    clean, other = (draw_eyes(each, points, balls, balls.gaze) for each in (patch, spoilt))
    for eye in (RIGHT_EYE, LEFT_EYE):
        deep = opening(points, eye, -2, side)
        assert deep.sum() > 20
        assert np.abs(clean - other)[deep].max() < 0.02


def test_the_eyes_are_in_the_light_of_the_patch(balls):
    points = eyekit.mesh(50)
    patch = skin_patch(points)
    bright = draw_eyes(patch, points, balls, balls.gaze)
    tint = np.array([0.5, 0.4, 0.3], np.float32)
    dark = draw_eyes(patch * tint, points, balls, balls.gaze)
    assert dark == pytest.approx(bright * tint, abs=0.02)


def test_a_closed_eye_is_a_lash_line_and_no_squeezed_iris(balls):
    opened = eyekit.mesh(60)
    whites = []
    for openness in (1.0, 0.5, 0.03):
        points = eyekit.mesh(60, openness)
        drawn = draw_eyes(skin_patch(points), points, balls, balls.gaze)
        inside = opening(opened, RIGHT_EYE, 0, drawn.shape[0])
        # sclera is paler than skin: less red against blue
        whites.append(int(((drawn[..., 0] - drawn[..., 2])[inside] < 0.12)[(drawn @ LUMA)[inside] > 0.4].sum()))
        if openness == 0.03:
            blue = drawn[..., 2] - drawn[..., 0]
            assert blue.max() < 0.05  # the iris is blue
            line = points[list(RIGHT_EYE[3:6]), :2].mean(0).astype(int)
            assert (drawn[line[1] - 2 : line[1] + 3, line[0]] @ LUMA).min() < 0.4
    assert whites[0] > 2 * whites[1] > 0
    assert whites[2] == 0


def test_half_a_pixel_moves_a_small_eye_by_half_a_pixel(balls):
    points = eyekit.mesh(20)
    middles = []
    for shift in (0.0, 0.25, 0.5):
        moved = points + np.array([shift, 0, 0], np.float32)
        drawn = draw_eyes(np.full((48, 48, 3), eyekit.SKIN, np.float32), moved, balls, np.array([0, -0.04], np.float32))
        dark = np.maximum(float(np.array(eyekit.SKIN) @ LUMA) - drawn @ LUMA, 0)[:, :24]
        middles.append(float((dark.sum(0) * np.arange(24)).sum() / dark.sum()))
    assert np.diff(middles) == pytest.approx(0.25, abs=0.08)


def test_unknown_gaze_is_the_donors_and_unknown_places_stay(balls):
    points = eyekit.mesh(40)
    patch = skin_patch(points)
    unknown = draw_eyes(patch, points, balls, np.full(2, np.nan, np.float32))
    assert (unknown == draw_eyes(patch, points, balls, balls.gaze)).all()
    assert (draw_eyes(patch, np.full((468, 3), np.nan, np.float32), balls, balls.gaze) == patch).all()
    half_outside = points - np.array([points[RIGHT_EYE[3], 0], 0, 0], np.float32)
    assert np.isfinite(draw_eyes(patch, half_outside, balls, balls.gaze)).all()
    assert (draw_eyes(patch, points + 500, balls, balls.gaze) == patch).all()
    with pytest.raises(ValueError, match="468"):
        draw_eyes(patch, points[:5], balls, balls.gaze)


def test_a_portrait_that_shows_no_eyes_is_refused(donor):
    blind = replace(donor, image=np.full_like(donor.image, (190, 150, 120)))
    with pytest.raises(ValueError, match="irises"):
        prepare(blind)


@pytest.mark.parametrize("off", [-0.05, 0.05])
def test_lids_are_put_back_onto_the_picture(donor, off):
    wrong = donor.points.copy()
    frame = eye_frame(donor.points, RIGHT_EYE)
    wrong[list(RIGHT_EYE), :2] += off * frame.down
    fitted = fit_lids(donor.image, wrong)
    lids = [RIGHT_EYE[i] for i in (3, 4, 5, 11, 12, 13)]
    wide = np.linalg.norm(frame.down)
    left = np.abs(fitted[lids, 1] - donor.points[lids, 1]) / wide
    assert left.mean() < 0.6 * abs(off)
    far = np.linalg.norm(donor.points[:, None, :2] - donor.points[None, list(RIGHT_EYE + LEFT_EYE), :2], axis=-1).min(1)
    assert np.abs(fitted - wrong)[far > 40].max() < 0.05
