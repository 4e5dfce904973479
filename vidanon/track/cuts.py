"""Scene cuts, seen on a thumbnail of the luma.

A cut changes both what is where (blocks) and how much of which grey there is (histogram). A flash or a fade changes
the greys and leaves the blocks alike once gain and offset are taken out; fast motion changes blocks and leaves the
greys. A flash is also known by the frame after it looking like the frame before.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vidanon.types import ByteArray, Frame

_WIDTH, _HEIGHT, _BINS = 32, 18, 32
_CUT, _DOUBT = 0.85, 0.35
_USUAL = 4.0  #: a cut stands out from the changes just before it by this factor


class Cut(enum.IntEnum):
    """What lies between a frame and the one before it."""

    NONE = 0
    DOUBT = 1  #: look again with full detection, but keep the tracks
    CUT = 2


@dataclass(frozen=True)
class Thumb:
    """What a frame is compared by."""

    size: tuple[int, int]  #: coded (width, height) of the frame
    luma: npt.NDArray[np.float32]  #: (18, 32)
    histogram: npt.NDArray[np.float32]  #: (32,) cumulated, 0..1
    colour: npt.NDArray[np.float32]  #: (2,) mean of the chroma planes, 0..1


def thumb_of(frame: Frame, luma: ByteArray) -> Thumb:
    """``luma`` (h, w) uint8: the small grey picture of the frame."""
    step = max(1, min(luma.shape[0] // 90, luma.shape[1] // 160))
    coarse = np.ascontiguousarray(luma[::step, ::step])
    small = cv2.resize(coarse, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)
    counts = np.bincount(coarse.ravel() >> 3, minlength=_BINS).astype(np.float32)
    full = float((1 << frame.format.depth) - 1)
    colour = [float(plane[::16, ::16].mean()) / full for plane in frame.planes[1:3]] or [0.5, 0.5]
    return Thumb((frame.width, frame.height), small, np.cumsum(counts) / counts.sum(), np.array(colour, np.float32))


def change(a: Thumb, b: Thumb) -> float:
    """Below 0.1: the same scene; above 0.85: another one. Infinite where the frame size differs."""
    if a.size != b.size:
        return float("inf")
    blocks = 1.0 - _likeness(a.luma, b.luma)  # 0..2, blind to gain and offset
    greys = float(np.abs(a.histogram - b.histogram).mean()) + float(np.abs(a.colour - b.colour).mean())
    level = float(np.abs(a.luma - b.luma).mean()) / 255.0
    return 1.1 * min(blocks, 1.2) + 1.5 * min(greys, 0.3) + 2.0 * min(level, 0.25) - 0.15


def _likeness(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> float:
    """Normalised correlation; pictures without contrast (black, white) are like nothing but each other."""
    a, b = a - a.mean(), b - b.mean()
    na, nb = float(np.sqrt((a * a).mean())), float(np.sqrt((b * b).mean()))
    if na < 2.0 or nb < 2.0:
        return 1.0 if na < 2.0 and nb < 2.0 else 0.5
    return float((a * b).mean()) / (na * nb)


class CutDetector:
    """Fed with the thumbs in order; answers with one frame of delay, for it looks one ahead."""

    def __init__(self) -> None:
        self._usual = 0.0
        self._before_flash: Thumb | None = None

    def judge(self, before: Thumb, here: Thumb, after: Thumb | None) -> Cut:
        """Is there a cut between ``before`` and ``here``? ``after`` (None at the end) tells a flash from a cut."""
        d = change(before, here)
        if not np.isfinite(d):
            return Cut.CUT
        usual, self._usual = self._usual, 0.7 * self._usual + 0.3 * max(d, 0.0)
        if d < max(_DOUBT, min(_USUAL * usual, _CUT)):
            return Cut.NONE
        flash_over = self._before_flash is not None and change(self._before_flash, here) < 0.8 * _CUT
        back = change(before, after) if after is not None else d
        self._before_flash = before if back < 0.8 * _CUT else None
        if flash_over:
            return Cut.DOUBT
        if d < max(_CUT, _USUAL * min(usual, 0.3)) or back < 0.8 * _CUT:
            return Cut.DOUBT
        self._usual = usual  # a cut says nothing of the scene's own motion
        return Cut.CUT
