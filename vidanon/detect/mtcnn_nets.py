"""The three networks of MTCNN (Zhang et al., 2016, "Joint Face Detection and Alignment using Multitask Cascaded
Convolutional Networks"), as functions over the published weights.

They take pixels as they are, (N, 3, H, W) RGB in 0..255, any number type; of the normalisation ``(x - 127.5) / 128``
the division is folded into the first convolution. Everything runs channels-last, where oneDNN and cuDNN are fastest
with so few channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F

from vidanon.errors import ModelError
from vidanon.zoo.load import load_state

Weights = Mapping[str, torch.Tensor]

# name -> (tensors, out channels, in channels, kernel) of the layers whose shapes pin down the architecture
_EXPECTED: dict[str, dict[str, tuple[int, ...]]] = {
    "pnet": {"conv1.weight": (10, 3, 3, 3), "conv2.weight": (16, 10, 3, 3), "conv3.weight": (32, 16, 3, 3)},
    "rnet": {"conv1.weight": (28, 3, 3, 3), "conv3.weight": (64, 48, 2, 2), "dense4.weight": (128, 576)},
    "onet": {"conv1.weight": (32, 3, 3, 3), "conv4.weight": (128, 64, 2, 2), "dense5.weight": (256, 1152)},
}


def load_net(path: Path, net: str, device: torch.device, dtype: torch.dtype = torch.float32) -> Weights:
    """Weights of ``pnet``, ``rnet`` or ``onet`` from its file, in ``dtype`` on ``device``. Raises ModelError."""
    state = load_state(path)
    for name, shape in _EXPECTED[net].items():
        if name not in state or tuple(state[name].shape) != shape:
            raise ModelError(f"{path}: not the {net} of MTCNN ({name} {shape} expected); reinstall facenet-pytorch")
    out: dict[str, torch.Tensor] = {}
    state = dict(state)
    state["conv1.weight"] = state["conv1.weight"].float() / 128
    heads = {
        "pnet": ("conv4_1", "conv4_2"),
        "rnet": ("dense5_1", "dense5_2"),
        "onet": ("dense6_1", "dense6_2", "dense6_3"),
    }
    for part in ("weight", "bias"):  # the heads read the same features: one layer
        classes, *rest = (state.pop(f"{head}.{part}").float() for head in heads[net])
        # softmax over (no face, face) is the sigmoid of their difference
        out[f"heads.{part}"] = torch.cat([classes[1:2] - classes[0:1], *rest])
    out.update({name: tensor.float() for name, tensor in state.items()})
    if dtype is not torch.float32:
        _pad_channels(out)
    formats = {name: torch.channels_last if t.ndim == 4 else torch.contiguous_format for name, t in out.items()}
    return {name: t.to(device, dtype).contiguous(memory_format=formats[name]) for name, t in out.items()}


def _centred(x: torch.Tensor, w: Weights) -> torch.Tensor:
    """Pixels 0..255 less their middle: exact in bfloat16 too, as whole numbers and halves below 128 need 8 bits."""
    return x.to(w["conv1.weight"].dtype, copy=True).sub_(127.5)


def _pad_channels(w: dict[str, torch.Tensor]) -> None:
    """Unused channels after conv1, up to a multiple of 16: bfloat16 kernels crawl through any remainder."""
    more = -w["conv1.bias"].shape[0] % 16
    for name in ("conv1.weight", "conv1.bias", "prelu1.weight"):
        w[name] = F.pad(w[name], (0, 0) * (w[name].ndim - 1) + (0, more))
    w["conv2.weight"] = F.pad(w["conv2.weight"], (0, 0, 0, 0, 0, more))


def _prelu(x: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """PReLU of a channels-last map as one long row per image row: with 10 channels, three times faster on a CPU."""
    n, c, h, w = x.shape
    rows = x.permute(0, 2, 3, 1).reshape(n * h, w * c)
    return F.prelu(rows, slope.repeat(w)).view(n, h, w, c).permute(0, 3, 1, 2)


def _conv(x: torch.Tensor, w: Weights, layer: int) -> torch.Tensor:
    return F.conv2d(x, w[f"conv{layer}.weight"], w[f"conv{layer}.bias"])


def _pool(x: torch.Tensor, size: int) -> torch.Tensor:
    return F.max_pool2d(x, size, 2, ceil_mode=True)


def _dense(x: torch.Tensor, w: Weights, layer: int) -> torch.Tensor:
    # the published weights count features column by column (width before height)
    flat = x.permute(0, 3, 2, 1).reshape(x.shape[0], -1)
    hidden = F.linear(flat, w[f"dense{layer}.weight"], w[f"dense{layer}.bias"])
    return F.linear(F.prelu(hidden, w[f"prelu{layer}.weight"]), w["heads.weight"], w["heads.bias"]).float()


def pnet(x: torch.Tensor, w: Weights) -> torch.Tensor:
    """(N, 3, H, W) -> (N, 5, h, w): logit of "face", then the regression of x0 y0 x1 y1, one cell per 2 px of 12."""
    x = _centred(x, w)
    x = _pool(_prelu(_conv(x, w, 1), w["prelu1.weight"]), 2)
    x = _prelu(_conv(x, w, 2), w["prelu2.weight"])
    x = _prelu(_conv(x, w, 3), w["prelu3.weight"])
    return F.conv2d(x, w["heads.weight"], w["heads.bias"]).float()


def rnet(x: torch.Tensor, w: Weights) -> torch.Tensor:
    """(N, 3, 24, 24) -> (N, 5): logit of "face", regression of x0 y0 x1 y1 in shares of the crop."""
    x = _centred(x, w)
    x = _pool(F.prelu(_conv(x, w, 1), w["prelu1.weight"]), 3)
    x = _pool(F.prelu(_conv(x, w, 2), w["prelu2.weight"]), 3)
    x = F.prelu(_conv(x, w, 3), w["prelu3.weight"])
    return _dense(x, w, 4)


def onet(x: torch.Tensor, w: Weights) -> torch.Tensor:
    """(N, 3, 48, 48) -> (N, 15): as :func:`rnet`, then five landmarks, x of each and y of each, shares of the crop."""
    x = _centred(x, w)
    x = _pool(F.prelu(_conv(x, w, 1), w["prelu1.weight"]), 3)
    x = _pool(F.prelu(_conv(x, w, 2), w["prelu2.weight"]), 3)
    x = _pool(F.prelu(_conv(x, w, 3), w["prelu3.weight"]), 2)
    x = F.prelu(_conv(x, w, 4), w["prelu4.weight"])
    return _dense(x, w, 5)
