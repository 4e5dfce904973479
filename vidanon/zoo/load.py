"""Tensors from a model file, and nothing but tensors: no code of a file ever runs."""

from __future__ import annotations

import pickle
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from safetensors import SafetensorError

from vidanon.errors import ModelError

# what torch and safetensors raise on a file with other content, or cut short
_NOT_TENSORS = (
    pickle.UnpicklingError, SafetensorError, RuntimeError, ValueError, EOFError, KeyError, AttributeError, TypeError,
    IndexError,
)  # fmt: skip


def load_state(path: Path) -> dict[str, torch.Tensor]:
    """Name -> tensor (CPU) of a ``.safetensors`` file, or of a ``.pt``/``.pth`` holding a plain dictionary of tensors.

    Raises ModelError for anything else, first of all a pickle with objects in it.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except _NOT_TENSORS as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise ModelError(f"{path}: not a file of tensors only ({reason}); get the original") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}); check path and permissions") from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in state.items()
    ):
        raise ModelError(f"{path}: not a dictionary of tensors; it was not used, get the original")
    return state


def load_metadata(path: Path) -> dict[str, str]:
    """The notes in the head of a ``.safetensors`` file. Raises ModelError where it is none."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except _NOT_TENSORS as error:
        raise ModelError(f"{path}: not a safetensors file ({error}); get the original") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}); check path and permissions") from error
