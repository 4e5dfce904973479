"""Who plays whom. Most tests are of a small world: a face is a grey level, and a table says how recognisers see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vidanon.swap.cast
from tests.swap import swapkit
from vidanon.recognise.base import ARCFACE_112, Description
from vidanon.swap.attributes import Look
from vidanon.swap.base import Donor, Retouch, Shot
from vidanon.swap.cast import FIRST, MOST, STAND_BY, Casting, Role
from vidanon.swap.composite import Drawn
from vidanon.swap.shape import Shapes
from vidanon.types import ByteArray, FloatArray, Layer

COUNT, DIMENSIONS = 24, 64
KEY = b"a key of a project"
PLAIN = Look(0.5, 40.0, 20.0)


def unit(rows: FloatArray) -> FloatArray:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


@dataclass
class Face:
    """An actor as casting knows one."""

    donor: Donor
    level: int
    shape: np.ndarray = field(default_factory=lambda: np.zeros((468, 3)))
    eyeballs: object | None = "seen"


class Painter:
    """Draws an actor as its grey level."""

    def __init__(self) -> None:
        self.shapes = Shapes(swapkit.finder().mean)
        self.drawn: list[int] = []

    def draw(self, patch, mesh, offset, actor, wanted, rng, gaze=None, retouch=None, outline=0.0) -> Drawn:
        self.drawn.append(actor.level)
        size = patch.shape[0]
        flat = np.zeros((size, size), np.float32)
        return Drawn(np.full_like(patch, actor.level / 255), flat, Layer(flat, flat, flat))


class Table:
    """A recogniser that reads the grey level and looks the embedding up."""

    def __init__(self, table: FloatArray, least: float = 0.3) -> None:
        self.table = table
        self.description = Description("table", 112, ARCFACE_112, thresholds={0.01: least})

    def embed(self, patches: ByteArray) -> FloatArray:
        return self.table[patches[:, 56, 56, 0]]


class World:
    """Donors 0..COUNT-1 are as many grey levels; people are levels from 100 on."""

    def __init__(self, seed: int = 0, looks: Sequence[Look] | None = None) -> None:
        rng = np.random.default_rng(seed)
        self.table = unit(rng.normal(size=(256, DIMENSIONS)))
        # near nobody else: what is drawn is the donor, and donors are strangers to people
        self.table = unit(np.linalg.qr(self.table.T)[0].T[np.arange(256) % DIMENSIONS])
        looks = looks or [PLAIN] * COUNT
        image = np.zeros((4, 4, 3), np.uint8)
        points = swapkit.donor_at(0).points
        self.actors = [
            Face(Donor(f"donor {d}", image, points, look.female, look.age, look.tone, self.table[d]), d)
            for d, look in enumerate(looks)
        ]
        self.painter = Painter()

    def like(self, donor: int, person: int, share: float) -> None:
        """What is drawn with ``donor`` keeps so much of ``person``."""
        self.table[donor] = unit((1 - share) * self.table[donor] + share * self.table[person])

    def choose(
        self,
        person: int = 40,
        key: bytes = KEY,
        looks: Look = PLAIN,
        taken: Sequence[int] = (),
        others: Sequence[Table] = (),
        shots: Sequence[Shot] | None = None,
    ) -> Role:
        casting = Casting(self.painter, self.actors, [Table(self.table), *others], key)  # type: ignore[arg-type]
        return casting.choose(shots or shots_of(person), looks, taken)


def shots_of(person: int, count: int = 3) -> list[Shot]:
    _, mesh = swapkit.face(0, 112)
    return [Shot(np.full((112, 112, 3), person / 255, np.float32), mesh)] * count


def test_the_best_few_are_kept_each_once():
    role = World().choose()
    assert 1 <= len(role.donors) <= STAND_BY
    assert len(set(role.donors)) == len(role.donors)
    assert all(0 <= d < COUNT for d in role.donors)


def test_who_is_nearest_to_a_stranger_plays_first_and_of_those_about_as_near_whom_the_key_says():
    offs = (0.2, np.inf, 0.01, 0.0, 0.15)
    gain = np.zeros((2, 2), np.float32)
    role = Role((7, 3, 9, 4, 8), np.zeros((468, 3)), lambda: tuple(Retouch(gain, 1.0, each) for each in offs))
    assert [role.part(turn)[0] for turn in range(5)] == [9, 4, 7, 3, 8]
    for turn in range(5):
        donor, retouch = role.part(turn)
        assert retouch is not None and retouch.off == offs[role.donors.index(donor)]
    assert Role((7, 3), np.zeros((468, 3))).part(1) == (3, None)


@pytest.mark.parametrize(("female", "given"), [(0.9, 1.0), (0.4, 1.0), (0.25, 0.0), (0.05, 0.0)])
def test_who_is_read_as_neither_surely_gets_a_womans_face(female: float, given: float):
    world = World(looks=[Look(float(d % 2), 40.0, 20.0) for d in range(COUNT)])
    chosen = {
        d for key in range(4) for d in world.choose(key=str(key).encode() * 8, looks=Look(female, 40.0, 20.0)).donors
    }
    assert len(chosen) > 3 and {world.actors[d].donor.female for d in chosen} == {given}


def test_another_age_is_asked_only_where_the_own_is_alike():
    ages = [25.0 + 3 * (d % 4) if d % 2 else 75.0 for d in range(COUNT)]
    world = World(looks=[Look(0.5, age, 20.0) for age in ages])
    young = Look(0.5, 30.0, 20.0)
    chosen = {d for key in range(8) for d in world.choose(key=str(key).encode() * 8, looks=young).donors}
    assert len(chosen) > 3 and {ages[d] < 60 for d in chosen} == {True}
    for d in range(COUNT):
        if ages[d] < 60:
            world.like(d, 40, 0.6)
    chosen = {d for key in range(8) for d in world.choose(key=str(key).encode() * 8, looks=young).donors}
    assert len(chosen) > 3 and {ages[d] for d in chosen} == {75.0}


def test_the_shape_is_that_of_all_shots():
    world = World()
    meshes = [swapkit.face(which, 112)[1] for which in (0, 5)]
    shots = [Shot(shots_of(40)[0].patch, mesh) for mesh in meshes]
    role = world.choose(shots=shots)
    np.testing.assert_allclose(role.shape, world.painter.shapes.common(np.stack(meshes)).mean(0), atol=1e-9)


def test_the_same_key_gives_the_same_face_again():
    first = World().choose()
    assert World().choose().donors == first.donors
    assert World().choose(shots=shots_of(40, 1)).donors == first.donors


def test_another_key_usually_gives_another_face():
    world = World()
    chosen = [world.choose(key=f"the key {number}".encode()).donors[0] for number in range(16)]
    assert len(set(chosen)) > 5
    assert max(chosen.count(d) for d in chosen) < 7


def test_other_people_under_one_key_usually_get_other_faces():
    world = World()
    chosen = [world.choose(person).donors[0] for person in range(40, 54)]
    assert len(set(chosen)) > 5


@pytest.mark.parametrize("start", [63, 64, 65, 200])
def test_all_of_a_long_key_counts(start):
    """Two passphrases that begin alike are two keys."""
    world = World()
    chosen = {world.choose(key=b"k" * start + str(end).encode()).donors for end in range(8)}
    assert len(chosen) > 2


def test_a_face_seen_beside_is_not_given_twice():
    world = World()
    for _ in range(4):
        taken: list[int] = []
        for person in (40, 41, 42, 43):
            first = world.choose(person, taken=taken).donors[0]
            assert first not in taken
            taken.append(first)
    everybody = [*range(COUNT)]
    assert world.choose(taken=everybody[:-1]).donors == (COUNT - 1,)
    assert world.choose(taken=everybody).donors  # better one twice than none


def test_nor_one_that_looks_like_it():
    world = World()
    first = world.choose().donors[0]
    twin = (first + 1) % COUNT
    alike = World()
    alike.table[twin] = unit(alike.table[first] + 0.3 * alike.table[twin])
    donor = alike.actors[twin].donor
    alike.actors[twin] = Face(Donor(donor.name, donor.image, donor.points, 0.5, 40.0, 20.0, alike.table[twin]), twin)
    for key in range(6):
        assert twin not in alike.choose(key=str(key).encode() * 8, taken=[first]).donors


def test_a_donor_that_leaves_the_source_recognisable_is_never_chosen():
    world = World()
    like = [d for d in range(COUNT) if d % 3]
    for d in like:
        world.like(d, 40, 0.6)
    for key in range(5):
        assert not set(world.choose(key=str(key).encode() * 8).donors) & set(like)


def test_the_key_says_already_in_who_is_looked_at():
    """Of two dozen who are as like in looks not the same dozen for everybody; who is far off is looked at by none."""
    looks = [PLAIN] * 18 + [Look(0.5, 40.0, 80.0)] * (COUNT - 18)
    drawn = []
    for key in range(8):
        world = World(looks=looks)
        world.choose(key=str(key).encode() * 8)
        drawn.append({d for d in world.painter.drawn if d < COUNT})
    assert len(set.union(*drawn)) == 18 and max(len(each) for each in drawn) == FIRST
    assert len({frozenset(each) for each in drawn}) == 8


def test_in_another_clip_most_keys_choose_the_same_donor():
    """What is drawn there is a little more or less alike, and looks are read a little otherwise."""

    def clip(number: int, key: int) -> int:
        rng = np.random.default_rng(number)
        world = World(looks=[Look(0.5, 40.0 + 3 * (d % 5), 20.0 + 2 * (d % 7)) for d in range(COUNT)])
        for d in range(COUNT):
            world.like(d, 40, float(rng.uniform(0.02, 0.12)))
        seen = Look(0.5, 45 + float(rng.normal(0, 2)), 25 + float(rng.normal(0, 2)))
        return world.choose(key=str(key).encode() * 8, looks=seen).donors[0]

    same = [clip(1, key) == clip(2, key) for key in range(12)]
    assert sum(same) >= 7  # by chance one in five


def test_of_those_who_leave_something_to_know_the_least_known_play():
    """Also where the key then has fewer to choose from."""
    world = World(looks=[PLAIN] * MOST)  # all are compared
    for d in range(MOST):
        world.like(d, 40, 0.12 if d < 3 else 0.22)  # likeness of .14, of .27; .3 is a match
    chosen = {world.choose(key=str(key).encode() * 8).donors[0] for key in range(12)}
    assert chosen <= {0, 1, 2} and len(chosen) > 1


def test_where_those_nearest_in_looks_are_alike_the_search_goes_on_until_the_key_has_a_choice():
    near = range(14)
    world = World(looks=[PLAIN if d in near else Look(0.5, 70.0, 20.0) for d in range(COUNT)])
    for d in near:
        world.like(d, 40, 0.6)
    chosen = {world.choose(key=str(key).encode() * 8).donors[0] for key in range(12)}
    assert len(chosen) > 3 and not chosen & set(near)


def test_where_none_is_unlike_enough_there_is_no_role_to_play():
    world = World()
    for d in range(COUNT):
        world.like(d, 40, 0.6)
    role = world.choose()
    assert role.donors == () and role.shape.shape == (468, 3) and np.isfinite(role.shape).all()


def test_the_recogniser_that_knows_the_source_best_decides():
    world = World(looks=[PLAIN] * MOST)  # all are compared
    knows = world.table.copy()
    for d in range(MOST):
        if d != 7:
            knows[d] = unit(0.3 * knows[d] + 0.7 * knows[40])
    assert world.choose(others=[Table(knows)]).donors == (7,)


def test_one_frame_in_which_the_source_shows_is_enough():
    """Not the mean alone: a look in which a donor is clearly the source rules it out."""
    world = World(looks=[PLAIN] * MOST)  # all are compared
    person, double = 40, 41
    shots = [*shots_of(person, 2), *shots_of(double, 1)]
    for d in range(MOST):
        if d != 3:
            world.table[d] = unit(0.45 * world.table[d] + 0.9 * world.table[double])
    role = world.choose(shots=shots)
    assert role.donors == (3,)


def test_a_donor_without_eyes_is_never_chosen():
    world = World()
    for actor in world.actors[1:]:
        actor.eyeballs = None
    assert world.choose().donors == (0,)
    assert set(world.painter.drawn) == {0}


@pytest.mark.parametrize("wanted", [Look(0.95, 30, 30), Look(0.05, 30, 30), Look(0.95, 70, -20), Look(0.05, 70, -20)])
def test_who_is_read_alike_goes_first(wanted):
    looks = [Look(f, a, t) for f in (0.05, 0.95) for a, t in ((30, 30), (70, -20)) for _ in range(COUNT // 4)]
    world = World(looks=looks)
    for key in range(3):
        for donor in world.choose(key=str(key).encode() * 8, looks=wanted).donors[:1]:
            assert abs(looks[donor].female - wanted.female) < 0.1
            assert abs(looks[donor].tone - wanted.tone) < 30


def test_only_so_many_are_drawn(monkeypatch):
    """At first; enough of them are unlike."""
    monkeypatch.setattr(vidanon.swap.cast, "FIRST", 10)
    world = World()
    world.choose()
    assert len(set(world.painter.drawn)) == 10
    assert len(world.painter.drawn) <= 3 * len(set(world.painter.drawn))


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 50), st.lists(st.integers(0, COUNT - 1), max_size=COUNT), st.binary(min_size=1, max_size=90))
def test_whatever_is_taken_and_whatever_the_key(seed, taken, key):
    world = World(seed)
    role = world.choose(key=key, taken=taken)
    assert role.donors
    if len(set(taken)) < COUNT:
        assert not set(role.donors) & set(taken)
    assert world.choose(key=key, taken=taken).donors == role.donors


def real_choice(source: int, actors, key: bytes = KEY) -> Role:
    patch, mesh = swapkit.face(source, 128)
    donor = swapkit.donor_at(source)
    casting = Casting(swapkit.composer(), actors, [swapkit.student()], key)
    return casting.choose([Shot(patch, mesh)], Look(donor.female, donor.age, donor.tone))


def test_nobody_is_played_by_themselves():
    """A donor that is the source's own portrait: drawn on itself, recognisers know it."""
    source = 20
    near = [source, *(d for d in range(0, 40, 5) if d != source)]
    actors = [swapkit.actors()[d] for d in near]
    for key in (KEY, b"another key"):
        role = real_choice(source, actors, key)
        assert role.donors and 0 not in role.donors
    assert real_choice(source, actors[:1]).donors == ()
