"""Which faces can be swapped, frame by frame, and how a face goes over into the cover and back.

Small, turned and badly seen faces are not swapped: recognisers take anybody for anybody there, or the new face would
not fit. They are covered, and counted by reason.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vidanon.config import SwapSettings
from vidanon.faces.mesh_points import eye_distance, yaw
from vidanon.types import FloatArray

NO_MESH = "no landmarks"
SMALL = "too small to be swapped"
TURNED = "turned away"
UNSURE = "not clearly seen"
SHORT = "seen too shortly"
NO_DONOR = "no donor was different enough"
_SHORTEST = 0.4  #: s: a face is not swapped for less
_FADE = 0.2  #: s from the cover to the new face


@dataclass(frozen=True)
class Gated:
    """One track over consecutive frames."""

    share: FloatArray  #: (T,) 1 the new face, 0 the cover, between while one goes over into the other
    reasons: tuple[str, ...]  #: (T,) why not wholly swapped; "" where it is


def gate(
    meshes: FloatArray, confidence: FloatArray, rate: float, settings: SwapSettings, *, fresh: bool, before: float
) -> Gated:
    """meshes (T, 468, 3) coded px, NaN where there is none; confidence (T,); rate: frames a second.

    fresh: the track begins here, so nothing has to be faded in; before: the share in the frame before, where not.
    """
    reasons = [_reason(mesh, float(sure), settings) for mesh, sure in zip(meshes, confidence, strict=True)]
    good = np.array([not reason for reason in reasons])
    shortest = max(1, round(_SHORTEST * rate))
    for start, stop in _runs(good):
        whole = (
            stop - start >= shortest
            or stop == len(good)
            or (start == 0 and (before > 0 or (fresh and stop == len(good))))
        )
        if not whole:
            good[start:stop] = False
            reasons[start:stop] = [SHORT] * (stop - start)
    share = good.astype(np.float32)
    step = 1 / max(1, round(_FADE * rate))
    rising = 1.0 if fresh and len(good) and good[0] else before
    for i in range(len(good)):
        rising = min(1.0, rising + step) if good[i] else 0.0
        share[i] = min(share[i], rising)
    falling = 1.0
    for i in reversed(range(len(good))):
        falling = min(1.0, falling + step) if good[i] else 0.0
        share[i] = min(share[i], falling)
    return Gated(share, tuple(reasons))


def _reason(mesh: FloatArray, confidence: float, settings: SwapSettings) -> str:
    if not np.isfinite(mesh).all():
        return NO_MESH
    if float(eye_distance(mesh)) < settings.min_eyes:
        return SMALL
    if abs(float(yaw(mesh))) > settings.max_yaw:
        return TURNED
    if not confidence >= settings.min_confidence:
        return UNSURE
    return ""


def _runs(good: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
