"""The output file: exact times across segments, tags and orientation, and nothing left behind when it fails."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import stat
import subprocess
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from writekit import EVERY_ORIENTATION, cut, encode, frames, info, make_source, picture, protected, shown, times, write

from vidanon.config import EncodeSettings
from vidanon.errors import OutputError, UsageError
from vidanon.media.encode import SegmentEncoder
from vidanon.media.orientation import from_matrix, upright
from vidanon.media.sink import open_sink
from vidanon.types import Colour, Orientation

EXTENSIONS = [".mp4", ".mov", ".mkv", ".webm"]
MILLISECOND = Fraction(1, 1000)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return make_source(tmp_path / "source.mp4", seconds=1.6)


def seconds_of(clip: list) -> list[Fraction]:
    return [frame.pts * frame.time_base for frame in clip]


def left_behind(folder: Path, *expected: str) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.name not in expected)


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize(
    "pts",
    [
        [n * 512 for n in range(40)],
        [512 * n + (n % 3) * 100 + (n // 7) * 900 for n in range(40)],
        [6400 + n * 512 for n in range(40)],
    ],
    ids=["constant", "variable", "offset"],
)
def test_segments_become_one_stream_with_every_pts(
    tmp_path: Path, source: Path, extension: str, pts: list[int]
) -> None:
    clip = frames(40, pts=pts)
    final = tmp_path / f"out{extension}"
    _, warnings, _ = write(final, cut(clip, 1, 2, 30, 7), source)
    exact = extension in (".mp4", ".mov")
    whole = all((1000 * time).denominator == 1 for time in seconds_of(clip))
    assert any("milliseconds" in line for line in warnings) == (not exact and not whole)
    written = times(final)
    assert len(written) == 40
    for got, wanted in zip(written, seconds_of(clip), strict=True):
        assert abs(got - wanted) <= (0 if exact else MILLISECOND / 2)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_another_player_reads_the_joined_segments_without_a_word(tmp_path: Path, source: Path, extension: str) -> None:
    if shutil.which("ffmpeg") is None:
        pytest.skip("ffmpeg is not installed")
    final = tmp_path / f"out{extension}"
    write(final, cut(frames(40), 1, 2, 30, 7), source)
    command = ["ffmpeg", "-nostdin", "-v", "warning", "-i", str(final), "-f", "null", "-"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    count = ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0", "-show_entries",
             "stream=nb_read_frames", "-of", "csv=p=0", str(final)]  # fmt: skip
    assert subprocess.run(count, capture_output=True, text=True, check=True).stdout.strip(",\n") == "40"


@pytest.mark.parametrize("encoder", ["libx265", "libsvtav1", "libvpx-vp9"])
def test_every_encoder_can_be_joined(tmp_path: Path, source: Path, encoder: str) -> None:
    clip = frames(40)
    final = tmp_path / "out.mp4"
    write(final, cut(clip, 1, 2, 30, 7), source, EncodeSettings(encoder=encoder))
    assert times(final) == seconds_of(clip)
    with av.open(str(final)) as file:
        assert file.streams.video[0].frames == 40
        if encoder == "libx265":
            assert file.streams.video[0].codec_context.codec_tag == "hvc1"


def test_last_duration_is_kept(tmp_path: Path, source: Path) -> None:
    clip = frames(5)
    clip[-1] = replace(clip[-1], duration=6400)
    final = tmp_path / "out.mp4"
    write(final, [clip], source, EncodeSettings(audio=False))
    with av.open(str(final)) as file:
        assert Fraction(file.duration, 1_000_000) == (4 * 512 + 6400) * clip[0].time_base


def test_repeated_pts_lose_no_frame(tmp_path: Path, source: Path) -> None:
    clip = frames(6, pts=[0, 512, 512, 1024, 1024, 2048])
    final = tmp_path / "out.mp4"
    _, warnings, _ = write(final, cut(clip, 3, 3), source)
    assert [int(time * 12_800) for time in times(final)] == [0, 512, 513, 1024, 1025, 2048]
    assert any(line.startswith("2 frames") for line in warnings)


def test_a_clock_below_zero_begins_at_zero(tmp_path: Path, source: Path) -> None:
    clip = frames(10, start=-1024)
    final = tmp_path / "out.mp4"
    _, warnings, _ = write(final, [clip], source)
    assert times(final) == [time + Fraction(1024, 12_800) for time in seconds_of(clip)]
    assert any("starts at 0" in line for line in warnings)


def test_a_transport_streams_clock_begins_at_zero(tmp_path: Path, source: Path) -> None:
    clip = frames(10, start=12_800 * 95_000)
    final = tmp_path / "out.mp4"
    write(final, [clip], source, EncodeSettings(audio=False), container="mpegts")
    assert times(final) == [n * Fraction(1, 25) for n in range(10)]


@pytest.mark.parametrize("orientation", EVERY_ORIENTATION)
@pytest.mark.parametrize("extension", [".mp4", ".mov"])
def test_display_matrix_is_written_and_pixels_stay(
    tmp_path: Path, source: Path, orientation: Orientation, extension: str
) -> None:
    clip = frames(2, orientation=orientation)
    final = tmp_path / f"out{extension}"
    write(final, [clip], source)
    first = shown(final)[0]
    matrix = [bytes(item) for item in first.side_data if item.type.name == "DISPLAYMATRIX"]
    assert (from_matrix(matrix[0]) if matrix else Orientation()) == orientation
    stored = first.to_ndarray()[:48].astype(float)
    assert np.abs(stored - picture(64, 48)[0]).mean() < 4


@pytest.mark.parametrize("orientation", EVERY_ORIENTATION)
@pytest.mark.parametrize("extension", [".mkv", ".webm"])
def test_elsewhere_the_picture_is_stored_upright(
    tmp_path: Path, source: Path, orientation: Orientation, extension: str
) -> None:
    clip = frames(2, orientation=orientation)
    final = tmp_path / f"out{extension}"
    write(final, [clip], source)
    first = shown(final)[0]
    assert not [item for item in first.side_data if item.type.name == "DISPLAYMATRIX"]
    wanted = upright(picture(64, 48)[0], orientation)
    assert (first.height, first.width) == wanted.shape
    assert np.abs(first.to_ndarray()[: wanted.shape[0]].astype(float) - wanted).mean() < 4


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_colour_tags_and_sample_aspect_are_written(tmp_path: Path, source: Path, extension: str) -> None:
    colour = Colour(9, 9, 18, True)
    clip = frames(2, colour=colour, sar=Fraction(4, 3))
    final = tmp_path / f"out{extension}"
    write(final, [clip], source)
    with av.open(str(final)) as file:
        stream = file.streams.video[0]
        context = stream.codec_context
        tags = (context.colorspace, context.color_primaries, context.color_trc, context.color_range)
        assert tags == (9, 9, 18, 2)
        ratio = Fraction(stream.sample_aspect_ratio or 1) * context.width / context.height
        assert abs(ratio - Fraction(16, 9)) < Fraction(1, 50)


def test_index_stands_in_front(tmp_path: Path, source: Path) -> None:
    final = tmp_path / "out.mp4"
    write(final, [frames(10)], source)
    data = final.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def test_hidden_while_written_then_as_any_new_file(tmp_path: Path, source: Path) -> None:
    final = tmp_path / "out.mp4"
    clip = frames(10)
    about = info(clip[0])
    segment = encode(clip)
    old = os.umask(0o027)
    try:
        with open_sink(final, source, about, EncodeSettings()) as sink:
            sink.commit(segment)
            (hidden,) = left_behind(tmp_path, "source.mp4")
            assert hidden.startswith(".")
            assert stat.S_IMODE((tmp_path / hidden).stat().st_mode) == 0o600
            sink.finish()
    finally:
        os.umask(old)
    assert left_behind(tmp_path, "source.mp4", "out.mp4") == []
    assert stat.S_IMODE(final.stat().st_mode) == 0o640


def test_longest_names_are_no_problem(tmp_path: Path, source: Path) -> None:
    final = tmp_path / ("n" * 251 + ".mp4")
    write(final, [frames(3)], source)
    assert len(times(final)) == 3


@pytest.mark.parametrize("name", ["-dash.mp4", "file:concat:x.mp4", "frame%03d.mp4", "sp ace ünï 人 '\" ;$(x).mp4"])
def test_odd_names_are_plain_names(tmp_path: Path, source: Path, name: str) -> None:
    write(tmp_path / name, [frames(3)], source)
    assert left_behind(tmp_path, "source.mp4") == [name]


# What must fail ----------------------------------------------------------------------------------------------


def test_an_error_or_an_interrupt_leaves_nothing(tmp_path: Path, source: Path) -> None:
    final = tmp_path / "out.mp4"
    final.write_bytes(b"what was there before")
    clip = frames(10)
    for error in (RuntimeError("no"), KeyboardInterrupt()):
        with pytest.raises(type(error)), open_sink(final, source, info(clip[0]), EncodeSettings()) as sink:
            sink.commit(encode(clip))
            raise error
        assert left_behind(tmp_path, "source.mp4", "out.mp4") == []
        assert final.read_bytes() == b"what was there before"


def test_nothing_committed_is_no_output(tmp_path: Path, source: Path) -> None:
    final = tmp_path / "out.mp4"
    with open_sink(final, source, info(frames(1)[0]), EncodeSettings()) as sink, pytest.raises(OutputError):
        sink.finish()
    assert left_behind(tmp_path, "source.mp4") == []


def test_a_segment_of_another_stream_is_refused(tmp_path: Path, source: Path) -> None:
    clip = frames(4)
    for other in (frames(4, 128, 96, start=9000), frames(4, name="yuv444p", start=9000)):
        with open_sink(tmp_path / "out.mp4", source, info(clip[0]), EncodeSettings()) as sink:
            sink.commit(encode(clip))
            with pytest.raises(OutputError, match="other parameters"):
                sink.commit(encode(other))
            with pytest.raises(OutputError):
                sink.commit(encode(clip))
        assert left_behind(tmp_path, "source.mp4") == []


def test_the_input_is_never_the_output(tmp_path: Path, source: Path) -> None:
    about = info(frames(1)[0])
    before = source.read_bytes()
    (tmp_path / "soft.mp4").symlink_to(source)
    os.link(source, tmp_path / "hard.mp4")
    (tmp_path / "sub").mkdir()
    for final in (source, tmp_path / "soft.mp4", tmp_path / "hard.mp4", tmp_path / "sub" / ".." / "source.mp4"):
        with pytest.raises(UsageError, match="input itself"):
            open_sink(final, source, about, EncodeSettings())
    assert source.read_bytes() == before
    assert left_behind(tmp_path) == ["hard.mp4", "soft.mp4", "source.mp4", "sub"]


def test_a_link_to_another_file_is_followed(tmp_path: Path, source: Path) -> None:
    (tmp_path / "link.mp4").symlink_to(tmp_path / "real.mp4")
    write(tmp_path / "link.mp4", [frames(3)], source)
    assert (tmp_path / "link.mp4").is_symlink()
    assert len(times(tmp_path / "real.mp4")) == 3


def test_places_that_take_no_file(tmp_path: Path, source: Path) -> None:
    about = info(frames(1)[0])
    (tmp_path / "folder.mp4").mkdir()
    os.mkfifo(tmp_path / "pipe.mp4")
    for final in (tmp_path / "folder.mp4", tmp_path / "pipe.mp4", tmp_path / "missing" / "out.mp4", source / "out.mp4"):
        with pytest.raises(OutputError) as caught:
            open_sink(final, source, about, EncodeSettings())
        assert "\n" not in str(caught.value)
    assert left_behind(tmp_path) == ["folder.mp4", "pipe.mp4", "source.mp4"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(tmp_path: Path, source: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(OutputError, match="permission"):
        open_sink(locked / "out.mp4", source, info(frames(1)[0]), EncodeSettings())


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("room", [0, 3_000, 40_000])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, source: Path, extension: str, room: int) -> None:
    final = tmp_path / f"out{extension}"
    rng = np.random.default_rng(0)
    noise = [
        replace(frame, planes=tuple(rng.integers(0, 256, plane.shape, np.uint8) for plane in frame.planes))
        for frame in frames(40, 160, 120)
    ]
    about = info(noise[0])
    work = SegmentEncoder(final, about, EncodeSettings(), 1)
    segments = [work.encode(protected(part)) for part in cut(noise, 20, 20)]
    assert sum(segment.nbytes for segment in segments) > 2 * 40_000
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(OutputError) as caught, open_sink(final, source, about, EncodeSettings()) as sink:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, old[1]))  # as a full disk, but with EFBIG
        try:
            for segment in segments:
                sink.commit(segment)
            sink.finish()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert "\n" not in str(caught.value)
    assert str(final) in str(caught.value)
    assert left_behind(tmp_path, "source.mp4") == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_at_the_end(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    final = tmp_path / "out.mp4"
    clip = frames(5)

    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    with open_sink(final, source, info(clip[0]), EncodeSettings()) as sink:
        sink.commit(encode(clip))
        monkeypatch.setattr(os, call, fail)
        with pytest.raises(OutputError, match=os.strerror(code)):
            sink.finish()
    assert left_behind(tmp_path, "source.mp4") == []
