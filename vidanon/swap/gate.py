"""Which faces can be swapped, frame by frame, and how a face goes over into the cover and back.

Small, turned and badly seen faces are not swapped: recognisers take anybody for anybody there, or the new face would
not fit. They are covered, and counted by reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vidanon.config import SwapSettings
from vidanon.faces.blend import MIDDLE
from vidanon.faces.cover import grown
from vidanon.faces.mesh_points import OVAL, eye_distance, yaw
from vidanon.swap.poses import Seen
from vidanon.types import FloatArray

NO_MESH = "no landmarks"
SMALL = "too small to be swapped"
TURNED = "turned away"
ASTRAY = "landmarks beside the face"
UNSURE = "not clearly seen"
CROWDED = "overlaps another face"
SHORT = "seen too shortly"
UNCAST = "never seen well enough to choose a donor"
NO_DONOR = "no donor was different enough"
_MIDDLE = 1.05 * MIDDLE  #: share of the box that a new face has to cover
_INSIDE = 0.03  #: share of the eye distance that eyes and nose lie within the oval at least
_CORNER = 0.0  #: the same of the corners of the mouth: a turned face has one on its rim
_OUTSIDE = 0.04  #: that one may lie beyond it while a swapped face turns: detectors are as far off
_FURTHER = 5.0  #: degrees that a face may be turned further while it goes over
_SHORTEST = 0.4  #: s: a face is not swapped for less
_FADE = 0.2  #: s from the cover to the new face


@dataclass(frozen=True)
class Gated:
    """One track over consecutive frames."""

    share: FloatArray  #: (T,) 1 the new face, 0 the cover, between while one goes over into the other
    reasons: tuple[str, ...]  #: (T,) why not wholly swapped; "" where it is


def gate(
    seen: Seen,
    meshes: FloatArray,
    crowded: Sequence[bool],
    rate: float,
    settings: SwapSettings,
    *,
    fresh: bool,
    before: float,
) -> Gated:
    """seen: T faces of one track; meshes (T, 468, 3) theirs, steadied, NaN where there is none; crowded: (T,) whether a
    new face that is painted later lies over it; rate: frames a second.

    fresh: the track begins here, so nothing has to be faded in; before: the share in the frame before, where not.
    """
    fading = max(1, round(_FADE * rate))
    reasons = _reasons(seen, meshes, settings, fading, held=not fresh and before > 0)
    reasons = [CROWDED if beside and not why else why for why, beside in zip(reasons, crowded, strict=True)]
    good = np.array([not reason for reason in reasons])
    shortest = max(1, round(_SHORTEST * rate))
    for start, stop in _runs(good):
        if stop - start < shortest and stop < len(good) and not (start == 0 and before > 0):
            good[start:stop] = False
            reasons[start:stop] = [SHORT] * (stop - start)
    share = good.astype(np.float32)
    step = 1 / fading
    rising = 1.0 if fresh and len(good) and good[0] else before
    for i in range(len(good)):
        rising = min(1.0, rising + step) if good[i] else 0.0
        share[i] = min(share[i], rising)
    falling = 1.0
    for i in reversed(range(len(good))):
        falling = min(1.0, falling + step) if good[i] else 0.0
        share[i] = min(share[i], falling)
    return Gated(share, tuple(reasons))


def _reasons(seen: Seen, meshes: FloatArray, settings: SwapSettings, fading: int, held: bool) -> list[str]:
    """held: whether it was swapped in the frame before; fading: frames that going over takes.

    Who is swapped before or after stays so a little further than others become it (a threshold with hysteresis, in both
    directions of time), and while it goes over it may be turned further: a face that turns goes into its cover once,
    and while it is turned away.
    """
    faces = [_Face.of(*each) for each in zip(meshes, seen.confidence.tolist(), seen.boxes, seen.landmarks, strict=True)]
    reasons, loose, turning = (
        [face.reason(settings, inside, further) for face in faces]
        for inside, further in ((_CORNER, 0.0), (-_OUTSIDE, 0.0), (-_OUTSIDE, _FURTHER))
    )
    for start, stop in _runs(np.array([not why for why in loose])):
        if not all(reasons[start:stop]) or (start == 0 and held):
            reasons[start:stop] = [""] * (stop - start)
    swapped = [*([0] if held else []), *(i + 1 for i, why in enumerate(reasons) if not why)]
    for i, why in enumerate(turning):
        if not why and any(abs(i + 1 - at) <= fading for at in swapped):
            reasons[i] = ""
    return reasons


@dataclass(frozen=True)
class _Face:
    """What is asked of a face in one frame."""

    confidence: float
    unit: float  #: px between the eyes; NaN where there is no mesh
    turned: float  #: degrees
    corners: float  #: px that the corners of the mouth lie within the oval at least
    others: float  #: the same of the other landmarks, beyond what is wanted of them

    @classmethod
    def of(cls, mesh: FloatArray, confidence: float, box: FloatArray, marks: FloatArray) -> _Face:
        """Where its landmarks are not known, the oval has to hold the middle of its box."""
        if not np.isfinite(mesh).all():
            return cls(confidence, np.nan, np.nan, np.nan, np.nan)
        oval = mesh[list(OVAL), :2].astype(np.float32)
        known = bool(np.isfinite(marks).all())
        x0, y0, x1, y1 = grown(box, _MIDDLE)
        held = marks.tolist() if known else ((x0, y0), (x1, y0), (x1, y1), (x0, y1))
        depths = np.array([cv2.pointPolygonTest(oval, (float(x), float(y)), True) for x, y in held])
        unit = float(eye_distance(mesh))
        corners, others = (depths[3:].min(), depths[:3].min() - _INSIDE * unit) if known else (np.inf, depths.min())
        return cls(confidence, unit, abs(float(yaw(mesh))), float(corners), float(others))

    def reason(self, settings: SwapSettings, inside: float, further: float) -> str:
        """Why it is not swapped. inside: share of the eye distance that the corners of the mouth lie within the oval at
        least; further: degrees that it may be turned beyond what is set."""
        if np.isnan(self.unit):
            return NO_MESH
        if self.unit < settings.min_eyes:
            return SMALL
        if self.turned > settings.max_yaw + further:
            return TURNED
        if not self.confidence >= settings.min_confidence:
            return UNSURE
        if not (self.others >= 0 and self.corners >= inside * self.unit):
            return ASTRAY
        return ""


def _runs(good: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
