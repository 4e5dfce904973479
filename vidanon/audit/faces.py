"""The original's faces in one frame: where they are, and whether a recogniser can judge them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from vidanon.config import AuditSettings
from vidanon.faces.align import apply, invert, move_box
from vidanon.types import Action, FloatArray, PlanRow, RowState, View

#: states in which something looked at this very frame and saw the face
SEEN = frozenset({RowState.DETECTED, RowState.REFINED, RowState.IMPORTED})

KEPT = "left clear by the user's word"
CARRIED = "not seen in this frame, carried by the track"
NO_LANDMARKS = "no landmarks"
OUTSIDE = "partly outside the picture"
SMALL = "too small"
TURNED = "turned away"


@dataclass(frozen=True)
class Face:
    """One face of the original in one frame, in pixels of the frame's view."""

    track: int
    box: FloatArray  #: (4,)
    landmarks: FloatArray | None  #: (5, 2)
    eyes: float  #: px between the eyes; NaN without landmarks
    seen: bool  #: by a detector, in this frame
    kept: bool  #: left clear on purpose
    why: str  #: "" where recognisers judge it, else why they do not
    row: PlanRow


def faces_of(rows: Iterable[PlanRow], view: View, actions: Mapping[int, Action], settings: AuditSettings) -> list[Face]:
    """The rows of one frame as faces of its view."""
    to_view = invert(view.to_coded)
    height, width = view.rgb.shape[:2]
    found = []
    for row in rows:
        marks = None if row.landmarks is None else apply(to_view, row.landmarks)
        eyes = float("nan") if marks is None else float(np.linalg.norm(marks[1] - marks[0]))
        kept = actions.get(row.track, Action.PROTECT) is Action.KEEP
        seen = row.state in SEEN
        why = KEPT if kept else "" if seen else CARRIED
        why = why or _unfit(marks, eyes, (width, height), settings)
        found.append(Face(row.track, move_box(to_view, row.box), marks, eyes, seen, kept, why, row))
    return found


def _unfit(marks: FloatArray | None, eyes: float, size: tuple[int, int], settings: AuditSettings) -> str:
    """Why a recogniser cannot judge this face; "" where it can."""
    if marks is None or not np.isfinite(marks).all():
        return NO_LANDMARKS
    if (marks < 0).any() or (marks > np.array(size)).any():
        return OUTSIDE
    if not eyes >= settings.min_eyes:
        # A profile's eyes lie close together: it is turned, not small.
        return TURNED if eyes > 0 and turn(marks) > settings.max_turn else SMALL
    return TURNED if turn(marks) > settings.max_turn else ""


def turn(marks: FloatArray) -> float:
    """How far a head is turned: the nose off the middle of the eyes, along their line, share of their distance.

    About half the tangent of the yaw: 0 from the front, .3 at 30 degrees. ``marks`` (5, 2).
    """
    across = marks[1] - marks[0]
    length = float(np.linalg.norm(across))
    if length == 0:
        return float("inf")
    return abs(float((marks[2] - (marks[0] + marks[1]) / 2) @ across)) / length**2
