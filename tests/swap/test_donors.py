"""The donors' file: what is written comes back, what is not a donors' file is refused, and the user's own portraits."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch

from vidanon.detect.yunet import YuNet
from vidanon.errors import ModelError, UsageError
from vidanon.faces.mesh import load_mesh
from vidanon.faces.mesh_points import LEFT_LIDS, LIPS, RIGHT_LIDS, eye_distance, openness, yaw
from vidanon.recognise.student import load_student
from vidanon.runtime.device import choose_runtime
from vidanon.swap.base import Donor
from vidanon.swap.donors import NAME, donors_from_folder, load_donors, write_donors
from vidanon.swap.portraits import EYES, MOST_LIPS, MOST_YAW, SIDE, Portrait, face_crop
from vidanon.zoo.fetch import resolve

KEY = "vidanon.donors"


def donor(name: str = "a", side: int = 64, seed: int = 0) -> Donor:
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 255, side, dtype=np.uint8)
    image = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], np.uint8(90)), 2)
    embedding = rng.normal(size=8).astype(np.float32)
    points = rng.uniform(0, side, (468, 3)).astype(np.float32)
    return Donor(name, image, points, 1.0, 33.0, -12.5, embedding / np.linalg.norm(embedding))


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "donors.safetensors"
    write_donors(path, [donor("a"), donor("b", side=48, seed=1)])
    return path


def test_what_is_written_comes_back(written: Path) -> None:
    first, second = load_donors(written)
    assert (first.name, second.name) == ("a", "b")
    assert first.image.shape == (64, 64, 3) and second.image.shape == (48, 48, 3)
    assert np.abs(first.image.astype(int) - donor().image).mean() < 2  # red is red: channels in order
    np.testing.assert_array_equal(first.points, donor().points)
    assert (first.female, first.age, first.tone) == (1.0, 33.0, -12.5)
    np.testing.assert_allclose(first.embedding, donor().embedding, atol=1e-3)
    assert np.linalg.norm(first.embedding) == pytest.approx(1, abs=1e-6)
    assert not list(written.parent.glob(".*"))


def test_names_must_differ_and_there_must_be_some(tmp_path: Path) -> None:
    for donors in ([], [donor(), donor()]):
        with pytest.raises(ValueError, match="names"):
            write_donors(tmp_path / "d.safetensors", donors)
    with pytest.raises(ValueError, match="picture"):
        write_donors(tmp_path / "d.safetensors", [replace(donor(), image=np.zeros((8, 8), np.uint8))])


def altered(path: Path, **changes: object) -> Path:
    """The file with tensors, or ``head`` and ``pictures_at`` (first JPEG's bytes), changed."""
    tensors = safetensors.torch.load_file(path)
    with safetensors.safe_open(path, "pt") as file:
        head = json.loads(file.metadata()[KEY])
    head.update(changes.pop("head", {}))
    for name, value in changes.items():
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value(tensors[name]).contiguous()
    out = path.with_name("altered.safetensors")
    safetensors.torch.save_file(tensors, out, metadata={KEY: json.dumps(head)})
    return out


def poked(tensor: torch.Tensor, where: tuple[int, ...], value: float) -> torch.Tensor:
    tensor = tensor.clone()
    tensor[where] = value
    return tensor


@pytest.mark.parametrize(
    "changes",
    [
        {"head": {"names": []}},
        {"head": {"names": ["a"]}},
        {"head": {"names": ["a", "a"]}},
        {"head": {"names": [1, 2]}},
        {"head": {"names": None}},
        {"points": None},
        {"points": lambda t: t[:, :-1]},
        {"points": lambda t: poked(t, (0, 0, 0), float("nan"))},
        {"points": lambda t: poked(t, (0, 0, 0), 1e5)},
        {"embeddings": lambda t: t * 2},
        {"embeddings": lambda t: t[:, :0]},
        {"female": lambda t: t + 1},
        {"age": lambda t: poked(t, (1,), float("inf"))},
        {"offsets": lambda t: t.flip(0)},
        {"offsets": lambda t: t + 1},
        {"offsets": lambda t: t[:-1]},
        {"offsets": lambda t: t.float()},
        {"pictures": lambda t: t * 0},
        {"pictures": lambda t: torch.cat([t[:2], t[2:] * 0])},
        # a JPEG whose head asks for 65535 x 65535: refused before it is decoded
        {"pictures": lambda t: torch.cat([torch.tensor([255, 216, 255, 192, 0, 17, 8, 255, 255, 255, 255]), t[11:]]).to(torch.uint8)},  # noqa: E501
    ],
    ids=lambda changes: " ".join(changes),
)  # fmt: skip
def test_a_malformed_file_is_refused(changes: dict[str, object], written: Path) -> None:
    with pytest.raises(ModelError, match="get the original"):
        load_donors(altered(written, **changes))


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    with pytest.raises(ModelError):
        load_donors(path)
    path.write_bytes(b"\x08\0\0\0\0\0\0\0{      }")
    with pytest.raises(ModelError, match="get the original"):
        load_donors(path)
    path.write_bytes(b"donors")
    with pytest.raises(ModelError):
        load_donors(path)


@pytest.fixture(scope="module")
def shipped() -> tuple[Donor, ...]:
    return load_donors()


def test_the_shipped_donors_are_whole(shipped: tuple[Donor, ...]) -> None:
    assert resolve(NAME, offline=True).stat().st_size < 8_000_000
    assert 90 <= len(shipped) <= 100
    for one in shipped:
        assert one.image.shape == (SIDE, SIDE, 3)
        assert float(eye_distance(one.points)) == pytest.approx(EYES, rel=0.15)
        assert abs(float(yaw(one.points))) <= MOST_YAW
        assert float(openness(one.points, LIPS)) <= MOST_LIPS
        assert float(openness(one.points, RIGHT_LIDS + LEFT_LIDS)) > 0.06
        assert one.points[:, :2].min() > 0 and one.points[:, :2].max() < SIDE


def test_the_shipped_donors_are_balanced_and_varied(shipped: tuple[Donor, ...]) -> None:
    women = [one for one in shipped if one.female > 0.5]
    assert abs(len(women) * 2 - len(shipped)) <= len(shipped) // 8
    for half in (women, [one for one in shipped if one.female <= 0.5]):
        tones, ages = np.array([one.tone for one in half]), np.array([one.age for one in half])
        assert (tones < -10).sum() >= 4 and (tones > 30).sum() >= 4
        assert (ages < 32).sum() >= 4 and (ages > 58).sum() >= 4


def test_the_shipped_embeddings_are_the_students(shipped: tuple[Donor, ...]) -> None:
    student = load_student(choose_runtime("cpu", 1))
    some = shipped[::7]
    again = student.embed(np.stack([face_crop(Portrait(one.image, one.points), student) for one in some]))
    assert ((again * np.stack([one.embedding for one in some])).sum(1) > 0.97).all()


def test_the_shipped_donors_are_unlike_one_another(shipped: tuple[Donor, ...]) -> None:
    embeddings = np.stack([one.embedding for one in shipped])
    pairs = (embeddings @ embeddings.T)[np.triu_indices(len(shipped), 1)]
    assert (pairs > load_student(choose_runtime("cpu", 1)).description.thresholds[0.01]).mean() < 0.15


def test_a_folder_of_portraits(test_data: Path, tmp_path: Path) -> None:
    with tarfile.open(test_data / "faces/donors384.tar") as archive:
        for member in archive.getmembers():
            if Path(member.name).stem in ("female_002", "female_003", "female_098", "male_012"):
                (tmp_path / Path(member.name).name).write_bytes(archive.extractfile(member).read())
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("not looked at")
    cv2.imwrite(str(tmp_path / "empty.jpg"), np.full((300, 300, 3), 127, np.uint8))
    two = cv2.imread(str(tmp_path / "male_012.jpg"))
    cv2.imwrite(str(tmp_path / "two.jpg"), np.concatenate([two, two], 1))
    large = cv2.resize(two, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "z_large.jpg"), large)
    runtime = choose_runtime("cpu", 1)
    detector = YuNet(test_data / "detectors/yunet_n_dynamic.onnx", runtime)
    donors, left_out = donors_from_folder(tmp_path, load_mesh(runtime), detector, load_student(runtime))
    assert [one.name for one in donors] == ["female_002.jpg", "male_012.jpg", "z_large.jpg"]
    assert donors[0].female > 0.9 and donors[1].female < 0.1
    assert donors[0].image.shape == (SIDE, SIDE, 3) and donors[2].image.shape == (768, 768, 3)
    for one in donors:
        assert float(eye_distance(one.points)) == pytest.approx(EYES * one.image.shape[0] / SIDE, rel=0.1)
    assert float(donors[1].embedding @ donors[2].embedding) > 0.9  # the same face
    reasons = dict(left_out)
    assert "turned" in reasons["female_003.jpg"] and "small" in reasons["female_098.jpg"]
    assert "decoded" in reasons["broken.png"] and reasons["empty.jpg"] == "no face in it"
    assert "more than one" in reasons["two.jpg"]
    assert len(reasons) == len(left_out) == 5


def test_a_folder_with_nothing_to_use(test_data: Path, tmp_path: Path) -> None:
    runtime = choose_runtime("cpu", 1)
    parts = load_mesh(runtime), YuNet(test_data / "detectors/yunet_n_dynamic.onnx", runtime), load_student(runtime)
    with pytest.raises(UsageError, match="No such file"):
        donors_from_folder(tmp_path / "none", *parts)
    with pytest.raises(UsageError, match="no .jpg"):
        donors_from_folder(tmp_path, *parts)
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((90, 90, 3), 127, np.uint8))
    with pytest.raises(UsageError, match=r"grey\.png: no face in it") as raised:
        donors_from_folder(tmp_path, *parts)
    assert "\n" not in str(raised.value) and "synthetic" in str(raised.value)
