"""A track's mesh over time: steadier, nothing late, blinks kept, gaps filled or told."""

from __future__ import annotations

import numpy as np
import pytest
from meshkit import face, rotation

from vidanon.faces.mesh_points import RIGHT_LIDS, eye_distance, openness, yaw
from vidanon.faces.mesh_smooth import Smoothing, smooth

SIZE = 40.0  # px eye distance


def track(count: int = 60, noise: float = 0.0, blink: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(T, 468, 3) of a head that turns and walks, as it is and with noise (px)."""
    rng = np.random.default_rng(1)
    meshes = []
    for t in range(count):
        closed = 0.02 if blink is not None and blink <= t < blink + 3 else 0.14
        shape = face(closed, 0.1 + 0.08 * np.sin(t / 3))
        turn = rotation(25 * np.sin(t / 9), 8 * np.cos(t / 11), 5 * np.sin(t / 14))
        meshes.append(shape @ turn.T * SIZE * (1 + t / 200) + (100 + 60 * np.sin(t / 10), 80 + t, 0))
    clean = np.array(meshes)
    return clean.astype(np.float32), (clean + rng.normal(0, noise, clean.shape)).astype(np.float32)


def wobble(points: np.ndarray) -> float:
    return float(np.abs(np.diff(points, 2, axis=0)).mean())


def test_noise_goes_and_motion_stays():
    clean, noisy = track(noise=0.6)
    out = smooth(noisy)
    assert out.shape == noisy.shape and out.dtype == np.float32
    before, after = (np.linalg.norm((p - clean)[..., :2], axis=2).mean() for p in (noisy, out))
    assert after < 0.6 * before
    assert wobble(out) < 0.45 * wobble(noisy)
    turned, wanted = yaw(out), yaw(clean)
    lags = [np.abs(turned[8 + lag : 52 + lag] - wanted[8:52]).mean() for lag in (-2, -1, 0, 1, 2)]
    assert int(np.argmin(lags)) == 2  # neither late nor early
    assert np.abs(turned - wanted).mean() < 1.5


def test_what_is_steady_already_is_left_alone():
    clean, _ = track()
    away = np.linalg.norm(smooth(clean) - clean, axis=2) / SIZE
    assert away[6:-6].mean() < 0.006


def test_a_blink_is_not_averaged_away():
    clean, noisy = track(noise=0.4, blink=30)
    was, raw, is_ = (openness(p, RIGHT_LIDS) for p in (clean, noisy, smooth(noisy)))
    assert is_[31] < raw[31] + 0.01 < was[20] / 2
    assert is_[27] > 0.75 * was[27] and is_[36] > 0.75 * was[36]


def test_backwards_is_the_same():
    _, noisy = track(noise=0.5)
    np.testing.assert_allclose(smooth(noisy[::-1])[::-1], smooth(noisy), atol=0.02)


def test_what_is_not_trusted_counts_little_and_gaps_are_filled_or_told():
    clean, noisy = track(noise=0.3)
    confidence = np.full(60, 0.9)
    wrong = noisy.copy()
    wrong[20] += 40
    confidence[20] = 0.001
    wrong[30:33] = np.nan
    wrong[40:50] = np.nan
    wrong[50:52], confidence[50:52] = noisy[50:52], 0
    out = smooth(wrong, confidence)
    off = np.linalg.norm((out - clean)[..., :2], axis=2).mean(1)
    assert off[20] < 2
    assert off[30:33].max() < 3
    assert np.isnan(out[40:52]).all()
    assert np.isfinite(out[:40]).all() and np.isfinite(out[52:]).all()
    assert np.isfinite(smooth(wrong, confidence, settings=Smoothing(gap=1.0))).all()


def test_a_mesh_of_something_else_does_not_drag_the_track_along():
    clean, noisy = track(noise=0.3)
    stray = noisy.copy()
    stray[30] += (250, -90, 0)
    confidence = np.full(60, 0.9)
    confidence[30] = 0.3
    off = np.linalg.norm((smooth(stray, confidence) - clean)[..., :2], axis=2).mean(1)
    assert off[25:36].max() < 2


def test_the_rate_counts_in_seconds():
    _, noisy = track(120, noise=0.6)
    assert wobble(smooth(noisy, rate=60)) < wobble(smooth(noisy, rate=25)) < wobble(smooth(noisy, rate=5))


def test_little_to_go_by():
    _, noisy = track(5, noise=0.3)
    np.testing.assert_array_equal(smooth(noisy[:2]), noisy[:2])
    assert smooth(noisy[:0]).shape == (0, 468, 3)
    assert np.isfinite(smooth(noisy)).all()
    noisy[1:4] = np.nan
    out = smooth(noisy)
    np.testing.assert_array_equal(out[[0, 4]], noisy[[0, 4]])
    assert np.isnan(out[1:4]).all()
    assert np.isnan(smooth(np.full((4, 468, 3), np.nan, np.float32))).all()


def test_size_and_place_do_not_matter():
    _, noisy = track(noise=0.5)
    np.testing.assert_allclose(smooth(noisy * 3 + 50), smooth(noisy) * 3 + 50, atol=0.05)
    assert eye_distance(smooth(noisy)).std() < eye_distance(noisy).std() + 0.5


def test_wrong_shapes():
    with pytest.raises(ValueError, match="468"):
        smooth(np.zeros((4, 5, 3), np.float32))
    with pytest.raises(ValueError, match="confidence"):
        smooth(np.zeros((4, 468, 3), np.float32), np.ones(3))
