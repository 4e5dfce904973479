"""The source's sound beside the new pictures: packets copied as they are, bounded memory, nothing else copied.

The source is read a second time, audio packets only, and handed to the muxer in step with the pictures. A track is
transcoded only where the container cannot hold its codec, and the report says so. Titles, languages and every
other tag stay behind, and so do packets an edit list hides: a player never plays them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

from vidanon.config import Limits
from vidanon.media.containers import Container
from vidanon.media.limits import open_container

_PEEK_PACKETS = 256  # looked at, at most, to find where every track starts
_MPEG4 = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"})
_PCM = frozenset({"pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le", "pcm_s32be", "pcm_f32le", "pcm_f32be"})
#: Codecs copied, by container: what players of that container know.
COPIED: dict[str, frozenset[str]] = {
    "mp4": _MPEG4,
    "mov": (_MPEG4 | _PCM) - {"opus", "flac"},
    "matroska": _MPEG4 | {"mp2", "vorbis", "dts", "truehd", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le"},
    "webm": frozenset({"opus", "vorbis"}),
}
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_AAC_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)


class Track(ABC):
    """One audio track on its way to the output."""

    def __init__(self, number: int, source: AudioStream) -> None:
        self.number = number
        self.source = source
        self.base = source.time_base or Fraction(1, source.codec_context.sample_rate or 48000)
        self.packets = 0
        self._last_dts: int | None = None

    @property
    def codec(self) -> str:
        return self.source.codec_context.codec.canonical_name

    @abstractmethod
    def add_to(self, output: OutputContainer) -> None:
        """Make the output's stream, before anything is muxed."""

    @abstractmethod
    def feed(self, packet: av.Packet | None, shift: Fraction) -> list[av.Packet]:
        """What to mux for a packet of the source (None: there are no more); ``shift`` in seconds."""

    @abstractmethod
    def describe(self) -> str:
        """One line for the report."""

    def seconds(self, packet: av.Packet) -> Fraction | None:
        time = packet.pts if packet.pts is not None else packet.dts
        return None if time is None else time * self.base

    def _sound(self) -> str:
        context = self.source.codec_context
        return f"audio {self.number}: {self.codec} {context.sample_rate} Hz {context.layout.name}"


class CopiedTrack(Track):
    """Payloads untouched; times shifted, and raised by a tick where the source's do not rise."""

    def add_to(self, output: OutputContainer) -> None:
        self._stream = output.add_stream_from_template(self.source, opaque=True)
        self._stream.time_base = self.base

    def feed(self, packet: av.Packet | None, shift: Fraction) -> list[av.Packet]:
        if packet is None:
            return []
        copy = av.Packet(bytes(packet))
        ticks = round(shift / self.base)
        dts = packet.dts if packet.dts is not None else packet.pts
        if dts is None:
            dts = 0 if self._last_dts is None else self._last_dts + 1 - ticks
        dts += ticks
        if self._last_dts is not None and dts <= self._last_dts:
            dts = self._last_dts + 1
        pts = packet.pts + ticks if packet.pts is not None else dts
        copy.dts, copy.pts = dts, max(pts, dts)
        copy.duration, copy.time_base = packet.duration or 0, self.base
        copy.is_keyframe = packet.is_keyframe
        if packet.has_sidedata("skip_samples"):  # where a player cuts inside a packet: no words, only two numbers
            copy.set_sidedata(packet.get_sidedata("skip_samples"))
        copy.stream = self._stream
        self._last_dts = dts
        self.packets += 1
        return [copy]

    def describe(self) -> str:
        return f"{self._sound()}: copied, {self.packets} packets"


class TranscodedTrack(Track):
    """Decoded and encoded again, where the container cannot hold the codec."""

    def __init__(self, number: int, source: AudioStream, container: Container) -> None:
        super().__init__(number, source)
        self._target = "libopus" if container.name == "webm" else "aac"
        self._why = f".{container.name} files" if container.name != "matroska" else "Matroska files"
        self._damaged = 0

    def add_to(self, output: OutputContainer) -> None:
        context = self.source.codec_context
        channels = min(max(context.channels, 1), 8)
        per_channel = 64_000 if self._target == "libopus" else 96_000
        rate = 48_000
        if self._target == "aac":
            rate = next((r for r in _AAC_RATES if r <= context.sample_rate), _AAC_RATES[-1])
        stream = output.add_stream(self._target, rate=rate)
        assert isinstance(stream, AudioStream)
        encoder: AudioCodecContext = stream.codec_context
        encoder.layout = _LAYOUTS[channels]
        encoder.bit_rate = per_channel * channels
        self._stream = stream

    def feed(self, packet: av.Packet | None, shift: Fraction) -> list[av.Packet]:
        out: list[av.Packet] = []
        try:
            frames = self.source.codec_context.decode(packet)
        except av.InvalidDataError:
            self._damaged += 1
            frames = []
        for frame in frames:
            if frame.pts is not None and frame.time_base is not None:
                frame.pts += round(shift / frame.time_base)
            out += self._stream.encode(frame)
        if packet is None:
            out += self._stream.encode(None)
        self.packets += len(out)
        return out

    def describe(self) -> str:
        name = "Opus" if self._target == "libopus" else "AAC"
        damaged = f", {self._damaged} damaged packets left out" if self._damaged else ""
        return f"{self._sound()}: transcoded to {name}, because {self._why} cannot hold {self.codec}{damaged}"


class AudioTracks:
    """All audio of one source. ``peek``, ``add_to``, then ``until`` as pictures are committed, then ``rest``."""

    def __init__(self, source_path: Path, container: Container, wanted: bool, limits: Limits) -> None:
        """Opens the source again. Raises InputError and its kin as the reader does."""
        self._source: InputContainer = open_container(source_path, limits)
        self._dropped: list[str] = _other_streams(self._source)
        self._tracks: dict[int, Track] = {}
        self.shift = Fraction(0)  #: seconds added to every time
        self.first: Fraction | None = None  #: packets before this source time stay out
        self.last: Fraction | None = None  #: and those at or after this one
        for number, stream in enumerate(self._source.streams.audio, 1):
            if not wanted:
                self._dropped.append(f"audio {number}: left out, as asked")
            elif stream.codec_context is None or not stream.codec_context.sample_rate:
                self._dropped.append(f"audio {number}: left out, its codec is unknown here")
            elif stream.codec_context.codec.canonical_name in COPIED[container.name]:
                self._tracks[stream.index] = CopiedTrack(number, stream)
            else:
                self._tracks[stream.index] = TranscodedTrack(number, stream, container)
        self._waiting: deque[av.Packet] = deque()
        self._packets = self._demux()

    def peek(self) -> Fraction | None:
        """The earliest time of any track, in seconds; None where there is no sound."""
        seen: dict[int, Fraction] = {}
        while len(seen) < len(self._tracks) and len(self._waiting) < _PEEK_PACKETS:
            packet = next(self._packets, None)
            if packet is None:
                break
            self._waiting.append(packet)
            start = self._tracks[packet.stream_index].seconds(packet)
            if start is not None:
                seen.setdefault(packet.stream_index, start)
        return min(seen.values(), default=None)

    def seek(self, seconds: Fraction) -> None:
        """Skip to about a second before ``seconds``; what still lies before ``first`` is left out one by one."""
        if not self._tracks:
            return
        try:
            self._source.seek(int((seconds - 1) * 1_000_000), backward=True)
        except av.FFmpegError:
            return  # not seekable: read through
        self._waiting.clear()
        self._packets = self._demux()

    def add_to(self, output: OutputContainer) -> None:
        for track in self._tracks.values():
            track.add_to(output)

    def until(self, seconds: Fraction | None) -> Iterator[av.Packet]:
        """Packets to mux up to a source time (None: all that are left), in the order of the file."""
        while True:
            packet = self._waiting.popleft() if self._waiting else next(self._packets, None)
            if packet is None:
                return
            track = self._tracks[packet.stream_index]
            time = track.seconds(packet)
            if seconds is not None and time is not None and time > seconds:
                self._waiting.appendleft(packet)
                return
            if time is not None and (self.first is not None and time < self.first or self.last is not None and time >= self.last):
                continue
            yield from track.feed(packet, self.shift)

    def rest(self) -> Iterator[av.Packet]:
        """Everything that is left, and what encoders still hold."""
        yield from self.until(None)
        for track in self._tracks.values():
            yield from track.feed(None, self.shift)

    def rates(self) -> list[int]:
        """Sample rates, in Hz."""
        return [track.source.codec_context.sample_rate for track in self._tracks.values()]

    def report(self) -> list[str]:
        """One line per audio track, and one for every kind of stream that was left behind."""
        return [*(track.describe() for track in self._tracks.values()), *self._dropped]

    def close(self) -> None:
        self._source.close()

    def _demux(self) -> Iterator[av.Packet]:
        if not self._tracks:
            return
        for packet in self._source.demux([track.source for track in self._tracks.values()]):
            if packet.size and not packet.is_discard:
                yield packet


def _other_streams(source: InputContainer) -> list[str]:
    """What the output does not get, counted by kind."""
    counts: dict[str, int] = {}
    pictures = 0
    for stream in source.streams:
        if stream.type == "video":
            pictures += 1
        elif stream.type != "audio":
            counts[stream.type] = counts.get(stream.type, 0) + 1
    if pictures > 1:
        counts["further video"] = pictures - 1
    lines = [f"{count} {kind} stream{'s' if count > 1 else ''} left out" for kind, count in counts.items()]
    chapters = len(source.chapters())
    return [*lines, f"{chapters} chapter{'s' if chapters > 1 else ''} left out"] if chapters else lines
