"""The run command around a stand-in for the core: what is called, said, written and returned."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vidanon import errors
from vidanon.cli import summary
from vidanon.cli.main import main
from vidanon.config import RunConfig
from vidanon.progress import Progress
from vidanon.types import RowState, RunReport


class Core:
    """Stands in for vidanon.build: notes the calls, and writes an output or fails as told by the source's name."""

    def __init__(self) -> None:
        self.calls: list[tuple[Path, Path, RunConfig, dict[str, Any]]] = []
        self.failures: dict[str, BaseException] = {}
        self.warnings = ["the audio has a gap"]

    def run_file(self, source: Path, output: Path, config: RunConfig, **more: Any) -> RunReport:
        self.calls.append((source, output, config, more))
        if source.name in self.failures:
            raise self.failures[source.name]
        for done in range(0, 101, 20):
            more["progress"](Progress("analyse", done, 100, done / 50))
        output.write_bytes(b"protected")
        return RunReport(
            mode=config.protect.mode,
            device="cpu, 2 workers",
            runtime="torch",
            detectors=["mtcnn"],
            frames=100,
            frames_with_faces=80,
            tracks=2,
            faces=120,
            face_states={"detected": 100, "backfilled": 20},
            covered={"NaN in the patch": 3},
            fallbacks=["yunet is not on this machine: more small faces are missed"],
            warnings=[*self.warnings],
            segments=2,
            segments_retried=1,
            verify={"mode": "fast"},
            audio=["track 1: copied"],
            encoder="libx264",
            seconds={"analyse": 2.0, "render": 1.0},
            fps=33.3,
        )


@pytest.fixture
def core(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Core:
    core = Core()
    module = ModuleType("vidanon.build")
    module.run_file = core.run_file  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vidanon.build", module)
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        (tmp_path / name).write_bytes(b"source")
    return core


Out = Callable[[], tuple[str, str]]


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Out:
    return lambda: tuple(capsys.readouterr())  # type: ignore[return-value]


def test_run_is_the_default_command(core: Core) -> None:
    assert main(["a.mp4", "x.mp4", "--mode", "blur"]) == 0
    assert main(["run", "a.mp4", "y.mp4", "-m", "blur"]) == 0
    assert main(["--mode", "blur", "a.mp4", "-o", "z.mp4"]) == 0
    assert [(str(s), str(o), c.protect.mode) for s, o, c, _ in core.calls] == [
        ("a.mp4", "x.mp4", "blur"),
        ("a.mp4", "y.mp4", "blur"),
        ("a.mp4", "z.mp4", "blur"),
    ]


def test_the_summary_says_what_happened(core: Core, out: Out) -> None:
    assert main(["a.mp4", "x.mp4", "--report", "r.json"]) == 0
    text, err = out()
    for fact in (
        "x.mp4", "120 faces of 2 tracks", "80 of 100 frames", "mode swap", "seen 100", "before the first sight 20",
        "3 faces by a solid shape: NaN in the patch", "mtcnn on cpu, 2 workers", "more small faces are missed",
        "2 segments decoded again", "1 done again", "track 1: copied", "libx264", "33.3 frames a second",
        "analyse 2.0 s", "r.json", "body, clothes", "voices too",
    ):  # fmt: skip
        assert fact in text, fact
    assert "vidanon: warning: the audio has a gap" in err


def test_every_state_has_words() -> None:
    assert set(summary.STATES) == {state.name.lower() for state in RowState}


def test_a_run_without_faces_says_so(core: Core, out: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["vidanon.build"], "run_file", lambda *a, **k: RunReport(frames=5))
    assert main(["a.mp4", "x.mp4"]) == 0
    text, _ = out()
    assert "no face was found" in text and "was not looked at" in text


def test_quiet_says_only_warnings(core: Core, out: Out) -> None:
    assert main(["a.mp4", "x.mp4", "--quiet"]) == 0
    assert out() == ("", "vidanon: warning: the audio has a gap\n")


def test_the_report_names_neither_folder_nor_source(core: Core, tmp_path: Path) -> None:
    core.warnings = [f"{tmp_path}/a.mp4: the audio has a gap", "a.mp4 is odd"]
    assert main([str(tmp_path / "a.mp4"), str(tmp_path / "x.mp4"), "--report", "r.json", "-q"]) == 0
    text = Path("r.json").read_text()
    content = json.loads(text)
    assert (content["output"], content["exit_code"], content["faces"]) == ("x.mp4", 0, 120)
    assert str(tmp_path) not in text and "a.mp4" not in text
    assert content["warnings"] == ["input: the audio has a gap", "input is odd"]


def test_extra_files_reach_the_core(core: Core) -> None:
    Path("plan.jsonl").write_text("{}")
    words = ["a.mp4", "x.mp4", "--tracks", "t.jsonl", "--tracks-in", "plan.jsonl", "--preview", "p.jpg"]
    assert main(words) == 0
    more = core.calls[0][3]
    assert (more["tracks_out"], more["tracks_in"], more["preview"]) == (
        Path("t.jsonl"),
        Path("plan.jsonl"),
        Path("p.jpg"),
    )


@pytest.mark.parametrize("kind", sorted(vars(errors)))
def test_every_error_is_one_line_and_its_exit_code(core: Core, out: Out, kind: str) -> None:
    error = getattr(errors, kind)
    if not (isinstance(error, type) and issubclass(error, errors.VidanonError)):
        return
    core.failures["a.mp4"] = error("it went\nwrong\x1b[31m; do that")
    assert main(["a.mp4", "x.mp4"]) == error.exit_code
    text, err = out()
    assert text == "" and re.fullmatch(r"vidanon: error: it went wrong.\[31m; do that\n", err), err
    assert not Path("x.mp4").exists()


def test_a_bug_is_exit_1_and_one_line(core: Core, out: Out) -> None:
    core.failures["a.mp4"] = ZeroDivisionError("division by zero")
    assert main(["a.mp4", "x.mp4"]) == 1
    _, err = out()
    assert err.count("\n") == 1 and "--debug" in err and "ZeroDivisionError" in err
    assert main(["a.mp4", "x.mp4", "--debug"]) == 1
    assert "Traceback" in out()[1]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["a.mp4", "b.mp4"], 5, "--force"),
        (["a.mp4", "a.mp4"], 2, "the input itself"),
        (["a.mp4", "link.mp4", "--force"], 2, "the input itself"),
        (["a.mp4", "hard.mp4", "--force"], 2, "the input itself"),
        (["a.mp4", "folder", "--force"], 5, "is a folder"),
        (["gone.mp4", "x.mp4"], 3, "no such file"),
        (["a.mp4", "x.mp4", "--mode", "swirl"], 2, "mask"),
        (["a.mp4", "x.mp4", "--bogus"], 2, "--bogus"),
        (["a.mp4", "x.mp4", "--mode"], 2, "--mode"),
        (["a.mp4", "x.mp4", "--min-face", "many"], 2, "--min-face"),
        (["a.mp4", "x.mp4", "--config", "gone.yaml"], 2, "gone.yaml"),
        (["a.mp4", "x.mp4", "--log-level", "loud"], 2, "--log-level"),
        (["a.mp4", "x.mp4", "--boxes", "--shape", "hull"], 2, "disagree"),
        (["a.mp4", "x.mp4", "--tracks-in", "gone.jsonl"], 3, "gone.jsonl"),
        (["a.mp4", "x.mp4", "--report", "b.mp4"], 5, "--force"),
        (["a.mp4", "x.mp4", "--report", "a.mp4", "--force"], 2, "the video itself"),
        (["a.mp4", "x.mp4", "--preview", "x.mp4"], 2, "the video itself"),
        (["a.mp4", "x.mp4", "--report", "r", "--tracks", "r"], 2, "same file"),
        (["a.mp4", "x.mp4", "--report", "gone/r.json"], 5, "--report"),
        (["a.mp4", "b.mp4", "-o", "out", "--tracks", "t"], 2, "one by one"),
        ([], 2, "no input"),
    ],
)
def test_refused_before_anything_is_read(core: Core, out: Out, words: list[str], code: int, says: str) -> None:
    os.symlink("a.mp4", "link.mp4")
    os.link("a.mp4", "hard.mp4")
    os.mkdir("folder")
    before = {p.name: p.read_bytes() for p in Path().iterdir() if p.is_file()}
    assert main(words) == code
    _, err = out()
    assert err.startswith("vidanon: error: ") and err.count("\n") == 1 and says in err, err
    assert core.calls == []
    assert {p.name: p.read_bytes() for p in Path().iterdir() if p.is_file()} == before


def test_force_overwrites(core: Core) -> None:
    Path("r.json").write_text("old")
    assert main(["a.mp4", "b.mp4", "--force", "--report", "r.json"]) == 0
    assert Path("b.mp4").read_bytes() == b"protected" and json.loads(Path("r.json").read_text())["frames"] == 100


def test_a_batch_goes_on_past_failures(core: Core, out: Out) -> None:
    core.failures["b.mp4"] = errors.DamagedInputError(f"{Path.cwd()}/b.mp4: frames are missing; add --salvage")
    core.failures["c.mp4"] = ZeroDivisionError("division by zero")
    assert main([".", "out", "--report", "r.json"]) == 10
    text, err = out()
    assert sorted(p.name for p in Path("out").iterdir()) == ["a.mp4"]
    assert "[1/3] out/a.mp4: 120 faces" in text and "body, clothes" in text
    assert "[2/3] b.mp4:" in err and "--salvage" in err and "[3/3] c.mp4:" in err and "--debug" in err
    assert err.rstrip().splitlines()[-1].startswith("vidanon: error: 2 of 3 files failed")
    report = json.loads(Path("r.json").read_text())
    assert [(f["output"], f["exit_code"], f.get("error")) for f in report["files"]] == [
        ("a.mp4", 0, None),
        ("b.mp4", 6, "DamagedInputError"),
        ("c.mp4", 1, "ZeroDivisionError"),
    ]
    assert str(Path.cwd()) not in Path("r.json").read_text()


def test_a_batch_does_not_overwrite(core: Core, out: Out) -> None:
    os.mkdir("out")
    Path("out/a.mp4").write_bytes(b"precious")
    assert main([".", "out"]) == 10
    assert Path("out/a.mp4").read_bytes() == b"precious"
    assert sorted(o.name for _, o, _, _ in core.calls) == ["b.mp4", "c.mp4"]
    assert main([".", "out", "--force"]) == 0


def test_a_stopped_batch_still_writes_its_report(core: Core) -> None:
    core.failures["b.mp4"] = KeyboardInterrupt()
    assert main([".", "out", "--report", "r.json"]) == 130
    report = json.loads(Path("r.json").read_text())
    assert (len(report["files"]), report["not_reached"]) == (1, 2)
    assert Path("out/a.mp4").exists()


def test_progress_is_plain_lines_where_nobody_watches(core: Core, out: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vidanon.cli.terminal.EVERY_SECONDS", 0.0)
    assert main(["a.mp4", "x.mp4"]) == 0
    _, err = out()
    assert "vidanon: a.mp4: finding faces: 60/100 frames, 60%, 50 fps, 0:01 left" in err
    assert "\x1b" not in err and "\r" not in err


def test_a_closed_reader_does_not_fail_the_run(core: Core, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        assert main(["a.mp4", "x.mp4"]) == 0
    assert Path("x.mp4").read_bytes() == b"protected"


def test_names_that_are_no_text_can_be_shown(core: Core, out: Out) -> None:
    name = os.fsdecode(b"caf\xe9\n\x1b.mp4")
    Path("a.mp4").rename(name)
    assert main([name, "--report", "r.json"]) == 0
    assert json.loads(Path("r.json").read_text())["output"] == name.replace(".mp4", "_anonymized.mp4")
    core.failures[name] = errors.InputError(f"{name}: unreadable")
    assert main([name, "y.mp4"]) == 3
    assert out()[1].splitlines()[-1].startswith("vidanon: error: caf")
