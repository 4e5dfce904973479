"""The bench's own ground truth: ellipses, visible pixels, and the files they are kept in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.bench import heads, motion
from tests.bench.composites import HEIGHT, WIDTH, Shot, make_clip
from tests.bench.portraits import Portrait, face_ellipse
from tests.bench.truth import FaceTruth, counted, load_truth, save_truth

RED = (200, 40, 40)


def head_of(colour: tuple[int, int, int] = RED, half: float = 40.0) -> Portrait:
    """An opaque square patch whose inner face is a coloured ellipse on white."""
    side = int(half * 4)
    rgba = np.full((side, side, 4), 255, np.uint8)
    yy, xx = np.mgrid[0:side, 0:side] + 0.5
    inside = ((xx - side / 2) / (0.8 * half)) ** 2 + ((yy - side / 2) / half) ** 2 <= 1
    rgba[inside, :3] = colour
    return Portrait("test", "folder", rgba, (side / 2, side / 2), (0.8 * half, half), 0.0)


class Wall:
    """A plain grey background."""

    label = "wall"

    def frame(self, index: int) -> npt.NDArray[np.uint8]:
        return np.full((HEIGHT, WIDTH, 3), 120, np.uint8)


def actor_at(portrait: Portrait, x: float, y: float, size: float, n: int = 3, **more: float) -> motion.Actor:
    def same(v: float) -> npt.NDArray[np.float64]:
        return np.full(n, float(v))

    turns = same(more.get("roll", 0)), same(more.get("yaw", 0))
    return motion.Actor(portrait, same(x), same(y), same(size), *turns, same(0), same(1), 0.5)


def shot_of(actors: list[motion.Actor], things: list[motion.Occluder] | None = None) -> Shot:
    n = len(actors[0].x)
    drawn = [heads.Head(a.portrait) for a in actors]
    return Shot(Wall(), actors, things or [], n, np.ones(n), 1, drawn)  # type: ignore[arg-type]


def render(shot: Shot) -> tuple[npt.NDArray[np.uint8], list[FaceTruth]]:
    return shot.render(0, 0, np.zeros((HEIGHT, WIDTH, 3), np.uint8))


@pytest.mark.parametrize("size", [16, 33, 80, 200])
@pytest.mark.parametrize("roll", [0, 35])
def test_the_ellipse_lies_on_the_drawn_face(size: int, roll: int) -> None:
    picture, (truth,) = render(shot_of([actor_at(head_of(), 400.3, 300.7, size, roll=roll)]))
    y, x = np.nonzero((picture[..., 0] > 160) & (picture[..., 1] < 110))
    assert (x.mean() + 0.5, y.mean() + 0.5) == pytest.approx(truth.centre, abs=0.4)
    assert 2 * max(truth.axes) == pytest.approx(size, rel=1e-6)
    # a disc of n pixels has an area of n: the drawn face and the mask agree to a rim of half a pixel
    rim = np.pi * sum(truth.axes)
    assert abs(len(x) - truth.mask.sum()) < rim
    assert truth.visible == pytest.approx(1)
    ox, oy = truth.origin
    part = picture[oy : oy + truth.mask.shape[0], ox : ox + truth.mask.shape[1]]
    assert (part[truth.mask][:, 1] < 150).mean() > (0.8 if size < 30 else 0.93)


@pytest.mark.parametrize("yaw", [-50, -20, 25, 55])
def test_a_turned_face_stays_inside_its_ellipse(yaw: int) -> None:
    picture, (truth,) = render(shot_of([actor_at(head_of(), 500, 360, 160, yaw=yaw)]))
    y, x = np.nonzero((picture[..., 0] > 160) & (picture[..., 1] < 110))
    straight = 0.8 * truth.axes[1]
    assert truth.axes[0] < straight
    assert x.mean() + 0.5 == pytest.approx(truth.centre[0], abs=0.12 * 160)
    assert np.sign(truth.centre[0] - 500) == np.sign(yaw)
    assert x.min() > truth.centre[0] - truth.axes[0] - 3
    assert x.max() < truth.centre[0] + truth.axes[0] + 3


def test_half_a_face_beyond_the_border_is_half_visible() -> None:
    _, (truth,) = render(shot_of([actor_at(head_of(), 0, 300, 120)]))
    assert truth.visible == pytest.approx(0.5, abs=0.02)
    assert truth.origin[0] == 0


def test_a_face_outside_has_no_truth() -> None:
    assert render(shot_of([actor_at(head_of(), -300, 300, 120)]))[1] == []


def test_the_nearer_head_hides_the_farther() -> None:
    far, near = actor_at(head_of(), 400, 300, 60), actor_at(head_of(), 500, 300, 120)
    near.x[:] = 400 + 0.5 * 60 * 0.8  # its patch reaches over the whole of the far face
    truths = render(shot_of([far, near]))[1]
    assert [t.track for t in truths] == [2]
    far.x[:] = 100
    assert [t.visible for t in render(shot_of([far, near]))[1]] == pytest.approx([1, 1])


def test_an_occluder_takes_its_pixels_from_the_mask() -> None:
    rng = np.random.default_rng(0)
    bar = motion.Occluder(motion.slab(rng, 300, 300), np.full(3, 400.0), np.full(3, 450.0), np.zeros(3))
    _, (truth,) = render(shot_of([actor_at(head_of(), 400, 300, 120)], [bar]))
    assert truth.visible == pytest.approx(0.5, abs=0.03)
    assert truth.origin[1] + truth.mask.shape[0] == pytest.approx(300, abs=3)


def test_what_counts() -> None:
    def face(size: float, visible: float) -> FaceTruth:
        return FaceTruth(1, 0, (9, 9), (5, 5), 0, size, visible, 0, (0, 0), np.ones((1, 1), bool))

    assert counted(face(16, 0.4))
    assert not counted(face(15.9, 1))
    assert not counted(face(100, 0.39))


def test_truth_survives_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = [
        FaceTruth(k, 7 * k, (1.5, 2.25), (3, 4), 12.5, 8.0, 0.75, 2.0, (5, 6), rng.random((3 + k, 9)) > 0.5)
        for k in range(4)
    ]
    save_truth(tmp_path / "t.npz", rows)
    for before, after in zip(rows, load_truth(tmp_path / "t.npz"), strict=True):
        assert np.array_equal(before.mask, after.mask)
        assert (before.track, before.frame, before.centre, before.origin) == (
            after.track,
            after.frame,
            after.centre,
            after.origin,
        )


def test_a_clip_without_test_data_is_drawn_the_same_twice(tmp_path: Path) -> None:
    portraits = [head_of(half=100.0)]
    one = make_clip(portraits, None, tmp_path / "a", 5, 1, frames=6, faces=2)
    two = make_clip(portraits, None, tmp_path / "b", 5, 1, frames=6, faces=2)
    assert one.about == two.about
    first, second = load_truth(one.truth), load_truth(two.truth)
    assert len(first) == len(second) > 0
    assert all(np.array_equal(a.mask, b.mask) and a.origin == b.origin for a, b in zip(first, second, strict=True))
    assert make_clip(portraits, None, tmp_path / "a", 5, 1, frames=6, faces=2).about == one.about  # from the disk


def test_the_face_ellipse_follows_the_landmarks() -> None:
    # upright, eyes 40 apart, mouth 44 below them: brow to chin is 2.12 times that
    row = np.array([60, 50, 90, 120, 85, 100, 125, 100, 105, 120, 90, 144, 120, 144, 0.9], np.float32)
    centre, (across, along), roll = face_ellipse(row)
    assert roll == pytest.approx(0, abs=1e-3)
    assert along == pytest.approx(0.5 * 2.12 * 44)
    assert across == 45
    assert centre[0] == pytest.approx(105)
    assert centre[1] - along == pytest.approx(100 - 0.4 * 44, abs=1e-3)
