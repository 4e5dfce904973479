"""Synthetic frames and source files for the tests of the write side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from vidanon.config import EncodeSettings, Limits
from vidanon.media.base import HdrInfo, SourceInfo
from vidanon.media.encode import SegmentEncoder
from vidanon.media.encoded import EncodedSegment
from vidanon.media.formats import SUPPORTED, plane_shape
from vidanon.media.sink import open_sink
from vidanon.types import PROTECTION_KEY, Colour, Frame, Orientation, ProtectedFrame

BT709 = Colour(1, 1, 1, False)
TICK = Fraction(1, 12800)


def picture(width: int, height: int, name: str = "yuv420p", step: int = 0, full_range: bool = False) -> tuple:
    """Planes of a picture that has no symmetry: two gradients, and a bright block near the top left that moves."""
    fmt = SUPPORTED[name]
    scale = 1 << (fmt.depth - 8)
    planes = []
    for index in range(fmt.planes):
        rows, columns = plane_shape(fmt, index, width, height)
        y, x = np.mgrid[0:rows, 0:columns]
        values = 60.0 + 80.0 * x / max(1, columns - 1) + 40.0 * y / max(1, rows - 1) + 10 * index
        if index and not fmt.rgb:
            values = 115.0 + 20.0 * x / max(1, columns - 1) + 10.0 * y / max(1, rows - 1) - 5 * index
        else:
            top, left = rows // 8, columns // 8 + step % max(1, columns // 4)
            values[top : top + max(1, rows // 4), left : left + max(1, columns // 4)] = 220
        planes.append((values * scale).astype(np.uint8 if fmt.depth == 8 else "<u2"))
    return tuple(planes)


def frames(
    count: int,
    width: int = 64,
    height: int = 48,
    name: str = "yuv420p",
    *,
    start: int = 0,
    step: int = 512,
    pts: Sequence[int] | None = None,
    index: int = 0,
    colour: Colour = BT709,
    **fields: object,
) -> list[Frame]:
    """Frames at 25 fps in ticks of 1/12800 s, or with the pts given."""
    times = [start + n * step for n in range(count)] if pts is None else list(pts)
    out = []
    for n, time in enumerate(times):
        planes = picture(width, height, name, 2 * (index + n))
        frame = Frame(planes, SUPPORTED[name], colour, index + n, time, TICK, duration=step)
        out.append(replace(frame, **fields))
    return out


def protected(source: Iterable[Frame]) -> list[ProtectedFrame]:
    return [ProtectedFrame(frame, PROTECTION_KEY) for frame in source]


def info(first: Frame, container: str = "mov,mp4,m4a,3gp,3g2,mj2", **fields: object) -> SourceInfo:
    values = SourceInfo(
        first.width, first.height, first.format, "h264", container, 0, first.time_base, Fraction(25), None, None,
        first.orientation, first.sar, first.colour, HdrInfo(), False, (), (),
    )  # fmt: skip
    return replace(values, **fields)


def encode(
    source: Sequence[Frame], final: str = "out.mp4", settings: EncodeSettings | None = None, **fields: object
) -> EncodedSegment:
    encoder = SegmentEncoder(Path(final), info(source[0], **fields), settings or EncodeSettings(), 1)
    return encoder.encode(protected(source))


def write(
    final: Path,
    segments: Sequence[Sequence[Frame]],
    source_path: Path,
    settings: EncodeSettings | None = None,
    *,
    cut_start: bool = False,
    cut_end: bool = False,
    **fields: object,
) -> tuple[list[str], list[str], list[str]]:
    """Encode and commit; (the sink's report, the sink's warnings, the encoder's warnings)."""
    settings = settings or EncodeSettings()
    about = info(segments[0][0], **fields)
    encoder = SegmentEncoder(final, about, settings, 1)
    with open_sink(final, source_path, about, settings, cut_start, cut_end, Limits()) as sink:
        for segment in segments:
            sink.commit(encoder.encode(protected(segment)))
        report = sink.finish()
    return report, sink.warnings, encoder.warnings


def cut(source: Sequence[Frame], *lengths: int) -> list[list[Frame]]:
    """Segments of these lengths, which add up to all frames."""
    out, at = [], 0
    for length in lengths:
        out.append(list(source[at : at + length]))
        at += length
    assert at == len(source)
    return out


def shown(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path)) as file:
        return list(file.decode(video=0))


def times(path: Path) -> list[Fraction]:
    return [frame.pts * frame.time_base for frame in shown(path)]


def sounds(path: Path, track: int = 0) -> list[tuple[bytes, Fraction]]:
    """(payload, time) of every packet of an audio track that a player hears."""
    with av.open(str(path)) as file:
        stream = file.streams.audio[track]
        packets = [p for p in file.demux(stream) if p.size and not p.is_discard]
        return [(bytes(p), p.pts * stream.time_base) for p in packets]


def make_source(
    path: Path,
    codecs: Sequence[str] = ("aac",),
    seconds: float = 1.0,
    *,
    rate: int = 48000,
    start: float = 0.0,
    metadata: dict[str, str] | None = None,
    subtitle: bool = False,
) -> Path:
    """A file with small pictures at 25 fps and one tone per codec."""
    with av.open(str(path), "w", metadata_encoding="utf-8") as file:
        video = file.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        tracks = []
        for codec in codecs:
            track = file.add_stream(codec, rate=rate)
            track.codec_context.layout = "stereo"
            tracks.append(track)
        text = file.add_mux_stream("mov_text") if subtitle else None
        if metadata:
            file.metadata.update(metadata)
            for stream in (video, *tracks):
                stream.metadata.update(metadata)
        for n in range(round(seconds * 25)):
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([40 + n % 100]) * plane.buffer_size)
            frame.pts, frame.time_base = n + round(start * 25), Fraction(1, 25)
            file.mux(video.encode(frame))
        file.mux(video.encode(None))
        for number, track in enumerate(tracks):
            size = track.codec_context.frame_size or 1024
            for n in range(0, round(seconds * rate), size):
                at = np.arange(n, n + size) / rate
                tone = (0.2 * np.sin(2 * np.pi * (300 + 100 * number) * at)).astype(np.float32)
                sound = av.AudioFrame.from_ndarray(np.stack([tone, tone]), "fltp", "stereo")
                sound.sample_rate, sound.pts = rate, n + round(start * rate)
                sound.time_base = Fraction(1, rate)
                file.mux(track.encode(sound))
            file.mux(track.encode(None))
        if text is not None:
            packet = av.Packet(b"\x00\x05hello")
            packet.pts = packet.dts = 0
            packet.duration, packet.time_base, packet.stream = 1000, Fraction(1, 1000), text
            file.mux(packet)
    return path


EVERY_ORIENTATION = [Orientation(rotation, hflip) for rotation in (0, 90, 180, 270) for hflip in (False, True)]
