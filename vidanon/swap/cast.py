"""Who plays whom: choose a donor for a track so that recognisers do not know the source in the result.

The closed loop: candidates are drawn over the best look at the track and compared with the source more widely than the
recogniser looks, for hair and outline stay the source's; the best of them over several frames, as it looks. Of those
that are unlike enough, a secret key chooses; the rest stand by for segments in which the first fails its check. The
same person seen again under the same key gets the same face: the key turns the source's embedding into a score for
every donor, which cannot be guessed without the key, and the best score wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from vidanon.faces.mesh_points import five
from vidanon.faces.mesh_pose import Floats
from vidanon.recognise.base import Recogniser, similarities, threshold
from vidanon.recognise.crop import crop
from vidanon.swap.attributes import Look
from vidanon.swap.base import Donor, Retouch, Shot
from vidanon.swap.composite import Actor, Composer
from vidanon.swap.outline import WIDER
from vidanon.swap.secret import generator
from vidanon.swap.wide import TELLING, wider
from vidanon.types import ByteArray, FloatArray

FIRST = 12  #: donors drawn at once, in a first look
CANDIDATES = 6  #: of them drawn and compared again
MOST = 8  #: of a rank compared, where few are unlike enough
_AT_ONCE = 6  #: of those, whom a recogniser looks at together: faster than one by one
_TOGETHER = 2  #: of them at a time, where a few more are wanted
FRAMES = 2  #: frames they are drawn on again
GLANCE = 96  #: px, side of the patch they are drawn on at first
STAND_BY = 3  #: donors of a role, at most
FAR = 0.01
#: below the threshold: what the surrogate says is not what another recogniser would; glasses and a retouch do the rest
_SURE = 0.075
_MARGIN = 0.15  #: the same; from there on less counts for nothing
_FAIR = 0.05  #: where they cannot, how much more alike than the least alike one they may be
_SPREAD = 0.12  #: how much more alike one pair of frames may be than all are
_TONE, _AGE = 11.0, 10.0  #: degrees, years: differences that count as one
_NEAR = 30.0  #: what a similarity nearer to the source by 1 costs, differences
_SAY = 1.25  #: differences that a deviation of the key's score counts for
_EQUAL = 0.75  #: differences that are one choice
_ABOUT = 0.02  #: likeness: a difference that is none; who is seen again should get the same face
_CHOICE = 5  #: donors that the key chooses among, at least, where so many are unlike enough
_GENDER = 30.0  #: differences that another apparent gender counts for
_RANKS = 3  #: asked one after the other, until there are enough
_BETWEEN = 0.5  #: from which on a gender is another
_YEARS = 20.0  #: from which on an age is another
#: a face read as between the genders is given a woman's rather than a stubbled one: it jars less
_DOUBT = 0.6
_TAKEN = 0.5  #: similarity above which two donors look alike


@dataclass(frozen=True)
class Role:
    """What swap has to know of a track."""

    donors: tuple[int, ...]  #: indices, best first; empty: none was different enough
    shape: Floats  #: (468, 3) the source's mean shape in the common frame
    #: asked when the first face is drawn: of the donors' portraits, one each; none: they are drawn as they are
    retouches: Callable[[], tuple[Retouch, ...]] = tuple

    def part(self, turn: int) -> tuple[int, Retouch | None]:
        """The donor whose turn it is and what is done to its portrait: first those that are about the nearest to a
        stranger."""
        found = self.retouches()
        if not found:
            return self.donors[turn], None
        least = min(each.off for each in found)
        at = sorted(range(len(found)), key=lambda each: found[each].off > least + _ABOUT)[turn]
        return self.donors[at], found[at]


class Casting:
    """Chooses donors; one method."""

    def __init__(
        self,
        composer: Composer,
        actors: Sequence[Actor],
        surrogates: Sequence[Recogniser],
        key: bytes,
        each: Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]] = map,
    ) -> None:
        """surrogates: recognisers asked; the first one's embeddings tell people apart. key: secret. each: as ``map``,
        by several threads maybe."""
        self._composer = composer
        self._actors = actors
        self._surrogates = surrogates
        self._each = each
        self._codes = np.stack([_code(key, a.donor.name, a.donor.embedding.shape[0]) for a in actors])
        alike = np.stack([a.donor.embedding for a in actors])
        self._alike = alike @ alike.T

    def choose(self, shots: Sequence[Shot], looks: Look, taken: Iterable[int] = ()) -> Role:
        """shots: several looks at one person, the best first. taken: donors whose faces are seen beside this one."""
        shape: Floats = np.mean(self._composer.shapes.common(np.stack([shot.mesh for shot in shots])), axis=0)
        sources = [self._embeddings([(shot.patch, shot.mesh) for shot in shots], which) for which in self._surrogates]
        scores = self._codes @ sources[0].mean(0)
        free = self._free(taken)
        # the key counts from the first on: for all keys every old man's few would be the same, and who is drawn a
        # little otherwise in another clip would be played by another there
        cost = self._unlike(looks) - _SAY * scores
        far = np.array([a.donor.embedding for a in self._actors]) @ sources[0].mean(0)
        # near in looks, far for recognisers, and as the key says
        order = sorted(free, key=lambda d: cost[d] + 1.5 * max(0.0, float(far[d])))
        ranks = [_rank(self._actors[d].donor, looks) for d in order]
        margins: dict[int, float] = {}
        for rank in range(_RANKS):
            waiting = iter([d for d, its in zip(order, ranks, strict=True) if its == rank])
            most = len(margins) + MOST
            while len(margins) < most and not _enough(margins) and (some := self._drawable(waiting)):
                cost = cost + _NEAR * self._widely(shots[0].within(GLANCE), shape, some)
                ranked = sorted(some, key=lambda d: float(cost[d]))
                while ranked and len(margins) < most and not (len(margins) >= CANDIDATES and _enough(margins)):
                    few = max(_TOGETHER, CANDIDATES - len(margins))
                    group, ranked = ranked[:few], ranked[few:]
                    compared = self._each(partial(self._margin, shots[:FRAMES], shape, sources), group)
                    margins.update(zip(group, compared, strict=True))
        usable = sorted((d for d in margins if margins[d] <= 0), key=lambda d: margins[d])
        # what is unlike by little on a few frames is recognised on others
        sure = [d for d in usable if margins[d] <= -_SURE]
        usable = sure if len(sure) >= STAND_BY else usable[:_CHOICE]
        of_usable = {d: cost[d] + _NEAR * max(0.0, margins[d] + _MARGIN) for d in usable}
        order = _by_key(of_usable, scores)
        order.sort(key=lambda d: margins[d] > max(margins[usable[0]] + _FAIR, -_SURE))  # they stand by
        return Role(tuple(order[:STAND_BY]), shape)

    def _free(self, taken: Iterable[int]) -> list[int]:
        others = list(taken)
        free = [d for d in range(len(self._actors)) if all(self._alike[d, o] < _TAKEN for o in others)]
        return free or [d for d in range(len(self._actors)) if d not in others] or list(range(len(self._actors)))

    def _unlike(self, a: Look) -> FloatArray:
        away = [
            _GENDER * abs(actor.donor.female - a.female**_DOUBT)
            + abs(actor.donor.tone - a.tone) / _TONE
            + abs(actor.donor.age - a.age) / _AGE
            for actor in self._actors
        ]
        return np.asarray(away, np.float32)

    def _drawable(self, waiting: Iterable[int]) -> list[int]:
        """The next FIRST donors whose eyes are seen."""
        found: list[int] = []
        while len(found) < FIRST and (some := list(islice(waiting, FIRST - len(found)))):
            seen = self._each(lambda d: self._actors[d].eyeballs is not None, some)
            found += [donor for donor, eyes in zip(some, seen, strict=True) if eyes]
        return found

    def _widely(self, shot: Shot, shape: Floats, donors: Sequence[int]) -> FloatArray:
        """(D,) by donor, how alike they are to the first surrogate when it looks more widely; 0 of those not drawn."""
        about = wider(self._surrogates[0].description, TELLING)
        marks = five(shot.mesh)[:, :2]

        def look(patches: Sequence[FloatArray]) -> FloatArray:
            return self._surrogates[0].embed(np.stack([crop(eight_bit(patch), marks, about) for patch in patches]))

        def seen(some: Sequence[int]) -> FloatArray:
            return look([self._drawn([shot], shape, donor)[0] for donor in some])

        alike = np.zeros(len(self._actors), np.float32)
        groups = [donors[start : start + _AT_ONCE] for start in range(0, len(donors), _AT_ONCE)]
        found = np.concatenate(list(self._each(seen, groups)))
        alike[list(donors)] = similarities(about, found, look([shot.patch]))[:, 0]
        return alike

    def _margin(self, shots: Sequence[Shot], shape: Floats, sources: Sequence[FloatArray], donor: int) -> float:
        """Largest mean similarity to the source under any surrogate, less its threshold."""
        drawn = self._drawn(shots, shape, donor)
        worst = -np.inf
        for which, source in zip(self._surrogates, sources, strict=True):
            out = self._embeddings([(d, s.mesh) for d, s in zip(drawn, shots, strict=True)], which)
            alike = similarities(which.description, out, source)
            worst = max(worst, float(alike.mean()) - threshold(which.description, FAR))
            worst = max(worst, float(alike.max()) - threshold(which.description, FAR) - _SPREAD)
        return worst

    def _drawn(self, shots: Sequence[Shot], shape: Floats, donor: int) -> list[FloatArray]:
        """The donor's face over each shot."""
        actor, rng = self._actors[donor], np.random.default_rng(0)
        offset = self._composer.shapes.offset(actor.shape, shape)
        return [self._composer.draw(s.patch, s.mesh, offset, actor, None, rng, outline=WIDER).patch for s in shots]

    def _embeddings(self, faces: Sequence[tuple[FloatArray, FloatArray]], which: Recogniser) -> FloatArray:
        return which.embed(np.stack([aligned(patch, mesh, which) for patch, mesh in faces]))


def _rank(donor: Donor, looks: Look) -> int:
    """One of _RANKS: 0 a like look, 1 another age, 2 another gender: that jars most."""
    if abs(donor.female - looks.female**_DOUBT) >= _BETWEEN:
        return 2
    return int(abs(donor.age - looks.age) > _YEARS)


def _enough(margins: Mapping[int, float]) -> bool:
    """Whether the key has a choice among those that lie so far below the threshold."""
    return sum(margin <= -_SURE for margin in margins.values()) >= _CHOICE


def _by_key(cost: Mapping[int, float], scores: FloatArray) -> list[int]:
    """Donors, first the one to take: among those that fit about equally well, and some more where they are few, the key
    decides. Without that, who has a photo of the person could tell the donor."""
    order = sorted(cost, key=lambda d: cost[d])
    near = sum(cost[d] - cost[order[0]] <= _EQUAL for d in order)
    chosen = order[: max(near, _CHOICE)]
    return sorted(chosen, key=lambda d: -float(scores[d])) + order[len(chosen) :]


def aligned(patch: FloatArray, mesh: FloatArray, recogniser: Recogniser) -> ByteArray:
    """(size, size, 3) uint8: the face as the recogniser takes it."""
    return crop(eight_bit(patch), five(mesh)[:, :2], recogniser.description)


def eight_bit(patch: FloatArray) -> ByteArray:
    return np.asarray(np.rint(patch * 255), np.uint8)


def _code(key: bytes, name: str, dimensions: int) -> FloatArray:
    """A donor's secret direction among embeddings; over keys, a donor's score for anybody has a deviation of 1."""
    return np.asarray(generator(key, b"vidanon donor", name).standard_normal(dimensions), np.float32)
