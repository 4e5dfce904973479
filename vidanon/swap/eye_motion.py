"""Gaze over time: steadied between the jumps of the eyes, carried on while they are closed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from vidanon.types import FloatArray

_AROUND = 0.06  #: s: standard deviation of the weights around a moment
_MEDIAN = 2  #: frames to each side that a median looks at: a fixation lasts longer, an outlier less
_ALIKE = 1.5  #: times the noise: gazes farther apart than that are different gazes
_NOISE = (0.01, 0.06)  #: shares of the eye's width: never taken for less or more


def smooth_gaze(gazes: npt.NDArray[Any], confidence: npt.NDArray[Any], rate: float) -> FloatArray:
    """(T, 2) gazes, one a frame of one track without a cut, NaN where not known -> the same, steadied and without gaps.

    confidence: (T,) 0..1, how much each counts; rate: frames a second. Jumps stay as quick as they are. In a gap the
    gaze before it is held for its first half, the one after it for the second: eyes jump while they are closed. All
    NaN where nothing is known. ValueError for another shape.
    """
    if gazes.ndim != 2 or gazes.shape[1] != 2 or confidence.shape != (len(gazes),):
        raise ValueError(f"gazes {gazes.shape}, confidence {confidence.shape}: (T, 2) and (T,) wanted")
    if not rate > 0:
        raise ValueError(f"rate {rate}: more than 0 wanted")
    known = np.isfinite(gazes).all(1) & (confidence > 0)
    out = np.full(gazes.shape, np.nan, np.float32)
    if not known.any():
        return out
    at = np.flatnonzero(known)
    values = gazes[at].astype(np.float64)
    weight = confidence[at].astype(np.float64)
    middle = _median(values, weight, at)
    noise = float(np.clip(1.4826 * np.median(np.abs(values - middle)), *_NOISE))
    reach = int(np.ceil(3 * _AROUND * rate))
    total, mass = np.zeros_like(values), np.zeros(len(values))
    for shift in range(-reach, reach + 1):
        i, j = _pairs(len(at), shift)
        seconds = (at[j] - at[i]) / rate
        apart = np.linalg.norm(middle[j] - middle[i], axis=1) / (_ALIKE * noise)
        # what one frame says counts where its neighbours say the same, else what they say
        stray = np.linalg.norm(values[j] - middle[j], axis=1) / (2 * _ALIKE * noise)
        w = weight[j] * np.exp(-0.5 * ((seconds / _AROUND) ** 2 + apart**4)) + 1e-12
        share = np.exp(-0.5 * stray**4)[:, None]
        total[i] += w[:, None] * (share * values[j] + (1 - share) * middle[j])
        mass[i] += w
    steady = total / mass[:, None]
    frames = np.arange(len(gazes))
    after = np.searchsorted(at, frames).clip(0, len(at) - 1)
    before = (after - (at[after] > frames)).clip(0)
    nearest = np.where(np.abs(at[after] - frames) < np.abs(at[before] - frames), after, before)
    out[:] = steady[nearest]
    return out


def _median(values: npt.NDArray[np.float64], weight: npt.NDArray[np.float64], at: npt.NDArray[np.intp]) -> Any:
    """(n, 2): the weighted median of each value and its neighbours in time."""
    shifts = range(-_MEDIAN, _MEDIAN + 1)
    around = np.full((len(shifts), *values.shape), np.nan)
    weights = np.zeros((len(shifts), len(values)))
    for k, shift in enumerate(shifts):
        i, j = _pairs(len(values), shift)
        near = np.abs(at[j] - at[i]) <= _MEDIAN
        around[k, i[near]] = values[j[near]]
        weights[k, i[near]] = weight[j[near]]
    out = np.empty_like(values)
    for axis in range(2):
        order = np.argsort(around[:, :, axis], axis=0)  # NaN last
        sums = np.cumsum(np.take_along_axis(weights, order, 0), 0)
        pick = (sums >= sums[-1] / 2).argmax(0)
        ranked = np.take_along_axis(around[:, :, axis], order, 0)
        out[:, axis] = ranked[pick, np.arange(len(values))]
    return out


def _pairs(count: int, shift: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Indices i and i + shift, both of which exist."""
    i = np.arange(max(0, -shift), max(0, min(count, count - shift)))
    return i, i + shift
