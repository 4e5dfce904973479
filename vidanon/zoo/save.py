"""A model file: tensors only, and whole or not there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor], notes: Mapping[str, str] | None = None) -> None:
    """Write a file of safetensors, ``notes`` in its head. It takes its name only once it is whole. Raises OSError."""
    part = path.with_name(f".{path.name}.part")
    safetensors.torch.save_file(dict(tensors), part, metadata=None if notes is None else dict(notes))
    part.chmod(0o644)  # safetensors lets only its owner read it
    part.replace(path)
