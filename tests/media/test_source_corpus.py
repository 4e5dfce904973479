"""The corpus of odd and hostile files and the real clips of the test data, as far as reading goes."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import av
import pytest

from vidanon.config import Limits
from vidanon.errors import VidanonError
from vidanon.media.source import open_source
from vidanon.types import Orientation

# Cases whose expectation is not about reading one file: folders are the batch's business.
_ELSEWHERE = {"E10", "E12"}


@dataclass
class Outcome:
    exit_code: int = 0
    frames: int = 0
    damaged: int = 0
    pts: list[int] = field(default_factory=list)
    layouts: list[tuple[int, int, str]] = field(default_factory=list)
    orientations: set[Orientation] = field(default_factory=set)
    warnings: list[str] = field(default_factory=list)


def read(path: Path) -> Outcome:
    out = Outcome()
    try:
        with open_source(path, Limits(), threads=2) as source:
            for frame in source.frames():
                assert frame.index == out.frames
                out.frames += 1
                out.damaged += frame.damaged
                out.pts.append(frame.pts)
                out.orientations.add(frame.orientation)
                layout = (frame.width, frame.height, frame.format.name)
                if not out.layouts or out.layouts[-1] != layout:
                    out.layouts.append(layout)
            out.warnings = source.warnings
    except VidanonError as error:
        out.exit_code = error.exit_code
    return out


@pytest.fixture(scope="module")
def corpus(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, set[int], str]]:
    """id -> file, allowed exit codes, property; made once."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    folder = tmp_path_factory.mktemp("corpus")
    script = test_data / "corpus" / "make_corpus.sh"
    subprocess.run(["bash", str(script), str(folder)], check=True, capture_output=True, timeout=240)
    rows = [line.split("\t") for line in (folder / "manifest.tsv").read_text(encoding="utf-8").splitlines()]
    assert len(rows) > 100
    return {row[0]: (folder / row[1], {int(c) for c in row[2].split("|")}, row[3]) for row in rows}


@pytest.mark.slow
def test_every_file_of_the_corpus_ends_as_its_manifest_says(corpus):
    results = {}
    for case, (path, allowed, _) in corpus.items():
        if case in _ELSEWHERE or case == "A10":  # A10 (86 400 frames) is a test of its own
            continue
        results[case] = out = read(path)
        assert out.exit_code in allowed, f"{case} {path.name}: exit {out.exit_code}, expected {allowed}"
        assert all(b > a for a, b in zip(out.pts, out.pts[1:], strict=False)), case

    frames = {case: out.frames for case, out in results.items()}
    assert frames["00"] == 100 and frames["A07"] == 960 and frames["A06"] == 4 and frames["A01"] == 48
    assert frames["A05"] == 100 and frames["A08"] == 100 and frames["D08"] == 120
    assert results["A04"].pts[-1] - results["A04"].pts[0] == 99 * 3600  # the 33-bit wrap is no freeze
    assert (frames["B01"], frames["B02"]) == (60, 65)  # of 75 and 100 stored ones
    assert (frames["A09"], "before the first key frame" in results["A09"].warnings[0]) == (75, True)

    turned = {case: out.orientations for case, out in results.items()}
    assert turned["C01_90"] == {Orientation(270)} and turned["C01_270"] == {Orientation(90)}
    assert turned["C02_hflip"] == {Orientation(0, True)} and turned["C02_transpose"] == {Orientation(270, True)}
    assert turned["C03"] == {Orientation(270, True)}
    for case in ("C02_rot30", "C02_zero"):
        assert turned[case] == {Orientation()} and "right angle" in results[case].warnings[0]

    layouts = {case: out.layouts for case, out in results.items()}
    assert layouts["C05"] == [(853, 479, "yuv444p")] and layouts["C06"] == [(853, 479, "yuv420p")]
    assert layouts["C09"] == [(512, 360, "yuv420p")]
    assert [size[:2] for size in layouts["C11"]] == [(640, 360), (320, 240), (640, 360)]
    assert [size[2] for size in layouts["C12"]] == ["yuv420p", "yuv422p10le"]
    assert layouts["D02"][0][2] == "yuv420p12le" and layouts["D09"][0][2] == "yuv444p12le"
    assert frames["H14"] == 200 and results["H14"].damaged >= 1
    assert Counter(out.exit_code for out in results.values())[0] > 75


@pytest.mark.slow
def test_a_day_of_frames_costs_no_memory(corpus):
    psutil = pytest.importorskip("psutil")
    process = psutil.Process()
    path = corpus["A10"][0]
    with open_source(path, Limits(), threads=2) as source:
        marks, count = [], 0
        for frame in source.frames():
            count += 1
            if frame.index in (10_000, 86_000):
                marks.append(process.memory_info().rss)
    assert count == 86_400 == source.info.frame_count
    assert marks[1] - marks[0] < 64 << 20


def test_every_clip_of_the_test_data(test_data):
    """Frame for frame what libav decodes, with its times."""
    clips = sorted(p for p in (test_data / "videos").rglob("*") if p.suffix in (".mp4", ".mkv", ".gif"))
    assert len(clips) > 25
    for path in clips:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            expected = [frame.pts for frame in container.decode(stream)]
        out = read(path)
        assert out.exit_code == 0 and out.pts == expected, path.name
        remarks = ["1 gaps in otherwise even timestamps: frames may be missing in the input"]
        assert out.damaged == 0 and out.warnings == (remarks if path.name == "brother.mkv" else []), path.name
