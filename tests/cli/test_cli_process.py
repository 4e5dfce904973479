"""The program as its own process: start-up time, signals, closed pipes, completion."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
VIDANON = [sys.executable, "-m", "vidanon"]
ENV = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"}

#: a core that leaves a temporary file, says so, and waits to be stopped
WAITING_CORE = """
import sys, time, types
from pathlib import Path
def run_file(source, output, config, **more):
    temporary = output.with_name("." + output.name)
    temporary.write_bytes(b"part")
    try:
        print("waiting", flush=True)
        time.sleep(60)
    finally:
        temporary.unlink()
core = types.ModuleType("vidanon.build")
core.run_file = run_file
sys.modules["vidanon.build"] = core
from vidanon.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


#: a library that swallows the signal; the core goes on and reports progress, as a run does
SWALLOWING_CORE = WAITING_CORE.replace(
    "        time.sleep(60)\n",
    """        try:
            time.sleep(60)
        except BaseException:
            pass
        more["progress"](Progress("render", 1, 2, 1.0))
        print("went on", flush=True)
""",
).replace("import sys, time, types", "import sys, time, types\nfrom vidanon.progress import Progress")


def run(*words: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*VIDANON, *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**ENV, **(env or {})},
        stdin=subprocess.DEVNULL,
    )


def test_help_names_every_option_and_command() -> None:
    done = run("--help")
    assert done.returncode == 0 and done.stderr == ""
    for word in ("--mode", "--min-face", "--keep", "--report", "--verify", "vidanon audit", "eval", "train", "models"):
        assert word in done.stdout, word
    assert run("models", "--help").returncode == 0


def test_version() -> None:
    import vidanon

    assert run("--version").stdout == f"vidanon {vidanon.__version__}\n"


@pytest.mark.parametrize("words", [["--help"], ["gone.mp4", "x.mp4"], ["--bogus"], ["a", "b", "--mode", "swirl"]])
def test_help_and_usage_errors_do_not_wait_for_torch(words: list[str]) -> None:
    code = (
        "import sys; from vidanon.cli.main import main; main(sys.argv[1:]);"
        "print([m for m in ('torch', 'av', 'cv2', 'numpy') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=ENV)
    assert done.stderr.splitlines()[-1] == "[]"


def heed_signals() -> None:
    """A test run in the background was told to ignore some, and so would the program be."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def waiting(folder: Path, core: str) -> subprocess.Popen[str]:
    """The program in ``folder``, in the middle of its work."""
    (folder / "in.mp4").write_bytes(b"x")
    process = subprocess.Popen(
        [sys.executable, "-c", core, "in.mp4", "out.mp4"], cwd=folder, env=ENV, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, preexec_fn=heed_signals,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "waiting\n"
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_clean_up(tmp_path: Path, number: signal.Signals, code: int) -> None:
    process = waiting(tmp_path, WAITING_CORE)
    assert (tmp_path / ".out.mp4").exists()
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.count("\n") == 1 and err.startswith("vidanon: error: stopped")
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


def test_a_swallowed_signal_stops_the_run_all_the_same(tmp_path: Path) -> None:
    process = waiting(tmp_path, SWALLOWING_CORE)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == ""
    assert err.startswith("vidanon: error: stopped")
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


def test_ignored_signals_stay_ignored(tmp_path: Path) -> None:
    (tmp_path / "in.mp4").write_bytes(b"x")
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING_CORE, "in.mp4", "out.mp4"], cwd=tmp_path, env=ENV, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "waiting\n"
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_a_closed_pipe_is_no_crash() -> None:
    process = subprocess.Popen(
        [*VIDANON, "models", "list"], env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(20) == 0


def test_a_closed_stderr_keeps_the_exit_code() -> None:
    done = subprocess.run(["sh", "-c", 'exec "$@" 2>&-', "sh", *VIDANON, "gone.mp4", "x.mp4"], env=ENV)
    assert done.returncode == 3


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["vidanon", "do"], "doctor"),
        (["vidanon", "--min"], "--min-face"),
        (["vidanon", "in.mp4", "--ver"], "--verify"),
        (["vidanon", "in.mp4", "--mode", "p"], "pixelate"),
        (["vidanon", "models", "f"], "fetch"),
    ],
)
def test_completion(words: list[str], expected: str) -> None:
    env = {"_VIDANON_COMPLETE": "complete_bash", "COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    code = "import sys; sys.argv[0] = 'vidanon'; from vidanon.cli.main import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**ENV, **env})
    assert expected in done.stdout.split(), (done.stdout, done.stderr)


def test_completion_can_be_shown() -> None:
    # Which shell runs the tests, if any, is not the question.
    done = run("--show-completion", "bash", env={"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"})
    assert done.returncode == 0 and "_VIDANON_COMPLETE" in done.stdout
