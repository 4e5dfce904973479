"""The obscuring modes: a solid fill, a mosaic and a Gaussian blur. Stateless; strength is relative to the face.

Mosaic and blur are separable and differ from face to face, so each is a pair of batched matrix products
``R P C^T`` with one (S, S') matrix per face and axis.

Strength comes from the blur alone: what it takes out is not in the output. On top of it lies *texture*, luma noise
that is tied to the track and moves with its face. Without it a recogniser is shown a smooth oval of skin, which poor
ones take for anybody, the source included; and galleries blurred alike match worse. It is no secret.

A face that a recogniser still knows becomes *blank*: one colour, its mean, under the same texture, and all over its box
whatever the shape, so that no less is hidden than under a solid fill.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional

from vidanon.config import ProtectSettings
from vidanon.faces import masks
from vidanon.protect.base import Protector, TrackStates
from vidanon.types import BLANK, FaceBatch, FloatArray, Protected

LATTICE = 96  #: side of a track's noise lattice; its middle is the face's centre
PITCH = 1 / 25  #: blur: distance of lattice points, share of the face's longer side
BUMP = 1.25  #: blur: sigma of the noise each point gives, lattice steps


class _Obscure(Protector):
    """Every face in the batch, through one shape of mask. Subclasses say what is painted."""

    def __init__(self, settings: ProtectSettings, seed: int = 0) -> None:
        """``seed``: of the run; with the track's id it fixes the texture."""
        self._settings = settings
        self._seed = seed

    def __call__(self, batch: FaceBatch, states: TrackStates) -> tuple[Protected, TrackStates]:
        settings = self._settings
        n = len(batch)
        blank = np.array([bool(states.get(track)) for track in batch.tracks], np.bool_)
        with torch.inference_mode():
            painted = self.paint(batch, torch.from_numpy(blank).to(batch.patches.device)[:, None, None, None])
            mask = masks.render(batch, settings.shape, settings.mask_scale, settings.feather)
            if blank.any():
                whole = masks.render(batch, "solid", settings.mask_scale, settings.feather)
                mask[blank] = torch.maximum(mask, whole)[blank]
        told = tuple(BLANK if each else "" for each in blank)
        return Protected(painted, mask, np.ones(n, np.bool_), ("",) * n, told, blank=blank), states

    @abstractmethod
    def paint(self, batch: FaceBatch, blank: torch.Tensor) -> torch.Tensor:
        """Patches (N, 3, S, S) in [0, 1] that show no face anywhere the mask may reach. blank: (N, 1, 1, 1) bool."""

    def lattices(self, batch: FaceBatch) -> torch.Tensor:
        """(N, LATTICE, LATTICE) unit normal noise, the same for a track in every frame, on the batch's device."""
        return torch.from_numpy(np.stack([_lattice(self._seed, t) for t in batch.tracks])).to(batch.patches.device)

    def textured(self, patches: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """``patches`` (N, 3, h, w) with unit ``noise`` (N, 1, h, w) as strong as set, less towards black and white."""
        level = patches.mean(1, keepdim=True)
        return (patches + 4 * self._settings.texture * level * (1 - level) * noise).clamp_(0, 1)


@lru_cache(maxsize=512)
def _lattice(seed: int, track: int) -> FloatArray:
    return np.random.default_rng((seed, track)).standard_normal((LATTICE, LATTICE), np.float32)


class Mask(_Obscure):
    """One flat colour."""

    name = "mask"

    def paint(self, batch: FaceBatch, blank: torch.Tensor) -> torch.Tensor:
        patches = batch.patches
        colour = torch.tensor(self._settings.colour, dtype=patches.dtype, device=patches.device) / 255
        # Expanded, not copied: blend sees that a patch is one colour and fills.
        return colour[None, :, None, None].expand(patches.shape)


class _Blurred(_Obscure):
    """What is left of the source is blurred."""

    def rejected(self, tracks: Sequence[int], states: TrackStates) -> tuple[frozenset[int], TrackStates]:
        """They become blank, once."""
        again = frozenset(track for track in tracks if not states.get(track))
        return again, {**states, **dict.fromkeys(again, True)}


class Blur(_Blurred):
    """A Gaussian blur; at the patch's border the kernel is cut and normalised again."""

    name = "blur"

    def paint(self, batch: FaceBatch, blank: torch.Tensor) -> torch.Tensor:
        patches, kernel = _shrunk(batch, self._settings.blur)
        blurred = _flat(_both_axes(patches, kernel, kernel), blank)
        if self._settings.texture == 0:
            return blurred.clamp_(0, 1)
        centre, longest = _geometry(batch)
        rows, columns = (
            _bumps(blurred.shape[-1], centre[:, 1], longest),
            _bumps(blurred.shape[-1], centre[:, 0], longest),
        )
        spare = (LATTICE - rows.shape[2]) // 2
        lattices = self.lattices(batch)[:, None, spare : LATTICE - spare, spare : LATTICE - spare]
        return self.textured(blurred, _both_axes(lattices, rows, columns))


class Pixelate(_Blurred):
    """A mosaic of square cells, each the mean of the *blurred* picture; the grid is anchored at the face's centre.

    Plain means are not enough: recognisers read a mosaic of four cells across the face. Through the blur first, the
    number of cells is a matter of looks and the strength is that of :class:`Blur`.
    """

    name = "pixelate"

    def paint(self, batch: FaceBatch, blank: torch.Tensor) -> torch.Tensor:
        size = batch.patches.shape[-1]
        patches, kernel = _shrunk(batch, self._settings.blur)
        centre, longest = _geometry(batch)
        cell = (longest / self._settings.cells).clamp(min=1.0)
        rows, first_row = _overlap(size, centre[:, 1], cell)
        columns, first_column = _overlap(size, centre[:, 0], cell)
        means = _flat(_both_axes(patches, _normalised(rows) @ kernel, _normalised(columns) @ kernel), blank)
        if self._settings.texture > 0:
            y = (first_row[:, None] + torch.arange(rows.shape[1], device=rows.device)) % LATTICE
            x = (first_column[:, None] + torch.arange(columns.shape[1], device=rows.device)) % LATTICE
            lattices = self.lattices(batch)
            each = torch.arange(len(batch), device=rows.device)[:, None, None]
            means = self.textured(means, lattices[each, y[:, :, None], x[:, None, :]][:, None])
        # The same overlaps, the other way, give cell edges that move by fractions of a pixel without stepping.
        return _both_axes(means, rows.transpose(1, 2), columns.transpose(1, 2)).clamp_(0, 1)


def _shrunk(batch: FaceBatch, blur: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Patches (N, 3, S/f, S/f) averaged down, and kernels (N, S, S/f) that blur them by ``blur`` of the face.

    ``f`` is 1 or as large as leaves sigma at three samples or more: the same picture at a fraction of the cost.
    """
    patches = batch.patches
    size = patches.shape[-1]
    _, longest = _geometry(batch)
    sigma = (longest * blur).clamp(min=0.5)
    factor = 1
    while factor < 8 and float(sigma.amin()) >= 6 * factor:
        factor *= 2
    if factor > 1:
        patches = functional.avg_pool2d(patches, factor)
    out = torch.arange(size, device=patches.device, dtype=torch.float32) + 0.5
    source = (torch.arange(size // factor, device=patches.device, dtype=torch.float32) + 0.5) * factor
    squared = (out[:, None] - source) ** 2
    return patches, _normalised(torch.exp(-squared / (2 * sigma[:, None, None] ** 2)))


def _flat(patches: torch.Tensor, blank: torch.Tensor) -> torch.Tensor:
    """(N, 3, h, w), of those that are ``blank`` only their mean colour."""
    return torch.where(blank, patches.mean((2, 3), keepdim=True), patches)


def _bumps(size: int, centre: torch.Tensor, longest: torch.Tensor) -> torch.Tensor:
    """(N, S, M): what the middle M points of a lattice give to each pixel, as Gaussians of sigma BUMP and unit power.

    M is even, at most LATTICE, and as large as the largest window of the batch needs.
    """
    step = longest * PITCH
    reach = int((size / 2 / step).amax().item()) + 6
    m = min(2 * reach, LATTICE)
    points = torch.arange(m, device=centre.device, dtype=torch.float32) - (m - 1) / 2
    pixel = torch.arange(size, device=centre.device, dtype=torch.float32) + 0.5
    away = ((pixel - centre[:, None]) / step[:, None])[:, :, None] - points
    bumps = away.square_().mul_(-0.5 / BUMP**2).exp_()
    power: torch.Tensor = bumps.norm(dim=2, keepdim=True)
    return bumps / power.clamp(min=1e-6)


def _overlap(size: int, centre: torch.Tensor, cell: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A grid of cells of side ``cell`` (N,) with a corner at ``centre`` (N,): how much of each pixel is in which.

    Answers (N, K, S), the length of pixel s that lies in the k-th cell, and (N,) int64, the index of the first
    cell, counted from the centre.
    """
    first = torch.floor((0 - centre) / cell)
    count = int((torch.floor((size - centre) / cell) - first).amax().item()) + 1
    index = torch.arange(count, device=cell.device, dtype=torch.float32)
    low = centre[:, None] + (first[:, None] + index) * cell[:, None]
    pixel = torch.arange(size, device=cell.device, dtype=torch.float32)
    right = torch.minimum((low + cell[:, None])[:, :, None], pixel + 1)
    left = torch.maximum(low[:, :, None], pixel)
    return (right - left).clamp(min=0), first.long()


def _geometry(batch: FaceBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """Centres (N, 2) and longer sides (N,) of the face boxes, patch px, on the batch's device."""
    boxes = torch.from_numpy(batch.boxes).to(batch.patches.device)
    return (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).amax(1)


def _normalised(weights: torch.Tensor) -> torch.Tensor:
    """Rows that sum to 1; empty rows stay 0."""
    return weights / weights.sum(-1, keepdim=True).clamp(min=1e-12)


def _both_axes(patches: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """``rows`` (N, H', H) @ ``patches`` (N, C, H, W) @ ``columns`` (N, W', W) transposed -> (N, C, H', W')."""
    n, channels, height, width = patches.shape
    # One product per face and axis: the channels lie side by side.
    out = torch.bmm(patches.reshape(n, channels * height, width), columns.transpose(1, 2))
    out = out.view(n, channels, height, -1).transpose(1, 2).reshape(n, height, -1)
    out = torch.bmm(rows, out).view(n, rows.shape[1], channels, -1)
    return out.transpose(1, 2).contiguous()
