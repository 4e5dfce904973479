"""Does the new face move, look and last like the old one? Landmarks, gaze, sharpness, and whether a face is there.

The judge of landmarks is the dense mesh that taught ours: four looks at source and output each, and their mean. It
also says whether the output shows a face at all: a cover has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from tests.bench.swap_tone import tone
from vidanon.evaluate.bootstrap import Interval, bootstrap
from vidanon.faces.mesh import MeshFinder
from vidanon.faces.mesh_points import LEFT_LIDS, LIPS, OVAL, RIGHT_LIDS, eye_distance, openness
from vidanon.runtime.device import Runtime
from vidanon.swap.iris import find_irises, gaze
from vidanon.train.mesh_check import errors
from vidanon.train.mesh_teacher import Anatomy, MeshTeacher, around
from vidanon.types import ByteArray, FloatArray

SHOWN = 0.5  #: presence from which the output shows a face
_FINE = 0.03  #: sigma, share of the eye distance: what is finer is detail
_INNER = 0.85  #: of the oval whose detail counts


@dataclass(frozen=True)
class Judged:
    """One face in one frame, errors as shares of the source's eye distance."""

    shown: bool  #: whether the output shows a face
    landmarks: float  #: mean distance of the 468 points, by the teacher; NaN where no face is shown
    ours: float  #: the same by our own network
    noise: float  #: teacher against our own network, both on the source: what the networks themselves disagree
    lids: float  #: error of how far the lids are open
    lips: float
    gaze: float  #: NaN where unknown
    sharpness: float  #: detail of the output over that of the source
    tone: float  #: degrees between the skin tones of source and output; NaN where no face is shown


@dataclass
class Quality:
    """What is known of all faces; a list each."""

    judged: list[Judged] = field(default_factory=list)
    tracks: list[str] = field(default_factory=list)

    def values(self, name: str) -> FloatArray:
        """(N,) those of one figure that are known."""
        values = np.array([getattr(j, name) for j in self.judged], np.float32)
        return values[np.isfinite(values)]

    def of_tracks(self, name: str) -> Interval | None:
        """Mean over all face-frames; the interval draws tracks."""
        values = np.array([getattr(j, name) for j in self.judged], np.float64)
        known = np.isfinite(values)
        if not known.any():
            return None
        groups = np.array(self.tracks)[known]
        return bootstrap(lambda v: float(v.mean()), values[known], groups=groups, draws=500)


class QualityJudge:
    """Loads the networks once."""

    def __init__(self, data: Path, finder: MeshFinder, runtime: Runtime) -> None:
        self._teacher = MeshTeacher(data / "landmarks" / "facemesh468.onnx", runtime)
        self._anatomy = Anatomy(finder.mean, finder.mirror.astype(np.int64), finder.triangles.astype(np.int64))
        self._finder = finder

    def shows(self, picture: ByteArray, marks: FloatArray) -> bool:
        """Whether there is a face at the source's landmarks ``marks`` (5, 2); the teacher's third look says."""
        first = self._teacher.first(picture, marks)
        _, presence = self._teacher.look(picture, [around(first)], [False])
        return bool(1 / (1 + np.exp(-float(presence[0]))) >= SHOWN)

    def __call__(self, source: ByteArray, output: ByteArray, mesh: FloatArray, marks: FloatArray) -> Judged:
        """(h, w, 3) RGB of both; the source's mesh (468, 3) by our own network and landmarks (5, 2)."""
        before, _, _ = self._teacher.steady(source, self._teacher.first(source, marks), self._anatomy)
        after, presence, _ = self._teacher.steady(output, self._teacher.first(output, marks), self._anatomy)
        shown = presence >= SHOWN
        noise = float(errors(mesh[None], before[None])[0])
        sharpness = detail(output, before) / max(1e-6, detail(source, before))
        if not shown:
            nan = float("nan")
            return Judged(False, nan, nan, noise, nan, nan, nan, sharpness, nan)
        again = self._finder.detect_picture(output, np.zeros((1, 4), np.float32), marks[None]).points
        lids = [abs(openness(after, pairs) - openness(before, pairs)) for pairs in (RIGHT_LIDS, LEFT_LIDS)]
        return Judged(
            shown=True,
            landmarks=float(errors(after[None], before[None])[0]),
            ours=float(errors(again, mesh[None])[0]),
            noise=noise,
            lids=float(np.mean(lids)),
            lips=float(abs(openness(after, LIPS) - openness(before, LIPS))),
            gaze=gaze_error(source, output, before, after),
            sharpness=sharpness,
            tone=tone_error(source, output, before, after),
        )


def tone_error(source: ByteArray, output: ByteArray, before: FloatArray, after: FloatArray) -> float:
    """Degrees between the skin tones of the cheeks; NaN where one has none."""
    a, b = tone(source, before), tone(output, after)
    return float("nan") if a is None or b is None else abs(a - b)


def detail(rgb: ByteArray, mesh: FloatArray) -> float:
    """Root mean square of the luma that is finer than _FINE of the eye distance, inside the face."""
    eyes = float(eye_distance(mesh))
    oval = mesh[list(OVAL), :2]
    oval = (oval - oval.mean(0)) * _INNER + oval.mean(0)
    margin = 0.2 * eyes
    (x0, y0), (x1, y1) = np.floor(oval.min(0) - margin), np.ceil(oval.max(0) + margin)
    left, top = max(0, int(x0)), max(0, int(y0))
    part = rgb[top : max(top, int(y1)), left : max(left, int(x1))]
    if min(part.shape[:2]) < 4:
        return 0.0
    grey = np.asarray(cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY), np.float32)
    fine = grey - cv2.GaussianBlur(grey, (0, 0), max(0.5, _FINE * eyes))
    inside = np.zeros(grey.shape, np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull(np.rint(oval - (left, top)).astype(np.int32)), 1)
    return float(np.sqrt((fine[inside > 0] ** 2).mean())) if inside.any() else 0.0


def gaze_error(source: ByteArray, output: ByteArray, before: FloatArray, after: FloatArray) -> float:
    """How far the output looks elsewhere, shares of an eye's width; NaN where either's irises are not to be trusted."""
    a, b = (gaze(find_irises(rgb, mesh), mesh) for rgb, mesh in ((source, before), (output, after)))
    return float(np.linalg.norm(a - b))


def figures(quality: Quality) -> dict[str, Any]:
    """Means with intervals, and the spread of sharpness."""
    sharp = np.array([j.sharpness for j in quality.judged if j.shown], np.float32)
    names = ("landmarks", "ours", "noise", "lids", "lips", "gaze", "tone")
    return {
        **{name: quality.of_tracks(name) for name in names},
        "gaze_known": int(len(quality.values("gaze"))),
        "faces": len(quality.judged),
        "landmarks_95": _quantile(quality.values("landmarks"), 0.95),
        "sharpness": {f"{100 * q:.0f}": _quantile(sharp, q) for q in (0.1, 0.5, 0.9)},
    }


def _quantile(values: FloatArray, q: float) -> float | None:
    return float(np.quantile(values, q)) if len(values) else None


def left_out(reasons: Sequence[str]) -> dict[str, int]:
    """Reason -> face-frames, most first; "" is those that count."""
    return dict(Counter(reasons).most_common())
