"""Side data of decoded frames as values: display matrix and static HDR metadata."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

import av
from av.sidedata.sidedata import SideDataContainer, Type

from vidanon.media.base import HdrInfo, Mastering


def display_matrix(frame: av.VideoFrame) -> bytes | None:
    """The 36 bytes of the frame's display matrix; None where it has none.

    PyAV raises on side data of a kind it does not know (EXIF, views of stereo video). Only the angle is left to
    go by then, given as a pure rotation.
    """
    try:
        side_data = _side_data(frame)
    except ValueError:
        turns = {90: (0, -1, 1, 0), -90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), -180: (-1, 0, 0, -1)}
        numbers = turns.get(int(frame.rotation))
        if numbers is None:
            return None
        a, b, c, d = (n << 16 for n in numbers)
        return struct.pack("=9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    return _bytes(side_data, Type.DISPLAYMATRIX)


def hdr_info(frame: av.VideoFrame) -> HdrInfo:
    try:
        side_data = _side_data(frame)
    except ValueError:
        return HdrInfo()
    mastering = _bytes(side_data, Type.MASTERING_DISPLAY_METADATA)
    light = _bytes(side_data, Type.CONTENT_LIGHT_LEVEL)
    cll, fall = struct.unpack("=II", light[:8]) if light is not None else (None, None)
    return HdrInfo(_mastering(mastering) if mastering is not None else None, cll, fall)


def _side_data(frame: av.VideoFrame) -> Any:
    """The frame's side data, in a container of our own.

    The one that ``frame.side_data`` makes is kept by the frame and refers back to it: frames in such a circle stay
    in memory until a full garbage collection, which is rare.
    """
    return SideDataContainer(frame)  # type: ignore[call-arg]  # the stub knows no argument


def _bytes(side_data: Any, kind: Type) -> bytes | None:
    """``side_data`` is PyAV's container, whose keys are kinds."""
    try:
        return bytes(side_data[kind])
    except KeyError:
        return None


def _mastering(data: bytes) -> Mastering | None:
    """AVMasteringDisplayMetadata: ten rationals (R, G, B, white as x y; min, max luminance), two flags."""
    if len(data) < 88:
        return None
    numbers = struct.unpack("=22i", data[:88])
    values = [Fraction(n, d) if d else Fraction(0) for n, d in zip(numbers[0:20:2], numbers[1:20:2], strict=True)]
    points = [(values[i], values[i + 1]) for i in (0, 2, 4, 6)]
    has_primaries, has_luminance = bool(numbers[20]), bool(numbers[21])
    red, green, blue, white = points if has_primaries else (None, None, None, None)
    low, high = (values[8], values[9]) if has_luminance else (None, None)
    return Mastering(red, green, blue, white, high, low)
