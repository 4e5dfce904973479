"""Which frames are searched whole: the first, the last, both sides of a cut, and one every so often between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vidanon.track.cuts import Cut, CutDetector, Thumb, thumb_of
from vidanon.track.flow import Luma, luma_of
from vidanon.types import Frame

PERIOD = 0.265  #: seconds between two looks: every 7th frame at 25 frames per second, every 8th at 30
_LONGEST = 16  #: frames between two looks, whatever the time stamps say


@dataclass(frozen=True)
class Look:
    """A frame to be searched, and the small pictures of the frames since the one searched before it."""

    frame: Frame
    lumas: tuple[Luma, ...]  #: the last one is that of ``frame``
    new_scene: bool  #: a cut lies before the first of ``lumas``
    damaged: tuple[int, ...]  #: indices of damaged frames among them


@dataclass(frozen=True)
class _Seen:
    frame: Frame
    luma: Luma
    thumb: Thumb


def looks(frames: Iterable[Frame], every: int | None) -> Iterator[Look]:
    """Group a stream into looks. Holds two frames and the small pictures since the last look.

    ``every``: frames between two looks; None: PERIOD seconds.
    """
    lumas: list[Luma] = []
    damaged: list[int] = []
    new_scene = False
    searched: Frame | None = None  # the last one that was
    for here, before, after in _judged(frames):
        frame = here.frame
        if before == Cut.CUT:
            new_scene = True
        lumas.append(here.luma)
        if frame.damaged:
            damaged.append(frame.index)
        due = searched is None or after is None or _due(searched, frame, len(lumas), every)
        if due or before != Cut.NONE or after != Cut.NONE:
            yield Look(frame, tuple(lumas), new_scene, tuple(damaged))
            lumas, damaged = [], []
            new_scene, searched = False, frame


def _due(searched: Frame, here: Frame, since: int, every: int | None) -> bool:
    if every is not None:
        return since >= every
    return since >= _LONGEST or here.seconds - searched.seconds >= PERIOD


def _judged(frames: Iterable[Frame]) -> Iterator[tuple[_Seen, Cut, Cut | None]]:
    """Each frame with the cut before it and the cut after it (None: there is no frame after it)."""
    judge = CutDetector()
    held: list[tuple[_Seen, Cut]] = []  # at most two: the older judged, the newer waiting for the frame after it
    previous: _Seen | None = None
    waiting: _Seen | None = None
    for frame in frames:
        luma = luma_of(frame)
        seen = _Seen(frame, luma, thumb_of(frame, luma.image))
        if waiting is not None:
            cut = Cut.NONE if previous is None else judge.judge(previous.thumb, waiting.thumb, seen.thumb)
            yield from _pair(held, waiting, cut)
            previous = waiting
        waiting = seen
    if waiting is not None:
        cut = Cut.NONE if previous is None else judge.judge(previous.thumb, waiting.thumb, None)
        yield from _pair(held, waiting, cut)
        yield (*held.pop(), None)


def _pair(held: list[tuple[_Seen, Cut]], seen: _Seen, cut: Cut) -> Iterator[tuple[_Seen, Cut, Cut | None]]:
    if held:
        yield (*held.pop(), cut)
    held.append((seen, cut))
