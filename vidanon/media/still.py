"""Still pictures (JPEG, PNG, WebP) recognised by their first bytes: size, EXIF orientation, animation.

Only headers are parsed here; libav decodes the pixels.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vidanon.media.orientation import from_exif
from vidanon.types import Orientation

_MOST_CHUNKS = 4096  # headers that go on longer are no picture's
_MOST_EXIF = 1 << 20


@dataclass(frozen=True)
class StillHeader:
    demuxer: str  #: libav's name
    width: int  #: 0 where the header does not say
    height: int
    orientation: Orientation
    animated_webp: bool = False
    complete: bool = True  #: False: the file ends before its picture does


def probe(path: Path) -> StillHeader | None:
    """The header of a still picture; None for anything else, an animated PNG or GIF among it."""
    try:
        with path.open("rb") as file:
            magic = file.read(16)
            if magic.startswith(b"\xff\xd8\xff"):
                return _jpeg(file)
            if magic.startswith(b"\x89PNG\r\n\x1a\n"):
                return _png(file)
            if magic[:4] == b"RIFF" and magic[8:12] == b"WEBP":
                return _webp(file, path.stat().st_size)
    except (OSError, struct.error):
        return None
    return None


def _jpeg(file: BinaryIO) -> StillHeader:
    width = height = 0
    orientation = Orientation()
    file.seek(2)
    for _ in range(_MOST_CHUNKS):
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF:
            break
        marker, length = head[1], struct.unpack(">H", head[2:])[0]
        if marker == 0xDA:
            break
        if marker == 0xFF:  # fill byte
            file.seek(-3, 1)
            continue
        after = file.tell() + length - 2
        if marker == 0xE1 and file.read(6) == b"Exif\0\0":
            orientation = _exif_orientation(file.read(max(0, length - 8))) or orientation
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">xHH", file.read(5))
        file.seek(after)
    file.seek(0, 2)
    file.seek(max(0, file.tell() - (1 << 16)))
    return StillHeader("jpeg_pipe", width, height, orientation, complete=b"\xff\xd9" in file.read())


def _png(file: BinaryIO) -> StillHeader | None:
    width = height = 0
    orientation = Orientation()
    file.seek(8)
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return StillHeader("png_pipe", width, height, orientation, complete=False)
        length, kind = struct.unpack(">I4s", head)
        after = file.tell() + length + 4
        if kind == b"IHDR":
            width, height = struct.unpack(">II", file.read(8))
        elif kind == b"acTL":
            return None  # animated: a video
        elif kind == b"eXIf" and length <= _MOST_EXIF:
            orientation = _exif_orientation(file.read(length)) or orientation
        elif kind == b"IEND":
            break
        file.seek(after)
    return StillHeader("png_pipe", width, height, orientation)


def _webp(file: BinaryIO, size: int) -> StillHeader:
    width = height = 0
    orientation, animated = Orientation(), False
    file.seek(4)
    declared = struct.unpack("<I", file.read(4))[0] + 8
    file.seek(12)
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break
        kind, length = head[:4], struct.unpack("<I", head[4:])[0]
        after = file.tell() + length + (length & 1)
        if kind == b"VP8X":
            data = file.read(10)
            animated = bool(data[0] & 2)
            width = int.from_bytes(data[4:7], "little") + 1
            height = int.from_bytes(data[7:10], "little") + 1
        elif kind == b"VP8 " and not width:
            wide, high = struct.unpack("<6xHH", file.read(10))
            width, height = wide & 0x3FFF, high & 0x3FFF
        elif kind == b"VP8L" and not width:
            bits = struct.unpack("<xI", file.read(5))[0]
            width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        elif kind in (b"ANIM", b"ANMF"):
            animated = True
        elif kind == b"EXIF" and length <= _MOST_EXIF:
            data = file.read(length)
            orientation = _exif_orientation(data.removeprefix(b"Exif\0\0")) or orientation
        file.seek(after)
    return StillHeader("webp_pipe", width, height, orientation, animated, complete=size >= declared)


def _exif_orientation(tiff: bytes) -> Orientation | None:
    """Tag 0x0112 of the first IFD."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return None
    try:
        offset = struct.unpack_from(order + "I", tiff, 4)[0]
        count = struct.unpack_from(order + "H", tiff, offset)[0]
        for entry in range(count):
            tag, kind = struct.unpack_from(order + "HH", tiff, offset + 2 + 12 * entry)
            if tag == 0x0112 and kind == 3:
                return from_exif(struct.unpack_from(order + "H", tiff, offset + 2 + 12 * entry + 8)[0])
    except struct.error:
        return None
    return None
