"""The leak gate: look at what was really encoded before it may be committed.

Four questions about a segment that has been encoded and decoded again:

1. Are these the frames that went in, each at its own pts?
2. Is every planned face region what the protector made of it, and no longer what the source showed?
3. Does a detector find a face where the plan has none?
4. Does a recogniser still know the face of a track? (:mod:`vidanon.likeness`; solid covers are not asked about.)

Question 2 is asked on luma. What the region should be is known (``wanted``), so the codec's own error is the
only difference allowed. That it is not the source any more is measured as *surviving detail*: the share of
the source's fine structure (a Gaussian high-pass at 1/24 of the face) that is still there, as the regression
coefficient of the output's fine structure on the source's. An untouched face has 1, a solid fill 0. Where another face
was drawn, what that face explains is not counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from vidanon.detect.base import Detector
from vidanon.likeness import Likeness
from vidanon.media.planes import luma, view
from vidanon.types import Detection, FloatArray, Frame, PlanRow

MAX_CODEC_ERROR = 0.08  #: mean |decoded - wanted| of luma in [0, 1] over the face box
MAX_SURVIVING_DETAIL = 0.35  #: see the module's docstring
MIN_DETAIL = 0.004  #: standard deviation of the source's fine structure below which there is nothing to survive
TOO_ALIKE = 0.8  #: correlation of the fine structure of a drawn face with the source's: it is the same face
MIN_PIXELS = 64  #: of a drawn face, below which nothing is known of it
MISSED_FACE_SCORE = 0.85  #: as for the birth of a track: one look is enough
SIZE = "came back from the encoder in another size"
CHANGED = "came back from the encoder changed"
SURVIVED = "detail of the face survived"
KNOWN = "a recogniser still knew the face"
VIEW_SIDE = 960  #: longer side of the view the light detector pass looks at


@dataclass(frozen=True)
class Wanted:
    """A face region as the protector left it, kept from before the encoder."""

    row: PlanRow
    luma: FloatArray  #: (h, w) of the face box clipped to the picture, [0, 1]
    solid: bool = False  #: one colour: nothing is left that a recogniser could know
    #: what was drawn there, luma (h, w), and (h, w) where; None: nothing of the box stays as it was
    drawn: tuple[FloatArray, npt.NDArray[np.bool_]] | None = None
    #: (h, w) where another face was drawn, and is asked about itself; None: nowhere
    others: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Eyes:
    """What looks at the output besides the comparison with what was wanted."""

    detector: Detector | None = None  #: for faces outside the plan
    likeness: Likeness | None = None  #: for faces that are still known


@dataclass
class Findings:
    """What is wrong with a segment; empty when it may be committed."""

    rows: dict[tuple[int, int], str] = field(default_factory=dict)  #: (frame, track) -> reason
    missed: dict[int, list[Detection]] = field(default_factory=dict)  #: frame -> faces (coded px) outside the plan
    known: dict[int, float] = field(default_factory=dict)  #: track -> median similarity, where it is still recognised
    stream: str = ""  #: frames or pts are wrong: nothing to cover, the segment is unusable
    worst_detail: float = 0.0
    faces: int = 0  #: face-frames looked at
    looked: int = 0  #: frames a detector looked at

    @property
    def clean(self) -> bool:
        return not (self.rows or self.missed or self.known or self.stream)


def verify(
    source: Sequence[Frame],
    decoded: Iterable[Frame],
    wanted: Mapping[int, Sequence[Wanted]],
    planned: Mapping[int, Sequence[FloatArray]],
    eyes: Eyes,
    look_at: frozenset[int],
) -> Findings:
    """Compare ``decoded`` with ``source`` frame by frame; stops reading at the first wrong frame.

    ``wanted``: by frame index, the protected rows. ``planned``: by frame index, every box (protected, kept,
    covered) scaled to what is covered: a detection centred in one of them is known. ``look_at``: indices that
    ``eyes`` look at.
    """
    found = Findings()
    tally = None if eyes.likeness is None else eyes.likeness.begin()
    count = 0
    for out in decoded:
        if count >= len(source):
            found.stream = f"{count + 1} frames came back, {len(source)} went in"
            return found
        frame = source[count]
        count += 1
        if out.pts * out.time_base != frame.pts * frame.time_base:
            found.stream = f"frame {frame.index} came back at {out.pts}, not {frame.pts}"
            return found
        for want in wanted.get(frame.index, ()):
            reason = _check(frame, out, want, found)
            if reason:
                found.rows[(frame.index, want.row.track)] = reason
        if frame.index not in look_at:
            continue
        if eyes.detector is not None:
            found.looked += 1
            missed = _missed(out, eyes.detector, planned.get(frame.index, ()))
            if missed:
                found.missed[frame.index] = missed
        if tally is not None:
            for want in wanted.get(frame.index, ()):
                if not want.solid:
                    tally.look(frame, out, want.row)
    if tally is not None:
        found.known = tally.known()
    if count != len(source):
        found.stream = f"{count} frames came back, {len(source)} went in"
    return found


def face_luma(frame: Frame, box: FloatArray) -> FloatArray:
    """(h, w) luma in [0, 1] of the pixels that (4,) ``box`` touches; empty where it lies outside the picture."""
    x0, y0 = (max(0, math.floor(v)) for v in box[:2])
    x1, y1 = min(frame.width, math.ceil(box[2])), min(frame.height, math.ceil(box[3]))
    if x0 >= x1 or y0 >= y1:
        return np.zeros((0, 0), np.float32)
    return luma(frame, (x0, y0, x1, y1))


def surviving_detail(source: FloatArray, output: FloatArray, others: npt.NDArray[np.bool_] | None = None) -> float:
    """Share of the source's fine structure still in the output: (h, w) luma each, 0 where the source has none.

    others: (h, w) left out.
    """
    a, b = _fine(source), _fine(output)
    if others is not None:
        a, b = a[~others], b[~others]
    if a.size == 0 or float(a.std()) < MIN_DETAIL:
        return 0.0
    return float((a * b).sum() / (a * a).sum())


def unexplained_detail(
    source: FloatArray, output: FloatArray, drawn: FloatArray, within: npt.NDArray[np.bool_]
) -> float:
    """Share of the source's fine structure in the output beyond what another face, ``drawn`` in its place, has in
    common with it: the source's coefficient where the output is regressed on both. (h, w) luma each.

    Any two faces in the same place have eyes and brows there, so plain :func:`surviving_detail` says .3 to .75 of a
    stranger. 1 where what was drawn is the source (a correlation above TOO_ALIKE) or where nothing was.
    """
    if within.sum() < MIN_PIXELS:
        return 1.0
    a, b, c = (_fine(picture)[within].astype(np.float64) for picture in (source, output, drawn))
    a, b, c = a - a.mean(), b - b.mean(), c - c.mean()
    saa, scc, sac = float(a @ a), float(c @ c), float(a @ c)
    if math.sqrt(saa / len(a)) < MIN_DETAIL:
        return 0.0
    if sac > TOO_ALIKE * math.sqrt(saa * scc):
        return 1.0
    spread = saa * scc - sac * sac
    return float((a @ b) * scc - (c @ b) * sac) / spread if spread > 0 else float(a @ b) / saa


def _fine(picture: FloatArray) -> FloatArray:
    sigma = max(0.6, max(picture.shape) / 24.0)
    return np.asarray(picture - cv2.GaussianBlur(picture, (0, 0), sigma), np.float32)


def _check(frame: Frame, out: Frame, want: Wanted, found: Findings) -> str:
    box = want.row.box
    source, output = face_luma(frame, box), face_luma(out, box)
    if source.size == 0:
        return ""
    found.faces += 1
    if output.shape != want.luma.shape:
        return SIZE
    error = float(np.abs(output - want.luma).mean())
    if not error <= MAX_CODEC_ERROR:  # also catches NaN
        return CHANGED
    drawn = want.drawn
    if drawn is None:
        detail = surviving_detail(source, output, want.others)
    else:
        detail = unexplained_detail(source, output, *drawn)
    found.worst_detail = max(found.worst_detail, detail)
    if not detail <= MAX_SURVIVING_DETAIL:
        return SURVIVED
    return ""


def _missed(out: Frame, detector: Detector, known: Sequence[FloatArray]) -> list[Detection]:
    seen = view(out, VIEW_SIDE)
    missed = []
    for found in detector.detect([seen.rgb])[0]:
        if found.score < MISSED_FACE_SCORE:
            continue
        coded = to_coded(found, seen.to_coded)
        x, y = (coded.box[0] + coded.box[2]) / 2, (coded.box[1] + coded.box[3]) / 2
        if not any(b[0] <= x <= b[2] and b[1] <= y <= b[3] for b in known):
            missed.append(coded)
    return missed


def to_coded(found: Detection, transform: FloatArray) -> Detection:
    """A detection in view pixels as one in coded pixels; the box stays axis-aligned (views turn by 90 degrees only)."""
    box = found.box.reshape(2, 2) @ transform[:, :2].T + transform[:, 2]
    marks = None if found.landmarks is None else found.landmarks @ transform[:, :2].T + transform[:, 2]
    low, high = box.min(0), box.max(0)
    return Detection(
        np.concatenate([low, high]).astype(np.float32),
        found.score,
        None if marks is None else marks.astype(np.float32),
        found.detector,
    )
