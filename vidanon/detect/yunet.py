"""YuNet (Wu, Peng and Yu, 2023, "YuNet: A Tiny Millisecond-level Face Detector"): one small convolutional network.

It answers at strides 8, 16 and 32, per cell: class and objectness (score = sqrt of their product), centre offset and
log size of the box in strides, and five landmarks. The model file comes from the registry. It runs under onnxruntime
where that is installed, else under OpenCV's own FaceDetectorYN (same answers, several times slower).

What it answers is brought to the convention all detectors here share (see ``union``): its boxes are a little narrower
than MTCNN's, and its score is no probability, so both are mapped by what was measured on portraits, composites and
face-free footage (:data:`WIDTH`, :data:`SCORES`).
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vidanon.detect.base import Detector
from vidanon.detect.nms import nms
from vidanon.errors import ModelError
from vidanon.runtime.device import GPU_PROVIDER, Runtime
from vidanon.types import ByteArray, Detection, FloatArray

_STRIDES = (8, 16, 32)
# px: at this size it finds 98 of 100 faces, at 12 px 88, at 8 px 28. A larger min_face shrinks the picture; a smaller
# one enlarges it, at most twice (sharp 8 px faces: 76 and 88 of 100 at 1.5 and 2 times). Blurred faces of 16 px and
# more are found no better in an enlarged picture.
_SMALLEST, _ENLARGED = 16.0, 2.0
WIDTH = 1 / 0.967  # MTCNN's box width over YuNet's, mean over 100 portraits; heights and centres agree within 1 %
# (YuNet's score, shared scale) joined by straight lines. On face-free footage its false faces per frame above .7 are as
# rare as MTCNN's above .85, and above .5 as MTCNN's above .6; a sharp frontal face scores .92, a 16 px one .6 to .9.
SCORES = ((0.0, 0.0), (0.2, 0.1), (0.5, 0.6), (0.7, 0.85), (0.95, 1.0), (1.0, 1.0))
_NMS = 0.3
_ZOOM_SIDE, _ZOOM_FACE = 64, 24  # px: crop and face in it, of refine
_TOP = 5000  # cells over the threshold that are looked at, best first
_OWN, _SHARED = (np.array(column) for column in zip(*SCORES, strict=True))


class YuNet(Detector):
    """Faces by YuNet. Thread-safe.

    min_face: smallest face looked for, px of the box's longer side.
    threshold: least score of the network (its own scale).
    """

    name = "yunet"

    def __init__(self, model: Path, runtime: Runtime, min_face: int = 20, threshold: float = 0.2) -> None:
        if not 0 < threshold < 1 or min_face < 4:
            raise ValueError(f"threshold {threshold} must be in (0, 1), min_face {min_face} >= 4")
        self.threshold = threshold
        self.scale = min(_ENLARGED, _SMALLEST / min_face)
        self._engine: _Engine = (
            _Ort(model, runtime, threshold) if runtime.has_onnxruntime else _OpenCv(model, threshold)
        )
        self.backend = self._engine.name  #: what really runs it, for the summary
        self.notes = self._engine.notes  #: weaker choices taken and why

    def detect(self, images: Sequence[ByteArray]) -> list[list[Detection]]:
        return [self._one(image) for image in images]

    def _one(self, image: ByteArray) -> list[Detection]:
        h, w = image.shape[:2]
        small = image
        if self.scale != 1:
            size = (max(1, round(w * self.scale)), max(1, round(h * self.scale)))
            area = self.scale <= 0.5
            small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if area else cv2.INTER_LINEAR))
        (faces,) = self._engine.run([small])
        back = np.array([w / small.shape[1], h / small.shape[0]], np.float32)
        faces[:, 0:14] *= np.tile(back, 7)
        return self._detections(faces)

    def refine(self, images: Sequence[ByteArray], boxes: Sequence[FloatArray]) -> list[list[Detection | None]]:
        """Look again at known faces: ``boxes[i]`` (k, 4) px, where picture i should show one each.

        Each box is seen in a crop of 64 px in which it is 24 px large, all crops of all pictures in one batch. Answers
        per box the face that best fits it in place, size and score, or None. On blurred, dark and soft faces of 16 to
        32 px it finds 93-100 % (MTCNN's 30-85 %); landmarks are coarse, 3 % of the face off on average.
        """
        where = [(i, k) for i, b in enumerate(boxes) for k in range(len(b))]
        answer: list[list[Detection | None]] = [[None] * len(b) for b in boxes]
        if not where:
            return answer
        views = [_zoomed(images[i], boxes[i][k]) for i, k in where]
        for (i, k), (_, scale, origin), faces in zip(
            where, views, self._engine.run([crop for crop, _, _ in views]), strict=True
        ):
            if (best := _expected(faces)) is not None:
                face = faces[best : best + 1]
                face[:, 0:14] = face[:, 0:14] * scale + np.tile(origin, 7)
                (answer[i][k],) = self._detections(face)
        return answer

    def _detections(self, faces: FloatArray) -> list[Detection]:
        """Rows of the engine, in px of the picture, in the shared convention."""
        widen = (faces[:, 2] - faces[:, 0]) * (WIDTH - 1) / 2
        faces[:, 0] -= widen
        faces[:, 2] += widen
        scores = np.interp(faces[:, 14], _OWN, _SHARED)
        return [
            Detection(row[:4].copy(), float(score), row[4:14].reshape(5, 2).copy(), self.name)
            for row, score in zip(faces, scores, strict=True)
        ]


class _Engine(ABC):
    name: str
    notes: tuple[str, ...] = ()

    @abstractmethod
    def run(self, pictures: Sequence[ByteArray]) -> list[FloatArray]:
        """RGB pictures of one size -> for each (n, 15): x0 y0 x1 y1, five landmarks x y, score; best score first."""


class _Ort(_Engine):
    """onnxruntime: the graph takes any size that is a multiple of 32."""

    def __init__(self, model: Path, runtime: Runtime, threshold: float) -> None:
        self._threshold = threshold
        self._session, provider = runtime.onnx_session(model)
        self._input = self._session.get_inputs()[0].name
        names = {output.name for output in self._session.get_outputs()}
        self._outputs = [f"{kind}_{stride}" for stride in _STRIDES for kind in ("cls", "obj", "bbox", "kps")]
        if not set(self._outputs) <= names:
            raise ModelError(f"{model}: not a YuNet model (its outputs differ); get the registered file")
        self.name = f"onnxruntime/{provider.removesuffix('ExecutionProvider')}"
        if runtime.device.type == "cuda" and provider != GPU_PROVIDER:
            self.notes = ("yunet: onnxruntime has no GPU here, it computes on the CPU; install vidanon[gpu]",)

    def run(self, pictures: Sequence[ByteArray]) -> list[FloatArray]:
        h, w = pictures[0].shape[:2]
        blob = np.zeros((len(pictures), 3, -(-h // 32) * 32, -(-w // 32) * 32), np.float32)
        for i, rgb in enumerate(pictures):
            blob[i, :, :h, :w] = rgb.transpose(2, 0, 1)[::-1]  # BGR
        out = self._session.run(self._outputs, {self._input: blob})
        return [decode([o[i] for o in out], blob.shape[3], self._threshold) for i in range(len(pictures))]


class _OpenCv(_Engine):
    """OpenCV's FaceDetectorYN; its object keeps state, so each thread has its own."""

    name = "opencv"
    notes = (
        "yunet: onnxruntime is missing or does not import: OpenCV computes it on the CPU, about six times slower; "
        "install vidanon[cpu] or vidanon[gpu]",
    )

    def __init__(self, model: Path, threshold: float) -> None:
        self._model, self._threshold = str(model), threshold
        self._local = threading.local()
        self._detector()  # a file it cannot read fails here, not in a worker

    def _detector(self) -> Any:
        if not hasattr(self._local, "detector"):
            try:
                self._local.detector = cv2.FaceDetectorYN.create(self._model, "", (64, 64), self._threshold, _NMS, _TOP)
            except cv2.error as error:
                raise ModelError(f"{self._model}: not a model OpenCV reads; get the registered file") from error
        return self._local.detector

    def run(self, pictures: Sequence[ByteArray]) -> list[FloatArray]:
        return [self._one(rgb) for rgb in pictures]

    def _one(self, rgb: ByteArray) -> FloatArray:
        detector = self._detector()
        detector.setInputSize((rgb.shape[1], rgb.shape[0]))
        rows = detector.detect(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1]
        if rows is None:
            return np.zeros((0, 15), np.float32)
        faces = np.array(rows, np.float32)
        faces[:, 2:4] += faces[:, 0:2]
        return faces[np.argsort(-faces[:, 14], kind="stable")]


def _zoomed(image: ByteArray, box: FloatArray) -> tuple[ByteArray, float, FloatArray]:
    """A square crop with ``box`` in its middle at a fixed size; px of the picture per px of it; where it begins."""
    box = np.clip(np.nan_to_num(np.asarray(box, np.float32)), -1e5, 1e5)
    scale = max(float((box[2:] - box[:2]).max()), 1.0) / _ZOOM_FACE
    origin = (box[:2] + box[2:]) / 2 - _ZOOM_SIDE * scale / 2
    if scale > 2:  # warping samples points: average first
        factor = min(1.0, 1.5 / scale)
        low = np.clip(np.floor(origin - 2 * scale), 0, None).astype(int)
        high = np.ceil(origin + (_ZOOM_SIDE + 2) * scale).astype(int)
        part = image[low[1] : max(high[1], 0), low[0] : max(high[0], 0)]
        if part.size:
            size = (max(1, round(part.shape[1] * factor)), max(1, round(part.shape[0] * factor)))
            image = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
            step = np.array([size[0] / part.shape[1], size[1] / part.shape[0]])
        else:
            step = np.ones(2)
        start, zoom = (origin - low) * step, scale * step
    else:
        start, zoom = origin, np.array([scale, scale])
    # pixel centres lie at +.5 in boxes and at whole numbers in warpAffine
    to_source = np.array([[zoom[0], 0, start[0] + zoom[0] / 2 - 0.5], [0, zoom[1], start[1] + zoom[1] / 2 - 0.5]])
    crop = cv2.warpAffine(image, to_source, (_ZOOM_SIDE, _ZOOM_SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return np.asarray(crop, np.uint8), scale, np.asarray(origin, np.float32)


def _expected(faces: FloatArray) -> int | None:
    """The row that fits a face in the middle of a zoomed crop: near, of a size within a factor of two."""
    if not len(faces):
        return None
    away = np.abs((faces[:, :2] + faces[:, 2:4]) / 2 - _ZOOM_SIDE / 2).max(1) / _ZOOM_FACE
    size = (faces[:, 2:4] - faces[:, :2]).max(1) / _ZOOM_FACE
    fit = np.where((away < 0.5) & (size > 0.5) & (size < 2), faces[:, 14] * (1 - away), 0)
    return int(fit.argmax()) if fit.max() > 0 else None


def decode(outputs: Sequence[FloatArray], width: int, threshold: float) -> FloatArray:
    """Network answers -> (n, 15) rows as :meth:`_Engine.run` gives them, after suppression.

    outputs: for each stride class (m, 1), objectness (m, 1), box (m, 4), landmarks (m, 10), cells row by row;
    width: px of the padded input.
    """
    rows: list[FloatArray] = []
    for i, stride in enumerate(_STRIDES):
        cls, obj, box, kps = outputs[4 * i : 4 * i + 4]
        score = np.sqrt(np.clip(cls[:, 0], 0, 1) * np.clip(obj[:, 0], 0, 1))
        at = np.flatnonzero(score >= threshold)
        cell = np.stack((at % (width // stride), at // (width // stride)), 1).astype(np.float32)
        centre = (cell + box[at, 0:2]) * stride
        half = np.exp(np.minimum(box[at, 2:4], 10)) * stride / 2
        points = (np.tile(cell, 5) + kps[at]) * stride
        rows.append(np.concatenate((centre - half, centre + half, points, score[at, None]), 1))
    faces = np.concatenate(rows)
    faces = faces[np.argsort(-faces[:, 14], kind="stable")[:_TOP]]
    return np.asarray(faces[nms(faces[:, :4], faces[:, 14], _NMS)], np.float32)
