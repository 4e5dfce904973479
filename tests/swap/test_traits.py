"""The traits of people who do not exist: the recipe's, from synthetic portraits, on one mesh and in four regions."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch

from tests.swap import swapkit
from vidanon.cli.main import main
from vidanon.errors import ModelError
from vidanon.faces.mesh_points import LIPS_OUTER, NOSE, OVAL, RIGHT_BROW
from vidanon.swap.traits import REGIONS, SIDE, detail, load_traits, place, regions, write_traits


def test_the_shipped_file_is_what_the_recipe_makes(
    test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can make it again from the portraits alone."""
    monkeypatch.setenv("VIDANON_MODELS", str(test_data / "detectors"))
    portraits = str(test_data / "faces" / "donors384.tar")
    assert main(["train", "traits", "--faces", portraits, "--out", str(tmp_path)]) == 0
    made, shipped = load_traits(tmp_path / "traits.safetensors"), load_traits()
    np.testing.assert_allclose(made.mesh, shipped.mesh, atol=1e-3)
    assert made.faces.shape == shipped.faces.shape == (108, SIDE, SIDE)
    np.testing.assert_allclose(made.faces, shipped.faces, atol=5e-3)
    np.testing.assert_array_equal(made.female, shipped.female)
    np.testing.assert_array_equal(made.age, shipped.age)


def test_people_of_both_genders_and_all_ages_have_traits() -> None:
    traits = load_traits()
    assert set(traits.female) == {0, 1} and 0.4 < traits.female.mean() < 0.6
    for which in (0, 1):
        ages = traits.age[traits.female == which]
        assert (ages < 30).sum() > 8 and (ages > 55).sum() > 8


def test_other_pictures_are_refused(
    test_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VIDANON_MODELS", str(test_data / "detectors"))
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "female_000.png"), np.full((384, 384, 3), 90, np.uint8))
    assert main(["train", "traits", "--faces", str(tmp_path / "in"), "--out", str(tmp_path / "run")]) == 3
    assert "no portrait in it is of use" in capsys.readouterr().err


def test_faces_are_even_on_both_sides_and_lie_in_the_middle_of_the_face() -> None:
    traits = load_traits()
    assert (traits.faces == traits.faces[..., ::-1]).all()
    beside = ~swapkit.oval(traits.mesh, SIDE, 3)
    assert np.abs(traits.faces[:, beside]).max() < 0.03
    assert np.sqrt(np.square(traits.faces).mean((1, 2))).min() > 0.02


def test_regions_share_every_place_and_lie_where_their_names_say() -> None:
    mesh = load_traits().mesh
    shares = regions(mesh)
    assert shares.shape == (REGIONS, SIDE, SIDE)
    np.testing.assert_allclose(shares.sum(0), 1, atol=1e-5)

    def of(points: tuple[int, ...]) -> np.ndarray:
        x, y = mesh[list(points), :2].mean(0).astype(int)
        return shares[:, y, x]

    for region, points in enumerate((RIGHT_BROW, NOSE, LIPS_OUTER, (*OVAL[:6], *OVAL[-6:]))):
        assert of(points).argmax() == region and of(points).max() > 0.5


def test_detail_is_what_differs_from_around_and_even_light_does_not_count() -> None:
    picture, mesh = swapkit.face(4, SIDE)
    plain, darker = detail(picture, mesh), detail(picture * np.float32(0.6), mesh)
    assert np.abs(plain).max() > 0.3
    light = cv2.erode((picture.min(2) > 0.15).astype(np.uint8), np.ones((11, 11))) > 0  # far from what is too dark
    assert light.mean() > 0.2 and np.abs(plain - darker)[light].max() < 0.02
    beyond = cv2.dilate((place(mesh) > 0).astype(np.uint8), np.ones((11, 11))) == 0
    assert beyond.mean() > 0.3 and np.abs(plain[beyond]).max() < 1e-3


def test_on_a_portrait_they_lie_where_its_features_are() -> None:
    traits, triangles = load_traits(), swapkit.composer().triangles
    still, shares = traits.on(traits.mesh, triangles)
    np.testing.assert_allclose(still[:, 45:85, 45:83], traits.faces[:, 45:85, 45:83], atol=0.02)
    np.testing.assert_allclose(shares[:, 45:85, 45:83], regions(traits.mesh)[:, 45:85, 45:83], atol=0.02)
    moved, _ = traits.on(traits.mesh + np.array([6, -4, 0], np.float32), triangles)
    np.testing.assert_allclose(moved[:, 40:80, 40:90], traits.faces[:, 44:84, 34:84], atol=0.02)


@pytest.mark.parametrize("spoil", ["missing", "shape", "number", "none"])
def test_a_file_that_is_no_traits_is_refused(spoil: str, tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    write_traits(path, load_traits())
    state = safetensors.torch.load_file(path)
    if spoil == "missing":
        del state["age"]
    elif spoil == "shape":
        state["faces"] = state["faces"][:9].contiguous()
    elif spoil == "number":
        state["faces"][3, 50, 30] = torch.inf
    else:
        state.update({name: state[name][:0].contiguous() for name in ("faces", "female", "age")})
    safetensors.torch.save_file(state, path)
    with pytest.raises(ModelError, match="get the original"):
        load_traits(path)


def test_written_and_read_it_is_the_same(tmp_path: Path) -> None:
    write_traits(tmp_path / "t.safetensors", load_traits())
    again = load_traits(tmp_path / "t.safetensors")
    for name in ("mesh", "faces", "female", "age"):
        assert (getattr(again, name) == getattr(load_traits(), name)).all()


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [("--faces none --out run", 3, "--faces none"), ("--faces . --out file", 2, "--out file")],
)
def test_wrong_words_are_named(
    words: str,
    code: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert main(["train", "traits", *words.split()]) == code
    assert says in capsys.readouterr().err and not (tmp_path / "run").exists()
