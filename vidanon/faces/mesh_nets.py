"""The dense-landmark network: residual blocks over a 96 px crop, then a shape that is a mean plus learned modes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from vidanon.faces.mesh_points import POINTS
from vidanon.runtime.fold import fold

STEM = 16  #: channels after the first of two convolutions that each halve the side
WIDTHS = (32, 64, 128)  #: channels of the three stages, at 24, 12 and 6 px
DEPTHS = (2, 3, 2)  #: blocks per stage
NECK = 48  #: channels of the last map, whose every place has weights of its own
MODES = 128  #: numbers a shape is made of
SPREAD = 0.02  #: shares of the crop per unit of the last layer, so that one learning rate suits all layers


class Block(nn.Module):
    """3x3 (with the stride), normalise, ReLU, 3x3, normalise; shortcut beside it; ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1: nn.Module = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2: nn.Module = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class MeshNet(nn.Module):
    """(N, 3, 96, 96) RGB, ``(pixel - 127.5) / 128`` -> (N, 468 * 3 + 1) float32.

    The points come first, point by point x, y, z, as shares of the crop's side (0..1 inside it; of z only
    differences mean something, smaller is nearer); last, the logit of the confidence. The head computes in float32
    whatever the trunk does: half a pixel matters there.

    ``mirror`` (468,) and ``triangles`` (T, 3) travel with the weights: where each point goes when the picture is
    mirrored, and a triangulation of the points.
    """

    mean: torch.Tensor
    mirror: torch.Tensor
    triangles: torch.Tensor

    def __init__(
        self,
        widths: Sequence[int] = WIDTHS,
        depths: Sequence[int] = DEPTHS,
        *,
        stem: int = STEM,
        neck: int = NECK,
        modes: int = MODES,
        triangles: int = 0,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, stem, 3, 2, 1, bias=False), nn.BatchNorm2d(stem), nn.ReLU(),
            nn.Conv2d(stem, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(),
        )  # fmt: skip
        blocks: list[nn.Module] = []
        channels = widths[0]
        for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for number in range(depth):
                blocks.append(Block(channels, width, 2 if number == 0 and stage > 0 else 1))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.neck = nn.Sequential(nn.Conv2d(channels, neck, 1, bias=False), nn.BatchNorm2d(neck), nn.ReLU())
        side = 24 // 2 ** (len(widths) - 1)
        self.code = nn.Linear(neck * side * side, modes)
        self.shape = nn.Linear(modes, POINTS * 3)
        self.sure = nn.Sequential(nn.Linear(neck * side * side, 32), nn.ReLU(), nn.Linear(32, 1))
        self.register_buffer("mean", torch.zeros(POINTS, 3))
        self.register_buffer("mirror", torch.arange(POINTS))
        self.register_buffer("triangles", torch.zeros(triangles, 3, dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.neck(self.blocks(self.stem(x)))
        with torch.autocast(x.device.type, enabled=False):
            flat = features.float().flatten(1)
            points = self.shape(self.code(flat)) * SPREAD + self.mean.flatten()
            out: torch.Tensor = torch.cat([points, self.sure(flat)], 1)
        return out

    def trunk_to(self, dtype: torch.dtype) -> None:
        """Compute everything before the head in ``dtype``."""
        for part in (self.stem, self.blocks, self.neck):
            part.to(dtype)


def mesh_net(state: Mapping[str, torch.Tensor]) -> MeshNet:
    """The network of a state dictionary, for inference; its sizes are read from the tensors.

    Raises KeyError, ValueError, IndexError or RuntimeError where the tensors are not those of a MeshNet.
    """
    widths, depths = list[int](), list[int]()
    for number in sorted({int(name.split(".")[1]) for name in state if name.startswith("blocks.")}):
        if number == 0 or f"blocks.{number}.shortcut.0.weight" in state:  # a stage begins
            widths.append(state[f"blocks.{number}.conv1.weight"].shape[0])
            depths.append(0)
        depths[-1] += 1
    net = MeshNet(
        widths,
        depths,
        stem=state["stem.0.weight"].shape[0],
        neck=state["neck.0.weight"].shape[0],
        modes=state["code.weight"].shape[0],
        triangles=state["triangles"].shape[0],
    )
    net.load_state_dict(
        {name: tensor.float() if tensor.is_floating_point() else tensor.long() for name, tensor in state.items()}
    )
    return net.eval().requires_grad_(False)


def fused(net: MeshNet) -> MeshNet:
    """``net`` (in eval mode, changed in place) with its normalisations folded into the convolutions before them."""
    for part, at in ((net.stem, 0), (net.stem, 3), (net.neck, 0)):
        part[at], part[at + 1] = fold(part[at], part[at + 1]), nn.Identity()
    for block in net.blocks:
        assert isinstance(block, Block)
        block.conv1, block.norm1 = fold(block.conv1, block.norm1), nn.Identity()
        block.conv2, block.norm2 = fold(block.conv2, block.norm2), nn.Identity()
        if isinstance(block.shortcut, nn.Sequential):
            block.shortcut = fold(block.shortcut[0], block.shortcut[1])
    return net
