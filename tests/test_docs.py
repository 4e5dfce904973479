"""Every command that the README and the docs show is run as written, in a folder that has what they name."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import av
import pytest

import vidanon
from vidanon.cli.main import main
from vidanon.cli.options import SETTINGS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: shown, but run elsewhere: the test command is what runs this, packaging has its own test
ELSEWHERE = ("bin/test", "bin/bench", "bin/check", "python -m build", "pip install", "vidanon models fetch yunet")


def commands(page: Path) -> list[str]:
    """The lines of the page's sh blocks, without comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def shorten(source: Path, target: Path, frames: int = 20) -> None:
    """The beginning of a clip: pictures encoded again, sound copied."""
    with av.open(str(source)) as read, av.open(str(target), "w") as out:
        pictures, sound = read.streams.video[0], read.streams.audio[0]
        video = out.add_stream("libx264", rate=pictures.average_rate, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = pictures.width, pictures.height, "yuv420p"
        audio = out.add_stream_from_template(sound)
        decoded = 0
        for packet in read.demux(pictures, sound):
            if packet.stream is sound and packet.dts is not None and packet.pts * sound.time_base < frames / 25:
                packet.stream = audio
                out.mux(packet)
            elif packet.stream is pictures:
                for frame in packet.decode():
                    if (decoded := decoded + 1) <= frames:
                        out.mux(video.encode(frame.reformat(format="yuv420p")))
        out.mux(video.encode(None))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "clips").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "samples").mkdir()
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    shorten(ROOT / "samples/portrait.mp4", tmp_path / "in.mp4")
    for name in ("clips/a.mp4", "clips/b.mp4"):
        shutil.copy(tmp_path / "in.mp4", tmp_path / name)
    shorten(ROOT / "samples/group.mp4", tmp_path / "samples/group.mp4")
    shutil.copy(ROOT / "samples/portrait.mp4", tmp_path / "samples/portrait.mp4")
    program = tmp_path / "bin/vidanon"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m vidanon "$@"\n')
    program.chmod(0o755)
    return tmp_path


@pytest.mark.slow
def test_the_readmes_commands_work_as_written(place: Path) -> None:
    for command in commands(ROOT / "README.md"):
        if not command.startswith(ELSEWHERE):
            done = subprocess.run(
                ["bash", "-c", command], cwd=place, stdin=subprocess.DEVNULL, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (place / "portrait_anonymized.mp4").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES[1:] if commands(p)], ids=lambda p: p.name)
def test_the_docs_commands_work(
    page: Path, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, which has torch loaded already; none of them needs a shell."""
    monkeypatch.chdir(place)
    for command in commands(page):
        name, *words = shlex.split(command)
        assert name == "vidanon" and not set(command) & set("|<>$&;`"), command
        assert main(words) == 0, f"{command}\n{capsys.readouterr()}"


def test_the_readme_leads_with_running_and_testing() -> None:
    first, second, *_ = commands(ROOT / "README.md")
    assert first.startswith("bin/vidanon samples/") and second == "bin/test"
    assert "bin/test" in (ROOT / ".ci/run").read_text()
    for name in ("vidanon", "test", "check", "bench"):
        assert os.access(ROOT / "bin" / name, os.X_OK)


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md", ROOT / "samples/PROVENANCE.md"], ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_version_and_changelog_agree() -> None:
    released = re.findall(r"^## \[(\d[^\]]*)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert released[0] == vidanon.__version__


def test_options_named_in_the_docs_exist() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "vidanon/cli").glob("*.py")))
    known = set(re.findall(r'"(--[a-z-]+)"', source)) | {"--help", "--install-completion", "--show-completion"}
    assert set(SETTINGS) <= known
    for bench in (ROOT / "tests/bench").glob("*.py"):
        known |= set(re.findall(r'"(--[a-z-]+)"', bench.read_text(encoding="utf-8")))
    known |= {"--replacewith"}  # deface's
    for page in PAGES:
        text = re.sub(r"^```sh\n.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        named = set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+)", text))
        assert named <= known, f"{page.name}: {named - known}"


def test_exit_codes_are_all_described() -> None:
    from vidanon import errors

    text = (ROOT / "docs/exit-codes.md").read_text()
    codes = {e.exit_code for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.VidanonError)}
    described = {int(n) for cell in re.findall(r"^\| ([\d, ]+) \|", text, re.MULTILINE) for n in cell.split(",")}
    assert codes | {0, 129, 130, 143} == described
