"""From what was measured along a track to what is covered: smooth in time, never smaller than measured.

A Rauch-Tung-Striebel smoother takes the jitter out of position and size, looking both ways, so that it does not lag.
Where smoothing would uncover a part of a measured box, the box gets that margin back, widened and rounded over the
neighbouring frames, so that the margin does not flicker either.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from vidanon.track import kalman
from vidanon.track.base import Boxes, to_boxes, to_state

_NOISE = kalman.Noise()


def smoothed(boxes: Boxes, trust: npt.NDArray[np.float64], span: int) -> Boxes:
    """Smooth one track.

    ``boxes`` (T, 4) px, one per consecutive frame; ``trust`` (T,): 1 for a detector's box, more for a better
    measurement, 0 for a guess, which is covered but steers nothing; ``span``: frames between two full detections.
    Returns (T, 4): each holds the box given for its frame.
    """
    if len(boxes) == 1:
        return boxes.copy()
    z, aspect = to_state(boxes)
    weight = trust.copy()
    if not (weight > 0).any():
        weight[:] = 1.0
    known = np.flatnonzero(weight > 0)
    first, last = int(known[0]), int(known[-1])
    with np.errstate(divide="ignore"):
        r = _NOISE.measured(np.exp(z[:, 2])) / weight[:, None]
    middle = slice(first, last + 1)
    mean, _ = kalman.smooth(z[middle], r[middle], _NOISE)
    state = z.copy()  # guesses before the first and after the last measurement stay as they are
    state[middle] = mean[:, :, 0]
    aspect = uniform_filter1d(aspect, 2 * span + 1, mode="nearest")
    return enclose(to_boxes(state, aspect), boxes, span)


def enclose(boxes: Boxes, inner: Boxes, span: int) -> Boxes:
    """``boxes`` (T, 4) with the margins, even over ``span`` frames either way, that make them hold ``inner`` (T, 4)."""
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    margin = np.maximum(np.concatenate([boxes[:, :2] - inner[:, :2], inner[:, 2:] - boxes[:, 2:]], 1), 0.0)
    share = margin / np.tile(size, 2)
    # The mean over a window of the maxima over windows as wide is at least the value in the middle.
    width = 2 * span + 1
    share = uniform_filter1d(maximum_filter1d(share, width, axis=0, mode="nearest"), width, axis=0, mode="nearest")
    wide = share * np.tile(size, 2)
    out = np.concatenate([boxes[:, :2] - wide[:, :2], boxes[:, 2:] + wide[:, 2:]], 1)
    # Rounding of the running mean must not cost a hair of the measured box.
    return np.concatenate([np.minimum(out[:, :2], inner[:, :2]), np.maximum(out[:, 2:], inner[:, 2:])], 1)
