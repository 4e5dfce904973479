"""The tracker on clips whose truth is known."""

import numpy as np
import pytest
import trackkit

from vidanon.config import TrackSettings
from vidanon.track.looks import looks
from vidanon.track.tracker import Tracker
from vidanon.types import Detection, PlanRow, RowState

DEFAULT = TrackSettings()


def run(
    clip: trackkit.Clip, detector: trackkit.Oracle, *, every: int = 5, settings: TrackSettings = DEFAULT
) -> list[PlanRow]:
    tracker = Tracker(settings)
    rows: list[PlanRow] = []
    for look in looks(clip.frames(), every):
        if look.new_scene:
            rows += tracker.cut(look.lumas[0])
        rows += tracker.step(look.lumas, detector.at(look.frame.index))
    rows += tracker.finish()
    assert len({(r.frame, r.track) for r in rows}) == len(rows)
    return sorted(rows, key=lambda r: (r.frame, r.track))


def leaks(clip: trackkit.Clip, rows: list[PlanRow], least: float = 0.95) -> list[tuple[int, int]]:
    """Face-frames, as (frame, face), of which less than ``least`` of the inner ellipse is covered."""
    out = []
    for index in range(clip.count):
        for face, box in clip.truth(index).items():
            here = [r.box for r in rows if r.frame == index]
            if not any(trackkit.covered(box, b) >= least for b in here):
                out.append((index, face))
    return out


def test_every_frame_between_looks_is_covered_and_ids_are_stable() -> None:
    clip = trackkit.Clip(60, {1: trackkit.straight(20, 20, 3, 0.5), 2: trackkit.straight(280, 130, -3, -0.5, 24)})
    rows = run(clip, trackkit.Oracle(clip))
    assert leaks(clip, rows) == []
    assert {r.track for r in rows} == {1, 2}
    for index in range(60):
        for r in (r for r in rows if r.frame == index):
            nearest = min(clip.truth(index).items(), key=lambda kv: np.abs(kv[1] - r.box).sum())
            assert np.abs(nearest[1] - r.box).max() < 3.0  # covered tightly, too
    assert {r.state for r in rows} == {RowState.DETECTED, RowState.REFINED}
    assert all(r.landmarks is not None for r in rows)


def test_landmarks_move_with_the_face() -> None:
    clip = trackkit.Clip(11, {1: trackkit.straight(60, 60, 4, 0)})
    rows = run(clip, trackkit.Oracle(clip))
    marks = np.stack([r.landmarks for r in rows])
    np.testing.assert_allclose(np.diff(marks[:, 2, 0]), 4.0, atol=0.4)


def test_entering_and_leaving() -> None:
    clip = trackkit.Clip(90, {1: trackkit.straight(-40, 60, 5, 0)})

    def score(frame: int, face: int) -> float:
        box = clip.truth(frame)[face]
        return 0.99 if box[0] > 0 and box[2] < 320 else 0.0  # half a face is not seen

    rows = run(clip, trackkit.Oracle(clip, score))
    assert leaks(clip, rows) == []
    assert {r.track for r in rows} == {1}
    assert {RowState.BACKFILLED, RowState.COASTING} <= {r.state for r in rows}


def test_carried_back_as_far_as_allowed() -> None:
    clip = trackkit.Clip(80, {1: trackkit.straight(60, 60, 1.5, 0.5)})
    rows = run(clip, trackkit.Oracle(clip, lambda frame, face: 0.99 if frame >= 45 else 0.0))
    assert leaks(clip, rows) == []
    rows = run(clip, trackkit.Oracle(clip, lambda f, n: 0.99 if f >= 45 else 0.0), settings=TrackSettings(backfill=10))
    assert min(r.frame for r in rows) == 35


def test_nothing_is_carried_back_over_a_cut() -> None:
    path = trackkit.straight(60, 60, 0.5, 0)
    clip = trackkit.Clip(60, {1: lambda i: path(i) if i >= 30 else None}, cuts=(30,))
    rows = run(clip, trackkit.Oracle(clip, lambda frame, face: 0.99 if frame >= 41 else 0.0))
    assert leaks(clip, rows) == []
    assert min(r.frame for r in rows) == 30


def test_tracks_end_at_a_cut() -> None:
    a, b = trackkit.straight(60, 60, 0.5, 0), trackkit.straight(200, 90, 0, 0.5)
    clip = trackkit.Clip(
        60, {1: lambda i: a(i) if i < 32 else None, 2: lambda i: b(i) if i >= 32 else None}, cuts=(32,)
    )
    rows = run(clip, trackkit.Oracle(clip))
    assert leaks(clip, rows) == []
    assert max(r.frame for r in rows if r.track == 1) == 31
    assert min(r.frame for r in rows if r.track == 2) == 32


def test_a_flash_ends_no_track() -> None:
    clip = trackkit.Clip(40, {1: trackkit.straight(60, 60, 1, 0)})
    plain = list(clip.frames())
    plain[17].planes[0][:-8] = 250  # writable: the clip is ours

    class Flashed(trackkit.Clip):
        def frames(self, start: int = 0):  # type: ignore[no-untyped-def]
            return iter(plain)

    flashed = Flashed(40, clip.paths)
    rows = run(flashed, trackkit.Oracle(clip, lambda f, n: 0.0 if f == 17 else 0.99))
    assert {r.track for r in rows} == {1}
    assert leaks(clip, rows) == []


@pytest.mark.parametrize("gap", [8, 20, 45])
def test_gaps_are_bridged_under_one_id(gap: int) -> None:
    clip = trackkit.Clip(90, {1: trackkit.straight(20, 60, 2, 0.3)})
    rows = run(clip, trackkit.Oracle(clip, lambda f, n: 0.0 if 22 <= f < 22 + gap else 0.99))
    assert leaks(clip, rows) == []
    assert {r.track for r in rows} == {1}


@pytest.mark.parametrize("gap", [8, 20, 40])
def test_an_occluder_in_front_is_bridged(gap: int) -> None:
    """The face is behind a flat wall for a while: the flow breaks, both ends are known."""
    path = trackkit.straight(20, 60, 2, 0)
    clip = trackkit.Clip(90, {1: lambda i: None if 22 <= i < 22 + gap else path(i)})
    rows = run(clip, trackkit.Oracle(clip))
    assert leaks(clip, rows) == []
    assert {r.track for r in rows} == {1}
    covered = {r.frame for r in rows}
    assert covered == set(range(90))
    for index in range(22, 22 + gap):  # and what may peep out behind it
        (row,) = (r for r in rows if r.frame == index)
        assert trackkit.covered(np.array(path(index)), row.box) > 0.95


def eyes(row: PlanRow) -> float:
    assert row.landmarks is not None
    return float(np.linalg.norm(row.landmarks[0] - row.landmarks[1]))


def test_what_is_covered_for_safety_makes_no_face_larger() -> None:
    """The landmarks of a bridged or coasting face stay where and as large as the face itself is expected to be."""
    path = trackkit.straight(20, 60, 2, 0)
    hidden = trackkit.Clip(90, {1: lambda i: path(i) if not 22 <= i < 62 and i < 80 else None})
    rows = run(hidden, trackkit.Oracle(hidden))
    seen = eyes(rows[0])
    guessed = [r for r in rows if r.state in (RowState.BRIDGED, RowState.COASTING)]
    assert {r.state for r in guessed} == {RowState.BRIDGED, RowState.COASTING}
    assert max(float(r.box[2] - r.box[0]) for r in guessed) > 1.3 * float(rows[0].box[2] - rows[0].box[0])
    assert max(abs(eyes(r) / seen - 1) for r in guessed) < 0.1
    for r in guessed:
        assert r.landmarks is not None
        np.testing.assert_allclose(r.landmarks[2], np.array(path(r.frame)).reshape(2, 2).mean(0), atol=8)


def test_coasting_when_the_detector_loses_the_face() -> None:
    clip = trackkit.Clip(60, {1: trackkit.straight(60, 60, 1, 0)})
    rows = run(clip, trackkit.Oracle(clip, lambda f, n: 0.99 if f <= 20 else 0.0))
    assert leaks(clip, rows) == []  # the flow goes on for as long as it holds
    gone = trackkit.Clip(80, {1: lambda i: clip.paths[1](i) if i <= 20 else None})
    rows = run(gone, trackkit.Oracle(gone))
    last = max(r.frame for r in rows)
    assert last == 35  # 15 frames, growing
    sizes = [np.ptp(r.box.reshape(2, 2), axis=0).prod() ** 0.5 for r in rows if r.frame > 22]
    assert all(b > a for a, b in zip(sizes[:-1], sizes[1:], strict=True))
    assert sizes[-1] / sizes[0] > 1.3


def test_what_was_seen_once_and_lost_is_thought_to_go_on_at_its_speed() -> None:
    """One hit, two frames of flow, then a wall. When the face comes out of it, where its way leads, it is covered."""
    path = trackkit.straight(40, 60, 6, 0)
    clip = trackkit.Clip(32, {1: lambda i: None if 23 <= i <= 26 else path(i)})
    rows = run(clip, trackkit.Oracle(clip, lambda f, n: 0.99 if f == 20 else 0.0))
    assert leaks(clip, rows) == []
    assert any(r.frame >= 27 and r.state == RowState.COASTING for r in rows)


def test_birth_needs_one_strong_or_two_fair_hits() -> None:
    clip = trackkit.Clip(60, {1: trackkit.straight(60, 60, 1, 0)})

    def frames_of(score: dict[int, float]) -> set[int]:
        return {r.frame for r in run(clip, trackkit.Oracle(clip, lambda f, n: score.get(f, 0.0)))}

    assert frames_of({25: 0.5, 30: 0.5}) == set()
    strong = frames_of({30: 0.9})
    assert strong == set(range(60))  # the flow carries it both ways
    assert frames_of({25: 0.7, 30: 0.7}) == set(range(60))
    once = frames_of({30: 0.7})
    assert 30 in once and once <= set(range(23, 38))  # a tentative one is covered, near its hit


def test_weak_hits_keep_a_track_and_lead_back_from_it() -> None:
    path = trackkit.straight(60, 60, 1, 0)
    # A flat wall hides every other stretch, so that the flow alone could not do it.
    clip = trackkit.Clip(60, {1: lambda i: None if i % 5 in (2, 3) else path(i)})
    rows = run(clip, trackkit.Oracle(clip, lambda f, n: 0.99 if f == 30 else 0.3))
    assert {r.track for r in rows} == {1}
    assert leaks(clip, rows) == []


def test_two_boxes_on_one_face_are_one_track_that_covers_both() -> None:
    clip = trackkit.Clip(30, {1: trackkit.straight(60, 60, 1, 0, 40)})

    class Twice(trackkit.Oracle):
        def at(self, index: int) -> list[Detection]:
            (d,) = super().at(index)
            return [d, Detection(d.box + np.float32(4), 0.7, None, "other")]

    rows = run(clip, Twice(clip))
    assert {r.track for r in rows} == {1}
    for r in rows:
        if r.frame % 5 == 0:
            box = clip.truth(r.frame)[1]
            assert (r.box[:2] <= box[:2] + 0.01).all() and (r.box[2:] >= box[2:] + 3.99).all()


def test_crossing_faces_keep_their_ids() -> None:
    clip = trackkit.Clip(60, {1: trackkit.straight(40, 60, 4, 0, 30), 2: trackkit.straight(260, 75, -4, 0, 30)})
    rows = run(clip, trackkit.Oracle(clip))
    assert leaks(clip, rows) == []
    assert {r.track for r in rows} == {1, 2}
    ends = {r.track: r.box for r in rows if r.frame == 59}
    assert ends[1][0] > 200 and ends[2][0] < 60


def test_a_failed_look_does_not_end_a_track() -> None:
    clip = trackkit.Clip(40, {1: trackkit.straight(60, 60, 1, 0)})
    tracker, rows = Tracker(TrackSettings()), []
    oracle = trackkit.Oracle(clip)
    for look in looks(clip.frames(), 5):
        rows += tracker.step(look.lumas, None if look.frame.index == 20 else oracle.at(look.frame.index))
    rows += tracker.finish()
    assert leaks(clip, rows) == []
    assert {r.track for r in rows} == {1}


def test_boxes_that_are_no_boxes_are_ignored() -> None:
    clip = trackkit.Clip(10, {})
    tracker, rows = Tracker(TrackSettings()), []
    bad = [np.array(b, np.float32) for b in ([np.nan] * 4, [5, 5, 5, 9], [9, 9, 3, 3], [0, 0, np.inf, 9])]
    for look in looks(clip.frames(), 5):
        rows += tracker.step(look.lumas, [Detection(b, 0.99, None, "x") for b in bad])
    assert rows + tracker.finish() == []


def test_long_tracks_are_handed_out_in_pieces_without_a_seam() -> None:
    path = trackkit.straight(100, 60, 0, 0)
    clip = trackkit.Clip(1800, {1: lambda i: np.array(path(i)) + 20 * np.sin(i / 40)})
    still = trackkit.Clip(1, clip.paths)
    (base,) = (look.lumas[0] for look in looks(still.frames(), 5))
    tracker, rows, early = Tracker(TrackSettings(backfill=0, bridge=0, coast=0)), [], 0
    oracle = trackkit.Oracle(clip)
    for start in range(0, 1800, 5):
        lumas = [type(base)(i, base.image, base.scale, base.width, base.height) for i in range(start, start + 5)]
        rows += tracker.step(lumas, oracle.at(start + 4))
        early = max(early, len(rows) if start < 1750 else 0)
        assert sum(len(t.nodes) for t in tracker._tracks) < 2000
    rows += tracker.finish()
    assert early > 1000
    assert sorted(r.frame for r in rows) == sorted({r.frame for r in rows})
    assert set(range(4, 1800)) <= {r.frame for r in rows}
    middle = np.array([r.box[0] for r in sorted(rows, key=lambda r: r.frame)])
    assert np.abs(np.diff(middle)).max() < 3.0


class Again:
    """Answers for the places asked about, and remembers them."""

    def __init__(self, clip: trackkit.Clip, score: float) -> None:
        self.clip, self.score, self.asked = clip, score, list[tuple[int, int]]()

    def at(self, index: int):  # type: ignore[no-untyped-def]
        def again(boxes: np.ndarray) -> list[Detection | None]:
            self.asked.append((index, len(boxes)))
            truth = list(self.clip.truth(index).values())
            out: list[Detection | None] = []
            for box in boxes:
                near = [t for t in truth if np.abs(t - box).max() < 20]
                out.append(Detection(near[0].astype(np.float32), self.score, None, "again") if near else None)
            return out

        return again


def test_a_track_that_the_search_misses_is_looked_for_at_its_place() -> None:
    clip = trackkit.Clip(90, {1: trackkit.straight(20, 30, 2, 0.5), 2: trackkit.straight(260, 120, -2, 0)})
    oracle = trackkit.Oracle(clip, lambda f, n: 0.0 if n == 1 and f >= 12 else 0.99)
    tracker, rows, again = Tracker(TrackSettings(backfill=0, coast=0)), [], Again(clip, 0.5)
    for look in looks(clip.frames(), 5):
        rows += tracker.step(look.lumas, oracle.at(look.frame.index), again.at(look.frame.index))
    rows += tracker.finish()
    assert again.asked == [(index, 1) for index in [*range(15, 90, 5), 89]]
    assert leaks(clip, rows) == []
    assert {r.state for r in rows if r.track == 1 and r.frame in (15, 20, 85)} == {RowState.REFINED}


def test_what_is_found_again_on_another_track_is_not_taken() -> None:
    clip = trackkit.Clip(60, {1: trackkit.straight(60, 60, 0, 0), 2: trackkit.straight(75, 66, 0, 0)})
    oracle = trackkit.Oracle(clip, lambda f, n: 0.0 if n == 1 and f >= 12 else 0.99)
    tracker, rows = Tracker(TrackSettings()), []
    for look in looks(clip.frames(), 5):

        def again(boxes: np.ndarray, index: int = look.frame.index) -> list[Detection | None]:
            return [Detection(clip.truth(index)[2].astype(np.float32), 0.9, None, "again") for _ in boxes]

        rows += tracker.step(look.lumas, oracle.at(look.frame.index), again)
    rows += tracker.finish()
    assert not [r for r in rows if r.track == 1 and r.state == RowState.REFINED and r.frame > 40]


@pytest.mark.parametrize("speed", [3, 6])
def test_a_face_behind_another_one_keeps_its_id(speed: int) -> None:
    """Face 2 passes in front of face 1, which the detector loses meanwhile; the flow slips onto face 2."""
    clip = trackkit.Clip(
        90, {1: trackkit.straight(140, 60, 0.3, 0, 32), 2: trackkit.straight(170 - 45 * speed, 56, speed, 0, 44)}
    )

    def score(frame: int, face: int) -> float:
        truth = clip.truth(frame)
        if face == 2 or 2 not in truth:
            return 0.99
        return 0.0 if trackkit.covered(truth[1], truth[2], 1.0) > 0.4 else 0.99

    rows = run(clip, trackkit.Oracle(clip, score))
    assert {r.track for r in rows} == {1, 2}
    assert leaks(clip, rows) == []
    behind = next(r.track for r in rows if r.frame == 0 and abs(r.box[0] - 140) < 5)
    assert abs(next(r.box[0] for r in rows if r.frame == 89 and r.track == behind) - 166.7) < 8


def test_a_bridge_bends_with_the_speed_at_its_ends() -> None:
    """Hidden for 18 frames, in which it turns back."""

    def path(i: int) -> list[float]:
        x = 150 + 50 * np.sin(i / 9.5)
        return [x, 60, x + 24, 92]

    clip = trackkit.Clip(45, {1: lambda i: None if 8 <= i < 26 else path(i)})
    rows = run(clip, trackkit.Oracle(clip), every=4)
    assert {r.track for r in rows} == {1}
    missed = [
        i for i in range(8, 26) for r in rows if r.frame == i and trackkit.covered(np.array(path(i)), r.box) < 0.95
    ]
    assert missed == []


def flown(pan: int) -> tuple[trackkit.Clip, list[PlanRow]]:
    """Something seen in one frame while it moves, and gone soon after, before a wall that the camera pans over."""
    path = trackkit.straight(40, 60, 9, 0)
    clip = trackkit.Clip(40, {1: lambda i: path(i) if 5 <= i <= 10 else None}, pan=pan)
    return clip, run(clip, trackkit.Oracle(clip, lambda f, n: 0.9 if f == 10 else 0.0))


def test_a_guess_is_not_followed_over_a_wall_that_nothing_came_to() -> None:
    clip, rows = flown(pan=0)
    assert leaks(clip, rows) == []
    last = max(r.frame for r in rows)
    clip, rows = flown(pan=3)
    assert leaks(clip, rows) == []
    assert last + 5 < max(r.frame for r in rows)  # where it cannot be told, it goes on
