"""The boxes of one track, frame by frame: filled between hits, carried back before the first and on after the last."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from vidanon.track.base import Box, grown, iou, union
from vidanon.track.flow import Get, Step, follow
from vidanon.types import FloatArray, RowState

_AGREE = 0.5  #: overlap of two guesses about one frame that counts as agreement
_ANCHOR_BETWEEN = 0.1  #: least likeness to the hit's own patch between two hits: both ends are known
_ANCHOR_BEYOND = 0.35  #: beyond the last hit, or before the first, nothing else holds the box in place
_SURE = 0.7


Absent = Callable[[int, Box], bool]  #: frame, place: whether the face is surely not there


@dataclass(frozen=True)
class Node:
    """One track in one frame, as measured or guessed, before smoothing."""

    frame: int
    box: Box
    state: RowState
    confidence: float
    trust: float  #: weight in the smoother: 1 a detector's box, 0 a guess
    landmarks: FloatArray | None = None


@dataclass(frozen=True)
class Hit:
    """A detection that belongs to a track."""

    frame: int
    box: Box
    score: float
    landmarks: FloatArray | None
    state: RowState = RowState.DETECTED  #: or REFINED, where only the track's own region was looked at
    cover: Box | None = None  #: what is covered, where that is more than the box the track goes on with

    def node(self) -> Node:
        if self.cover is not None:
            return Node(self.frame, self.cover, self.state, self.score, 0.3, self.landmarks)
        return Node(self.frame, self.box, self.state, self.score, 1.0, self.landmarks)

    def doubted(self, expected: Box) -> Hit:
        """A weak hit says where the face is, less so how large: meet what is ``expected`` halfway, cover both."""
        return replace(self, box=(self.box + expected) / 2, cover=union(self.box, expected))


def centre(box: Box) -> npt.NDArray[np.float64]:
    return np.asarray((box[:2] + box[2:]) / 2)


def between(
    a: Hit, b: Hit, ahead: Sequence[Step], get: Get, growth: float, speed: npt.NDArray[np.float64] | None = None
) -> list[Node]:
    """The frames strictly between two hits.

    ``ahead``: the steps of the flow from ``a``, as far as it held; ``speed`` (2,) px per frame at ``a``, where known.
    """
    count = b.frame - a.frame - 1
    if count <= 0:
        return []
    velocity = (centre(b.box) - centre(a.box)) / (count + 1)
    arrived = len(ahead) > count and float(iou(ahead[count].box[None], b.box[None])[0, 0]) >= _AGREE
    behind: Sequence[Step] = ()
    if not arrived:
        behind = follow(get, b.frame, a.frame, b.box, velocity, min_anchor=_ANCHOR_BETWEEN)
    drift = b.box - ahead[count].box if arrived else np.zeros(4)
    returned = len(behind) > count and float(iou(behind[count].box[None], a.box[None])[0, 0]) >= _AGREE
    drift_back = a.box - behind[count].box if returned else np.zeros(4)
    curve = _curve(a, b, ahead[:count], behind[:count], speed)
    out = []
    for i in range(count):
        t = (i + 1) / (count + 1)
        line = (1 - t) * a.box + t * b.box
        forth = ahead[i].box + t * drift if i < len(ahead) and (arrived or not returned) else None
        j = count - 1 - i
        back = behind[j].box + (1 - t) * drift_back if j < len(behind) and not arrived else None
        frame = a.frame + 1 + i
        score = (1 - t) * a.score + t * b.score
        marks = _marks(a, b, t)
        if arrived or returned:
            box = forth if arrived else back
            assert box is not None
            out.append(_node(frame, box, RowState.REFINED, score, 1.0, marks))
            continue
        # The flow broke somewhere on the way: cover what each end says as far as it goes, and the straight line.
        distance = min(i + 1, count - i)
        guesses = [g for g in (forth, back) if g is not None]
        if len(guesses) == 2 and float(iou(guesses[0][None], guesses[1][None])[0, 0]) >= _AGREE:
            out.append(_node(frame, (1 - t) * guesses[0] + t * guesses[1], RowState.REFINED, score, 0.7, marks))
            continue
        box = union(grown(line, growth * distance), *(guesses or [grown(curve(frame), growth * distance)]))
        out.append(_node(frame, box, RowState.BRIDGED, 0.5 * score, 0.0, marks, line))
    return out


def _curve(
    a: Hit, b: Hit, ahead: Sequence[Step], behind: Sequence[Step], speed: npt.NDArray[np.float64] | None
) -> Callable[[int], Box]:
    """Through the part that no flow reached: frame -> box, from where the flow from ``a`` ended to where that from
    ``b`` did, leaving and arriving with the speed at these ends (a cubic Hermite curve)."""
    first, last = a.frame + len(ahead), b.frame - len(behind)
    p, q = (ahead[-1].box if ahead else a.box), (behind[-1].box if behind else b.box)
    gap = max(last - first, 1)
    chord = (centre(q) - centre(p)) / gap
    out = _speed(a.box, ahead, chord if speed is None else speed)
    back = -_speed(b.box, behind, -chord)

    def at(frame: int) -> Box:
        t = min(max((frame - first) / gap, 0.0), 1.0)
        bend = t * (1 - t) ** 2 * (out - chord) - t**2 * (1 - t) * (back - chord)
        return _moved((1 - t) * p + t * q, bend * gap)

    return at


def _speed(start: Box, steps: Sequence[Step], otherwise: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Px per frame over the last steps, in their own direction."""
    if len(steps) < 2:
        return otherwise
    recent = [start, *(s.box for s in steps)][-5:]
    return np.asarray((centre(recent[-1]) - centre(recent[0])) / (len(recent) - 1))


def _marks(a: Hit, b: Hit, t: float) -> FloatArray | None:
    """Landmarks between two hits, in shares of the box: (5, 2), or None where an end has none."""
    if a.landmarks is None or b.landmarks is None:
        return None
    return np.asarray((1 - t) * _relative(a.landmarks, a.box) + t * _relative(b.landmarks, b.box), np.float32)


def _relative(marks: FloatArray, box: Box) -> FloatArray:
    return np.asarray((marks - box[:2]) / (box[2:] - box[:2]), np.float32)


def _node(
    frame: int,
    box: Box,
    state: RowState,
    score: float,
    trust: float,
    relative: FloatArray | None,
    face: Box | None = None,
) -> Node:
    """``face``: where the face itself is expected, whose landmarks these are, where ``box`` is more than that: what is
    covered for safety does not make a face larger."""
    at = box if face is None else face
    marks = None if relative is None else np.asarray(at[:2] + relative * (at[2:] - at[:2]), np.float32)
    return Node(frame, box, state, float(score), trust, marks)


def beyond(
    end: Hit,
    steps: Sequence[Step],
    velocity: npt.NDArray[np.float64],
    direction: int,
    *,
    blind: int,
    longest: int,
    growth: float,
    picture: tuple[int, int],
    absent: Absent,
) -> list[Node]:
    """What to cover past the end of a track: after its last hit (``direction`` 1) or before its first (-1).

    ``steps``: the flow from the end hit as far as it held; ``velocity`` (2,) px per frame along time;
    ``blind``: frames covered whether the flow holds or not; ``longest``: and at most so many;
    ``picture``: (width, height) in coded px; ``absent``: whether the face is surely not in a box. Ends where the box
    has left the picture, or where the face is in none of the guesses left.
    """
    state = RowState.COASTING if direction > 0 else RowState.BACKFILLED
    out: list[Node] = []
    base, speed, since = end.box, velocity * direction, 0
    relative = None if end.landmarks is None else _relative(end.landmarks, end.box)
    for n in range(1, longest + 1):
        step = steps[n - 1] if n <= len(steps) else None
        guess = grown(_moved(end.box, velocity * direction * n), growth * n)
        confidence = 0.5 * end.score
        if step is not None:
            last = base
            base, since = step.box, 0
            face = base
            speed = 0.5 * speed + 0.5 * (centre(base) - centre(last))
            box, trust = grown(base, growth * 0.5 * min(n, 10)), 0.5
            if step.ncc < _SURE and n <= blind:
                box, trust = union(box, guess), 0.0
        else:
            since += 1
            leaving = _leaving(base, speed, picture)
            if n > blind and not leaving:
                break
            face = _moved(base, speed * since)
            box, trust = grown(face, growth * since), 0.0
            if n <= blind and not steps:
                box = union(box, guess)
        if _outside(box, picture):
            break
        out.append(_node(end.frame + direction * n, box, state, confidence, trust, relative, face))
    while out and out[-1].trust == 0 and absent(out[-1].frame, out[-1].box):
        out.pop()
    return out if direction > 0 else out[::-1]


def _moved(box: Box, shift: npt.NDArray[np.float64]) -> Box:
    return box + np.tile(shift, 2)


def _outside(box: Box, picture: tuple[int, int]) -> bool:
    """Not even the covered region, a third larger than the box, reaches the picture any more."""
    wide = grown(box, 0.5)
    return bool(wide[2] <= 0 or wide[3] <= 0 or wide[0] >= picture[0] or wide[1] >= picture[1])


def _leaving(box: Box, speed: npt.NDArray[np.float64], picture: tuple[int, int]) -> bool:
    """It reaches over the border, and is on its way out there."""
    size = float(np.sqrt(np.prod(box[2:] - box[:2])))
    fast = 0.01 * size
    return bool(
        (box[0] < 0 and speed[0] < -fast)
        or (box[1] < 0 and speed[1] < -fast)
        or (box[2] > picture[0] and speed[0] > fast)
        or (box[3] > picture[1] and speed[1] > fast)
    )


Seen = Callable[[int, Box], Hit | None]


def carried_back(
    first: Hit,
    looks: Sequence[int],
    seen: Seen,
    get: Get,
    *,
    oldest: int,
    blind: int,
    growth: float,
    velocity: npt.NDArray[np.float64],
    picture: tuple[int, int],
    absent: Absent,
) -> list[Node]:
    """The frames before the first hit, from the oldest on.

    The flow is followed back; at each earlier look (a frame in which the detector ran, ``looks`` newest first) a
    candidate too weak to start a track, but where it is expected (``seen``), takes the place of the flow's box.
    ``oldest``: the first frame that may be covered (the scene starts there, or the allowance ends).
    """
    if oldest >= first.frame:
        return []
    out: list[Node] = []
    here, steps = first, list[Step]()
    for look in [*(x for x in looks if x > oldest), oldest]:
        reached = here.frame - len(steps)
        if reached > look:
            box = steps[-1].box if steps else here.box
            steps += follow(get, reached, look, box, velocity, min_anchor=_ANCHOR_BEYOND)
        short = here.frame - len(steps) - look  # frames by which the flow did not get there
        expected = _moved(steps[-1].box if steps else here.box, -velocity * short)
        found = seen(look, expected)
        if found is not None:
            out = [found.node(), *between(found, here, (), get, growth), *out]
            velocity = (centre(here.box) - centre(found.box)) / (here.frame - look)
            here, steps = found, []
        elif short:
            break
    longest = here.frame - oldest
    tail = beyond(
        here, steps, velocity, -1,
        blind=min(max(blind, len(steps) + blind // 2), longest), longest=longest, growth=growth, picture=picture,
        absent=absent,
    )  # fmt: skip
    return [*tail, *out]
