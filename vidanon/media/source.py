"""Files as sources of frames: streaming, threaded decode with exact times, fail-closed on damage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import av.container

from vidanon.config import Limits
from vidanon.errors import DamagedInputError, NoVideoError, UnsupportedError, UsageError
from vidanon.media import still
from vidanon.media.base import AudioInfo, Source, SourceInfo
from vidanon.media.decode import Decoder
from vidanon.media.formats import from_av
from vidanon.media.libav import decoding_error
from vidanon.media.limits import check_file, check_pixels, check_seconds, open_container
from vidanon.media.orientation import from_matrix
from vidanon.media.sidedata import display_matrix, hdr_info
from vidanon.media.timing import Clock
from vidanon.media.truncation import missing_bytes
from vidanon.types import Frame, Orientation

_SAR_BOUNDS = Fraction(1, 10), Fraction(10)
_NOT_A_VIDEO = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails


def open_source(
    path: Path,
    limits: Limits,
    *,
    start: float | None = None,
    end: float | None = None,
    salvage: bool = False,
    threads: int | None = None,
) -> FileSource:
    """Open a video or a still picture; its first frame is decoded to know what comes.

    ``start`` and ``end`` are seconds from the first shown frame: frames outside are not yielded, their numbers are
    still counted. ``salvage`` goes on past damage, with warnings and ``Frame.damaged``. ``threads`` are the
    decoder's (None: one per core). Raises InputError, UnsupportedError, ResourceLimitError, NoVideoError,
    DamagedInputError, UsageError.
    """
    if start is not None and end is not None and end <= start:
        raise UsageError(f"the end ({end:g} s) is not after the start ({start:g} s); give a later end time")
    return FileSource(path, limits, start, end, salvage, threads)


class FileSource(Source):
    """See :func:`open_source`. Every pass opens the file anew, so passes do not disturb each other."""

    def __init__(
        self, path: Path, limits: Limits, start: float | None, end: float | None, salvage: bool, threads: int | None
    ) -> None:
        self._path, self._limits, self._salvage, self._threads = path, limits, salvage, threads
        self._start, self._end = start or 0.0, end
        self._warnings: list[str] = []
        self._passes: list[_Pass] = []
        self._careful = salvage
        check_file(path)
        self._still = still.probe(path)
        if self._still is not None and not self._still.complete:
            self._damage("the picture ends early")
        self.info = self._probe()

    @property
    def warnings(self) -> list[str]:
        return list(self._warnings)

    def frames(self) -> Iterator[Frame]:
        """Raises DamagedInputError where data is missing or corrupt (unless salvaging), ResourceLimitError."""
        with closing(self._new_pass()) as reading:
            try:
                for frame in reading.frames():
                    seconds = float((frame.pts - reading.first_pts) * frame.time_base)
                    if self._end is not None and seconds >= self._end:
                        return
                    if seconds >= self._start:
                        yield frame
                reading.finish()
            finally:
                for line in reading.remarks():
                    self._warn(line)

    def close(self) -> None:
        while self._passes:
            self._passes.pop().close()

    def _new_pass(self) -> _Pass:
        reading = _Pass(self)
        self._passes = [p for p in self._passes if not p.closed] + [reading]
        return reading

    def _warn(self, text: str) -> None:
        if text not in self._warnings:
            self._warnings.append(text)

    def _damage(self, text: str) -> None:
        """Damage found: an error, or a warning when salvaging."""
        if not self._salvage:
            raise DamagedInputError(f"{self._path}: {text}; repair the file or use --salvage")
        self._warn(f"damaged input: {text}")

    def _probe(self) -> SourceInfo:
        with closing(self._new_pass()) as reading:
            missing = missing_bytes(self._path, reading.container.format.name)
            if missing:
                self._damage(f"{missing} bytes are missing at its end")
            first = next(reading.frames(), None)
            if first is None:
                raise NoVideoError(f"{self._path}: its video has no frame that can be decoded; give another file")
            return reading.describe(first)


class _Pass:
    """One reading of the file from its beginning."""

    def __init__(self, source: FileSource) -> None:
        self._source = source
        self._path, self._limits = source._path, source._limits
        self.closed = False
        self._open()
        assert self.stream.time_base is not None  # every demuxer sets one
        self._time_base: Fraction = self.stream.time_base
        self._rate = self.stream.average_rate or self.stream.guessed_rate or None
        self._clock = Clock(self._time_base, self._rate)
        self._says_durations = "mov" in self.container.format.name  # then a long interval is no loss
        self._orientation = source._still.orientation if source._still else Orientation()
        self._sar = self._sample_aspect_ratio()
        self._raw: av.VideoFrame | None = None
        self.first_pts = 0

    def _open(self) -> None:
        self.container = open_container(self._path, self._limits)
        try:
            self.stream = self._choose()
            self._decoder = Decoder(self.stream, self._limits, self._source._threads, self._source._careful)
        except BaseException:
            self.container.close()
            raise

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.container.close()

    def frames(self) -> Iterator[Frame]:
        for index, (raw, suspect) in enumerate(self._decoded()):
            check_pixels(self._path, raw.width, raw.height, self._limits)
            frame = self._frame(raw, index, suspect)
            if index == 0:
                self.first_pts = frame.pts
                self._raw = raw
            elif index == 1:
                self._raw = None
            check_seconds(self._path, float((frame.pts - self.first_pts) * self._time_base), self._limits)
            yield frame
            if self._source._still is not None:
                return  # a second picture in a JPEG (MPO) is never looked at

    def finish(self) -> None:
        """After the last frame: was everything there that the container declares?"""
        if self._source._still is None:
            for text in self._decoder.losses():
                self._source._damage(text)

    def remarks(self) -> list[str]:
        """What was mended or dropped in this pass."""
        lines = [] if self._source._still else self._clock.remarks()
        if self._clock.gaps and not self._says_durations:
            lines.append(f"{self._clock.gaps} gaps in otherwise even timestamps: frames may be missing in the input")
        if self._decoder.lead_in:
            lines.append(f"{self._decoder.lead_in} packets before the first key frame could not be decoded")
        return lines

    def describe(self, first: Frame) -> SourceInfo:
        stream, source = self.stream, self._source
        assert self._raw is not None
        duration = stream.duration * self._time_base if stream.duration else None
        if duration is None and self.container.duration:
            duration = Fraction(self.container.duration, av.time_base)
        return SourceInfo(
            width=first.width, height=first.height, format=first.format,
            codec=stream.codec_context.codec.canonical_name,
            container=self.container.format.name, video_index=stream.index, time_base=self._time_base,
            average_rate=self._rate,
            duration=None if duration is None or source._still else float(duration),
            frame_count=1 if source._still else self._decoder.declared_frames(), orientation=first.orientation,
            sar=first.sar, colour=first.colour, hdr=hdr_info(self._raw), is_still=source._still is not None,
            audio=tuple(AudioInfo(a.index, a.codec_context.name, a.codec_context.channels, a.codec_context.sample_rate)
                        for a in self.container.streams.audio if a.codec_context is not None),
            warnings=tuple(source.warnings),
        )  # fmt: skip

    def _choose(self) -> av.VideoStream:
        """The first default video stream that is no cover picture; what is left out is said."""
        videos = [s for s in self.container.streams.video if not s.disposition & _NOT_A_VIDEO]
        if not videos:
            raise NoVideoError(f"{self._path}: has no video; give a file with a picture")
        readable = [s for s in videos if s.codec_context is not None]
        if not readable:
            raise UnsupportedError(f"{self._path}: no decoder for its video; convert the file to H.264 first")
        default = [s for s in readable if s.disposition & av.stream.Disposition.default]
        chosen = (default or readable)[0]
        if len(videos) > 1:
            self._source._warn(f"{len(videos)} video streams: only stream {chosen.index} is read, the others dropped")
        return chosen

    def _decoded(self) -> Iterator[tuple[av.VideoFrame, bool]]:
        """Decoder output; (picture, whether something before it was lost).

        At the first concealed picture decoding starts over, carefully: what follows is the same in every pass.
        """
        given = to_skip = 0
        while True:
            for raw, suspect in self._run():
                if to_skip:
                    to_skip -= 1
                elif raw.is_corrupt and not self._source._careful:
                    break
                else:
                    given += 1
                    yield raw, suspect
            else:
                return
            self._source._careful = True
            self.container.close()
            self._open()
            to_skip = given

    def _run(self) -> Iterator[tuple[av.VideoFrame, bool]]:
        try:
            yield from self._decoder.run(self.container, self._source._damage)
        except (av.FFmpegError, MemoryError) as error:
            translated = decoding_error(error, str(self._path))
            if isinstance(translated, DamagedInputError):
                self._source._damage(f"reading failed ({error.strerror if isinstance(error, OSError) else error})")
            else:
                raise translated from error

    def _frame(self, raw: av.VideoFrame, index: int, suspect: bool) -> Frame:
        planes, fmt, colour = from_av(raw, keep_rgb=self._source._still is not None)
        self._turn(raw)
        interlaced = bool(raw.interlaced_frame)
        return Frame(
            planes=planes, format=fmt, colour=colour, index=index, pts=self._clock.stamp(raw.pts, raw.dts),
            time_base=self._time_base, orientation=self._orientation, sar=self._sar, duration=raw.duration or 0,
            interlaced=interlaced, top_field_first=interlaced and self._decoder.top_field_first(),
            damaged=suspect or bool(raw.is_corrupt),
        )  # fmt: skip

    def _turn(self, raw: av.VideoFrame) -> None:
        """Orientation is a state: SEI messages come with some frames only."""
        if self._source._still is not None:
            return  # told by EXIF
        data = display_matrix(raw)
        if data is None:
            return
        orientation = from_matrix(data)
        if orientation is None:
            self._source._warn("its display matrix is no right angle and is ignored")
            orientation = Orientation()
        self._orientation = orientation

    def _sample_aspect_ratio(self) -> Fraction:
        ratio = self.stream.sample_aspect_ratio or self.stream.codec_context.sample_aspect_ratio
        if not ratio or ratio <= 0:
            return Fraction(1)
        if not _SAR_BOUNDS[0] <= ratio <= _SAR_BOUNDS[1]:
            self._source._warn(f"its sample aspect ratio {ratio} is not credible and is ignored")
            return Fraction(1)
        return Fraction(ratio)
