"""What happens to every face of one segment, and what happens to it after a failed check."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from vidanon.faces.cover import grown
from vidanon.segments import Segment
from vidanon.track.plan import Plan
from vidanon.types import Action, Detection, FloatArray, PlanRow, RowState
from vidanon.verify import Findings

SPREAD = 25  #: frames before and after it in which a face found in the output is covered
SPREAD_GROWTH = 0.03  #: growth of that cover per frame away

Rows = dict[int, list[PlanRow]]  #: by frame index


@dataclass(frozen=True)
class Treatment:
    """Rows by what is done with them, and frames of which nothing is shown."""

    protect: Rows = field(default_factory=lambda: defaultdict(list))
    cover: Rows = field(default_factory=lambda: defaultdict(list))  #: solid, whatever the mode
    keep: Rows = field(default_factory=lambda: defaultdict(list))  #: clear, by the user's word
    whole: frozenset[int] = frozenset()  #: frames covered whole

    def known(self, scale: float) -> dict[int, list[FloatArray]]:
        """By frame, every planned box grown by ``scale``: a detection centred in one of them is no news."""
        boxes: dict[int, list[FloatArray]] = defaultdict(list)
        for group in (self.protect, self.cover, self.keep):
            for frame, rows in group.items():
                boxes[frame] += [grown(row.box, scale) for row in rows]
        return boxes


def first_treatment(segment: Segment, plan: Plan, actions: Mapping[int, Action]) -> Treatment:
    """As planned. Frames the analysis could not judge, and damaged ones, are covered whole."""
    damaged = {frame.index for frame in segment.frames if frame.damaged}
    treatment = Treatment(whole=frozenset(plan.unknown(segment.first, segment.stop) | damaged))
    groups = {Action.KEEP: treatment.keep, Action.COVER: treatment.cover, Action.PROTECT: treatment.protect}
    for row in plan.rows(segment.first, segment.stop):
        groups[actions[row.track]][row.frame].append(row)
    return treatment


def stronger_treatment(
    segment: Segment, last: Treatment, found: Findings, again: frozenset[int] = frozenset()
) -> Treatment:
    """What failed protected is covered; what failed covered takes its whole frame with it. A track that is still
    recognised is covered in the whole segment, but for those in ``again``, which are protected in another way.

    A face outside the plan is covered in the frames around the look that found it; where one is found again in
    a frame that was covered for one already, the frame goes.
    """
    failed, known = found.rows.keys(), found.known.keys() - again
    cover: Rows = defaultdict(list, {frame: list(rows) for frame, rows in last.cover.items()})
    protect: Rows = defaultdict(list)
    for frame, rows in last.protect.items():
        for row in rows:
            (cover if (frame, row.track) in failed or row.track in known else protect)[frame].append(row)
    whole = set(last.whole)
    whole.update(frame for frame, rows in last.cover.items() if any((frame, row.track) in failed for row in rows))
    for frame, faces in found.missed.items():
        if any(row.state is RowState.ADDED for row in last.cover.get(frame, ())):
            whole.add(frame)
        for number, face in enumerate(faces):
            for row in _spread(face, frame, -1 - number, segment):
                cover[row.frame].append(row)
    return Treatment(protect, cover, last.keep, frozenset(whole))


def _spread(face: Detection, frame: int, track: int, segment: Segment) -> Iterator[PlanRow]:
    """Rows that cover a face found in one frame of the output in the frames around it, growing with distance."""
    for index in range(max(segment.first, frame - SPREAD), min(segment.stop, frame + SPREAD + 1)):
        box = grown(face.box, 1 + SPREAD_GROWTH * abs(index - frame))
        yield PlanRow(index, track, box, None, RowState.ADDED, min(1.0, face.score))
