"""How well a set of protected photos withstands recognisers, and how much it changed.

A protected photo is never compared with its own source in what is called attack success: only with other photos of
the person, which is what an attacker has. The match with the source itself is reported beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vidanon.errors import InputError
from vidanon.evaluate.bootstrap import Interval, bootstrap
from vidanon.evaluate.cross import FARS, cross_thresholds
from vidanon.evaluate.embed import embed_photos
from vidanon.evaluate.identification import Identifier, split
from vidanon.evaluate.landmarks import Landmarks
from vidanon.evaluate.metrics_match import misclassification
from vidanon.evaluate.metrics_rank import ranks
from vidanon.evaluate.photos import Photos, key, person
from vidanon.recognise.base import Description, Recogniser, similarities
from vidanon.types import FloatArray

RANKS = (1, 5)
_ROWS = 256


@dataclass(frozen=True)
class ProtectedSet:
    """Originals and their protected copies."""

    originals: Photos
    protected: Photos
    landmarks: Landmarks  #: of the originals; protected photos are aligned by them, whatever became of the face
    gallery: list[str]  #: originals with landmarks
    probes: list[str]  #: of them, those with a protected copy
    copies: Mapping[str, str]  #: probe -> its protected copy
    left_out: int  #: protected photos without original or landmarks


@dataclass(frozen=True)
class Verified:
    """Attack success in verification at one false accept rate."""

    far: float
    threshold: float
    threshold_from: str
    success: Interval  #: share of (protected, other photo) pairs of one person that do not match
    success_if_known: Interval | None  #: the same among pairs that match where the photo is clean; None: no such pair
    clean_match: float  #: share of those pairs that match where the photo is clean
    own_source_match: Interval  #: share of protected photos that match their own source
    pairs: int


@dataclass(frozen=True)
class Identified:
    """Attack success in identification: what a linear SVM says."""

    people: int
    photos: int  #: protected photos it was asked about
    clean_accuracy: float
    misclassified: Interval  #: protected photos given another name than the person's
    changed: Interval  #: protected photos given another name than the clean photo


@dataclass(frozen=True)
class Withstood:
    """One recogniser."""

    recogniser: str
    sha256: str
    verification: list[Verified]
    untargeted: dict[int, Interval]  #: N -> Rank-N-UT: the person is not among the N most similar of the gallery
    untargeted_clean: dict[int, float]  #: the same of the clean photos
    targeted: dict[int, Interval]  #: N -> Rank-N-T; empty without targets
    identification: Identified | None
    notes: list[str] = field(default_factory=list)


def match_up(originals: Photos, protected: Photos, landmarks: Landmarks) -> ProtectedSet:
    """Pair photos by name (suffixes may differ). Raises InputError where no pair has landmarks."""
    copies = {key(name): name for name in protected.names}
    gallery = [name for name in originals.names if key(name) in landmarks]
    probes = [name for name in gallery if key(name) in copies]
    if not probes:
        raise InputError("no protected photo has an original of its name with landmarks; give matching folders")
    return ProtectedSet(
        originals, protected, landmarks, gallery, probes, {name: copies[key(name)] for name in probes},
        len(copies) - len(probes),
    )  # fmt: skip


def withstand(
    recogniser: Recogniser,
    data: ProtectedSet,
    *,
    targets: Mapping[str, str] | None = None,
    least_photos: int = 10,
    folder: Path | None = None,
    workers: int = 1,
    seed: int = 0,
    draws: int = 500,
    progress: Callable[[int, int], None] | None = None,
) -> Withstood:
    """Every attack metric of one recogniser.

    targets: name of a photo without suffix -> the person it was aimed at, for Rank-N-T. least_photos: of a person,
    for the SVM. Intervals draw people, not photos.
    """
    description = recogniser.description
    before = 0

    def all_in_all(done: int, total: int) -> None:
        """Progress over both sets: of the copies nothing is known while the originals are embedded."""
        nonlocal before
        if progress is not None and first:
            before = total
            progress(done, total + len(data.probes))
        elif progress is not None:
            progress(before + done, before + total)

    first = True
    clean = embed_photos(
        recogniser, data.originals, data.gallery, data.landmarks,
        folder=folder, workers=workers, progress=all_in_all,
    )  # fmt: skip
    first = False
    hidden = embed_photos(
        recogniser, data.protected, [data.copies[name] for name in data.probes], data.landmarks,
        folder=folder, workers=workers, progress=all_in_all,
    )  # fmt: skip
    gallery_people = np.array([person(name) for name in data.gallery])
    place = {name: i for i, name in enumerate(data.gallery)}
    own = np.array([place[name] for name in data.probes], np.intp)
    probe_people = gallery_people[own]
    notes: list[str] = []

    def interval(statistic: Callable[..., float], *samples: NDArray[Any], groups: NDArray[Any]) -> Interval:
        return bootstrap(statistic, *samples, seed=seed, draws=draws, groups=groups)

    scores = _genuine(description, clean, hidden, own, gallery_people)
    verification = []
    for far, threshold, source in _thresholds(description, clean, gallery_people, notes):
        matched = scores.own_source >= threshold
        own_source = interval(_mean, matched, groups=probe_people)
        if not len(scores.protected):
            notes.append("nobody has a second photo: attack success in verification cannot be measured")
            break
        escaped, known = scores.protected < threshold, scores.clean >= threshold
        groups = probe_people[scores.probe]
        verification.append(
            Verified(
                far,
                threshold,
                source,
                success=interval(_mean, escaped, groups=groups),
                success_if_known=interval(_mean, escaped[known], groups=groups[known]) if known.any() else None,
                clean_match=float(known.mean()),
                own_source_match=own_source,
                pairs=len(escaped),
            )  # fmt: skip
        )
    places = _places(description, clean, hidden, own, gallery_people)
    clean_places = _places(description, clean, clean[own], own, gallery_people)
    asked = places > 0
    aimed = _aimed(description, clean, hidden, own, gallery_people, data.probes, targets or {})
    return Withstood(
        recogniser=description.name,
        sha256=description.sha256,
        verification=verification,
        untargeted={n: interval(_mean, places[asked] > n, groups=probe_people[asked]) for n in RANKS if asked.any()},
        untargeted_clean={n: float((clean_places[asked] > n).mean()) for n in RANKS if asked.any()},
        targeted={
            n: interval(_mean, aimed[aimed > 0] <= n, groups=probe_people[aimed > 0])
            for n in RANKS
            if (aimed > 0).any()
        },
        identification=_identify(clean, hidden, own, gallery_people, least_photos, seed, interval, notes),
        notes=notes,
    )


@dataclass(frozen=True)
class _Genuine:
    protected: FloatArray  #: (K,) protected photo against another photo of the person
    clean: FloatArray  #: (K,) its clean source against the same
    probe: NDArray[np.intp]  #: (K,) which probe
    own_source: FloatArray  #: (P,) protected photo against its source


def _genuine(
    description: Description,
    clean: FloatArray,
    hidden: FloatArray,
    own: NDArray[np.intp],
    people: NDArray[Any],
) -> _Genuine:
    protected, unprotected, probe, sources = [], [], [], []
    members = {name: np.flatnonzero(people == name) for name in set(people[own].tolist())}
    for i, row in enumerate(own):
        others = members[people[row]]
        others = others[others != row]
        protected.append(similarities(description, hidden[i : i + 1], clean[others])[0])
        unprotected.append(similarities(description, clean[row : row + 1], clean[others])[0])
        probe.append(np.full(len(others), i, np.intp))
        sources.append(similarities(description, hidden[i : i + 1], clean[row : row + 1])[0])
    return _Genuine(*map(np.concatenate, (protected, unprotected, probe, sources)))


def _thresholds(
    description: Description, clean: FloatArray, people: NDArray[Any], notes: list[str]
) -> list[tuple[float, float, str]]:
    """(rate, threshold, where it comes from): all cross pairs of the originals, else the recogniser's own."""
    cross = cross_thresholds(description, clean, people.tolist())
    found = []
    for far in FARS:
        if far in cross.thresholds:
            found.append((far, cross.thresholds[far], f"{cross.pairs} cross pairs of the originals"))
        elif far in description.thresholds:
            found.append((far, description.thresholds[far], description.measured_on or "the description"))
        else:
            notes.append(f"no threshold at {far:.1%} FAR: too few cross pairs, and {description.name} declares none")
    return found


def _places(
    description: Description,
    clean: FloatArray,
    probes: FloatArray,
    own: NDArray[np.intp],
    people: NDArray[Any],
    aim: NDArray[Any] | None = None,
) -> NDArray[np.int64]:
    """(P,) place of the best photo of the person, or of ``aim``, in the gallery without the own source; 0: has none."""
    out = np.zeros(len(probes), np.int64)
    wanted = people[own] if aim is None else aim
    for start in range(0, len(probes), _ROWS):
        rows = slice(start, min(len(probes), start + _ROWS))
        scores = similarities(description, probes[rows], clean)
        marked = people[None] == wanted[rows, None]
        index = np.arange(len(scores))
        scores[index, own[rows]] = -np.inf
        marked[index, own[rows]] = False
        there = marked.any(axis=1)
        if there.any():
            out[start : start + len(scores)][there] = ranks(scores[there], marked[there], win_ties=aim is None)
    return out


def _aimed(
    description: Description,
    clean: FloatArray,
    hidden: FloatArray,
    own: NDArray[np.intp],
    people: NDArray[Any],
    probes: Sequence[str],
    targets: Mapping[str, str],
) -> NDArray[np.int64]:
    """Place of each probe's target; 0 where it has none or the gallery has no photo of it."""
    aim = np.array([targets.get(key(name), "") for name in probes])
    return _places(description, clean, hidden, own, people, aim)


def _identify(
    clean: FloatArray,
    hidden: FloatArray,
    own: NDArray[np.intp],
    people: NDArray[Any],
    least: int,
    seed: int,
    interval: Callable[..., Interval],
    notes: list[str],
) -> Identified | None:
    try:
        parts = split(people.tolist(), least, seed=seed)
    except ValueError as error:
        notes.append(f"no identification: {error}")
        return None
    probe_of = {int(row): i for i, row in enumerate(own)}
    test = np.array([row for row in parts.test if int(row) in probe_of], np.intp)
    if not len(test):
        notes.append("no identification: no protected photo among those that the SVM did not learn")
        return None
    identifier = Identifier(clean[parts.train], people[parts.train].tolist(), seed)
    on_clean = identifier.predict(clean[test])
    on_hidden = identifier.predict(hidden[[probe_of[int(row)] for row in test]])
    names = people[test]
    return Identified(
        people=parts.people,
        photos=len(test),
        clean_accuracy=1 - misclassification(on_clean, names),
        misclassified=interval(misclassification, on_hidden, names, groups=names),
        changed=interval(misclassification, on_hidden, on_clean, groups=names),
    )


def _mean(values: NDArray[Any]) -> float:
    return float(values.mean())
