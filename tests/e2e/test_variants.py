"""Every kind of clip, every mode, through the whole program: times, sound, depth, tags and orientation stay.

The variants are derived from the sample portrait with ffmpeg; what is compared is what ffprobe (an independent
reader) says of source and output.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vidanon.build import run_file
from vidanon.config import load_config

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "samples" / "portrait.mp4"
SECONDS = 1.2
X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "14"]
HDR10 = (
    "hdr10=1:log-level=error:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
    "L(10000000,1):max-cll=1000,400"
)
PQ = ["-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc"]
SMALL = "scale=480:-2"

#: name -> (extension of source and output, arguments of ffmpeg after its input)
VARIANTS: dict[str, tuple[str, list[str]]] = {
    "720p": (".mp4", ["-vf", "scale=1280:720", *X264, "-c:a", "copy"]),
    "vfr": (".mp4", ["-vf", f"{SMALL},select='not(mod(n,3))+between(n,8,15)'", "-fps_mode", "vfr", *X264,
                     "-c:a", "copy"]),
    "hdr10": (".mp4", ["-vf", f"{SMALL},format=yuv420p10le", "-c:v", "libx265", "-preset", "ultrafast", *PQ,
                       "-x265-params", HDR10, "-tag:v", "hvc1", "-an"]),
    "422": (".mp4", ["-vf", f"{SMALL},format=yuv422p", *X264, "-c:a", "copy"]),
    "444 10 bit": (".mkv", ["-vf", f"{SMALL},format=yuv444p10le", *X264, "-an"]),
    "full range": (".mp4", ["-vf", f"{SMALL}:out_range=pc", "-color_range", "pc", *X264, "-an"]),
    "anamorphic": (".mp4", ["-vf", f"{SMALL},setsar=4/3", *X264, "-an"]),
    "three sounds": (".mkv", ["-vf", SMALL, *X264, "-map", "0:v", "-map", "0:a", "-map", "0:a", "-map", "0:a",
                              "-c:a:0", "copy", "-c:a:1", "libopus", "-c:a:2", "flac"]),
    "edit list": (".mp4", ["-vf", SMALL, *X264, "-c:a", "copy", "-output_ts_offset", "0.7"]),
    "webm": (".webm", ["-vf", SMALL, "-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime", "-b:v", "2M",
                       "-c:a", "libopus"]),
    "transport stream": (".ts", ["-vf", SMALL, *X264, "-c:a", "copy", "-output_ts_offset", "5"]),
}  # fmt: skip
WRITTEN_AS = {".ts": ".mp4"}  # what the sink does not write


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    program = shutil.which("ffmpeg")
    if program is None or shutil.which("ffprobe") is None:
        pytest.skip("ffmpeg is not installed")
    folder = tmp_path_factory.mktemp("variants")

    def run(
        name: str, extension: str, arguments: list[str], source: Path = SAMPLE, before: tuple[str, ...] = ()
    ) -> Path:
        path = folder / f"{name.replace(' ', '-')}{extension}"
        if not path.exists():
            command = [
                program,
                "-v",
                "error",
                "-y",
                *before,
                "-i",
                str(source),
                "-t",
                str(SECONDS),
                *arguments,
                str(path),
            ]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=60)
        return path

    return run


def probe(path: Path) -> dict[str, Any]:
    """Streams and, per stream, times (seconds from the first picture) and payloads of what is shown or heard."""
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)]
    streams = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)["streams"]
    with av.open(str(path)) as container:
        times = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    sound = []
    for stream in (s for s in streams if s["codec_type"] == "audio"):
        with av.open(str(path)) as container:
            packets = [
                (p.pts * p.time_base - times[0], without_adts(bytes(p)))
                for p in container.demux(container.streams[stream["index"]])
                if p.size and not p.is_discard
            ]
        sound.append(packets)
    video = next(s for s in streams if s["codec_type"] == "video")
    return {"video": video, "times": [t - times[0] for t in times], "sound": sound}


def without_adts(packet: bytes) -> bytes:
    """A packet of AAC without the header that only transport streams have (ISO/IEC 13818-7, 6.2)."""
    if len(packet) > 7 and packet[0] == 0xFF and packet[1] & 0xF6 == 0xF0:
        return packet[7 if packet[1] & 1 else 9 :]
    return packet


def compare(source: Path, output: Path) -> None:
    before, after = probe(source), probe(output)
    tick = max(Fraction(before["video"]["time_base"]), Fraction(after["video"]["time_base"]))
    assert len(after["times"]) == len(before["times"])
    assert max(abs(a - b) for a, b in zip(before["times"], after["times"], strict=True)) <= tick
    assert len(after["sound"]) == len(before["sound"])
    for was, now in zip(before["sound"], after["sound"], strict=True):
        assert [data for _, data in now] == [data for _, data in was]
        # Matroska keeps milliseconds, MP4 whole samples: a tick of the coarser of the two clocks.
        assert max(abs(a - b) for (a, _), (b, _) in zip(was, now, strict=True)) <= max(tick, Fraction(1, 1000))
    for tag in ("pix_fmt", "width", "height"):
        assert after["video"][tag] == before["video"][tag], tag
    square = "1:1"
    assert after["video"].get("sample_aspect_ratio", square) == before["video"].get("sample_aspect_ratio", square)
    for tag in ("color_range", "color_space", "color_transfer", "color_primaries"):
        if before["video"].get(tag, "unknown") not in ("unknown", "tv"):
            assert after["video"].get(tag) == before["video"].get(tag), tag


def upright(path: Path, index: int) -> np.ndarray:
    """(h, w, 3) uint8 of one frame as ffmpeg shows it: turned and flipped by the display matrix."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-vf", f"select=eq(n\\,{index}),scale=160:160",
               "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]  # fmt: skip
    raw = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=60).stdout
    return np.frombuffer(raw, np.uint8).reshape(160, 160, 3)


@pytest.mark.parametrize("mode", ["mask", "pixelate", "blur"])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_keeps_what_it_had(name: str, mode: str, make: Callable[..., Path], tmp_path: Path) -> None:
    extension, arguments = VARIANTS[name]
    source = make(name, extension, arguments)
    output = tmp_path / f"out{WRITTEN_AS.get(extension, extension)}"
    report = run_file(source, output, load_config(None, {"protect.mode": mode}))
    assert report.frames == len(probe(source)["times"])
    assert report.frames_with_faces == report.frames
    compare(source, output)
    if name == "hdr10":
        assert hdr_values(output) == hdr_values(source) != ()


def hdr_values(path: Path) -> tuple[str, ...]:
    command = ["ffprobe", "-v", "error", "-show_frames", "-read_intervals", "%+#1", "-select_streams", "v", str(path)]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    wanted = ("red_x", "green_y", "white_point_x", "min_luminance", "max_luminance", "max_content", "max_average")
    return tuple(line for line in said.splitlines() if line.startswith(wanted))


BACK = {0: [], 90: ["transpose=2"], 180: ["hflip", "vflip"], 270: ["transpose=1"]}  #: what a clockwise turn undoes


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", [False, True])
def test_a_turned_or_flipped_clip_stays_upright(
    turn: int, flip: bool, make: Callable[..., Path], tmp_path: Path
) -> None:
    """Stored turned, shown upright: the same picture before and after, but for the face."""
    plain = make("plain", ".mp4", ["-vf", SMALL, *X264, "-c:a", "copy"])
    back = ",".join([SMALL, *BACK[turn], *["hflip"] * flip])
    source = tmp_path / "source.mp4"
    shutil.copy(make(f"stored {turn} {flip}", ".mp4", ["-vf", back, *X264, "-c:a", "copy"]), source)
    turned(source, turn, flip)
    output = tmp_path / "out.mp4"
    report = run_file(source, output, load_config(None, {}))
    assert report.frames_with_faces == report.frames
    compare(source, output)
    before, after = upright(source, 12).astype(int), upright(output, 12).astype(int)
    assert np.abs(before - upright(plain, 12)).mean() < 3
    changed = np.abs(before - after).max(2) > 40
    assert changed.mean() > 0.01  # the face is covered
    assert np.abs(before - after)[~changed].mean() < 6


def turned(path: Path, turn: int, flip: bool) -> None:
    """Write the display matrix into the track header of an MP4 file (ISO/IEC 14496-12, 8.3.2), in place."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4
    while not int.from_bytes(data[at + 76 : at + 80], "big"):  # the sound's track has no width
        at = data.index(b"tkhd", at) + 4
    at += 40
    cosine, sine = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[turn]
    a, b, c, d = cosine, sine, -sine, cosine
    if flip:
        a, b = -a, -b
    for offset, value in ((0, a), (4, b), (12, c), (16, d)):
        data[at + offset : at + offset + 4] = (value * 65536).to_bytes(4, "big", signed=True)
    path.write_bytes(bytes(data))
