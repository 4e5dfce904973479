"""The recipe of the shipped recogniser, on a few pictures and for a few steps."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from trainkit import write_teacher

from vidanon.errors import InputError, ModelError
from vidanon.recognise.student import load_student, load_surrogate
from vidanon.runtime.device import choose_runtime
from vidanon.train.faces import aligned_faces, pictures
from vidanon.train.pool import make_pool
from vidanon.train.progress import Progress
from vidanon.train.recogniser import WEAK, Recipe, distil_student, load_teacher, train_recogniser
from vidanon.zoo.load import load_state

ROOT = Path(__file__).parents[2]
TINY = Recipe(steps=24, pool=24, seed=3, batch=8, warm_up=4, checkpoint_every=9)


@pytest.fixture
def pool(tmp_path):
    """24 made-up pictures and what the teacher says of them."""
    generator = np.random.default_rng(0)
    small = generator.integers(0, 256, (4, 6, 6, 3)).astype(np.uint8)
    faces = np.stack([cv2.resize(p, (112, 112), interpolation=cv2.INTER_CUBIC) for p in small])
    teacher = load_teacher(write_teacher(tmp_path / "grid.pt"), choose_runtime("cpu", 1))
    return make_pool(tmp_path, faces, teacher, TINY.pool, TINY.seed, "grid")


def test_the_loss_falls_and_a_run_goes_on_bit_for_bit(pool, tmp_path):
    losses: list[float] = []
    whole = distil_student(pool, TINY, tmp_path / "whole.pt", lambda step: losses.append(step.loss.total.item()))
    assert len(losses) == 24
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])

    def stop(step):
        if step.done == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distil_student(pool, TINY, tmp_path / "parts.pt", stop)
    done: list[int] = []
    parts = distil_student(pool, TINY, tmp_path / "parts.pt", lambda step: done.append(step.done))
    assert done[0] == 10
    assert whole.keys() == parts.keys()
    for name in whole:
        assert torch.equal(whole[name], parts[name]), name


def test_the_seed_draws_the_first_weights_and_the_batches(pool, tmp_path):
    one = Recipe(steps=1, pool=24, batch=8, seed=3)
    first, second = (distil_student(pool, one, tmp_path / f"{i}.pt") for i in range(2))
    other = distil_student(pool, Recipe(steps=1, pool=24, batch=8, seed=4), tmp_path / "o.pt")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["stem.0.weight"], other["stem.0.weight"])


def test_a_teacher_must_be_one(tmp_path):
    runtime = choose_runtime("cpu", 1)
    (tmp_path / "text.pt").write_text("no network")
    with pytest.raises(ModelError, match="no TorchScript"):
        load_teacher(tmp_path / "text.pt", runtime)
    torch.jit.save(torch.jit.trace(torch.nn.Linear(5, 2), torch.rand(1, 5)), str(tmp_path / "other.pt"))
    with pytest.raises(ModelError, match="112 px"):
        load_teacher(tmp_path / "other.pt", runtime)
    torch.jit.save(torch.jit.trace(torch.nn.Identity(), torch.rand(2, 3, 112, 112)), str(tmp_path / "same.pt"))
    with pytest.raises(ModelError, match="embedding"):
        load_teacher(tmp_path / "same.pt", runtime)


def test_pictures_of_a_folder_and_of_a_tar(tmp_path):
    (tmp_path / "deep").mkdir()
    for number, name in enumerate(("b.png", "deep/a.PNG", "c.jpg", "notes.txt")):
        picture = np.full((8, 9, 3), 40 * number, np.uint8)
        (tmp_path / name).write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    found = list(pictures(tmp_path))
    assert [(name, int(p[0, 0, 0])) for name, p in found] == [("b.png", 0), ("c.jpg", 80), ("a.PNG", 40)]
    with tarfile.open(tmp_path / "faces.tar", "w") as archive:
        for name in ("c.jpg", "b.png", "notes.txt"):
            archive.add(tmp_path / name, f"in/{name}")
    assert [name for name, _ in pictures(tmp_path / "faces.tar")] == ["in/b.png", "in/c.jpg"]
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"b\.png"):
        list(pictures(tmp_path))
    with pytest.raises(InputError, match="no folder and no tar"):
        list(pictures(tmp_path / "notes.txt"))


@pytest.fixture
def donors(test_data, tmp_path, monkeypatch) -> Path:
    """Six portraits of people who do not exist, as pictures in a folder."""
    monkeypatch.setenv("VIDANON_MODELS", str(test_data / "detectors"))
    folder = tmp_path / "donors"
    folder.mkdir()
    with tarfile.open(test_data / "faces" / "donors384.tar") as archive:
        for member in sorted((m for m in archive.getmembers() if m.isfile()), key=lambda m: m.name)[:6]:
            data = archive.extractfile(member)
            assert data is not None
            (folder / Path(member.name).name).write_bytes(data.read())
    return folder


def test_faces_are_found_and_aligned(donors, test_data):
    detector = test_data / "detectors" / "yunet_n_dynamic.onnx"
    faces = aligned_faces(donors, detector)
    assert faces.shape == (6, 112, 112, 3) and faces.dtype == np.uint8
    for (
        face
    ) in faces:  # looked at again, the eyes lie where the template has them (its crop is tight: enlarged, framed)
        framed = cv2.copyMakeBorder(face[..., ::-1], 56, 56, 56, 56, cv2.BORDER_REPLICATE)
        yunet = cv2.FaceDetectorYN.create(str(detector), "", (224, 224), 0.3)
        found = yunet.detect(framed)[1]
        assert found is not None
        eyes = found[0][4:8].reshape(2, 2) - 56
        np.testing.assert_allclose(eyes, [[38.3, 51.7], [73.5, 51.5]], atol=4)
    (donors / "blank.png").write_bytes(cv2.imencode(".png", np.zeros((50, 50, 3), np.uint8))[1].tobytes())
    assert len(aligned_faces(donors, detector)) == 6
    for path in donors.glob("*.jpg"):
        path.unlink()
    with pytest.raises(InputError, match="no picture with a face"):
        aligned_faces(donors, detector)


def test_the_whole_recipe_with_the_shipped_models_teacher(donors, test_data, tmp_path):
    seen: list[Progress] = []
    teacher = test_data / "recognisers" / "mobileface_v2.torchscript.pt"
    recipe = Recipe(steps=6, pool=20, batch=8, warm_up=2)
    path = train_recogniser(donors, teacher, tmp_path / "run", recipe, seen.append)
    assert path == tmp_path / "run" / "student.safetensors"
    student = load_student(choose_runtime("cpu", 1), path)
    assert student.description.teachers == ("mobileface_v2",) and not student.description.thresholds
    assert student.embed(np.zeros((2, 112, 112, 3), np.uint8)).shape == (2, 256)
    shipped = load_student(choose_runtime("cpu", 1))
    for field in ("size", "template", "channels", "offset", "scale", "metric", "teachers"):
        assert getattr(student.description, field) == getattr(shipped.description, field), field
    mine, theirs = load_state(path), load_state(ROOT / "models" / "student.safetensors")
    assert {n: (t.shape, t.dtype) for n, t in mine.items()} == {n: (t.shape, t.dtype) for n, t in theirs.items()}
    stages = [p.stage for p in seen]
    assert stages == sorted(stages, key=["faces", "pool", "train"].index) and len(set(stages)) == 3
    last = seen[-1]
    assert (last.done, last.total, last.left) == (6, 6, 0) and "cosine" in last.note
    assert any(p.stage == "train" and not math.isnan(p.left) and p.left > 0 for p in seen)


def test_the_weak_recipe_makes_what_ships_as_surrogate(donors, tmp_path):
    recipe = replace(WEAK, steps=3, pool=12, batch=4, warm_up=1)
    path = train_recogniser(donors, write_teacher(tmp_path / "grid.pt"), tmp_path / "run", recipe)
    assert path.name == "surrogate.safetensors"
    made = load_student(choose_runtime("cpu", 1), path)
    shipped = load_surrogate(choose_runtime("cpu", 1))
    assert made.description.name == shipped.description.name == "surrogate"
    assert shipped.description.teachers == ("mobileface_v2",) and shipped.description.thresholds.keys() == {0.01, 0.001}
    mine, theirs = load_state(path), load_state(ROOT / "models" / "surrogate.safetensors")
    bodies = [{n: t.shape for n, t in state.items() if not n.startswith("head.")} for state in (mine, theirs)]
    assert bodies[0] == bodies[1]


@pytest.mark.slow
@pytest.mark.timeout(1200)  # two processes that import torch: long on a busy machine
def test_ctrl_c_and_the_same_command_goes_on(donors, tmp_path):
    out = tmp_path / "run"
    words = ["train", "recogniser", "--faces", donors, "--teacher", write_teacher(tmp_path / "grid.pt"), "--out", out]
    command = [sys.executable, "-m", "vidanon", *map(str, words), "--pool", "2000", "--steps", "1"]

    def heed_interrupts() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a test run in the background was told to ignore them

    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts) as process:
        deadline = time.monotonic() + 400
        while not (out / "pool.json").is_file() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        said = process.communicate(timeout=200)[1]
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert not (out / "student.safetensors").exists()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert str(out / "student.safetensors") in done.stdout and "left" in done.stderr
    assert load_student(choose_runtime("cpu", 1), out / "student.safetensors").dimensions == 32


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--faces", "none.tar", "--teacher", "pyproject.toml", "--out", "x"], 3, "--faces none.tar"),
        (["--faces", "tests", "--teacher", "none.pt", "--out", "x"], 3, "--teacher none.pt"),
        (["--faces", "tests", "--teacher", "pyproject.toml", "--out", "setup.py"], 2, "--out setup.py"),
        (["--faces", "tests", "--teacher", "pyproject.toml", "--out", "x", "--steps", "0"], 2, "--steps"),
    ],
)
def test_wrong_words_are_named(words, code, says, monkeypatch, capsys):
    from vidanon.cli.main import main

    monkeypatch.chdir(ROOT)
    assert main(["train", "recogniser", *words]) == code
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
    assert not (ROOT / "x").exists()
