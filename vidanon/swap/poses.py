"""The meshes of a segment's faces, steadied over time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from vidanon.faces.mesh import Meshes, MeshFinder
from vidanon.faces.mesh_points import POINTS
from vidanon.faces.mesh_smooth import smooth
from vidanon.types import FloatArray, Frame, PlanRow

_BATCH = 12  #: faces that a network looks at in one call
TAIL = 8  #: frames of a track kept for the next segment, so that smoothing knows what came before


@dataclass(frozen=True)
class Seen:
    """One track's meshes in consecutive frames."""

    frames: tuple[int, ...]
    raw: FloatArray  #: (T, 468, 3) coded px as they were found, NaN where there was none
    confidence: FloatArray  #: (T,)
    boxes: FloatArray  #: (T, 4) coded px, as planned
    landmarks: FloatArray  #: (T, 5, 2) coded px, as planned, NaN where not known

    def __len__(self) -> int:
        return len(self.frames)


def find_meshes(
    finder: MeshFinder, frames: Sequence[Frame], rows: Sequence[PlanRow], workers: int = 1
) -> dict[int, Seen]:
    """By track, the meshes of its rows, in the order of frames. workers: threads that look."""
    by_index = {frame.index: frame for frame in frames}
    wanted = sorted((row for row in rows if row.frame in by_index), key=lambda row: row.frame)
    marks = np.full((len(wanted), 5, 2), np.nan, np.float32)
    for i, row in enumerate(wanted):
        if row.landmarks is not None:
            marks[i] = row.landmarks

    def look(start: int) -> Meshes:
        some = wanted[start : start + _BATCH]
        boxes = np.stack([row.box for row in some])
        return finder.detect_each([by_index[row.frame] for row in some], boxes, marks[start : start + _BATCH])

    found: dict[int, list[tuple[int, FloatArray, float, FloatArray, FloatArray]]] = {}
    starts = range(0, len(wanted), _BATCH)
    with ThreadPoolExecutor(workers, "meshes") as pool:
        for start, meshes in zip(starts, pool.map(look, starts), strict=True):
            some = slice(start, start + _BATCH)
            for row, points, sure, five in zip(
                wanted[some], meshes.points, meshes.confidence, marks[some], strict=True
            ):
                found.setdefault(row.track, []).append((row.frame, points, float(sure), row.box, five))
    return {
        track: Seen(
            tuple(index for index, *_ in each),
            np.stack([points for _, points, *_ in each]),
            np.array([sure for _, _, sure, *_ in each], np.float32),
            np.stack([box for *_, box, _ in each]),
            np.stack([five for *_, five in each]),
        )
        for track, each in found.items()
    }


def steadied(seen: Seen, tail: Seen | None, rate: float) -> FloatArray:
    """(T, 468, 3) ``seen`` smoothed over time; ``tail``: the end of the segment before, where the track goes on."""
    before = 0
    raw, confidence, frames = seen.raw, seen.confidence, seen.frames
    if tail is not None and len(tail) and 0 < frames[0] - tail.frames[-1] <= TAIL:
        before = len(tail)
        raw = np.concatenate([tail.raw, raw])
        confidence = np.concatenate([tail.confidence, confidence])
        frames = (*tail.frames, *frames)
    # frames in which the track was not planned leave a gap
    at = np.array(frames) - frames[0]
    length = int(at[-1]) + 1
    meshes, sure = np.full((length, POINTS, 3), np.nan, np.float32), np.zeros(length, np.float32)
    meshes[at], sure[at] = raw, np.maximum(confidence, 1e-3) * np.isfinite(raw).all((1, 2))
    return np.asarray(smooth(meshes, sure, rate)[at[before:]], np.float32)


def tail_of(seen: Seen) -> Seen:
    last = slice(-TAIL, None)
    return Seen(seen.frames[last], seen.raw[last], seen.confidence[last], seen.boxes[last], seen.landmarks[last])
