"""facenet-pytorch's InceptionResnetV1 (FaceNet's successor; Sandberg's weights for VGGFace2 or CASIA-WebFace).

The package cannot be imported beside a torch without torchvision's extensions, so only the file of the network is.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
import types
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from vidanon.errors import ModelError, ModelUnavailable
from vidanon.recognise.adapter import Adapter, planes
from vidanon.recognise.base import Description
from vidanon.recognise.description_file import description_of
from vidanon.runtime.device import Runtime
from vidanon.types import ByteArray, FloatArray
from vidanon.zoo.fetch import file_hash
from vidanon.zoo.load import load_state

PRETRAINED = "vggface2"
_FILES = {"vggface2": "20180402-114759-vggface2.pt", "casia-webface": "20180408-102900-casia-webface.pt"}
_RELEASE = "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/"
_PACKAGE = "facenet_pytorch"
#: Where the landmarks lie in what the package feeds it, MTCNN's box with a margin of 14 px stretched to 160x160 (median
#: of 150 portraits, made symmetric). A crop here is turned upright and not stretched.
TEMPLATE_160 = ((46.0, 64.0), (114.0, 64.0), (80.0, 93.0), (48.0, 115.0), (112.0, 115.0))
DESCRIPTION = Description(
    name="facenet", size=160, template=TEMPLATE_160, offset=127.5, scale=128.0, licence="MIT (weights of the authors)"
)


def load_facenet(runtime: Runtime, path: Path | None = None, *, offline: bool = False) -> Adapter:
    """InceptionResnetV1 with the weights in ``path``; without one, as the package's own loader finds them.

    That is torch's folder (``$TORCH_HOME/checkpoints``), else the package's release page unless ``offline``. The
    hash of what was loaded is in the description; a description beside the file (``description_file``) brings
    thresholds. Raises ModelUnavailable, or ModelError for another network's file.
    """
    return FaceNet(path if path is not None else _own_file(PRETRAINED, offline), runtime)


class FaceNet(Adapter):
    """Thread-safe."""

    def __init__(self, path: Path, runtime: Runtime) -> None:
        state = {name: tensor for name, tensor in load_state(path).items() if not name.startswith("logits.")}
        net: Any = _network().InceptionResnetV1()
        try:
            net.load_state_dict(state)
        except RuntimeError as error:
            raise ModelError(f"{path}: not the weights of an InceptionResnetV1; get the original file") from error
        self._device = runtime.device
        self._net = net.eval().to(runtime.device)
        super().__init__(_describe(path), dimensions=512)

    def run(self, patches: ByteArray) -> FloatArray:
        with torch.inference_mode():
            values = torch.from_numpy(planes(patches, self._description)).to(self._device)
            return np.asarray(self._net(values).float().cpu().numpy(), np.float32)


def _describe(path: Path) -> Description:
    digest = file_hash(path)
    try:
        return description_of(path, digest)
    except ModelError:
        if any(path.with_suffix(suffix).exists() for suffix in (".toml", ".json")):
            raise
        return replace(DESCRIPTION, sha256=digest)


def _own_file(pretrained: str, offline: bool) -> Path:
    """Where facenet-pytorch's loader keeps its weights; fetched with its downloader where they are missing."""
    home = os.environ.get("TORCH_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "torch")
    target = Path(home).expanduser() / "checkpoints" / _FILES[pretrained]
    if target.is_file():
        return target
    if offline:
        raise ModelUnavailable(f"facenet has no weights here; put {_FILES[pretrained]} into {target.parent}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _network().download_url_to_file(_RELEASE + _FILES[pretrained], str(target), progress=False)
    except OSError as error:  # URLError is one
        raise ModelUnavailable(
            f"facenet's weights cannot be fetched ({getattr(error, 'reason', error)}); connect to the network, or give "
            f"the file itself as facenet:PATH"
        ) from error
    return target


def _network() -> ModuleType:
    """The package's module of the network, without running the package's own ``__init__`` (it needs torchvision)."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelUnavailable("facenet-pytorch is not installed; install vidanon again")
    root = Path(next(iter(spec.submodule_search_locations)))
    alias = "_vidanon_facenet"
    if f"{alias}.inception_resnet_v1" not in sys.modules:
        for package, folder in ((alias, root / "models"), (f"{alias}.utils", root / "models" / "utils")):
            module = types.ModuleType(package)
            module.__path__ = [str(folder)]
            module.__spec__ = importlib.machinery.ModuleSpec(package, None, is_package=True)
            sys.modules[package] = module
    return importlib.import_module(f"{alias}.inception_resnet_v1")
