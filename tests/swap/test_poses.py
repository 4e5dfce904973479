"""The meshes of a segment's faces: found by frame and track, steadied, and going on from segment to segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.swap import swapkit
from vidanon.faces.mesh import Meshes
from vidanon.swap.patches import mirrored, unmirrored
from vidanon.swap.poses import TAIL, Seen, find_meshes, steadied, tail_of
from vidanon.types import Frame

RATE = 25.0


@dataclass
class Finder:
    """Answers for each box a mesh that holds the box and the frame; keeps what it was asked."""

    asked: list[tuple[int, np.ndarray, np.ndarray]] = field(default_factory=list)

    def detect_each(self, frames: Sequence[Frame], boxes: np.ndarray, landmarks: np.ndarray) -> Meshes:
        at = np.array([frame.index for frame in frames])
        self.asked += zip(at.tolist(), boxes, landmarks, strict=True)
        points = np.zeros((len(boxes), 468, 3), np.float32)
        points[:, 0, 0], points[:, 1, 0] = boxes[:, 0], at
        return Meshes(points, (0.5 + 0.01 * at).astype(np.float32))


def frames(count: int) -> list[Frame]:
    picture = np.zeros((8, 8, 3), np.uint8)
    return [swapkit.frame_of(picture, index) for index in range(count)]


def seen(meshes: np.ndarray, at: Sequence[int] | None = None) -> Seen:
    count = len(meshes)
    return Seen(
        tuple(range(count)) if at is None else tuple(at),
        meshes,
        np.ones(count, np.float32),
        np.zeros((count, 4), np.float32),
        np.zeros((count, 5, 2), np.float32),
    )


def walk(count: int, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """(count, 468, 3): a head that moves and turns evenly, as a network sees it."""
    rng = np.random.default_rng(seed)
    base = swapkit.donor_at(0).points
    meshes = np.stack([swapkit.turned(base, yaw=0.4 * i) + np.array([1.5 * i, 0.5 * i, 0]) for i in range(count)])
    return (meshes + rng.normal(0, noise, meshes.shape)).astype(np.float32)


def test_each_track_gets_its_own_meshes_in_the_order_of_frames():
    base = swapkit.donor_at(0).points
    rows = [
        swapkit.row_of(base + np.float32(100 * track), frame, track)
        for frame, track in ((3, 2), (1, 1), (1, 2), (2, 2), (3, 1))
    ]
    finder = Finder()
    found = find_meshes(finder, frames(5), rows)
    assert found.keys() == {1, 2}
    assert found[1].frames == (1, 3) and found[2].frames == (1, 2, 3)
    for track, each in found.items():
        assert len(each) == len(each.frames)
        np.testing.assert_allclose(each.raw[:, 0, 0], swapkit.box_of(base)[0] + 100 * track, rtol=1e-4)
        np.testing.assert_array_equal(each.raw[:, 1, 0], each.frames)
        np.testing.assert_allclose(each.confidence, 0.5 + 0.01 * np.array(each.frames), rtol=1e-5)
        np.testing.assert_array_equal(each.boxes, np.repeat(each.boxes[:1], len(each), 0))
        assert np.isfinite(each.landmarks).all()
    assert [index for index, *_ in finder.asked] == [1, 1, 2, 3, 3]  # frames without a face are not looked at


def test_a_row_without_landmarks_is_told_as_one():
    base = swapkit.donor_at(0).points
    finder = Finder()
    rows = [swapkit.row_of(base, 0, 1, marks=False), swapkit.row_of(base, 0, 2)]
    found = find_meshes(finder, frames(1), rows)
    assert np.isnan(found[1].landmarks).all() and np.isfinite(found[2].landmarks).all()
    (_, _, first), (_, _, second) = finder.asked
    assert np.isnan(first).all() and np.isfinite(second).all()


@pytest.mark.parametrize("workers", [1, 3])
def test_however_many_look_the_answer_is_the_same(workers):
    base = swapkit.donor_at(0).points
    rows = [swapkit.row_of(base + np.float32(100 * track), frame, track) for frame in range(20) for track in (1, 2)]
    found = find_meshes(Finder(), frames(20), rows, workers)
    for track, each in found.items():
        assert each.frames == tuple(range(20))
        np.testing.assert_array_equal(each.raw[:, 1, 0], range(20))
        np.testing.assert_allclose(each.raw[:, 0, 0], swapkit.box_of(base)[0] + 100 * track, rtol=1e-4)


def test_without_rows_nothing_is_looked_at():
    finder = Finder()
    assert find_meshes(finder, frames(3), []) == {} and not finder.asked


def test_noise_is_steadied_and_motion_kept():
    clean, noisy = walk(30), walk(30, noise=1.0)
    out = steadied(seen(noisy), None, RATE)
    assert out.shape == clean.shape and out.dtype == np.float32
    assert np.abs(out - clean)[5:-5].mean() < 0.7 * np.abs(noisy - clean)[5:-5].mean()
    jitter = [float(np.abs(np.diff(each - clean, axis=0)).mean()) for each in (noisy, out)]
    assert jitter[1] < 0.5 * jitter[0]


@pytest.mark.parametrize("cut", [4, 15, 26])
def test_a_segment_goes_on_where_the_one_before_ended(cut):
    """With the tail there is no more of a step at the seam than anywhere else."""
    noisy, clean = walk(30, noise=1.0, seed=2), walk(30)
    first, second = seen(noisy[:cut]), seen(noisy[cut:], range(cut, 30))
    parts = [steadied(first, None, RATE), steadied(second, tail_of(first), RATE)]
    alone = [parts[0], steadied(second, None, RATE)]
    assert [len(p) for p in parts] == [cut, 30 - cut]

    def step(both):
        off = np.concatenate(both) - clean
        return float(np.abs(off[cut] - off[cut - 1]).mean())

    off = np.concatenate(parts) - clean
    usual = np.abs(np.diff(off, axis=0)).mean((1, 2))
    assert step(parts) < 3 * float(np.median(usual)) + 0.1
    assert step(parts) <= step(alone) * 1.05


def test_a_tail_of_long_ago_is_not_looked_at():
    before, now = walk(10, noise=1.0), walk(10, noise=1.0, seed=4) + np.float32(300)
    tail = tail_of(seen(before))
    late = seen(now, range(10 + TAIL, 20 + TAIL))
    np.testing.assert_array_equal(steadied(late, tail, RATE), steadied(late, None, RATE))
    again = seen(now, range(5, 15))  # a track cannot go back; then nothing is known of before
    np.testing.assert_array_equal(steadied(again, tail, RATE), steadied(again, None, RATE))


def test_frames_left_out_leave_a_gap_not_a_jump():
    clean = walk(20)
    at = [i for i in range(20) if i not in (8, 9)]
    out = steadied(seen(clean[at], at), None, RATE)
    assert len(out) == 18
    np.testing.assert_allclose(out, clean[at], atol=0.6)


def test_what_was_not_found_stays_so_where_it_lasts():
    meshes = walk(40)
    meshes[10:30] = np.nan
    out = steadied(seen(meshes), None, RATE)
    assert np.isnan(out[18:22]).all()
    assert np.isfinite(out[:8]).all() and np.isfinite(out[32:]).all()
    nowhere = steadied(seen(np.full((5, 468, 3), np.nan, np.float32)), None, RATE)
    assert nowhere.shape == (5, 468, 3) and np.isnan(nowhere).all()


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_frames(count):
    meshes = walk(count)
    np.testing.assert_allclose(steadied(seen(meshes), None, RATE), meshes, atol=0.5)


def test_a_tail_is_the_end_and_bounded():
    long = tail_of(seen(walk(30)))
    assert len(long) == TAIL and long.frames == tuple(range(30 - TAIL, 30))
    assert long.raw.shape == (TAIL, 468, 3) and len(long.boxes) == len(long.landmarks) == len(long.confidence) == TAIL
    assert tail_of(seen(walk(3))).frames == (0, 1, 2)


@pytest.mark.parametrize("roll", [0, 90, 180, -130])
@pytest.mark.parametrize("yaw", [-40, 0, 40])
def test_a_mirror_image_is_told_from_a_face(roll, yaw):
    points = swapkit.turned(swapkit.donor_at(0).points, yaw=yaw, roll=roll)
    assert not mirrored(points)
    patch = np.random.default_rng(0).random((384, 384, 3), np.float32)
    same, mesh = unmirrored(patch, points)
    assert same is patch and mesh is points
    flipped = points.copy()
    flipped[:, 0] = 384 - flipped[:, 0]
    assert mirrored(flipped)
    back, mesh = unmirrored(np.ascontiguousarray(patch[:, ::-1]), flipped)
    np.testing.assert_array_equal(back, patch)
    np.testing.assert_allclose(mesh, points, atol=1e-3)
