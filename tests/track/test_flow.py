import numpy as np
import pytest
import trackkit

from vidanon.track.flow import Luma, carry, follow, luma_of, ncc, patch
from vidanon.types import Colour, Frame, PixelFormat


def lumas(clip: trackkit.Clip) -> dict[int, Luma]:
    return {f.index: luma_of(f) for f in clip.frames()}


@pytest.mark.parametrize("side", [16, 32, 64])
@pytest.mark.parametrize("direction", [1, -1])
def test_follows_a_face_both_ways(side: float, direction: int) -> None:
    path = trackkit.straight(40, 40, 0.08 * side, 0.02 * side, side)
    clip = trackkit.Clip(12, {1: path})
    ring = lumas(clip)
    start, stop = (0, 11) if direction > 0 else (11, 0)
    steps = follow(ring.get, start, stop, np.array(path(start)), np.zeros(2), min_anchor=0.3)
    assert len(steps) == 11
    assert np.abs(steps[-1].box - np.array(path(stop))).max() < 0.06 * side


def test_growing_face() -> None:
    def path(i: int) -> list[float]:
        half = 16 * 1.02**i
        return [160 - half, 90 - half, 160 + half, 90 + half]

    ring = lumas(trackkit.Clip(20, {1: path}))
    steps = follow(ring.get, 0, 19, np.array(path(0)), np.zeros(2), min_anchor=0.3)
    assert len(steps) == 19
    assert np.abs(steps[-1].box - np.array(path(19))).max() < 2.0


def test_a_jump_is_found_by_search() -> None:
    ring = lumas(trackkit.Clip(2, {1: trackkit.straight(60, 60, 28, 0, 32)}))
    step = carry(ring[0], ring[1], np.array([60.0, 60, 85.6, 92]), np.zeros(2))
    assert step is not None
    assert np.abs(step.box - [88, 60, 113.6, 92]).max() < 2.0


def test_stops_where_the_face_is_gone() -> None:
    there = trackkit.straight(60, 60, 1, 0)
    ring = lumas(trackkit.Clip(20, {1: lambda i: there(i) if i < 8 else None}))
    steps = follow(ring.get, 0, 19, np.array(there(0)), np.zeros(2), min_anchor=0.3)
    assert len(steps) == 7


def test_stops_at_the_end_of_what_is_kept() -> None:
    ring = lumas(trackkit.Clip(6, {1: trackkit.straight(60, 60, 1, 0)}))
    assert len(follow(ring.get, 3, 20, np.array([63, 60, 88.6, 92]), np.zeros(2), min_anchor=0.3)) == 2
    assert follow(ring.get, 30, 20, np.array([63, 60, 88.6, 92]), np.zeros(2), min_anchor=0.3) == []


@pytest.mark.parametrize("box", [[-60.0, 20, -20, 60], [300, 170, 400, 300], [400, 400, 420, 420]])
def test_boxes_at_and_beyond_the_border_do_no_harm(box: list[float]) -> None:
    ring = lumas(trackkit.Clip(2, {}))
    step = carry(ring[0], ring[1], np.array(box), np.array([3.0, -2.0]))
    assert step is None or np.isfinite(step.box).all()


def test_large_pictures_are_kept_small_and_boxes_stay_in_coded_pixels() -> None:
    scale = 8
    small = [trackkit.texture(1, 320, 180, 24) for _ in range(2)]
    face = trackkit.texture(2, 64, 80, 7)
    for i, luma in enumerate(small):
        trackkit.draw(luma, [100 + 4 * i, 60, 132 + 4 * i, 100], face)
    big = [np.kron(luma, np.ones((scale, scale), np.uint16)) << 2 for luma in small]
    form = PixelFormat("gray10le", 10, 0, 0, 1)
    a, b = (luma_of(Frame((p,), form, Colour(), i, i, trackkit.Fraction(1, 25))) for i, p in enumerate(big))
    assert max(a.image.shape) <= 1280 and a.image.dtype == np.uint8
    assert abs(float(a.image.mean()) - float(small[0].mean())) < 1.0
    step = carry(a, b, np.array([100.0, 60, 132, 100]) * scale, np.zeros(2))
    assert step is not None
    assert np.abs(step.box / scale - [104, 60, 136, 100]).max() < 0.5


def test_likeness() -> None:
    clip = lumas(trackkit.Clip(1, {1: trackkit.straight(60, 60, 0, 0)}))[0]
    here, there = np.array([60.0, 60, 85.6, 92]), np.array([200.0, 20, 225, 52])
    assert ncc(patch(clip, here), patch(clip, here)) == pytest.approx(1.0, abs=1e-5)
    assert ncc(patch(clip, here), patch(clip, there)) < 0.5
    flat = Luma(0, np.full((180, 320), 90, np.uint8), 1.0, 320, 180)
    assert ncc(patch(flat, here), patch(flat, there)) == 1.0
    assert ncc(patch(flat, here), patch(clip, here)) == 0.0
