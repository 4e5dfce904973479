"""dlib's 128-d ResNet, the network behind ``face_recognition`` (King, 2017; CC0). Extra ``audit``.

A judge of outputs; never a teacher or a surrogate. Its weights come with ``face_recognition_models``.
"""

from __future__ import annotations

import importlib
import threading
from typing import Any

import numpy as np

from vidanon.errors import ModelError, ModelUnavailable
from vidanon.recognise.adapter import Adapter
from vidanon.recognise.base import DLIB_150, Description
from vidanon.types import ByteArray, FloatArray
from vidanon.zoo.fetch import resolve
from vidanon.zoo.registry import find

MODEL = "dlib-resnet"
#: Negated distances, measured with the alignment of this file. dlib's own advice is -.6.
THRESHOLDS = {0.01: -0.6149, 0.001: -0.5421}
MEASURED_ON = "LFW: all 29,640,749 pairs of photos of different people"


class DlibResnet(Adapter):
    """Thread-safe: one patch batch at a time. Always on the CPU, in dlib's one thread."""

    def __init__(self) -> None:
        """Raises ModelUnavailable where the extra ``audit`` is not installed, ModelError for an altered file."""
        try:
            dlib = importlib.import_module("dlib")
        except ImportError as error:
            raise ModelUnavailable(f"dlib does not import ({error}); pip install 'vidanon[audit]'") from error
        path = resolve(MODEL, offline=True)
        try:
            self._net: Any = dlib.face_recognition_model_v1(str(path))
        except RuntimeError as error:
            raise ModelError(f"{path}: dlib cannot load it ({error}); reinstall face_recognition_models") from error
        self._lock = threading.Lock()
        row = find(MODEL)
        super().__init__(
            Description(
                name="dlib_resnet",
                size=150,
                template=DLIB_150,
                metric="l2",
                thresholds=THRESHOLDS,
                measured_on=MEASURED_ON,
                licence=row.licence,
                sha256=row.sha256,
            ),
            dimensions=128,
        )

    def run(self, patches: ByteArray) -> FloatArray:
        chips = [np.ascontiguousarray(patch) for patch in patches]
        with self._lock:
            found = self._net.compute_face_descriptor(chips, 0)  # 0: no jittered copies, so the same every time
        return np.array([np.array(vector) for vector in found], np.float32)
