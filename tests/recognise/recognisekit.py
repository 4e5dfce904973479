"""Small recognisers to test with: real networks, untrained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vidanon.zoo.fetch import file_hash

SIDE = 32


class Net(nn.Module):
    """(N, 3, 32, 32) -> (N, 6): means of the channels of both halves."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x[:, :, :16].mean((2, 3)), x[:, :, 16:].mean((2, 3))], 1)


class Saver(nn.Module):
    """A recogniser that writes a file as it runs."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, "stolen.pt")
        return x.mean((2, 3))


def script(path: Path, net: nn.Module | None = None) -> Path:
    torch.jit.script(net or Net()).save(str(path))
    return path


def describe(model: Path, where: Path | None = None, **changes: Any) -> Path:
    """A JSON description beside ``model``."""
    row: dict[str, Any] = {
        "name": "halves", "sha256": file_hash(model), "size": SIDE, "template": "arcface", "metric": "l2",
        "thresholds": {"0.01": -3.5, "0.001": -1.5}, "measured_on": "nothing", "licence": "MIT",
    }  # fmt: skip
    row.update(changes)
    path = where or model.with_suffix(".json")
    path.write_text(json.dumps({key: value for key, value in row.items() if value is not None}))
    return path


def patches(count: int, side: int = SIDE, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
