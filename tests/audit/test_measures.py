"""Which faces count, shares and their intervals, limits, and what the picture says."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from auditkit import made_up
from hypothesis import given
from hypothesis import strategies as st

from vidanon.audit import verdict
from vidanon.audit.coverage import CoverageLook
from vidanon.audit.faces import CARRIED, KEPT, NO_LANDMARKS, OUTSIDE, SMALL, TURNED, Face, faces_of
from vidanon.audit.picture import PictureMeasures
from vidanon.audit.rates import Compared, Rate, by_chance, excess, rate
from vidanon.audit.recognition import KEEP, Evenly, Kept
from vidanon.audit.result import number
from vidanon.audit.strips import HELD, PICTURES, TRACKS, Strips
from vidanon.config import AuditSettings
from vidanon.detect.base import Detector
from vidanon.recognise.base import ARCFACE_112
from vidanon.types import Action, Detection, PlanRow, RowState, View

MARKS = np.array(ARCFACE_112, np.float32) + 100
BOX = np.array([110, 110, 202, 222], np.float32)


def row(marks: np.ndarray | None = MARKS, state: RowState = RowState.DETECTED, track: int = 1) -> PlanRow:
    return PlanRow(0, track, BOX, marks, state, 0.9)


@pytest.mark.parametrize(
    ("given_row", "why"),
    [
        (row(), ""),
        (row(state=RowState.REFINED), ""),
        (row(state=RowState.COASTING), CARRIED),
        (row(state=RowState.BACKFILLED), CARRIED),
        (row(None), NO_LANDMARKS),
        (row(MARKS * np.nan), NO_LANDMARKS),
        (row((MARKS - 150) * 0.5 + 150), SMALL),
        (row(MARKS + [[0, 0], [0, 0], [22, 0], [0, 0], [0, 0]]), TURNED),
        (row(MARKS - 150), OUTSIDE),
        (row(track=2), KEPT),
    ],
)
def test_which_faces_are_judged(given_row: PlanRow, why: str) -> None:
    view = View(np.zeros((400, 400, 3), np.uint8), np.eye(2, 3, dtype=np.float32), 0)
    (face,) = faces_of([given_row], view, {2: Action.KEEP}, AuditSettings())
    assert face.why == why


def test_faces_are_placed_in_the_view() -> None:
    """A view turned by 90 degrees and half the size."""
    to_coded = np.array([[0, 2, 0], [-2, 0, 400]], np.float32)
    view = View(np.zeros((200, 200, 3), np.uint8), to_coded, 0)
    (face,) = faces_of([row()], view, {}, AuditSettings(min_eyes=10))
    assert face.box == pytest.approx([89, 55, 145, 101]) and face.eyes == pytest.approx(17.62, abs=0.01)
    assert face.landmarks is not None
    assert face.landmarks[0] == pytest.approx([(400 - MARKS[0, 1]) / 2, MARKS[0, 0] / 2], abs=1e-3)


@given(st.lists(st.tuples(st.integers(0, 25), st.integers(0, 25)), min_size=1, max_size=40))
def test_a_rate_lies_in_its_interval(blocks: list[tuple[int, int]]) -> None:
    hits, counts = [min(h, n) for h, n in blocks], [n for _, n in blocks]
    found = rate(hits, counts)
    if sum(counts) == 0:
        assert found is None
    else:
        assert found is not None and found.value == sum(hits) / sum(counts)
        assert 0 <= found.low <= found.value <= found.high <= 1


def test_few_blocks_leave_much_open() -> None:
    few, many = rate([0], [25]), rate([0] * 100, [25] * 100)
    assert few is not None and many is not None and few.high > 0.5 and many.high < 0.05


def compared(
    value: float | None, solid: float | None = None, excess: float | None = None, stranger: float | None = None
) -> Compared:
    def of(v: float | None) -> Rate | None:
        return None if v is None else Rate(v, v - 0.1, v + 0.1, 0, 1)

    return Compared(of(value), of(solid), stranger=of(stranger), excess=excess)


@pytest.mark.parametrize(
    ("given_share", "passed"),
    [
        (compared(0.05, 0.0), True),
        (compared(0.06, 0.0), False),
        (compared(0.08, 0.05, -0.5), False),  # a quiet floor excuses nothing, however few the faces
        (compared(0.30, 0.29, 0.01), True),
        (compared(0.30, 0.25, 0.01), True),
        (compared(0.30, 0.25, 0.03), False),
        (compared(0.30, None), False),
        (compared(0.09, 0.0, 0.09, stranger=0.08), True),  # what matches anybody recognises nobody
        (compared(0.30, 0.0, -0.1, stranger=0.20), False),
        (compared(None, 0.5), False),
    ],
)
def test_a_share_passes_at_its_limit_or_beside_its_floor(given_share: Compared, passed: bool) -> None:
    (check,) = verdict._share("share", given_share, 0.05, AuditSettings(), "judge")
    assert check.passed is passed


def test_a_disguise_that_resembles_as_many_strangers_recognises_nobody() -> None:
    nobody, some = [0.0] * 40, [0.3] * 4 + [0.0] * 36
    assert (by_chance([0.3], [nobody], [50]) or 0) < 0.05 < (by_chance([0.3, 0.0], [some, some], [25, 25]) or 0)
    assert (by_chance([0.3] * 5, [some] * 5, [25] * 5) or 1) < 0.02, "not five times"
    assert by_chance([0.0], [nobody], [50]) == 1.0
    assert by_chance([0.3], [nobody[:19]], [50]) is None and by_chance([], [], []) is None
    for chance, passed in ((None, False), (0.04, False), (0.2, True)):
        given_share = replace(compared(0.3, 0.0), chance=chance)
        (check,) = verdict._share("share", given_share, 0.05, AuditSettings(), "judge")
        assert check.passed is passed


def test_of_few_cases_only_what_is_sure_misses_a_limit() -> None:
    for value, passed in ((0.2, True), (0.3, False)):
        (check,) = verdict._share("share", compared(value, 0.0), 0.15, AuditSettings(), "judge", doubt=True)
        assert check.passed is passed and ("may be chance" in check.note) is passed
        assert bool(verdict.excused([check])) is passed, "who reads the verdict is told"


def test_an_excess_over_the_floor_is_told_from_chance() -> None:
    assert (excess([20, 22, 25], [1, 0, 2], [25, 25, 25]) or 0) > 0.7
    assert (excess([10, 1], [3, 4], [11, 11]) or 0) < 0, "one track more, one less"
    assert excess([], [], []) is None


def test_limits_that_are_null_are_not_asked_for() -> None:
    none = AuditSettings(
        match=None, any_frame=None, average=None, clear_faces=None, missed_faces=None, off_face_psnr=None
    )
    result = made_up()
    result.checks = verdict.checks(result, none)
    assert result.checks == [] and not result.passed, "an audit that asks nothing has not passed"
    every = AuditSettings(rank1=0.1, rank5=0.1, parrot=0.1, flicker=0.1, warp=0.5)
    missed = {check.name for check in verdict.checks(made_up(passed=True), every) if not check.passed}
    assert {"rank 1", "rank 5", "parrot", "flicker", "warp error ratio"} <= missed


def test_a_recogniser_that_tells_nobody_apart_cannot_pass_an_output() -> None:
    result = made_up(passed=True)
    assert result.passed, result.problems
    result.judges = [
        type(judge)(**{**vars(judge), "same_frame": {f: compared(0.9, 0.9) for f in (0.01, 0.001)}})
        for judge in result.judges
    ]
    result.failures = verdict.failures(result, AuditSettings())
    assert not result.passed and "nothing was measured" in result.failures[0]


def test_too_few_faces_the_wrong_report_and_no_recogniser_fail() -> None:
    for field, value, said in (
        ("counted", 3, "only 3 faces"),
        ("reported_frames", 299, "another run"),
        ("judges", [], "no recogniser judged"),
        ("tracks", 0, "no face was found"),
        ("unknown_shown", 2, "not covered whole"),
    ):
        result = made_up(passed=True)
        setattr(result, field, value)
        assert any(said in line for line in verdict.failures(result, AuditSettings())), field


def test_frames_are_kept_evenly_and_their_number_is_bounded() -> None:
    evenly, kept = Evenly(), []
    nothing = np.zeros(1, np.float32)
    for frame in range(1000):
        if evenly.wants():
            kept = evenly.thin([*kept, Kept(frame, nothing, nothing, nothing, None)])
        assert len(kept) <= 2 * KEEP
    steps = np.diff([k.frame for k in kept])
    assert len(kept) >= KEEP and steps.min() == steps.max()


def face(kept: bool = False) -> Face:
    return Face(1, BOX, MARKS, 35.0, True, kept, "", row())


def noisy(seed: int, sigma: float = 2.0) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 255, (260, 300, 3)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), sigma).astype(np.uint8)


def test_the_picture_of_an_untouched_copy_and_of_a_covered_face() -> None:
    same, covered, kept = PictureMeasures(), PictureMeasures(), PictureMeasures()
    for frame in range(4):
        picture = noisy(frame)
        dark = picture.copy()
        dark[90:240, 90:220] = 20
        assert len(same.add(frame, [face()], picture, picture, True, False)) == 1
        assert covered.add(frame, [face()], picture, dark, True, False) == []
        assert kept.add(frame, [face(kept=True)], picture, picture, True, False) == []
    assert same.result.clear == 4 and same.result.worst_detail == pytest.approx(1)
    assert math.isinf(same.result.psnr("off") or 0) and same.result.ssim("on") == pytest.approx(1)
    assert same.result.warp == pytest.approx(1) and same.result.flicker is None
    assert covered.result.clear == 0 and math.isinf(covered.result.psnr("off") or 0)
    assert (covered.result.psnr("on") or 0) < 12 and (covered.result.ssim("on") or 1) < 0.3
    assert covered.result.warp is not None and covered.result.warp < 0.3
    assert kept.result.faces == 0 and kept.result.psnr("on") is None


def test_flicker_tells_a_steady_disguise_from_a_new_one_each_frame() -> None:
    steady, wild = PictureMeasures(), PictureMeasures()
    ground = noisy(0).astype(np.int16) // 2 + 60
    for frame in range(6):
        for measures, seed in ((steady, 1), (wild, frame)):
            out = (ground + (noisy(seed).astype(np.int16) - 127) // 2).clip(0, 255).astype(np.uint8)
            measures.add(frame, [face()], ground.astype(np.uint8), out, False, False)
    assert steady.result.flicker == pytest.approx(0)
    assert wild.result.flicker == pytest.approx(2**0.5, rel=0.1), "independent pictures without a mean"
    assert steady.result.still_flicker == pytest.approx(0) and steady.result.change_ratio is None


def test_a_still_picture_on_a_moving_face_flickers_as_much_as_the_face_moves() -> None:
    still, same = PictureMeasures(), PictureMeasures()
    for frame in range(6):
        moving = noisy(frame)
        still.add(frame, [face()], moving, noisy(99), False, False)
        same.add(frame, [face()], moving, np.asarray(moving // 2, np.uint8), False, False)
    assert still.result.flicker == pytest.approx(still.result.still_flicker)
    assert still.result.change_ratio == pytest.approx(0)
    assert same.result.change_ratio == pytest.approx(0.5, abs=0.02)
    assert (same.result.flicker or 0) < (same.result.still_flicker or 0)


class Seeing(Detector):
    """Finds a face at a fixed place in whatever has one there: anything not flat."""

    name = "seeing"

    def detect(self, images):  # type: ignore[no-untyped-def]
        place = np.array([10, 10, 60, 60], np.float32)
        return [[Detection(place, 0.99, None, "seeing")] if im[10:60, 10:60].std() > 5 else [] for im in images]


def test_a_clear_face_outside_every_track_is_reported_and_a_covered_one_is_not() -> None:
    picture = noisy(3)
    covered = picture.copy()
    covered[5:65, 5:65] = 0
    look = CoverageLook(Seeing(), took_part=False)
    look.add(0, [face()], picture, picture)
    look.add(1, [face()], picture, covered)
    assert look.result.outside == 1 and look.result.outside_at == [(0, [10, 10, 60, 60])]
    inside = Face(2, np.array([5, 5, 70, 70], np.float32), None, float("nan"), True, False, NO_LANDMARKS, row())
    look.add(2, [inside], picture, covered)
    assert (look.result.planned, look.result.found, look.result.still) == (3, 1, 0) and look.result.outside == 1


def test_numbers_are_written_for_people() -> None:
    assert [number(0.5), number(3, "count"), number(math.inf, "dB"), number(30.04, "dB"), number(None)] == [
        "50.0 %", "3", "no difference", "30.0 dB", "-",
    ]  # fmt: skip


def test_strips_are_bounded_spread_and_keep_the_first_clear_face() -> None:
    strips = Strips(show_faces=False)
    picture = noisy(0)
    for frame in range(400):
        everybody = [Face(t, BOX, MARKS, 35.0, True, False, "", row()) for t in range(1, 2 + frame // 4)]
        strips.add(frame, everybody, {1} if frame == 37 else set(), picture, picture)
        assert all(len(s.shots) < 2 * PICTURES for s in strips._strips.values()) and len(strips._strips) <= HELD
    chosen = strips.chosen({5: 0.3, 9: 0.1})
    assert len(chosen) == TRACKS and {1, 5, 9} <= {s.track for s in chosen}
    first = chosen[0]
    assert [s.frame for s in first.shots if s.clear] == [37] and len(first.shots) <= PICTURES
    assert first.shots[-1].frame > 300 and all((s.protected is None) == s.clear for s in first.shots)
    assert all(s.original is None for strip in chosen for s in strip.shots)


def test_strips_of_a_face_that_is_always_clear_reach_its_end() -> None:
    strips = Strips(show_faces=True)
    for frame in range(200):
        strips.add(frame, [face()], {1}, noisy(1), noisy(1))
    (strip,) = strips.chosen({})
    frames = [s.frame for s in strip.shots]
    assert len(frames) == PICTURES and frames[-1] > 150 and all(s.original for s in strip.shots)
