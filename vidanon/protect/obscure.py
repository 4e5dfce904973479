"""The obscuring modes: a solid fill, a mosaic and a Gaussian blur. Stateless; strength is relative to the face.

Both mosaic and blur are separable and differ from face to face, so each is a pair of batched matrix products
``R P C^T`` with one (S, S') matrix per face and axis.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from torch.nn import functional

from vidanon.config import ProtectSettings
from vidanon.faces import masks
from vidanon.protect.base import Protector, TrackStates
from vidanon.types import FaceBatch, Protected


class _Obscure(Protector):
    """Every face in the batch, through one shape of mask. Subclasses say what is painted."""

    def __init__(self, settings: ProtectSettings) -> None:
        self._settings = settings

    def __call__(self, batch: FaceBatch, states: TrackStates) -> tuple[Protected, TrackStates]:
        settings = self._settings
        with torch.inference_mode():
            painted = self.paint(batch)
            mask = masks.render(batch, settings.shape, settings.mask_scale, settings.feather)
        n = len(batch)
        return Protected(painted, mask, np.ones(n, np.bool_), ("",) * n), states

    @abstractmethod
    def paint(self, batch: FaceBatch) -> torch.Tensor:
        """Patches (N, 3, S, S) in [0, 1] that show no face anywhere the mask may reach."""


class Mask(_Obscure):
    """One flat colour."""

    name = "mask"

    def paint(self, batch: FaceBatch) -> torch.Tensor:
        patches = batch.patches
        colour = torch.tensor(self._settings.colour, dtype=patches.dtype, device=patches.device) / 255
        # Expanded, not copied: blend sees that a patch is one colour and fills.
        return colour[None, :, None, None].expand(patches.shape)


class Pixelate(_Obscure):
    """A mosaic of square cells, each the mean of what it covers; the grid is anchored at the face's centre."""

    name = "pixelate"

    def paint(self, batch: FaceBatch) -> torch.Tensor:
        size = batch.patches.shape[-1]
        centre, longest = _geometry(batch)
        cell = (longest / self._settings.cells).clamp(min=1.0)
        rows = self._overlap(size, centre[:, 1], cell)
        columns = self._overlap(size, centre[:, 0], cell)
        means = _both_axes(batch.patches, _normalised(rows), _normalised(columns))
        # The same overlaps, the other way, give cell edges that move by fractions of a pixel without stepping.
        return _both_axes(means, rows.transpose(1, 2), columns.transpose(1, 2)).clamp(0, 1)

    @staticmethod
    def _overlap(size: int, centre: torch.Tensor, cell: torch.Tensor) -> torch.Tensor:
        """(N, K, S): the length of pixel s that lies in cell k; over k it sums to 1."""
        first = torch.floor((0 - centre) / cell)  # index of the cell that holds the first pixel's edge
        count = int((torch.floor((size - centre) / cell) - first).amax().item()) + 1
        index = torch.arange(count, device=cell.device, dtype=torch.float32)
        low = centre[:, None] + (first[:, None] + index) * cell[:, None]
        pixel = torch.arange(size, device=cell.device, dtype=torch.float32)
        right = torch.minimum((low + cell[:, None])[:, :, None], pixel + 1)
        left = torch.maximum(low[:, :, None], pixel)
        return (right - left).clamp(min=0)


class Blur(_Obscure):
    """A Gaussian blur; at the patch's border the kernel is cut and normalised again."""

    name = "blur"

    def paint(self, batch: FaceBatch) -> torch.Tensor:
        patches = batch.patches
        size = patches.shape[-1]
        _, longest = _geometry(batch)
        sigma = (longest * self._settings.blur).clamp(min=0.5)
        # A wide kernel on a picture averaged down by f is the same picture (sigma >= 3 f) at a fraction of the cost.
        factor = 1
        while factor < 8 and float(sigma.amin()) >= 6 * factor:
            factor *= 2
        if factor > 1:
            patches = functional.avg_pool2d(patches, factor)
        out = torch.arange(size, device=patches.device, dtype=torch.float32) + 0.5
        source = (torch.arange(size // factor, device=patches.device, dtype=torch.float32) + 0.5) * factor
        squared = (out[:, None] - source) ** 2
        kernel = _normalised(torch.exp(-squared / (2 * sigma[:, None, None] ** 2)))
        return _both_axes(patches, kernel, kernel).clamp(0, 1)


def _geometry(batch: FaceBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Centres (N, 2) and longer sides (N,) of the face boxes, patch px, on the batch's device."""
    boxes = torch.from_numpy(batch.boxes).to(batch.patches.device)
    return (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).amax(1)


def _normalised(weights: torch.Tensor) -> torch.Tensor:
    """Rows that sum to 1; empty rows stay 0."""
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-12)


def _both_axes(patches: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """``rows`` (N, H', H) @ ``patches`` (N, C, H, W) @ ``columns`` (N, W', W) transposed -> (N, C, H', W')."""
    return rows[:, None] @ patches @ columns[:, None].transpose(2, 3)
