"""A plan as a text file, one JSON object per line: to look at, to edit, to give back with ``--tracks``.

    {"vidanon_plan": 1, "width": 1280, ...}                       the head, first line
    {"track": 1, "action": "protect", "seed": 123, ...}           one per track; only ``action`` is read as an order
    {"frame": 0, "track": 1, "box": [x0, y0, x1, y1], "state": "detected", "confidence": 0.99, "landmarks": null}
    {"unknown": [first, last]}                                    frames covered whole, both ends included

Boxes are in coded pixels. No image data is in it. Lines that are empty are skipped; order is free after the head.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vidanon.errors import OutputError, UsageError
from vidanon.track.plan import Plan
from vidanon.types import Action, FloatArray, PlanInfo, PlanRow, RowState, TrackInfo

VERSION = 1
_STATES = {state.name.lower(): state for state in RowState}
_MAX_LINE = 1 << 20
_MAX_COORDINATE = 1e6
_MAX_ID = (1 << 63) - 1  #: what the store holds
_BATCH = 2000
_SPAN = 100_000  #: frames whose unknown ones are held in memory at once


def export_plan(plan: Plan, path: Path) -> None:
    """Write a finished plan; the file appears whole (mode 0600) or not at all. Raises OutputError."""
    temporary: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=".plan-", dir=path.parent)
        temporary = Path(name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            for line in _lines(plan):
                file.write(json.dumps(line, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise OutputError(f"plan {path}: {error.strerror}; choose a path that can be written") from error


def _lines(plan: Plan) -> Iterator[dict[str, Any]]:
    info = plan.info
    yield {
        "vidanon_plan": VERSION, "width": info.width, "height": info.height, "frames": info.frames,
        "first_frame": info.first_frame, "seed": info.seed, "detectors": list(info.detectors), "mode": info.mode,
        "settings": dict(info.settings),
    }  # fmt: skip
    for track in plan.tracks():
        yield _track_line(track)
    end = info.first_frame + info.frames
    for start in range(info.first_frame, end, _SPAN):
        for first, last in _spans(sorted(plan.unknown(start, min(start + _SPAN, end)))):
            yield {"unknown": [first, last]}
    for row in plan.iter_rows():
        yield {
            "frame": row.frame, "track": row.track, "box": _numbers(row.box), "state": row.state.name.lower(),
            "confidence": round(row.confidence, 4),
            "landmarks": None if row.landmarks is None else [_numbers(point) for point in row.landmarks],
        }  # fmt: skip


def _track_line(track: TrackInfo) -> dict[str, Any]:
    return {
        "track": track.id, "action": str(track.action), "seed": track.seed, "first": track.first, "last": track.last,
        "hits": track.hits, "score": round(track.score, 4),
    }  # fmt: skip


def _numbers(values: FloatArray) -> list[float]:
    """The shortest decimals that read back as the same float32."""
    return [float(str(np.float32(v))) for v in values]


def _spans(frames: list[int]) -> Iterator[tuple[int, int]]:
    start = previous = None
    for frame in frames:
        if previous is None or frame != previous + 1:
            if start is not None and previous is not None:
                yield start, previous
            start = frame
        previous = frame
    if start is not None and previous is not None:
        yield start, previous


def import_plan(path: Path, plan: Plan) -> PlanInfo:
    """Read a plan file into an empty ``plan`` and finish it. Raises UsageError, naming the line, for anything wrong."""
    try:
        with path.open("rb") as file:
            return _Reader(path, plan).read(file)
    except OSError as error:
        raise UsageError(f"plan {path}: {error.strerror}; give a readable plan file") from error


class _Reader:
    """Line by line, a batch of rows in memory."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self._path = path
        self._plan = plan
        self._number = 0
        self._info: PlanInfo | None = None
        self._rows: list[PlanRow] = []
        self._tracks: dict[int, tuple[int, Action, int | None]] = {}  #: id -> line, action, seed

    def read(self, file: Any) -> PlanInfo:
        while line := file.readline(_MAX_LINE + 1):
            self._number += 1
            if len(line) > _MAX_LINE:
                raise self._wrong(f"longer than {_MAX_LINE} bytes")
            if line.strip():
                self._line(self._parse(line))
        if self._info is None:
            raise UsageError(f"plan {self._path}: empty; export one with --tracks")
        self._flush()
        known = {track.id for track in self._plan.tracks()}
        for track, (number, action, seed) in self._tracks.items():
            if track not in known:
                continue  # every row of it was deleted: nothing is left to act on
            if seed is not None:
                self._plan.set_seed(track, seed)
            self._number = number
            self._plan.set_action(track, action)
        self._plan.finish(self._info)
        return self._info

    def _parse(self, line: bytes) -> dict[str, Any]:
        try:
            value = json.loads(line.decode("utf-8"), parse_constant=_refused)
        except (ValueError, RecursionError) as error:
            raise self._wrong(f"not valid JSON ({error})") from error
        if not isinstance(value, dict):
            raise self._wrong("expected a JSON object")
        return value

    def _line(self, value: dict[str, Any]) -> None:
        if self._info is None:
            self._info = self._head(value)
        elif "frame" in value:
            self._rows.append(self._row(value))
            if len(self._rows) >= _BATCH:
                self._flush()
        elif "track" in value:
            self._track(value)
        elif "unknown" in value:
            self._unknown(value)
        else:
            raise self._wrong("neither a track ('track'), a row ('frame') nor unknown frames ('unknown')")

    def _head(self, value: dict[str, Any]) -> PlanInfo:
        version = value.get("vidanon_plan")
        if version != VERSION:
            raise self._wrong(f'expected the head of a plan, version {VERSION}, with "vidanon_plan": {VERSION}')
        settings, detectors, mode = value.get("settings", {}), value.get("detectors", []), value.get("mode", "")
        if not isinstance(settings, Mapping):
            raise self._wrong("'settings' is not an object")
        if not isinstance(detectors, list) or not all(isinstance(d, str) for d in detectors):
            raise self._wrong("'detectors' is not a list of names")
        if not isinstance(mode, str):
            raise self._wrong("'mode' is not a name")
        if self._whole(value, "first_frame", 0) + self._whole(value, "frames", 0) > _MAX_ID:
            raise self._wrong("more frames than can be counted")
        return PlanInfo(
            width=self._whole(value, "width", 1),
            height=self._whole(value, "height", 1),
            frames=self._whole(value, "frames", 0),
            first_frame=self._whole(value, "first_frame", 0),
            seed=self._whole(value, "seed", 0),  # of any size, as in the configuration
            detectors=tuple(detectors),
            mode=mode,
            settings=dict(settings),
        )

    def _row(self, value: dict[str, Any]) -> PlanRow:
        frame, track = self._frame(value["frame"]), self._track_id(value)
        box = self._floats(value.get("box"), 4, "box")
        if not (box[2] > box[0] and box[3] > box[1]):
            raise self._wrong("'box' has no area; it is [x0, y0, x1, y1] with x1 > x0 and y1 > y0")
        state = value.get("state", "imported")
        if not isinstance(state, str) or state not in _STATES:
            raise self._wrong(f"'state' is {state!r}; expected one of {', '.join(_STATES)}")
        confidence = value.get("confidence", 1.0)
        if not _is_number(confidence) or not 0 <= confidence <= 1:
            raise self._wrong("'confidence' is not a number from 0 to 1")
        marks = value.get("landmarks")
        landmarks = None
        if marks is not None:
            if not isinstance(marks, list) or len(marks) != 5:
                raise self._wrong("'landmarks' is neither null nor five points")
            landmarks = np.stack([self._floats(point, 2, "landmarks") for point in marks])
        return PlanRow(frame, track, box, landmarks, _STATES[state], float(confidence))

    def _track(self, value: dict[str, Any]) -> None:
        track = self._track_id(value)
        if track in self._tracks:
            raise self._wrong(f"track {track} is there twice, first in line {self._tracks[track][0]}")
        action = value.get("action", "protect")
        if not isinstance(action, str) or action not in set(Action):
            raise self._wrong(f"'action' is {action!r}; expected one of {', '.join(Action)}")
        seed = self._whole(value, "seed", 0) if "seed" in value else None
        if seed is not None and seed >= 1 << 63:
            raise self._wrong("'seed' does not fit in 63 bits")
        self._tracks[track] = (self._number, Action(action), seed)

    def _unknown(self, value: dict[str, Any]) -> None:
        span = value["unknown"]
        if not isinstance(span, list) or len(span) != 2:
            raise self._wrong("'unknown' is not [first, last]")
        first, last = self._frame(span[0]), self._frame(span[1])
        if last < first:
            raise self._wrong("'unknown' ends before it begins")
        self._plan.add_unknown(range(first, last + 1))

    # -- values ----------------------------------------------------------------------------------------------------

    def _whole(self, value: Mapping[str, Any], name: str, least: int) -> int:
        number = value.get(name)
        if not isinstance(number, int) or isinstance(number, bool) or number < least:
            raise self._wrong(f"'{name}' is not a whole number >= {least}")
        return number

    def _track_id(self, value: Mapping[str, Any]) -> int:
        track = self._whole(value, "track", 1)
        if track > _MAX_ID:
            raise self._wrong(f"'track' is larger than {_MAX_ID}")
        return track

    def _frame(self, number: Any) -> int:
        assert self._info is not None
        low, high = self._info.first_frame, self._info.first_frame + self._info.frames
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number < high:
            raise self._wrong(f"frame {number!r} is not a whole number from {low} to {high - 1}")
        return number

    def _floats(self, values: Any, count: int, name: str) -> FloatArray:
        ok = isinstance(values, list) and len(values) == count and all(_is_number(v) for v in values)
        if not ok or any(abs(v) > _MAX_COORDINATE for v in values):
            raise self._wrong(f"'{name}' is not {count} numbers in pixels")
        return np.array(values, np.float32)

    def _flush(self) -> None:
        self._plan.add(self._rows)
        self._rows = []

    def _wrong(self, problem: str) -> UsageError:
        return UsageError(f"plan {self._path}, line {self._number}: {problem}")


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)  # an int may be too large for isfinite


def _refused(name: str) -> float:
    raise ValueError(f"{name} is not allowed")
