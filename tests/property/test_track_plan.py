"""Whatever the detector answers, and when: what it saw is covered, and plan files come back as they went."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vidanon.config import TrackSettings
from vidanon.track.flow import Luma
from vidanon.track.plan import Plan
from vidanon.track.plan_io import export_plan, import_plan
from vidanon.track.tracker import Tracker
from vidanon.types import Action, Detection, PlanInfo, PlanRow, RowState

sys.path.insert(0, str(Path(__file__).parent.parent / "track"))
import trackkit  # noqa: E402

NOISE = trackkit.texture(3, 320, 180, 30)


def luma(index: int) -> Luma:
    return Luma(index, np.roll(NOISE, index, 1), 1.0, 320, 180)


@st.composite
def detections(draw: st.DrawFn) -> list[Detection]:
    out = []
    for _ in range(draw(st.integers(0, 4))):
        x, y = draw(st.floats(-40, 320)), draw(st.floats(-40, 180))
        w, h = draw(st.floats(6, 150)), draw(st.floats(6, 150))
        score = draw(st.sampled_from([0.2, 0.5, 0.61, 0.7, 0.9, 0.99]))
        out.append(Detection(np.array([x, y, x + w, y + h], np.float32), score, None, "any"))
    return out


@st.composite
def streams(draw: st.DrawFn) -> list[tuple[int, bool, list[Detection] | None]]:
    """Looks: frames since the look before, a cut before them or not, what was seen (None: the detector failed)."""
    seen = st.one_of(detections(), st.just([]), st.none())
    return draw(st.lists(st.tuples(st.integers(1, 6), st.booleans(), seen), min_size=1, max_size=9))


def tracked(stream: list[tuple[int, bool, list[Detection] | None]], config: TrackSettings) -> list[PlanRow]:
    """All rows of a stream of (frames, whether a cut comes first, what the detector saw in the last)."""
    tracker, rows, now = Tracker(config), [], 0
    for count, cut, seen in stream:
        lumas = [luma(i) for i in range(now, now + count)]
        now += count
        if cut and lumas[0].index:
            rows += tracker.cut(lumas[0])
        rows += tracker.step(lumas, seen)
    return [*rows, *tracker.finish()]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(streams())
def test_every_face_that_was_seen_is_covered(stream: list[tuple[int, bool, list[Detection] | None]]) -> None:
    config = TrackSettings()
    rows, now = tracked(stream, config), sum(count for count, _, _ in stream)
    strong: list[tuple[int, np.ndarray]] = []
    last = -1
    for count, _, seen in stream:
        last += count
        strong += [(last, d.box) for d in seen or [] if d.score >= config.high]
    assert len({(r.frame, r.track) for r in rows}) == len(rows)
    assert all(0 <= r.frame < now for r in rows)
    assert all(np.isfinite(r.box).all() and (r.box[2:] > r.box[:2]).all() for r in rows)
    assert all(0 <= r.confidence <= 1 for r in rows)
    for frame, box in strong:
        here = [r.box for r in rows if r.frame == frame]
        assert any((b[:2] <= box[:2] + 1e-3).all() and (b[2:] >= box[2:] - 1e-3).all() for b in here)
    # A track lives without holes.
    for track in {r.track for r in rows}:
        frames = sorted(r.frame for r in rows if r.track == track)
        assert frames == list(range(frames[0], frames[-1] + 1))


@settings(max_examples=25, deadline=None)
@given(streams())
def test_the_same_input_gives_the_same_rows(stream: list[tuple[int, bool, list[Detection] | None]]) -> None:
    once, twice = ([(r.frame, r.track, r.box.tobytes()) for r in tracked(stream, TrackSettings())] for _ in range(2))
    assert once == twice


coordinates = st.floats(-1e5, 1e5, width=32)


@st.composite
def plan_rows(draw: st.DrawFn) -> list[PlanRow]:
    out = []
    keys = draw(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 5)), unique=True, max_size=12))
    for frame, track in keys:
        x, y = draw(coordinates), draw(coordinates)
        box = np.array([x, y, x + draw(st.floats(1, 500)), y + draw(st.floats(1, 500))], np.float32)
        marks = None
        if draw(st.booleans()):
            marks = np.array(draw(st.lists(coordinates, min_size=10, max_size=10)), np.float32).reshape(5, 2)
        score = draw(st.integers(0, 10_000)) / 10_000
        out.append(PlanRow(frame, track, box, marks, draw(st.sampled_from(RowState)), score))
    return out


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    plan_rows(),
    st.sets(st.integers(0, 99), max_size=8),
    st.sampled_from(Action),
    st.text(max_size=20),
)
def test_plan_files_round_trip(
    tmp_path: Path, rows: list[PlanRow], unknown: set[int], action: Action, mode: str
) -> None:
    info = PlanInfo(320, 180, 100, 0, 3, ("a", "b"), mode, {"x": [1, None, "y"]})
    with Plan(seed=3) as plan, Plan(seed=4) as other:
        plan.add(rows)
        plan.add_unknown(unknown)
        for track in plan.tracks():
            plan.set_action(track.id, action)
        plan.finish(info)
        export_plan(plan, tmp_path / "plan")
        assert import_plan(tmp_path / "plan", other) == info
        assert other.unknown(0, 100) == unknown
        for a, b in zip(plan.tracks(), other.tracks(), strict=True):
            assert replace(a, score=0) == replace(b, score=0)
        for r, s in zip(plan.rows(0, 100), other.rows(0, 100), strict=True):
            assert (r.frame, r.track, r.state, r.confidence) == (s.frame, s.track, s.state, s.confidence)
            np.testing.assert_array_equal(r.box, s.box)
            assert (r.landmarks is None) == (s.landmarks is None)
            if r.landmarks is not None:
                np.testing.assert_array_equal(r.landmarks, s.landmarks)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.integers(0, 400))
def test_a_broken_plan_file_is_refused_or_read_never_a_crash(tmp_path: Path, junk: bytes, at: int) -> None:
    from vidanon.errors import UsageError

    good = (
        b'{"vidanon_plan": 1, "width": 9, "height": 9, "frames": 9, "first_frame": 0, "seed": 7}\n'
        b'{"frame": 1, "track": 1, "box": [1, 2, 3, 4], "state": "detected", "confidence": 1, "landmarks": null}\n'
    )
    path = tmp_path / "plan"
    path.write_bytes(good[:at] + junk + good[at:])
    with Plan() as plan:
        try:
            import_plan(path, plan)
        except UsageError as error:
            assert "plan" in str(error)
        else:
            assert plan.info.frames >= 0


def test_junk_is_refused(tmp_path: Path) -> None:
    from vidanon.errors import UsageError

    (tmp_path / "plan").write_bytes(b"\x00" * 100)
    with Plan() as plan, pytest.raises(UsageError, match="line 1"):
        import_plan(tmp_path / "plan", plan)
