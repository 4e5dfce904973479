"""Models that are part of the program."""

from __future__ import annotations

import hashlib

import pytest

from vidanon.errors import ModelError, ModelUnavailable
from vidanon.zoo import fetch as fetch_module
from vidanon.zoo import load_registry, models_dir, resolve
from vidanon.zoo.load import load_metadata
from vidanon.zoo.registry import Model

CONTENT = b"weights"


@pytest.fixture
def registry(tmp_path, monkeypatch) -> dict[str, Model]:
    monkeypatch.delenv("VIDANON_MODELS", raising=False)
    monkeypatch.setattr(fetch_module, "models_dir", lambda: tmp_path)
    (tmp_path / "m.bin").write_bytes(CONTENT)
    digest = hashlib.sha256(CONTENT).hexdigest()
    return {"m": Model("m", digest, len(CONTENT), "MIT", "a test", file="m.bin")}


def test_found_beside_the_registry_offline_too(registry, tmp_path):
    assert registry["m"].shipped
    assert resolve("m", registry=registry) == resolve("m", registry=registry, offline=True) == tmp_path / "m.bin"


@pytest.mark.parametrize("content", [b"Weights", b"weights and more", b""])
def test_an_altered_file_is_refused(registry, tmp_path, content):
    (tmp_path / "m.bin").write_bytes(content)
    with pytest.raises(ModelError, match="reinstall vidanon") as caught:
        resolve("m", registry=registry)
    assert not isinstance(caught.value, ModelUnavailable)


def test_a_missing_file_is_named(registry, tmp_path):
    (tmp_path / "m.bin").unlink()
    with pytest.raises(ModelUnavailable, match=r"m\.bin is missing; reinstall"):
        resolve("m", registry=registry)
    with pytest.raises(ModelError, match="comes with the package vidanon"):
        fetch_module.fetch(registry["m"])


def test_own_folders_come_first(registry, tmp_path, monkeypatch):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "copy").write_bytes(CONTENT)
    monkeypatch.setenv("VIDANON_MODELS", str(mine))
    assert resolve("m", registry=registry) == mine / "copy"


ROW = """
[models.one]
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
size = 3
licence = "MIT"
purpose = "a test"
"""


def test_rows(tmp_path):
    path = tmp_path / "registry.toml"
    path.write_text(ROW + 'file = "one.bin"\n')
    assert load_registry(path)["one"].shipped
    for more, says in (
        ("", "file alone"),
        ('package = "numpy"\n', "file alone"),
        ('file = "../one.bin"\n', "without folders"),
        ("file = 3\n", "without folders"),
    ):
        path.write_text(ROW + more)
        with pytest.raises(ModelError, match=says):
            load_registry(path)


def test_every_shipped_model_is_there_with_its_card():
    shipped = [model for model in load_registry().values() if model.shipped]
    assert shipped
    for model in shipped:
        assert resolve(model.name, offline=True).name == model.file
        card = (models_dir() / f"{model.name}.md").read_text(encoding="utf-8")
        assert all(word in card for word in ("Licence", "Recipe", "Measured", "Limits", model.file))


def test_metadata_of_other_files(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(b"\xff" * 40)
    for name in ("a.safetensors", "none.safetensors"):
        with pytest.raises(ModelError, match=name):
            load_metadata(tmp_path / name)
