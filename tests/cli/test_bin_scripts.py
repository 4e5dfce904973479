"""The set-up of bin/: once, also for several processes at once, again where something changed, and with clear words.

A stand-in for Python notes what it is asked to do, so that nothing is installed here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FAKE_PYTHON = r"""#!/usr/bin/env bash
note() { printf '%s\n' "$*" >>"$FAKE_LOG"; }
case "$*" in
    "-c import sys"*) exit "${FAKE_TOO_OLD:-0}" ;;
    "-c import ensurepip"*) exit "${FAKE_NO_VENV:-0}" ;;
    "-m venv"*) note venv; mkdir -p "${@: -1}/bin"; cp "$0" "${@: -1}/bin/python" ;;
    "-m pip --version") [ -x "$0" ] ;;
    "-m pip install"*) note "pip ${@: -1}"; sleep 0.3; echo "cannot reach the index"; exit "${FAKE_PIP:-0}" ;;
    *"vidanon models fetch"*) note fetch; exit "${FAKE_FETCH:-0}" ;;
    *) note "run $*"; printf 'ran: %s\n' "$*" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "a checkout"
    shutil.copytree(ROOT / "bin", root / "bin")
    for name in ("pyproject.toml", "constraints.txt", "setup.py"):
        shutil.copy(ROOT / name, root / name)
    (root / "tests/bench").mkdir(parents=True)
    (root / "tests/bench/leak.py").touch()
    fake = tmp_path / "fake python"
    fake.write_text(FAKE_PYTHON)
    fake.chmod(0o755)
    return root


def environment(root: Path, **more: str) -> dict[str, str]:
    home = root.parent / "home"
    home.mkdir(exist_ok=True)
    return {
        "PATH": os.environ["PATH"], "HOME": str(home), "FAKE_LOG": str(root.parent / "log"),
        "VIDANON_PYTHON": str(root.parent / "fake python"), **more,
    }  # fmt: skip


def script(root: Path, name: str, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [root / "bin" / name, *words], cwd=root.parent, env=environment(root, **more), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def log(root: Path) -> list[str]:
    path = root.parent / "log"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def test_the_first_run_sets_up_and_the_next_does_not(checkout: Path) -> None:
    first = script(checkout, "vidanon", "in.mp4", "a b.mp4")
    assert first.returncode == 0 and first.stdout == "ran: -P -m vidanon in.mp4 a b.mp4\n"
    assert "first run" in first.stderr and "set-up done" in first.stderr
    extras = f"{checkout}[cpu]"
    assert log(checkout) == ["venv", "pip setuptools", f"pip {extras}", "fetch", "run -P -m vidanon in.mp4 a b.mp4"]
    second = script(checkout, "vidanon", "--version")
    assert second.stderr == "" and log(checkout) == ["run -P -m vidanon --version"]


def test_tests_add_their_extras_and_a_change_brings_all_up_to_date(checkout: Path) -> None:
    script(checkout, "vidanon")
    log(checkout)
    added = script(checkout, "test", "-k", "x y")
    assert "adding what test needs" in added.stderr
    assert log(checkout) == ["pip setuptools", f"pip {checkout}[cpu,test]", "run -m pytest -k x y"]
    with (checkout / "constraints.txt").open("a") as file:
        file.write("# changed\n")
    changed = script(checkout, "vidanon")
    assert "the requirements changed" in changed.stderr
    assert log(checkout)[1] == f"pip {checkout}[cpu,test]"
    assert script(checkout, "test").stderr == ""


def test_a_moved_checkout_is_set_up_again(checkout: Path) -> None:
    script(checkout, "vidanon")
    moved = checkout.rename(checkout.parent / "moved")
    log(moved)
    assert script(moved, "vidanon").returncode == 0
    assert f"pip {moved}[cpu]" in log(moved)


def test_several_first_runs_at_once_install_once(checkout: Path) -> None:
    running = [
        subprocess.Popen(
            [checkout / "bin/vidanon", str(n)], env=environment(checkout), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for n in range(4)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=60) for process in running]
    assert [process.returncode for process in running] == [0] * 4
    assert [out for out, _ in outputs] == [f"ran: -P -m vidanon {n}\n" for n in range(4)]
    assert log(checkout).count(f"pip {checkout}[cpu]") == 1


def test_without_flock_too(checkout: Path) -> None:
    tools = checkout.parent / "tools"
    tools.mkdir()
    for folder in os.environ["PATH"].split(":"):
        for tool in Path(folder).iterdir() if Path(folder).is_dir() else ():
            if tool.name != "flock" and not (tools / tool.name).exists() and os.access(tool, os.X_OK):
                (tools / tool.name).symlink_to(tool)
    env = environment(checkout, PATH=str(tools))
    running = [
        subprocess.Popen([checkout / "bin/vidanon"], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for process in running:
        process.communicate(timeout=60)
    assert [process.returncode for process in running] == [0] * 3
    assert log(checkout).count(f"pip {checkout}[cpu]") == 1


def test_a_failed_installation_is_said_and_taken_up_again(checkout: Path) -> None:
    failed = script(checkout, "vidanon", FAKE_PIP="1")
    assert failed.returncode == 1 and failed.stdout == ""
    assert "cannot reach the index" in failed.stderr and "vidanon: error: installing" in failed.stderr
    log(checkout)
    assert script(checkout, "vidanon").returncode == 0
    assert f"pip {checkout}[cpu]" in log(checkout)


def test_without_yunet_it_goes_on_and_says_what_that_costs(checkout: Path) -> None:
    done = script(checkout, "vidanon", FAKE_FETCH="8")
    assert done.returncode == 0 and "small and turned faces are missed" in done.stderr


@pytest.mark.parametrize(
    ("more", "says"),
    [({"FAKE_TOO_OLD": "1"}, "not Python 3.11 or newer"), ({"FAKE_NO_VENV": "1"}, "python3-venv")],
)
def test_a_python_that_will_not_do(checkout: Path, more: dict[str, str], says: str) -> None:
    done = script(checkout, "vidanon", **more)
    assert done.returncode == 1 and says in done.stderr and log(checkout) == []


def test_too_little_room(checkout: Path) -> None:
    tools = checkout.parent / "tools"
    tools.mkdir()
    (tools / "df").write_text("#!/bin/sh\necho h\necho /dev/x 9 9 1500000 9% /\n")
    (tools / "df").chmod(0o755)
    done = script(checkout, "vidanon", PATH=f"{tools}:{os.environ['PATH']}")
    assert done.returncode == 1 and "1 GB free" in done.stderr and log(checkout) == []


def test_the_gpu_runtime_can_be_chosen(checkout: Path) -> None:
    assert script(checkout, "vidanon", VIDANON_RUNTIME="gpu").returncode == 0
    assert f"pip {checkout}[gpu]" in log(checkout)
    wrong = script(checkout, "vidanon", VIDANON_RUNTIME="tpu")
    assert wrong.returncode == 1 and "choose cpu or gpu" in wrong.stderr


def test_benchmarks_by_name(checkout: Path) -> None:
    wrong = script(checkout, "bench", "nonsense")
    assert wrong.returncode == 2 and "leak" in wrong.stderr and log(checkout) == []
    assert script(checkout, "bench", "leak", "--quick").stdout == "ran: -m tests.bench.leak --quick\n"


def test_through_a_link(checkout: Path) -> None:
    link = checkout.parent / "link"
    link.symlink_to(checkout / "bin/vidanon")
    done = subprocess.run([link, "x"], env=environment(checkout), capture_output=True, text=True)
    assert done.stdout == "ran: -P -m vidanon x\n"
