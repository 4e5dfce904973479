"""The source's sound beside the new pictures: packets copied as they are, bounded memory, nothing else copied.

The source is read a second time, audio packets only, and handed to the muxer in step with the pictures. A track is
transcoded only where the container cannot hold its codec, and the report says so. Titles, languages and every
other tag stay behind, and so do packets an edit list hides: a player never plays them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer, OutputContainer

from vidanon.config import Limits
from vidanon.media.audio_track import CopiedTrack, Packet, Track
from vidanon.media.audio_transcode import TranscodedTrack
from vidanon.media.containers import Container
from vidanon.media.limits import open_container

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
        try:
            for packet in self._source.demux([track.source for track in self._tracks.values()]):
                if packet.size and not packet.is_discard:
                    self._tracks[packet.stream_index].mend(packet)
                    yield packet
        except av.FFmpegError as error:  # whether damage is allowed is decided by who reads the pictures
            self._dropped.append(f"the sound ends early: the source is damaged there ({error.strerror})")


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
