"""What the landmark network is taught by: where the points are, how far lids and lips are apart, and how sure to be."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from vidanon.faces import mesh_points
from vidanon.faces.mesh_points import POINTS

ERROR = 0.1  #: share of the eye distance: the error at which the confidence is 1 / e
_BEND = 0.01  # share of the eye distance: errors below it count by their square
_DEPTH = 0.4  # of z beside 1 of x and y
_GAPS = 2.0  # weight of the distances of lids and lips
_SURE = 0.05  # weight of the confidence
_WEIGHTS = {
    mesh_points.RIGHT_EYE: 3.0, mesh_points.LEFT_EYE: 3.0, mesh_points.LIPS_INNER: 2.5, mesh_points.LIPS_OUTER: 2.5,
    mesh_points.RIGHT_BROW: 1.5, mesh_points.LEFT_BROW: 1.5, mesh_points.NOSE: 1.5,
}  # fmt: skip


@dataclass(frozen=True)
class MeshLoss:
    """One batch's loss and the parts worth showing."""

    total: torch.Tensor  #: () what is minimised
    error: float  #: mean distance in the picture, share of the eye distance, of the faces that count
    sure: float  #: cross-entropy of the confidence


def pack(points: torch.Tensor, weight: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Targets of a batch as one tensor (N, 468 * 3 + 2).

    points: (N, 468, 3), shares of the crop; weight: (N,) how much a face's points count, 0 where there is no face;
    seen: (N,) 0..1, the greatest confidence a face may have, for what is hidden or cut off.
    """
    return torch.cat([points.flatten(1), weight[:, None], seen[:, None]], 1)


def mesh_loss(answers: torch.Tensor, targets: torch.Tensor) -> MeshLoss:
    """answers: (N, 468 * 3 + 1) of a MeshNet; targets: as :func:`pack` makes them.

    Distances count as shares of the face's own eye distance (in space), eyes and lips more than the rest. The
    confidence learns ``seen * exp(-(error / ERROR)^2)`` of the error that the network makes on the face.
    """
    points, goal = (tensor[:, : POINTS * 3].float().reshape(-1, POINTS, 3) for tensor in (answers, targets))
    weight, seen = targets[:, -2], targets[:, -1]
    eyes = [goal[:, list(eye)].mean(1) for eye in (mesh_points.RIGHT_EYE, mesh_points.LEFT_EYE)]
    distance = (eyes[0] - eyes[1]).norm(dim=1).clamp_min(1e-3)
    away = (points - goal) / distance[:, None, None]
    each = F.smooth_l1_loss(away, torch.zeros_like(away), beta=_BEND, reduction="none")
    each = each * each.new_tensor([1.0, 1.0, _DEPTH])
    share = torch.ones(POINTS, device=each.device)
    for indices, more in _WEIGHTS.items():
        share[list(indices)] = more
    per_face = (each.sum(2) * (share / share.mean())).mean(1)
    gaps = torch.zeros_like(per_face)
    for pairs in (mesh_points.RIGHT_LIDS, mesh_points.LEFT_LIDS, mesh_points.LIPS):
        upper, lower = ([pair[side] for pair in pairs] for side in (0, 1))
        apart = away[:, upper] - away[:, lower]
        gaps = gaps + F.smooth_l1_loss(apart, torch.zeros_like(apart), beta=_BEND, reduction="none").mean((1, 2))
    counted = weight.sum().clamp_min(1e-6)
    place = ((per_face + _GAPS * gaps) * weight).sum() / counted
    with torch.no_grad():
        error = away[..., :2].norm(dim=2).mean(1)
        confident = torch.where(weight > 0, seen * torch.exp(-((error / ERROR) ** 2)), torch.zeros_like(seen))
        plain = weight >= 1
        shown = error[plain].mean().item() if bool(plain.any()) else float("nan")
    sure = F.binary_cross_entropy_with_logits(answers[:, -1].float(), confident)
    return MeshLoss(place + _SURE * sure, shown, sure.item())
