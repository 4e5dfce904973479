"""Constant-velocity Kalman filter and Rauch-Tung-Striebel smoother, batched, on (cx, cy, log size).

The three coordinates do not mix, so each is a filter of two states (value, velocity per frame) and the whole
batch is a handful of array operations. Noise is proportional to the size of the face: a large face moves and is
measured with errors of more pixels than a small one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """Standard deviations; positions in shares of the face's size, size as a change of its logarithm."""

    accel: float = 0.03  #: of the velocity per frame
    accel_size: float = 0.012
    measure: float = 0.05  #: of a detector's box centre
    measure_size: float = 0.06
    start_speed: float = 0.3  #: of the unknown first velocity, per frame
    start_growth: float = 0.05

    def process(self, size: Array) -> Array:
        """(...,) sizes in px -> (..., 3) variance of the acceleration."""
        sigma = np.asarray(size)[..., None] * np.array([self.accel, self.accel, 0.0])
        sigma[..., 2] = self.accel_size
        return np.asarray(sigma**2)

    def measured(self, size: Array) -> Array:
        """(...,) sizes in px -> (..., 3) variance of a measurement."""
        sigma = np.asarray(size)[..., None] * np.array([self.measure, self.measure, 0.0])
        sigma[..., 2] = self.measure_size
        return np.asarray(sigma**2)


def start(z: Array, r: Array, noise: Noise = Noise()) -> tuple[Array, Array]:
    """First measurement (..., 3) with variance r (..., 3) -> mean (..., 3, 2), covariance (..., 3, 2, 2)."""
    z, r = np.asarray(z, np.float64), np.asarray(r, np.float64)
    size = np.exp(z[..., 2])
    mean = np.stack([z, np.zeros_like(z)], -1)
    cov = np.zeros((*z.shape, 2, 2))
    cov[..., 0, 0] = r
    cov[..., :2, 1, 1] = ((noise.start_speed * size) ** 2)[..., None]
    cov[..., 2, 1, 1] = noise.start_growth**2
    return mean, cov


def predict(mean: Array, cov: Array, q: Array) -> tuple[Array, Array]:
    """One frame on: x + v, v; ``q`` (..., 3) is the variance of the acceleration."""
    out = mean.copy()
    out[..., 0] += mean[..., 1]
    p = np.empty_like(cov)
    p[..., 1, 1] = cov[..., 1, 1] + q
    p[..., 0, 1] = p[..., 1, 0] = cov[..., 0, 1] + cov[..., 1, 1] + q / 2
    p[..., 0, 0] = cov[..., 0, 0] + 2 * cov[..., 0, 1] + cov[..., 1, 1] + q / 4
    return out, p


def update(mean: Array, cov: Array, z: Array, r: Array) -> tuple[Array, Array]:
    """Take in a measurement z (..., 3) of variance r (..., 3); r = inf: nothing was measured."""
    gain = cov[..., :, 0] / (cov[..., 0, 0] + r)[..., None]
    out = mean + gain * np.where(np.isfinite(r), z - mean[..., 0], 0.0)[..., None]
    p = cov - gain[..., :, None] * cov[..., None, 0, :]
    return out, p


def smooth(z: Array, r: Array, noise: Noise = Noise()) -> tuple[Array, Array]:
    """Rauch-Tung-Striebel over one track.

    ``z`` (T, 3) measurements of consecutive frames, ``r`` (T, 3) their variances (inf: missing; the first frame
    must be measured). Returns mean (T, 3, 2) and covariance (T, 3, 2, 2) given all of them.
    """
    count = len(z)
    means, covs = np.empty((count, 3, 2)), np.empty((count, 3, 2, 2))
    ahead_means, ahead_covs = np.empty_like(means), np.empty_like(covs)
    mean, cov = start(z[0], r[0], noise)
    means[0], covs[0] = mean, cov
    for t in range(1, count):
        q = noise.process(np.exp(np.clip(mean[2, 0], -20.0, 20.0)))
        mean, cov = predict(mean, cov, q)
        ahead_means[t], ahead_covs[t] = mean, cov
        mean, cov = update(mean, cov, z[t], r[t])
        means[t], covs[t] = mean, cov
    for t in range(count - 2, -1, -1):
        # Smoother gain C = P F' (P-)^-1 with F' = [[1, 0], [1, 1]] and a 2 x 2 inverse written out.
        p, ahead = covs[t], ahead_covs[t + 1]
        pf = np.stack([p[..., 0] + p[..., 1], p[..., 1]], -1)
        det = ahead[:, 0, 0] * ahead[:, 1, 1] - ahead[:, 0, 1] * ahead[:, 1, 0]
        inverse = np.empty_like(ahead)
        inverse[:, 0, 0], inverse[:, 1, 1] = ahead[:, 1, 1], ahead[:, 0, 0]
        inverse[:, 0, 1], inverse[:, 1, 0] = -ahead[:, 0, 1], -ahead[:, 1, 0]
        gain = pf @ (inverse / det[:, None, None])
        means[t] += (gain @ (means[t + 1] - ahead_means[t + 1])[..., None])[..., 0]
        covs[t] = p + gain @ (covs[t + 1] - ahead) @ np.swapaxes(gain, -1, -2)
    return means, covs
