"""Fewer layers for the same function: what both of our networks do before they are used."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold(conv: nn.Module, norm: nn.Module) -> nn.Conv2d:
    """A convolution and the normalisation that follows it (both in eval mode) as one convolution."""
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    return fuse_conv_bn_eval(conv, norm)
