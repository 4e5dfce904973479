"""Static HDR metadata beside the stream: ``mdcv`` and ``clli`` boxes in the header a muxer copies from.

Encoders write the same numbers into the stream itself; some players look only here, and for encoders that cannot
write them this is the one place.
"""

from __future__ import annotations

import struct
from fractions import Fraction

from vidanon.media.base import HdrInfo, Mastering

_PATH = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
_TABLE_HEAD = 8  # version, flags and count before the entries of stsd
_NO_POINT = (Fraction(0), Fraction(0))


def with_hdr_boxes(header: bytes, hdr: HdrInfo) -> bytes:
    """An MP4 file whose first sample entry says what ``hdr`` says; unchanged where that is nothing."""
    boxes = b""
    if hdr.mastering is not None:
        boxes += _box(b"mdcv", _mastering(hdr.mastering))
    if hdr.max_cll is not None or hdr.max_fall is not None:
        boxes += _box(b"clli", struct.pack(">HH", _clip(hdr.max_cll or 0, 16), _clip(hdr.max_fall or 0, 16)))
    return _inserted(header, boxes) if boxes else header


def _mastering(mastering: Mastering) -> bytes:
    """ST 2086: green, blue, red and white in units of 1/50000, luminances in 1/10000 cd/m²."""
    points = (mastering.green, mastering.blue, mastering.red, mastering.white)
    numbers = [_clip(round(value * 50_000), 16) for point in points for value in point or _NO_POINT]
    levels = [_clip(round((value or 0) * 10_000), 32) for value in (mastering.max_luminance, mastering.min_luminance)]
    return struct.pack(">8H2I", *numbers, *levels)


def _inserted(data: bytes, boxes: bytes) -> bytes:
    """``boxes`` at the end of the first sample entry, and every box around it that much longer."""
    start, end = 0, len(data)
    around = []
    for kind in _PATH:
        start, end = _find(data, start, end, kind)
        around.append(start)
        start += 8
    entry = start + _TABLE_HEAD
    around.append(entry)
    place = entry + struct.unpack_from(">I", data, entry)[0]
    out = bytearray(data)
    for box in around:
        struct.pack_into(">I", out, box, struct.unpack_from(">I", data, box)[0] + len(boxes))
    return bytes(out[:place]) + boxes + bytes(out[place:])


def _find(data: bytes, start: int, end: int, kind: bytes) -> tuple[int, int]:
    """(start, end) of a box among its siblings; our own muxer's files have short sizes only."""
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        if name == kind:
            return start, start + size
        start += max(8, size)
    raise ValueError(f"no {kind.decode()} box")


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _clip(value: int, bits: int) -> int:
    return min(max(value, 0), (1 << bits) - 1)
