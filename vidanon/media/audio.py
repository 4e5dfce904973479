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
from typing import Any, TypeAlias

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer

from vidanon.config import Limits
from vidanon.media.containers import Container
from vidanon.media.encoded import padded_packet
from vidanon.media.limits import open_container

Packet: TypeAlias = "av.Packet[Any]"

_JUMP_SECONDS = Fraction(1, 10)  # further back than this is another timeline, not jitter
_PEEK_PACKETS = 256  # looked at, at most, to find where every track starts
_MPEG4 = frozenset({"aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"})
_PCM = frozenset(f"pcm_{kind}{end}" for kind in ("s16", "s24", "s32", "f32") for end in ("le", "be"))
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
        self._last: int | None = None  # dts of the last packet read, on the mended clock
        self._next = 0  # where it ends
        self._offset = 0

    @property
    def codec(self) -> str:
        return self.source.codec_context.codec.canonical_name

    @abstractmethod
    def add_to(self, output: OutputContainer) -> None:
        """Make the output's stream, before anything is muxed."""

    @abstractmethod
    def feed(self, packet: Packet | None, shift: Fraction) -> list[Packet]:
        """What to mux for a packet of the source (None: there are no more); ``shift`` in seconds."""

    @abstractmethod
    def describe(self) -> str:
        """One line for the report."""

    def restart(self) -> None:
        """The reader jumped: forget where the last packet was."""
        self._last, self._next, self._offset = None, 0, 0

    def mend(self, packet: Packet) -> None:
        """Give the packet times that rise, in place; where the clock jumps back, what follows is put behind.

        That is what the reader does with pictures, so that sound stays with them.
        """
        dts = packet.dts if packet.dts is not None else packet.pts
        dts = self._next if dts is None else dts + self._offset
        if self._last is not None and dts <= self._last:
            jump = self._last - dts if (self._last - dts) * self.base > _JUMP_SECONDS else 0
            self._offset += self._next - dts if jump else 0
            dts = self._next if jump else self._last + 1
        pts = dts if packet.pts is None else max(packet.pts + self._offset, dts)
        packet.pts, packet.dts = pts, dts
        self._last, self._next = dts, dts + max(1, packet.duration or 0)

    def seconds(self, packet: Packet) -> Fraction:
        """When a (mended) packet is heard."""
        assert packet.pts is not None
        return packet.pts * self.base

    def _sound(self) -> str:
        context = self.source.codec_context
        return f"audio {self.number}: {self.codec} {context.sample_rate} Hz {context.layout.name}"


class CopiedTrack(Track):
    """Payloads untouched, times shifted."""

    def __init__(self, number: int, source: AudioStream, container: Container) -> None:
        super().__init__(number, source)
        # MP4 hides what is below zero; Matroska cannot hold it, save for the delay that Opus declares.
        self._below_zero = container.exact_time or self.codec == "opus"

    def add_to(self, output: OutputContainer) -> None:
        self._stream = output.add_stream_from_template(self.source, opaque=True)
        self._stream.time_base = self.base

    def feed(self, packet: Packet | None, shift: Fraction) -> list[Packet]:
        if packet is None:
            return []
        copy = padded_packet(bytes(packet))
        ticks = round(shift / self.base)
        assert packet.pts is not None and packet.dts is not None  # mended
        pts, dts = packet.pts + ticks, packet.dts + ticks
        if pts < 0 and not self._below_zero:
            # A packet that a player cuts at zero (encoder delay): it begins there. What ends before, nobody hears.
            if pts + (packet.duration or 0) <= 0:
                return []
            pts = dts = 0
        copy.pts, copy.dts = pts, dts
        copy.duration, copy.time_base = packet.duration or 0, self.base
        copy.is_keyframe = packet.is_keyframe
        if packet.has_sidedata("skip_samples"):  # where a player cuts inside a packet: no words, only two numbers
            copy.set_sidedata(packet.get_sidedata("skip_samples"))
        copy.stream = self._stream
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

    def feed(self, packet: Packet | None, shift: Fraction) -> list[Packet]:
        out: list[Packet] = []
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
                self._tracks[stream.index] = CopiedTrack(number, stream, container)
            else:
                self._tracks[stream.index] = TranscodedTrack(number, stream, container)
        self._waiting: deque[Packet] = deque()
        self._packets = self._demux()

    def peek(self) -> Fraction | None:
        """The earliest time of any track, in seconds; None where there is no sound."""
        seen: dict[int, Fraction] = {}
        while len(seen) < len(self._tracks) and len(self._waiting) < _PEEK_PACKETS:
            packet = next(self._packets, None)
            if packet is None:
                break
            self._waiting.append(packet)
            seen.setdefault(packet.stream_index, self._tracks[packet.stream_index].seconds(packet))
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
        for track in self._tracks.values():
            track.restart()
        self._packets = self._demux()

    def add_to(self, output: OutputContainer) -> None:
        for track in self._tracks.values():
            track.add_to(output)

    def until(self, seconds: Fraction | None) -> Iterator[Packet]:
        """Packets to mux up to a source time (None: all that are left), in the order of the file."""
        while True:
            packet = self._waiting.popleft() if self._waiting else next(self._packets, None)
            if packet is None:
                return
            track = self._tracks[packet.stream_index]
            time = track.seconds(packet)
            if seconds is not None and time > seconds:
                self._waiting.appendleft(packet)
                return
            if self._inside(time):
                yield from track.feed(packet, self.shift)

    def _inside(self, time: Fraction) -> bool:
        return (self.first is None or time >= self.first) and (self.last is None or time < self.last)

    def rest(self) -> Iterator[Packet]:
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

    def _demux(self) -> Iterator[Packet]:
        if not self._tracks:
            return
        for packet in self._source.demux([track.source for track in self._tracks.values()]):
            if packet.size and not packet.is_discard:
                self._tracks[packet.stream_index].mend(packet)
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
