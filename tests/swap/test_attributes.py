"""What a face is likely to be read as: probes by hand, skins of one colour, and the shipped probes on the donors."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch

from vidanon.errors import ModelError
from vidanon.faces.mesh_points import five
from vidanon.recognise.student import load_student
from vidanon.runtime.device import choose_runtime
from vidanon.swap.attributes import (
    AGES,
    PARTS,
    SIDE,
    Attributes,
    features,
    load_attributes,
    tones,
    views,
    write_attributes,
)
from vidanon.swap.donors import load_donors

PALE, OLIVE, DARK = (238, 205, 185), (190, 140, 105), (70, 45, 32)


def skin(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((1, SIDE, SIDE, 3), colour, np.uint8)


def test_tones_fall_from_pale_to_dark() -> None:
    pale, olive, dark = (float(tones(skin(colour))[0]) for colour in (PALE, OLIVE, DARK))
    assert pale > 45 > olive > 0 > -30 > dark


def test_the_wide_view_shows_the_same_face_smaller() -> None:
    donor = load_donors()[0]
    near, wide = views(donor.image, five(donor.points)[:, :2])
    # the near crop is what lies in the middle of the wide one, at .74 of its size, 10 px higher
    size = round(0.74 * SIDE)
    x0, y0 = round(56 - 0.74 * 56), round(72 - 0.74 * 72 - 10)
    small = cv2.resize(near, (size, size), interpolation=cv2.INTER_AREA).astype(float)
    again = wide[y0 : y0 + size, x0 : x0 + size].astype(float)
    assert np.corrcoef(small.ravel(), again.ravel())[0, 1] > 0.98
    student = load_student(choose_runtime("cpu", 1))
    known = features(student, np.stack([near, wide])[None])
    assert known.shape == (1, 2 * 192 * PARTS**2)
    np.testing.assert_allclose(known[:, 192 * PARTS**2 :], student.pooled(wide[None], PARTS), atol=0.05)


def test_a_shine_does_not_make_a_skin_paler() -> None:
    face = skin(DARK)
    face[:, 26:40, 42:60] = 255  # on the forehead
    assert tones(face)[0] == pytest.approx(tones(skin(DARK))[0], abs=0.5)


def test_blue_light_stays_an_angle() -> None:
    assert -90 < tones(skin((40, 60, 200)))[0] < 90


@pytest.mark.parametrize("crops", [np.zeros((1, 96, 96, 3), np.uint8), np.zeros((1, SIDE, SIDE, 3), np.float32)])
def test_tones_want_the_recognisers_crops(crops: np.ndarray) -> None:
    with pytest.raises(ValueError, match="crops"):
        tones(crops)


def test_a_guess_is_the_probes_answer_over_all_looks() -> None:
    probes = Attributes(np.array([2, 0, 0], np.float32), np.array([0, 10, 40], np.float32))
    looks = np.array([[1, 0], [0, 1]], np.float32)
    female, age, tone = probes.guess(looks, np.concatenate([skin(PALE)] * 2))
    assert female == pytest.approx(1 / (1 + np.exp(-1)))
    assert age == pytest.approx(45)
    assert tone == pytest.approx(tones(skin(PALE))[0])


def test_an_age_stays_in_range() -> None:
    probes = Attributes(np.zeros(2, np.float32), np.array([1000, 0], np.float32))
    assert probes.guess(np.ones((1, 1), np.float32), skin(PALE)).age == AGES[1]
    assert probes.guess(-np.ones((1, 1), np.float32), skin(PALE)).age == AGES[0]


@pytest.mark.parametrize(("features", "crops"), [((0, 2), 0), ((2, 2), 1), ((1, 3), 1), ((2,), 2)])
def test_a_guess_wants_features_and_their_crops(features: tuple[int, ...], crops: int) -> None:
    probes = Attributes(np.zeros(3, np.float32), np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="features"):
        probes.guess(np.zeros(features, np.float32), np.zeros((crops, SIDE, SIDE, 3), np.uint8))


def test_written_probes_come_back(tmp_path: Path) -> None:
    path = tmp_path / "probes.safetensors"
    write_attributes(path, np.array([1, 2, 3], np.float32), np.array([4, 5, 6], np.float32))
    embedding = np.array([[0.6, 0.8]], np.float32)
    assert load_attributes(path).guess(embedding, skin(PALE)).age == pytest.approx(AGES[0])
    assert load_attributes(path).dimensions == 2


@pytest.mark.parametrize(
    "tensors",
    [
        {"female": torch.zeros(3)},
        {"female": torch.zeros(3), "age": torch.zeros(4)},
        {"female": torch.zeros(3, 3), "age": torch.zeros(3, 3)},
        {"female": torch.tensor([0.0, float("nan")]), "age": torch.zeros(2)},
    ],
)
def test_another_file_is_refused(tensors: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "probes.safetensors"
    safetensors.torch.save_file(tensors, path)
    with pytest.raises(ModelError, match="get the original"):
        load_attributes(path)


def test_the_shipped_probes_read_the_donors_as_they_were_made() -> None:
    student, probes, donors = load_student(choose_runtime("cpu", 1)), load_attributes(), load_donors()
    seen = np.stack([views(donor.image, five(donor.points)[:, :2]) for donor in donors])
    known = features(student, seen)
    looks = [probes.guess(known[i : i + 1], seen[i : i + 1, 0]) for i in range(len(donors))]
    right = [(look.female > 0.5) == (donor.female > 0.5) for look, donor in zip(looks, donors, strict=True)]
    assert np.mean(right) > 0.9
    assert np.mean([abs(look.age - donor.age) for look, donor in zip(looks, donors, strict=True)]) < 9
    assert max(abs(look.tone - donor.tone) for look, donor in zip(looks, donors, strict=True)) < 3
