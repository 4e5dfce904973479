"""A donor drawn over a face: another face in the same place, and nothing changed around it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.swap import swapkit
from vidanon.faces.mesh_points import RIGHT_EYE, eye_distance, five
from vidanon.recognise.crop import crop
from vidanon.swap.composite import Drawn
from vidanon.swap.light import Look, low_band
from vidanon.verify import unexplained_detail

DONOR, SOURCE = 0, 20
STILL = (0.0, -0.04)


def draw(
    patch, mesh, donor: int = DONOR, shape: int = SOURCE, seed: int = 0, wanted=None, gaze=STILL, mouth_covered=False
) -> Drawn:
    composer, actors = swapkit.composer(), swapkit.actors()
    offset = composer.shapes.offset(actors[donor].shape, actors[shape].shape)
    rng = np.random.default_rng(seed)
    return composer.draw(patch, mesh, offset, actors[donor], wanted, rng, gaze, mouth_covered=mouth_covered)


def sound(drawn: Drawn, patch: np.ndarray) -> None:
    """What holds of anything drawn anywhere."""
    size = patch.shape[0]
    assert drawn.patch.shape == patch.shape and drawn.mask.shape == (size, size)
    assert drawn.layer.luma.shape == drawn.layer.inside.shape == (size, size)
    for values in (drawn.patch, drawn.mask, drawn.layer.luma, drawn.layer.inside):
        assert values.dtype == np.float32 and np.isfinite(values).all()
        assert values.min() >= 0 and values.max() <= 1 + 1e-6
    assert (drawn.layer.inside <= drawn.mask + 1e-6).all()


def embedding(patch, mesh) -> np.ndarray:
    student = swapkit.student()
    picture = np.rint(patch * 255).astype(np.uint8)
    return student.embed(crop(picture, five(mesh)[:, :2], student.description)[None])[0]


@pytest.mark.parametrize("size", [64, 96, 144, 192, 384, 512])
def test_at_every_size(size):
    patch, mesh = swapkit.face(SOURCE, size)
    before = patch.copy()
    drawn = draw(patch, mesh)
    sound(drawn, patch)
    assert (patch == before).all()
    outside = ~swapkit.oval(mesh, size, 1)
    assert np.abs(drawn.patch - patch)[outside].max() < 1e-5
    assert np.abs(drawn.patch - patch)[swapkit.oval(mesh, size, -size // 16)].mean() > 0.015
    assert drawn.mask[swapkit.oval(mesh, size, -2)].min() == 1
    assert drawn.mask[~swapkit.oval(mesh, size, 2)].max() == 0


@pytest.mark.parametrize("pair", [(0, 20), (13, 31), (40, 5)])
def test_it_is_the_donors_face_and_no_longer_the_sources(pair):
    donor, source = pair
    patch, mesh = swapkit.face(source, 256)
    out = embedding(draw(patch, mesh, donor, source).patch, mesh)
    own, others = swapkit.donors()[source].embedding, swapkit.donors()[donor].embedding
    assert own @ embedding(patch, mesh) > 0.6
    assert out @ own < own @ embedding(patch, mesh) - 0.3
    assert out @ others > out @ own


def test_the_layer_explains_what_is_seen():
    """What the leak gate is told was drawn is what there is: nothing of the source is left beyond it."""
    patch, mesh = swapkit.face(SOURCE, 192)
    drawn = draw(patch, mesh)
    within = drawn.layer.inside > 0.999
    assert within[swapkit.oval(mesh, 192)].mean() > 0.4
    (x0, y0), (x1, y1) = mesh[:, :2].min(0).astype(int), mesh[:, :2].max(0).astype(int)
    box = slice(y0, y1), slice(x0, x1)  # as the gate looks at it
    source, output = (patch @ swapkit.LUMA)[box], (drawn.patch @ swapkit.LUMA)[box]
    seen = drawn.layer.luma[box], within[box]
    assert abs(unexplained_detail(source, output, *seen)) < 0.2
    assert unexplained_detail(source, 0.5 * (source + output), *seen) > 0.4
    assert unexplained_detail(source, source, *seen) > 0.9


def test_the_same_seed_draws_the_same():
    patch, mesh = swapkit.face(SOURCE, 144)
    noisy = np.clip(patch + np.random.default_rng(5).normal(0, 0.03, patch.shape), 0, 1).astype(np.float32)
    first, again, other = (draw(noisy, mesh, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.patch, again.patch)
    np.testing.assert_array_equal(first.layer.luma, again.layer.luma)
    assert (first.patch != other.patch).any()  # the grain


def test_different_donors_draw_different_faces():
    patch, mesh = swapkit.face(SOURCE, 144)
    pictures = [draw(patch, mesh, donor).patch for donor in (0, 9, 33)]
    inside = swapkit.oval(mesh, 144, -9)
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert np.abs(pictures[one] - pictures[other])[inside].mean() > 0.01


def test_the_light_stays_the_sources():
    patch, mesh = swapkit.face(SOURCE, 192)
    dark = patch * np.array([0.35, 0.3, 0.3], np.float32)
    region, unit = swapkit.oval(mesh, 192).astype(np.float32), float(eye_distance(mesh))
    for source in (patch, dark):
        out = draw(source, mesh).patch
        away = np.abs(low_band(out, region, unit) - low_band(source, region, unit))[region > 0]
        assert away.mean() < 0.04


def test_an_open_mouth_stays_the_sources():
    patch, mesh = swapkit.face(SOURCE, 192)
    mesh = swapkit.with_open_mouth(mesh, 14)
    patch = patch + np.random.default_rng(3).normal(0, 0.02, patch.shape).astype(np.float32)
    patch = np.clip(patch, 0, 1)
    drawn = draw(patch, mesh)
    sound(drawn, patch)
    mouth = cv2.erode(swapkit.painted(mesh, swapkit.LIPS_INNER, 192).astype(np.uint8), np.ones((5, 5))) > 0
    assert mouth.sum() > 30
    assert np.abs(drawn.patch - patch)[mouth].max() < 1e-4
    assert drawn.layer.inside[mouth].max() == 0


def test_an_open_mouth_that_a_cover_may_reach_into_is_dark_and_none_of_the_sources():
    patch, mesh = swapkit.face(SOURCE, 192)
    mesh = swapkit.with_open_mouth(mesh, 14)
    mouth = cv2.erode(swapkit.painted(mesh, swapkit.LIPS_INNER, 192).astype(np.uint8), np.ones((3, 3))) > 0
    teeth = patch.copy()
    teeth[mouth] = np.indices((192, 192)).sum(0)[mouth][:, None] % 2  # fine structure that nobody else has
    plain, drawn = (draw(each, mesh, mouth_covered=True) for each in (patch, teeth))
    sound(drawn, teeth)
    assert drawn.layer.inside[mouth].min() == 1
    assert drawn.patch[mouth].mean() < 0.6 * draw(patch, mesh).patch[~mouth & (drawn.mask > 0)].mean()
    assert np.abs(drawn.patch - plain.patch)[mouth].max() < 0.03
    assert (drawn.patch == teeth)[mouth].mean() < 0.01
    out = drawn.mask == 0
    assert (drawn.patch == teeth)[out].all()


def test_shut_eyes_stay_shut_and_a_gaze_is_followed():
    patch, mesh = swapkit.face(SOURCE, 384)
    one, other = (draw(patch, mesh, gaze=(x, -0.04)).patch for x in (-0.2, 0.2))
    eye = swapkit.painted(mesh, RIGHT_EYE, 384)
    assert np.abs(one - other)[eye].mean() > 0.05
    around = cv2.dilate(swapkit.oval(mesh, 384).astype(np.uint8), np.ones((3, 3))) == 0
    assert np.abs(one - other)[around].max() < 1e-5
    shut = mesh.copy()
    upper, lower = [RIGHT_EYE[i] for i in range(15, 8, -1)], list(RIGHT_EYE[1:8])
    shut[upper] = shut[lower]
    left, right = (draw(patch, shut, gaze=(x, -0.04)).patch for x in (-0.2, 0.2))
    assert np.abs(left - right)[eye].mean() < 0.2 * np.abs(one - other)[eye].mean()  # no iris to be seen


def test_blur_and_contrast_asked_for_are_met():
    patch, mesh = swapkit.face(SOURCE, 192)
    composer = swapkit.composer()
    sharp = composer.measure(patch, mesh)
    soft = composer.measure(cv2.GaussianBlur(patch, (0, 0), 2), mesh)
    reached = [composer.measure(draw(patch, mesh, wanted=look).patch, mesh).fine for look in (sharp, soft)]
    assert reached[0] == pytest.approx(sharp.fine, rel=0.5)
    assert reached[1] < 2 * soft.fine  # the rims and the eyes keep a little
    assert reached[1] < 0.5 * reached[0]
    unknown = Look(float("nan"), float("nan"))
    sound(draw(patch, mesh, wanted=unknown), patch)


@pytest.mark.parametrize("shift", [(-90, 0), (90, 0), (0, -90), (0, 90), (70, 70), (-110, 40)])
def test_a_face_partly_outside_the_patch(shift):
    patch, mesh = swapkit.face(SOURCE, 192)
    moved = mesh + np.array([*shift, 0], np.float32)
    drawn = draw(patch, moved)
    sound(drawn, patch)
    assert drawn.mask.max() == 1
    assert np.abs(drawn.patch - patch)[drawn.mask == 0].max() < 1e-5


@pytest.mark.parametrize("shift", [(-400, 0), (400, 0), (0, -400), (0, 400), (-5000, 9000), (150, 150)])
def test_a_face_beside_the_patch_is_not_drawn(shift):
    """Its mask is empty, and blend covers a face whose mask leaves it open."""
    patch, mesh = swapkit.face(SOURCE, 192)
    drawn = draw(patch, mesh + np.array([*shift, 0], np.float32))
    sound(drawn, patch)
    assert (drawn.mask == 0).all() and (drawn.layer.inside == 0).all()
    np.testing.assert_array_equal(drawn.patch, patch)


@pytest.mark.parametrize("scale", [0.005, 0.02, 0.1, 0.25])
def test_tiny_faces(scale):
    patch, mesh = swapkit.face(SOURCE, 96)
    drawn = draw(patch, (mesh - 48) * np.float32(scale) + np.float32(48))
    sound(drawn, patch)
    assert drawn.mask.sum() <= max(9, 1.6 * scale**2 * swapkit.oval(mesh, 96).sum() + 40)


@pytest.mark.parametrize("scale", [3, 20])
def test_a_face_larger_than_the_patch(scale):
    patch, mesh = swapkit.face(SOURCE, 96)
    sound(draw(patch, (mesh - 48) * np.float32(scale) + np.float32(48)), patch)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_flat_patches(value):
    _, mesh = swapkit.face(SOURCE, 144)
    patch = np.full((144, 144, 3), value, np.float32)
    drawn = draw(patch, mesh)
    sound(drawn, patch)
    assert drawn.patch.mean() == pytest.approx(value, abs=0.06)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["normal", "uniform", "line", "point", "flat"]),
    st.floats(0.01, 1e4),
    st.floats(-300, 400),
)
def test_any_finite_mesh_at_all(seed, kind, spread, middle):
    rng = np.random.default_rng(seed)
    patch = rng.random((72, 72, 3), np.float32)
    points = {
        "normal": lambda: rng.normal(0, spread, (468, 3)),
        "uniform": lambda: rng.uniform(-spread, spread, (468, 3)),
        "line": lambda: np.linspace(-spread, spread, 468)[:, None] * rng.normal(0, 1, 3),
        "point": lambda: np.zeros((468, 3)),
        "flat": lambda: swapkit.donors()[0].points * (spread / 100) * (1, 1, 0),
    }[kind]()
    sound(draw(patch, (points + middle).astype(np.float32), gaze=(float("nan"), float("nan"))), patch)


def test_a_donor_whose_eyes_are_not_seen_is_refused():
    donor = swapkit.donors()[DONOR]
    blind = replace(donor, image=np.full_like(donor.image, 128))
    actor = swapkit.composer().actors([blind])[0]
    assert actor.eyeballs is None
    patch, mesh = swapkit.face(SOURCE, 96)
    with pytest.raises(ValueError, match=donor.name):
        swapkit.composer().draw(patch, mesh, np.zeros((468, 3)), actor, None, np.random.default_rng(0))
