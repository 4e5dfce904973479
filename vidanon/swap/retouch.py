"""Retouch a donor's portrait for one track, so that the drawn face is a stranger's to a recogniser.

What the source's hair, outline and light still say of it is made up for by changes of light and shade in the new face.
They are small and smooth, lie on the portrait and so move with the face, and are found once for a track, through the
project's own recogniser: iterations of momentum on its gradient, with transformed inputs (Dong et al. 2018, Xie et al.
2019), the perturbation a coarse map as in Sharif et al. 2016.

The likeness is brought to a stranger's, not below: a face that is *less* alike than strangers are would tell the
source as surely as one that is more alike.
"""

from __future__ import annotations

from collections.abc import Sequence

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
_STEPS = 10
_BATCH = 6  #: looks of one step
_RATE = 0.3
_MEAN, _SQUARE, _TINY = 0.8, 0.99, 1e-8  #: of Adam
#: how wide the recogniser looks (1: its own crop; wider shows hair), its look's shift down, and the likeness wanted
_VIEWS = ((1.0, 0.0, -0.03), (1.12, 0.0, 0.0), (1.25, -0.05, 0.0), (1.4, -0.12, 0.05))
_JITTER = (0.04, 0.05, 0.03)  #: radians, share of the size, share of half the crop
_FLAT = 0.2  #: of the eye distance: what is even over it is smooth skin
_BUSY = 0.4  #: deviation of the brightness, a share, that hides a retouch wholly
_SMOOTH = 0.4  #: of MOST, for smooth skin
_COST = 0.12  #: of a retouch at its strongest everywhere


class Retoucher:
    """Finds retouches; one method."""

    def __init__(self, composer: Composer, student: Student, seed: int = 0) -> None:
        self._composer = composer
        self._student = student
        self._seed = seed

    def __call__(self, shots: Sequence[Shot], shape: Floats, actor: Actor) -> FloatArray:
        """K >= 1 looks at the source and its mean shape -> (SIDE, SIDE) over the actor's portrait, in [-MOST, MOST]:
        how much lighter or darker it is drawn there, as a share."""
        rng = np.random.default_rng(self._seed)
        offset = self._composer.shapes.offset(actor.shape, shape)
        drawn, where, weight, to_crops = [], [], [], []
        for shot in shots:
            size = shot.patch.shape[0]
            drawn.append(self._composer.draw(shot.patch, shot.mesh, offset, actor, None, rng).patch)
            place, share = self._composer.trace(shot.mesh, size, offset, actor)
            where.append(torch.from_numpy((place + 0.5) * (2 / actor.donor.image.shape[0]) - 1))
            weight.append(torch.from_numpy(share))
            to_crops.append(_theta(shot.mesh, size, self._student))
        faces = [_tensor(face) for face in drawn]
        sources = [_tensor(shot.patch) for shot in shots]
        looks = [(k, view) for k in range(len(shots)) for view in range(len(_VIEWS))]
        with torch.inference_mode():
            known = self._student.embed_tensor(
                torch.cat([self._crop(sources[k], _seen(to_crops[k], view)) for k, view in looks])
            ).cpu()
        known = known.clone()
        wanted = torch.tensor([_VIEWS[view][2] for _, view in looks])
        room = torch.from_numpy(_room(actor))
        coarse = torch.zeros(1, 1, _CELLS, _CELLS // 2, requires_grad=True)
        mean, square = torch.zeros_like(coarse), torch.zeros_like(coarse)
        for step in range(1, _STEPS + 1):
            chosen = rng.permutation(len(looks))[:_BATCH]
            retouch = room * _spread(coarse)
            crops = []
            for at in chosen:
                k, view = looks[at]
                gain = functional.grid_sample(retouch, where[k][None], align_corners=False) * weight[k]
                crops.append(self._crop((faces[k] * (1 + gain)).clamp(0, 1), _seen(to_crops[k], view, rng)))
            alike = (self._student.embed_tensor(torch.cat(crops)).cpu() * known[chosen]).sum(1)
            beyond = alike - wanted[chosen]
            loss = (beyond.clamp(min=0) ** 2).mean() + _COST * _spread(coarse).square().mean()
            (gradient,) = torch.autograd.grad(loss, coarse)
            # Adam (Kingma and Ba 2015), written out: torch.optim takes two seconds to be imported
            mean = _MEAN * mean + (1 - _MEAN) * gradient
            square = _SQUARE * square + (1 - _SQUARE) * gradient**2
            usual = (square / (1 - _SQUARE**step)).sqrt() + _TINY
            with torch.no_grad():
                coarse -= _RATE * mean / (1 - _MEAN**step) / usual
        with torch.inference_mode():
            return np.ascontiguousarray((room * _spread(coarse))[0, 0].numpy())

    def _crop(self, patch: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        """(1, 3, S, S) in [0, 1] -> (1, 3, size, size) in 0..255."""
        size = self._student.description.size
        grid = functional.affine_grid(theta[None], [1, 3, size, size], align_corners=False)
        return 255 * functional.grid_sample(patch, grid, align_corners=False)


def _room(actor: Actor) -> FloatArray:
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
