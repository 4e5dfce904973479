"""Presentation times in order: exact where the container gives them, mended as little as possible where not."""

from __future__ import annotations

from fractions import Fraction

_JUMP_SECONDS = 0.1  # further back than this is a new timeline (joined recordings), not jitter


class Clock:
    """Gives each shown frame a strictly increasing pts. Deterministic: a second pass gives the same answers."""

    def __init__(self, time_base: Fraction, rate: Fraction | None) -> None:
        """``time_base`` in seconds per tick; ``rate`` in frames per second, to fill in what is missing."""
        self._time_base = time_base
        self._step = max(1, round(1 / (rate * time_base))) if rate else max(1, round(Fraction(1, 25) / time_base))
        self._last: int | None = None
        self._offset = 0
        self._had_pts = False
        self.interpolated = 0  #: frames without a time in the container
        self.nudged = 0  #: frames moved by a few ticks because their time was not after the one before
        self.joins = 0  #: times the timeline jumped back and was continued instead

    def stamp(self, pts: int | None, dts: int | None) -> int:
        """The pts of the next frame, in ticks; ``dts`` is the one of the packet it came from."""
        if pts is not None:
            self._had_pts = True
            value = pts + self._offset
        elif dts is not None and not self._had_pts and (self._last is None or dts + self._offset > self._last):
            value = dts + self._offset  # containers without pts (AVI): in order of display after decoding
        else:
            self.interpolated += 1
            value = 0 if self._last is None else self._last + self._step
        if self._last is not None and value <= self._last:
            if (self._last - value) * self._time_base > _JUMP_SECONDS:
                self.joins += 1
                self._offset += self._last + self._step - value
                value = self._last + self._step
            else:
                self.nudged += 1
                value = self._last + 1
        self._last = value
        return value

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
