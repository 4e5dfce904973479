"""What a run needs to go on where it was broken off, and files that are whole or not there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vidanon.errors import ModelError


def save_generator(generator: np.random.Generator) -> str:
    """The generator's state as JSON."""
    return json.dumps(generator.bit_generator.state)


def load_generator(generator: np.random.Generator, text: str) -> None:
    """Put ``generator`` into a saved state."""
    generator.bit_generator.state = json.loads(text)


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` at once."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Replace ``path`` at once by a file of tensors, numbers, text, and lists and dictionaries of them."""
    part = path.with_name(f".{path.name}.part")
    torch.save(content, part)
    os.replace(part, path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What :func:`save_checkpoint` wrote. Raises ModelError for another file."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises errors of many kinds on a file of another kind
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise ModelError(f"{path}: not a checkpoint ({reason}); delete it to begin again") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: not a checkpoint; delete it to begin again")
    return content
