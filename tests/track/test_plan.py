import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from vidanon.errors import OutputError, UsageError
from vidanon.track.plan import Plan, track_seed
from vidanon.track.plan_io import export_plan, import_plan
from vidanon.types import Action, PlanInfo, PlanRow, RowState

INFO = PlanInfo(320, 180, 50, 0, 7, ("oracle",), "mask", {"seed": 7})


def row(frame: int, track: int, x: float = 10.0, state: RowState = RowState.DETECTED, score: float = 0.9) -> PlanRow:
    marks = np.array([[x, 1], [2, 3], [4, 5], [6, 7], [8, 9.25]], np.float32) if track % 2 else None
    return PlanRow(frame, track, np.array([x, 5, x + 20, 30], np.float32), marks, state, score)


@pytest.fixture
def plan() -> Plan:
    with Plan(seed=7) as made:
        yield made


def test_rows_come_back_sorted_and_equal(plan: Plan) -> None:
    rows = [row(f, t, f + t / 3) for f in (5, 3, 4) for t in (2, 1)]
    plan.add(rows)
    got = plan.rows(3, 5)
    assert [(r.frame, r.track) for r in got] == [(3, 1), (3, 2), (4, 1), (4, 2)]
    for r in got:
        want = next(w for w in rows if (w.frame, w.track) == (r.frame, r.track))
        np.testing.assert_array_equal(r.box, want.box)
        assert (r.landmarks is None) == (want.landmarks is None)
        if want.landmarks is not None:
            np.testing.assert_array_equal(r.landmarks, want.landmarks)
        assert (r.state, r.confidence) == (want.state, want.confidence)


def test_tracks_are_counted_once_however_often_a_row_is_replaced(plan: Plan) -> None:
    plan.add([row(3, 1), row(4, 1, state=RowState.REFINED, score=1.0), row(9, 1, score=0.95)])
    plan.add([row(3, 1), row(4, 1)])
    info = plan.track(1)
    assert (info.first, info.last, info.hits, info.score) == (3, 9, 3, 0.95)
    plan.add([row(4, 1, state=RowState.BRIDGED)])
    assert plan.track(1).hits == 2
    assert plan.counts() == {"rows": 3, "tracks": 1, "unknown": 0}


def test_actions_and_seeds(plan: Plan) -> None:
    plan.add([row(0, 1), row(0, 2)])
    plan.set_action(2, Action.KEEP)
    assert [t.action for t in plan.tracks()] == [Action.PROTECT, Action.KEEP]
    assert plan.track(1).seed == track_seed(7, 1) != plan.track(2).seed
    assert 0 <= plan.track(1).seed < 1 << 63
    with pytest.raises(UsageError, match="track 9"):
        plan.set_action(9, Action.KEEP)
    with pytest.raises(KeyError):
        plan.track(9)


def test_seeds_of_any_size() -> None:
    seeds = {track_seed(seed, track) for seed in (0, 1, 2**64, 10**60) for track in (1, 2, 2**62)}
    assert len(seeds) == 12
    assert all(0 <= seed < 1 << 63 for seed in seeds)


def test_unknown_frames(plan: Plan) -> None:
    plan.add_unknown([3, 4, 4, 90])
    assert plan.unknown(0, 90) == {3, 4}
    assert plan.unknown(4, 91) == {4, 90}


@pytest.mark.parametrize("box", [[0, 0, 0, 5], [3, 3, 2, 9], [0, 0, np.nan, 9], [0, 0, np.inf, 9]])
def test_a_box_that_covers_nothing_is_refused(plan: Plan, box: list[float]) -> None:
    with pytest.raises(ValueError, match="no area"):
        plan.add([PlanRow(0, 1, np.array(box, np.float32), None, RowState.DETECTED, 1.0)])


def test_file_is_private_and_gone_after_close(tmp_path: Path) -> None:
    plan = Plan(folder=tmp_path)
    assert stat.S_IMODE(os.stat(plan.path).st_mode) == 0o600
    plan.add([row(i, 1) for i in range(3000)])
    plan.close()
    plan.close()
    assert list(tmp_path.iterdir()) == []
    own = Plan()
    assert stat.S_IMODE(os.stat(own.path.parent).st_mode) == 0o700
    own.close()
    assert not own.path.parent.exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="plan"):
        Plan(folder=tmp_path / "none")


def test_info_before_finish(plan: Plan) -> None:
    with pytest.raises(ValueError):
        _ = plan.info
    plan.finish(INFO)
    assert plan.info == INFO


def test_export_and_import(plan: Plan, tmp_path: Path) -> None:
    plan.add([row(f, t, 1 / 3 * f, RowState(f % 7)) for f in range(20) for t in (1, 2)])
    plan.set_action(2, Action.COVER)
    plan.add_unknown([1, 2, 3, 7])
    plan.finish(INFO)
    path = tmp_path / "plan.jsonl"
    export_plan(plan, path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["plan.jsonl"]
    with Plan(seed=99) as other:
        assert import_plan(path, other) == INFO
        assert other.unknown(0, 50) == {1, 2, 3, 7}
        assert [(t.id, t.action, t.seed) for t in other.tracks()] == [(t.id, t.action, t.seed) for t in plan.tracks()]
        second = tmp_path / "again.jsonl"
        export_plan(other, second)
    assert second.read_text() == path.read_text()


HEAD = json.dumps({"vidanon_plan": 1, "width": 320, "height": 180, "frames": 50, "first_frame": 0, "seed": 7})
ROW = {"frame": 1, "track": 1, "box": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    ("lines", "where", "problem"),
    [
        ([], "", "empty"),
        (["{"], "line 1", "JSON"),
        (["[]"], "line 1", "object"),
        (['{"vidanon_plan": 2}'], "line 1", "version"),
        ([HEAD, "", "{}"], "line 3", "neither"),
        ([HEAD, json.dumps(ROW | {"frame": 50})], "line 2", "frame 50"),
        ([HEAD, json.dumps(ROW | {"frame": True})], "line 2", "frame True"),
        ([HEAD, json.dumps(ROW | {"track": 0})], "line 2", "'track'"),
        ([HEAD, json.dumps(ROW | {"box": [3, 2, 1, 4]})], "line 2", "no area"),
        ([HEAD, json.dumps(ROW | {"box": [1, 2, 3]})], "line 2", "4 numbers"),
        ([HEAD, json.dumps(ROW | {"box": [1, 2, 3, 10**400]})], "line 2", "4 numbers"),
        ([HEAD, '{"frame": 1, "track": 1, "box": [1, 2, NaN, 4]}'], "line 2", "NaN"),
        ([HEAD, '{"frame": 1, "track": 1, "box": [1, 2, 1e999, 4]}'], "line 2", "4 numbers"),
        ([HEAD, json.dumps(ROW | {"state": "guessed"})], "line 2", "state"),
        ([HEAD, json.dumps(ROW | {"confidence": 2})], "line 2", "confidence"),
        ([HEAD, json.dumps(ROW | {"landmarks": [[1, 2]]})], "line 2", "landmarks"),
        ([HEAD, '{"track": 1, "action": "show"}'], "line 2", "action"),
        ([HEAD, '{"track": 1, "action": []}'], "line 2", "action"),
        ([HEAD, '{"track": 1, "seed": 1e3}'], "line 2", "seed"),
        ([HEAD, '{"track": 1}', '{"track": 1}'], "line 3", "twice"),
        ([HEAD, '{"unknown": [5, 4]}'], "line 2", "unknown"),
        ([HEAD, json.dumps(ROW | {"track": 1 << 63})], "line 2", "larger"),
        ([HEAD, '{"track": 9223372036854775808}'], "line 2", "larger"),
        ([HEAD.replace("50", str(1 << 64))], "line 1", "frames"),
        ([HEAD, "\udcff"], "line 2", "JSON"),
    ],
)
def test_import_names_the_line(plan: Plan, tmp_path: Path, lines: list[str], where: str, problem: str) -> None:
    path = tmp_path / "plan.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UsageError) as caught:
        import_plan(path, plan)
    message = str(caught.value)
    assert where in message and problem in message and "\n" not in message


def test_import_of_a_missing_file(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none.jsonl"):
        import_plan(tmp_path / "none.jsonl", plan)


def test_a_row_written_by_hand_is_imported(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    path.write_text("\n".join([HEAD, json.dumps(ROW), '{"track": 5, "action": "keep"}']))
    import_plan(path, plan)
    (got,) = plan.rows(0, 50)
    assert (got.state, got.confidence, got.landmarks) == (RowState.IMPORTED, 1.0, None)


def test_export_into_a_missing_folder(plan: Plan, tmp_path: Path) -> None:
    plan.finish(INFO)
    with pytest.raises(OutputError, match="can be written"):
        export_plan(plan, tmp_path / "none" / "plan.jsonl")
