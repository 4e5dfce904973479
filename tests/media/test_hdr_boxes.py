"""HDR metadata beside the stream, read by another program."""

from __future__ import annotations

import json
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest
from writekit import frames, make_source, times, write

from vidanon.config import EncodeSettings
from vidanon.media.base import HdrInfo, Mastering
from vidanon.media.hdr_boxes import with_hdr_boxes
from vidanon.types import Colour

MASTERING = Mastering(
    (Fraction(34000, 50000), Fraction(16000, 50000)),
    (Fraction(13250, 50000), Fraction(34500, 50000)),
    (Fraction(7500, 50000), Fraction(3000, 50000)),
    (Fraction(15635, 50000), Fraction(16450, 50000)),
    Fraction(1000),
    Fraction(1, 10000),
)


@pytest.mark.parametrize("extension", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("encoder", ["libx265", "libx264", "libvpx-vp9"])
def test_the_container_says_what_the_source_said(tmp_path: Path, extension: str, encoder: str) -> None:
    if shutil.which("ffprobe") is None:
        pytest.skip("ffprobe is not installed")
    if encoder == "libvpx-vp9" and extension == ".mov" or encoder != "libvpx-vp9" and extension == ".webm":
        pytest.skip("not a pair")
    clip = frames(4, 64, 48, "yuv420p10le", colour=Colour(9, 9, 16, False))
    final = tmp_path / f"out{extension}"
    source = make_source(tmp_path / "source.mp4", ())
    write(final, [clip], source, EncodeSettings(encoder=encoder), hdr=HdrInfo(MASTERING, 1000, 400))
    assert len(times(final)) == 4
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(final)]
    stream = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)["streams"][0]
    data = {item["side_data_type"]: item for item in stream["side_data_list"]}
    light = data["Content light level metadata"]
    assert (light["max_content"], light["max_average"]) == (1000, 400)
    display = data["Mastering display metadata"]
    got = {key: float(Fraction(display[key])) for key in display if key != "side_data_type"}
    wanted = {"red_x": 0.68, "red_y": 0.32, "green_x": 0.265, "green_y": 0.69, "blue_x": 0.15, "blue_y": 0.06}
    wanted |= {"white_point_x": 0.3127, "white_point_y": 0.329, "min_luminance": 0.0001, "max_luminance": 1000}
    assert got == pytest.approx(wanted, rel=1e-3)


def test_nothing_to_say_changes_nothing() -> None:
    assert with_hdr_boxes(b"anything", HdrInfo()) == b"anything"
