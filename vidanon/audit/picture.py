"""What the picture says without any recogniser: detail left on faces, flicker, warp error, SSIM and PSNR."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon.audit.faces import Face
from vidanon.audit.inner import MAX_LIKENESS, inner_likeness
from vidanon.evaluate.metrics_image import ssim_map
from vidanon.faces.align import similarity
from vidanon.faces.cover import grown
from vidanon.recognise.base import ARCFACE_112
from vidanon.types import ByteArray, FloatArray
from vidanon.verify import MAX_SURVIVING_DETAIL, surviving_detail

MIN_BOX = 8.0  #: px; smaller faces have no detail to speak of
CANVAS = 56  #: px, of an aligned face whose flicker is measured
FLOW_SIDE = 128  #: px at most, of a face region whose flow is measured
AROUND = 1.7  #: what a cover with its soft edge may reach, over the face box
FLOWS = 6  #: faces of a frame whose warp error is measured
_SHOWN = 20


@dataclass
class Picture:
    """Sums over all frames."""

    faces: int = 0  #: face-frames looked at for detail
    clear: int = 0  #: of them, seen by a detector and showing the original
    clear_at: list[tuple[int, int]] = field(default_factory=list)  #: (frame, track) of the first ones
    clear_tracks: set[int] = field(default_factory=set)
    carried_clear: int = 0  #: the same where the track only carried the face on
    worst_detail: float = 0.0
    inner: bool = False  #: swap: clear is a face whose inner face is like the source's (:mod:`vidanon.audit.inner`)
    worst_likeness: float = 0.0  #: of those
    change: float = 0.0  #: flicker: sum of ||d_t - d_t-1||
    disguise: float = 0.0  #: sum of ||d_t|| in the same frames
    moved_in: float = 0.0  #: sum of ||s_t - s_t-1||, s the aligned face of the original, in the same frames
    moved_out: float = 0.0  #: the same of the output
    warp_in: float = 0.0
    warp_out: float = 0.0
    warped: int = 0
    frames: int = 0  #: frames whose SSIM and PSNR were taken
    errors: dict[str, list[float]] = field(default_factory=lambda: {"on": [0.0, 0.0, 0.0], "off": [0.0, 0.0, 0.0]})

    @property
    def flicker(self) -> float | None:
        """mean ||d_t - d_t-1|| / mean ||d_t||, d the output less the original on the aligned face; 0 is steady."""
        return self.change / self.disguise if self.disguise else None

    @property
    def still_flicker(self) -> float | None:
        """The flicker that a still picture in the face's place would have, for what moves in the original alone."""
        return self.moved_in / self.disguise if self.disguise else None

    @property
    def change_ratio(self) -> float | None:
        """Change of the aligned face from frame to frame, the output's over the original's; 1 is as lively."""
        return self.moved_out / self.moved_in if self.moved_in else None

    @property
    def warp(self) -> float | None:
        """Error of the picture before, moved along the original's flow: the output's over the original's own."""
        return self.warp_out / self.warp_in if self.warp_in else None

    def psnr(self, where: str) -> float | None:
        """dB over all frames, "on" or "off" the faces; None where there is no such pixel, inf for equal ones."""
        squares, _, pixels = self.errors[where]
        if not pixels:
            return None
        return math.inf if squares == 0 else -10 * math.log10(squares / pixels)

    def ssim(self, where: str) -> float | None:
        _, similar, pixels = self.errors[where]
        return similar / pixels if pixels else None


class PictureMeasures:
    """Frame by frame in order; holds the last frame only."""

    def __init__(self, inner: bool = False) -> None:
        """inner: the faces were swapped, so that only their inner part is no longer the source's."""
        self.result = Picture(inner=inner)
        self._aligned: dict[int, tuple[int, FloatArray, FloatArray]] = {}  #: track -> frame, aligned original, output
        self._last: tuple[int, ByteArray, ByteArray] | None = None  #: frame, grey original, grey output

    def add(
        self, frame: int, faces: Sequence[Face], original: ByteArray, protected: ByteArray, look: bool, whole: bool
    ) -> list[Face]:
        """(h, w, 3) RGB of both. ``look``: take SSIM, PSNR and warp error here; ``whole``: the output is covered whole.

        Returns the faces that show the original's detail.
        """
        a = np.asarray(cv2.cvtColor(original, cv2.COLOR_RGB2GRAY), np.uint8)
        b = np.asarray(cv2.cvtColor(protected, cv2.COLOR_RGB2GRAY), np.uint8)
        wanted = [face for face in faces if not face.kept]
        clear = [face for face in wanted if self._is_clear(face, frame, a, b)]
        for face in wanted:
            if face.seen:
                self._flicker(face, frame, original, protected)
        before = frame - 1
        self._aligned = {t: a for t, a in self._aligned.items() if a[0] >= before}
        if look and not whole:
            self._compare(wanted, faces, a, b)
            if self._last is not None and self._last[0] == before:
                for face in sorted(wanted, key=lambda f: -float(f.box[3] - f.box[1]))[:FLOWS]:
                    self._warp(face, a, b)
        self._last = frame, a, b
        return clear

    def _is_clear(self, face: Face, frame: int, a: ByteArray, b: ByteArray) -> bool:
        source, output = _cut(a, face.box), _cut(b, face.box)
        if min(source.shape) < MIN_BOX:
            return False
        result = self.result
        result.faces += 1
        if not self._shows(face, a, b, source, output):
            return False
        if not face.seen:
            result.carried_clear += 1
            return False
        result.clear += 1
        result.clear_tracks.add(face.track)
        if len(result.clear_at) < _SHOWN:
            result.clear_at.append((frame, face.track))
        return True

    def _shows(self, face: Face, a: ByteArray, b: ByteArray, source: FloatArray, output: FloatArray) -> bool:
        """a, b: grey of both frames; source, output: luma of the face's box in them."""
        result = self.result
        alike = inner_likeness(a, b, face.landmarks, face.box) if result.inner else None
        if alike is not None:
            if face.seen:
                result.worst_likeness = max(result.worst_likeness, alike)
            return alike > MAX_LIKENESS
        detail = surviving_detail(source, output)
        if face.seen:
            result.worst_detail = max(result.worst_detail, detail)
        return detail > MAX_SURVIVING_DETAIL

    def _flicker(self, face: Face, frame: int, original: ByteArray, protected: ByteArray) -> None:
        source, output = _aligned(original, face), _aligned(protected, face)
        before = self._aligned.get(face.track)
        if before is not None and before[0] == frame - 1:
            moved_in, moved_out = source - before[1], output - before[2]
            self.result.change += float(np.linalg.norm(moved_out - moved_in))
            self.result.disguise += float(np.linalg.norm(output - source))
            self.result.moved_in += float(np.linalg.norm(moved_in))
            self.result.moved_out += float(np.linalg.norm(moved_out))
        self._aligned[face.track] = frame, source, output

    def _compare(self, wanted: Sequence[Face], everyone: Sequence[Face], a: ByteArray, b: ByteArray) -> None:
        if min(a.shape) < 11:
            return
        on, near = np.zeros(a.shape, np.bool_), np.zeros(a.shape, np.bool_)
        for face in wanted:
            _fill(on, face.box)
        for face in everyone:
            _fill(near, grown(face.box, AROUND))
        squares = ((a.astype(np.float32) - b.astype(np.float32)) / 255) ** 2
        similar = ssim_map(a, b)
        self.result.frames += 1
        for name, mask in (("on", on), ("off", ~near)):
            sums = self.result.errors[name]
            sums[0] += float(squares[mask].sum(dtype=np.float64))
            sums[1] += float(similar[mask].sum(dtype=np.float64))
            sums[2] += int(mask.sum())

    def _warp(self, face: Face, a: ByteArray, b: ByteArray) -> None:
        assert self._last is not None
        box = grown(face.box, 1.2)
        cuts = [_bytes(p, box) for p in (self._last[1], a, self._last[2], b)]
        if min(min(c.shape) for c in cuts) < 16 or len({c.shape for c in cuts}) > 1:
            return
        shrink = min(1.0, FLOW_SIDE / max(cuts[0].shape))
        if shrink < 1:
            cuts = [cv2.resize(c, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) for c in cuts]
        source_before, source, output_before, output = cuts
        start = np.zeros((*source.shape, 2), np.float32)
        flow = cv2.calcOpticalFlowFarneback(source, source_before, start, 0.5, 3, 13, 3, 5, 1.1, 0)
        y, x = np.mgrid[0 : source.shape[0], 0 : source.shape[1]].astype(np.float32)
        errors = []
        for picture, last in ((source, source_before), (output, output_before)):
            moved = cv2.remap(
                last, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            errors.append(float(np.abs(picture.astype(np.float32) - moved.astype(np.float32)).mean()))
        self.result.warp_in += errors[0]
        self.result.warp_out += errors[1]
        self.result.warped += 1


def _bytes(grey: NDArray[Any], box: FloatArray) -> NDArray[Any]:
    """The part of a (h, w) picture under a box, clipped."""
    x0, y0 = (max(0, math.floor(float(v))) for v in box[:2])
    x1, y1 = (max(0, math.ceil(float(v))) for v in box[2:])
    return grey[y0:y1, x0:x1]


def _cut(grey: ByteArray, box: FloatArray) -> FloatArray:
    return np.asarray(_bytes(grey, box), np.float32) / np.float32(255)


def _fill(mask: NDArray[np.bool_], box: FloatArray) -> None:
    _bytes(mask, box)[...] = True


def _aligned(rgb: ByteArray, face: Face) -> FloatArray:
    """(CANVAS, CANVAS, 3): the face by its landmarks, or by its box where it has none."""
    if face.landmarks is not None:
        matrix = similarity(face.landmarks, np.array(ARCFACE_112, np.float32) * (CANVAS / 112))
    else:
        x0, y0, x1, y1 = (float(v) for v in face.box)
        corners = np.array([[x0, y0], [x1, y1]], np.float32)
        matrix = similarity(corners, np.array([[0, 0], [CANVAS, CANVAS]], np.float32))
    return np.asarray(cv2.warpAffine(rgb, matrix, (CANVAS, CANVAS), flags=cv2.INTER_LINEAR), np.float32)
