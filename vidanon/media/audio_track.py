"""One audio track of the source on its way to the output."""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction
from typing import Any, TypeAlias

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer

from vidanon.media.containers import Container
from vidanon.media.encoded import padded_packet

Packet: TypeAlias = "av.Packet[Any]"

_JUMP_SECONDS = Fraction(1, 10)  # further back than this is another timeline, not jitter


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
