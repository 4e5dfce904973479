"""The swap bench measures what it says: its clips, which faces count, its sheets, and whole runs."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.bench import swap, swap_clips, swap_lfw, swap_run, swap_sheets
from vidanon.errors import LeakError
from vidanon.faces.mesh import SIZE, Meshes, load_mesh
from vidanon.faces.mesh_points import eye_distance, five
from vidanon.runtime.device import choose_runtime
from vidanon.types import PlanRow, RowState, View


def flat(red: int, green: int, side: int = 200) -> np.ndarray:
    return np.full((side, side, 3), (red, green, 0), np.uint8)


@pytest.fixture(scope="module")
def someone(test_data: Path) -> list[swap_clips.Person]:
    return swap_clips.people(test_data, 3, seed=5)


@pytest.fixture(scope="module")
def mesh_mean() -> np.ndarray:
    return load_mesh(choose_runtime("cpu")).mean * SIZE


# Clips ---------------------------------------------------------------------------------------------------


def test_a_photo_drifts_below_a_pixel_a_frame_and_its_landmarks_go_along():
    photo = np.full((250, 250, 3), 90, np.uint8)
    at = np.array([[100.5, 120.5], [150.5, 118.5], [125.5, 140.5], [105.5, 160.5], [145.5, 161.5]], np.float32)
    for x, y in at:
        photo[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2] = 255
    someone = swap_clips.Person(photo, at, photo, at)
    places = [swap_clips.truth(someone, k) for k in range(swap_clips.FRAMES)]
    for k, place in enumerate(places):
        picture = swap_clips.moved(photo, k)
        assert picture.shape == (swap_clips.SIDE, swap_clips.SIDE, 3)
        assert picture[[0, -1]].min() > 80 and picture[:, [0, -1]].min() > 80  # no border comes in
        for x, y in place:
            part = picture[int(y) - 8 : int(y) + 8, int(x) - 8 : int(x) + 8, 0].astype(float) - 90
            rows, columns = np.mgrid[int(y) - 8 : int(y) + 8, int(x) - 8 : int(x) + 8] + 0.5
            weight = part.clip(20) - 20
            centre = (columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()
            assert np.abs(np.array(centre) - (x, y)).max() < 0.15
    steps = [np.abs(b - a).max() for a, b in zip(places, places[1:], strict=False)]
    assert min(steps) > 0.1 and max(steps) < 1


def test_people_have_two_different_photos_and_the_same_seed_draws_the_same(test_data, someone):
    again = swap_clips.people(test_data, 3, seed=5)
    other = swap_clips.people(test_data, 3, seed=6)
    for a, b in zip(someone, again, strict=True):
        assert (a.first == b.first).all() and (a.second == b.second).all()
        assert a.first.shape == a.second.shape and np.abs(a.first.astype(int) - a.second).mean() > 5
        for marks in (a.first_marks, a.second_marks):
            assert 30 < marks[1, 0] - marks[0, 0] < 70
    assert any((a.first != b.first).any() for a, b in zip(someone, other, strict=True))


def test_people_follow_one_another_in_a_clip(someone, tmp_path):
    path = swap_clips.stitched(someone, tmp_path / "people.mp4")
    with av.open(str(path)) as container:
        pictures = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(pictures) == len(someone) * swap_clips.FRAMES
    for number, person in enumerate(someone):
        for k in range(swap_clips.FRAMES):
            away = pictures[number * swap_clips.FRAMES + k].astype(int) - swap_clips.moved(person.first, k)
            assert np.abs(away).mean() < 8


def test_small_clips_are_enlarged_and_cut(test_data, tmp_path, ffmpeg):
    path = swap_clips.sample(test_data, "woman", tmp_path, 3)
    with av.open(str(path)) as container:
        sizes = [(f.width, f.height) for f in container.decode(video=0)]
    assert sizes == [(1280, 720)] * 3
    assert swap_clips.lines_of("woman") == 720 and swap_clips.lines_of("sign-again") is None
    assert {swap_clips.group_of(n) for n in swap_clips.sample_names(2)} == {"close", "street"}
    with pytest.raises(swap.ToolError, match="no clip 'nobody'"):
        swap_clips.sample(test_data, "nobody", tmp_path, 3)


def test_every_clip_is_there(test_data):
    for name in swap_clips.sample_names(len(swap_clips.ASL)):
        folder = test_data / "videos"
        source = swap_clips.SMALL[name][0] if name in swap_clips.SMALL else f"asl_gestures/{name[5:]}.mkv"
        assert (folder / source).is_file()


# Which faces count ---------------------------------------------------------------------------------------


class Stub:
    """A mesh finder that answers what it is told."""

    def __init__(self, points: np.ndarray, confidence: float) -> None:
        self._points, self._confidence = points, confidence

    def detect_picture(self, rgb: np.ndarray, boxes: np.ndarray, landmarks: np.ndarray) -> Meshes:
        count = len(boxes)
        return Meshes(np.repeat(self._points[None], count, 0), np.full(count, self._confidence, np.float32))


def turned(mesh: np.ndarray, degrees: float) -> np.ndarray:
    angle, middle = np.radians(degrees), mesh.mean(0)
    matrix = np.array([[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]])
    return ((mesh - middle) @ matrix.T + middle).astype(np.float32)


@pytest.mark.parametrize(
    ("eyes", "degrees", "confidence", "state", "why"),
    [
        (25, 0, 0.9, RowState.DETECTED, ""),
        (25, 27, 0.9, RowState.DETECTED, ""),
        (23, 0, 0.9, RowState.DETECTED, swap_run.SMALL),
        (60, 35, 0.9, RowState.DETECTED, swap_run.TURNED),
        (60, -35, 0.9, RowState.DETECTED, swap_run.TURNED),
        (60, 0, 0.4, RowState.DETECTED, swap_run.UNSURE),
        (60, 0, 0.9, RowState.COASTING, swap_run.CARRIED),
    ],
)
def test_large_frontal_clear_faces_count(mesh_mean, eyes, degrees, confidence, state, why):
    mesh = turned(mesh_mean, degrees)
    mesh = ((mesh - mesh.mean(0)) * eyes / eye_distance(mesh) + (200, 200, 0)).astype(np.float32)
    marks = five(mesh)[:, :2]
    box = np.concatenate([mesh[:, :2].min(0), mesh[:, :2].max(0)])
    rgb = flat(90, 90, 400)
    view = View(rgb, np.eye(2, 3, dtype=np.float32), 0)
    moment = swap_run.Moment(0, rgb, rgb, rgb, view, (PlanRow(0, 1, box, marks, state, 0.9),))
    (found,) = swap_run.counted(moment, Stub(mesh, confidence))  # type: ignore[arg-type]
    assert found.why == why
    assert found.eyes == pytest.approx(eyes, rel=1e-3) and found.turned == pytest.approx(abs(degrees), abs=3)


# Sheets --------------------------------------------------------------------------------------------------


def test_sheets_show_source_and_output(tmp_path):
    swap_sheets.pair_sheet([(flat(200, 0, swap_sheets.CELL), flat(0, 200, swap_sheets.CELL))] * 7, tmp_path / "a.jpg")
    sheet = cv2.imread(str(tmp_path / "a.jpg"))
    assert sheet.shape[0] > 2 * swap_sheets.CELL
    assert sheet[50, 50, 2] > 180 > 60 > sheet[50, 50, 1] and sheet[50, swap_sheets.CELL + 50, 1] > 180
    clip = swap_sheets.ClipSheet()
    with swap_sheets.SideBySide(tmp_path / "b.mp4", Fraction(25)) as beside:
        for _ in range(40):
            clip.add(flat(200, 0), flat(0, 200), np.array([50, 50, 90, 90], np.float32))
            beside.add(flat(200, 0), flat(0, 200))
    clip.write(tmp_path / "b.jpg")
    sheet = cv2.imread(str(tmp_path / "b.jpg"))
    assert sheet.shape[1] // swap_sheets.WIDE <= 2 * swap_sheets.COLUMNS and sheet[-10, 10, 1] > 180
    with av.open(str(tmp_path / "b.mp4")) as container:
        pictures = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(pictures) == 40 and pictures[0].shape == (200, 400, 3)
    assert pictures[0][100, 50, 0] > 150 > pictures[0][100, 350, 0]


# Whole runs ----------------------------------------------------------------------------------------------


def test_a_mask_hides_two_people_and_is_no_swap(test_data, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("VIDANON_MODELS", str(test_data / "detectors"))
    common = ["--data", str(test_data), "--mode", "mask", "--judges", "dlib_densenet,mobileface_v3"]
    code = swap.main([*common, "--people", "2", "--clips", "", "--out", str(tmp_path)])
    said = json.loads((tmp_path / "swap.json").read_text())
    shown = capsys.readouterr().out
    assert code == 0 and said["passed"] and "0 of 2 outputs show a face" in shown
    for matches in said["lfw"]["matches"].values():
        assert matches["other"]["hits"] == 0 and matches["other"]["count"] == 2 * len(swap_lfw.JUDGED)
        assert matches["other"] == matches["other_solid"]  # a mask is the solid fill
    assert (tmp_path / "lfw.jpg").is_file() and len(said["tones"]["people"]) == 2


def test_a_clip_whose_faces_are_covered_misses_the_bars_of_a_swap(test_data, tmp_path, capsys, monkeypatch, ffmpeg):
    monkeypatch.setenv("VIDANON_MODELS", str(test_data / "detectors"))
    common = ["--data", str(test_data), "--mode", "pixelate", "--judges", "mobileface_v3", "--people", "0"]
    code = swap.main([*common, "--clips", "sign-again", "--frames", "8", "--look", "4", "--out", str(tmp_path)])
    said = json.loads((tmp_path / "swap.json").read_text())
    assert code == 1 and not said["passed"]
    bars = {(bar["name"], bar["judge"]): bar for bar in said["bars"]}
    assert bars["clips: matched to the same frame", "mobileface_v3"]["passed"]
    assert not bars["faces swapped, not covered", ""]["passed"] and bars["landmark error", ""]["value"] is None
    assert said["clips"]["left_out"][""] == 8 and "faces of the clips that count: 8 of" in capsys.readouterr().out
    assert {p.name for p in tmp_path.glob("*.jpg")} == {"sign-again.jpg"}


def test_a_run_that_fails_misses_a_bar_and_the_others_go_on(test_data, tmp_path, monkeypatch, ffmpeg):
    monkeypatch.setenv("VIDANON_MODELS", str(test_data / "detectors"))
    real, asked = swap_run.run_file, []

    def fails_once(source: Path, *rest: object, **options: object) -> object:
        asked.append(source.stem)
        if source.stem == "woman":
            raise LeakError("the face is still there")
        return real(source, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(swap_run, "run_file", fails_once)
    common = ["--data", str(test_data), "--mode", "mask", "--judges", "mobileface_v3", "--people", "0", "--frames", "2"]
    assert swap.main([*common, "--clips", "woman,sign-again", "--out", str(tmp_path)]) == 1
    said = json.loads((tmp_path / "swap.json").read_text())
    assert said["failed"] == ["woman: the face is still there"] and asked == ["woman", "sign-again", "sign-again"]
    assert said["bars"][-1]["note"] == said["failed"][0] and not said["bars"][-1]["passed"]
    assert [clip["name"] for clip in said["by_clip"]] == ["sign-again"]


def test_options_are_checked(capsys):
    with pytest.raises(SystemExit):
        swap.arguments(["--data", "x", "--people", "0", "--clips", ""])
    quick = swap.arguments(["--data", "x", "--quick", "--people", "5"])
    assert quick.people == 5 and quick.clips == ["sign-again", "pair"] and quick.frames == 24
    assert swap.arguments(["--data", "x"]).mode == "swap"


def test_what_is_missing_is_said_in_a_line(tmp_path, capsys):
    assert swap.main(["--data", str(tmp_path), "--out", str(tmp_path / "out"), "--people", "1"]) == 2
    (tmp_path / "file").write_text("")
    assert swap.main(["--data", str(tmp_path), "--out", str(tmp_path / "file" / "in"), "--people", "1"]) == 2
    assert [line[:6] for line in capsys.readouterr().err.splitlines()] == ["error:"] * 2
