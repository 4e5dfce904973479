"""Retouch a donor's portrait for one track, so that the drawn face is a stranger's to a recogniser.

What the source's hair, outline and light still say of it is made up for in the new face: as in a photofit, its brows
and eyes, its nose, its mouth and its forehead become mixes of other people's (:mod:`vidanon.swap.traits`). The mix is
found once for a track through the project's own recognisers, by steps along the gradient of all of them (Liu et al.
2017) through transformed inputs (Xie et al. 2019): what hides from a good and from a weak one hides from others. A
retouch lies on the portrait and so moves with the face.

The likeness is brought to a stranger's, not below: a face that is *less* alike than strangers are would tell the
source as surely as one that is more alike. It begins at a secret place, and is to differ from the usual face as
well: all searches would end near that one otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from torch.nn import functional

from vidanon.faces.mesh_points import eye_distance, five
from vidanon.faces.mesh_pose import Floats
from vidanon.recognise.base import Description
from vidanon.recognise.crop import to_crop
from vidanon.recognise.student import Student
from vidanon.swap.base import Glasses, Retouch, Shot
from vidanon.swap.composite import Actor, Composer
from vidanon.swap.glasses import chosen
from vidanon.swap.light import LUMA, low_band
from vidanon.swap.outline import WIDER
from vidanon.swap.secret import generator
from vidanon.swap.traits import REGIONS, SIDE, Traits, detail, place
from vidanon.swap.wide import VIEWS, wider
from vidanon.types import FloatArray

DARKER, LIGHTER = 0.3, 0.2  #: share of its brightness that a place of the face is changed by, at most
_AGE = 20.0  #: years: a deviation, of how much less is taken at first from people who look older or younger
_OTHER = -24.0  #: logarithm of the share that people of the other gender have
_STRETCH = (0.8, 1.25)  #: a mix has less contrast than those it is of: how far that is made up for
_CONTRAST = 1.0  #: times what people's own is
_CALM = 1.02  #: times the source's contrast that the drawn face may have
_TRIAL, _STEPS = 2, 4  #: of the search, to the first drawing and between two others
_MOST = 2  #: drawings
_BATCH = 2  #: looks of one step
_RATE = 1.0
_MEAN, _SQUARE = 0.8, 0.99  #: of Adam
_TINY = 1e-8
_WANTED = (-0.09, -0.08, -0.08, -0.06)  #: the likeness that each of VIEWS is to have
_SLACK = 0.05  #: how much below that a likeness may be
_BELOW = 3.0  #: times as much as too alike, that less counts where the whole face is: it would tell the source as well
_JITTER = (0.04, 0.05, 0.03)  #: radians, share of the size, share of half the crop
_LEFT = (-0.12, -0.05)  #: the likeness to the recognisers' own crop that the better known half of the looks is to have
_BARE = 0.3  #: share of those who begin without glasses
_WORN = 0.05  #: the same likeness, above which they put them on
_GOOD = 0.25  #: how far off it may be where who comes first plays; else who comes next is tried as well
_FIRM = 0.2  #: of what is left however near the likeness is to the one wanted
#: times the likeness to the usual face: the searches of all keys end near it otherwise, and near one another
_APART = 1.2


@dataclass(frozen=True)
class _Look:
    """A shot of the source as the recognisers see it."""

    shot: int
    view: tuple[float, float]
    to_crop: torch.Tensor  #: (2, 3)
    wanted: float  #: likeness


@dataclass(frozen=True)
class _Face:
    """An actor drawn over a shot."""

    drawn: torch.Tensor  #: (1, 3, S, S)
    gain: torch.Tensor  #: (1, 1, S, S) of the retouch with which it was drawn
    low: torch.Tensor  #: (1, 3, S, S) its low band, which is the source's
    where: torch.Tensor  #: (1, S, S, 2) in the portrait, [-1, 1]
    share: torch.Tensor  #: (S, S) of the new face
    contrast: float  #: the source's over the low band

    def retouched(self, retouch: torch.Tensor) -> torch.Tensor:
        """(SIDE, SIDE) -> (1, 3, S, S), about as :meth:`Composer.draw` draws it."""
        away = self.drawn * ((1 + _at(retouch, self.where)) / (1 + self.gain)) - self.low
        away = away * (_CALM * self.contrast / _deviation(away, self.share)).clamp(max=1)
        return (self.drawn + self.share * (self.low + away - self.drawn)).clamp(0, 1)


@dataclass(frozen=True)
class _Canvas:
    """A portrait to be retouched."""

    own: torch.Tensor  #: (SIDE, SIDE) its light and shade
    faces: torch.Tensor  #: (N, SIDE, SIDE) other people's
    regions: torch.Tensor  #: (REGIONS, SIDE, SIDE) shares of a place
    place: torch.Tensor  #: (SIDE, SIDE) in [0, 1], where it may be changed

    def retouch(self, code: torch.Tensor) -> torch.Tensor:
        """(REGIONS, N) logarithms of shares -> (SIDE, SIDE) in [-DARKER, LIGHTER]."""
        mixes = torch.softmax(code, 1) @ self.faces.flatten(1)
        mix = (mixes.view_as(self.regions) * self.regions).sum(0)
        usual = self._contrast(self.faces).median()
        mix = mix * (_CONTRAST * usual / self._contrast(mix)).clamp(*_STRETCH)
        change = (mix - self.own) * (self.place > 0)
        return (change.exp() - 1).clamp(-DARKER, LIGHTER)

    def finished(self, code: torch.Tensor, glasses: Glasses | None, off: float = math.inf) -> Retouch:
        return Retouch(np.ascontiguousarray(self.retouch(code).numpy()), _CALM, off, glasses)

    def plain(self, glasses: Glasses | None) -> Retouch:
        """Nothing done to it."""
        return Retouch(np.zeros(self.own.shape, np.float32), _CALM, math.inf, glasses)

    def _contrast(self, seen: torch.Tensor) -> torch.Tensor:
        """(..., SIDE, SIDE) -> (...): its deviation from what is around, over the face."""
        share = self.place / self.place.sum().clamp(min=_TINY)
        return ((seen.square() * share).sum((-2, -1)) + _TINY).sqrt()


@dataclass(frozen=True)
class _Known:
    """A face, and who recognisers say it is in the looks in which they were asked so far."""

    pictures: Sequence[torch.Tensor]  #: by shot, (1, 3, S, S)
    said: dict[int, torch.Tensor] = field(default_factory=dict)  #: by look, (D,)


@dataclass(frozen=True)
class _Source:
    """Who is to become a stranger."""

    shots: Sequence[Shot]
    shape: Floats  #: (468, 3) in the common frame
    looks: Sequence[_Look]
    known: _Known


@dataclass(eq=False)
class _Search:
    """For one actor."""

    actor: Actor
    canvas: _Canvas
    start: torch.Tensor  #: (REGIONS, N) logarithms of shares
    rng: np.random.Generator
    code: torch.Tensor  #: as ``start``
    pair: Glasses | None = None  #: that it may wear
    wears: bool = False  #: it, from the next drawing on
    below: float = 1.0  #: times as much as too alike, that too little counts
    faces: Sequence[_Face] = ()  #: by shot
    usual: _Known | None = None  #: from which it is to differ
    drawings: int = 0
    left: float = math.inf  #: likeness
    ended: bool = False

    @property
    def glasses(self) -> Glasses | None:
        return self.pair if self.wears else None

    @property
    def off(self) -> float:
        """How far the likeness is from a stranger's, above or below: who is less alike than strangers are is told as
        well."""
        return max(self.left - _LEFT[1], _LEFT[0] - self.left, 0.0)

    def drawn(self, left: float) -> None:
        """What is left to know once it was drawn: how to go on."""
        self.drawings += 1
        self.left = left
        self.below = _BELOW if left < _LEFT[0] else 1.0
        self.ended = self.off == 0 or self.drawings == _MOST
        if not self.ended and left > _WORN and self.pair is not None:
            self.wears = True


class Retoucher:
    """Finds retouches; one method."""

    def __init__(
        self,
        composer: Composer,
        recognisers: Sequence[Student],
        traits: Traits,
        key: bytes,
        glasses: bool = True,
    ) -> None:
        """recognisers: of one crop; likeness is the mean of theirs. key: secret; says where retouches begin. glasses:
        whether any are worn."""
        self._composer = composer
        self._recognisers = recognisers
        self._traits = traits
        self._key = key
        self._any = glasses

    def __call__(self, shots: Sequence[Shot], shape: Floats, actors: Sequence[Actor]) -> tuple[Retouch, ...]:
        """K >= 1 looks at the source and its mean shape -> for each actor a retouch of (SIDE, SIDE) in
        [-DARKER, LIGHTER]."""
        source = self._source(shots, shape)
        rngs = [generator(self._key, b"vidanon retouch", actor.donor.name) for actor in actors]
        searches = [self._begun(actor, rng) for actor, rng in zip(actors, rngs, strict=True)]
        tried: list[_Search] = []
        for search in searches:  # the key chose who comes first: another plays only where that one would be known
            while not search.ended:
                self._go_on(search, source)
            tried.append(search)
            if search.off <= _GOOD:
                break
        best = min(tried, key=lambda each: each.off)
        # where one portrait is to be changed, so is the next, more or less: those who stand by are seldom needed
        further = best.code - best.start
        return tuple(
            search.canvas.finished(
                search.code if search in tried else self._mix(search.actor, search.start + further),
                search.pair if search.wears or (search not in tried and best.wears) else None,
                search.off,
            )
            for search in searches
        )

    def _begun(self, actor: Actor, rng: np.random.Generator) -> _Search:
        start, canvas = self._start(actor, rng), self._canvas(actor)
        pair, wears = chosen(rng), rng.random() >= _BARE
        return _Search(actor, canvas, start, rng, start, pair if self._any else None, wears)

    def _go_on(self, search: _Search, source: _Source) -> None:
        """Some steps, and the face drawn as it then will be: the light and, in blurred footage, the sharpness of the
        source take much away."""
        if not search.faces:
            search.faces = self._faces(source, search, search.canvas.plain(search.glasses))
            usual = search.canvas.retouch(self._mix(search.actor, torch.zeros_like(search.code)))
            search.usual = _Known([face.retouched(usual) for face in search.faces])
        search.code = self._sought(search, source)
        how = search.canvas.finished(search.code, search.glasses)
        search.faces = self._faces(source, search, how)
        search.drawn(self._left(search.faces, source))

    def _start(self, actor: Actor, rng: np.random.Generator) -> torch.Tensor:
        """(REGIONS, N) logarithms of shares: for each region a secret mix of people of the donor's gender, more of
        those about its age."""
        age = self._traits.age
        fits = -(((age - actor.donor.age) / _AGE) ** 2) / 2
        return self._mix(actor, torch.from_numpy(fits + rng.gumbel(size=(REGIONS, len(age)))))

    def _mix(self, actor: Actor, fits: torch.Tensor) -> torch.Tensor:
        """The same, of people of the donor's gender alone; the search does not leave it."""
        same = torch.from_numpy((self._traits.female >= 0.5) == (actor.donor.female >= 0.5))
        return torch.where(same, fits, _OTHER).float()

    def _canvas(self, actor: Actor) -> _Canvas:
        points = actor.fitted.points * np.float32(SIDE / actor.donor.image.shape[0])
        small = cv2.resize(actor.donor.image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        own = detail(small.astype(np.float32) / np.float32(255), points)
        faces, regions = self._traits.on(points, self._composer.triangles)
        return _Canvas(*(torch.from_numpy(each) for each in (own, faces, regions, place(points))))

    def _source(self, shots: Sequence[Shot], shape: Floats) -> _Source:
        about = self._recognisers[0].description
        looks = [
            _Look(number, view, _theta(shot.mesh, shot.patch.shape[0], wider(about, view)), wanted)
            for number, shot in enumerate(shots)
            for view, wanted in zip(VIEWS, _WANTED, strict=True)
        ]
        return _Source(shots, shape, looks, _Known([_tensor(shot.patch) for shot in shots]))

    def _said(self, of: _Known, looks: Sequence[_Look], at: Sequence[int]) -> torch.Tensor:
        """(A, D): who the recognisers say it is in the looks ``at``."""
        new = [each for each in at if each not in of.said]
        if new:
            with torch.no_grad():
                crops = [self._crop(of.pictures[looks[each].shot], looks[each].to_crop) for each in new]
                of.said.update(zip(new, self._seen(torch.cat(crops)), strict=True))
        return torch.stack([of.said[each] for each in at])

    def _left(self, faces: Sequence[_Face], source: _Source) -> float:
        """The likeness that the recognisers, through their own crop, still see: in the half of the looks that they know
        better, for one frame is enough to tell a person."""
        own = [at for at, look in enumerate(source.looks) if look.view == VIEWS[0]]
        drawn = _Known([face.drawn for face in faces])
        alike = self._said(drawn, source.looks, own) * self._said(source.known, source.looks, own)
        return float(alike.sum(1).sort().values[len(own) // 2 :].mean())

    def _faces(self, source: _Source, search: _Search, retouch: Retouch) -> list[_Face]:
        actor, rng = search.actor, search.rng
        offset = self._composer.shapes.offset(actor.shape, source.shape)
        faces = []
        for shot in source.shots:
            drawn = self._composer.draw(
                shot.patch, shot.mesh, offset, actor, None, rng, retouch=retouch, outline=WIDER
            ).patch
            traced, share = self._composer.trace(shot.mesh, shot.patch.shape[0], offset, actor, WIDER, retouch.glasses)
            traced = (traced + np.float32(0.5)) * np.float32(2 / actor.donor.image.shape[0]) - np.float32(1)
            where, inside = torch.from_numpy(traced)[None], torch.from_numpy(share)
            gain = _at(torch.from_numpy(retouch.gain), where)
            unit = float(eye_distance(shot.mesh))
            low = low_band(drawn, share, unit)
            contrast = float(_deviation(_tensor(shot.patch - low_band(shot.patch, share, unit)), inside))
            faces.append(_Face(_tensor(drawn), gain, _tensor(low), where, inside, contrast))
        return faces

    def _sought(self, search: _Search, source: _Source) -> torch.Tensor:
        """Its code after some steps of Adam (Kingma and Ba 2015), written out: torch.optim takes two seconds to be
        imported."""
        assert search.usual is not None
        code, rng, looks = search.code, search.rng, source.looks
        mean, square = torch.zeros_like(code), torch.zeros_like(code)
        for step in range(1, (_STEPS if search.drawings else _TRIAL) + 1):
            code = code.detach().requires_grad_(True)
            at = rng.permutation(len(looks))[:_BATCH].tolist()
            retouch = search.canvas.retouch(code)
            crops = []
            for look in (looks[each] for each in at):
                face = search.faces[look.shot].retouched(retouch)
                crops.append(self._crop(face, _jittered(look.to_crop, rng)))
            seen = self._seen(torch.cat(crops))
            alike = (seen * self._said(source.known, looks, at)).sum(1)
            usual = (seen * self._said(search.usual, looks, at)).sum(1)
            beyond = alike - torch.tensor([looks[each].wanted for each in at])
            beyond = beyond.clamp(min=0) + search.below * (-_SLACK - beyond).clamp(min=0)
            loss = beyond.square().mean() + _FIRM * beyond.mean() + _APART * usual.mean()
            (gradient,) = torch.autograd.grad(loss, code)
            mean = _MEAN * mean + (1 - _MEAN) * gradient
            square = _SQUARE * square + (1 - _SQUARE) * gradient**2
            scale = (square / (1 - _SQUARE**step)).sqrt() + _TINY
            code = code.detach() - _RATE * mean / (1 - _MEAN**step) / scale
        return code

    def _seen(self, crops: torch.Tensor) -> torch.Tensor:
        """(N, 3, size, size) in 0..255 -> (N, D) of unit length: all embeddings, side by side."""
        seen = [recogniser.embed_tensor(crops).cpu() for recogniser in self._recognisers]
        return torch.cat(seen, 1) / math.sqrt(len(seen))

    def _crop(self, patch: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
        """(1, 3, S, S) in [0, 1] -> (1, 3, size, size) in 0..255."""
        size = self._recognisers[0].description.size
        grid = functional.affine_grid(theta[None], [1, 3, size, size], align_corners=False)
        return 255 * functional.grid_sample(patch, grid, align_corners=False)


def _at(retouch: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """(SIDE, SIDE), (1, S, S, 2) in [-1, 1] -> (1, 1, S, S)."""
    return functional.grid_sample(retouch[None, None], where, align_corners=False)


def _deviation(away: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """(1, 3, S, S), (S, S) -> (): root of the mean square of its luma where the face is."""
    luma = torch.einsum("nchw,c->hw", away, torch.from_numpy(LUMA))
    return ((luma.square() * share).sum() / share.sum().clamp(min=_TINY) + _TINY).sqrt()


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
