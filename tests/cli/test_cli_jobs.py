"""Which files are read and where results go."""

from __future__ import annotations

from pathlib import Path

import pytest

from vidanon.cli.jobs import IMAGE, WRITABLE, plan_jobs
from vidanon.errors import InputError, OutputError, UsageError, VidanonError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.mp4", "b.MOV", "sub/c.mkv", "sub/d.gif", "sub/notes.txt", ".hidden.mp4", "a_anonymized.mp4"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pairs(words: list[str], output: str | None = None, neutral: bool = False) -> dict[str, str]:
    return {str(j.source): str(j.output) for j in plan_jobs(words, output, neutral=neutral).jobs}


@pytest.mark.parametrize(
    ("words", "output", "expected"),
    [
        (["in/a.mp4", "out.mp4"], None, {"in/a.mp4": "out.mp4"}),
        (["in/a.mp4"], "out.mkv", {"in/a.mp4": "out.mkv"}),
        (["in/a.mp4"], None, {"in/a.mp4": "in/a_anonymized.mp4"}),
        (["in/b.MOV"], None, {"in/b.MOV": "in/b_anonymized.MOV"}),
        (["in/sub/d.gif"], None, {"in/sub/d.gif": "in/sub/d_anonymized.mp4"}),
        (["in/a_anonymized.mp4"], None, {"in/a_anonymized.mp4": "in/a_anonymized_anonymized.mp4"}),
        (
            ["in", "out"],
            None,
            {
                "in/a.mp4": "out/a.mp4",
                "in/b.MOV": "out/b.MOV",
                "in/sub/c.mkv": "out/sub/c.mkv",
                "in/sub/d.gif": "out/sub/d.mp4",
            },
        ),
        (["in/*.mp4", "out"], None, {"in/a.mp4": "out/a.mp4"}),
        (["in/**/*.mkv"], "out", {"in/sub/c.mkv": "out/c.mkv"}),
        (["in/a.mp4", "in/b.MOV", "new/"], None, {"in/a.mp4": "new/a.mp4", "in/b.MOV": "new/b.MOV"}),
        (
            ["in/a.mp4", "in/b.MOV", "in/sub/c.mkv"],
            None,
            {
                "in/a.mp4": "in/a_anonymized.mp4",
                "in/b.MOV": "in/b_anonymized.MOV",
                "in/sub/c.mkv": "in/sub/c_anonymized.mkv",
            },
        ),
        (["in/a.mp4", "in/b.MOV"], "out", {"in/a.mp4": "out/a.mp4", "in/b.MOV": "out/b.MOV"}),
        (
            ["in/sub", "in/sub"],
            None,
            {"in/sub/c.mkv": "in/sub/c_anonymized.mkv", "in/sub/d.gif": "in/sub/d_anonymized.mp4"},
        ),
        (["in/a.mp4", "in/a.mp4"], "out", {"in/a.mp4": "out/a.mp4"}),
    ],
)  # fmt: skip
def test_places(folder: Path, words: list[str], output: str | None, expected: dict[str, str]) -> None:
    assert pairs(words, output) == expected


def test_results_inside_the_input_folder_are_not_done_again(folder: Path) -> None:
    (folder / "in/out").mkdir()
    (folder / "in/out/a.mp4").write_bytes(b"x")
    assert set(pairs(["in"], "in/out")) == {"in/a.mp4", "in/b.MOV", "in/sub/c.mkv", "in/sub/d.gif"}


def test_neutral_names_say_nothing_of_the_source(folder: Path) -> None:
    assert pairs(["in/a.mp4"], neutral=True) == {"in/a.mp4": "in/vidanon_0001.mp4"}
    (folder / "in/vidanon_0001.mp4").write_bytes(b"x")
    assert pairs(["in/a.mp4"], neutral=True) == {"in/a.mp4": "in/vidanon_0002.mp4"}
    assert set(pairs(["in/sub"], "out", neutral=True).values()) == {"out/vidanon_0001.mkv", "out/vidanon_0002.mp4"}


@pytest.mark.parametrize(
    ("words", "output", "error", "says"),
    [
        ([], None, UsageError, "no input"),
        ([""], None, UsageError, "empty"),
        (["in/a.mp4", ""], None, UsageError, "empty"),
        (["-"], None, UsageError, "only files"),
        (["rtsp://user:secret@host/x"], None, UsageError, "only files"),
        (["gone.mp4"], None, InputError, "no such file"),
        (["in/*.webm"], None, InputError, "no file matches"),
        (["empty"], None, InputError, "no video"),
        (["in/a.mp4", "in"], None, OutputError, "is a folder"),
        (["in/a.mp4", "new/"], None, OutputError, "is a folder"),
        (["in", "in/a.mp4"], None, OutputError, "is a file"),
        (["in/a.mp4", "other/a.mp4"], "out", UsageError, "would both become"),
    ],
)
def test_refusals(folder: Path, words: list[str], output: str | None, error: type[VidanonError], says: str) -> None:
    (folder / "empty").mkdir()
    (folder / "other").mkdir()
    (folder / "other/a.mp4").write_bytes(b"x")
    with pytest.raises(error, match=says) as caught:
        plan_jobs(words, output)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_neutral_names_with_an_output_name_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError):
        plan_jobs(["in/a.mp4", "out.mp4"], None, neutral=True)


def test_kept_extensions_are_those_that_can_be_written() -> None:
    from vidanon.media.containers import STILL_EXTENSIONS, VIDEO_EXTENSIONS

    assert {f".{e}" for e in WRITABLE} == {*VIDEO_EXTENSIONS, *STILL_EXTENSIONS}
    assert {f".{e}" for e in IMAGE} == set(STILL_EXTENSIONS)
