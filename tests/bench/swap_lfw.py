"""Strangers to the program: LFW people as clips, and whether a recogniser finds them by another photo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.bench.swap_clips import FRAMES, PER_CLIP, Person, stitched, truth
from tests.bench.swap_identity import FAR, OUTPUT, SOLID, SOURCE, Embedder, Faces, matched
from tests.bench.swap_measure import Judges
from tests.bench.swap_quality import Quality
from tests.bench.swap_run import Made, make, moments
from tests.bench.swap_sheets import CELL, cut
from tests.bench.swap_tone import tone
from vidanon.audit.distractors import Distractors, Picture
from vidanon.audit.rates import Rate, each, rate
from vidanon.errors import VidanonError
from vidanon.recognise.base import Recogniser, similarities, threshold
from vidanon.recognise.crop import crop
from vidanon.types import ByteArray, Detection, FloatArray, PlanRow

MIDDLE = FRAMES // 2  #: the frame that is looked at more closely
JUDGED = (0, MIDDLE, FRAMES - 1)  #: the frames that recognisers judge: all are much alike


@dataclass
class LfwRun:
    """Everything of the LFW part; lists go by person, those of failed runs left out."""

    faces: Faces
    people: list[Person] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    tones: list[float | None] = field(default_factory=list)
    quality: Quality = field(default_factory=Quality)  #: of the middle frame
    missed: list[int] = field(default_factory=list)  #: frames in which the run planned nothing on the face
    shared: int = 0  #: people whose track goes on from the person before: a cut was missed
    failed: list[str] = field(default_factory=list)  #: why runs of the program failed; their people are left out
    pairs: list[tuple[ByteArray, ByteArray]] = field(default_factory=list)  #: source and output, for the sheet


def run(
    people: Sequence[Person],
    folder: Path,
    mode: str,
    seed: int,
    judges: Judges,
    progress: Callable[[str], None],
) -> LfwRun:
    """All people through the whole program, PER_CLIP in a clip."""
    embedder = Embedder(judges.recognisers)
    result = LfwRun(embedder.faces)
    for start in range(0, len(people), PER_CLIP):
        several = people[start : start + PER_CLIP]
        progress(f"LFW: people {start + 1} to {start + len(several)} of {len(people)}")
        try:
            made = make(stitched(several, folder / f"lfw-{start // PER_CLIP}.mp4"), folder, mode, seed)
        except VidanonError as error:
            result.failed.append(str(error))
            continue
        before = len(result.people)
        result.made.append(made)
        result.people += several
        last: int | None = None  #: the track of the person before
        for moment in moments(made):
            number, frame = divmod(moment.frame, FRAMES)
            someone = several[number]
            marks = truth(someone, frame)
            if frame in JUDGED:
                eyes = float(np.linalg.norm(marks[1] - marks[0]))
                embedder.add(f"{before + number}", frame, eyes, True, moment.pictures, marks)
            track = _track_at(moment.rows, marks)
            if frame == 0:
                result.missed.append(0)
                result.shared += track is not None and track == last
            result.missed[-1] += track is None
            last = track if track is not None else last
            if frame == MIDDLE:
                _look(result, moment.source, moment.output, marks, judges)
    embedder.finish()
    return result


def _track_at(rows: Sequence[PlanRow], marks: FloatArray) -> int | None:
    """The planned track that holds the nose, the nearest in the middle; None where there is none."""
    nose = marks[2]
    holding = [r for r in rows if (r.box[:2] <= nose).all() and (nose <= r.box[2:]).all()]
    if not holding:
        return None
    return min(holding, key=lambda r: float(np.abs((r.box[:2] + r.box[2:]) / 2 - nose).max())).track


def _look(result: LfwRun, source: ByteArray, output: ByteArray, marks: FloatArray, judges: Judges) -> None:
    mesh = judges.finder.detect_picture(source, np.zeros((1, 4), np.float32), marks[None]).points[0]
    result.tones.append(tone(source, mesh) if np.isfinite(mesh).all() else None)
    result.quality.judged.append(judges.quality(source, output, mesh, marks))
    result.quality.tracks.append(f"{len(result.quality.tracks)}")
    reach = np.concatenate([marks.min(0), marks.max(0)]) + np.array([-1, -1, 1, 1]) * 0.45 * np.ptp(marks, axis=0).max()
    result.pairs.append((cut(source, reach.astype(np.float32), CELL), cut(output, reach.astype(np.float32), CELL)))


def strangers(people: Sequence[Person]) -> Distractors:
    """The second photos, as strangers to everybody in the sample clips."""
    pictures = []
    for someone in people:
        low, high = someone.second_marks.min(0), someone.second_marks.max(0)
        box = np.concatenate([low, high]).astype(np.float32)
        pictures.append(Picture(someone.second, Detection(box, 1.0, someone.second_marks, "known")))
    return Distractors(tuple(pictures))


@dataclass(frozen=True)
class Matches:
    """What one recogniser says of the LFW people. Trials are face-frames; intervals draw people."""

    other: Rate  #: output against the other photo
    other_solid: Rate
    other_unprotected: Rate
    own: Rate  #: output against its own source photo
    own_solid: Rate
    impostor: Rate  #: source against other people's second photos
    mistaken: Rate  #: output against those
    any_frame: Rate  #: people whose output matches the other photo in any frame
    alike: Rate | None  #: outputs of different people that match one another
    hits: tuple[int, ...]  #: of ``other``, by person
    counts: tuple[int, ...]


def matches(result: LfwRun, judge: Recogniser) -> Matches:
    """See :class:`Matches`."""
    about = judge.description
    vectors, people = result.faces.of(judge), result.people
    of = np.array([int(t) for t in result.faces.tracks])
    second = judge.embed(np.stack([crop(p.second, p.second_marks, about) for p in people]))
    first = judge.embed(np.stack([crop(p.first, p.first_marks, about) for p in people]))
    counts = np.bincount(of, minlength=len(people))

    def by_person(source: int, known: FloatArray) -> np.ndarray:
        return np.bincount(of, matched(judge, vectors[:, source], known[of]), len(people)).astype(int)

    def shares(source: int, known: FloatArray) -> Rate:
        found = rate(by_person(source, known).tolist(), counts.tolist())
        assert found is not None
        return found

    middle = np.array([i for i, f in enumerate(result.faces.frames) if f == MIDDLE])
    hits = by_person(OUTPUT, second)
    any_frame = each([bool(h) for h in hits])
    assert any_frame is not None
    return Matches(
        other=shares(OUTPUT, second),
        other_solid=shares(SOLID, second),
        other_unprotected=shares(SOURCE, second),
        own=shares(OUTPUT, first),
        own_solid=shares(SOLID, first),
        impostor=_crossed(judge, vectors[middle, SOURCE], second),
        mistaken=_crossed(judge, vectors[middle, OUTPUT], second),
        any_frame=any_frame,
        alike=_crossed(judge, vectors[middle, OUTPUT], vectors[middle, OUTPUT]) if len(people) > 1 else None,
        hits=tuple(hits.tolist()),
        counts=tuple(counts.tolist()),
    )


def _crossed(judge: Recogniser, a: FloatArray, b: FloatArray) -> Rate:
    """Share of pairs of row i of ``a`` with another row of ``b`` that match; a row of ``a`` is a block."""
    hits = similarities(judge.description, a, b) >= threshold(judge.description, FAR)
    np.fill_diagonal(hits, False)
    found = rate(hits.sum(1).tolist(), [max(1, len(b) - 1)] * len(a))
    assert found is not None
    return found
