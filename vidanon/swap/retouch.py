"""Retouch a donor's portrait for one track, so that the drawn face is a stranger's to a recogniser.

What the source's hair, outline and light still say of it is made up for in the new face: it is made another person's
along the directions in which people's faces differ (:mod:`vidanon.swap.variation`), found once for a track through the
project's own recogniser by steps along its gradient through transformed inputs (Xie et al. 2019). A retouch lies on the
portrait and so moves with the face.

The likeness is brought to a stranger's, not below: a face that is *less* alike than strangers are would tell the
source as surely as one that is more alike. And it begins at a secret place, so that who knows the program cannot draw
the face again to see what was changed.
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
from vidanon.swap.secret import generator
from vidanon.swap.variation import SIDE, Variation, detail, place
from vidanon.types import FloatArray

DARKER, LIGHTER = 0.5, 0.3  #: share of its brightness that a place of the face is changed by, at most
_FAR = 2.0  #: deviations along each direction, at most
_SECRET = 0.3  #: deviation of where it begins, a share of _FAR
_CONTRAST = 1.2  #: times the portrait's own, at most
_STEPS, _AGAIN = 20, 3  #: of the first actor, and of those that begin where the one before ended
_BATCH = 4  #: looks of one step
_RATE = 0.15
_MEAN, _SQUARE = 0.8, 0.99  #: of Adam
_TINY = 1e-8
#: how wide the recogniser looks (1: its own crop; wider shows hair), its look's shift down, and the likeness wanted
_VIEWS = ((1.0, 0.0, -0.09), (1.15, 0.0, -0.08), (1.3, -0.06, -0.08), (1.5, -0.14, -0.06))
_SLACK = 0.05  #: how much below that a likeness may be
_JITTER = (0.04, 0.05, 0.03)  #: radians, share of the size, share of half the crop
_FIRM = 0.2  #: of what is left however near the likeness is to the one wanted
_COST = 0.8  #: of a change by the whole brightness, everywhere


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


@dataclass(frozen=True)
class _Canvas:
    """A portrait to be retouched."""

    own: torch.Tensor  #: (SIDE, SIDE) its detail
    directions: torch.Tensor  #: (K, SIDE, SIDE)
    place: torch.Tensor  #: (SIDE, SIDE) in [0, 1], where it may be changed

    def retouch(self, code: torch.Tensor) -> torch.Tensor:
        """(K,) -> (SIDE, SIDE) in [-DARKER, LIGHTER]."""
        change = torch.einsum("k,khw->hw", _FAR * torch.tanh(code), self.directions)
        whole = self.own + change
        calmed = (_CONTRAST * self._contrast(self.own) / self._contrast(whole)).clamp(max=1)
        change = (calmed * whole - self.own) * (self.place > 0)
        return (change.exp() - 1).clamp(-DARKER, LIGHTER)

    def strength(self, retouch: torch.Tensor) -> torch.Tensor:
        """Mean square over the face."""
        return (retouch.square() * self._share()).sum()

    def _share(self) -> torch.Tensor:
        return self.place / self.place.sum().clamp(min=_TINY)

    def _contrast(self, seen: torch.Tensor) -> torch.Tensor:
        share = self._share()
        return (((seen - (share * seen).sum()).square() * share).sum() + _TINY).sqrt()


class Retoucher:
    """Finds retouches; one method."""

    def __init__(self, composer: Composer, student: Student, variation: Variation, key: bytes) -> None:
        """key: secret; says where retouches begin."""
        self._composer = composer
        self._student = student
        self._variation = variation
        self._key = key

    def __call__(self, shots: Sequence[Shot], shape: Floats, actors: Sequence[Actor]) -> tuple[FloatArray, ...]:
        """K >= 1 looks at the source and its mean shape -> for each actor (SIDE, SIDE) over its portrait, in
        [-DARKER, LIGHTER]: how much lighter or darker it is drawn there, as a share."""
        looks = self._looks(shots)
        further = torch.zeros(len(self._variation.men))
        out = []
        for number, actor in enumerate(actors):
            rng = generator(self._key, b"vidanon retouch", actor.donor.name)
            start = torch.from_numpy(rng.normal(0, _SECRET, len(further)).astype(np.float32))
            faces, canvas = self._faces(shots, shape, actor, rng), self._canvas(actor)
            # where one portrait is to be changed, so is the next, more or less
            code = self._sought(start, start + further, canvas, faces, looks, _AGAIN if number else _STEPS, rng)
            further = code - start
            out.append(np.ascontiguousarray(canvas.retouch(code).numpy()))
        return tuple(out)

    def _canvas(self, actor: Actor) -> _Canvas:
        points = actor.fitted.points * np.float32(SIDE / actor.donor.image.shape[0])
        small = cv2.resize(actor.donor.image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        own = detail(small.astype(np.float32) / np.float32(255), points)
        directions = self._variation.on(points, self._composer.triangles, actor.donor.female)
        return _Canvas(*(torch.from_numpy(each) for each in (own, directions, place(points))))

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
        start: torch.Tensor,
        code: torch.Tensor,
        canvas: _Canvas,
        faces: Sequence[_Face],
        looks: Sequence[_Look],
        steps: int,
        rng: np.random.Generator,
    ) -> torch.Tensor:
        """``code`` after so many steps of Adam (Kingma and Ba 2015), written out: torch.optim takes two seconds to be
        imported. What it costs is counted from ``start``."""
        first = canvas.retouch(start)
        mean, square = torch.zeros_like(code), torch.zeros_like(code)
        for step in range(1, steps + 1):
            code = code.requires_grad_(True)
            chosen = [looks[at] for at in rng.permutation(len(looks))[:_BATCH]]
            retouch = canvas.retouch(code)
            crops = []
            for look in chosen:
                face = faces[look.shot]
                gain = functional.grid_sample(retouch[None, None], face.where, align_corners=False) * face.share
                crops.append(self._crop((face.drawn * (1 + gain)).clamp(0, 1), _seen(look.to_crop, look.view, rng)))
            alike = (self._student.embed_tensor(torch.cat(crops)).cpu() * torch.stack([k.known for k in chosen])).sum(1)
            beyond = alike - torch.tensor([look.wanted for look in chosen])
            beyond = beyond.clamp(min=0) + (-_SLACK - beyond).clamp(min=0)
            loss = beyond.square().mean() + _FIRM * beyond.mean() + _COST * canvas.strength(retouch - first)
            (gradient,) = torch.autograd.grad(loss, code)
            mean = _MEAN * mean + (1 - _MEAN) * gradient
            square = _SQUARE * square + (1 - _SQUARE) * gradient**2
            usual = (square / (1 - _SQUARE**step)).sqrt() + _TINY
            code = code.detach() - _RATE * mean / (1 - _MEAN**step) / usual
        return code

    def _crop(self, patch: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        """(1, 3, S, S) in [0, 1] -> (1, 3, size, size) in 0..255."""
        size = self._student.description.size
        grid = functional.affine_grid(theta[None], [1, 3, size, size], align_corners=False)
        return 255 * functional.grid_sample(patch, grid, align_corners=False)


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
