"""Hostile and wrong inputs are refused before they cost anything."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import av
import pytest

from vidanon.config import Limits
from vidanon.errors import InputError, NoVideoError, ResourceLimitError, UnsupportedError, VidanonError
from vidanon.media.decode import Decoder
from vidanon.media.libav import decoding_error, opening_error
from vidanon.media.limits import check_file
from vidanon.media.source import open_source


def refused(path: Path, kind: type[VidanonError] = InputError, limits: Limits | None = None) -> str:
    with pytest.raises(kind) as caught:
        open_source(path, limits or Limits())
    message = str(caught.value)
    assert "\n" not in message and str(path) in message and ";" in message  # one line that says what to do next
    return message.replace(str(path), "")


def test_missing_file(tmp_path):
    assert "no such file" in refused(tmp_path / "none.mp4")


def test_directory(tmp_path):
    assert "directory" in refused(tmp_path)


def test_empty_file(tmp_path):
    path = tmp_path / "empty.mp4"
    path.touch()
    assert "empty" in refused(path)


def test_fifo_does_not_block(tmp_path):
    path = tmp_path / "fifo.mp4"
    os.mkfifo(path)
    assert "pipe" in refused(path)


def test_link_to_a_device_does_not_block(tmp_path):
    path = tmp_path / "zero.mp4"
    path.symlink_to("/dev/zero")
    assert "device" in refused(path)


def test_socket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # socket names are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.mp4")
        assert "socket" in refused(Path("s.mp4"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(make_clip):
    path = make_clip("a.mp4")
    path.chmod(0)
    assert "permission" in refused(path)


def test_unreadable_file_is_told_by_its_access_bits(make_clip, monkeypatch):
    path = make_clip("a.mp4")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="permission"):
        check_file(path)


def test_name_with_a_null_byte():
    with pytest.raises(InputError):
        check_file(Path("a\0b.mp4"))


@pytest.mark.parametrize(
    "content", [b"just some words\n" * 50, bytes(range(256)) * 64, b"\0" * 4096, b"\xff\xd8\xff", b"GIF89a"]
)
def test_what_is_no_media_file(tmp_path, content):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(VidanonError) as caught:
        open_source(path, Limits())
    assert caught.value.exit_code in (3, 4, 6)


@pytest.mark.parametrize(
    "script",
    ["ffconcat version 1.0\nfile '{name}'\n", "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n{name}\n#EXT-X-ENDLIST\n",
     "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
     '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><BaseURL>{name}</BaseURL></MPD>'],
)  # fmt: skip
@pytest.mark.parametrize("name", ["list.mp4", "list.txt", "list.m3u8", "list.sdp", "list.mpd", "list.ffconcat"])
def test_scripts_that_name_other_files_are_refused(make_clip, script, name):
    clip = make_clip("real.mp4", frames=2)
    path = clip.with_name(name)
    path.write_text(script.format(name=clip.name))
    refused(path)


def test_a_name_with_a_pattern_is_just_a_name(tmp_path, make_clip):
    clip = make_clip("frame%03d.mp4", frames=2)
    with open_source(clip, Limits()) as source:
        assert len(list(source.frames())) == 2
    png = bytes_of_png(4, 4)
    (tmp_path / "shot001.png").write_bytes(png)
    refused(tmp_path / "shot%03d.png")
    (tmp_path / "shot%03d.png").write_bytes(bytes_of_png(6, 2))
    with open_source(tmp_path / "shot%03d.png", Limits()) as source:
        assert (source.info.width, source.info.height) == (6, 2)


@pytest.mark.parametrize(
    "name", ["concat:a.mp4|b.mp4", "-dash.mp4", "http:x.mp4", "sp ace '\";$(x) ü人.mp4", "n" * 250 + ".mp4"]
)
def test_names_that_look_like_something_else(make_clip, name, monkeypatch):
    clip = make_clip("a.mp4", frames=2)
    target = clip.with_name(name)
    clip.rename(target)
    monkeypatch.chdir(target.parent)
    for path in (target, Path(name)):
        with open_source(path, Limits()) as source:
            assert len(list(source.frames())) == 2


def test_a_name_that_is_no_utf8(make_clip):
    clip = make_clip("a.mp4", frames=2)
    target = Path(os.fsdecode(os.fsencode(str(clip.parent)) + b"/\xff\xfe.mp4"))
    clip.rename(target)
    with open_source(target, Limits()) as source:
        assert len(list(source.frames())) == 2


def test_links_are_followed(make_clip):
    clip = make_clip("a.mp4", frames=2)
    link = clip.with_name("link.mp4")
    link.symlink_to(clip)
    with open_source(link, Limits()) as source:
        assert source.info.width == 64


def bytes_of_png(width: int, height: int, depth: int = 1) -> bytes:
    """A valid grey PNG; its file stays tiny however large it claims to be."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = bytes((width * depth + 7) // 8 + 1)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def resident_mb() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("name", ["bomb.png", "bomb.mp4"])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(bytes_of_png(12000, 12000))
    before = resident_mb()
    assert "12000x12000" in refused(path, ResourceLimitError)
    assert resident_mb() - before < 32


def test_pixel_cap_of_a_video(make_clip):
    path = make_clip("a.mp4", size=(320, 240), frames=2)
    assert "320x240" in refused(path, ResourceLimitError, Limits(max_pixels=320 * 240 - 1))
    with open_source(path, Limits(max_pixels=320 * 240)) as source:
        assert len(list(source.frames())) == 2


def test_pixel_cap_reaches_the_decoder(make_clip, tmp_path):
    """Headers that lie: the container says 64x48, the bitstream is larger."""
    path = make_clip("a.mp4", size=(640, 480), frames=2)
    data = bytearray(path.read_bytes())
    at = data.index(b"avc1") + 4 + 24
    data[at : at + 4] = struct.pack(">HH", 64, 48)
    path.write_bytes(data)
    with pytest.raises(VidanonError) as caught, open_source(path, Limits(max_pixels=64 * 64)) as source:
        list(source.frames())
    assert caught.value.exit_code in (3, 4, 6)


def test_pixel_cap_is_set_in_the_decoder_itself(make_clip):
    told: list[str] = []
    with av.open(str(make_clip("a.mp4", size=(640, 480), frames=2))) as container:
        decoder = Decoder(container.streams.video[0], Limits(max_pixels=100 * 100), 1, True)
        assert list(decoder.run(container, told.append)) == [] and told


def test_careful_decoding_has_one_thread(make_clip):
    with av.open(str(make_clip("a.mp4", frames=2))) as container:
        stream = container.streams.video[0]
        Decoder(stream, Limits(), 4, True)
        assert stream.codec_context.thread_count == 1


_PEAK = """
import resource, sys
from pathlib import Path
from vidanon.config import Limits
from vidanon.errors import VidanonError
from vidanon.media.source import open_source
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    with open_source(Path(sys.argv[1]), Limits(max_pixels=1 << 20)) as source:
        list(source.frames())
except VidanonError as error:
    print(error.exit_code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before >> 10)
"""


def test_a_bomb_behind_a_lying_header_costs_no_memory(tmp_path):
    """QuickTime says 64x48; the PNG in it has 12000x12000. Both probing and decoding must refuse it."""
    path = tmp_path / "bomb.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        packet = av.Packet(bytes_of_png(12000, 12000, depth=8))
        packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 25)
        packet.is_keyframe = True
        container.mux(packet)
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    exit_code, grown = map(int, done.stdout.split())
    assert exit_code in (3, 4, 6) and grown < 64, done.stdout


def test_duration_cap(make_clip):
    path = make_clip("long.mkv", frames=3, pts=[0, 40, 500_000])
    assert "limit of 100 s" in refused(path, ResourceLimitError, Limits(max_seconds=100))


def test_duration_cap_of_a_file_that_does_not_say(make_clip, ffmpeg, tmp_path):
    path = tmp_path / "live.mkv"
    ffmpeg("-i", make_clip("long.mkv", frames=3, pts=[0, 40, 500_000]), "-c", "copy", "-live", 1, path)
    with pytest.raises(ResourceLimitError), open_source(path, Limits(max_seconds=100)) as source:
        list(source.frames())


def test_stream_cap(tmp_path):
    path = tmp_path / "many.mkv"
    with av.open(str(path), "w") as container:
        streams = []
        for _ in range(5):
            stream = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
            streams.append(stream)
        for stream in streams:
            container.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
            container.mux(stream.encode(None))
    assert "5 streams" in refused(path, ResourceLimitError, Limits(max_streams=4))


def test_sound_alone_has_no_video(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(
        b"RIFF" + struct.pack("<I", 36 + 3200) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
        + b"data" + struct.pack("<I", 3200) + bytes(3200)
    )  # fmt: skip
    refused(path, NoVideoError)


def test_animated_webp_is_refused_not_shown_by_its_first_picture(tmp_path):
    path = tmp_path / "a.webp"
    body = (
        b"WEBPVP8X"
        + struct.pack("<I", 10)
        + bytes([2, 0, 0, 0, 9, 0, 0, 9, 0, 0])
        + b"ANIM"
        + struct.pack("<I", 6)
        + bytes(6)
    )
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    assert "animated WebP" in refused(path, UnsupportedError)


def test_libav_errors_become_ours():
    path = Path("x.mp4")
    for name in [n for n in dir(av.error) if n.endswith("Error") and n not in ("FFmpegError", "PyAVCallbackError")]:
        kind = getattr(av.error, name)
        if isinstance(kind, type) and issubclass(kind, av.FFmpegError):
            error = kind(1, "why")
            assert isinstance(opening_error(error, path), VidanonError)
            assert isinstance(decoding_error(error, "x.mp4"), VidanonError)
    assert isinstance(opening_error(MemoryError(), path), ResourceLimitError)
    assert decoding_error(av.error.InvalidDataError(1, "why"), "x.mp4").exit_code == 6
