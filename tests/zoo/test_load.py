"""Tensors only: whatever else a file holds, it is refused and does not run."""

from __future__ import annotations

import os
import pickle
import zipfile

import pytest
import safetensors.torch
import torch

from vidanon.errors import ModelError
from vidanon.zoo import resolve
from vidanon.zoo.load import load_state

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.int64)}


class Trap:
    """Makes a folder when unpickled."""

    def __init__(self, path) -> None:
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def refused(path):
    with pytest.raises(ModelError) as caught:
        load_state(path)
    assert caught.value.exit_code == 8 and "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_tensors_come_back(tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    if suffix == ".pt":
        torch.save(TENSORS, path)
    else:
        safetensors.torch.save_file(TENSORS, path)
    state = load_state(path)
    assert set(state) == set(TENSORS)
    assert all(torch.equal(state[name], TENSORS[name]) for name in TENSORS)


def test_published_weights_load():
    assert load_state(resolve("mtcnn-pnet"))["conv1.weight"].shape == (10, 3, 3, 3)


@pytest.mark.parametrize("write", [lambda o, p: torch.save(o, p), lambda o, p: p.write_bytes(pickle.dumps(o))])
def test_code_in_a_pickle_does_not_run(tmp_path, write):
    path, trap = tmp_path / "m.pt", tmp_path / "sprung"
    write({"a": torch.ones(1), "b": Trap(trap)}, path)
    refused(path)
    assert not trap.exists()


def test_other_content(tmp_path):
    path = tmp_path / "m.pt"
    for content in (b"", b"hello", b"PK\x03\x04broken", os.urandom(200), pickle.dumps({"a": 1})[:-3]):
        path.write_bytes(content)
        refused(path)
    for value in ({"a": 1}, [torch.ones(1)], torch.ones(1), {1: torch.ones(1)}):
        torch.save(value, path)
        refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme", "no model")
    refused(path)


def test_cut_short(tmp_path):
    for suffix, save in ((".pt", torch.save), (".safetensors", safetensors.torch.save_file)):
        path = tmp_path / f"m{suffix}"
        save(TENSORS, path)
        path.write_bytes(path.read_bytes()[:-20])
        refused(path)


def test_missing_and_folder(tmp_path):
    refused(tmp_path / "none.pt")
    refused(tmp_path / "none.safetensors")
    refused(tmp_path)
