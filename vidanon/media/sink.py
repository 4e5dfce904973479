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
import os
import secrets
import stat
from collections import deque
from fractions import Fraction
from math import ceil, lcm
from pathlib import Path
from types import TracebackType
from typing import Self

import av
from av.container import OutputContainer
from av.video.stream import VideoStream

from vidanon.config import EncodeSettings, Limits
from vidanon.errors import OutputError, UsageError, VidanonError
from vidanon.media.audio import AudioTracks
from vidanon.media.base import SourceInfo
from vidanon.media.containers import Container, container_for, display_matrix
from vidanon.media.encode import EncodedSegment, StreamFormat
from vidanon.media.metadata import muxer_options

_FREE_CLOCKS = frozenset({"mpegts", "mpeg", "mpegtsraw", "rtsp", "rtp"})
_LARGEST_TIMESCALE = 2**31 - 1


def check_output(final: Path, source_path: Path) -> Path:
    """The path that will really be written (links followed).

    Raises OutputError for a folder, a device, or a folder above that is missing or not writable; UsageError where
    the output is the input itself, by name or by link.
    """
    if final.is_dir():
        raise OutputError(f"{final} is a folder; give the output a file name")
    try:
        if final.exists() and os.path.samefile(final, source_path):
            raise UsageError(f"{final} is the input itself; give the output another name")
    except OSError as error:
        raise OutputError(f"{final}: {error.strerror}; choose another output") from error
    real = Path(os.path.realpath(final))
    if real.exists() and not stat.S_ISREG(real.stat().st_mode):
        raise OutputError(f"{final} is not a plain file; choose another output")
    if not real.parent.is_dir():
        raise OutputError(f"the folder {real.parent} does not exist; make it first")
    if not os.access(real.parent, os.W_OK | os.X_OK):
        raise OutputError(f"no permission to write in {real.parent}; choose another folder")
    return real


def open_sink(
    final: Path,
    source_path: Path,
    info: SourceInfo,
    settings: EncodeSettings,
    cut_start: bool = False,
    cut_end: bool = False,
    limits: Limits | None = None,
) -> Sink:
    """A sink for one output file, after the checks of :func:`check_output` and of the extension.

    ``cut_start`` / ``cut_end``: the run leaves out a part at that end, and the sound is cut with the pictures.
    """
    container = container_for(final)
    real = check_output(final, source_path)
    audio = AudioTracks(source_path, container, settings.audio, limits or Limits())
    try:
        return Sink(real, container, info, audio, cut_start, cut_end)
    except BaseException:
        audio.close()
        raise


class Sink:
    """Commits segments in order; ``finish`` or ``abort`` ends it. As a context manager it aborts unless finished."""

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
        self._last_pts: int | None = None
        self._end = 0  # pts where the last picture ends, before the shift
        self._packets = 0
        self._raised = 0
        self.warnings: list[str] = []
        self._temporary, self._mode = _make_temporary(final)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.abort()

    def commit(self, segment: EncodedSegment) -> None:
        """Append a segment. Raises OutputError (disk full, or a segment that does not belong to this stream)."""
        try:
            if self._output is None:
                self._begin(segment)
            elif segment.stream.extradata != self._checked().extradata or segment.stream.layout != self._checked().layout:
                raise OutputError("a segment was encoded with other parameters than the first; start again")
            self._mux_segment(segment)
        except (av.FFmpegError, OSError) as error:
            self.abort()
            raise _output_error(self._final, error) from error
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
            for packet in self._audio.rest():
                self._output.mux(packet)
            self._output.close()
            self._audio.close()
            if self._raised:
                self.warnings.append(f"{self._raised} frames had the time of the one before; they are shown a tick later")
            _sync(self._temporary)
            self._check_count()
            os.chmod(self._temporary, self._mode)
            os.replace(self._temporary, self._final)
            _sync(self._final.parent)
        except (av.FFmpegError, OSError) as error:
            self.abort()
            raise _output_error(self._final, error) from error
        except BaseException:
            self.abort()
            raise
        self._temporary = None
        return self._audio.report()

    def abort(self) -> None:
        """Delete the hidden file; nothing happens after ``finish``, or the second time."""
        temporary, self._temporary = self._temporary, None
        if temporary is None:
            return
        try:
            if self._output is not None:
                self._output.close()
        except (av.FFmpegError, OSError, ValueError):
            pass  # a full disk raises again here; the file goes anyway
        finally:
            self._audio.close()
            temporary.unlink(missing_ok=True)

    # The stream --------------------------------------------------------------------------------------------

    def _checked(self) -> StreamFormat:
        assert self._stream is not None
        return self._stream

    def _begin(self, segment: EncodedSegment) -> None:
        stream = segment.stream
        self._stream, self._time_base = stream, segment.time_base
        self._set_shift(segment)
        options = muxer_options(self._container)
        if self._container.exact_time:
            options["movie_timescale"] = str(self._movie_timescale(segment.time_base))
        elif 1000 % segment.time_base.denominator:
            self.warnings.append("this kind of file counts time in milliseconds: pts are rounded to them")
        if self._temporary is None:
            raise OutputError("this output was aborted; start again")
        output = av.open(str(self._temporary), "w", format=self._container.name, options=options)
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
                    self.warnings.append(f"the source's clock starts at {float(earliest):.3f} s: the output starts at 0")
        self._audio.shift = self._shift * self._time_base
        step = segment.packets[0].duration or max(1, round(1 / (segment.stream.rate * self._time_base)))
        first = segment.first_pts + self._shift
        self._held.extend(first - step * n for n in range(segment.stream.reorder, 0, -1))

    def _movie_timescale(self, time_base: Fraction) -> int:
        """Fine enough that edit lists are exact for pictures and sound; what does not fit is left to the pictures."""
        scale = time_base.denominator
        for rate in self._audio.rates():
            scale = lcm(scale, rate) if lcm(scale, rate) <= _LARGEST_TIMESCALE else scale
        return scale if scale <= _LARGEST_TIMESCALE else 90_000

    def _mux_segment(self, segment: EncodedSegment) -> None:
        assert self._output is not None and self._video is not None
        times = self._rising(segment)
        self._held.extend(sorted(times.values()))
        for position, encoded in enumerate(segment.packets):
            packet = av.Packet(encoded.data)
            packet.pts, packet.dts = times[position], self._held.popleft()
            if packet.dts > packet.pts:
                raise OutputError(f"{segment.stream.encoder} holds back more pictures than it said; choose another encoder")
            packet.duration, packet.time_base = encoded.duration, self._time_base
            packet.is_keyframe = encoded.key
            packet.stream = self._video
            for sound in self._audio.until((packet.dts - self._shift) * self._time_base):
                self._output.mux(sound)
            self._output.mux(packet)
            self._packets += 1

    def _rising(self, segment: EncodedSegment) -> dict[int, int]:
        """Packet position -> pts in the output: the frame's own, or a tick more where two share one."""
        order = sorted(range(len(segment.packets)), key=lambda n: segment.packets[n].pts)
        times = {}
        for position in order:
            pts = segment.packets[position].pts + self._shift
            if self._last_pts is not None and pts <= self._last_pts:
                pts = self._last_pts + 1
                self._raised += 1
            times[position] = self._last_pts = pts
        last = segment.packets[order[-1]]
        self._end = times[order[-1]] - self._shift + last.duration
        return times

    def _check_count(self) -> None:
        """MP4 and MOV know how many pictures they hold; a muxer that lost one is found here."""
        if not self._container.exact_time or self._temporary is None:
            return
        with av.open(str(self._temporary), format="mp4") as written:
            count = written.streams.video[0].frames
        if count != self._packets:
            raise OutputError(f"{self._final.name}: {count} of {self._packets} pictures were written; try again")


def _make_temporary(final: Path) -> tuple[Path | None, int]:
    """A hidden file beside the output, readable by its owner alone, and the mode the output gets at the end."""
    path = final.parent / f".vidanon-{secrets.token_hex(8)}.part"
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        try:
            mode = stat.S_IMODE(os.fstat(handle).st_mode)  # what the umask leaves
            os.fchmod(handle, 0o600)
        finally:
            os.close(handle)
    except OSError as error:
        raise _output_error(final, error) from error
    return path, mode


def _sync(path: Path | None) -> None:
    if path is None:
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _output_error(final: Path, error: Exception) -> OutputError:
    reason = " ".join(str(getattr(error, "strerror", None) or error).split())
    return OutputError(f"{final}: {reason}; free some space or choose another output")
