"""Look at every person of a plan in a few frames, spread over the whole track, and give each a role.

One more look is from the side, where there is one: what makes a face a stranger's from the front need not do so there.

A pass over the source between the analysis and the render pass. It decodes, but looks at few frames; embeddings and
pictures of sources live in memory, and only as long as they are needed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from vidanon.config import ProtectSettings, SwapSettings
from vidanon.faces.gather import gather
from vidanon.faces.mesh import MeshFinder
from vidanon.faces.mesh_points import eye_distance, yaw
from vidanon.swap.attributes import Look
from vidanon.swap.base import Retouch, Shot
from vidanon.swap.cast import Casting, Role
from vidanon.swap.patches import to_patch, unmirrored
from vidanon.track.plan import Plan
from vidanon.types import Action, FacePose, FloatArray, Frame, PlanRow, RowState, TrackInfo

LOOKS = 6  #: frames of a track that are looked at, one in each part of its life
ASIDE = (0.1, 0.3)  #: how far the nose is off the middle of the eyes in a look from the side, eye distances
SHOT = 160  #: px, side of the patches kept
Guess = Callable[[Sequence[Shot]], Look]
Retouching = Callable[[Sequence[Shot], Role], tuple[Retouch, ...]]  #: of the role's donors


def audition(
    frames: Iterable[Frame],
    plan: Plan,
    casting: Casting,
    finder: MeshFinder,
    guess: Guess,
    retouch: Retouching,
    protect: ProtectSettings,
    swap: SwapSettings,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> dict[int, Role]:
    """Roles by track, for the tracks that can be swapped in some frame.

    ``frames`` are read up to the last that is needed. Tracks are cast in the order in which they end, so that the
    answer does not depend on anything but the plan and the pictures; ``workers`` threads guess, and retouch who is cast
    already. Retouches may still be sought when this returns: roles wait for theirs when they are asked for it.
    """
    tracks = {t.id: t for t in plan.tracks() if t.action is Action.PROTECT}
    wanted = _wanted(plan, tracks, swap)
    left = {track: len(rows) for track, rows in wanted.items()}
    by_frame: dict[int, list[PlanRow]] = defaultdict(list)
    for rows in wanted.values():
        for row in rows:
            by_frame[row.frame].append(row)
    shots: dict[int, list[tuple[float, Shot]]] = defaultdict(list)
    roles: dict[int, Role] = {}
    sought: list[Future[tuple[Retouch, ...]]] = []
    last = max(by_frame, default=-1)
    retouching = ThreadPoolExecutor(workers, "retouch")
    finished = False
    try:
        with ThreadPoolExecutor(workers, "guess") as guessing:  # not behind a retouch
            for done, frame in enumerate(frames if last >= 0 else (), 1):
                rows = by_frame.pop(frame.index, [])
                if rows:
                    for track, found in _shots(frame, rows, finder, protect, swap):
                        shots[track].append(found)
                ended = []
                for track in (row.track for row in rows):
                    left[track] -= 1
                    if left[track] == 0 and track in shots:
                        best = [shot for _, shot in sorted(shots.pop(track), key=lambda each: -each[0])]
                        ended.append((track, best, guessing.submit(guess, best)))
                for track, best, look in ended:
                    role = casting.choose(best, look.result(), _beside(tracks[track], tracks, roles))
                    waiting = [each for each in sought if not each.done()]
                    if len(waiting) > workers:
                        waiting[0].result()  # pictures of sources do not pile up
                    sought = [*waiting, retouching.submit(retouch, best, role)]
                    roles[track] = replace(role, retouches=sought[-1].result)
                if progress is not None:
                    progress(done)
                if frame.index >= last:
                    break
        finished = True
        return roles
    finally:
        retouching.shutdown(wait=False, cancel_futures=not finished)


def _beside(me: TrackInfo, tracks: dict[int, TrackInfo], roles: dict[int, Role]) -> list[int]:
    """The donors of those who are seen while ``me`` is."""
    return [
        donor
        for other, role in roles.items()
        if tracks[other].first <= me.last and me.first <= tracks[other].last
        for donor in role.donors
    ]


def _wanted(plan: Plan, tracks: dict[int, TrackInfo], swap: SwapSettings) -> dict[int, list[PlanRow]]:
    """By track, the most promising row of each part of its life and, of those from the side, the most turned one."""
    best: dict[tuple[int, int], tuple[float, PlanRow]] = {}
    for row in plan.iter_rows():
        info = tracks.get(row.track)
        promise = _promise(row, swap)
        if info is None or row.landmarks is None or promise <= 0:
            continue
        part = (row.frame - info.first) * LOOKS // (info.last - info.first + 1)
        if promise > best.get((row.track, part), (0.0, row))[0]:
            best[row.track, part] = (promise, row)
        turn = _turn(row.landmarks)
        if ASIDE[0] <= turn <= ASIDE[1] and turn > best.get((row.track, LOOKS), (0.0, row))[0]:
            best[row.track, LOOKS] = (turn, row)
    found: dict[int, dict[int, PlanRow]] = defaultdict(dict)
    for (track, _), (_, row) in best.items():
        found[track][row.frame] = row
    return {track: [rows[frame] for frame in sorted(rows)] for track, rows in sorted(found.items())}


def _promise(row: PlanRow, swap: SwapSettings) -> float:
    """How much a row's five landmarks promise: large, seen from the front; 0 where it is not worth a look."""
    marks = row.landmarks
    if marks is None or not np.isfinite(marks).all():
        return 0.0
    eyes = float(np.linalg.norm(marks[1] - marks[0]))
    if eyes < 0.8 * swap.min_eyes:
        return 0.0
    return eyes * max(0.0, 1 - _turn(marks)) * (1.0 if row.state is RowState.DETECTED else 0.7)


def _turn(marks: FloatArray) -> float:
    """(5, 2) landmarks of two eyes apart -> how far the nose is off their middle along their line, eye distances."""
    across = marks[1] - marks[0]
    return abs(float((marks[2] - marks[:2].mean(0)) @ across)) / float(across @ across)


def _shots(
    frame: Frame, rows: list[PlanRow], finder: MeshFinder, protect: ProtectSettings, swap: SwapSettings
) -> Iterable[tuple[int, tuple[float, Shot]]]:
    marks = np.stack([row.landmarks for row in rows if row.landmarks is not None])
    meshes = finder.detect(frame, np.stack([row.box for row in rows]), marks, looks=2)
    posed = [replace(row, pose=FacePose(mesh, 1.0)) for row, mesh in zip(rows, meshes.points, strict=True)]
    sure: dict[int, float] = {row.track: float(c) for row, c in zip(rows, meshes.confidence, strict=True)}
    for batch in gather([frame], posed, protect, "cpu"):
        for i, track in enumerate(batch.tracks):
            pose = batch.poses[i]
            if pose is None or not np.isfinite(pose.mesh).all() or sure[track] < swap.min_confidence:
                continue
            if float(eye_distance(pose.mesh)) < swap.min_eyes or abs(float(yaw(pose.mesh))) > swap.max_yaw:
                continue
            patch: FloatArray = np.ascontiguousarray(batch.patches[i].numpy().transpose(1, 2, 0))
            merit = float(eye_distance(pose.mesh)) * sure[track] * float(np.cos(np.radians(yaw(pose.mesh))))
            yield track, (merit, Shot(*unmirrored(patch, to_patch(batch.to_frame[i], pose.mesh))).within(SHOT))
