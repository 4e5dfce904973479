"""InceptionResnetV1 through its package's code, with weights of our own (untrained)."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from recognisekit import describe, patches

from vidanon.errors import ModelError, ModelUnavailable
from vidanon.recognise import facenet
from vidanon.recognise.assemble import make_recogniser
from vidanon.runtime.device import choose_runtime
from vidanon.zoo.fetch import file_hash


@pytest.fixture(scope="module")
def runtime():
    return choose_runtime("cpu", 1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file as the published ones: with the layer of the training's classes, which is not used."""
    torch.manual_seed(3)
    net = facenet._network().InceptionResnetV1(classify=True, num_classes=7)
    path = tmp_path_factory.mktemp("facenet") / "weights.pt"
    torch.save(net.state_dict(), path)
    net.classify = False
    return path, net.eval()


def test_embeds_as_the_package_does(weights, runtime):
    path, net = weights
    recogniser = make_recogniser(f"facenet:{path}", runtime)
    batch = patches(3, 160)
    with torch.inference_mode():
        wanted = net((torch.from_numpy(batch).permute(0, 3, 1, 2).float() - 127.5) / 128).numpy()
    found = recogniser.embed(batch)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert recogniser.description.sha256 == file_hash(path) and recogniser.description.size == 160
    assert recogniser.description.thresholds == {}  # nobody measured these weights
    assert make_recogniser(str(path), runtime).description == recogniser.description


def test_the_package_itself_is_not_run():
    facenet._network()
    assert "facenet_pytorch" not in sys.modules


def test_its_own_place_for_weights(weights, runtime, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ModelUnavailable, match="20180402-114759-vggface2.pt into"):
        make_recogniser("facenet", runtime, offline=True)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "20180402-114759-vggface2.pt").symlink_to(weights[0])
    assert make_recogniser("facenet", runtime, offline=True).embed(patches(1, 160)).shape == (1, 512)


def test_without_a_network_the_download_says_what_to_do(runtime, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def refuse(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(facenet._network(), "download_url_to_file", refuse)
    with pytest.raises(ModelUnavailable, match="no route to host.*facenet:PATH"):
        make_recogniser("facenet", runtime)


def test_a_description_beside_the_weights_brings_thresholds(weights, runtime, tmp_path):
    path = tmp_path / "mine.pt"
    path.write_bytes(weights[0].read_bytes())
    describe(path, name="mine", size=160, metric="cosine", offset=127.5, scale=128, thresholds={"0.01": 0.4})
    assert make_recogniser(str(path), runtime).description.thresholds == {0.01: 0.4}
    describe(path, size=1)
    with pytest.raises(ModelError, match="size"):
        make_recogniser(str(path), runtime)


def test_other_files_are_refused(runtime, tmp_path):
    path = tmp_path / "other.pt"
    torch.save({"w": torch.zeros(3)}, path)
    with pytest.raises(ModelError, match="not the weights of an InceptionResnetV1"):
        make_recogniser(f"facenet:{path}", runtime)
    torch.save(torch.nn.Linear(2, 2), path)
    with pytest.raises(ModelError, match="tensors only"):
        make_recogniser(f"facenet:{path}", runtime)
