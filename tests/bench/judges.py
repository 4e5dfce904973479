"""Face recognisers that judge an output: three published models, each with its own alignment and threshold.

They take no part in the product. Thresholds are those of 1 % false accepts on the 3,000 impostor pairs of LFW.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vidanon.faces.align import similarity
from vidanon.types import FloatArray

Bytes = NDArray[np.uint8]

#: Eyes, nose and mouth corners, picture's left first, in the crop each network was trained on.
ARCFACE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
DLIB = ((47.55, 46.6), (100.48, 46.6), (74.01, 76.56), (50.41, 103.02), (97.61, 103.02))


@dataclass(frozen=True)
class Description:
    """How to use one recogniser."""

    file: str
    size: int  #: side of its crop, px
    template: tuple[tuple[float, float], ...]
    threshold: float  #: at 1 % false accepts
    cosine: bool  #: True: match where the cosine is at least the threshold; False: where the L2 distance is at most


DESCRIPTIONS = {
    "mobileface_v2": Description("mobileface_v2.onnx", 112, ARCFACE, 0.226, True),
    "mobileface_v3": Description("mobileface_v3.onnx", 112, ARCFACE, 0.268, True),
    "dlib_densenet": Description("dlib_densenet.onnx", 150, DLIB, 0.542, False),
}


class Judge:
    """One recogniser on one thread."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.description = DESCRIPTIONS[name]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = str(folder / self.description.file)
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def align(self, rgb: Bytes, landmarks: FloatArray) -> Bytes:
        """(h, w, 3) RGB and (5, 2) landmarks -> the recogniser's own crop (size, size, 3)."""
        size = self.description.size
        matrix = similarity(landmarks, np.array(self.description.template, np.float32)).astype(np.float64)
        matrix[:, 2] += matrix[:, :2].sum(1) / 2 - 0.5  # our pixel centres are at +0.5
        return np.asarray(cv2.warpAffine(rgb, matrix, (size, size), flags=cv2.INTER_LINEAR), np.uint8)

    def embed(self, crops: Sequence[Bytes]) -> FloatArray:
        """(N, D) embeddings; unit norm where the recogniser compares by cosine."""
        out = []
        for start in range(0, len(crops), 16):
            batch = np.stack(crops[start : start + 16]).transpose(0, 3, 1, 2).astype(np.float32)
            out.append(self._session.run(None, {self._input: batch})[0])
        embeddings = np.concatenate(out).astype(np.float32)
        if self.description.cosine:
            embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True).clip(1e-9)
        return embeddings

    def similarities(self, a: FloatArray, b: FloatArray) -> FloatArray:
        """(N, M): larger is more alike (a distance is negated)."""
        if self.description.cosine:
            return a @ b.T
        squared = (a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T
        return np.asarray(-np.sqrt(squared.clip(min=0)), np.float32)

    @property
    def bar(self) -> float:
        """The least similarity that is a match."""
        return self.description.threshold if self.description.cosine else -self.description.threshold
