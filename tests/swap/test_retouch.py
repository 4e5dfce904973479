"""A retouched portrait: the drawn face becomes a stranger's for the recogniser, and stays a face."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

import vidanon.swap.retouch
from tests.swap import swapkit
from vidanon.faces.mesh_points import LEFT_EYE, RIGHT_EYE
from vidanon.swap.base import Glasses, Retouch, Shot
from vidanon.swap.cast import Role, aligned
from vidanon.swap.retouch import _GOOD, _LEFT, _MOST, _WORN, DARKER, LIGHTER, Retoucher, _Canvas, _Search
from vidanon.swap.traits import REGIONS, SIDE, load_traits

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
def retouch(who: int, donor: int, key: bytes = b"key") -> Retouch:
    return retoucher(key)(shots(who), shape_of(who), [swapkit.actors()[donor]])[0]


def retoucher(key: bytes = b"key", glasses: bool = True) -> Retoucher:
    return Retoucher(swapkit.composer(), (swapkit.student(), swapkit.surrogate()), load_traits(), key, glasses)


def drawn(shot: Shot, who: int, donor: int, how: Retouch | None):
    composer, actor = swapkit.composer(), swapkit.actors()[donor]
    offset = composer.shapes.offset(actor.shape, shape_of(who))
    return composer.draw(shot.patch, shot.mesh, offset, actor, None, np.random.default_rng(0), retouch=how)


def alike(who: int, donor: int, how: Retouch | None, first: int) -> float:
    """Mean likeness of the drawn face to the source, in looks from ``first`` on."""
    student = swapkit.student()
    looks = shots(who, first)
    before = student.embed(np.stack([aligned(s.patch, s.mesh, student) for s in looks]))
    after = student.embed(np.stack([aligned(drawn(s, who, donor, how).patch, s.mesh, student) for s in looks]))
    return float((before * after).sum(1).mean())


def test_a_retouch_is_bounded_and_keeps_to_the_middle_of_the_face():
    for who, donor in CASES:
        how = retouch(who, donor).gain
        assert how.shape == (SIDE, SIDE) and how.dtype == np.float32
        assert np.abs(how).max() > 0.1 and how.min() >= -DARKER and how.max() <= LIGHTER
        actor = swapkit.actors()[donor]
        mesh = actor.fitted.points * np.float32(SIDE / actor.donor.image.shape[0])
        assert np.abs(how[~swapkit.oval(mesh, SIDE, 1)]).max() == 0
        eyes = swapkit.painted(mesh, RIGHT_EYE, SIDE) | swapkit.painted(mesh, LEFT_EYE, SIDE)
        assert np.abs(how[eyes]).mean() < 0.3 * np.abs(how[swapkit.oval(mesh, SIDE, -8)]).mean()


def test_it_makes_the_portrait_a_mix_of_peoples_faces():
    """What the portrait shows then lies, for nine tenths, in what mixes of other people's faces can show."""
    for who, donor in CASES:
        how = retouch(who, donor).gain
        canvas = retoucher()._canvas(swapkit.actors()[donor])
        shown = (canvas.own.numpy() + np.log1p(how)).ravel()
        parts = (canvas.faces[None] * canvas.regions[:, None]).flatten(0, 1).flatten(1).numpy()
        inside = np.abs(how.ravel()) > 1e-6
        weights, *_ = np.linalg.lstsq(parts[:, inside].T, shown[inside], rcond=None)
        assert np.square(weights @ parts[:, inside]).sum() > 0.9 * np.square(shown[inside]).sum()


def test_it_begins_at_a_secret_mix_of_people_of_the_donors_gender_and_about_its_age():
    traits = load_traits()
    for donor in (26, 11, 40):
        actor = swapkit.actors()[donor]
        codes = torch.stack([retoucher()._start(actor, np.random.default_rng(key)) for key in range(40)])
        shares = torch.softmax(codes, -1).numpy()
        other = (traits.female >= 0.5) != (actor.donor.female >= 0.5)
        assert shares[..., other].max() < 1e-6
        away = np.abs(traits.age - actor.donor.age)
        assert (shares.mean((0, 1)) * away).sum() < 0.9 * away[~other].mean()
        assert np.minimum(shares[0], shares[1]).sum(1).max() < 0.7  # another key, other people


def test_a_mans_face_is_not_mixed_into_a_womans():
    """However long the search."""
    student, traits = swapkit.student(), load_traits()
    how = Retoucher(swapkit.composer(), (student,), traits, b"key")
    for donor in (26, 11):
        actor = swapkit.actors()[donor]
        search = how._begun(actor, np.random.default_rng(0))
        how._go_on(search, how._source(shots(20), shape_of(20)))
        other = (traits.female >= 0.5) != (actor.donor.female >= 0.5)
        assert torch.softmax(search.code, 1)[:, other].sum(1).max() < 0.01
        assert (search.code - search.start).abs().max() > 0.1


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
    again = retoucher()(shots(20), shape_of(20), [swapkit.actors()[26], swapkit.actors()[11]])
    for one, other in zip((first, second), again, strict=True):
        np.testing.assert_allclose(one.gain, other.gain, atol=1e-4)
    assert not np.allclose(second.gain, first.gain, atol=0.01)
    other = retouch(20, 26, b"another")
    assert np.corrcoef(first.gain.ravel(), other.gain.ravel())[0, 1] < 0.9


def test_who_stands_by_of_another_gender_keeps_to_it():
    """What was found for a man is no woman's."""
    women = load_traits().female >= 0.5
    mixed = {}

    class Watched(_Canvas):
        def retouch(self, code: torch.Tensor) -> torch.Tensor:
            mixed[id(self)] = torch.softmax(code, 1).detach()
            return super().retouch(code)

    how = retoucher()
    genders = {actor.donor.female >= 0.5: actor for actor in swapkit.actors()}
    for first in (True, False):
        mixed.clear()
        canvases = []

        def canvas(actor, made=canvases):
            whole = Retoucher._canvas(how, actor)
            made.append(Watched(whole.own, whole.faces, whole.regions, whole.place))
            return made[-1]

        how._canvas = canvas  # type: ignore[method-assign]
        how(shots(20), shape_of(20), [genders[first], genders[not first]])
        for each, gender in zip(canvases, (first, not first), strict=True):
            assert mixed[id(each)][:, women != gender].max() < 1e-4


def test_new_faces_differ_from_the_usual_one_so_keys_give_others(monkeypatch):
    """Without that, all searches end near one face. After as many steps and with the same contrast, of everybody."""

    def found(who: int, donor: int, key: int) -> np.ndarray:
        how = retoucher()
        search = how._begun(swapkit.actors()[donor], np.random.default_rng(key))
        for _ in range(2):
            how._go_on(search, how._source(shots(who), shape_of(who)))
        return search.canvas.retouch(search.code).numpy().ravel()

    def alike() -> float:
        cases = [np.corrcoef([found(*case, key) for key in range(3)])[np.triu_indices(3, 1)].mean() for case in CASES]
        return float(np.mean(cases))

    apart = alike()
    monkeypatch.setattr(vidanon.swap.retouch, "_APART", 0.0)
    assert apart < alike() - 0.2


def half() -> Retouch:
    """Lighter above the middle of the portrait."""
    gain = np.zeros((SIDE, SIDE), np.float32)
    gain[: SIDE // 2] = 0.3
    return Retouch(gain, 1.2)


def test_it_changes_the_new_face_and_nothing_else():
    shot = shots(20)[0]
    plain, brighter = (drawn(shot, 20, 26, how) for how in (None, half()))
    changed = np.abs(brighter.patch - plain.patch).max(2)
    assert changed[plain.mask == 0].max() == 0
    inside = (plain.layer.inside >= 1) & (plain.layer.luma > 0.1) & (plain.layer.luma < 0.8)
    assert inside.mean() > 0.05 and changed[inside].mean() > 0.01
    middle = shot.mesh[1, 1]  # the tip of the nose
    above = np.indices(inside.shape)[0] < middle
    change = brighter.layer.luma - plain.layer.luma
    assert change[inside & above].mean() > change[inside & ~above].mean() + 0.02
    assert (brighter.mask == plain.mask).all() and (brighter.layer.inside == plain.layer.inside).all()


def test_it_moves_with_the_face():
    shot = shots(20)[0]

    def changed(by: int) -> np.ndarray:
        moved = Shot(np.roll(shot.patch, by, (0, 1)), shot.mesh + np.array([by, by, 0], np.float32))
        return drawn(moved, 20, 26, half()).layer.luma - drawn(moved, 20, 26, None).layer.luma

    still, moved = changed(0), np.roll(changed(9), -9, (0, 1))
    inside = drawn(shot, 20, 26, None).layer.inside >= 1
    assert np.corrcoef(still[inside], moved[inside])[0, 1] > 0.95


def test_who_comes_first_plays_and_others_are_tried_only_where_that_one_would_be_known(monkeypatch):
    """Who comes first is the key's choice; the nearest to a stranger of all would be the same under most keys."""
    lefts, asked = {}, []

    def go_on(self, search, source):
        asked.append(search.actor.donor.name)
        search.code = search.code + 1
        search.drawn(_LEFT[1] + lefts[asked[-1]].pop(0))

    monkeypatch.setattr(Retoucher, "_go_on", go_on)
    three = [swapkit.actors()[at] for at in (26, 11, 40)]
    one, two, other = (actor.donor.name for actor in three)
    for told, order, off, plays in (
        (([-0.02], [], []), [one], [0.0, np.inf, np.inf], 0),
        (([0.3, _GOOD - 0.01], [], []), [one] * 2, [_GOOD - 0.01, np.inf, np.inf], 0),
        (([0.3, 0.3], [-0.01], []), [one] * 2 + [two], [0.3, 0.0, np.inf], 1),
        (([0.3, 0.3], [0.4, 0.5], [0.2, 0.4]), [one] * 2 + [two] * 2 + [other] * 2, [0.3, 0.5, 0.4], 0),
        # less alike than strangers are is no better than more
        (([_LEFT[0] - _LEFT[1] - 0.3] * 2, [0.05, -0.02], []), [one] * 2 + [two] * 2, [0.3, 0.0, np.inf], 1),
    ):
        lefts.update(zip((one, two, other), map(list, told), strict=True))
        asked.clear()
        given = retoucher()(shots(20), shape_of(20), three)
        assert asked == order
        assert [each.off for each in given] == pytest.approx(off)
        donors = (26, 11, 40)
        assert Role(donors, shape_of(20), lambda found=given: found).part(0) == (donors[plays], given[plays])


def test_a_search_ends_at_a_strangers_likeness_and_after_some_drawings():
    actor = swapkit.actors()[26]

    def told(*lefts: float) -> list[bool]:
        search = _Search(actor, None, None, np.random.default_rng(0), None)  # type: ignore[arg-type]
        return [search.ended for left in lefts if search.drawn(left) is None]

    assert told(0.3, -0.07) == [False, True]
    assert told(-0.07) == [True]
    assert told(_LEFT[0] - 0.1, -0.07) == [False, True]  # less alike than strangers are
    assert told(*[0.3] * _MOST) == [False] * (_MOST - 1) + [True]


def test_who_is_known_as_they_are_wears_glasses_and_only_where_any_are_worn():
    """A person who plays themself is known."""
    for who in (20, 5):
        assert retouch(who, who).glasses is not None
        actor = swapkit.actors()[who]
        assert retoucher(glasses=False)(shots(who), shape_of(who), [actor])[0].glasses is None
        bare = replace(retouch(who, who), glasses=None)
        assert alike(who, who, retouch(who, who), 10) < alike(who, who, bare, 10)


def test_who_begins_without_glasses_puts_them_on_where_still_known():
    pair = Glasses(0.4, 0.25, 4.0, 0.05, 0.04, 0.2, (0.3, 0.3, 0.3))
    for left, wears in ((_WORN + 0.01, True), (_WORN - 0.01, False)):
        search = _Search(swapkit.actors()[26], None, None, np.random.default_rng(0), None, pair)  # type: ignore[arg-type]
        assert search.glasses is None
        search.drawn(left)
        assert not search.ended and (search.glasses is not None) == wears
    begun = [retoucher()._begun(swapkit.actors()[26], np.random.default_rng(key)) for key in range(30)]
    assert 15 <= sum(search.wears for search in begun) < 30
    assert len({search.pair for search in begun}) == 30


def test_those_who_stand_by_wear_glasses_of_their_own_where_the_first_does(monkeypatch):
    monkeypatch.setattr(vidanon.swap.retouch, "_BARE", 1.0)

    def go_on(self, search, source):
        search.wears = True
        search.drawn(_LEFT[1] - 0.01)

    monkeypatch.setattr(Retoucher, "_go_on", go_on)
    first, second = retoucher()(shots(20), shape_of(20), [swapkit.actors()[26], swapkit.actors()[11]])
    assert first.glasses is not None and second.glasses is not None and first.glasses != second.glasses


def test_a_look_that_is_made_smaller_knows_how_large_it_was():
    shot = shots(20)[0]
    smaller = shot.within(SIZE // 4)
    assert smaller.patch.shape[0] == SIZE // 4 and smaller.shrunk == 4 and shot.shrunk == 1
    np.testing.assert_allclose(smaller.mesh * smaller.shrunk, shot.mesh, rtol=1e-5)
    assert smaller.within(SIZE // 4) is smaller and smaller.within(SIZE // 8).shrunk == 8


@pytest.mark.parametrize("place", [0.0, 1.0])
def test_a_portrait_that_shows_nothing_is_left_as_it_is(place: float):
    """No place to change, or no detail at all: nothing that is no number gets into the picture or the next step."""
    blank, code = torch.zeros(SIDE, SIDE), torch.ones(REGIONS, 5, requires_grad=True)
    canvas = _Canvas(blank, torch.zeros(5, SIDE, SIDE), torch.full((REGIONS, SIDE, SIDE), 1 / REGIONS), blank + place)
    found = canvas.retouch(code)
    assert found.abs().max() < 0.01
    (gradient,) = torch.autograd.grad(found.sum(), code)
    assert torch.isfinite(gradient).all()
