"""The commands: tables, JSON, plots, resuming, refusals."""

from __future__ import annotations

import json

import cv2
import evalkit
import numpy as np
import pytest
from evalkit import Pixels, name, pairs_file, people, table, write

from vidanon.cli.main import main
from vidanon.recognise import assemble

PHOTOS = people(12, 6, noise=60)


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A small LFW, and the recogniser "pixels" (its photos counted in ``asked``)."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "lfw", PHOTOS)
    table(tmp_path / "marks.csv", PHOTOS)
    pairs_file(tmp_path / "pairs.txt", 12, 4)
    made = []
    real = assemble.make_recogniser

    def make(word, runtime, *, offline=False):
        if word.startswith("pixels"):
            made.append(Pixels(word, sha256="ab" * 32))
            return made[-1]
        return real(word, runtime, offline=offline)

    monkeypatch.setattr(assemble, "make_recogniser", make)
    return made


LFW = ["eval", "lfw", "--data", "lfw", "--pairs", "pairs.txt", "--landmarks", "marks.csv", "--draws", "20",
       "--threads", "1"]  # fmt: skip


def test_lfw(world, tmp_path, capsys):
    assert main([*LFW, "-r", "pixels"]) == 0
    told = capsys.readouterr()
    assert "recogniser" in told.out and "accuracy" in told.out and "written: vidanon-eval/lfw.json" in told.out
    report = json.loads((tmp_path / "vidanon-eval/lfw.json").read_text())
    assert report["settings"] == {"pairs": 96, "left_out": 0, "seed": 0, "draws": 20}
    (found,) = report["results"]
    assert found["pairs"] == 96 and 0.8 < found["accuracy"] <= 1 and found["eer"]["low"] <= found["eer"]["value"]
    assert f"{100 * found['accuracy']:.2f}" in told.out
    assert [a["far"] for a in found["from_pairs"]] == [0.01, 0.001]
    assert [a["impostors"] for a in found["from_cross"]] == [found["cross_pairs"]] == [60 * 55 // 2]
    assert cv2.imread(str(tmp_path / "vidanon-eval/lfw.png")).std() > 10
    assert world[0].asked == 60  # five photos each are in a pair
    assert main([*LFW, "-r", "pixels"]) == 0 and world[1].asked == 0
    assert capsys.readouterr().out == told.out


def test_a_photo_that_is_missing_is_said(world, tmp_path, capsys):
    (tmp_path / "lfw" / name(3, 2)).unlink()
    assert main([*LFW, "-r", "pixels", "--quiet"]) == 0
    told = capsys.readouterr()
    assert "pairs are left out" in told.err and told.out == ""
    assert json.loads((tmp_path / "vidanon-eval/lfw.json").read_text())["settings"]["left_out"] > 0


def test_pair(world, tmp_path, capsys):
    blurred = {each: cv2.GaussianBlur(p, (0, 0), 3) for each, p in PHOTOS.items() if each.endswith(("1.png", "2.png"))}
    black = {each: np.where(np.arange(128)[:, None, None] > 20, 0, p).astype(np.uint8) for each, p in blurred.items()}
    for folder, pictures in (("weak", blurred), ("strong", black)):
        write(tmp_path / folder, pictures)
        words = ["eval", "pair", "lfw", folder, "--landmarks", "marks.csv", "-r", "pixels", "--least-photos", "4"]
        assert main([*words, "--draws", "20", "--out", f"out-{folder}"]) == 0
    told = capsys.readouterr().out
    assert "attack success" in told and "SSIM" in told
    reports = [json.loads((tmp_path / f"out-{f}/pair.json").read_text()) for f in ("weak", "strong")]
    weak, strong = (r["results"][0] for r in reports)
    assert weak["verification"][0]["success"]["value"] < 0.3 < 0.9 < strong["verification"][0]["success"]["value"]
    assert weak["untargeted"]["1"]["value"] < strong["untargeted"]["1"]["value"]
    assert reports[0]["pictures"]["ssim"]["value"] > reports[1]["pictures"]["ssim"]["value"]
    assert reports[0]["pictures"]["photos"] == 24 == reports[0]["settings"]["photos"]
    assert reports[0]["settings"]["gallery"] == 72
    assert cv2.imread(str(tmp_path / "out-weak/pair.png")).std() > 10


def test_pair_with_targets(world, tmp_path):
    probes = {name(1, i): evalkit.photo(2, 40 + i) for i in (1, 2)}
    write(tmp_path / "aimed", probes)
    (tmp_path / "targets.csv").write_text("path,target\n" + "".join(f"{each},P02\n" for each in probes))
    words = ["eval", "pair", "lfw", "aimed", "--landmarks", "marks.csv", "-r", "pixels", "--draws", "20"]
    assert main([*words, "--targets", "targets.csv"]) == 0
    report = json.loads((tmp_path / "vidanon-eval/pair.json").read_text())
    assert report["results"][0]["targeted"]["1"]["value"] == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["eval", "lfw", "--data", "none", "--pairs", "pairs.txt"], 3, "no such folder"),
        (["eval", "lfw", "--data", "lfw", "--pairs", "none.txt"], 3, "not a readable pairs file"),
        ([*LFW, "-r", "pixels", "-r", "nobody"], 2, "unknown recogniser 'nobody'"),
        ([*LFW[:-2], "--device", "tpu"], 2, "--device tpu"),
        (["eval", "pair", "lfw", "none", "--landmarks", "marks.csv"], 3, "no such folder"),
        (["eval", "pair", "lfw", "lfw", "--landmarks", "none.csv"], 3, "cannot be read"),
        (["eval", "pair", "lfw", "lfw", "--landmarks", "marks.csv", "--targets", "pairs.txt"], 3, "not a table"),
        (["eval", "lfw", "--data", "lfw"], 2, "--pairs"),
    ],
)
def test_errors_are_one_line(world, capsys, words, code, said):
    assert main(words) == code
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and said in told and told.startswith("vidanon: error: ")


def test_without_the_extra_it_says_what_to_install(world, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    assert main([*LFW, "-r", "pixels"]) == 2
    assert "vidanon[audit]" in capsys.readouterr().err
