import numpy as np
import pytest

from vidanon.track.smooth import enclose, smoothed


def jittered(seed: int = 0, count: int = 80) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    t = np.arange(count)[:, None]
    truth = np.concatenate([50 + 2 * t, 40 + t, 90 + 2 * t, 90 + t], 1).astype(float)
    return truth, truth + rng.normal(0, 2.0, (count, 4))


@pytest.mark.parametrize("trusted", [1.0, 0.5])
def test_nothing_measured_is_left_out(trusted: float) -> None:
    _, noisy = jittered()
    trust = np.full(80, trusted)
    trust[30:40] = 0.0
    out = smoothed(noisy, trust, 5)
    assert (out[:, :2] <= noisy[:, :2]).all() and (out[:, 2:] >= noisy[:, 2:]).all()


def test_jitter_is_halved_and_growth_stays_small() -> None:
    truth, noisy = jittered()
    out = smoothed(noisy, np.ones(80), 5)
    shake = np.diff(((out[:, :2] + out[:, 2:]) / 2) - ((truth[:, :2] + truth[:, 2:]) / 2), axis=0).std()
    before = np.diff(((noisy[:, :2] + noisy[:, 2:]) / 2) - ((truth[:, :2] + truth[:, 2:]) / 2), axis=0).std()
    assert shake < before / 2
    assert (out[:, 2:] - out[:, :2]).mean() < 1.25 * (truth[:, 2:] - truth[:, :2]).mean()


def test_an_even_path_is_kept() -> None:
    truth, _ = jittered()
    out = smoothed(truth, np.ones(80), 5)
    assert np.abs(out - truth).max() < 0.5


def test_guesses_steer_nothing() -> None:
    truth, _ = jittered()
    wild = truth.copy()
    wild[40] += np.array([-100, 0, -100, 0])
    trust = np.ones(80)
    trust[40] = 0.0
    out = smoothed(wild, trust, 2)
    assert np.abs(out[30] - truth[30]).max() < 0.5
    assert out[40, 0] <= wild[40, 0]  # covered all the same


def test_margins_do_not_flicker() -> None:
    truth, _ = jittered()
    inner = truth.copy()
    inner[::5, 0] -= 8.0  # every fifth frame reaches farther
    out = enclose(truth, inner, 5)
    margin = truth[:, 0] - out[:, 0]
    assert margin.min() >= 8.0 - 1e-6
    assert np.ptp(margin[10:-10]) < 1e-6


@pytest.mark.parametrize("count", [1, 2, 3])
def test_short_tracks(count: int) -> None:
    truth, _ = jittered(count=count)
    out = smoothed(truth, np.zeros(count), 5)
    assert out.shape == (count, 4)
    assert (out[:, :2] <= truth[:, :2] + 1e-9).all() and (out[:, 2:] >= truth[:, 2:] - 1e-9).all()
