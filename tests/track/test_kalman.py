import numpy as np
import pytest
from filterpy.kalman import KalmanFilter

from vidanon.track import kalman

NOISE = kalman.Noise()


def reference(z: np.ndarray, r: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """filterpy on the same 6-state model, states ordered (value, velocity) x 3: filtered and smoothed."""
    mean, cov = kalman.start(z[0], r[0], NOISE)
    f = KalmanFilter(dim_x=6, dim_z=3)
    f.x = mean.reshape(6)
    f.P = np.zeros((6, 6))
    f.F, f.Q, f.H = np.eye(6), np.zeros((6, 6)), np.zeros((3, 6))
    for k in range(3):
        s = slice(2 * k, 2 * k + 2)
        f.P[s, s] = cov[k]
        f.F[2 * k, 2 * k + 1] = 1
        f.H[k, 2 * k] = 1
    xs, ps, qs = [f.x.copy()], [f.P.copy()], [np.zeros((6, 6))]
    for t in range(1, len(z)):
        for k in range(3):
            s = slice(2 * k, 2 * k + 2)
            f.Q[s, s] = q[t, k] * np.array([[0.25, 0.5], [0.5, 1.0]])
        f.predict()
        if np.isfinite(r[t]).all():
            f.update(z[t], R=np.diag(r[t]))
        xs.append(f.x.copy())
        ps.append(f.P.copy())
        qs.append(f.Q.copy())
    # filterpy's smoother takes Q[k] for the step from k to k + 1 when told so with index k + 1
    sx, sp, _, _ = f.rts_smoother(np.array(xs), np.array(ps), Fs=[f.F] * len(xs), Qs=qs)
    return np.array(xs), np.array(ps), sx, sp


@pytest.fixture
def walk() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    t = np.arange(40)[:, None]
    z = np.concatenate([100 + 3 * t, 80 + 10 * np.sin(t / 6), 3.5 + 0.01 * t], 1) + rng.normal(0, [2, 2, 0.05], (40, 3))
    r = NOISE.measured(np.exp(z[:, 2]))
    r[[7, 8, 9, 20]] = np.inf
    return z, r


def test_filter_is_filterpys(walk: tuple[np.ndarray, np.ndarray]) -> None:
    z, r = walk
    mean, cov = kalman.start(z[:1], r[:1], NOISE)  # a batch of one
    means, covs, qs = [mean], [cov], [np.zeros((1, 3))]
    for t in range(1, len(z)):
        qs.append(NOISE.process(np.exp(mean[:, 2, 0])))
        mean, cov = kalman.predict(mean, cov, qs[-1])
        mean, cov = kalman.update(mean, cov, z[t : t + 1], r[t : t + 1])
        means.append(mean)
        covs.append(cov)
    xs, ps, _, _ = reference(z, r, np.concatenate(qs))
    np.testing.assert_allclose(np.concatenate(means).reshape(-1, 6), xs, rtol=1e-6, atol=1e-6)
    for k in range(3):
        s = slice(2 * k, 2 * k + 2)
        np.testing.assert_allclose(np.concatenate(covs)[:, k], ps[:, s, s], rtol=1e-6, atol=1e-6)


def test_smoother_is_filterpys(walk: tuple[np.ndarray, np.ndarray]) -> None:
    z, r = walk
    mean, cov = kalman.start(z[0], r[0], NOISE)
    qs = [np.zeros(3)]
    for t in range(1, len(z)):
        qs.append(NOISE.process(np.exp(mean[2, 0])))
        mean, cov = kalman.predict(mean, cov, qs[-1])
        mean, cov = kalman.update(mean, cov, z[t], r[t])
    _, _, sx, sp = reference(z, r, np.array(qs))
    means, covs = kalman.smooth(z, r, NOISE)
    np.testing.assert_allclose(means.reshape(-1, 6), sx, rtol=1e-6, atol=1e-6)
    for k in range(3):
        s = slice(2 * k, 2 * k + 2)
        np.testing.assert_allclose(covs[:, k], sp[:, s, s], rtol=1e-6, atol=1e-6)


def test_a_batch_is_its_rows(walk: tuple[np.ndarray, np.ndarray]) -> None:
    z, r = walk
    mean, cov = kalman.start(z[:3], r[:3], NOISE)
    q = NOISE.process(np.exp(z[:3, 2]))
    together = kalman.update(*kalman.predict(mean, cov, q), z[3:6], r[3:6])
    for i in range(3):
        alone = kalman.update(*kalman.predict(mean[i], cov[i], q[i]), z[3 + i], r[3 + i])
        np.testing.assert_allclose(together[0][i], alone[0])
        np.testing.assert_allclose(together[1][i], alone[1])


def test_noise_grows_with_the_face() -> None:
    small, large = NOISE.measured(np.array(20.0)), NOISE.measured(np.array(200.0))
    np.testing.assert_allclose(large[:2], 100 * small[:2])
    assert large[2] == small[2]


def test_smoothing_does_not_lag_under_acceleration() -> None:
    t = np.arange(60.0)
    z = np.stack([0.5 * t**2, np.full(60, 90.0), np.full(60, np.log(60.0))], 1)  # 1 px per frame and frame
    means, _ = kalman.smooth(z, NOISE.measured(np.full(60, 60.0)), NOISE)
    assert np.abs(means[5:-5, 0, 0] - z[5:-5, 0]).max() < 0.5
