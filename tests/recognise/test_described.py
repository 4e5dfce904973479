"""A network and a description file make a recogniser; what does not fit together is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from recognisekit import SIDE, Net, Saver, describe, patches, script

from vidanon.errors import ModelError
from vidanon.recognise.adapter import BATCH
from vidanon.recognise.base import ARCFACE_112, DLIB_150
from vidanon.recognise.described import is_torchscript, load_described
from vidanon.recognise.description_file import description_of, known_recognisers
from vidanon.runtime.device import choose_runtime
from vidanon.zoo.fetch import file_hash


@pytest.fixture(scope="module")
def runtime():
    return choose_runtime("cpu", 1)


@pytest.fixture
def model(tmp_path):
    return script(tmp_path / "halves.pt")


def load(model, runtime, **changes):
    describe(model, **changes)
    return load_described(model, runtime)


def means(batch):
    values = batch.astype(np.float64)
    return np.concatenate([values[:, :16].mean((1, 2)), values[:, 16:].mean((1, 2))], axis=1)


def test_embeds_as_the_network_does(model, runtime):
    recogniser = load(model, runtime)
    batch = patches(2 * BATCH + 5)
    found = recogniser.embed(batch)
    assert found.shape == (2 * BATCH + 5, 6) and found.dtype == np.float32
    np.testing.assert_allclose(found, means(batch), rtol=1e-4)
    np.testing.assert_array_equal(found[40:41], recogniser.embed(batch[40:41]))
    assert recogniser.embed(batch[:0]).shape == (0, 6)


def test_cosine_means_unit_norm(model, runtime):
    found = load(model, runtime, metric="cosine").embed(patches(3))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_channels_offset_and_scale_are_the_descriptions(model, runtime):
    batch = patches(4)
    found = load(model, runtime, channels="bgr", offset=127.5, scale=128.0).embed(batch)
    np.testing.assert_allclose(found, (means(batch[..., ::-1]) - 127.5) / 128, atol=1e-4)


def test_other_patches_are_refused(model, runtime):
    recogniser = load(model, runtime)
    for bad in (patches(2, 31), patches(2).astype(np.float32), patches(2)[0], patches(2).transpose(0, 3, 1, 2)):
        with pytest.raises(ValueError, match=r"\(N, 32, 32, 3\) uint8 expected"):
            recogniser.embed(bad)


def test_the_description_is_read(model, runtime):
    about = load(model, runtime, teachers=["facenet"]).description
    assert about.name == "halves" and about.sha256 == file_hash(model) and about.teachers == ("facenet",)
    assert about.thresholds == {0.01: -3.5, 0.001: -1.5} and about.measured_on == "nothing"
    eyes = np.array(about.template)[:2]
    assert np.allclose((eyes + 0.5) / SIDE, (np.array(ARCFACE_112)[:2] + 0.5) / 112)


def test_toml_and_names_beside(tmp_path, runtime):
    model = script(tmp_path / "halves.torchscript.pt")
    (tmp_path / "halves.toml").write_text(
        f'name = "t"\nsha256 = ["{"0" * 64}", "{file_hash(model)}"]\nsize = 32\ntemplate = [[1, 2], [3, 2], [2, 3], '
        '[1, 4], [3, 4]]\nmetric = "l2"\nthresholds = { "0.01" = -2 }\n'
    )
    about = load_described(model, runtime).description
    assert about.name == "t" and about.template[0] == (1, 2) and about.thresholds == {0.01: -2}


def test_a_file_that_nothing_describes_is_not_run(model, runtime):
    with pytest.raises(ModelError, match=rf"{file_hash(model)}.*write halves.toml"):
        load_described(model, runtime)


def test_an_altered_file_is_not_run(model, runtime):
    describe(model)
    script(model, torch.nn.Sequential(Net(), torch.nn.Linear(6, 6)))
    with pytest.raises(ModelError, match="describes another file"):
        load_described(model, runtime)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"size": 8}, "size"),
        ({"size": True}, "size"),
        ({"name": ""}, "name"),
        ({"sha256": "abc"}, "sha256"),
        ({"sha256": None}, "sha256"),
        ({"metric": "euclid"}, "metric"),
        ({"channels": "grey"}, "channels"),
        ({"scale": 0}, "scale"),
        ({"offset": "x"}, "offset"),
        ({"template": "round"}, "template"),
        ({"template": [[1, 2]] * 4}, "template"),
        ({"thresholds": {"2": 0.5}}, "thresholds"),
        ({"thresholds": [0.5]}, "thresholds"),
        ({"teachers": "facenet"}, "teachers"),
        ({"licence": 3}, "licence"),
        ({"colour": "rgb"}, "unknown key colour"),
    ],
)
def test_a_wrong_description_says_what_is_wrong(model, changes, named):
    describe(model, **changes)
    with pytest.raises(ModelError, match=named) as caught:
        description_of(model, file_hash(model))
    assert "\n" not in str(caught.value)


def test_an_unreadable_description(model):
    for text in ("{", "[1]"):
        model.with_suffix(".json").write_text(text)
        with pytest.raises(ModelError, match="halves.json"):
            description_of(model, file_hash(model))


def test_a_network_that_writes_files_is_refused(tmp_path, runtime, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = script(tmp_path / "saver.pt", Saver())
    with pytest.raises(ModelError, match="aten::save.*not run"):
        load(model, runtime)
    assert not (tmp_path / "stolen.pt").exists()


def test_what_is_no_recogniser_of_that_size_is_refused(tmp_path, runtime):
    flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 4))
    assert load(script(tmp_path / "flat.pt", flat), runtime).embed(patches(1)).shape == (1, 4)
    with pytest.raises(ModelError, match="check size"):
        load(script(tmp_path / "other.pt", flat), runtime, size=64)
    with pytest.raises(ModelError, match="not 2 embeddings"):
        load(script(tmp_path / "picture.pt", torch.nn.Identity()), runtime)


def test_what_is_no_network_is_refused(tmp_path, runtime):
    for name, content in (("a.onnx", b"not a network"), ("b.pt", b"not a network"), ("c.bin", b"x" * 40)):
        path = tmp_path / name
        path.write_bytes(content)
        describe(path)
        with pytest.raises(ModelError, match=name):
            load_described(path, runtime)
    with pytest.raises(ModelError, match="cannot be read"):
        load_described(tmp_path / "none.pt", runtime)


def test_a_state_dictionary_is_no_torchscript(tmp_path, model):
    torch.save({"w": torch.zeros(2)}, tmp_path / "state.pt")
    assert is_torchscript(model) and not is_torchscript(tmp_path / "state.pt")


def test_the_products_own_table():
    known = known_recognisers()
    assert {d.name for d in known.values()} == {"mobileface_v2", "mobileface_v3", "dlib_densenet"}
    for digest, about in known.items():
        assert about.sha256 == digest and about.measured_on and about.licence
        assert about.template == (DLIB_150 if about.name == "dlib_densenet" else ARCFACE_112)
        assert set(about.thresholds) == {0.01, 0.001} and about.thresholds[0.01] < about.thresholds[0.001]
