"""A network somebody else made, as a teacher: TorchScript or ONNX, arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from vidanon.errors import ModelError
from vidanon.runtime.device import Runtime
from vidanon.types import FloatArray

Network = Callable[[FloatArray], tuple[FloatArray, ...]]


def load_network(path: Path, runtime: Runtime) -> Network:
    """The network in a TorchScript (``.pt``) or ONNX file, on the CPU: one float32 array in, its answers out.

    Raises ModelError for a file that is neither.
    """
    if path.suffix == ".onnx":
        session, _ = runtime.onnx_session(path)
        name = session.get_inputs()[0].name

        def run_onnx(x: FloatArray) -> tuple[FloatArray, ...]:
            return tuple(np.asarray(answer, np.float32) for answer in session.run(None, {name: x}))

        return run_onnx
    try:
        script = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"teacher {path}: no TorchScript file; give a .pt of torch.jit.save, or a .onnx") from error

    def run_script(x: FloatArray) -> tuple[FloatArray, ...]:
        with torch.inference_mode():
            answer = script(torch.from_numpy(x))
        answers = answer if isinstance(answer, tuple | list) else (answer,)
        return tuple(np.asarray(part.float().numpy(), np.float32) for part in answers)

    return run_script
