"""``vidanon audit``: words, exit codes, files."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from vidanon.cli.main import main

ROOT = Path(__file__).parents[2]
FRAMES = 30


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of the sample portrait."""
    path = tmp_path_factory.mktemp("audit") / "in.mp4"
    with av.open(str(ROOT / "samples/portrait.mp4")) as read, av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25, options={"preset": "veryfast"})
        video.width, video.height, video.pix_fmt = 640, 360, "yuv420p"
        for index, frame in enumerate(read.decode(video=0)):
            if index == FRAMES:
                break
            picture = av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"), "rgb24")
            picture.pts, picture.time_base = index * 512, frame.time_base
            out.mux(video.encode(picture))
        out.mux(video.encode(None))
    return path


@pytest.fixture(scope="module")
def run(clip: Path) -> Path:
    """The folder with the protected clip, its report and plan."""
    folder = clip.parent
    words = [str(clip), str(folder / "out.mp4"), "--mode", "mask", "--detector", "mtcnn"]
    words += ["--report", str(folder / "run.json")]
    assert main([*words, "--tracks", str(folder / "plan.jsonl"), "-q"]) == 0
    return folder


def audit(folder: Path, *words: str, output: str = "out.mp4") -> int:
    config = folder / "audit.yaml"
    if not config.exists():
        config.write_text("detect: {detector: mtcnn}\naudit: {look_every: 15, every: 2, min_faces: 10}\n")
    return main(["audit", str(folder / "in.mp4"), str(folder / output), "--config", str(config), *words])


def test_a_protected_clip_passes_and_both_reports_say_so(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    html, figures = tmp_path / "a.html", tmp_path / "a.json"
    words = ["--report", str(run / "run.json"), "--tracks", str(run / "plan.jsonl"), "--html", str(html)]
    assert audit(run, *words, "--json", str(figures), "-r", "student") == 0
    said = capsys.readouterr().out
    assert "passed" in said and "student, at 1 % false accepts" in said and "solid fill" in said
    assert len(said.splitlines()) <= 40, "one screen"
    told = json.loads(figures.read_text())["audit"]
    assert told["passed"] is True and told["judges"][0]["name"] == "student" and told["mode"] == "mask"
    assert told["judges"][0]["same_frame"]["0.01"]["protected"]["count"] == told["counted"] == FRAMES // 2
    assert told["judges"][0]["parrot"] == {}, "one track and no distractors: there is no gallery"
    assert "Passed" in html.read_text()
    assert audit(run, "--html", str(html), "-q") == 5, "it exists"


def test_the_original_as_its_own_protection_ends_with_11(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = run / "copy.mp4"
    copy.write_bytes((run / "in.mp4").read_bytes())
    assert audit(run, "-q", "-r", "student", output="copy.mp4") == 11
    said = capsys.readouterr()
    assert said.out == "" and "did not pass" in said.err and len(said.err.strip().splitlines()) == 1


def test_a_recogniser_of_the_run_may_not_judge_it(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from vidanon.zoo.registry import find

    used = tmp_path / "used.json"
    told = json.loads((run / "run.json").read_text())
    told["models"]["surrogate"] = find("student").sha256
    used.write_text(json.dumps(told))
    assert audit(run, "--report", str(used), "-r", "student") == 2
    assert "the run itself used it, as surrogate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-r", "nobody"], 2, "unknown recogniser 'nobody'"),
        (["-r", "student+student"], 2, "judges are named one by one"),
        (["--report", "missing.json"], 2, "give the file that the run wrote"),
        (["--mode", "swirl"], 2, "unknown mode"),
        (["--mode", "blur", "--tracks", "PLAN"], 2, "which mode the run had is not clear"),
        (["--every", "0"], 2, "at least 1"),
        (["--html", "no/folder/a.html"], 5, "no such folder"),
        (["--json", "IN"], 2, "is an input"),
        (["--distractors", "EMPTY"], 2, "no face found"),
    ],
)
def test_mistakes_are_told(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    stand_ins = {"PLAN": str(run / "plan.jsonl"), "IN": str(run / "in.mp4"), "EMPTY": str(tmp_path)}
    assert audit(run, "-q", "-r", "student", *(stand_ins.get(w, w) for w in words)) == code
    assert said in capsys.readouterr().err


def test_inputs_that_are_missing_or_the_same_are_told(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert audit(run, output="missing.mp4") == 3 and "no such file" in capsys.readouterr().err
    assert audit(run, "-r", "student", output="in.mp4") == 2 and "same file" in capsys.readouterr().err


def test_distractors_make_a_gallery(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two portraits in a tar file: the sample's own person as a stranger, twice."""
    import tarfile

    with av.open(str(run / "in.mp4")) as read:
        picture = next(read.decode(video=0)).to_ndarray(format="bgr24")
    for name in ("a.jpg", "b.png"):
        cv2.imwrite(str(tmp_path / name), picture)
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    cv2.imwrite(str(tmp_path / "flat.jpg"), np.zeros((64, 64, 3), np.uint8))
    with tarfile.open(tmp_path / "people.tar", "w") as tar:
        for name in ("a.jpg", "b.png", "broken.jpg", "flat.jpg"):
            tar.add(tmp_path / name, name)
    figures = tmp_path / "a.json"
    words = ["--report", str(run / "run.json"), "--tracks", str(run / "plan.jsonl"), "-r", "student", "-q"]
    assert audit(run, *words, "--distractors", str(tmp_path / "people.tar"), "--json", str(figures)) == 0
    told = json.loads(figures.read_text())["audit"]
    assert told["distractors"] == 2
    (judge,) = told["judges"]
    assert judge["gallery"] == 3 and set(judge["rank"]) == set(judge["parrot"]) == {"1"}
    assert judge["same_frame"]["0.01"]["impostor"]["value"] == 1.0, "this stranger is the person"
