"""What was really covered: decoded output against decoded source, pixel by pixel, inside known face ellipses.

Every tool fills with solid black. A pixel counts as covered where the output is black and the source
is not. Both are decoded luma, so codec noise is part of the measure and the bounds leave room for it.
A face-frame leaks where less than 95 % of its visible pixels are covered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from tests.bench.composites import Clip
from tests.bench.truth import FaceTruth, counted, load_truth

LEAK = 0.95  #: a face-frame with less of its visible ellipse covered leaks
CLEAR = 0.5  #: and with less than this it is called clear: missed, not merely badly fitted
DECISIVE = 30.0  #: full-range luma of the source from which black can be told from it
BLACK = 40.0  #: full-range luma of the output below which a pixel can be black (codec noise on a small ellipse)
TOO_DARK = 0.5  #: a face-frame with fewer decisive pixels than this share is not counted
OUT_OF_STEP = 14.0  #: mean luma difference outside faces that says: these are not the same frame
NEAR = 2.2  #: covering this many times the inner face, about its middle, is not held against a tool
STEP = 4  #: pixels between samples where whole pictures are compared
Luma = npt.NDArray[np.float32]


class MeasureError(Exception):
    """The output cannot be compared with its source; the message says why."""


@dataclass(frozen=True)
class Measured:
    """One counted face-frame under one tool."""

    clip: int
    truth: FaceTruth
    share: float  #: of the visible, decisive pixels that is covered

    @property
    def leaks(self) -> bool:
        return self.share < LEAK


@dataclass
class ClipResult:
    """All face-frames of one clip under one tool."""

    rows: list[Measured]
    hidden: int  #: face-frames not counted: too little of the face to be seen, or below the smallest size
    dark: int  #: face-frames not counted: too dark to tell black fill from
    black: float  #: mean share of the picture that turned black
    beside: float  #: mean share of the picture that turned black away from every face: the price of covering too much
    worst: tuple[int, float]  #: the frame with the largest such share, and the share


def luma(frame: Any) -> Luma:
    """Full-range luma (0-255) of a decoded 8-bit 4:2:0 frame."""
    plane = frame.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(frame.height, plane.line_size)[:, : frame.width].astype(np.float32)
    if frame.color_range == 2:
        return rows
    return (rows - 16.0) * np.float32(255 / 219)


def decoded(path: Path) -> Iterator[Any]:
    """Frames of a video in order of presentation."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        yield from container.decode(stream)


def covered_share(source: Luma, output: Luma, truth: FaceTruth) -> float | None:
    """Covered share of one face's visible pixels; None where the source is too dark to tell."""
    x, y = truth.origin
    h, w = truth.mask.shape
    was, now = source[y : y + h, x : x + w][truth.mask], output[y : y + h, x : x + w][truth.mask]
    decisive = was >= DECISIVE
    if decisive.mean() < TOO_DARK:
        return None
    was, now = was[decisive], now[decisive]
    return float(((now <= BLACK) & (now <= 0.55 * was)).mean())


def _near_faces(truths: Sequence[FaceTruth], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Where a mask may lie without being too much: the ellipses, NEAR times as large. Every STEP-th pixel."""
    near = np.zeros(shape[:2], np.uint8)
    for truth in truths:
        centre = (truth.centre[0] / STEP, truth.centre[1] / STEP)
        axes = (2 * NEAR * truth.axes[0] / STEP, 2 * NEAR * truth.axes[1] / STEP)
        cv2.ellipse(near, (centre, axes, truth.angle), 1, -1)
    return near.astype(bool)


def measure(clip: Clip, output: Path) -> ClipResult:
    """Every face-frame of the clip. Raises MeasureError where the output is not frame by frame the source."""
    by_frame: dict[int, list[FaceTruth]] = {}
    for row in load_truth(clip.truth):
        by_frame.setdefault(row.frame, []).append(row)
    result = ClipResult([], 0, 0, 0.0, 0.0, (0, 0.0))
    black: list[float] = []
    beside: list[float] = []
    frames = 0
    sources, outputs = decoded(clip.video), decoded(output)
    for index, before in enumerate(sources):
        after = next(outputs, None)
        if after is None:
            raise MeasureError(f"{output.name}: {index} frames where the source has more")
        source, made = luma(before), luma(after)
        if source.shape != made.shape:
            raise MeasureError(f"{output.name}: {made.shape[::-1]} px where the source has {source.shape[::-1]}")
        frames += 1
        small, small_made = source[::STEP, ::STEP], made[::STEP, ::STEP]
        untouched = small_made > BLACK
        if untouched.mean() > 0.2 and float(np.abs(small - small_made)[untouched].mean()) > OUT_OF_STEP:
            raise MeasureError(f"{output.name}: frame {index} does not show what the source shows")
        turned = (small >= DECISIVE) & ~untouched & (small_made <= 0.55 * small)
        black.append(float(turned.mean()))
        beside.append(float((turned & ~_near_faces(by_frame.get(index, ()), turned.shape)).mean()))
        for truth in by_frame.get(index, ()):
            if not counted(truth):
                result.hidden += 1
                continue
            share = covered_share(source, made, truth)
            if share is None:
                result.dark += 1
            else:
                result.rows.append(Measured(int(clip.about["clip"]), truth, share))
    if next(outputs, None) is not None:
        raise MeasureError(f"{output.name}: more than the {frames} frames of its source")
    result.black = float(np.mean(black)) if black else 0.0
    if beside:
        result.beside = float(np.mean(beside))
        result.worst = (int(np.argmax(beside)), float(np.max(beside)))
    return result


def tally(rows: Sequence[Measured], low: float, high: float) -> dict[str, float | int]:
    """Counts and rates over the face-frames with low <= size < high, and over the tracks they belong to."""
    part = [r for r in rows if low <= r.truth.size < high]
    tracks: dict[tuple[int, int], bool] = {}
    for r in part:
        key = (r.clip, r.truth.track)
        tracks[key] = tracks.get(key, False) or r.leaks
    leaks, clear, burst = sum(r.leaks for r in part), sum(r.share < CLEAR for r in part), sum(tracks.values())
    return {
        "face_frames": len(part),
        "leaks": leaks,
        "leakage": leaks / len(part) if part else float("nan"),
        "clear": clear,
        "tracks": len(tracks),
        "burst_tracks": burst,
        "burst": burst / len(tracks) if tracks else float("nan"),
    }
