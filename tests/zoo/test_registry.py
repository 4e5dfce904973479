"""The table of model files."""

from __future__ import annotations

import pytest

from vidanon.errors import ModelError
from vidanon.zoo import load_registry, models_dir
from vidanon.zoo.registry import find

ROW = """
[models.one]
url = "https://example.org/one.onnx"
sha256 = "{sha}"
size = 3
licence = "MIT"
purpose = "a test"
"""


def write(tmp_path, text):
    path = tmp_path / "registry.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_shipped_registry():
    rows = load_registry()
    assert {"yunet", "mtcnn-pnet", "mtcnn-rnet", "mtcnn-onet"} <= set(rows)
    for name, model in rows.items():
        assert model.name == name and model.licence and model.purpose
    assert (models_dir() / "registry.toml").is_file()


def test_a_row(tmp_path):
    (model,) = load_registry(write(tmp_path, ROW.format(sha="0" * 64))).values()
    assert (model.name, model.size, model.consent, model.package) == ("one", 3, False, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not toml [", "not a readable"),
        ("[other]\n", "not a readable"),
        ("models = 3\n", "not a readable"),
        ("[models]\none = 3\n", "one"),
        (ROW.format(sha="0" * 63), "sha256"),
        (ROW.format(sha="A" * 64), "sha256"),
        (ROW.format(sha="0" * 64).replace("size = 3", "size = -1"), "size"),
        (ROW.format(sha="0" * 64).replace("size = 3", "size = true"), "size"),
        (ROW.format(sha="0" * 64).replace("https", "http"), "https"),
        (ROW.format(sha="0" * 64) + 'package = "numpy"\n', "either url or package"),
        (ROW.format(sha="0" * 64) + "colour = 1\n", "colour"),
        (ROW.format(sha="0" * 64).replace('licence = "MIT"\n', ""), "licence"),
    ],
)
def test_wrong_rows_are_named(tmp_path, text, says):
    with pytest.raises(ModelError, match=says) as caught:
        load_registry(write(tmp_path, text))
    assert caught.value.exit_code == 8 and "\n" not in str(caught.value)


def test_a_missing_registry(tmp_path):
    with pytest.raises(ModelError, match="reinstall"):
        load_registry(tmp_path / "none.toml")


def test_unknown_names_list_the_known():
    with pytest.raises(ModelError, match="yunet"):
        find("no-such-model")
