"""A retouched portrait: the drawn face becomes a stranger's for the recogniser, and stays a face."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

import vidanon.swap.retouch
from tests.swap import swapkit
from vidanon.faces.mesh_points import LEFT_EYE, RIGHT_EYE
from vidanon.swap.base import Shot
from vidanon.swap.cast import aligned
from vidanon.swap.retouch import DARKER, LIGHTER, Retoucher, _Canvas
from vidanon.swap.variation import SIDE, load_variation

SIZE = 160
CASES = ((20, 26), (5, 11), (33, 40))  #: who is seen, who plays them


@cache
def shots(who: int, first: int = 0, count: int = 3) -> tuple[Shot, ...]:
    """Looks at a portrait under grain and other light."""
    patch, mesh = swapkit.face(who, SIZE)
    out = []
    for number in range(first, first + count):
        rng = np.random.default_rng((who, number))
        light = 1 + rng.normal(0, 0.08)
        shown = (patch * light + rng.normal(0, 0.01, patch.shape)).clip(0, 1).astype(np.float32)
        out.append(Shot(shown, mesh + rng.normal(0, 0.15, mesh.shape).astype(np.float32)))
    return tuple(out)


def shape_of(who: int) -> np.ndarray:
    meshes = np.stack([shot.mesh for shot in shots(who)])
    return np.asarray(swapkit.composer().shapes.common(meshes).mean(0), np.float64)


@cache
def retouch(who: int, donor: int, key: bytes = b"key") -> np.ndarray:
    return retoucher(key)(shots(who), shape_of(who), [swapkit.actors()[donor]])[0]


def retoucher(key: bytes = b"key") -> Retoucher:
    return Retoucher(swapkit.composer(), swapkit.student(), load_variation(), key)


def drawn(shot: Shot, who: int, donor: int, how: np.ndarray | None):
    composer, actor = swapkit.composer(), swapkit.actors()[donor]
    offset = composer.shapes.offset(actor.shape, shape_of(who))
    return composer.draw(shot.patch, shot.mesh, offset, actor, None, np.random.default_rng(0), retouch=how)


def alike(who: int, donor: int, how: np.ndarray | None, first: int) -> float:
    """Mean likeness of the drawn face to the source, in looks from ``first`` on."""
    student = swapkit.student()
    looks = shots(who, first)
    before = student.embed(np.stack([aligned(s.patch, s.mesh, student) for s in looks]))
    after = student.embed(np.stack([aligned(drawn(s, who, donor, how).patch, s.mesh, student) for s in looks]))
    return float((before * after).sum(1).mean())


def test_a_retouch_is_bounded_and_keeps_to_the_middle_of_the_face():
    for who, donor in CASES:
        how = retouch(who, donor)
        assert how.shape == (SIDE, SIDE) and how.dtype == np.float32
        assert np.abs(how).max() > 0.1 and how.min() >= -DARKER and how.max() <= LIGHTER
        actor = swapkit.actors()[donor]
        mesh = actor.fitted.points * np.float32(SIDE / actor.donor.image.shape[0])
        assert np.abs(how[~swapkit.oval(mesh, SIDE, 1)]).max() == 0
        eyes = swapkit.painted(mesh, RIGHT_EYE, SIDE) | swapkit.painted(mesh, LEFT_EYE, SIDE)
        assert np.abs(how[eyes]).mean() < 0.3 * np.abs(how[swapkit.oval(mesh, SIDE, -8)]).mean()


def test_it_is_a_face_more_than_a_pattern():
    """Two thirds of it lie along the directions that the recipe found, and it is about as much to the left as to the
    right."""
    for who, donor in CASES:
        how = np.log1p(retouch(who, donor))
        assert np.corrcoef(how.ravel(), how[:, ::-1].ravel())[0, 1] > 0.5
        actor = swapkit.actors()[donor]
        mesh = actor.fitted.points * np.float32(SIDE / actor.donor.image.shape[0])
        along = load_variation().on(mesh, swapkit.composer().triangles, actor.donor.female).reshape(-1, SIDE * SIDE)
        weights, *_ = np.linalg.lstsq(along.T, how.ravel(), rcond=None)
        assert np.square(weights @ along).sum() > 2 / 3 * np.square(how).sum()


@pytest.mark.parametrize("first", [0, 10], ids=["the looks it was made from", "others"])
def test_the_face_is_less_alike_and_a_strangers_not_more_than_that(first):
    """Even where a person plays themself, who is known before."""
    for who, donor in (*CASES, (20, 20), (5, 5)):
        plain, retouched = (alike(who, donor, how, first) for how in (None, retouch(who, donor)))
        if plain > 0.05:
            assert retouched < plain - 0.03
        assert retouched > min(plain, 0.0) - 0.15  # strangers are at .03, give or take .1


def test_one_key_gives_one_retouch_and_another_gives_another():
    first, second = retoucher()(shots(20), shape_of(20), [swapkit.actors()[26], swapkit.actors()[11]])
    np.testing.assert_allclose(first, retouch(20, 26), atol=1e-4)
    assert not np.allclose(second, first, atol=0.01)
    other = retouch(20, 26, b"another")
    assert np.corrcoef(first.ravel(), other.ravel())[0, 1] < 0.9


def test_it_changes_the_new_face_and_nothing_else():
    shot = shots(20)[0]
    plain, brighter = (drawn(shot, 20, 26, how) for how in (None, np.full((SIDE, SIDE), 0.1, np.float32)))
    changed = np.abs(brighter.patch - plain.patch).max(2)
    assert changed[plain.mask == 0].max() == 0
    inside = (plain.layer.inside >= 1) & (plain.layer.luma > 0.1) & (plain.layer.luma < 0.8)
    assert inside.mean() > 0.05
    assert np.median(brighter.layer.luma[inside] / plain.layer.luma[inside]) == pytest.approx(1.1, abs=0.01)
    assert (brighter.mask == plain.mask).all() and (brighter.layer.inside == plain.layer.inside).all()


def test_it_moves_with_the_face():
    shot = shots(20)[0]
    how = np.zeros((SIDE, SIDE), np.float32)
    how[: SIDE // 2] = LIGHTER  # the upper half of the portrait

    def centre(by: int) -> np.ndarray:
        moved = Shot(np.roll(shot.patch, by, (0, 1)), shot.mesh + np.array([by, by, 0], np.float32))
        change = drawn(moved, 20, 26, how).layer.luma - drawn(moved, 20, 26, None).layer.luma
        y, x = np.indices(change.shape)
        return np.array([(x * change).sum(), (y * change).sum()]) / change.sum()

    np.testing.assert_allclose(centre(9) - centre(0), [9, 9], atol=0.5)


def test_the_contrast_is_raised_only_where_the_source_is_still_known(monkeypatch):
    """A bound that is always met and one that never is."""
    contrasts = []
    for least in (1.0, -1.0):
        monkeypatch.setattr(vidanon.swap.retouch, "_LEFT", least)
        how = retoucher()(shots(20), shape_of(20), [swapkit.actors()[26]])[0]
        canvas = retoucher()._canvas(swapkit.actors()[26])
        contrasts.append(float(canvas._contrast(canvas.own + torch.from_numpy(how).log1p())))
    assert contrasts[1] > 1.08 * contrasts[0]


@pytest.mark.parametrize("place", [0.0, 1.0])
def test_a_portrait_that_shows_nothing_is_left_as_it_is(place: float):
    """No place to change, or no detail at all: nothing that is no number gets into the picture or the next step."""
    blank, directions = torch.zeros(SIDE, SIDE), torch.from_numpy(load_variation().men)
    code = torch.ones(len(directions), requires_grad=True)
    canvas = _Canvas(blank, directions, blank + place)
    found = canvas.retouch(code, 1.0)
    assert found.abs().max() < 0.01
    (gradient,) = torch.autograd.grad(found.sum() + canvas.strength(found), code)
    assert torch.isfinite(gradient).all()
