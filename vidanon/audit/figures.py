"""From a recogniser's counts and kept embeddings to the figures of the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vidanon.audit.distractors import Distractors, Picture, as_frame, embed_all, rgb_of, sized
from vidanon.audit.floor import Copyist
from vidanon.audit.judges import FARS
from vidanon.audit.rates import Compared, Rate, by_chance, each, excess, rate
from vidanon.audit.recognition import PROTECTED, SOLID, SOURCES, Kept, Recognition
from vidanon.audit.steady import Pairs, SamePerson, among_strangers
from vidanon.evaluate.metrics_rank import ranks
from vidanon.recognise.base import Recogniser, similarities
from vidanon.recognise.crop import crop
from vidanon.types import ByteArray, FloatArray

APART = 5  #: frames between two that count as different ones


@dataclass(frozen=True)
class JudgeFigures:
    """Everything one recogniser says. Dictionaries go by false accept rate (.01, .001) or by rank (1, 5)."""

    name: str
    sha256: str
    licence: str
    measured_on: str
    thresholds: dict[float, float]
    same_frame: dict[float, Compared]  #: the output's face matches the same frame of the original
    any_frame: dict[float, Compared]  #: tracks that match in any frame
    other_frame: dict[float, Compared]  #: the output's face matches another frame of its track
    average: Compared  #: the mean of 30 frames matches, at the first of FARS
    gallery: int  #: people in the gallery, at most
    rank: dict[int, Compared]  #: found among the first N of the gallery; ``impostor`` is chance
    parrot: dict[int, Compared]  #: the same with everybody in the gallery protected alike
    histograms: dict[str, list[int]]
    bins: list[float]
    timeline: list[tuple[int, float]]  #: (frame, largest similarity over the threshold of .01), thinned
    same_person: SamePerson | None = None  #: None where the output hides the faces: there is nobody to be the same


def figures(
    found: Recognition,
    judge: Recogniser,
    distractors: Distractors,
    copyists: dict[str, Copyist],
    seed: int,
    *,
    faces_again: bool = False,
) -> JudgeFigures:
    """``copyists``: "protected" and "solid", who protect the gallery for the parrot; without one it is left out.
    faces_again: the output still shows faces, whoever they are."""
    pairs = {track: _pairs(tally.kept) for track, tally in found.tracks.items()}
    sizes = [eyes for tally in found.tracks.values() for eyes in tally.eyes]
    crowd = embed_all(judge, [_cropped(p, judge) for p in distractors.pictures])
    gallery, rank = _ranks(found, pairs, dict.fromkeys((*SOURCES, "clean"), crowd), alike=False)
    parrot: dict[int, Compared] = {}
    if sizes and len(copyists) == len(SOURCES):
        middle = float(np.median(sizes))
        crowds = {s: _copied(distractors, judge, copyists[s], middle) for s in SOURCES}
        _, parrot = _ranks(found, pairs, crowds, alike=True)
    return JudgeFigures(
        name=found.about.name,
        sha256=found.about.sha256,
        licence=found.about.licence,
        measured_on=found.about.measured_on,
        thresholds=dict(zip(FARS, found.thresholds, strict=True)),
        same_frame={far: _same_frame(found, level, seed) for level, far in enumerate(FARS)},
        any_frame={far: _any_frame(found, level) for level, far in enumerate(FARS)},
        other_frame={far: _other_frame(found, pairs, level, seed) for level, far in enumerate(FARS)},
        average=_average(found),
        gallery=gallery,
        rank=rank,
        parrot=parrot,
        histograms={name: counts.tolist() for name, counts in found.histograms.items()},
        bins=[float(v) for v in found.bin_edges()],
        timeline=_timeline(found),
        same_person=_same_person(found, pairs, crowd) if faces_again else None,
    )


def _same_person(found: Recognition, pairs: dict[int, list[tuple[Kept, Kept]]], crowd: FloatArray) -> SamePerson:
    apart = Pairs(found.about, found.thresholds[0])
    for of_track in pairs.values():
        for a, b in of_track:
            apart.add((a.protected, b.protected), (a.original, b.original))
    originals = (tally.kept[0].original for tally in found.tracks.values() if tally.kept)
    return SamePerson(found.neighbours.result(), apart.result(), among_strangers(originals, crowd))


def _same_frame(found: Recognition, level: int, seed: int) -> Compared:
    blocks = [block for tally in found.tracks.values() for block in tally.blocks]
    counts = [block.count for block in blocks]
    hits = [[b.hits[s][level] for b in blocks] for s in (PROTECTED, SOLID)]
    protected, solid = (rate(h, counts, seed) for h in hits)
    impostor = rate([b.stranger_hits[level] for b in blocks], [b.strangers for b in blocks], seed)
    stranger = rate([b.mistaken[level] for b in blocks], [b.strangers for b in blocks], seed)
    more = excess(hits[PROTECTED], hits[SOLID], counts, seed)
    judged = {
        track: (sum(b.hits[PROTECTED][level] for b in tally.blocks), sum(b.count for b in tally.blocks))
        for track, tally in found.tracks.items()
    }
    return Compared(protected, solid, impostor, stranger=stranger, excess=more, chance=_chance(found, level, judged))


def _chance(found: Recognition, level: int, judged: dict[int, tuple[int, int]]) -> float | None:
    """``judged``: track -> frames of the output that match, and frames; against the distractors."""
    own, strangers, weights = [], [], []
    for track, (hits, count) in judged.items():
        if not count:
            continue
        tally = found.tracks[track]
        frames = sum(block.count for block in tally.blocks)
        own.append(hits / count)
        weights.append(count)
        strangers.append([kinds[1][level] / frames for name, kinds in tally.stranger_frames.items() if name < 0])
    return by_chance(own, strangers, weights)


def _any_frame(found: Recognition, level: int) -> Compared:
    tallies = [tally for tally in found.tracks.values() if tally.blocks]
    protected, solid = (each([t.any_hit[s][level] for t in tallies]) for s in (PROTECTED, SOLID))
    counts = [len(t.stranger_frames) for t in tallies]
    impostor, stranger = (
        rate([sum(kinds[kind][level] > 0 for kinds in t.stranger_frames.values()) for t in tallies], counts)
        for kind in (0, 1)
    )
    return Compared(protected, solid, impostor, stranger=stranger)


def _other_frame(found: Recognition, pairs: dict[int, list[tuple[Kept, Kept]]], level: int, seed: int) -> Compared:
    least = found.thresholds[level]
    hits: dict[str, list[int]] = {"protected": [], "solid": [], "original": []}
    counts: list[int] = []
    for of_track in pairs.values():
        counts.append(len(of_track))
        for name, total in hits.items():
            total.append(
                sum(
                    float(similarities(found.about, getattr(a, name)[None], b.original[None])[0, 0]) >= least
                    for a, b in of_track
                )
            )
    beside = _same_frame(found, level, seed)
    judged = dict(zip(pairs, zip(hits["protected"], counts, strict=True), strict=True))
    return Compared(
        rate(hits["protected"], counts, seed), rate(hits["solid"], counts, seed), beside.impostor,
        rate(hits["original"], counts, seed), beside.stranger,
        excess=excess(hits["protected"], hits["solid"], counts, seed), chance=_chance(found, level, judged),
    )  # fmt: skip


def _average(found: Recognition) -> Compared:
    tracks = [a for a in found.averages.values() if a]
    counts = [len(a) for a in tracks]
    hits = [[sum(r[s] for r in a) for a in tracks] for s in (PROTECTED, SOLID)]
    return Compared(rate(hits[0], counts), rate(hits[1], counts), excess=excess(hits[0], hits[1], counts))


def _pairs(kept: Sequence[Kept]) -> list[tuple[Kept, Kept]]:
    """Every kept frame with the one half a track away."""
    half = len(kept) // 2
    both = [(a, kept[(i + half) % len(kept)]) for i, a in enumerate(kept)]
    return [(a, b) for a, b in both if abs(a.frame - b.frame) >= APART]


def _ranks(
    found: Recognition,
    pairs: dict[int, list[tuple[Kept, Kept]]],
    crowds: dict[str, FloatArray],
    *,
    alike: bool,
) -> tuple[int, dict[int, Compared]]:
    """Rank-1 and rank-5: own track (another frame), tracks surely of other people, and the crowd.

    ``alike``: the gallery is protected as the probe is.
    """
    placed: dict[str, list[list[int]]] = {source: [] for source in crowds}
    sizes: list[int] = []
    for track, of_track in pairs.items():
        others = [
            found.tracks[t].kept[len(found.tracks[t].kept) // 2]
            for t in sorted(found.together.get(track, ()))
            if found.tracks[t].kept
        ]
        if not of_track or not (others or len(next(iter(crowds.values())))):
            continue
        sizes += [1 + len(others) + len(next(iter(crowds.values())))] * len(of_track)
        for source, crowd in crowds.items():
            placed[source].append([_place(found, source, a, b, others, crowd, alike) for a, b in of_track])
    if not sizes:
        return 0, {}
    out = {}
    for n in (1, 5):
        if max(sizes) <= n:
            continue
        by = {
            source: rate([sum(0 < p <= n for p in of) for of in lists], [sum(p > 0 for p in of) for of in lists])
            for source, lists in placed.items()
        }
        chance = float(np.mean([min(1.0, n / size) for size in sizes]))
        out[n] = Compared(by["protected"], by["solid"], Rate(chance, chance, chance, 0, 0), by.get("clean"))
    return max(sizes), out


def _place(
    found: Recognition, source: str, probe: Kept, own: Kept, others: Sequence[Kept], crowd: FloatArray, alike: bool
) -> int:
    """The place of the probe's own person in the gallery, from 1; 0 where there is no such gallery."""
    vector = probe.original if source == "clean" else getattr(probe, source)
    in_gallery: Callable[[Kept], FloatArray | None]
    if not alike:
        in_gallery = lambda k: k.original  # noqa: E731
    elif source == "solid":
        in_gallery = lambda k: k.solid  # noqa: E731
    else:
        in_gallery = lambda k: k.alike  # noqa: E731
    photos = [in_gallery(own), *(in_gallery(k) for k in others)]
    if photos[0] is None:
        return 0
    known = [p for p in photos if p is not None]
    gallery = np.concatenate([np.stack(known), crowd]) if len(crowd) else np.stack(known)
    mask = np.zeros((1, len(gallery)), np.bool_)
    mask[0, 0] = True
    return int(ranks(similarities(found.about, vector[None], gallery), mask)[0])


def _cropped(picture: Picture, judge: Recogniser) -> ByteArray:
    assert picture.face.landmarks is not None
    return crop(picture.rgb, picture.face.landmarks, judge.description)


def _copied(distractors: Distractors, judge: Recogniser, copyist: Copyist, eyes: float) -> FloatArray:
    """(N, D): the strangers at the clip's own face size, protected by ``copyist``."""
    crops = []
    for picture in distractors.pictures:
        small = sized(picture, eyes)
        assert small.face.landmarks is not None
        crops.append(crop(rgb_of(copyist(*as_frame(small))), small.face.landmarks, judge.description))
    return embed_all(judge, crops)


def _timeline(found: Recognition, most: int = 600) -> list[tuple[int, float]]:
    """At most ``most`` points, each the worst of its stretch."""
    count = len(found.worst_frames)
    if not count:
        return []
    step = -(-count // most)
    out = []
    for at in range(0, count, step):
        stretch = range(at, min(at + step, count))
        worst = max(stretch, key=lambda i: found.worst_margins[i])
        out.append((int(found.worst_frames[worst]), round(float(found.worst_margins[worst]), 4)))
    return out
