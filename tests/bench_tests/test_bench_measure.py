"""The bench's own measure: black on decoded output, leaks, tallies, runs, memory growth."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.bench import coverage, leak, plots, speed
from tests.bench.composites import Clip
from tests.bench.coverage import Measured, MeasureError, measure, tally
from tests.bench.peers import ToolError, run_quietly
from tests.bench.truth import FaceTruth, save_truth

W, H, FRAMES = 320, 192, 8


def truth_at(frame: int, track: int = 1, size: float = 60.0, centre: tuple[float, float] = (160, 96)) -> FaceTruth:
    half = int(size / 2)
    yy, xx = np.mgrid[0 : 2 * half, 0 : 2 * half] + 0.5
    mask = (xx - half) ** 2 + (yy - half) ** 2 <= half**2
    return FaceTruth(
        track, frame, centre, (half, half), 0, size, 1.0, 0, (int(centre[0] - half), int(centre[1] - half)), mask
    )


def write(path: Path, cover: float | None, count: int = FRAMES, skip: tuple[int, ...] = ()) -> None:
    """A noisy clip; with ``cover`` a black disc of that many times the face's radius, but for the frames ``skip``."""
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.integers(60, 240, (H, W, 3), np.uint8), (0, 0), 2)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"crf": "26", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = W, H, "yuv420p"
        for index in range(count):
            frame = np.ascontiguousarray(picture.copy())
            if cover is not None and index not in skip:
                cv2.circle(frame, (160, 96), int(30 * cover), (0, 0, 0), -1)
            made = av.VideoFrame.from_ndarray(frame, format="rgb24")
            made.pts, made.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(made))
        container.mux(stream.encode(None))


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    write(tmp_path / "clip.mp4", None)
    save_truth(tmp_path / "clip.npz", [truth_at(i) for i in range(FRAMES)])
    return Clip(tmp_path / "clip.mp4", tmp_path / "clip.npz", {"clip": 0, "tracks": []})


@pytest.mark.parametrize(("cover", "low", "high"), [(1.15, 0.99, 1.0), (0.7, 0.42, 0.55), (None, 0.0, 0.01)])
def test_coverage_of_decoded_output(clip: Clip, tmp_path: Path, cover: float | None, low: float, high: float) -> None:
    write(tmp_path / "out.mp4", cover)
    result = measure(clip, tmp_path / "out.mp4")
    assert len(result.rows) == FRAMES
    assert all(low <= r.share <= high for r in result.rows), [r.share for r in result.rows]
    assert {r.leaks for r in result.rows} == {cover != 1.15}


def test_one_uncovered_frame_is_found(clip: Clip, tmp_path: Path) -> None:
    write(tmp_path / "out.mp4", 1.2, skip=(5,))
    assert [r.truth.frame for r in measure(clip, tmp_path / "out.mp4").rows if r.leaks] == [5]


@pytest.mark.parametrize("count", [FRAMES - 1, FRAMES + 1])
def test_another_number_of_frames_is_no_result(clip: Clip, tmp_path: Path, count: int) -> None:
    write(tmp_path / "out.mp4", 1.2, count=count)
    with pytest.raises(MeasureError, match="frames"):
        measure(clip, tmp_path / "out.mp4")


def test_another_picture_is_no_result(clip: Clip, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "out.mp4"), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = W, H, "yuv420p"
        for _ in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((H, W, 3), 230, np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    with pytest.raises(MeasureError, match="does not show"):
        measure(clip, tmp_path / "out.mp4")


def test_a_dark_face_cannot_be_judged() -> None:
    truth = truth_at(0)
    dark = np.full((H, W), 12, np.float32)
    assert coverage.covered_share(dark, dark * 0, truth) is None
    bright = np.full((H, W), 80, np.float32)
    assert coverage.covered_share(bright, bright * 0, truth) == 1.0
    assert coverage.covered_share(bright, bright, truth) == 0.0


def row(track: int, frame: int, share: float, size: float = 60, clip_number: int = 0) -> Measured:
    return Measured(clip_number, truth_at(frame, track, size), share)


def test_tally_counts_frames_and_tracks() -> None:
    rows = [row(1, 0, 1.0), row(1, 1, 0.94), row(2, 0, 1.0), row(3, 0, 0.2, size=20), row(1, 0, 1, clip_number=1)]
    large = tally(rows, 32, 1e9)
    assert (large["face_frames"], large["leaks"], large["tracks"], large["burst_tracks"]) == (4, 1, 3, 1)
    assert large["leakage"] == 0.25
    assert large["clear"] == 0
    assert tally(rows, 16, 32)["clear"] == 1
    assert np.isnan(tally(rows, 500, 600)["leakage"])


def test_runs_of_leaks_are_split_at_gaps_and_tracks() -> None:
    rows = [row(1, f, 0.1) for f in (3, 4, 5, 8)] + [row(2, 6, 0.5), row(2, 7, 1.0)]
    found = [(r.track, r.rows[0].truth.frame, r.rows[-1].truth.frame) for r in plots.runs_of(rows)]
    assert found == [(1, 3, 5), (1, 8, 8), (2, 6, 6)]


def test_ratio_never_divides_by_nothing() -> None:
    assert leak.ratio(30, 10) == "3.0"
    assert leak.ratio(30, 0) == "> 30"
    assert leak.ratio(0, 0) == "1.0"
    assert leak.ratio(30, None) == "-"


def test_memory_growth_is_the_long_run_over_the_short_one() -> None:
    mib = 2**20
    short = speed.Timing(10, 400 * mib, [(0.2 * i, (100 + 6 * i) * mib) for i in range(50)])
    long = speed.Timing(100, 470 * mib, [(0.2 * i, 470 * mib) for i in range(900)])
    found = speed.compare_memory({20000: long, 1000: short})
    assert (found["growth_mb"], found["peak_mb"], found["fps"]) == (70, 470, 200)
    assert max(len(curve) for curve in found["curves"].values()) <= 450
    with pytest.raises(ToolError, match="at least"):
        speed.memory(lambda a, b: [], Clip(Path(), Path(), {}), Path(), 1500)


def test_a_longer_clip_has_every_frame_on_the_grid(clip: Clip, tmp_path: Path) -> None:
    count = speed.lengthen(clip.video, tmp_path / "long.mp4", 20)
    with av.open(str(tmp_path / "long.mp4")) as container:
        times = [float(f.pts * f.time_base) for f in container.decode(video=0)]
    assert count == len(times) == 24
    assert np.diff(times) == pytest.approx(1 / 25)


def test_timing_sees_time_memory_and_failure() -> None:
    import sys

    timing = speed.timed([sys.executable, "-c", "import time; x = bytearray(80 << 20); time.sleep(.8)"])
    assert timing.seconds > 0.8
    assert timing.peak > 80 * 2**20
    with pytest.raises(ToolError, match="ended with 3"):
        speed.timed([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(ToolError, match="boom"):
        run_quietly([sys.executable, "-c", "raise SystemExit('boom')"])
