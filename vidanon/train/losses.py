"""What a student is taught by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F


class Total(Protocol):
    """What the loop needs of a loss."""

    @property
    def total(self) -> torch.Tensor: ...  #: () what is minimised


@dataclass(frozen=True)
class Loss:
    """One batch's loss and the parts worth showing."""

    total: torch.Tensor  #: () what is minimised
    cosine: float  #: mean cosine of student and teacher
    relation: float  #: mean squared difference of the cosines between faces


def distil(student: torch.Tensor, teacher: torch.Tensor) -> Loss:
    """Be where the teacher is, and as far from the others as it is.

    student: (N, D), any norm; teacher: (N, D), unit norm. ``2 (1 - cos)`` of each face, plus 8 times the mean squared
    difference of the two matrices of cosines within the batch (relational distillation).
    """
    own = F.normalize(student.float(), dim=1)
    cosine = (own * teacher).sum(1)
    relation = ((own @ own.T - teacher @ teacher.T) ** 2).mean()
    return Loss((1 - cosine).mean() * 2 + relation * 8, cosine.mean().item(), relation.item())
