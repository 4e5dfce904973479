"""The recipe of the dense landmarks, on a few pictures and for a few steps, with a teacher that needs no file."""

from __future__ import annotations

import json
import sys
import tarfile
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from vidanon.errors import InputError, ModelError, UsageError
from vidanon.faces import mesh_points as mp
from vidanon.faces.mesh import SIZE, TEMPLATE, load_mesh
from vidanon.faces.mesh_points import POINTS, eye_distance, five
from vidanon.runtime.device import choose_runtime
from vidanon.train.landmarks import Recipe, distil_landmarks, first_net, train_landmarks
from vidanon.train.loop import LatePlan
from vidanon.train.mesh_augment import Sample, in_crop, place, sample
from vidanon.train.mesh_check import Condition, errors, worsen
from vidanon.train.mesh_loss import ERROR, mesh_loss, pack
from vidanon.train.mesh_pool import CANVAS, STEP, MeshPool, make_mesh_pool
from vidanon.train.mesh_teacher import SIDE, Anatomy, MeshTeacher, anatomy, around
from vidanon.train.mesh_views import another_view, draw

sys.path.insert(0, str(Path(__file__).parents[1] / "faces"))
from meshkit import face, rotation

RUNTIME = choose_runtime("cpu", 1)
TINY = Recipe(steps=24, views=1, seed=3, batch=8, warm_up=4, checkpoint_every=9)
MARKS = (np.array(TEMPLATE, np.float32) - SIZE / 2) * STEP + CANVAS / 2


def mirror_of(points: np.ndarray) -> np.ndarray:
    from scipy.optimize import linear_sum_assignment

    flipped = points * (-1, 1, 1)
    return linear_sum_assignment(((flipped[:, None] - points[None]) ** 2).sum(2))[1]


def symmetric() -> np.ndarray:
    """(468, 3) a face whose every point has a mirror image."""
    points = face()
    fixed = {i for name in ("RIGHT_EYE", "LEFT_EYE", "RIGHT_BROW", "LEFT_BROW") for i in getattr(mp, name)}
    fixed |= {mp.NOSE_TIP, mp.MOUTH_RIGHT, mp.MOUTH_LEFT, 234, 454}
    loose = [i for i in range(POINTS) if i not in fixed]
    half = len(loose) // 2
    points[loose[half : 2 * half]] = points[loose[:half]] * (-1, 1, 1)
    for i in (*loose[2 * half :], mp.NOSE_TIP):
        points[i, 0] = 0
    return points


def meshes(count: int, seed: int = 0) -> np.ndarray:
    """(count, 468, 3) px of the canvas: one face, turned and stretched, each turn with its mirror image."""
    rng = np.random.default_rng(seed)
    out = []
    for number in range(count):
        yaw, pitch = rng.uniform(-20, 20), rng.uniform(-10, 10)
        shape = symmetric() * (1 + 0.1 * rng.normal(), 1 + 0.1 * rng.normal(), 1)
        points = shape @ rotation(yaw if number % 2 else -yaw, pitch).T
        unit = 28.8 * STEP
        out.append(points * unit + (CANVAS / 2, MARKS[:2, 1].mean(), 0))
    return np.array(out, np.float32)


def paint(mesh: np.ndarray, seed: int = 0) -> np.ndarray:
    """(144, 144, 3): a picture from which the mesh can be told."""
    rng = np.random.default_rng(seed)
    picture = np.full((CANVAS, CANVAS, 3), rng.integers(20, 90, 3), np.uint8)
    cv2.fillConvexPoly(picture, mesh[list(mp.OVAL), :2].astype(np.int32), rng.integers(140, 220, 3).tolist())
    for contour, colour in (
        (mp.RIGHT_EYE, (20, 20, 60)),
        (mp.LEFT_EYE, (20, 20, 60)),
        (mp.LIPS_OUTER, (90, 0, 0)),
    ):
        cv2.fillConvexPoly(picture, mesh[list(contour), :2].astype(np.int32), colour)
    return picture


@pytest.fixture(scope="module")
def pool() -> MeshPool:
    wanted = meshes(48).reshape(24, 2, POINTS, 3)
    faces = np.stack([[paint(mesh, number) for mesh in row] for number, row in enumerate(wanted)])
    wanted = wanted.copy()
    wanted[5, 1] = np.nan
    wanted[6] = np.nan
    known = anatomy(wanted[np.isfinite(wanted[..., 0, 0])])
    return MeshPool(faces, wanted, np.arange(24) % 6 == 0, known, "painted")


def test_what_the_pool_holds(pool):
    assert len(pool.known(held=False)) == 20 * 2 - 1 and len(pool.known(held=True)) == 4 * 2 - 2
    assert [6, 0] not in pool.known(held=True).tolist() and [5, 1] not in pool.known(held=False).tolist()


def test_the_loss_falls(pool, tmp_path):
    losses: list[float] = []
    recipe = replace(TINY, steps=70, batch=16, warm_up=10)
    distil_landmarks(pool, recipe, tmp_path / "c.pt", lambda step: losses.append(step.loss.total.item()))
    assert len(losses) == 70
    assert np.mean(losses[-14:]) < 0.85 * np.mean(losses[:14])


def test_a_run_goes_on_bit_for_bit(pool, tmp_path):
    whole = distil_landmarks(pool, TINY, tmp_path / "whole.pt")

    def stop(step):
        if step.done == 13:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distil_landmarks(pool, TINY, tmp_path / "parts.pt", stop)
    done: list[int] = []
    parts = distil_landmarks(pool, TINY, tmp_path / "parts.pt", lambda step: done.append(step.done))
    assert done[0] == 10
    assert whole.keys() == parts.keys()
    for name in whole:
        assert torch.equal(whole[name], parts[name]), name


def test_how_long_a_run_is_may_be_settled_late(pool, tmp_path):
    """24 steps are held to step 15.6: what was done by step 9 of more or fewer steps is the same."""
    longer = replace(TINY, steps=60)

    def stop(step):
        if step.done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distil_landmarks(pool, longer, tmp_path / "late.pt", stop)
    late = distil_landmarks(pool, TINY, tmp_path / "late.pt")
    whole = distil_landmarks(pool, TINY, tmp_path / "whole.pt")
    assert all(torch.equal(late[name], whole[name]) for name in whole)
    with pytest.raises(UsageError, match="other settings"):
        distil_landmarks(pool, longer, tmp_path / "late.pt")  # its rate has fallen
    with pytest.raises(UsageError, match="other settings"):
        distil_landmarks(pool, replace(TINY, seed=4), tmp_path / "late.pt")


def test_the_rate_is_held_then_falls():
    plan = LatePlan(steps=1000, warm_up=100, rate=1.0, least=0.01, fall=0.4)
    assert [plan.rate_at(s) for s in (0, 50, 100, 600)] == [0, 0.5, 1, 1]
    assert plan.rate_at(800) == pytest.approx(0.5) and plan.rate_at(999) == pytest.approx(0.01)
    assert plan.same_so_far(asdict(LatePlan(steps=2000, warm_up=100, rate=1.0, least=0.01, fall=0.4)), 600)
    assert not plan.same_so_far(asdict(LatePlan(steps=2000, warm_up=100, rate=1.0, least=0.01, fall=0.4)), 601)
    assert not plan.same_so_far(asdict(LatePlan(steps=900, warm_up=100, rate=1.0, least=0.01, fall=0.4)), 541)
    assert not plan.same_so_far(asdict(LatePlan(steps=1000, warm_up=100, rate=2.0, least=0.01, fall=0.4)), 10)
    assert not plan.same_so_far({}, 0)


def test_a_net_begins_with_the_average_and_the_modes(pool):
    torch.manual_seed(0)
    net = first_net(pool, pool.known(held=False), seed=0)
    np.testing.assert_array_equal(net.mirror.numpy(), pool.anatomy.mirror)
    mesh = pool.meshes[1, 0]
    points = in_crop(mesh, place(mesh))
    away = (points - pool.anatomy.mean).ravel()
    modes = net.shape.weight.detach().numpy()
    left = away - modes @ np.linalg.lstsq(modes, away, rcond=None)[0]
    assert np.linalg.norm(left) < 0.05 * np.linalg.norm(away)


def test_what_the_anatomy_is():
    known = anatomy(meshes(60))
    np.testing.assert_array_equal(known.mirror[known.mirror], np.arange(POINTS))
    for one, other in ((33, 263), (61, 291), (234, 454)):
        assert known.mirror[one] == other
    mean = known.mean * SIZE
    np.testing.assert_allclose(five(mean)[:, 0].sum(), 5 * SIZE / 2, atol=0.5)
    np.testing.assert_allclose(mean[known.mirror] * (-1, 1, 1) + (SIZE, 0, 0), mean, atol=1e-3)
    assert known.triangles.min() >= 0 and len(known.triangles) > 300
    with pytest.raises(InputError, match="from symmetric"):
        anatomy(np.random.default_rng(0).normal(size=(4, POINTS, 3)).astype(np.float32) * 9)


def test_another_view_moves_the_picture_with_the_mesh(pool):
    mesh = meshes(2, seed=9)[0]
    picture = paint(mesh)
    np.testing.assert_allclose(draw(picture, mesh, mesh, pool.anatomy).astype(int), picture, atol=40)
    same = np.abs(draw(picture, mesh, mesh, pool.anatomy).astype(int) - picture).mean()
    turned = mesh - mesh.mean(0)
    turned = (turned @ rotation(25).T + mesh.mean(0)).astype(np.float32)
    seen = draw(picture, mesh, turned, pool.anatomy)
    away = np.abs(seen.astype(int) - paint(turned)).mean()
    left_alone = np.abs(picture.astype(int) - paint(turned)).mean()
    assert same < 1 and away < 0.6 * left_alone
    one = another_view(picture, mesh, pool.anatomy, np.random.default_rng(1))
    two = another_view(picture, mesh, pool.anatomy, np.random.default_rng(1))
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
    assert not np.array_equal(another_view(picture, mesh, pool.anatomy, np.random.default_rng(2))[1], one[1])


def drawn(pool: MeshPool, count: int) -> list[Sample]:
    generator = np.random.default_rng(0)
    mirror = pool.anatomy.mirror
    return [
        sample(pool.faces[i % 4, 0], pool.meshes[i % 4, 0], mirror, pool.faces[7, 0], generator) for i in range(count)
    ]


def test_points_go_with_their_pixels(pool):
    """The darkest spots of a crop are where its mesh has the eyes, mirrored or not."""
    hits = total = 0
    for s in drawn(pool, 300):
        assert s.crop.shape == (SIZE, SIZE, 3) and s.crop.dtype == np.uint8 and s.points.shape == (POINTS, 3)
        if s.weight < 1:
            continue
        eyes = s.points[[*mp.RIGHT_EYE, *mp.LEFT_EYE], :2].reshape(2, -1, 2).mean(1) * SIZE
        cheek = s.points[[*mp.OVAL], :2].mean(0) * SIZE
        values = [s.crop[int(y), int(x)].astype(int).sum() for x, y in (*eyes, cheek)]
        hits += max(values[:2]) < values[2]
        total += 1
    assert total > 150 and hits > 0.85 * total
    assert eye_distance(s.points) > 0


def test_what_is_no_face_hidden_or_cut_off_counts_less(pool):
    samples = drawn(pool, 600)
    none = [s for s in samples if s.weight == 0]
    assert 15 < len(none) < 70 and all(s.seen == 0 for s in none)
    assert 5 < sum(0 < s.weight < 1 for s in samples) < 250
    assert sum(s.seen == 1 for s in samples) > 300
    again = drawn(pool, 20)
    for one, two in zip(samples, again, strict=False):
        np.testing.assert_array_equal(one.crop, two.crop)


def test_the_loss_is_what_it_says():
    goal = torch.from_numpy(symmetric()[None].repeat(3, 0).astype(np.float32)) * 0.3
    away = goal.clone()
    away[1, :, 0] += 0.05 * 0.3  # 5 % of the eye distance
    away[2, :, 0] += 100
    targets = pack(goal, torch.tensor([1.0, 1.0, 0.0]), torch.tensor([1.0, 0.5, 0.0]))
    logits = torch.tensor([[30.0], [0.0], [-30.0]])
    loss = mesh_loss(torch.cat([away.flatten(1), logits], 1), targets)
    unit = eye_distance(symmetric())
    assert loss.error == pytest.approx(0.025 / unit, rel=1e-3)
    confident = 0.5 * np.exp(-((0.05 / unit / ERROR) ** 2))
    assert loss.sure == pytest.approx(np.log(2) / 3, abs=1e-3) and 0.3 < confident < 0.5
    exact = mesh_loss(torch.cat([goal.flatten(1), torch.tensor([[30.0], [0.0], [-30.0]])], 1), targets)
    assert exact.error == 0 and exact.total < loss.total
    lid = goal.clone()
    lid[0, list(mp.RIGHT_EYE)[9:], 1] += 0.02
    brow = goal.clone()
    brow[0, list(range(100, 107)), 1] += 0.02
    assert (
        mesh_loss(torch.cat([lid.flatten(1), logits], 1), targets).total
        > mesh_loss(torch.cat([brow.flatten(1), logits], 1), targets).total
    )


def test_a_picture_made_worse(pool):
    picture = pool.faces[1, 0]
    eyes = float(eye_distance(pool.meshes[1, 0]))
    same, there = worsen(picture, eyes, Condition("as it is"))
    np.testing.assert_array_equal(same, picture)
    np.testing.assert_array_equal(there, np.eye(2, 3))
    small, there = worsen(picture, eyes, Condition("small", 12))
    assert small.shape[0] == round(CANVAS * 12 / eyes) and there[0, 0] == pytest.approx(small.shape[1] / CANVAS)
    blurred, _ = worsen(picture, eyes, Condition("blurred", blur=0.1))
    assert np.abs(np.diff(blurred.astype(int), axis=1)).max() < np.abs(np.diff(picture.astype(int), axis=1)).max()
    assert errors(pool.meshes[1:2, 0] + np.float32((3, 4, 99)), pool.meshes[1:2, 0])[0] == pytest.approx(
        5 / eyes, rel=1e-3
    )


class Still(nn.Module):
    """Answers the same mesh whatever it sees, and that it saw one."""

    def __init__(self, presence: float = 9.0) -> None:
        super().__init__()
        points = symmetric() * 50 + (96, 80, 0)
        self.register_buffer("points", torch.from_numpy((points / SIDE).astype(np.float32)))
        self.presence = presence

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        kept = self.points[None] + 0 * x.mean((1, 2, 3))[:, None, None]
        return kept, self.presence + 0 * x.mean((1, 2, 3))


def still(path: Path, presence: float = 9.0) -> Path:
    torch.jit.save(torch.jit.trace(Still(presence).eval(), torch.rand(2, 3, SIDE, SIDE)), str(path))
    return path


def test_a_teacher_must_be_one(tmp_path):
    (tmp_path / "text.pt").write_text("no network")
    with pytest.raises(ModelError, match="no TorchScript"):
        MeshTeacher(tmp_path / "text.pt", RUNTIME)
    torch.jit.save(torch.jit.trace(nn.Linear(5, 2), torch.rand(1, 5)), str(tmp_path / "other.pt"))
    with pytest.raises(ModelError, match="192 px"):
        MeshTeacher(tmp_path / "other.pt", RUNTIME)
    torch.jit.save(torch.jit.trace(nn.Identity(), torch.rand(2, 3, SIDE, SIDE)), str(tmp_path / "same.pt"))
    with pytest.raises(ModelError, match="468 points"):
        MeshTeacher(tmp_path / "same.pt", RUNTIME)


def test_looks_come_back_in_the_picture(tmp_path):
    teacher = MeshTeacher(still(tmp_path / "t.pt"), RUNTIME)
    mesh = meshes(2)[0]
    wanted = around(mesh, 10.0)
    points, presence = teacher.look(paint(mesh), [wanted, wanted], [False, True])
    assert presence.tolist() == [9, 9]
    centre = wanted[:, :2] @ np.array([96, 80], np.float32) + wanted[:, 2]
    np.testing.assert_allclose(points[0][[33, 263], :2].mean(0), centre, atol=1e-2)
    own = eye_distance(points[0])
    assert own == pytest.approx(50 * eye_distance(symmetric()) * np.hypot(*wanted[:, 0]), rel=1e-3)
    middle = wanted[:, :2] @ np.array([96, 96], np.float32) + wanted[:, 2]
    across = wanted[:, 0] / np.hypot(*wanted[:, 0])
    for at in (33, 100):  # mirrored about the crop's upright middle line
        one, other = points[0][at, :2] - middle, points[1][at, :2] - middle
        np.testing.assert_allclose(other - one, -2 * across * (one @ across), atol=1e-2)
    known = Anatomy(symmetric().astype(np.float32), mirror_of(symmetric()), np.zeros((0, 3), np.int64))
    mean, sure, spread = teacher.steady(paint(mesh), mesh, known)
    assert sure > 0.99 and spread < 0.08
    assert abs(mean[:, 2].mean()) < 1e-3


@pytest.fixture
def donors(test_data, tmp_path, monkeypatch) -> Path:
    """Eight portraits of people who do not exist, as pictures in a folder."""
    monkeypatch.setenv("VIDANON_MODELS", str(test_data / "detectors"))
    folder = tmp_path / "donors"
    folder.mkdir()
    with tarfile.open(test_data / "faces" / "donors384.tar") as archive:
        for member in sorted((m for m in archive.getmembers() if m.isfile()), key=lambda m: m.name)[:8]:
            data = archive.extractfile(member)
            assert data is not None
            (folder / Path(member.name).name).write_bytes(data.read())
    return folder


def test_the_whole_recipe_with_the_shipped_models_teacher(donors, test_data, tmp_path):
    teacher = test_data / "landmarks" / "facemesh468.torchscript.pt"
    out = tmp_path / "run"
    recipe = Recipe(steps=3, views=1, batch=4, warm_up=2)
    seen = []
    path = train_landmarks(donors, teacher, out, recipe, seen.append)
    finder = load_mesh(RUNTIME, path)
    assert [finder.mirror[i] for i in (33, 263, 61, 10)] == [263, 33, 291, 10]
    stages = [p.stage for p in seen]
    assert stages == sorted(stages, key=["faces", "pool", "train"].index) and len(set(stages)) == 3
    assert isinstance(json.loads((out / "measured.json").read_text()), dict)
    pixels, known = np.load(out / "pool-faces.npy"), np.load(out / "pool-meshes.npy")
    assert pixels.shape == (8, 2, CANVAS, CANVAS, 3) and np.isfinite(known[:, 0]).all()
    np.testing.assert_allclose(five(known[:, 0])[:, :2, :2].mean(0), MARKS[:2], atol=4)
    before = (out / "pool-meshes.npy").stat().st_mtime_ns
    make_mesh_pool(out, donors, test_data / "detectors" / "yunet_n_dynamic.onnx", MeshTeacher(teacher, RUNTIME), 1, 0,
                   json.loads((out / "pool.json").read_text())["teacher"])  # fmt: skip
    assert (out / "pool-meshes.npy").stat().st_mtime_ns == before  # nothing to do
    with pytest.raises(UsageError, match="views"):
        train_landmarks(donors, teacher, out, Recipe(steps=3, views=2, batch=4, warm_up=2))


def test_a_pool_goes_on_bit_for_bit_and_unsure_faces_are_left_out(donors, test_data, tmp_path, monkeypatch):
    from vidanon.train import mesh_pool

    monkeypatch.setattr(mesh_pool, "_SAVE", 2)
    detector = test_data / "detectors" / "yunet_n_dynamic.onnx"
    teacher = MeshTeacher(test_data / "landmarks" / "facemesh468.torchscript.pt", RUNTIME)
    for name in ("whole", "parts", "none"):
        (tmp_path / name).mkdir()
    whole = make_mesh_pool(tmp_path / "whole", donors, detector, teacher, 1, 5, "t")

    def stop(stage, done, size):
        if stage == "pool" and done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_mesh_pool(tmp_path / "parts", donors, detector, teacher, 1, 5, "t", stop)
    done = []
    parts = make_mesh_pool(
        tmp_path / "parts",
        donors,
        detector,
        teacher,
        1,
        5,
        "t",
        lambda s, d, n: done.append(d) if s == "pool" else None,
    )
    assert done[0] == 5  # from row 4, the last that was saved
    np.testing.assert_array_equal(whole.faces, parts.faces)
    np.testing.assert_array_equal(whole.meshes, parts.meshes)
    blind = MeshTeacher(still(tmp_path / "blind.pt", -3.0), RUNTIME)
    none = make_mesh_pool(tmp_path / "none", donors, detector, blind, 1, 5, "t")
    assert not len(none.known(held=False)) and not len(none.known(held=True))
    for path in donors.glob("*.jpg"):
        path.unlink()
    with pytest.raises(InputError):
        make_mesh_pool(tmp_path / "none", donors, detector, teacher, 1, 5, "t")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--faces", "none.tar", "--teacher", "pyproject.toml", "--out", "x"], 3, "--faces none.tar"),
        (["--faces", "tests", "--teacher", "none.pt", "--out", "x"], 3, "--teacher none.pt"),
        (["--faces", "tests", "--teacher", "pyproject.toml", "--out", "setup.py"], 2, "--out setup.py"),
        (["--faces", "tests", "--teacher", "pyproject.toml", "--out", "x", "--views", "-1"], 2, "--views"),
    ],
)
def test_wrong_words_are_named(words, code, says, monkeypatch, capsys):
    from vidanon.cli.main import main

    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    assert main(["train", "landmarks", *words]) == code
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
    assert not (root / "x").exists()
