"""What may be said in an output file: nothing that comes from the source, nothing about the tools that made it.

Streams are made from scratch, so no tag, chapter, title, handler or side data of the source is ever copied; the
muxer runs in its bit-exact mode, which leaves out versions and dates. What encoders write about themselves
(user data SEI) is cut out of the packets here.
"""

from __future__ import annotations

from collections.abc import Iterator

from vidanon.media.containers import Container

_USER_DATA = frozenset({4, 5})  # SEI payloads: registered (captions, vendors' own), unregistered (free text)
_MATROSKA_OPTIONS = {"write_crc32": "0"}
_MOV_OPTIONS = {"movflags": "+faststart", "write_tmcd": "0", "empty_hdlr_name": "1"}


def muxer_options(container: Container) -> dict[str, str]:
    """Options of the muxer: bit-exact, index in front for MP4 and MOV, no timecode track, no handler names."""
    special = _MOV_OPTIONS if container.name in ("mp4", "mov") else _MATROSKA_OPTIONS
    return {"fflags": "+bitexact", **special}


def strip_user_data(data: bytes, codec: str) -> bytes:
    """A packet (Annex B for H.264 and HEVC) without its user data SEI messages; other codecs have none.

    Looks at what stands before the first slice: that is where encoders put them.
    """
    if codec not in ("h264", "hevc") or not data.startswith((b"\0\0\1", b"\0\0\0\1")):
        return data
    hevc = codec == "hevc"
    pieces: list[bytes] = []
    changed = False
    for start, body, end, kind in _units(data, hevc):
        if not _is_sei(kind, hevc):
            pieces.append(data[start:end])
            continue
        head = 2 if hevc else 1
        kept, dropped = _messages(data[body + head : end])
        if not dropped:
            pieces.append(data[start:end])
            continue
        changed = True
        if kept:
            pieces.append(data[start : body + head] + _escape(kept + b"\x80"))
    return b"".join(pieces) if changed else data


def _units(data: bytes, hevc: bool) -> Iterator[tuple[int, int, int, int]]:
    """(start of the start code, first byte, end, type) of each NAL unit; the first slice comes with all the rest."""
    start = 0
    while start < len(data):
        body = data.index(b"\0\0\1", start) + 3
        first = data[body] if body < len(data) else 0
        kind = first >> 1 & 63 if hevc else first & 31
        is_slice = kind < 32 if hevc else 1 <= kind <= 5
        end = -1 if is_slice else data.find(b"\0\0\1", body)
        if end > 0 and data[end - 1] == 0:
            end -= 1  # the four-byte form of the next start code
        end = len(data) if end < 0 else end
        yield start, body, end, kind
        start = end


def _is_sei(kind: int, hevc: bool) -> bool:
    return kind in (39, 40) if hevc else kind == 6


def _messages(escaped: bytes) -> tuple[bytes, bool]:
    """The SEI messages that may stay (as raw bytes, without the trailing bits), and whether any was dropped."""
    raw = escaped.replace(b"\0\0\3", b"\0\0")
    kept, dropped, at = bytearray(), False, 0
    while at < len(raw) and raw[at:].rstrip(b"\0") != b"\x80":
        first, sizes = at, []
        for _ in range(2):  # payload type, then payload size: runs of 255 and a last byte
            value = 0
            while at < len(raw) and raw[at] == 255:
                value, at = value + 255, at + 1
            if at >= len(raw):
                return b"", True  # damaged: nothing of it is kept
            sizes.append(value + raw[at])
            at += 1
        at += sizes[1]
        if sizes[0] in _USER_DATA:
            dropped = True
        else:
            kept += raw[first:at]
    return bytes(kept), dropped


def _escape(raw: bytes) -> bytes:
    """Emulation prevention: no start code inside a unit."""
    out, zeros = bytearray(), 0
    for byte in raw:
        if zeros >= 2 and byte <= 3:
            out.append(3)
            zeros = 0
        out.append(byte)
        zeros = zeros + 1 if byte == 0 else 0
    return bytes(out)
