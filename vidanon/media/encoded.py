"""What an encoder hands on: the packets of a segment and what a muxer and a decoder need to know of them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

from vidanon.media.fit import Fit, Layout


def padded_packet(data: bytes) -> av.Packet[Any]:
    """A packet with its own copy, and the zeros behind it that decoders read into (``av.Packet(data)`` has none)."""
    packet = av.Packet(len(data))
    if data:
        packet.update(data)
    return packet


@dataclass(frozen=True)
class EncodedPacket:
    data: bytes
    position: int  #: of its frame in the segment, in order of showing
    pts: int  #: of its frame, in the segment's time base
    duration: int  #: ticks
    key: bool

    def to_av(self, time_base: Fraction) -> av.Packet[Any]:
        packet = padded_packet(self.data)
        packet.pts, packet.duration, packet.time_base = self.pts, self.duration, time_base
        packet.is_keyframe = self.key
        return packet


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
