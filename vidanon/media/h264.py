"""Lost reference pictures of H.264, told from ``frame_num`` (ITU-T H.264, 7.4.3).

libav conceals a missing reference by repeating an older picture and reports nothing, so that whole runs of
garbled pictures look sound. A file with dropped packets shows itself here: ``frame_num`` counts reference
pictures, and a step of more than one is a loss (unless the stream itself allows gaps).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_HEAD = 64  # bytes of a slice header that are looked at


class _Bits:
    """Big-endian bit reader over a NAL unit's payload, emulation prevention removed."""

    def __init__(self, data: bytes) -> None:
        clean = data.replace(b"\0\0\3", b"\0\0")
        self._value = int.from_bytes(clean, "big")
        self._left = len(clean) * 8

    def u(self, count: int) -> int:
        if count > self._left:
            raise EOFError
        self._left -= count
        return self._value >> self._left & ((1 << count) - 1)

    def ue(self) -> int:
        zeros = 0
        while self.u(1) == 0:
            zeros += 1
            if zeros > 31:
                raise EOFError
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)


@dataclass(frozen=True)
class _Sps:
    frame_num_bits: int
    gaps_allowed: bool
    separate_planes: bool


class ReferenceCheck:
    """Feed packets in decoding order; answers whether a reference picture was lost just before each."""

    def __init__(self, extradata: bytes | None) -> None:
        self._length_size = 0  # 0: start codes
        self._sps: dict[int, _Sps] = {}
        self._pps: dict[int, int] = {}  # id -> SPS id
        self._reference: int | None = None
        if extradata and extradata[0] == 1 and len(extradata) > 6:
            self._length_size = (extradata[4] & 3) + 1
            for unit in _parameter_sets(extradata):
                self._parameters(unit)
        elif extradata:
            for unit in _start_code_units(extradata):
                self._parameters(unit)

    def reset(self) -> None:
        """Before a packet that does not follow the last one (edit lists)."""
        self._reference = None

    def lost_before(self, packet: bytes) -> bool:
        for unit in _length_units(packet, self._length_size) if self._length_size else _start_code_units(packet):
            kind = unit[0] & 31
            if kind in (7, 8):
                self._parameters(unit)
            elif kind in (1, 5):
                return self._picture(unit)
        return False

    def _picture(self, unit: bytes) -> bool:
        try:
            bits = _Bits(unit[1:_HEAD])
            bits.ue()  # first_mb_in_slice
            bits.ue()  # slice_type
            sps = self._sps[self._pps[bits.ue()]]
            if sps.separate_planes:
                bits.u(2)
            number = bits.u(sps.frame_num_bits)
        except (EOFError, KeyError):
            return False
        previous, modulus = self._reference, 1 << sps.frame_num_bits
        if unit[0] & 31 == 5:
            previous = None  # an IDR picture starts anew
        if unit[0] >> 5 & 3:
            self._reference = number
        if previous is None or sps.gaps_allowed or number == 1:  # 1 also comes after memory_management_control 5
            return False
        return number not in (previous, (previous + 1) % modulus)

    def _parameters(self, unit: bytes) -> None:
        try:
            if unit[0] & 31 == 7:
                number, sps = _read_sps(_Bits(unit[1:]))
                self._sps[number] = sps
            elif unit[0] & 31 == 8:
                bits = _Bits(unit[1:_HEAD])
                self._pps[bits.ue()] = bits.ue()
        except EOFError:
            return


def _read_sps(bits: _Bits) -> tuple[int, _Sps]:
    profile = bits.u(8)
    bits.u(16)  # constraints, level
    number = bits.ue()
    separate = False
    if profile in _HIGH_PROFILES:
        chroma = bits.ue()
        separate = chroma == 3 and bool(bits.u(1))
        bits.ue(), bits.ue(), bits.u(1)  # depths, lossless bypass
        if bits.u(1):  # scaling matrices
            for index in range(12 if chroma == 3 else 8):
                if bits.u(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    frame_num_bits = bits.ue() + 4
    order = bits.ue()
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.u(1), bits.se(), bits.se()
        for _ in range(min(bits.ue(), 255)):
            bits.se()
    bits.ue()  # max_num_ref_frames
    return number, _Sps(frame_num_bits, bool(bits.u(1)), separate)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _parameter_sets(avcc: bytes) -> Iterator[bytes]:
    """The SPS and PPS units of an avcC record (ISO/IEC 14496-15)."""
    at, count = 6, avcc[5] & 31
    for _ in range(2):
        for _ in range(count):
            size = int.from_bytes(avcc[at : at + 2], "big")
            unit = avcc[at + 2 : at + 2 + size]
            if unit:
                yield unit
            at += 2 + size
        count, at = (avcc[at] if at < len(avcc) else 0), at + 1


def _length_units(data: bytes, length_size: int) -> Iterator[bytes]:
    at = 0
    while at + length_size < len(data):
        size = int.from_bytes(data[at : at + length_size], "big")
        at += length_size
        if size:
            yield data[at : at + size]
        at += size


def _start_code_units(data: bytes) -> Iterator[bytes]:
    start = data.find(b"\0\0\1")
    while 0 <= start < len(data) - 3:
        kind = data[start + 3] & 31
        following = -1 if kind in (1, 5) else data.find(b"\0\0\1", start + 3)  # nothing is read after the first slice
        yield data[start + 3 : following if following > 0 else len(data)]
        start = following
