"""The student's network: an IR net (residual blocks as Deng et al., 2019 arrange them for faces), 2.28 M parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from vidanon.runtime.fold import fold

WIDTHS = (32, 32, 64, 128, 192)  #: channels of the stem and of the four stages
DEPTHS = (1, 2, 3, 2)  #: blocks per stage; every stage but the first halves the side


class Block(nn.Module):
    """Residual block: normalise, 3x3, normalise, PReLU, 3x3 (with the stride), normalise; shortcut beside it."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.act = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if inputs != outputs or stride != 1:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.act(self.norm1(self.conv1(self.norm(x))))
        out: torch.Tensor = self.norm2(self.conv2(y)) + self.shortcut(x)
        return out


class StudentNet(nn.Module):
    """(N, 3, 112, 112) RGB, ``(pixel - 127.5) / 128`` -> (N, dimensions), not normalised.

    The last layer normalises each dimension over people, so that the embedding is centred before it is scaled to 1.
    """

    def __init__(self, dimensions: int = 256, widths: Sequence[int] = WIDTHS, depths: Sequence[int] = DEPTHS) -> None:
        super().__init__()
        self.dimensions = dimensions
        self.stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 3, 2, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.PReLU(widths[0])
        )
        blocks: list[nn.Module] = []
        channels = widths[0]
        for stage, (width, depth) in enumerate(zip(widths[1:], depths, strict=True)):
            for number in range(depth):
                blocks.append(Block(channels, width, 2 if number == 0 and stage > 0 else 1))
                channels = width
        self.blocks = nn.Sequential(*blocks)
        self.channels = channels
        self.head = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, channels, 7, groups=channels, bias=False),  # a weight for each place of the 7x7 map
            nn.Flatten(),
            nn.Linear(channels, dimensions),
            nn.BatchNorm1d(dimensions, affine=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.blocks(self.stem(x)))
        return out


def student_net(state: Mapping[str, torch.Tensor]) -> StudentNet:
    """The network of a state dictionary, for inference; its sizes are read from the tensors.

    Raises KeyError, ValueError or RuntimeError where the tensors are not those of a StudentNet.
    """
    widths, depths = [state["stem.0.weight"].shape[0]], list[int]()
    numbers = sorted({int(name.split(".")[1]) for name in state if name.startswith("blocks.")})
    for number in numbers:
        if number == 0 or f"blocks.{number}.shortcut.0.weight" in state:  # a stage begins
            widths.append(state[f"blocks.{number}.conv1.weight"].shape[0])
            depths.append(0)
        depths[-1] += 1
    net = StudentNet(state["head.3.weight"].shape[0], widths, depths)
    net.load_state_dict(
        {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    )
    return net.eval().requires_grad_(False)


def fused(net: StudentNet) -> StudentNet:
    """``net`` (in eval mode, changed in place) with every normalisation that follows a convolution folded into it.

    The same function, with 24 layers fewer. A block's first normalisation stays: zero padding comes after it.
    """
    net.stem[0], net.stem[1] = fold(net.stem[0], net.stem[1]), nn.Identity()
    for block in net.blocks:
        assert isinstance(block, Block)
        block.conv1 = fold(block.conv1, block.norm1)
        block.conv2 = fold(block.conv2, block.norm2)
        block.norm1, block.norm2 = nn.Identity(), nn.Identity()  # type: ignore[assignment]
        if isinstance(block.shortcut, nn.Sequential):
            block.shortcut = fold(block.shortcut[0], block.shortcut[1])
    return net
