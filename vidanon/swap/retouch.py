"""Retouch a donor's portrait for one track, so that the drawn face is a stranger's to a recogniser.

What the source's hair, outline and light still say of it is made up for in the new face: it is made another person's
along the directions in which people's faces differ (:mod:`vidanon.swap.variation`), found once for a track through the
project's own recogniser by steps along its gradient through transformed inputs (Xie et al. 2019). A retouch lies on the
portrait and so moves with the face.

Where the source is still known after that, and only there, the new face may have more contrast than its portrait:
strong features tell people apart, and look like paint.

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
from vidanon.recognise.base import Description
from vidanon.recognise.crop import to_crop
from vidanon.recognise.student import Student
from vidanon.swap.base import Shot
from vidanon.swap.composite import Actor, Composer
from vidanon.swap.outline import WIDER
from vidanon.swap.secret import generator
from vidanon.swap.variation import SIDE, Variation, detail, place
from vidanon.swap.wide import VIEWS, wider
from vidanon.types import FloatArray

DARKER, LIGHTER = 0.5, 0.3  #: share of its brightness that a place of the face is changed by, at most
_FAR = 2.0  #: deviations along each direction, at most
_SECRET = 0.6  #: deviation of where it begins, a share of _FAR
_CALM, _BOLD = 0.92, 1.4  #: times the portrait's own contrast that the face may have at first, and then
_LEFT = -0.07  #: the likeness from which on it may have more
_STEPS, _BOLDER = 8, 6  #: of the search, at first and where the contrast was raised
_BATCH = 3  #: looks of one step
_RATE = 0.22
_MEAN, _SQUARE = 0.8, 0.99  #: of Adam
_TINY = 1e-8
_WANTED = (-0.09, -0.08, -0.08, -0.06)  #: the likeness that each of VIEWS is to have
_SLACK = 0.05  #: how much below that a likeness may be
_JITTER = (0.04, 0.05, 0.03)  #: radians, share of the size, share of half the crop
_FIRM = 0.2  #: of what is left however near the likeness is to the one wanted
_COST = 1.2  #: of a change by the whole brightness, everywhere


@dataclass(frozen=True)
class _Look:
    """A shot of the source as the recogniser sees it."""

    shot: int
    view: tuple[float, float]
    to_crop: torch.Tensor  #: (2, 3)
    wanted: float  #: likeness
    known: torch.Tensor  #: (D,) what it is compared with


@dataclass(frozen=True)
class _Face:
    """An actor drawn over a shot."""

    drawn: torch.Tensor  #: (1, 3, S, S)
    where: torch.Tensor  #: (1, S, S, 2) in the portrait, [-1, 1]
    share: torch.Tensor  #: (S, S) of the new face

    def retouched(self, retouch: torch.Tensor) -> torch.Tensor:
        """(SIDE, SIDE) -> (1, 3, S, S), as :meth:`Composer.draw` draws it."""
        gain = functional.grid_sample(retouch[None, None], self.where, align_corners=False) * self.share
        return (self.drawn * (1 + gain)).clamp(0, 1)


@dataclass(frozen=True)
class _Canvas:
    """A portrait to be retouched."""

    own: torch.Tensor  #: (SIDE, SIDE) its detail
    directions: torch.Tensor  #: (K, SIDE, SIDE)
    place: torch.Tensor  #: (SIDE, SIDE) in [0, 1], where it may be changed

    def retouch(self, code: torch.Tensor, contrast: float) -> torch.Tensor:
        """(K,), times the portrait's own contrast that there may be -> (SIDE, SIDE) in [-DARKER, LIGHTER]."""
        change = torch.einsum("k,khw->hw", _FAR * torch.tanh(code), self.directions)
        whole = self.own + change
        calmed = (contrast * self._contrast(self.own) / self._contrast(whole)).clamp(max=1)
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
        further, contrast = torch.zeros(len(self._variation.men)), _CALM
        out: list[FloatArray] = []
        for actor in actors:
            rng = generator(self._key, b"vidanon retouch", actor.donor.name)
            start = torch.from_numpy(rng.normal(0, _SECRET, len(further)).astype(np.float32))
            # where one portrait is to be changed, so is the next, more or less: those who stand by are seldom needed
            code, canvas = start + further, self._canvas(actor)
            if not out:
                faces = self._faces(shots, shape, actor, rng)
                code = self._sought(start, code, canvas, faces, looks, contrast, _STEPS, rng)
                if self._left(canvas.retouch(code, contrast), faces, looks) > _LEFT:
                    contrast = _BOLD
                    code = self._sought(start, code, canvas, faces, looks, contrast, _BOLDER, rng)
            further = code - start
            out.append(np.ascontiguousarray(canvas.retouch(code, contrast).numpy()))
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
            for view, wanted in zip(VIEWS, _WANTED, strict=True):
                to_crop = _theta(shot.mesh, shot.patch.shape[0], wider(self._student.description, view))
                crops.append(self._crop(_tensor(shot.patch), to_crop))
                looks.append((number, view, to_crop, wanted))
        with torch.no_grad():
            known = self._student.embed_tensor(torch.cat(crops)).cpu()
        return [_Look(*each, embedding) for each, embedding in zip(looks, known, strict=True)]

    def _faces(self, shots: Sequence[Shot], shape: Floats, actor: Actor, rng: np.random.Generator) -> list[_Face]:
        offset = self._composer.shapes.offset(actor.shape, shape)
        faces = []
        for shot in shots:
            drawn = self._composer.draw(shot.patch, shot.mesh, offset, actor, None, rng, outline=WIDER).patch
            where, share = self._composer.trace(shot.mesh, shot.patch.shape[0], offset, actor, WIDER)
            where = (where + np.float32(0.5)) * np.float32(2 / actor.donor.image.shape[0]) - np.float32(1)
            faces.append(_Face(_tensor(drawn), torch.from_numpy(where)[None], torch.from_numpy(share)))
        return faces

    def _left(self, retouch: torch.Tensor, faces: Sequence[_Face], looks: Sequence[_Look]) -> float:
        """The likeness that the recogniser, through its own crop, still sees: in the half of the looks that it knows
        better, for one frame is enough to tell a person."""
        own = [look for look in looks if look.view == VIEWS[0]]
        with torch.no_grad():
            crops = [self._crop(faces[look.shot].retouched(retouch), look.to_crop) for look in own]
            alike = self._student.embed_tensor(torch.cat(crops)).cpu() * torch.stack([look.known for look in own])
        return float(alike.sum(1).sort().values[len(own) // 2 :].mean())

    def _sought(
        self,
        start: torch.Tensor,
        code: torch.Tensor,
        canvas: _Canvas,
        faces: Sequence[_Face],
        looks: Sequence[_Look],
        contrast: float,
        steps: int,
        rng: np.random.Generator,
    ) -> torch.Tensor:
        """``code`` after so many steps of Adam (Kingma and Ba 2015), written out: torch.optim takes two seconds to be
        imported. What it costs is counted from ``start``."""
        first = canvas.retouch(start, contrast)
        mean, square = torch.zeros_like(code), torch.zeros_like(code)
        for step in range(1, steps + 1):
            code = code.requires_grad_(True)
            chosen = [looks[at] for at in rng.permutation(len(looks))[:_BATCH]]
            retouch = canvas.retouch(code, contrast)
            crops = []
            for look in chosen:
                crops.append(self._crop(faces[look.shot].retouched(retouch), _jittered(look.to_crop, rng)))
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


def _theta(mesh: FloatArray, size: int, about: Description) -> torch.Tensor:
    """(2, 3) from the recogniser's crop to a patch of ``size``, both in [-1, 1], as ``affine_grid`` takes it."""
    side = about.size
    matrix = to_crop(five(mesh)[:, :2], about)
    linear = np.linalg.inv(matrix[:, :2])
    middle = linear @ (np.full(2, (side - 1) / 2) - matrix[:, 2])  # where the middle of the crop lies, px
    shift = (middle + 0.5) * 2 / size - 1
    return torch.from_numpy(np.concatenate([linear * side / size, shift[:, None]], 1).astype(np.float32))


def _jittered(theta: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """(2, 3) -> a crop that is turned, larger or smaller, and moved a little."""
    angle, scale, shift = rng.normal(0, _JITTER[0]), 1 + rng.normal(0, _JITTER[1]), rng.normal(0, _JITTER[2], 2)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = torch.from_numpy(np.concatenate([turn, shift[:, None]], 1).astype(np.float32))
    return torch.cat([theta[:, :2] @ moved[:, :2], theta[:, :2] @ moved[:, 2:] + theta[:, 2:]], 1)


def _tensor(picture: FloatArray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]
