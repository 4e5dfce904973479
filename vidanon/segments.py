"""Cut the stream of frames into segments: the unit of encoding, verification, retry and commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vidanon.config import EncodeSettings
from vidanon.types import Frame


@dataclass(frozen=True)
class Segment:
    """Consecutive frames of one layout, held in memory until they are verified."""

    number: int
    frames: tuple[Frame, ...]

    @property
    def first(self) -> int:
        return self.frames[0].index

    @property
    def stop(self) -> int:
        """One past the index of the last frame."""
        return self.frames[-1].index + 1


def segments(frames: Iterable[Frame], settings: EncodeSettings) -> Iterator[Segment]:
    """Segments of at most ``segment_seconds`` and ``segment_bytes``, cut where the layout of the picture changes."""
    held: list[Frame] = []
    size = 0
    number = 0
    for frame in frames:
        if held and (
            _layout(frame) != _layout(held[0])
            or frame.seconds - held[0].seconds >= settings.segment_seconds
            or size + frame.nbytes > settings.segment_bytes
        ):
            yield Segment(number, tuple(held))
            number += 1
            held, size = [], 0
        held.append(frame)
        size += frame.nbytes
    if held:
        yield Segment(number, tuple(held))


def _layout(frame: Frame) -> tuple[object, ...]:
    return (frame.width, frame.height, frame.format.name, frame.orientation, frame.sar, frame.colour)
