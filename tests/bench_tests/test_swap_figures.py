"""The swap bench's figures: match rates, looks, skin tones, bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.bench import swap, swap_bars, swap_clips, swap_lfw, swap_measure, swap_quality
from tests.bench.swap_again import Again
from tests.bench.swap_identity import Embedder, Faces, any_of, half_away, joined, share, steadiness, took_part
from tests.bench.swap_tone import compare, groups, tone
from vidanon.audit.distractors import Distractors
from vidanon.audit.faces import Face
from vidanon.audit.rates import Rate
from vidanon.faces.mesh import SIZE, load_mesh
from vidanon.faces.mesh_points import eye_distance
from vidanon.recognise.base import ARCFACE_112, Description
from vidanon.runtime.device import choose_runtime
from vidanon.types import Detection, PlanRow, RowState, RunReport


class ByColour:
    """A recogniser of two values: a crop's mean red and green, as a unit vector."""

    def __init__(self, name: str = "by colour", sha256: str = "0" * 64, teachers: tuple[str, ...] = ()) -> None:
        self.description = Description(
            name, 112, ARCFACE_112, thresholds={0.01: 0.99, 0.001: 0.999}, sha256=sha256, teachers=teachers
        )

    def embed(self, patches: np.ndarray) -> np.ndarray:
        mean = patches[..., :2].reshape(len(patches), -1, 2).mean(1) + 1e-3
        return (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype(np.float32)


def rates(value: float, low: float = 0.0, high: float = 1.0) -> Rate:
    return Rate(value, low, high, round(100 * value), 100)


def flat(red: int, green: int, side: int = 200) -> np.ndarray:
    return np.full((side, side, 3), (red, green, 0), np.uint8)


MARKS = np.array(ARCFACE_112, np.float32)


@pytest.fixture(scope="module")
def someone(test_data: Path) -> list[swap_clips.Person]:
    return swap_clips.people(test_data, 3, seed=5)


@pytest.fixture(scope="module")
def mesh_mean() -> np.ndarray:
    return load_mesh(choose_runtime("cpu")).mean * SIZE


# Recognisers ---------------------------------------------------------------------------------------------


def test_faces_are_embedded_from_source_output_and_solid_fill_in_order():
    judge = ByColour()
    embedder = Embedder([judge])
    for k in range(30):  # more than are embedded at once
        embedder.add(f"{k // 15}", k, 50.0, True, [flat(200, k), flat(k, 200), flat(100, 100)], MARKS + 20)
    faces = embedder.finish()
    vectors = faces.of(judge)
    assert vectors.shape == (30, 3, 2) and len(faces) == 30
    for k in range(30):
        for row, colour in enumerate(((200, k), (k, 200), (100, 100))):
            assert np.allclose(vectors[k, row], np.array(colour) / np.hypot(*colour), atol=0.02)
    both = joined([faces, faces])
    assert len(both) == 60 and both.of(judge).shape == (60, 3, 2) and both.tracks[30] == "0"


def test_shares_count_faces_and_any_frame_counts_tracks():
    hits, tracks = [True, False, False, False, False, False], ["a", "a", "a", "b", "b", "c"]
    found, any_frame = share(hits, tracks), any_of(hits, tracks)
    assert found is not None and any_frame is not None
    assert (found.value, found.hits, found.count) == (pytest.approx(1 / 6), 1, 6)
    assert (any_frame.value, any_frame.count) == (pytest.approx(1 / 3), 3)
    assert found.low <= found.value <= found.high
    assert share([], []) is None


def test_another_frame_is_one_of_the_same_track_half_of_it_away():
    tracks, frames = ["a"] * 20 + ["b"] * 3, [*range(20), *range(3)]
    pairs = half_away(tracks, frames)
    assert len(pairs) == 20 and all(tracks[i] == tracks[j] == "a" for i, j in pairs)
    assert {abs(frames[i] - frames[j]) for i, j in pairs} == {10}


def test_match_figures_tell_output_solid_fill_and_strangers_apart():
    judge = ByColour()
    # the output of track "kept" is the source, that of track "swapped" is not; solid fills are neither
    faces = Faces(vectors={judge.description.name: []})
    unit = {"red": (1.0, 0.0), "green": (0.0, 1.0), "between": (0.6, 0.8)}
    for track, output in (("kept", "red"), ("swapped", "green")):
        for frame in range(12):
            faces.tracks.append(track)
            faces.frames.append(frame)
            faces.eyes.append(50.0)
            faces.shown.append(True)
            faces.vectors[judge.description.name].append(
                np.array([unit["red"], unit[output], unit["between"]], np.float32)
            )
    found = swap.match_figures(faces, judge, Distractors())
    values = {key: None if rate is None else rate.value for key, rate in found.items()}
    assert values == {
        "same": 0.5, "same_solid": 0.0, "any": 0.5, "any_solid": 0.0, "other": 0.5, "other_solid": 0.0,
        "other_unprotected": 1.0, "impostor": None, "mistaken": None, "any_impostor": None, "any_mistaken": None,
    }  # fmt: skip


def test_strangers_are_compared_with_source_and_output(someone):
    judge = ByColour()
    crowd = swap_lfw.strangers(someone)
    known = crowd.embedded(judge, 50.0)
    faces = Faces(["t"], [0], [50.0], [True], {judge.description.name: [np.stack([known[0], -known[0], known[0]])]})
    found = swap.match_figures(faces, judge, crowd)
    assert found["impostor"] is not None and found["impostor"].hits >= 1 and found["impostor"].count == 3
    assert found["mistaken"] is not None and found["mistaken"].hits == 0


def test_a_face_that_changes_within_its_track_is_not_steady():
    judge = ByColour()
    still, restless = Faces(vectors={judge.description.name: []}), Faces(vectors={judge.description.name: []})
    for faces, colours in ((still, [(1.0, 0.0)] * 8), (restless, [(1.0, 0.0), (0.0, 1.0)] * 4)):
        for frame, colour in enumerate(colours):
            faces.tracks.append("a")
            faces.frames.append(frame)
            faces.shown.append(True)
            faces.vectors[judge.description.name].append(np.array([(0.6, 0.8), colour, (0.6, 0.8)], np.float32))
    steady, loose = steadiness(still, judge), steadiness(restless, judge)
    assert steady["mean"] is not None and steady["mean"].value == pytest.approx(1)
    assert loose["next"] is not None and loose["next"].value == pytest.approx(0, abs=1e-6)
    assert loose["next_matched"] is not None and loose["next_matched"].value == 0
    assert loose["source_mean"] is not None and loose["source_mean"].value == pytest.approx(1)
    assert loose["apart_next"] is not None and loose["apart_next"].value == pytest.approx(100)  # (1 - 0) / (1 - .99)
    covered = Faces(still.tracks, still.frames, [], [False] * 8, still.vectors)
    assert steadiness(covered, judge)["mean"] is None


def test_distances_within_a_track_are_told_in_shares_of_the_threshold():
    judge = ByColour()
    judge.description = Description("far", 112, ARCFACE_112, metric="l2", thresholds={0.01: -0.5})
    outputs = [np.array([3.0 + 0.1 * k, 0.0], np.float32) for k in range(6)]
    rows = [np.stack([np.array([1.0, 1.0], np.float32), output, output]) for output in outputs]
    found = steadiness(Faces(["a"] * 6, list(range(6)), [], [True] * 6, {"far": rows}), judge)
    assert found["apart_next"] is not None and found["apart_next"].value == pytest.approx(0.2)
    assert found["source_apart_mean"] is not None and found["source_apart_mean"].value == 0
    assert found["mean"] is None and found["next_matched"] is not None and found["next_matched"].value == 1


def test_judges_that_took_part_are_named():
    runtime = choose_runtime("cpu")
    judges = [ByColour("free"), ByColour("used", "1" * 64), ByColour("mobileface_v2", "2" * 64)]
    student = models_of_a_run(runtime)
    reasons = took_part(judges, {"other": "1" * 64, **student}, runtime)
    assert set(reasons) == {"used", "mobileface_v2"}  # the latter taught the student


def models_of_a_run(runtime: Any) -> dict[str, str]:
    from vidanon.recognise.student import load_student

    about = load_student(runtime).description
    return {about.name: about.sha256}


def test_lfw_matches_compare_with_the_other_photo(someone):
    judge = ByColour()
    name = judge.description.name
    faces = Faces(vectors={name: []})
    second = [judge.embed(crop_of(p.second, p.second_marks, judge))[0] for p in someone]
    for number in range(3):
        for frame in range(swap_clips.FRAMES):
            faces.tracks.append(f"{number}")
            faces.frames.append(frame)
            output = second[number] if number == 0 and frame == 1 else -second[number]
            faces.vectors[name].append(np.stack([second[number], output, -second[number]]))
    found = swap_lfw.matches(swap_lfw.LfwRun(faces, list(someone)), judge)
    assert (found.other.hits, found.other.count) == (1, 18) and found.hits == (1, 0, 0)
    assert found.impostor.count == found.mistaken.count == 6  # everybody's middle frame against both others
    assert found.any_frame.hits == 1 and found.other_unprotected.value == 1 and found.other_solid.value == 0


def crop_of(picture: np.ndarray, marks: np.ndarray, judge: ByColour) -> np.ndarray:
    from vidanon.recognise.crop import crop

    return crop(picture, marks, judge.description)[None]


class Fixed:
    """A detector that finds one face of a score in its first pictures, and one of another in the next."""

    name = "fixed"

    def __init__(self, *scores: float) -> None:
        self._scores = iter(scores)

    def detect(self, images: Any) -> list[list[Detection]]:
        box = np.array([20, 20, 60, 60], np.float32)
        return [[Detection(box, next(self._scores), None, self.name)] for _ in images]


@pytest.mark.parametrize(
    ("before", "after", "found", "still"), [(0.9, 0.9, 1, 1), (0.9, 0.65, 1, 1), (0.9, 0.5, 1, 0), (0.8, 0.9, 0, 0)]
)
def test_a_face_found_surely_is_looked_for_again(before, after, found, still):
    again = Again(Fixed(before, after), False)  # type: ignore[arg-type]
    row = PlanRow(0, 1, np.array([10, 10, 70, 70], np.float32), None, RowState.DETECTED, 1.0)
    far = PlanRow(0, 2, np.array([100, 100, 170, 170], np.float32), None, RowState.DETECTED, 1.0)
    faces = [Face(r.track, r.box, None, 30.0, True, False, "", r) for r in (row, far)]
    again.add(faces, flat(0, 0), flat(0, 0))
    assert (again.tally.faces, again.tally.found, again.tally.still) == (2, found, still)


# Looks ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quality(test_data):
    runtime = choose_runtime("cpu")
    return swap_quality.QualityJudge(test_data, load_mesh(runtime), runtime)


def test_the_same_face_has_no_error_and_a_mosaic_is_no_face(quality, someone):
    person = someone[0]
    picture, marks = swap_clips.moved(person.first, 0), swap_clips.truth(person, 0)
    finder = load_mesh(choose_runtime("cpu"))
    mesh = finder.detect_picture(picture, np.zeros((1, 4), np.float32), marks[None]).points[0]
    same = quality(picture, picture, mesh, marks)
    assert same.shown and same.landmarks < 1e-4 and same.ours < 1e-4 and same.gaze in (0.0, pytest.approx(0))
    assert same.sharpness == pytest.approx(1) and same.tone == 0 and same.noise < 0.08
    soft = cv2.GaussianBlur(picture, (0, 0), 3)
    assert quality(picture, soft, mesh, marks).sharpness < 0.6
    moved = np.roll(picture, 12, axis=1)
    expected = 12 / float(eye_distance(mesh))
    assert quality(picture, moved, mesh, marks).landmarks == pytest.approx(expected, rel=0.3)
    small = cv2.resize(picture, (20, 20), interpolation=cv2.INTER_AREA)
    mosaic = cv2.resize(small, picture.shape[:2], interpolation=cv2.INTER_NEAREST)
    covered = quality(picture, mosaic, mesh, marks)
    assert not covered.shown and np.isnan(covered.landmarks)
    assert quality.shows(picture, marks) and not quality.shows(flat(90, 80, 480), marks)


def test_figures_leave_out_what_is_not_known():
    nan = float("nan")
    judged = [
        swap_quality.Judged(True, 0.04, 0.05, 0.02, 0.01, 0.01, nan, 1.2, 3.0),
        swap_quality.Judged(False, nan, nan, 0.02, nan, nan, nan, 9.0, nan),
    ]
    found = swap_quality.figures(swap_quality.Quality(judged, ["a", "b"]))
    assert found["landmarks"].value == pytest.approx(0.04) and found["gaze"] is None and found["gaze_known"] == 0
    assert found["sharpness"]["50"] == pytest.approx(1.2)  # of faces only


# Tone ----------------------------------------------------------------------------------------------------


def test_tone_is_read_off_the_cheeks(mesh_mean):
    mesh = (mesh_mean * 3).astype(np.float32)
    light, dark = flat(0, 0, 300), flat(0, 0, 300)
    light[:], dark[:] = (235, 200, 180), (90, 60, 45)
    angles = tone(light, mesh), tone(dark, mesh)
    assert angles[0] is not None and angles[1] is not None
    assert angles[0] > 50 and angles[1] < -40
    assert tone(light, mesh + 1000) is None  # outside the picture


def test_small_tone_groups_are_merged_with_the_smaller_neighbour():
    tones = [60.0] * 20 + [45.0] * 3 + [30.0] * 16 + [15.0] * 20 + [-50.0] * 15 + [None]
    found = groups(tones, least=15)
    assert [(g.name, len(g.people)) for g in found] == [
        ("very light", 20), ("light to intermediate", 19), ("tan", 20), ("brown to dark", 15),
    ]  # fmt: skip
    assert sorted(i for g in found for i in g.people) == list(range(74))


def test_a_group_is_worse_above_twice_the_mean_beyond_chance():
    many = groups([60.0] * 40 + [-50.0] * 40)
    hits = [0] * 40 + [3] * 20 + [0] * 20
    light, dark = compare(many, hits, [6] * 80)
    assert light.rate.value == 0 and dark.ratio == pytest.approx(2) and not dark.worse and not dark.doubtful
    few = groups([60.0] * 60 + [-50.0] * 20)
    for hit, worse in (([0] * 60 + [6] * 15 + [0] * 5, True), ([0] * 60 + [6] + [0] * 19, False)):
        dark = compare(few, hit, [6] * 80)[1]
        assert (dark.worse, dark.doubtful) == (worse, not worse)


# Bars ----------------------------------------------------------------------------------------------------


def test_a_share_is_excused_only_beside_a_solid_fill_above_the_bar():
    def passed(value: float, solid: float | None, strict: bool = False) -> bool:
        floor = None if solid is None else rates(solid)
        return swap_bars.share("x", rates(value), 0.05, "judge", floor, strict).passed

    assert passed(0.05, None) and not passed(0.06, None)
    assert not passed(0.06, 0.045)
    assert passed(0.12, 0.1) and not passed(0.13, 0.1) and not passed(0.12, 0.1, strict=True)
    assert not swap_bars.share("x", None, 0.05, "judge", None, False).passed


def test_bars_are_asked_of_independent_judges_only_and_missing_figures_miss():
    of = {"same": rates(0.5), "same_solid": rates(0.0), "other": rates(0.0), "any": rates(0.1)}
    found = list(swap_bars.recognition({}, {"a": of, "b": of}, ["b"], False))
    assert {check.judge for check in found} == {"b"} and [check.passed for check in found] == [False, True, True]
    assert not any(check.passed for check in swap_bars.steady({}, []))
    again = {"free": {"took_part": False, "still": rates(0.9)}, "used": {"took_part": True, "still": rates(1.0)}}
    (check,) = swap_bars.again(again)
    assert check.judge == "free" and not check.passed
    said = swap_bars.verdict([check])
    assert "MISSED" in said and "90.0 %" in said and ">= 95.0 %" in said


def test_reports_are_summed():
    report = RunReport(faces=10, frames=5, covered={"x": 1}, seconds={"total": 2.0, "protect": 0.5})
    report.fallback_faces = {"turned away": 2}
    found = swap_measure.told([report, report])
    assert found["by_the_mode"] == 14 and found["instead"] == {"turned away": 4} and found["covered"] == {"x": 2}
    assert found["ms_per_face"]["protect"] == pytest.approx(50) and found["fps"] == pytest.approx(2.5)
