"""Words on the command line -> settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from vidanon.cli import options
from vidanon.config import RunConfig
from vidanon.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0.0),
        ("90", 90.0),
        ("1.25", 1.25),
        (".5", 0.5),
        ("1:30", 90.0),
        ("00:01:30.500", 90.5),
        ("100:00:00", 360000.0),
    ],
)
def test_seconds(text: str, expected: float) -> None:
    assert options.seconds(text, "--start-time") == expected


@pytest.mark.parametrize("text", ["", "abc", "-1", "1:75", "1:99:00", "1:2:3:4", "nan", "inf", "1e3", "1,5", "1:-2"])
def test_no_seconds(text: str) -> None:
    with pytest.raises(UsageError, match="--start-time"):
        options.seconds(text, "--start-time")


def test_track_ids() -> None:
    assert options.track_ids("3, 1,3", "--keep") == frozenset({1, 3})
    for text in ("", "a", "0", "-1", "1,,2", "1;2"):
        with pytest.raises(UsageError, match="--keep"):
            options.track_ids(text, "--keep")


@pytest.mark.parametrize(("text", "expected"), [("1280", 1280), ("1280x720", 1280), ("720X1280", 1280)])
def test_side(text: str, expected: int) -> None:
    assert options.side(text) == expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [("mask", "mask"), ("solid", "mask"), ("mosaic", "pixelate"), ("Pixelate", "pixelate"), ("blur", "blur")],
)
def test_mode(word: str, expected: str) -> None:
    assert options.mode(word) == expected


def test_unknown_mode_lists_all() -> None:
    with pytest.raises(UsageError) as caught:
        options.mode("swirl")
    assert all(name in str(caught.value) for name in (*options.modes(), *options.MODE_ALIASES))


@pytest.mark.parametrize(
    ("name", "provider", "expected"),
    [
        (None, None, None),
        ("cpu", None, "cpu"),
        (None, "CUDAExecutionProvider", "cuda"),
        (None, "CPU", "cpu"),
        ("cuda:1", "cuda", "cuda:1"),
    ],
)
def test_device(name: str | None, provider: str | None, expected: str | None) -> None:
    assert options.device(name, provider) == expected


def test_device_contradiction() -> None:
    with pytest.raises(UsageError, match="disagree"):
        options.device("cpu", "cuda")
    with pytest.raises(UsageError, match="not known"):
        options.device(None, "TensorrtExecutionProvider")


def test_nothing_given_is_the_default() -> None:
    assert options.make_config(None, dict.fromkeys(options.SETTINGS)) == RunConfig()


def test_every_option_reaches_its_setting() -> None:
    given: dict[str, Any] = {
        "--mode": "mosaic", "--shape": "hull", "--mask-scale": 1.7, "--cells": 4, "--blur": 0.5, "--texture": 0.3,
        "--detector": "yunet",
        "--min-face": 33, "--thresh": 0.4, "--max-side": 640, "--every": 3, "--keep": frozenset({2}),
        "--redact": frozenset({1}), "--start-time": 1.0, "--end-time": 2.0, "--no-audio": False, "--encoder": "libx265",
        "--quality": 30.0, "--preset": "fast", "--verify": "full", "--salvage": True, "--seed": 9, "--device": "cpu",
        "--threads": 2, "--donors": Path("people"), "--project-key": "a long secret",
    }  # fmt: skip
    assert set(given) == set(options.SETTINGS)
    config, default = options.make_config(None, given), RunConfig()
    for flag, value in given.items():
        seen, before = config, default
        for name in options.SETTINGS[flag].split("."):
            seen, before = getattr(seen, name), getattr(before, name)
        if isinstance(seen, SecretStr):
            assert str(seen) != value, "a secret is not written out with the settings"
            seen = seen.get_secret_value()
        assert seen == ("pixelate" if flag == "--mode" else value), flag
        assert seen != before, flag


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("detect: {min_face: 40}\nprotect: {cells: 3}\n")
    config = options.make_config(path, {"--min-face": 20})
    assert (config.detect.min_face, config.protect.cells) == (20, 3)


def test_problems_name_options_and_all_of_them() -> None:
    with pytest.raises(UsageError) as caught:
        options.make_config(None, {"--min-face": 1, "--cells": 0, "--device": "tpu"})
    text = str(caught.value)
    assert all(f"{flag}: " in text for flag in ("--min-face", "--cells", "--device")) and "\n" not in text


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"--start-time": 3.0, "--end-time": 2.0}, "after"),
        ({"--keep": frozenset({1, 2}), "--redact": frozenset({2})}, "track 2"),
    ],
)
def test_contradictions(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        options.make_config(None, given)


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "configs").glob("*.yaml")), ids=lambda p: p.name)
def test_shipped_configs_are_valid(path: Path) -> None:
    assert options.make_config(path, {}) != RunConfig()


def test_a_secret_comes_from_the_line_or_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("  from a file\n")
    assert options.secret(f"@{path}", "--project-key") == "from a file"
    assert options.secret("as it is", "--project-key") == "as it is" and options.secret(None, "--project-key") is None
    with pytest.raises(UsageError, match="give a file that holds the secret"):
        options.secret(f"@{tmp_path / 'none'}", "--project-key")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not a text file"):
        options.secret(f"@{path}", "--project-key")
    with pytest.raises(UsageError, match="--project-key"):
        options.make_config(None, {"--project-key": "short"})
