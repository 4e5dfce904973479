"""The pass that gives roles: which frames it looks at, how long it keeps them, and who counts as seen beside."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tests.swap import swapkit
from vidanon.config import ProtectSettings, SwapSettings
from vidanon.faces.mesh import Meshes
from vidanon.faces.mesh_points import five
from vidanon.swap.attributes import Look
from vidanon.swap.audition import ASIDE, LOOKS, SHOT, audition
from vidanon.swap.base import Retouch, Shot
from vidanon.swap.cast import Role
from vidanon.track.plan import Plan
from vidanon.types import Action, Frame, PlanRow, RowState

PROTECT, SWAP = ProtectSettings(mode="swap"), SwapSettings()
SIZE = (160, 200)  #: rows, columns


def mesh(unit: float = 40.0, at: tuple[float, float] = (90.0, 80.0)) -> np.ndarray:
    points = swapkit.donor_at(0).points
    marks = five(points)
    scale = unit / float(np.linalg.norm(marks[0] - marks[1]))
    return np.asarray((points - points.mean(0)) * scale + (*at, 0), np.float32)


class Frames:
    """As many frames as asked for, each of a grey that tells its number; knows how many were read."""

    def __init__(self, count: int) -> None:
        self.count, self.read = count, 0

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.count):
            self.read += 1
            yield swapkit.frame_of(np.full((*SIZE, 3), index % 250, np.uint8), index)


@dataclass
class Finder:
    """Puts the average donor's mesh on the five landmarks given."""

    confidence: float = 1.0
    yaw: float = 0.0
    asked: list[int] = field(default_factory=list)  #: frames, once for each face

    def detect(self, frame: Frame, boxes: Any, landmarks: Any, *, looks: int | None = None) -> Meshes:
        assert np.isfinite(landmarks).all() and len(boxes) == len(landmarks)
        self.asked += [frame.index] * len(boxes)
        points = []
        for marks in landmarks:
            unit = float(np.linalg.norm(marks[1] - marks[0]))
            placed = mesh(unit)
            placed += np.array([*(marks[:2].mean(0) - five(placed)[:2, :2].mean(0)), 0], np.float32)
            points.append(swapkit.turned(placed, yaw=self.yaw))
        return Meshes(np.stack(points), np.full(len(boxes), self.confidence, np.float32))


@dataclass
class Casting:
    """Gives every track a donor of its own; remembers what it was asked, not the pictures."""

    calls: list[tuple[list[int], list[int]]] = field(default_factory=list)  #: (frames of the shots, taken)
    sizes: list[int] = field(default_factory=list)
    alive: list[weakref.ref[np.ndarray]] = field(default_factory=list)
    most: int = 0
    shots: list[Shot] = field(default_factory=list)
    keep: bool = False

    def choose(self, shots: Sequence[Shot], looks: Look, taken: Sequence[int] = ()) -> Role:
        seen = [int(round(float(s.patch[s.patch.shape[0] // 2, s.patch.shape[0] // 2, 0]) * 255)) for s in shots]
        self.calls.append((seen, list(taken)))
        self.sizes += [s.patch.shape[0] for s in shots]
        self.alive += [weakref.ref(s.patch) for s in shots]
        if self.keep:
            self.shots += shots
        gc.collect()
        self.most = max(self.most, sum(ref() is not None for ref in self.alive))
        return Role((len(self.calls) - 1,), np.zeros((468, 3)))


def guess(shots: Sequence[Shot]) -> Look:
    return Look(0.5, 40.0, 0.0)


def as_it_is(shots: Sequence[Shot], role: Role) -> tuple[Retouch, ...]:
    return ()


def row(
    frame: int, track: int = 1, unit: float = 40.0, state: RowState = RowState.DETECTED, marks=True, yaw: float = 0.0
) -> PlanRow:
    points = swapkit.turned(mesh(unit), yaw=yaw)
    return PlanRow(frame, track, swapkit.box_of(points), five(points)[:, :2] if marks else None, state, 1.0)


def hold(rows: Sequence[PlanRow], frames: int | Frames, actions: dict[int, Action] | None = None, **tools: Any):
    """Roles, and the tools used."""
    finder, casting = tools.get("finder", Finder()), tools.get("casting", Casting())
    source = frames if isinstance(frames, Frames) else Frames(frames)
    with Plan() as plan:
        plan.add(rows)
        for track, action in (actions or {}).items():
            plan.set_action(track, action)
        roles = audition(
            source,
            plan,
            casting,
            finder,
            guess,
            tools.get("retouch", as_it_is),
            PROTECT,
            SWAP,
            2,
            tools.get("progress"),
        )
    return roles, finder, casting, source


def test_one_look_in_each_part_of_a_life():
    roles, finder, casting, _ = hold([row(i) for i in range(60)], 60)
    assert roles.keys() == {1}
    assert len(finder.asked) == LOOKS
    parts = [frame * LOOKS // 60 for frame in finder.asked]
    assert parts == list(range(LOOKS))
    ((seen, taken),) = casting.calls
    assert sorted(seen) == finder.asked and taken == []


def test_the_most_promising_frame_of_each_part():
    best = [7, 12, 28, 39, 41, 59]
    _, finder, casting, _ = hold([row(i, unit=48 if i in best else 40) for i in range(60)], 60)
    assert finder.asked == best
    seen, _ = casting.calls[0]
    assert sorted(seen) == best


def off_the_middle(of: PlanRow) -> float:
    right, left, nose = of.landmarks[:3]
    return abs(float((nose - (right + left) / 2) @ (left - right))) / float(np.linalg.norm(left - right)) ** 2


@pytest.mark.parametrize("yaws", [(-8, -21, -17, -60), (25, 38, 32, 62)], ids=["left", "right"])
def test_one_more_look_is_from_the_side(yaws: tuple[int, ...]):
    turns = dict(zip((31, 33, 34, 36), yaws, strict=True))
    rows = [row(i, yaw=turns.get(i, 5)) for i in range(60)]
    assert off_the_middle(rows[36]) > ASIDE[1] >= off_the_middle(rows[33]) > off_the_middle(rows[34]) > ASIDE[0]
    _, finder, casting, _ = hold(rows, 60)
    assert finder.asked.count(33) == 1 and not {31, 34, 36} & set(finder.asked)
    assert len(finder.asked) == LOOKS + 1 and finder.asked == sorted(finder.asked)
    assert sorted(casting.calls[0][0]) == finder.asked


def test_a_part_of_a_life_that_is_seen_from_the_side_alone_is_looked_at_once():
    rows = [row(i, yaw=20.0) for i in range(LOOKS)]
    assert hold(rows, LOOKS)[1].asked == list(range(LOOKS))


def test_a_face_seen_beats_one_that_was_only_followed():
    states = [RowState.DETECTED if i % 10 == 6 else RowState.BRIDGED for i in range(60)]
    _, finder, _, _ = hold([row(i, state=state) for i, state in enumerate(states)], 60)
    assert finder.asked == [6, 16, 26, 36, 46, 56]


def test_the_best_look_comes_first():
    units = {3: 40, 13: 60, 23: 45}
    _, _, casting, _ = hold([row(i, unit=unit) for i, unit in units.items()], 30)
    assert casting.calls[0][0] == [13, 23, 3]


def test_nothing_is_read_beyond_the_last_frame_needed():
    frames = Frames(500)
    hold([row(i) for i in range(20)], frames)
    assert frames.read <= 20
    unread = Frames(500)
    roles, *_ = hold([row(5, marks=False)], unread)
    assert roles == {} and unread.read == 0
    roles, *_ = hold([], Frames(10))
    assert roles == {}


def test_a_source_that_ends_early_casts_whom_it_saw():
    rows = [*(row(i, 1) for i in range(10)), *(row(i, 2) for i in range(30, 40))]
    roles, *_ = hold(rows, 20)
    assert roles.keys() == {1}


@pytest.mark.parametrize("action", [Action.KEEP, Action.COVER])
def test_who_is_not_to_be_swapped_is_not_looked_at(action):
    rows = [row(i, track) for i in range(12) for track in (1, 2)]
    roles, finder, casting, _ = hold(rows, 12, {2: action})
    assert roles.keys() == {1} and len(casting.calls) == 1
    assert len(finder.asked) == LOOKS


def test_small_and_unknown_faces_are_skipped():
    rows = [
        *(row(i, 1, unit=0.5 * SWAP.min_eyes) for i in range(12)),
        *(row(i, 2, marks=False) for i in range(12)),
        *(row(i, 3) for i in range(12)),
    ]
    roles, finder, casting, _ = hold(rows, 12)
    assert roles.keys() == {3} and len(casting.calls) == 1 and len(finder.asked) == LOOKS


@pytest.mark.parametrize("finder", [Finder(confidence=0.1), Finder(yaw=50)], ids=["unsure", "turned"])
def test_faces_the_mesh_does_not_fit_are_no_shots(finder):
    roles, finder, casting, _ = hold([row(i) for i in range(12)], 12, finder=finder)
    assert finder.asked and roles == {} and casting.calls == []


def test_pictures_are_dropped_when_a_track_is_cast():
    """Twenty people one after the other: memory is that of one or two."""
    rows = [row(10 * track + i, track) for track in range(1, 21) for i in range(10)]
    _, _, casting, _ = hold(rows, 220)
    assert len(casting.calls) == 20
    assert casting.most <= 2 * LOOKS
    gc.collect()
    assert sum(ref() is not None for ref in casting.alive) <= 1


def test_pictures_are_no_larger_than_recognisers_look_at():
    casting = Casting(keep=True)
    hold([row(i, unit=70) for i in range(6)], 6, casting=casting)
    assert casting.sizes and max(casting.sizes) <= SHOT
    for shot in casting.shots:
        marks = five(shot.mesh)[:, :2]
        assert marks.min() > 0.1 * shot.patch.shape[0] and marks.max() < 0.9 * shot.patch.shape[0]


def test_a_shot_shows_the_face_under_its_mesh():
    """Bright eyes in the frame are where the mesh has them in the shot."""

    class Lit(Frames):
        def __iter__(self) -> Iterator[Frame]:
            for index in range(self.count):
                picture = np.full((*SIZE, 3), 60, np.uint8)
                for x, y in five(mesh())[:2, :2]:
                    picture[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4] = 255
                yield swapkit.frame_of(picture, index)

    casting = Casting(keep=True)
    hold([row(i) for i in range(6)], Lit(6), casting=casting)
    for shot in casting.shots:
        for x, y in five(shot.mesh)[:2, :2]:
            assert shot.patch[int(y), int(x)].min() > 0.9


def test_who_is_seen_at_the_same_time_is_seen_beside():
    rows = [
        *(row(i, 1) for i in range(0, 20)),
        *(row(i, 2) for i in range(10, 40)),
        *(row(i, 3) for i in range(30, 60)),
    ]
    _, _, casting, _ = hold(rows, 60)
    assert [taken for _, taken in casting.calls] == [[], [0], [1]]


def test_the_answer_does_not_depend_on_the_order_of_rows():
    rows = [row(i, track, unit=40 + (i * track) % 7) for track in (1, 2, 3) for i in range(5 * track, 5 * track + 30)]
    plain, _, casting, _ = hold(rows, 60)
    again, _, other, _ = hold(rows[::-1], 60)
    assert {t: r.donors for t, r in plain.items()} == {t: r.donors for t, r in again.items()}
    assert casting.calls == other.calls


def test_progress_counts_frames():
    told: list[int] = []
    hold([row(i) for i in range(9)], 20, progress=told.append)
    assert told == list(range(1, 10))


def test_who_is_cast_is_retouched_from_the_same_shots():
    asked: dict[int, int] = {}

    def retouch(shots: Sequence[Shot], role: Role) -> tuple[Retouch, ...]:
        asked[role.donors[0]] = len(shots)
        return (Retouch(np.full((2, 2), role.donors[0], np.float32), 1.0),)

    rows = [row(i, track) for track in (1, 2, 3) for i in range(20 * track, 20 * track + 12)]
    roles, _, casting, _ = hold(rows, 80, retouch=retouch)
    for role in roles.values():
        donor, found = role.part(0)
        assert donor == role.donors[0] and found is not None and (found.gain == role.donors[0]).all()
    assert asked == {donor: len(seen) for donor, (seen, _) in enumerate(casting.calls)} and len(asked) == 3
    assert hold(rows, 80)[0][1].part(0)[1] is None


def test_roles_and_guesses_do_not_wait_for_retouches():
    """Three people with two threads: the third is guessed and cast while the others are retouched."""
    go_on = threading.Event()

    def retouch(shots: Sequence[Shot], role: Role) -> tuple[Retouch, ...]:
        assert go_on.wait(60)
        return (Retouch(np.ones((2, 2), np.float32), 1.0),)

    rows = [row(i, track) for track in (1, 2, 3) for i in range(20 * track, 20 * track + 12)]
    roles, *_ = hold(rows, 80, retouch=retouch)
    go_on.set()
    assert roles.keys() == {1, 2, 3}
    for role in roles.values():
        donor, found = role.part(0)
        assert donor == role.donors[0] and found is not None and (found.gain == 1).all()


def test_a_retouch_that_fails_fails_the_drawing():
    def retouch(shots: Sequence[Shot], role: Role) -> tuple[Retouch, ...]:
        raise RuntimeError("no retouch")

    roles, *_ = hold([row(i) for i in range(20)], 20, retouch=retouch)
    with pytest.raises(RuntimeError, match="no retouch"):
        roles[1].part(0)


def test_a_run_that_fails_leaves_no_retouch_waiting():
    """Two are being retouched, a third waits when the source breaks."""
    asked: list[int] = []
    go_on = threading.Event()

    def retouch(shots: Sequence[Shot], role: Role) -> tuple[Retouch, ...]:
        asked.append(role.donors[0])
        go_on.wait(60)
        return ()

    class Broken(Frames):
        def __iter__(self) -> Iterator[Frame]:
            for frame in super().__iter__():
                if frame.index == 11:
                    raise OSError("the disk is gone")
                yield frame

    rows = [row(i, track) for track in range(4) for i in range(2 * track, 2 * track + 6)]
    casting = Casting()
    with pytest.raises(OSError, match="the disk is gone"):
        hold(rows, Broken(12), retouch=retouch, casting=casting)
    assert len(casting.calls) == 3
    go_on.set()
    for thread in threading.enumerate():
        if thread.name.startswith("retouch"):
            thread.join(60)
    assert len(asked) == 2


def test_pictures_do_not_pile_up_behind_a_slow_retouch():
    slow = threading.Event()

    def retouch(shots: Sequence[Shot], role: Role) -> tuple[Retouch, ...]:
        slow.wait(0.05)
        return ()

    rows = [row(i, track) for track in range(12) for i in range(6 * track, 6 * track + 6)]
    _, _, casting, _ = hold(rows, 72, retouch=retouch)
    assert len(casting.calls) == 12 and casting.most <= 6 * LOOKS
