"""Presentation times in order: exact where the container gives them, mended as little as possible where not."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

_MOST_INTERVALS = 64  # a timeline with more kinds of them is not even
_STRAY = 2  # up to so many faulty times are single slips
_REORDER = 64  # frames by which decoding times may run ahead of display
_JUMP_SECONDS = 0.1  # further back than this is a new timeline (joined recordings), not jitter


class Clock:
    """Gives each shown frame a strictly increasing pts. Deterministic: a second pass gives the same answers."""

    def __init__(self, time_base: Fraction, rate: Fraction | None) -> None:
        """``time_base`` in seconds per tick; ``rate`` in frames per second, to fill in what is missing."""
        self._time_base = time_base
        self._step = max(1, round(1 / (rate * time_base))) if rate else max(1, round(Fraction(1, 25) / time_base))
        self._last: int | None = None
        self._last_dts: int | None = None
        self._since_fall = _REORDER  # frames since decoding times last fell or were not known
        self._offset = 0
        self._intervals: Counter[int] = Counter()  # ticks -> how often; bounded
        self._others = 0
        self._had_pts = False
        self.interpolated = 0  #: frames without a time in the container
        self.nudged = 0  #: frames whose time was not after the one before
        self.joins = 0  #: times the timeline jumped back and was continued instead

    def stamp(self, pts: int | None, dts: int | None) -> int:
        """The pts of the next frame, in ticks; ``dts`` is the one of the packet it came from."""
        if dts is None or self._last_dts is not None and dts <= self._last_dts:
            self._since_fall = 0
        self._since_fall += 1
        self._last_dts = dts
        self._had_pts = self._had_pts or pts is not None
        value = self._raw(pts, dts) + self._offset
        if self._last is not None and value <= self._last:
            if (self._last - value) * self._time_base > _JUMP_SECONDS and self._since_fall <= _REORDER:
                self.joins += 1
                self._offset += self._last + self._step - value
                value = self._last + self._step
            else:
                self.nudged += 1
                value = self._last + 1
        if self._last is not None:
            self._count(value - self._last)
        self._last = value
        return value

    @property
    def gaps(self) -> int:
        """Intervals of two frames and more in a timeline that is even otherwise; 0 where the rate varies."""
        if not self._intervals:
            return 0
        usual = max(self._intervals, key=lambda ticks: (self._intervals[ticks], -ticks))
        total = sum(self._intervals.values()) + self._others
        even = sum(n for ticks, n in self._intervals.items() if abs(ticks - usual) <= max(1, usual // 10))
        long = sum(n for ticks, n in self._intervals.items() if ticks >= 1.75 * usual)
        return long if long and even + long + self.joins >= total and long <= 0.1 * total else 0

    def _count(self, interval: int) -> None:
        if interval in self._intervals or len(self._intervals) < _MOST_INTERVALS:
            self._intervals[interval] += 1
        else:
            self._others += 1

    def _raw(self, pts: int | None, dts: int | None) -> int:
        if pts is not None and (dts is None or self.nudged <= _STRAY):
            return pts
        # Packet times come in order of display too, a constant delay later: for containers without pts (AVI), and
        # where pts proved to be in decoding order (a broken muxer).
        if dts is not None and (not self._had_pts or pts is not None):
            return dts
        self.interpolated += 1
        return 0 if self._last is None else self._last + self._step - self._offset

    def remarks(self) -> list[str]:
        """What was mended, one line each."""
        lines = []
        if self.interpolated:
            lines.append(f"{self.interpolated} frames had no timestamp; theirs were interpolated")
        if self.nudged:
            lines.append(f"{self.nudged} frames did not come after the one before; they were moved by a tick or more")
        if self.joins:
            lines.append(f"timestamps jumped back {self.joins} times; the parts were put one after the other")
        return lines
