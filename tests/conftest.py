"""Fixtures that several packages' tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real clips, faces and models; skips where VIDANON_TEST_DATA is not set, fails where it is wrong."""
    value = os.environ.get("VIDANON_TEST_DATA")
    if not value:
        pytest.skip("VIDANON_TEST_DATA is not set: no test data")
    folder = Path(value)
    if not folder.is_dir():
        pytest.fail(f"VIDANON_TEST_DATA names {folder}, which is no folder")
    return folder


@pytest.fixture(scope="session")
def ffmpeg() -> Callable[..., None]:
    """Run the system's ffmpeg with these arguments; skips where it is not installed."""
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("ffmpeg is not installed")

    def run(*arguments: object) -> None:
        command = [program, "-nostdin", "-v", "error", "-y", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"

    return run


def _picture(index: int, width: int, height: int) -> np.ndarray:
    """(h, w, 3) uint8: a colour ramp with a bright square that moves with ``index``; no two frames alike."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([x * 255 // max(1, width - 1), y * 255 // max(1, height - 1), np.full_like(x, 96)], axis=2)
    left = 2 + index * 3 % max(1, width - 12)
    picture[2:10, left : left + 8] = (255, 240, 230)
    return picture.astype(np.uint8)


@pytest.fixture
def make_clip(tmp_path: Path) -> Callable[..., Path]:
    """Write a small clip with PyAV: ``make_clip("a.mp4", frames=10, codec="libx264", pts=[0, 40, 90])``."""

    def write(
        name: str,
        *,
        frames: int = 10,
        size: tuple[int, int] = (64, 48),
        codec: str = "libx264",
        pixel_format: str = "yuv420p",
        rate: int = 25,
        pts: list[int] | None = None,
        time_base: Fraction = Fraction(1, 1000),
        gop: int = 5,
        options: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=rate, options=options or {})
            stream.width, stream.height, stream.pix_fmt = *size, pixel_format
            context = stream.codec_context
            context.time_base = time_base if pts is not None else Fraction(1, rate)
            context.gop_size = gop
            for index in range(frames):
                frame = av.VideoFrame.from_ndarray(_picture(index, *size), format="rgb24").reformat(format=pixel_format)
                frame.pts = pts[index] if pts is not None else index
                frame.time_base = context.time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write
