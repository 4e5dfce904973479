"""One video stream decoded packet by packet: what was lost on the way is noticed, not papered over."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import av
import av.container
from av.codec.context import Flags

from vidanon.config import Limits
from vidanon.media.h264 import ReferenceCheck

#: Codecs where each packet shows exactly one picture (no hidden or packed ones).
_ONE_PICTURE_PER_PACKET = frozenset({"h264", "hevc", "av1", "libdav1d", "prores", "mjpeg", "ffv1", "dnxhd", "rawvideo"})
_MOST_INDEX_ENTRIES = 20_000_000
_LONGEST_DELAY = 4096  # packets a decoder may hold before its first picture
_NOT_DAMAGE = (av.error.MemoryError, av.error.PatchWelcomeError, av.error.DecoderNotFoundError)


class Decoder:
    """Runs once. Frames come with a flag: pictures before it are missing, so it may be garbled.

    ``careful`` decodes on one thread: slower, and repeatable even where the stream is damaged.
    """

    def __init__(self, stream: av.VideoStream, limits: Limits, threads: int | None, careful: bool) -> None:
        self._stream = stream
        context = stream.codec_context
        # Threads race on what damaged pictures refer to: one alone gives the same pictures every time.
        context.thread_type = "AUTO"
        context.thread_count = 1 if careful else threads or 0
        # Without this flag libav moves the left edge of a crop to an aligned address and shows what was cut off.
        context.flags |= Flags.unaligned
        # What is a little over the cap is decoded, and refused by its caller with a clear word.
        context.options = {**context.options, "max_pixels": str(2 * limits.max_pixels)}
        self._references = ReferenceCheck(context.extradata) if context.name == "h264" else None
        self._demuxed = 0
        self._expected = 0  # packets that should have shown a picture
        self._before_first: list[int | None] = []  # their pts, until the first picture tells which are a lead-in
        self._first_pts: int | None = None
        self._shown = 0
        self._seen_key = False
        self.lead_in = 0  #: packets before the first key frame

    def declared_frames(self) -> int | None:
        """Shown frames as the container's index or header says; None where it does not."""
        entries = self._stream.index_entries
        if "mov" in self._stream.container.format.name and 0 < len(entries) < _MOST_INDEX_ENTRIES:
            return sum(1 for entry in entries if not entry.is_discard)
        return self._stream.frames or None

    def top_field_first(self) -> bool:
        order = int(self._stream.codec_context.field_order)
        return order in (2, 5) or order < 2  # AVFieldOrder: top shown first; unknown counts as top

    def run(
        self, container: av.container.InputContainer, damage: Callable[[str], None]
    ) -> Iterator[tuple[av.VideoFrame, bool]]:
        """Every picture in order of display. ``damage`` is told what is broken; it raises, or decoding goes on."""
        broken_at: int | None = None  # pictures from this pts on depend on something lost
        for packet in self._packets(container, damage):
            broken = self._look_at(packet, damage) if packet is not None else False
            try:
                pictures = packet.decode() if packet is not None else self._stream.codec_context.decode(None)
            except av.FFmpegError as error:
                if packet is None or isinstance(error, _NOT_DAMAGE):
                    raise
                pictures = []
                if self._seen_key:
                    damage(f"{_at(packet)} cannot be decoded ({error.strerror})")
                    broken = True
            if broken and packet is not None:
                at = _earliest(packet)
                broken_at = at if broken_at is None else min(broken_at, at)
            for picture in pictures:
                pts = picture.pts
                if broken_at is not None and picture.key_frame and pts is not None and pts > broken_at:
                    broken_at = None
                self._count_shown(pts)
                yield picture, broken_at is not None and (pts is None or pts >= broken_at)

    def losses(self) -> list[str]:
        """After the last picture: what the container declares and was not there, one line each."""
        lines = []
        names = self._stream.container.format.name
        entries = len(self._stream.index_entries)
        if "mov" in names and self._demuxed < entries:
            lines.append(f"{entries - self._demuxed} of {entries} declared frames are missing")
        missing = self._expected - self._shown
        if missing > 0 and self._stream.codec_context.name in _ONE_PICTURE_PER_PACKET and _whole_pictures(names):
            lines.append(f"{missing} frames could not be decoded")
        return lines

    def _packets(
        self, container: av.container.InputContainer, damage: Callable[[str], None]
    ) -> Iterator[av.Packet[av.VideoStream] | None]:
        """Packets of the stream in file order; None at the end, for what the decoder still holds."""
        packets = container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError as error:
                if isinstance(error, _NOT_DAMAGE):
                    raise
                damage(f"reading stopped early ({error.strerror})")
                yield None
                return
            if packet.size == 0 and packet.dts is None:  # libav's way to say that this was the last one
                yield None
                return
            yield packet

    def _look_at(self, packet: av.Packet[av.VideoStream], damage: Callable[[str], None]) -> bool:
        """Count a packet; True where pictures before it are lost."""
        self._demuxed += 1
        self._seen_key = self._seen_key or packet.is_keyframe
        self.lead_in += not self._seen_key
        if self._seen_key and not packet.is_discard and packet.size:
            if self._first_pts is None and len(self._before_first) < _LONGEST_DELAY:
                self._before_first.append(packet.pts)
            elif packet.pts is None or self._first_pts is None or packet.pts >= self._first_pts:
                self._expected += 1
        if self._references is None:
            return False
        if packet.is_discard:
            self._references.reset()
        lost = self._references.lost_before(bytes(packet)) and self._seen_key
        if lost:
            damage(f"pictures are missing before {_at(packet)}")
        return lost

    def _count_shown(self, pts: int | None) -> None:
        if self._shown == 0:
            self._first_pts = pts if pts is not None else -(2**63)
            self._expected += sum(p is None or p >= self._first_pts for p in self._before_first)
            self._before_first.clear()
        self._shown += 1


def _whole_pictures(names: str) -> bool:
    """Containers whose packets are whole access units."""
    return "mov" in names or "matroska" in names


def _at(packet: av.Packet[av.VideoStream]) -> str:
    pts = packet.pts if packet.pts is not None else packet.dts
    if pts is None or packet.time_base is None:
        return "a packet without a time"
    return f"the packet at {float(pts * packet.time_base):.3f} s"


def _earliest(packet: av.Packet[av.VideoStream]) -> int:
    times = [t for t in (packet.pts, packet.dts) if t is not None]
    return min(times) if times else -(2**63)
