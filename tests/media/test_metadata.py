"""Nothing of the source's words, and none of the tools', in any output."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from writekit import encode, frames, info, make_source, write

from vidanon.config import EncodeSettings, Limits
from vidanon.media.containers import STILL_EXTENSIONS, container_for
from vidanon.media.encode import SegmentEncoder
from vidanon.media.metadata import muxer_options, strip_user_data
from vidanon.media.sink import open_sink
from vidanon.media.source import open_source
from vidanon.types import PROTECTION_KEY, ProtectedFrame

CANARY = "CANARY-7f3a-words"
EXTENSIONS = [".mp4", ".mov", ".mkv", ".webm"]
START = b"\0\0\0\1"


def unit(kind: int, body: bytes) -> bytes:
    return START + bytes([kind]) + body


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_tags_of_the_source_stay_behind(tmp_path: Path, extension: str) -> None:
    tags = {"title": CANARY, "artist": CANARY, "comment": CANARY, "location": "+48.85+002.29/", "language": "fra",
            "creation_time": "2024-05-06T07:08:09Z", "handler_name": CANARY}  # fmt: skip
    source = make_source(tmp_path / "source.mov", ("aac", "ac3"), metadata=tags)
    assert CANARY.encode() in source.read_bytes()
    final = tmp_path / f"out{extension}"
    write(final, [frames(20)], source)
    data = final.read_bytes()
    coded = CANARY.encode(), CANARY.encode("utf-16-le"), base64.b64encode(CANARY.encode())[2:-4]
    for form in (*coded, b"+48.85", b"fra\0"):
        assert form not in data
    with av.open(str(final)) as file:
        assert not {"title", "artist", "comment", "location", "creation_time", "date"} & set(file.metadata)
        for stream in file.streams:
            assert stream.metadata.get("language", "und") == "und"
            assert not {"title", "comment", "creation_time"} & set(stream.metadata)


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_no_tool_is_named_and_no_day(tmp_path: Path, extension: str) -> None:
    source = make_source(tmp_path / "source.mp4")
    final = tmp_path / f"out{extension}"
    write(final, [frames(20)], source)
    data = final.read_bytes()
    for word in (b"Lavf6", b"Lavc", b"x264", b"vidanon", b"http"):
        assert word not in data
    again = tmp_path / f"again{extension}"
    write(again, [frames(20)], source)
    assert again.read_bytes() == data  # no time, no random number


def test_muxer_options_are_bit_exact() -> None:
    for name in ("a.mp4", "a.mov", "a.mkv", "a.webm"):
        assert "bitexact" in muxer_options(container_for(Path(name), False))["fflags"]


@pytest.mark.parametrize(("codec", "head"), [("h264", b"\x06"), ("hevc", b"\x4e\x01")])
def test_user_data_is_cut_out_of_packets(codec: str, head: bytes) -> None:
    parameters = START + (b"\x67\x64\x00\x1e" if codec == "h264" else b"\x42\x01\x01\x02")
    picture = b"\0\0\1" + (b"\x65\x88\x84" if codec == "h264" else b"\x26\x01\xaf") + bytes(range(1, 60))
    text = bytes([5, 16 + len(CANARY)]) + bytes(range(1, 17)) + CANARY.encode()
    captions = bytes([4, 5]) + b"\xb5\x00\x31\x47\x41"
    recovery = bytes([6, 1, 0x84])
    long = bytes([5, 255, 45]) + b"z" * 300
    sei = START + head
    for words in (text, captions, long, text + captions):
        dirty = parameters + sei + words + b"\x80" + picture
        assert strip_user_data(dirty, codec) == parameters + picture
    kept = parameters + sei + recovery + b"\x80" + picture
    assert strip_user_data(kept, codec) == kept
    for mixed in (text + recovery, recovery + text):
        assert strip_user_data(parameters + sei + mixed + b"\x80" + picture, codec) == kept


def test_cut_packets_are_escaped_again() -> None:
    words = bytes([5, 17]) + bytes(range(1, 17)) + b"x"
    zeros = bytes([137, 4, 0, 0, 3, 1, 9])  # payload 00 00 01 09, escaped
    dirty = START + b"\x06" + words + zeros + b"\x80" + START + b"\x65rest"
    assert strip_user_data(dirty, "h264") == START + b"\x06" + zeros + b"\x80" + START + b"\x65rest"


@pytest.mark.parametrize("data", [b"", b"\0\0\1", b"\0\0\1\x06", b"\0\0\1\x06\x05", b"\0\0\1\x06\x05\xff\xff", b"av1!"])
def test_short_and_other_packets_do_no_harm(data: bytes) -> None:
    assert len(strip_user_data(data, "h264")) <= len(data)
    assert strip_user_data(data, "av1") == data


def test_what_libx264_says_of_itself_is_what_is_cut() -> None:
    """Guards against a libx264 that puts its words elsewhere: there are some to cut, and they go."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt, context.time_base = 64, 48, "yuv420p", Fraction(1, 25)
    frame = av.VideoFrame(64, 48, "yuv420p")
    frame.pts = 0
    raw = b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])
    assert b"x264 - core" in raw
    assert b"x264" not in strip_user_data(raw, "h264")
    assert b"x264" not in b"".join(packet.data for packet in encode(frames(1)).packets)


def hostile(folder: Path, tools: Path, ffmpeg: Callable[..., None]) -> list[Path]:
    """Small files with the canary in every place that a container has for words and pictures."""
    base = make_source(folder / "base.mp4", seconds=0.4)
    words = folder / "words.srt"
    words.write_text(f"1\n00:00:00,000 --> 00:00:01,000\n{CANARY} speaks\n", encoding="utf-8")
    chapters = folder / "chapters.txt"
    chapters.write_text(f";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=300\ntitle={CANARY}\n", "utf-8")
    cover = folder / "cover.jpg"
    ffmpeg("-i", base, "-frames:v", "1", "-q:v", "3", cover)

    def edit(kind: str, name: str, *arguments: object, start: Path = base) -> Path:
        out = folder / name
        command = [sys.executable, str(tools / "mp4edit.py"), kind, str(start), str(out), *map(str, arguments)]
        subprocess.run(command, check=True, timeout=60)
        return out

    def make(name: str, *arguments: object) -> Path:
        ffmpeg("-i", base, *arguments, folder / name)
        return folder / name

    tags = {"title": CANARY, "artist": CANARY, "comment": CANARY}
    sei = f"h264_metadata=sei_user_data=086f3693b7b34f2c965321492feee5b8+{CANARY}"
    return [
        make_source(folder / "tags.mkv", ("aac", "ac3"), metadata=tags),
        edit("udta_xyz", "udta.mp4", CANARY),
        edit("uuid_xmp", "xmp.mp4", CANARY),
        edit("free", "free.mp4", words),
        edit("trail", "trail.mp4", words),
        edit("elst_mid", "hidden.mp4", start=make("video.mp4", "-an", "-c", "copy")),
        make("sei.mp4", "-c", "copy", "-bsf:v", sei),
        make("gps.mov", "-c", "copy", "-movflags", "use_metadata_tags", "-metadata", f"com.apple.make={CANARY}"),
        make("service.ts", "-c", "copy", "-metadata", f"service_name={CANARY}"),
        make("text.mp4", "-i", words, "-map", 0, "-map", 1, "-c", "copy", "-c:s", "mov_text"),
        make("attach.mkv", "-c", "copy", "-attach", words, "-metadata:s:t", "mimetype=text/plain"),
        make("chapters.mp4", "-i", chapters, "-map_metadata", 1, "-map_chapters", 1, "-c", "copy"),
        make("cover.mp4", "-i", cover, "-map", 0, "-map", 1, "-c", "copy", "-c:v:1", "mjpeg",
             "-disposition:v:1", "attached_pic"),
        make("two.mkv", "-map", "0:v", "-map", "0:v", "-map", "0:a", "-c", "copy"),
        edit("exif", "exif.jpg", cover, CANARY, start=cover),
    ]  # fmt: skip


def test_an_independent_scanner_finds_nothing(test_data: Path, tmp_path: Path, ffmpeg: Callable[..., None]) -> None:
    tools = test_data / "corpus"
    scanner = tools / "leakscan.py"
    assert scanner.is_file(), f"{scanner} is missing from the test data"
    sources, outputs = tmp_path / "sources", tmp_path / "outputs"
    sources.mkdir()
    outputs.mkdir()
    cases = hostile(sources, tools, ffmpeg)
    for number, path in enumerate(cases):
        extension = (".mp4", ".mkv", ".webm")[number % 3]
        with open_source(path, Limits()) as source:
            clip = [ProtectedFrame(frame, PROTECTION_KEY) for frame in source.frames()]
            final = outputs / (path.name.replace(".", "_") + (".jpg" if source.info.is_still else extension))
            encoder = SegmentEncoder(final, source.info, EncodeSettings(), 1)
            with open_sink(final, path, source.info, EncodeSettings()) as sink:
                sink.commit(encoder.encode(clip))
                sink.finish()

    def scan(files: list[Path]) -> str:
        command = [sys.executable, "-B", str(scanner), CANARY, *map(str, files)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tools, check=False, timeout=120)
        return done.stdout

    assert scan(cases).count("LEAK ") == len(cases)  # the scanner sees what is in the sources
    assert scan(sorted(outputs.iterdir())).count("ok ") == len(cases)


def test_still_pictures_say_nothing(tmp_path: Path) -> None:
    for extension in STILL_EXTENSIONS:
        first = frames(1)[0]
        final = tmp_path / f"out{extension}"
        encoder = SegmentEncoder(final, info(first, is_still=True), EncodeSettings())
        with open_sink(final, tmp_path / "source.jpg", info(first, is_still=True), EncodeSettings()) as sink:
            sink.commit(encoder.encode([ProtectedFrame(first, PROTECTION_KEY)]))
            sink.finish()
        data = final.read_bytes()
        for word in (b"Lavc", b"Exif", b"EXIF", b"tEXt", b"iTXt", b"\xff\xfe\0", b"Creat", b"eXIf", b"tIME"):
            assert word not in data[:2000]
