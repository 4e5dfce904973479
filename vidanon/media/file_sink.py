"""The output file: committed segments and the source's sound, in a hidden file that gets its name at the very end.

Nothing is seen at the final path before ``finish`` has written, synced and counted everything; whatever goes wrong
before, the hidden file is deleted and the path is as it was.

Time. Every pts is the source's. Two cases are shifted, and said so: sources whose clock starts anywhere (MPEG
transport and program streams) or below zero begin at zero, and so does an output with a cut-off beginning.
Decoding times are made here: in a stream whose pictures are held back by at most ``d`` others, the decoding time
of the n-th packet is the (n - d)-th smallest pts. That is exact across segments, rises strictly, and never lies
after the packet's own pts.
"""

from __future__ import annotations

import io
from collections import deque
from fractions import Fraction
from itertools import pairwise
from math import ceil, lcm
from pathlib import Path
from typing import Any

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from vidanon.errors import OutputError, VidanonError
from vidanon.media.audio import AudioTracks
from vidanon.media.base import SourceInfo
from vidanon.media.containers import Container, display_matrix
from vidanon.media.encoded import EncodedSegment, StreamFormat
from vidanon.media.hidden_file import HiddenFile, output_error
from vidanon.media.metadata import muxer_options
from vidanon.media.sink_base import Sink

_FREE_CLOCKS = frozenset({"mpegts", "mpeg", "mpegtsraw", "rtsp", "rtp"})
_LARGEST_TIMESCALE = 2**31 - 1


class FileSink(Sink):
    """One MP4, MOV, Matroska or WebM file. Made by ``sink.open_sink``."""

    def __init__(
        self, final: Path, container: Container, info: SourceInfo, audio: AudioTracks, cut_start: bool, cut_end: bool
    ) -> None:
        self._final = final
        self._container = container
        self._info = info
        self._audio = audio
        self._cut_start = cut_start
        self._cut_end = cut_end
        self._output: OutputContainer | None = None
        self._video: VideoStream | None = None
        self._stream: StreamFormat | None = None
        self._time_base = Fraction(0)
        self._shift = 0  # ticks added to every pts
        self._held: deque[int] = deque()  # pts that are decoding times of packets to come
        self._pending: av.Packet[Any] | None = None  # the last packet, until it is known whether one follows
        self._last_pts: int | None = None
        self._step = 1  # ticks of a picture at the nominal rate
        self._first_pts = 0
        self._first_dts = 0
        self._end = 0  # pts where the last picture ends, before the shift
        self._ends, self._reach = 0, -1  # pts where the muxer thinks the track ends, and that it must reach beyond
        self._packets = 0
        self._raised = 0
        self._rounded = False  # some pts is no whole millisecond
        self.warnings: list[str] = []
        self._hidden = HiddenFile(final)

    def commit(self, segment: EncodedSegment) -> None:
        """Raises OutputError (disk full, or a segment that does not belong to this stream)."""
        try:
            if not self._hidden.alive:
                raise OutputError("this output has ended; start again")
            if self._output is None:
                self._begin(segment)
            elif not self._fits(segment):
                raise OutputError("a segment was encoded with other parameters than the first; start again")
            self._mux_segment(segment)
        except (av.FFmpegError, OSError) as error:
            self.abort()
            raise output_error(self._final, error) from error
        except VidanonError:
            self.abort()
            raise

    def finish(self) -> list[str]:
        """Write what is left, sync, check the count of pictures, and give the file its name.

        Returns the report: a line per audio track, and per kind of stream that was left behind. Raises OutputError.
        """
        if self._output is None or self._video is None:
            self.abort()
            raise OutputError("nothing was committed: there is no output")
        try:
            if self._cut_end:
                self._audio.last = self._end * self._time_base
            self._mux_last()
            for packet in self._audio.rest():
                self._output.mux(packet)
            self._output.close()
            self._audio.close()
            if self._raised:
                self.warnings.append(
                    f"{self._raised} frames had no later time than the one before; they are shown a tick after it"
                )
            if self._rounded and not self._container.exact_time:
                self.warnings.append("this kind of file counts time in milliseconds: pts are rounded to them")
            self._hidden.sync()
            self._check_count()
            self._hidden.publish()
        except (av.FFmpegError, OSError) as error:
            self.abort()
            raise output_error(self._final, error) from error
        except BaseException:
            self.abort()
            raise
        return self._audio.report()

    def abort(self) -> None:
        if not self._hidden.alive:
            return
        try:
            if self._output is not None:
                self._output.close()
        except (av.FFmpegError, OSError, ValueError):
            pass  # a full disk raises again here; the file goes anyway
        finally:
            self._audio.close()
            self._hidden.discard()

    # The stream --------------------------------------------------------------------------------------------

    def _fits(self, segment: EncodedSegment) -> bool:
        first, stream = self._stream, segment.stream
        assert first is not None
        same = stream.extradata == first.extradata and stream.layout == first.layout and stream.codec == first.codec
        return same and segment.time_base == self._time_base

    def _begin(self, segment: EncodedSegment) -> None:
        stream = segment.stream
        self._stream, self._time_base = stream, segment.time_base
        self._set_shift(segment)
        options = muxer_options(self._container)
        if self._container.exact_time:
            options["movie_timescale"] = str(self._movie_timescale(segment.time_base))
        output = av.open(str(self._hidden.path), "w", format=self._container.name, options=options)
        self._output = output
        with av.open(io.BytesIO(stream.header), format="mp4") as header:
            video = output.add_stream_from_template(header.streams.video[0], opaque=True)
        assert isinstance(video, VideoStream)
        context = video.codec_context
        # The template's own parameter sets have lost their Annex B form, which the packets still have.
        context.extradata = stream.extradata or None
        context.framerate = stream.rate
        layout = stream.layout
        context.sample_aspect_ratio = layout.sar
        context.color_primaries, context.color_trc = layout.colour.primaries, layout.colour.transfer
        context.colorspace = layout.colour.matrix
        context.color_range = 2 if layout.colour.full_range else 1
        if stream.codec == "hevc" and self._container.orientation:
            context.codec_tag = "hvc1"  # what Apple's players insist on
        video.time_base = segment.time_base
        if layout.orientation.rotation or layout.orientation.hflip:
            video.set_display_matrix(display_matrix(layout.orientation, layout.width, layout.height))
        self._video = video
        self._audio.add_to(output)

    def _set_shift(self, segment: EncodedSegment) -> None:
        start = segment.first_pts * self._time_base
        if self._cut_start:
            self._audio.first = start
            self._audio.seek(start)
            self._shift = -segment.first_pts
        else:
            sound = self._audio.peek()
            earliest = start if sound is None else min(start, sound)
            if self._info.container in _FREE_CLOCKS or start < 0:
                self._shift = ceil(-earliest / self._time_base)
                if abs(self._shift * self._time_base) > Fraction(1, 1000):
                    started = f"{float(earliest):.3f} s"
                    self.warnings.append(f"the source's clock starts at {started}: the output starts at 0")
        self._audio.shift = self._shift * self._time_base
        self._step = max(1, round(1 / (segment.stream.rate * self._time_base)))

    def _movie_timescale(self, time_base: Fraction) -> int:
        """Fine enough that edit lists are exact for pictures and sound; what does not fit is left to the pictures."""
        scale = time_base.denominator
        for rate in self._audio.rates():
            scale = lcm(scale, rate) if lcm(scale, rate) <= _LARGEST_TIMESCALE else scale
        return scale if scale <= _LARGEST_TIMESCALE else 90_000

    def _mux_segment(self, segment: EncodedSegment) -> None:
        assert self._output is not None and self._video is not None
        times = self._rising(segment)
        in_order = sorted(times.values())
        if not self._packets:
            self._start(in_order, segment.stream.reorder)
        self._held.extend(in_order)
        for number, encoded in enumerate(segment.packets):
            packet = encoded.to_av(self._time_base)
            packet.pts, packet.dts = times[number], self._held.popleft()
            if packet.dts > packet.pts:
                encoder = segment.stream.encoder
                raise OutputError(f"{encoder} holds back more pictures than it said; choose another encoder")
            packet.duration = encoded.duration or self._step
            packet.stream = self._video
            self._reach_beyond(packet)
            self._mux_pending()
            self._pending = packet
            self._packets += 1

    def _start(self, in_order: list[int], reorder: int) -> None:
        """Decoding times before the first pts.

        In a file that begins after zero they are no further apart than the closest pictures: MP4's muxer takes the
        smallest pts - dts at or below zero for the start of the track, and that has to be the first picture's.
        """
        first = in_order[0]
        step = self._step
        if first > 0:
            step = max(1, min((b - a for a, b in pairwise(in_order)), default=1) // max(1, reorder - 1))
        self._held.extend(first - step * n for n in range(reorder, 0, -1))
        self._first_pts, self._first_dts = first - self._shift, first - step * reorder

    def _mux_pending(self) -> None:
        packet, self._pending = self._pending, None
        if packet is None or self._output is None:
            return
        assert packet.dts is not None
        for sound in self._audio.until((packet.dts - self._shift) * self._time_base):
            self._output.mux(sound)
        self._output.mux(packet)

    def _reach_beyond(self, packet: av.Packet[Any]) -> None:
        """To libav's reader a key picture lasts as long as the next one's *decoding* is away, and an MP4's edit list
        ends with the first key picture that lasts to its end: what comes after it would not be shown."""
        before = self._pending
        if before is None:
            return
        assert before.pts is not None and before.dts is not None and packet.dts is not None
        self._ends = max(self._ends, before.pts + (before.duration or 0))
        if before.is_keyframe:
            self._reach = max(self._reach, before.pts + packet.dts - before.dts)

    def _mux_last(self) -> None:
        """MP4 counts in decoding times: the last packet lasts until the last picture ends, whichever that is."""
        packet = self._pending
        assert packet is not None and packet.dts is not None and packet.pts is not None
        packet.duration = max(1, (self._end - self._first_pts) - (packet.dts - self._first_dts))
        if max(self._ends, packet.pts + packet.duration) <= self._reach:
            packet.duration = self._reach + 1 - packet.pts
        self._mux_pending()

    def _rising(self, segment: EncodedSegment) -> dict[int, int]:
        """Number of the packet -> pts in the output: the frame's own, or a tick after the one shown before it."""
        order = sorted(range(len(segment.packets)), key=lambda n: segment.packets[n].position)
        times = {}
        for number in order:
            pts = segment.packets[number].pts + self._shift
            if self._last_pts is not None and pts <= self._last_pts:
                pts = self._last_pts + 1
                self._raised += 1
            times[number] = self._last_pts = pts
            self._rounded |= (pts * self._time_base.numerator * 1000) % self._time_base.denominator != 0
        last = segment.packets[order[-1]]
        self._end = times[order[-1]] - self._shift + (last.duration or self._step)
        return times

    def _check_count(self) -> None:
        """MP4 and MOV know how many pictures they hold; a muxer that lost one is found here."""
        if not self._container.exact_time:
            return
        with av.open(str(self._hidden.path), format="mp4") as written:
            count = written.streams.video[0].frames
        if count != self._packets:
            raise OutputError(f"{self._final.name}: {count} of {self._packets} pictures were written; try again")
