"""The recipe of the donors: morphs of painted faces, the choice of those far apart, a small run on real portraits."""

from __future__ import annotations

import json
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidanon.cli.main import main
from vidanon.errors import InputError
from vidanon.faces import mesh_points as mp
from vidanon.swap.attributes import load_attributes
from vidanon.swap.donors import load_donors
from vidanon.swap.portraits import EYES, SIDE, Portrait
from vidanon.train import donors as recipe
from vidanon.train.attributes import MEASURED, train_attributes
from vidanon.train.donor_labels import LOOKS
from vidanon.train.donor_morph import Mix, draw_bend, mirrored, mix_shape, morph, on_canvas
from vidanon.train.donor_portraits import AGES, LEFT_OUT, NO_EYES, SHAVEN, Labelled
from vidanon.train.donor_probe import Example, train_probes
from vidanon.train.donor_select import select

sys.path.insert(0, str(Path(__file__).parents[1] / "faces"))
from meshkit import face

ALONE = Mix((1.0, 0.0), (1.0, 0.0), {})


def portrait(seed: int, colour: tuple[int, int, int] = (190, 150, 120), size: int = 300) -> Portrait:
    """A flat face with stripes, on a ground of another colour; every seed has another shape."""
    rng = np.random.default_rng(seed)
    points = face() * (1 + 0.06 * rng.normal(), 1 + 0.06 * rng.normal(), 1) * 60
    points[:, :2] += (size / 2 + rng.uniform(-9, 9), size / 2 - 30)
    image = np.full((size, size, 3), rng.integers(0, 90, 3), np.uint8)
    cv2.fillConvexPoly(image, cv2.convexHull(points[list(mp.OVAL), :2].astype(np.int32)), colour)
    image[::4] = image[::4] // 2
    return Portrait(image, points.astype(np.float32))


def test_a_morph_of_one_is_that_one_framed() -> None:
    one, other = portrait(0), portrait(1, (20, 200, 20))
    made = morph([one, other], ALONE, on_canvas(one))
    assert made.image.shape == (SIDE, SIDE, 3) and made.image.dtype == np.uint8
    np.testing.assert_allclose(made.points, on_canvas(one), atol=1e-3)
    assert float(mp.eye_distance(made.points)) == pytest.approx(EYES, rel=0.1)
    x, y = made.points[mp.NOSE_TIP, :2].astype(int)
    inside = made.image[y - 20 : y + 20, x - 20 : x + 20].reshape(-1, 3)
    source = one.image[150:180, 140:160].reshape(-1, 3)
    np.testing.assert_allclose(inside.mean(0), source.mean(0), atol=12)
    assert inside.std() > 0.5 * source.std()  # as sharp as it was: stripes of 4 px are still there


def test_features_come_from_who_gives_them_and_the_ground_from_the_first() -> None:
    one, other = portrait(0), portrait(1)
    mouth = other.image.copy()
    x, y = other.points[list(mp.LIPS_OUTER), :2].mean(0).astype(int)
    mouth[y - 9 : y + 9 : 2, x - 14 : x + 14] = 255  # fine bright lines on the other's mouth
    other = Portrait(mouth, other.points)
    without = morph([one, other], ALONE, on_canvas(one)).image.astype(int)
    made = morph([one, other], Mix((1.0, 0.0), (1.0, 0.0), {"mouth": 1}), on_canvas(one))
    changed = np.abs(made.image - without).max(2)
    mx, my = made.points[list(mp.LIPS_OUTER), :2].mean(0).astype(int)
    assert changed[my - 5 : my + 5, mx - 10 : mx + 10].mean() > 15
    nx, ny = made.points[list(mp.RIGHT_EYE), :2].mean(0).astype(int)
    assert changed[ny - 5 : ny + 5, nx - 10 : nx + 10].max() <= 1
    assert changed[:20].max() == 0


def test_shapes_are_weighted_strengthened_and_bent() -> None:
    a, b = on_canvas(portrait(0)), on_canvas(portrait(1))
    average = (a + b) / 2
    half = Mix((0.5, 0.5), (1.0, 0.0), {}, 1.7)
    np.testing.assert_allclose(mix_shape([a, b], half, average), average, atol=1e-3)
    np.testing.assert_allclose(
        mix_shape([a, b], replace(ALONE, stronger=2.0), average), average + 2 * (a - average), atol=1e-3
    )
    bend = np.ones_like(a)
    np.testing.assert_allclose(mix_shape([a, b], replace(ALONE, bent=bend), average), a + 1, atol=1e-3)


def test_bends_are_as_large_as_people_differ() -> None:
    meshes = np.stack([on_canvas(portrait(seed)) for seed in range(12)])
    rng = np.random.default_rng(0)
    bends = np.stack([draw_bend(meshes, 1.0, rng) for _ in range(300)])
    np.testing.assert_allclose(bends.std(), (meshes - meshes.mean(0)).std(), rtol=0.15)
    assert np.abs(bends.mean()) < 0.1


def test_a_mirror_image_twice_is_the_portrait() -> None:
    one = portrait(3)
    swap = np.arange(mp.POINTS)
    for a, b in ((mp.RIGHT_EYE, mp.LEFT_EYE), (mp.RIGHT_BROW, mp.LEFT_BROW)):
        swap[list(a)], swap[list(b)] = b, a
    twice = mirrored(mirrored(one, swap), swap)
    np.testing.assert_array_equal(twice.image, one.image)
    np.testing.assert_allclose(twice.points, one.points, atol=1e-3)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 40),
    st.integers(1, 12),
    st.lists(st.integers(0, 5), min_size=3, max_size=3),
    st.integers(1, 3),
)
def test_a_choice_keeps_to_its_quota_and_families(
    seed: int, count: int, families: int, wanted: list[int], siblings: int
) -> None:
    rng = np.random.default_rng(seed)
    embeddings = rng.normal(size=(count, 4)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    family = rng.integers(0, families, count)
    group = family % 3  # a family is of one group
    chosen = select(embeddings, group, family, dict(enumerate(wanted)), siblings)
    assert len(set(chosen.tolist())) == len(chosen)
    assert np.bincount(family[chosen], minlength=1).max() <= siblings
    for one in range(3):
        there = sum(min(siblings, n) for n in np.bincount(family[group == one], minlength=1).tolist())
        assert (group[chosen] == one).sum() == min(wanted[one], there)
    np.testing.assert_array_equal(chosen, select(embeddings, group, family, dict(enumerate(wanted)), siblings))
    assert (np.diff(chosen) > 0).all()

    def cost(which: np.ndarray) -> float:
        alike = np.clip(embeddings[which] @ embeddings[which].T - 0.2, 0, None) ** 2
        return float(alike[np.triu_indices(len(which), 1)].sum())

    for place in range(len(chosen)):  # nobody outside would do better in anyone's place
        rest = np.delete(chosen, place)
        full = np.bincount(family[rest], minlength=families) >= siblings
        for other in np.setdiff1d(np.flatnonzero((group == group[chosen[place]]) & ~full[family]), rest):
            assert cost(np.append(rest, other)) >= cost(chosen) - 1e-5


def test_of_two_alike_one_is_left() -> None:
    embeddings = np.array([[1, 0, 0], [0.99, 0.14, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    chosen = select(embeddings, np.zeros(4, int), np.arange(4), {0: 3})
    assert len({0, 1} & set(chosen.tolist())) == 1


def labelled(name: str, female: float, age: float, tone: float = 0.0) -> Labelled:
    return Labelled(name, portrait(0), female, age, tone)


def test_only_portraits_of_a_look_are_mixed_and_a_mix_is_one() -> None:
    old, young = labelled("female_000", 1, 70), labelled("female_001", 1, 25)
    assert not recipe._of_a_look(old, young) and recipe._of_a_look(old, labelled("x", 1, 62, 20))
    assert not recipe._of_a_look(old, labelled("x", 0, 70)) and not recipe._of_a_look(old, labelled("x", 1, 70, 40))
    meshes = np.stack([on_canvas(portrait(seed)) for seed in range(3)])
    rng = np.random.default_rng(0)
    hidden = labelled(next(iter(NO_EYES)), 1, 60)
    for _ in range(40):
        mix, flips = recipe.draw_mix([old, hidden, hidden], meshes, rng)
        assert sum(mix.shape) == pytest.approx(1) and sum(mix.light) == pytest.approx(1) and len(flips) == 3
        assert mix.light[0] >= 0.5 and mix.features["eyes"] == 0


def test_every_portrait_has_an_age_and_a_reason_at_most_once() -> None:
    names = [name for names in LEFT_OUT.values() for name in names.split()]
    assert len(AGES) == 200 and set(names) <= set(AGES) and len(names) == len(set(names))
    assert set(AGES) >= NO_EYES and not NO_EYES & set(names)


class Colours:
    """Sees the mean colour, the same in every part."""

    def pooled(self, patches: np.ndarray, side: int) -> np.ndarray:
        return np.tile(patches.reshape(len(patches), -1, 3).mean(1) / 255, side * side).astype(np.float32)


def example(number: int, *, told: bool = True) -> Example:
    """A face whose green tells its gender, and whose blue its age, where it is told."""
    female, age = float(number % 2), 20.0 + number
    colour = (70, 60 + 130 * female, 40 + 2 * age) if told else (70, 100, 100)
    return Example(np.full((2, 112, 112, 3), colour, np.uint8), female, age, f"set {number % 3}")


def test_probes_learn_what_can_be_seen_and_are_measured_on_other_sets() -> None:
    probes = train_probes([example(i) for i in range(60)], Colours(), seed=0)
    assert probes.female.shape == probes.age.shape == (2 * 9 * 3 + 1,)
    assert probes.measured["gender right, as they are"] > 0.9
    assert probes.measured["age off by, as they are"] < 0.6 * probes.measured["age off by, always the mean"]
    none = train_probes([example(i, told=False) for i in range(60)], Colours(), seed=0).measured
    assert none["gender right, as they are"] < 0.7
    assert none["age off by, as they are"] > 0.8 * none["age off by, always the mean"]
    with pytest.raises(ValueError, match="two"):
        train_probes([replace(example(i), source="one") for i in range(9)], Colours(), seed=0)


def test_the_labels_are_of_adults_and_of_both() -> None:
    female = np.array([look[0] for look in LOOKS.values()])
    assert len(LOOKS) > 300 and 0.3 < female.mean() < 0.7
    assert min(look[1] for look in LOOKS.values()) >= 17 and max(look[1] for look in LOOKS.values()) <= 90


def test_attributes_from_a_few_faces(test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDANON_MODELS", str(test_data / "detectors"))
    portraits, faces = tmp_path / "portraits", tmp_path / "faces"
    unpack(
        test_data / "faces/donors384.tar", portraits, {f"{k}_{n:03}.jpg" for k in ("female", "male") for n in (0, 4)}
    )
    unpack(test_data / "faces/open128.tar", faces, {*sorted(LOOKS)[::60], "bioguide_00001.jpg"})
    told = []
    path = train_attributes(portraits, faces, tmp_path / "run", progress=told.append)
    assert load_attributes(path).dimensions == load_attributes().dimensions
    measured = json.loads((tmp_path / "run" / MEASURED).read_text())
    assert 4 < measured["faces"] <= 4 + len(sorted(LOOKS)[::60]) and told[0].stage == "faces"
    with pytest.raises(InputError, match="label"):
        train_attributes(portraits, portraits, tmp_path / "run")


def unpack(archive: Path, folder: Path, names: set[str]) -> None:
    folder.mkdir()
    with tarfile.open(archive) as tar:
        for member in tar:
            if Path(member.name).name in names:
                (folder / Path(member.name).name).write_bytes(tar.extractfile(member).read())


def test_the_recipe_on_a_few_portraits(test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDANON_MODELS", str(test_data / "detectors"))
    kept = {f"female_{n:03}" for n in (2, 36, 49, 86, 88)} | {f"male_{n:03}" for n in (3, 61, 84, 30)}
    portraits = tmp_path / "portraits"
    unpack(test_data / "faces/donors384.tar", portraits, {f"{name}.jpg" for name in kept})
    told = []
    path = recipe.train_donors(portraits, tmp_path / "run", recipe.Recipe(donors=36, mixes=1), told.append)
    donors = load_donors(path)
    assert {p.stage for p in told} == {"faces", "mixes"}
    assert 3 <= len(donors) <= 8 and {round(donor.female, 2) for donor in donors} == {SHAVEN, 1.0}
    assert all(donor.image.shape == (SIDE, SIDE, 3) for donor in donors)
    measured = json.loads((tmp_path / "run" / recipe.MEASURED).read_text())
    assert measured["left out"] == {"female_088": "teeth"} and measured["parents"] == 8
    for donor in donors:
        first, *others = measured["made of"][donor.name]
        assert donor.name.startswith(first) and 1 <= len(others) <= 3 and set(others) <= kept
    assert cv2.imread(str(tmp_path / "run" / recipe.SHEET)).shape[1] > 300


def test_other_portraits_are_refused(test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIDANON_MODELS", str(test_data / "detectors"))
    cv2.imwrite(str(tmp_path / "somebody.png"), portrait(0).image)
    with pytest.raises(InputError, match="somebody"):
        recipe.train_donors(tmp_path, tmp_path / "run", recipe.Recipe())
    (tmp_path / "somebody.png").rename(tmp_path / "male_000.png")
    with pytest.raises(InputError, match="can be mixed"):
        recipe.train_donors(tmp_path, tmp_path / "run", recipe.Recipe())


@pytest.mark.parametrize(
    ("command", "missing"),
    [("donors --faces none", "--faces none"), ("attributes --portraits none --faces .", "--portraits none")],
)
def test_a_command_without_its_faces_says_so(
    command: str, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *command.split(), "--out", "run"]) == 3
    assert missing in capsys.readouterr().err and not (tmp_path / "run").exists()
