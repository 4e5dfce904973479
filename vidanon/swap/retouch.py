"""Retouch a donor's portrait for one track, so that the drawn face is a stranger's to a recogniser.

What the source's hair, outline and light still say of it is made up for by changes of light and shade in the new face.
They are small and smooth, lie on the portrait and so move with the face, and are found once for a track, through the
project's own recogniser: steps along its gradient through transformed inputs (Xie et al. 2019), on a coarse map.

The likeness is brought to a stranger's, not below: a face that is *less* alike than strangers are would tell the
source as surely as one that is more alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch.nn import functional

from vidanon.faces.mesh_points import five
from vidanon.faces.mesh_pose import Floats
from vidanon.recognise.crop import to_crop
from vidanon.recognise.student import Student
from vidanon.swap.base import Shot
from vidanon.swap.composite import Actor, Composer
from vidanon.swap.light import LUMA, smoothed
from vidanon.swap.merge import inner, rims
from vidanon.types import FloatArray

SIDE = 128  #: of a retouch, whatever the portrait's size
MOST = 0.25  #: share of its brightness that a place of the face is made lighter or darker, at most
_CELLS = 28  #: of the map that is sought, on each axis; even
_STEPS, _AGAIN = 12, 4  #: of the first actor, and of those that begin where the one before ended
_BATCH = 5  #: looks of one step
_RATE = 0.3
_MEAN, _SQUARE, _TINY = 0.8, 0.99, 1e-8  #: of Adam
#: how wide the recogniser looks (1: its own crop; wider shows hair), its look's shift down, and the likeness wanted
_VIEWS = ((1.0, 0.0, -0.03), (1.12, 0.0, 0.0), (1.25, -0.05, 0.0), (1.4, -0.12, 0.05))
_SLACK = 0.08  #: how much below that a likeness may be
_JITTER = (0.04, 0.05, 0.03)  #: radians, share of the size, share of half the crop
_FLAT = 0.2  #: of the eye distance: what is even over it is smooth skin
_BUSY = 0.4  #: deviation of the brightness, a share, that hides a retouch wholly
_SMOOTH = 0.45  #: of MOST, for smooth skin
_COST = 0.1  #: of a retouch at its strongest everywhere


@dataclass(frozen=True)
class _Look:
    """A shot of the source as the recogniser sees it."""

    shot: int
    view: int
    to_crop: torch.Tensor  #: (2, 3)
    wanted: float  #: likeness
    known: torch.Tensor  #: (D,) what it is compared with


@dataclass(frozen=True)
class _Face:
    """An actor drawn over a shot."""

    drawn: torch.Tensor  #: (1, 3, S, S)
    where: torch.Tensor  #: (1, S, S, 2) in the portrait, [-1, 1]
    share: torch.Tensor  #: (S, S) of the new face


class Retoucher:
    """Finds retouches; one method."""

    def __init__(self, composer: Composer, student: Student, seed: int = 0) -> None:
        self._composer = composer
        self._student = student
        self._seed = seed

    def __call__(self, shots: Sequence[Shot], shape: Floats, actors: Sequence[Actor]) -> tuple[FloatArray, ...]:
        """K >= 1 looks at the source and its mean shape -> for each actor (SIDE, SIDE) over its portrait, in
        [-MOST, MOST]: how much lighter or darker it is drawn there, as a share."""
        rng = np.random.default_rng(self._seed)
        looks = self._looks(shots)
        coarse = torch.zeros(1, 1, _CELLS, _CELLS // 2)
        out = []
        for number, actor in enumerate(actors):
            faces, bound = self._faces(shots, shape, actor, rng), torch.from_numpy(_bound(actor))
            # all portraits are framed alike: where one is to be changed, so is the next, more or less
            coarse = self._sought(coarse, bound, faces, looks, _AGAIN if number else _STEPS, rng)
            out.append(np.ascontiguousarray((bound * _spread(coarse))[0, 0].numpy()))
        return tuple(out)

    def _looks(self, shots: Sequence[Shot]) -> list[_Look]:
        crops, looks = [], []
        for number, shot in enumerate(shots):
            to_crop = _theta(shot.mesh, shot.patch.shape[0], self._student)
            for view, (_, _, wanted) in enumerate(_VIEWS):
                crops.append(self._crop(_tensor(shot.patch), _seen(to_crop, view)))
                looks.append((number, view, to_crop, wanted))
        with torch.no_grad():
            known = self._student.embed_tensor(torch.cat(crops)).cpu()
        return [_Look(*each, embedding) for each, embedding in zip(looks, known, strict=True)]

    def _faces(self, shots: Sequence[Shot], shape: Floats, actor: Actor, rng: np.random.Generator) -> list[_Face]:
        offset = self._composer.shapes.offset(actor.shape, shape)
        faces = []
        for shot in shots:
            drawn = self._composer.draw(shot.patch, shot.mesh, offset, actor, None, rng).patch
            where, share = self._composer.trace(shot.mesh, shot.patch.shape[0], offset, actor)
            where = (where + np.float32(0.5)) * np.float32(2 / actor.donor.image.shape[0]) - np.float32(1)
            faces.append(_Face(_tensor(drawn), torch.from_numpy(where)[None], torch.from_numpy(share)))
        return faces

    def _sought(
        self,
        coarse: torch.Tensor,
        bound: torch.Tensor,
        faces: Sequence[_Face],
        looks: Sequence[_Look],
        steps: int,
        rng: np.random.Generator,
    ) -> torch.Tensor:
        """``coarse`` after so many steps of Adam (Kingma and Ba 2015), written out: torch.optim takes two seconds to be
        imported."""
        mean, square = torch.zeros_like(coarse), torch.zeros_like(coarse)
        for step in range(1, steps + 1):
            coarse = coarse.requires_grad_(True)
            chosen = [looks[at] for at in rng.permutation(len(looks))[:_BATCH]]
            spread = _spread(coarse)
            crops = []
            for look in chosen:
                face = faces[look.shot]
                gain = functional.grid_sample(bound * spread, face.where, align_corners=False) * face.share
                crops.append(self._crop((face.drawn * (1 + gain)).clamp(0, 1), _seen(look.to_crop, look.view, rng)))
            alike = (self._student.embed_tensor(torch.cat(crops)).cpu() * torch.stack([k.known for k in chosen])).sum(1)
            beyond = alike - torch.tensor([look.wanted for look in chosen])
            beyond = beyond.clamp(min=0) + (-_SLACK - beyond).clamp(min=0)
            loss = beyond.square().mean() + _COST * spread.square().mean()
            (gradient,) = torch.autograd.grad(loss, coarse)
            mean = _MEAN * mean + (1 - _MEAN) * gradient
            square = _SQUARE * square + (1 - _SQUARE) * gradient**2
            usual = (square / (1 - _SQUARE**step)).sqrt() + _TINY
            coarse = coarse.detach() - _RATE * mean / (1 - _MEAN**step) / usual
        return coarse

    def _crop(self, patch: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        """(1, 3, S, S) in [0, 1] -> (1, 3, size, size) in 0..255."""
        size = self._student.description.size
        grid = functional.affine_grid(theta[None], [1, 3, size, size], align_corners=False)
        return 255 * functional.grid_sample(patch, grid, align_corners=False)


def _bound(actor: Actor) -> FloatArray:
    """(SIDE, SIDE) how much a place may be changed: most where there is much to see already, little on smooth skin."""
    image = cv2.resize(actor.donor.image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    luma: FloatArray = np.asarray(image @ LUMA, np.float32) / np.float32(255)
    less = SIDE / actor.donor.image.shape[0]
    inside, unit = inner(rims(actor.donor.points * np.float32(less), actor.unit * less, SIDE)), actor.unit * less
    even = smoothed(luma, _FLAT * unit)
    detail: FloatArray = np.asarray(inside * (luma - even) / np.maximum(even, np.float32(0.05)), np.float32)
    busy = np.sqrt(smoothed(detail * detail, _FLAT * unit))
    return np.asarray(MOST * np.clip(busy / _BUSY, _SMOOTH, 1), np.float32)


def _spread(half: torch.Tensor) -> torch.Tensor:
    """(1, 1, n, n / 2) -> (1, 1, SIDE, SIDE) in [-1, 1], its right side the image of the left: what is even on both
    sides of a face is read as its build, what is not as dirt."""
    coarse = torch.cat([half, half.flip(3)], 3)
    return torch.tanh(functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic", align_corners=False))


def _theta(mesh: FloatArray, size: int, student: Student) -> torch.Tensor:
    """(2, 3) from the recogniser's crop to a patch of ``size``, both in [-1, 1], as ``affine_grid`` takes it."""
    side = student.description.size
    matrix = to_crop(five(mesh)[:, :2], student.description)
    linear = np.linalg.inv(matrix[:, :2])
    middle = linear @ (np.full(2, (side - 1) / 2) - matrix[:, 2])  # where the middle of the crop lies, px
    shift = (middle + 0.5) * 2 / size - 1
    return torch.from_numpy(np.concatenate([linear * side / size, shift[:, None]], 1).astype(np.float32))


def _seen(theta: torch.Tensor, view: int, rng: np.random.Generator | None = None) -> torch.Tensor:
    """A crop as wide as ``view`` says, jittered if there is a ``rng``."""
    zoom, down, _ = _VIEWS[view]
    angle, scale, shift = (0.0, 1.0, np.zeros(2))
    if rng is not None:
        angle, scale = rng.normal(0, _JITTER[0]), 1 + rng.normal(0, _JITTER[1])
        shift = rng.normal(0, _JITTER[2], 2)
    turn = zoom * scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = torch.from_numpy(np.concatenate([turn, (shift + [0, down])[:, None]], 1).astype(np.float32))
    return torch.cat([theta[:, :2] @ moved[:, :2], theta[:, :2] @ moved[:, 2:] + theta[:, 2:]], 1)


def _tensor(picture: FloatArray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]
