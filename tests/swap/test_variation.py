"""The directions in which faces differ: the recipe's, from the shipped donors, and nobody's age, tone or gender."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.swap import swapkit
from vidanon.cli.main import main
from vidanon.errors import ModelError
from vidanon.swap.variation import SIDE, detail, load_variation, place, write_variation
from vidanon.train.variation import DIRECTIONS, components


def test_the_shipped_file_is_what_the_recipe_makes(tmp_path: Path) -> None:
    """Anybody can make it again from the donors alone."""
    assert main(["train", "variation", "--out", str(tmp_path)]) == 0
    made, shipped = load_variation(tmp_path / "variation.safetensors"), load_variation()
    np.testing.assert_allclose(made.mesh, shipped.mesh, atol=1e-3)
    for ours, theirs in ((made.men, shipped.men), (made.women, shipped.women)):
        assert ours.shape == theirs.shape == (DIRECTIONS, SIDE, SIDE)
        # two directions that are about as strong may take each other's place on another machine
        strength = np.square(theirs).sum((1, 2))
        apart = np.array([np.delete(np.abs(strength / s - 1), k).min() for k, s in enumerate(strength)]) > 0.02
        assert apart.sum() > 10
        np.testing.assert_allclose(ours[apart], theirs[apart], atol=5e-3)


def test_directions_are_even_on_both_sides_strongest_first_and_at_right_angles() -> None:
    for found in (load_variation().men, load_variation().women):
        assert (found == found[..., ::-1]).all()
        flat = found.reshape(len(found), -1)
        strength = np.linalg.norm(flat, axis=1)
        assert (np.diff(strength) < 1e-3).all()
        unit = flat / strength[:, None]
        assert np.abs(unit @ unit.T - np.eye(len(unit))).max() < 0.02


def test_what_goes_with_age_tone_or_gender_is_no_direction() -> None:
    """Made-up faces: one place tells gender, one age, one tone; two others are people's own."""
    rng = np.random.default_rng(0)
    looks = np.concatenate([np.ones((600, 1)), rng.normal(0, 1, (600, 2)), np.repeat([[-0.5], [0.5]], 300, 0)], 1)
    own = rng.normal(0, 1, (600, 2))
    faces = np.zeros((600, 6, 6), np.float32)
    for at, values in (
        (0, 3 * looks[:, 3]),
        (1, 2 * looks[:, 1]),
        (2, 2 * looks[:, 2]),
        (3, own[:, 0]),
        (4, own[:, 1]),
    ):
        faces[:, at, at] = values
    found = np.abs(components(faces, looks, np.where(looks[:, 3] > 0, 1.0, 0.02)))
    diagonal = found[:2].reshape(2, 36)[:, ::7].max(0)
    assert diagonal[3:5].min() > 0.5 and diagonal[:3].max() < 0.15 and diagonal[5] < 1e-6


def test_detail_is_what_differs_from_around_and_even_light_does_not_count() -> None:
    picture, mesh = swapkit.face(4, SIDE)
    plain, darker = detail(picture, mesh), detail(picture * np.float32(0.6), mesh)
    assert np.abs(plain).max() > 0.3
    assert np.abs(plain - darker)[picture.min(2) > 0.15].max() < 0.02
    assert (plain[place(mesh) == 0] == 0).all()


def test_on_a_portrait_they_lie_where_its_features_are() -> None:
    variation, triangles = load_variation(), swapkit.composer().triangles
    still = variation.on(variation.mesh, triangles, female=0.0)
    np.testing.assert_allclose(still[:, 40:90, 40:90], variation.men[:, 40:90, 40:90], atol=0.02)
    moved = variation.on(variation.mesh + np.array([6, -4, 0], np.float32), triangles, female=0.0)
    np.testing.assert_allclose(moved[:, 40:80, 40:90], variation.men[:, 44:84, 34:84], atol=0.02)
    assert not np.allclose(variation.on(variation.mesh, triangles, female=1.0), still, atol=0.05)


@pytest.mark.parametrize("spoil", ["missing", "shape", "number"])
def test_a_file_that_is_no_variation_is_refused(spoil: str, tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    write_variation(path, load_variation())
    state = safetensors.torch.load_file(path)
    if spoil == "missing":
        del state["women"]
    elif spoil == "shape":
        state["men"] = state["men"][:, :9].contiguous()
    else:
        state["men"][3, 50, 30] = torch.inf
    safetensors.torch.save_file(state, path)
    with pytest.raises(ModelError, match="get the original"):
        load_variation(path)


def test_written_and_read_it_is_the_same(tmp_path: Path) -> None:
    write_variation(tmp_path / "v.safetensors", load_variation())
    again = load_variation(tmp_path / "v.safetensors")
    assert (again.women == load_variation().women).all() and (again.mesh == load_variation().mesh).all()


@pytest.mark.parametrize(
    ("words", "code", "says"), [("--donors none --out run", 3, "--donors none"), ("--out file", 2, "--out file")]
)
def test_wrong_words_are_named(
    words: str, code: int, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert main(["train", "variation", *words.split()]) == code
    assert says in capsys.readouterr().err and not (tmp_path / "run").exists()
