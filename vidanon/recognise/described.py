"""Any TorchScript or ONNX network that a description file tells how to use (see ``description_file``).

Both formats are programs for a closed interpreter, not Python; a file runs only if a description names its SHA-256,
and a TorchScript with operators that touch files or call Python is refused.
"""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidanon.errors import ModelError
from vidanon.recognise.adapter import Adapter, planes
from vidanon.recognise.base import Description
from vidanon.recognise.description_file import description_of
from vidanon.runtime.device import Runtime
from vidanon.types import ByteArray, FloatArray
from vidanon.zoo.fetch import file_hash

_FORBIDDEN = ("aten::save", "aten::from_file", "prim::PythonOp")


def load_described(path: Path, runtime: Runtime, description: Description | None = None) -> Adapter:
    """The recogniser in ``path``: ONNX (``.onnx``) under onnxruntime, TorchScript under torch.

    description: instead of the one beside the file or the product's own; its SHA-256 must be the file's.
    Raises ModelError where the file is missing, altered, no such network, or nothing describes it.
    """
    digest = file_hash(path)
    if description is None:
        description = description_of(path, digest)
    elif description.sha256 != digest:
        raise ModelError(f"{path}: its SHA-256 is {digest}, the description's another; get the file described")
    if path.suffix.lower() == ".onnx":
        return OnnxRecogniser(path, description, runtime)
    if is_torchscript(path):
        return TorchScriptRecogniser(path, description, runtime)
    raise ModelError(f"{path}: neither ONNX (.onnx) nor TorchScript; give one of those")


def is_torchscript(path: Path) -> bool:
    """Whether the file is an archive with TorchScript code in it (a state dictionary has none)."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


class OnnxRecogniser(Adapter):
    """Thread-safe."""

    def __init__(self, path: Path, description: Description, runtime: Runtime) -> None:
        session, self.provider = runtime.onnx_session(path)
        inputs = session.get_inputs()
        if len(inputs) != 1:
            raise ModelError(f"{path}: a recogniser takes one input, this network takes {len(inputs)}")
        self._input, self._session = inputs[0].name, session

        def embed(values: FloatArray) -> Any:
            return session.run(None, {self._input: values})[0]

        self._embed = embed
        super().__init__(description, _probe(embed, path, description))

    def run(self, patches: ByteArray) -> FloatArray:
        return np.asarray(self._embed(planes(patches, self._description)), np.float32)


class TorchScriptRecogniser(Adapter):
    """Thread-safe."""

    def __init__(self, path: Path, description: Description, runtime: Runtime) -> None:
        self._device = runtime.device
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # torch recommends export; files like these remain
                module = torch.jit.load(str(path), map_location=runtime.device)  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelError(f"{path}: torch cannot load it ({_first_line(error)}); get the original file") from error
        graph = str(module.inlined_graph)
        if found := next((name for name in _FORBIDDEN if name in graph), None):
            raise ModelError(f"{path}: uses {found}, which a recogniser has no need of; it was not run")
        self._module = module.eval()
        super().__init__(description, _probe(self._embed, path, description))

    def _embed(self, values: FloatArray) -> Any:
        with torch.inference_mode():
            return self._module(torch.from_numpy(values).to(self._device)).float().cpu().numpy()

    def run(self, patches: ByteArray) -> FloatArray:
        return np.asarray(self._embed(planes(patches, self._description)), np.float32)


def _probe(embed: Any, path: Path, description: Description) -> int:
    """The length of an embedding, from two grey patches. Raises ModelError where that does not work."""
    side = description.size
    try:
        answer = embed(planes(np.full((2, side, side, 3), 128, np.uint8), description))
        shape = np.shape(answer)
    except Exception as error:  # onnxruntime's own exceptions share no public base class, torch raises several
        raise ModelError(
            f"{path}: fails on its first patches ({_first_line(error)}); check size in its description"
        ) from error
    if len(shape) != 2 or shape[0] != 2 or not np.isfinite(answer).all():
        raise ModelError(f"{path}: answers {shape} for 2 patches, not 2 embeddings; it is no recogniser of this size")
    return int(shape[1])


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
