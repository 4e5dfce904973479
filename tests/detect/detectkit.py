"""Pictures with known faces, and the reference MTCNN. Real faces come from scikit-image and from the test data."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tarfile
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from vidanon.detect.mtcnn import Mtcnn
from vidanon.detect.nms import nms_by_group
from vidanon.types import ByteArray, FloatArray
from vidanon.zoo import resolve

MTCNN_FILES = tuple(f"mtcnn-{net}" for net in ("pnet", "rnet", "onet"))


def data_path(name: str) -> Path:
    """A path of the test data; skips where there is none, fails where it lacks ``name``."""
    root = os.environ.get("VIDANON_TEST_DATA")
    if not root:
        pytest.skip("VIDANON_TEST_DATA is not set: no test data")
    path = Path(root) / name
    if not path.exists():
        pytest.fail(f"VIDANON_TEST_DATA lacks {name}")
    return path


def make_mtcnn(**options: Any) -> Mtcnn:
    pnet, rnet, onet = (resolve(name) for name in MTCNN_FILES)
    return Mtcnn(weights=(pnet, rnet, onet), **options)


def astronaut() -> ByteArray:
    """512 x 512, one frontal face at about (180, 61, 268, 172)."""
    from skimage import data

    return np.ascontiguousarray(data.astronaut())


@cache
def portraits(count: int = 24) -> tuple[ByteArray, ...]:
    """Portraits of people who do not exist, 384 x 384, the face in the middle."""
    found = []
    with tarfile.open(data_path("faces/donors384.tar")) as tar:
        members = [m for m in tar.getmembers() if m.name.endswith(".jpg")]
        for member in members[:: max(1, len(members) // count)][:count]:
            stream = tar.extractfile(member)
            assert stream is not None
            picture = cv2.imdecode(np.frombuffer(stream.read(), np.uint8), cv2.IMREAD_COLOR)
            assert picture is not None
            found.append(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8))
    return tuple(found)


def composite(
    face: int, width: int = 640, height: int = 360, seed: int = 0, most: int = 12
) -> tuple[ByteArray, FloatArray]:
    """A smooth background with portraits on it, so that faces are about ``face`` px high; and their centres (n, 2)."""
    rng = np.random.default_rng(seed)
    small = rng.integers(60, 190, (5, 8, 3), np.uint8)
    picture = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    side = round(face * 2.4)
    columns, rows = width // (side + 4), height // (side + 4)
    sources = portraits()
    centres = []
    for n, cell in enumerate(rng.permutation(columns * rows)[:most].tolist()):
        x, y = cell % columns * (side + 4), cell // columns * (side + 4)
        face_picture = cv2.resize(sources[(n + seed) % len(sources)], (side, side), interpolation=cv2.INTER_AREA)
        picture[y : y + side, x : x + side] = face_picture
        centres.append((x + side / 2, y + side * 0.4))
    return picture, np.array(centres, np.float32)


def found_at(boxes: FloatArray, centres: FloatArray, reach: float) -> int:
    """How many of ``centres`` have a box whose centre is within ``reach`` px on both axes."""
    if not len(boxes):
        return 0
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    return int((np.abs(middle[None] - centres[:, None]).max(-1).min(1) <= reach).sum())


@contextmanager
def reference_mtcnn(min_face: int, thresholds: tuple[float, float, float]) -> Iterator[Any]:
    """facenet-pytorch's own MTCNN, its two source files run without importing the package (that needs torchvision)."""
    spec = importlib.util.find_spec("facenet_pytorch")
    assert spec is not None and spec.submodule_search_locations
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    names += ("torchvision.ops", "torchvision.ops.boxes")
    stubs: dict[str, Any] = {name: types.ModuleType(name) for name in names}

    def batched_nms(boxes: torch.Tensor, scores: torch.Tensor, groups: torch.Tensor, threshold: float) -> torch.Tensor:
        return torch.from_numpy(nms_by_group(boxes.numpy(), scores.numpy(), groups.numpy().astype(np.intp), threshold))

    stubs["torchvision.ops.boxes"].batched_nms = batched_nms
    stubs["torchvision.transforms"].functional = stubs["torchvision.transforms.functional"]
    package: Any = types.ModuleType("reference_mtcnn")
    package.__path__ = [str(Path(spec.submodule_search_locations[0]) / "models")]
    stubs["reference_mtcnn"] = package
    saved = {name: sys.modules.get(name) for name in stubs}
    sys.modules.update(stubs)
    try:
        module = importlib.import_module("reference_mtcnn.mtcnn")
        yield module.MTCNN(keep_all=True, min_face_size=min_face, thresholds=list(thresholds), device="cpu")
    finally:
        for name in [n for n in sys.modules if n.startswith("reference_mtcnn.")]:
            del sys.modules[name]
        for name, module in saved.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module
