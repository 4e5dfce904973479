"""What a face goes through: same seed, same picture; and it is still that face."""

from __future__ import annotations

import numpy as np
import pytest

from vidanon.train.augment import augment


@pytest.fixture
def face() -> np.ndarray:
    y, x = np.mgrid[0:112, 0:112].astype(np.float32)
    return np.stack([127 + 90 * np.sin(x / 9), 127 + 90 * np.cos(y / 7), 100 + x / 2], 2).astype(np.uint8)


def test_the_seed_decides_and_the_input_is_left_alone(face):
    before = face.copy()
    first = [augment(face, np.random.default_rng(5)) for _ in range(2)]
    np.testing.assert_array_equal(first[0], first[1])
    assert not np.array_equal(first[0], augment(face, np.random.default_rng(6)))
    np.testing.assert_array_equal(face, before)


def test_every_step_is_taken_now_and_then_and_the_face_stays(face):
    generator = np.random.default_rng(0)
    out = [augment(face, generator) for _ in range(300)]
    assert all(o.shape == face.shape and o.dtype == np.uint8 for o in out)

    def alike(picture: np.ndarray) -> float:
        a, b = face.mean(2).ravel().astype(float), picture.mean(2).ravel().astype(float)
        return float(np.corrcoef(a, b)[0, 1])

    assert np.median([alike(o) for o in out]) > 0.8
    detail = np.array([np.abs(np.diff(o.astype(float), axis=1)).mean() for o in out])
    assert detail.min() < 0.5 * np.median(detail) < detail.max() / 1.5  # blurred ones and noisy ones
    grey = [o for o in out if np.ptp(o.astype(int), axis=2).mean() < 0.2 * np.ptp(face.astype(int), axis=2).mean()]
    assert 30 < len(grey) < 130  # a quarter
    flat = sum(bool((o[40:72, 40:72] == o[55, 55]).all(2).mean() > 0.4) for o in out)
    assert 3 < flat < 60  # a box over the middle
