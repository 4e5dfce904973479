"""Shapes that cover a face, rendered into masks at patch resolution, batched on any device.

A mask is 1 all over its shape and falls to 0 outside it only. It is brought to the frame by linear interpolation,
which reads neighbours up to one patch pixel away on each axis; the shape is therefore first grown by a *guard*, so
that every frame pixel that the shape touches ends up with alpha 1 (a property test looks).
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch

from vidanon.types import FaceBatch

Shape = Literal["solid", "ellipse", "hull"]
DIRECTIONS = 32  #: half-planes of a hull
LANDMARK_MARGIN = 0.35  #: how far a hull reaches beyond a landmark, share of the eye distance


def render(batch: FaceBatch, shape: Shape, scale: float, feather: float) -> torch.Tensor:
    """Masks (N, 1, S, S) float32 in [0, 1] on the device of ``batch``.

    ``scale`` grows the shape about the box's centre; ``feather`` is the width of the soft edge outside it, as a
    share of the box's longer side. ``solid`` is the box, ``ellipse`` the one inscribed in it, ``hull`` the convex
    hull of that ellipse, the same ellipse turned with the head, and the landmarks.
    """
    device = batch.patches.device
    size = batch.patches.shape[-1]
    boxes = torch.from_numpy(batch.boxes).to(device)
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    centre = (boxes[:, 2:] + boxes[:, :2]) / 2
    longest = half.amax(1)
    # sqrt(|det|): frame pixels per patch pixel. Half a frame pixel's diagonal makes touching a pixel count.
    (a, b), (c, d) = batch.to_frame[:, 0, :2].T, batch.to_frame[:, 1, :2].T
    per_patch = np.sqrt(np.abs(a * d - b * c)).clip(1e-6)
    guard = torch.from_numpy(math.sqrt(2) + math.sqrt(0.5) / per_patch).to(device, torch.float32)
    grid = torch.arange(size, device=device, dtype=torch.float32) + 0.5
    x = (grid[None, :] - centre[:, :1])[:, None, :]  # (N, 1, S)
    y = (grid[None, :] - centre[:, 1:])[:, :, None]  # (N, S, 1)
    grown = half * scale
    if shape == "solid":
        distance = _to_rectangle(x, y, grown, guard)
    elif shape == "ellipse":
        distance = _to_ellipse(x, y, grown, guard)
    else:
        distance = _to_hull(x, y, centre, half, torch.from_numpy(batch.landmarks).to(device), scale, guard)
    width = (2 * longest * feather).clamp(min=1e-3)[:, None, None]
    ramp = distance.div_(width).neg_().add_(1).clamp_(0, 1)
    return (ramp * ramp).mul_(ramp.mul_(-2).add_(3))[:, None]  # smoothstep


def _to_rectangle(x: torch.Tensor, y: torch.Tensor, half: torch.Tensor, guard: torch.Tensor) -> torch.Tensor:
    """(N, S, S) distance to the rectangles of half sides (N, 2), grown by guard (N,); 0 inside."""
    dx = (x.abs() - (half[:, 0] + guard)[:, None, None]).clamp(min=0)
    dy = (y.abs() - (half[:, 1] + guard)[:, None, None]).clamp(min=0)
    return torch.hypot(dx, dy)


def _to_ellipse(x: torch.Tensor, y: torch.Tensor, half: torch.Tensor, guard: torch.Tensor) -> torch.Tensor:
    """(N, S, S) distance along the ray from the centre to the ellipses of semi-axes (N, 2); <= 0 inside."""
    a, b = half[:, 0], half[:, 1]
    # An ellipse grown by g on both axes stays inside the true offset curve by up to this factor.
    guard = guard * (a + b) / (2 * (a * b).sqrt()).clamp(min=1e-6)
    squared = (x / (a + guard)[:, None, None]) ** 2 + (y / (b + guard)[:, None, None]) ** 2  # 1 on the ellipse
    return (x**2 + y**2).sqrt_().mul_(squared.clamp_(min=1e-12).rsqrt_().neg_().add_(1))


def _to_hull(
    x: torch.Tensor,
    y: torch.Tensor,
    centre: torch.Tensor,
    half: torch.Tensor,
    landmarks: torch.Tensor,
    scale: float,
    guard: torch.Tensor,
) -> torch.Tensor:
    """(N, S, S) distance to the hulls, each an intersection of half-planes that contains the exact hull.

    The reach of a hull in a direction n is its support function: the largest of those of its members.
    """
    angles = torch.arange(DIRECTIONS, device=x.device, dtype=torch.float32) * (2 * math.pi / DIRECTIONS)
    normals = torch.stack([angles.cos(), angles.sin()], 1)  # (K, 2)
    longest = half.amax(1, keepdim=True)
    support = (half[:, None] * normals).norm(dim=2)  # (N, K)
    known = torch.isfinite(landmarks).all(2).all(1)
    marks = torch.where(known[:, None, None], landmarks - centre[:, None], torch.zeros_like(landmarks))
    up = marks[:, :2].mean(1) - marks[:, 3:].mean(1)
    length = up.norm(dim=1, keepdim=True)
    up = torch.where(length > 0, up / length.clamp(min=1e-6), torch.tensor([0.0, -1.0], device=x.device))
    across = up[:, :1] * normals[:, 1] - up[:, 1:] * normals[:, 0]
    along = torch.hypot(longest * (up @ normals.T), half.amin(1, keepdim=True) * across)
    margin = LANDMARK_MARGIN * (marks[:, 0] - marks[:, 1]).norm(dim=1, keepdim=True)
    reached = (marks @ normals.T).amax(1) + margin
    # A landmark outside the box (a turned head, a poor guess) must not push the shape out of the patch.
    turned = torch.maximum(along, torch.minimum(reached, longest))
    support = torch.where(known[:, None], torch.maximum(support, turned), support) * scale + guard[:, None]
    distance = torch.full((x.shape[0], y.shape[1], x.shape[2]), -torch.inf, device=x.device)
    for k in range(DIRECTIONS):
        plane = (y * normals[k, 1] - support[:, k, None, None]) + x * normals[k, 0]
        torch.maximum(distance, plane, out=distance)
    return distance
