"""One libav encoder, from the first frame of a segment to its last packet."""

from __future__ import annotations

import io
from contextlib import suppress
from fractions import Fraction
from typing import Any

import av
from av.container import OutputContainer
from av.filter import Graph
from av.video.codeccontext import VideoCodecContext

from vidanon.errors import OutputError
from vidanon.media.base import SourceInfo
from vidanon.media.encoded import EncodedPacket, EncodedSegment, StreamFormat
from vidanon.media.encoder_options import encoder_options, frame_rate
from vidanon.media.encoder_probe import quiet_libraries
from vidanon.media.encoder_table import libav_format
from vidanon.media.encoders import Choice
from vidanon.media.fit import Fit, Layout
from vidanon.media.formats import to_av
from vidanon.media.hdr_boxes import with_hdr_boxes
from vidanon.media.metadata import strip_user_data
from vidanon.types import Frame

_BITEXACT = 1 << 23  # AV_CODEC_FLAG_BITEXACT
_INTERLACED = 1 << 18 | 1 << 29  # AV_CODEC_FLAG_INTERLACED_DCT, _ME


class SegmentWork:
    """One encoder at work on one segment: ``add`` frames, then ``finish``; ``close`` in any case."""

    def __init__(
        self,
        choice: Choice,
        fit: Fit,
        info: SourceInfo,
        threads: int,
        field_order: str,
        time_base: Fraction,
        still: bool,
    ) -> None:
        """``field_order``: "", "tff" or "bff". ``still``: one picture that is a file by itself."""
        quiet_libraries()
        self._fit = fit
        self._choice = choice
        self._time_base = time_base
        self._hdr = info.hdr
        self._rate = frame_rate(info)
        self._frames: list[tuple[int, int, int]] = []  # index, pts, duration
        self._ticks: list[int] = []  # what the encoder is told: from 0, strictly rising
        self._packets: list[av.Packet[Any]] = []
        self._file = io.BytesIO()
        self._muxer: OutputContainer | None = None
        layout = fit.target
        private = encoder_options(choice.spec, choice.quality, choice.preset, info, field_order, threads)
        if still:
            context = av.CodecContext.create(choice.spec.name, "w")
            context.options = private
        else:
            options = {"movflags": "empty_moov+default_base_moof", "fflags": "+bitexact"}
            self._muxer = av.open(self._file, "w", format="mp4", options=options)
            context = self._muxer.add_stream(choice.spec.name, rate=self._rate, options=private).codec_context
        assert isinstance(context, VideoCodecContext)
        self._context = context
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
        self._packets += self._context.encode(picture)

    def finish(self) -> EncodedSegment:
        self._packets += self._context.encode(None)
        if len(self._packets) != len(self._frames):
            raise OutputError(
                f"{self._choice.spec.name} gave {len(self._packets)} packets for {len(self._frames)} frames; "
                "choose another encoder"
            )
        positions = {tick: position for position, tick in enumerate(self._ticks)}
        spec = self._choice.spec
        packets = []
        for packet in self._packets:
            position = positions.pop(packet.pts, None) if packet.pts is not None else None
            if position is None:
                raise OutputError(f"{spec.name} changed the time of a frame; choose another encoder")
            _, pts, duration = self._frames[position]
            data = strip_user_data(bytes(packet), spec.codec)
            packets.append(EncodedPacket(data, position, pts, duration, packet.is_keyframe))
        extradata = bytes(self._context.extradata or b"")
        if self._muxer is not None:
            first = self._packets[0]
            first.pts = first.dts = 0  # x265 leaves some out
            self._muxer.mux(first)
            self._muxer.close()
        header = with_hdr_boxes(self._file.getvalue(), self._hdr) if self._muxer is not None else b""
        stream = StreamFormat(spec.name, spec.codec, self._fit.target, extradata, header, self._rate, spec.reorder)
        indices = tuple(index for index, _, _ in self._frames)
        return EncodedSegment(stream, tuple(packets), self._time_base, self._fit, indices)

    def close(self) -> None:
        if self._muxer is not None:
            with suppress(av.FFmpegError, OSError, ValueError):  # half made and not wanted any more
                self._muxer.close()


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
