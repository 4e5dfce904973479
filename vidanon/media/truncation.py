"""Whether a file ends before its outermost boxes say it does. Reads headers only."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"mfra", b"sidx", b"styp", b"uuid",
                    b"meta", b"udta", b"pdin", b"emsg", b"prft"})  # fmt: skip
_SLACK = 16  # bytes by which some writers are off


def missing_bytes(path: Path, container: str) -> int:
    """How many bytes are missing at the end of a file of libav's format ``container``; 0 where that is not known."""
    size = path.stat().st_size
    names = set(container.split(","))
    with path.open("rb") as file:
        if "mov" in names:
            return _mov(file, size)
        if "matroska" in names:
            return _matroska(file, size)
        if "avi" in names:
            return _avi(file, size)
    return 0


def _mov(file: BinaryIO, size: int) -> int:
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, kind = struct.unpack(">I4s", head[:8])
        if kind not in _BOXES:
            return 0  # foreign bytes after the last box
        if length == 1 and len(head) == 16:
            length = struct.unpack(">Q", head[8:])[0]
        if length == 0:  # to the end of the file
            return 0
        if at + length > size:
            return int(at + length - size)
        if length < 8:
            return 0
        at += length
    return 0


def _matroska(file: BinaryIO, size: int) -> int:
    if file.read(4) != b"\x1a\x45\xdf\xa3":
        return 0
    header = _ebml_size(file)
    if header is None:
        return 0
    file.seek(header, 1)
    if file.read(4) != b"\x18\x53\x80\x67":
        return 0
    segment = _ebml_size(file)
    return 0 if segment is None else max(0, file.tell() + segment - size)


def _ebml_size(file: BinaryIO) -> int | None:
    """A variable-length size; None where it is the reserved "unknown" (live recordings) or not there."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    length = 9 - first[0].bit_length()
    rest = file.read(length - 1)
    value = int.from_bytes(bytes([first[0] & ((1 << (8 - length)) - 1)]) + rest, "big")
    return None if value == (1 << (7 * length)) - 1 or len(rest) < length - 1 else value


def _avi(file: BinaryIO, size: int) -> int:
    head = file.read(8)
    if head[:4] != b"RIFF" or len(head) < 8:
        return 0
    missing = int(struct.unpack("<I", head[4:])[0]) + 8 - size
    return missing if missing > _SLACK else 0
