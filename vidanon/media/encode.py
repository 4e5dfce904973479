"""One closed-GOP encoder per segment: protected frames in, packets with exactly their pts out.

Every segment starts with a key picture and refers to nothing outside itself; with constant quality and the same
settings all segments carry the same parameter sets, so that their packets, one after the other, are one stream.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.filter import Graph
from av.video.stream import VideoStream

from vidanon.config import EncodeSettings
from vidanon.errors import OutputError
from vidanon.media.base import SourceInfo
from vidanon.media.containers import Container, container_for
from vidanon.media.encoder_options import encoder_options, frame_rate
from vidanon.media.encoders import Choice, check_settings, choose, is_automatic, libav_format, quiet_libraries
from vidanon.media.fit import Fit, Layout, first_fit, later_fit
from vidanon.media.formats import to_av
from vidanon.media.metadata import strip_user_data
from vidanon.types import Frame, ProtectedFrame

_BITEXACT = 1 << 23  # AV_CODEC_FLAG_BITEXACT
_INTERLACED = 1 << 18 | 1 << 29  # AV_CODEC_FLAG_INTERLACED_DCT, _ME


@dataclass(frozen=True)
class EncodedPacket:
    data: bytes
    pts: int  #: of its frame, in the segment's time base
    duration: int  #: ticks
    key: bool


@dataclass(frozen=True)
class StreamFormat:
    """What a muxer has to know of the stream; equal for every segment of an output."""

    encoder: str
    codec: str
    layout: Layout
    extradata: bytes  #: parameter sets as the encoder wrote them (Annex B for H.264 and HEVC)
    header: bytes  #: a one-picture MP4 file of this stream, from which a muxer copies all other parameters
    rate: Fraction  #: nominal frame rate
    reorder: int  #: pictures a decoder may have to hold back, at most


@dataclass(frozen=True)
class EncodedSegment:
    """A segment as the encoder made it; packets in decoding order (decoding times are the sink's business)."""

    stream: StreamFormat
    packets: tuple[EncodedPacket, ...]
    time_base: Fraction
    fit: Fit  #: from the frames that went in to the pictures that were encoded
    indices: tuple[int, ...]  #: Frame.index of the frames that went in, in order of showing

    @property
    def frames(self) -> int:
        return len(self.packets)

    @property
    def first_pts(self) -> int:
        return min(packet.pts for packet in self.packets)

    @property
    def last_pts(self) -> int:
        return max(packet.pts for packet in self.packets)

    @property
    def nbytes(self) -> int:
        return sum(len(packet.data) for packet in self.packets)


class SegmentEncoder:
    """Encodes segments of one output. The first frame ever seen sets the output's layout.

    ``fallbacks`` (another encoder than the one named, and why) and ``warnings`` (what the output loses) are
    complete once a segment is encoded; ``name`` says what encodes.
    """

    def __init__(self, final: Path, info: SourceInfo, settings: EncodeSettings, threads: int | None = None) -> None:
        """``final`` is the output's path, for its extension. ``threads``: None for one per usable core.

        Raises UsageError for an unknown extension, encoder, quality, or a pair of them that does not go together.
        """
        self._container: Container = container_for(final)
        check_settings(settings, self._container.name)
        self._info = info
        self._settings = settings
        self._threads = threads or len(os.sched_getaffinity(0))
        self._choice: Choice | None = None
        self._output: Layout | None = None
        self._field_order = ""  # "", "tff", "bff"
        self.fallbacks: list[str] = []
        self.warnings: list[str] = []

    @property
    def name(self) -> str:
        if self._choice is not None:
            return self._choice.spec.name
        return "" if is_automatic(self._settings) else self._settings.encoder

    def encode(self, frames: Iterable[ProtectedFrame]) -> EncodedSegment:
        """Encode the frames of one segment, which have one layout and pts in order of showing.

        Raises TypeError for anything but a ProtectedFrame, ValueError for no frame or frames of several layouts,
        OutputError where the encoder fails.
        """
        work: _Work | None = None
        try:
            for protected in frames:
                if not isinstance(protected, ProtectedFrame):
                    raise TypeError(f"only a ProtectedFrame may be encoded, not {type(protected).__name__}")
                if work is None:
                    work = self._begin(protected.frame)
                work.add(protected.frame)
            if work is None:
                raise ValueError("a segment has at least one frame")
            return work.finish()
        except av.FFmpegError as error:
            raise OutputError(f"{self.name} failed ({_reason(error)}); choose another encoder or preset") from error
        finally:
            if work is not None:
                work.close()

    def _begin(self, first: Frame) -> _Work:
        source = Layout.of(first)
        if self._output is None or self._choice is None:
            fit = self._set_up(first, source)
        elif source == self._first:
            fit = self._first_fit
        else:
            fit = later_fit(source, self._output)
        for line in fit.describe():
            if line not in self.warnings:
                self.warnings.append(line)
        assert self._choice is not None
        return _Work(self._choice, fit, self._info, self._threads, self._field_order, first.time_base)

    def _set_up(self, first: Frame, source: Layout) -> Fit:
        choice = choose(self._settings, self._container.name, first.format, first.width, first.height)
        keeps_sar = self._container.keeps_sar(choice.spec.codec)
        fit = first_fit(source, choice.format, self._container.orientation, keeps_sar, choice.spec.even)
        self._choice, self._output, self._first, self._first_fit = choice, fit.target, source, fit
        self.fallbacks += choice.fallbacks
        self.warnings += choice.warnings
        if first.interlaced:
            turned = fit.source.orientation != fit.target.orientation
            if choice.spec.name == "libx264" and not turned and fit.target.height % 4 == 0:
                self._field_order = "tff" if first.top_field_first else "bff"
            else:
                self.warnings.append(f"{choice.spec.name} stores the interlaced pictures whole, flagged progressive")
        return fit


class _Work:
    """One encoder at work on one segment."""

    def __init__(
        self, choice: Choice, fit: Fit, info: SourceInfo, threads: int, field_order: str, time_base: Fraction
    ) -> None:
        quiet_libraries()
        self._fit = fit
        self._choice = choice
        self._time_base = time_base
        self._rate = frame_rate(info)
        self._frames: list[tuple[int, int, int]] = []  # index, pts, duration
        self._ticks: list[int] = []  # what the encoder is told: from 0, strictly rising
        self._packets: list[av.Packet] = []
        self._file = io.BytesIO()
        layout = fit.target
        options = {"movflags": "empty_moov+default_base_moof", "fflags": "+bitexact"}
        self._muxer: OutputContainer = av.open(self._file, "w", format="mp4", options=options)
        stream = self._muxer.add_stream(choice.spec.name, rate=self._rate, options=encoder_options(choice, info, field_order, threads))
        assert isinstance(stream, VideoStream)
        self._stream = stream
        context = stream.codec_context
        context.width, context.height = layout.width, layout.height
        context.pix_fmt = libav_format(choice.spec, layout.format)
        context.time_base, context.framerate = time_base, self._rate
        context.sample_aspect_ratio = layout.sar
        context.color_primaries, context.color_trc = layout.colour.primaries, layout.colour.transfer
        context.colorspace = layout.colour.matrix
        context.color_range = 2 if layout.colour.full_range else 1
        context.thread_count = threads
        context.flags |= _BITEXACT | (_INTERLACED if field_order else 0)
        self._fields = _field_filter(layout, time_base, field_order) if field_order else None

    def add(self, frame: Frame) -> None:
        if Layout.of(frame) != self._fit.source or frame.time_base != self._time_base:
            raise ValueError("the frames of a segment have one layout and one time base")
        tick = frame.pts - self._frames[0][1] if self._frames else 0
        if self._ticks and tick <= self._ticks[-1]:
            tick = self._ticks[-1] + 1  # the encoder wants rising times; the packet gets the frame's own pts back
        self._frames.append((frame.index, frame.pts, frame.duration))
        self._ticks.append(tick)
        picture = to_av(self._fit.forward(frame))
        picture.pts, picture.time_base = tick, self._time_base
        if frame.duration > 0:
            picture.duration = frame.duration
        if self._fields is not None:
            self._fields.push(picture)
            picture = self._fields.pull()  # type: ignore[assignment]
        self._packets += self._stream.encode(picture)

    def finish(self) -> EncodedSegment:
        self._packets += self._stream.encode(None)
        if len(self._packets) != len(self._frames):
            raise OutputError(f"{self._choice.spec.name} gave {len(self._packets)} packets for {len(self._frames)} frames; choose another encoder")
        by_tick = dict(zip(self._ticks, self._frames, strict=True))
        spec = self._choice.spec
        packets = []
        for packet in self._packets:
            if packet.pts is None or packet.pts not in by_tick:
                raise OutputError(f"{spec.name} changed the time of a frame; choose another encoder")
            _, pts, duration = by_tick[packet.pts]
            packets.append(EncodedPacket(strip_user_data(bytes(packet), spec.codec), pts, duration, packet.is_keyframe))
        extradata = bytes(self._stream.codec_context.extradata or b"")
        first = self._packets[0]
        self._muxer.mux(first)
        self._muxer.close()
        stream = StreamFormat(spec.name, spec.codec, self._fit.target, extradata, self._file.getvalue(), self._rate, spec.reorder)
        indices = tuple(index for index, _, _ in self._frames)
        return EncodedSegment(stream, tuple(packets), self._time_base, self._fit, indices)

    def close(self) -> None:
        try:
            self._muxer.close()
        except (av.FFmpegError, OSError, ValueError):  # half made and not wanted any more
            pass


def _field_filter(layout: Layout, time_base: Fraction, field_order: str) -> Graph:
    """Marks pictures as interlaced; libav has no other way to say it of a frame from outside."""
    graph = Graph()
    source = graph.add_buffer(
        width=layout.width, height=layout.height, format=av.VideoFormat(layout.format.name), time_base=time_base
    )
    marked = graph.add("setfield", field_order)
    sink = graph.add("buffersink")
    source.link_to(marked)
    marked.link_to(sink)
    graph.configure()
    return graph


def _reason(error: av.FFmpegError) -> str:
    log = getattr(error, "log", None)
    return str(log[2]).strip() if log else str(error.strerror or error)
