"""Whom do recognisers see in the output? Match rates beside their floors, and how steady the new faces are.

Every face-frame is embedded from the source, from the output and from the solid fill, all aligned by the source's
landmarks. Shares and their intervals are the audit's own: blocks of 25 frames of one track are drawn.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vidanon.audit.distractors import Distractors
from vidanon.audit.figures import APART
from vidanon.audit.judges import objection
from vidanon.audit.rates import BLOCK, Rate, each, rate
from vidanon.evaluate.bootstrap import Interval, bootstrap
from vidanon.recognise.assemble import make_recogniser
from vidanon.recognise.base import Description, Recogniser, similarities, threshold
from vidanon.recognise.crop import crop
from vidanon.recognise.student import load_student, load_surrogate
from vidanon.runtime.device import Runtime
from vidanon.types import ByteArray, FloatArray

FAR = 0.01
JUDGES = ("dlib", "dlib_densenet", "mobileface_v3", "mobileface_v2")
SOURCE, OUTPUT, SOLID = range(3)
LEAST = 5  #: face-frames of a track whose steadiness is measured
_BATCH = 24


def load_judges(data: Path, runtime: Runtime, names: Sequence[str] = JUDGES) -> list[Recogniser]:
    """Recognisers by name, or by the test data's file of that name."""
    judges = []
    for name in names:
        file = data / "recognisers" / f"{name}.onnx"
        judges.append(make_recogniser(str(file) if file.is_file() else name, runtime))
    return judges


def took_part(judges: Sequence[Recogniser], models: Mapping[str, str], runtime: Runtime) -> dict[str, str]:
    """Judge -> why it is no independent one of a run that used ``models`` (name -> SHA-256)."""
    ours = (load_student(runtime), load_surrogate(runtime))
    known: list[Description] = [each.description for each in (*ours, *judges)]
    reasons = {j.description.name: objection(j.description, models, known) for j in judges}
    return {name: reason for name, reason in reasons.items() if reason}


@dataclass
class Faces:
    """Face-frames by everything that is known of them; rows of all lists belong together."""

    tracks: list[str] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    eyes: list[float] = field(default_factory=list)
    shown: list[bool] = field(default_factory=list)  #: whether the output shows a face there
    vectors: dict[str, list[FloatArray]] = field(default_factory=dict)  #: judge -> (3, D) each

    def __len__(self) -> int:
        return len(self.tracks)

    def of(self, judge: Recogniser) -> FloatArray:
        """(N, 3, D)."""
        return np.stack(self.vectors[judge.description.name])


def joined(several: Sequence[Faces]) -> Faces:
    """All of them, one after the other."""
    names = several[0].vectors if several else {}
    return Faces(
        tracks=[t for faces in several for t in faces.tracks],
        frames=[f for faces in several for f in faces.frames],
        eyes=[e for faces in several for e in faces.eyes],
        shown=[s for faces in several for s in faces.shown],
        vectors={name: [v for faces in several for v in faces.vectors[name]] for name in names},
    )


class Embedder:
    """Collects crops and embeds them many at once."""

    def __init__(self, judges: Sequence[Recogniser]) -> None:
        self._judges = judges
        self._waiting: list[dict[str, list[ByteArray]]] = []
        self.faces = Faces(vectors={j.description.name: [] for j in judges})

    def add(
        self, track: str, frame: int, eyes: float, shown: bool, pictures: Sequence[ByteArray], marks: FloatArray
    ) -> None:
        """``pictures``: source, output and solid fill, RGB of one size; ``marks`` (5, 2) in their pixels."""
        self.faces.tracks.append(track)
        self.faces.frames.append(frame)
        self.faces.eyes.append(eyes)
        self.faces.shown.append(shown)
        made: dict[tuple[Any, ...], list[ByteArray]] = {}
        crops = {}
        for judge in self._judges:
            about = judge.description
            cut = about.size, about.template
            if cut not in made:
                made[cut] = [crop(picture, marks, about) for picture in pictures]
            crops[about.name] = made[cut]
        self._waiting.append(crops)
        if len(self._waiting) >= _BATCH:
            self.finish()

    def finish(self) -> Faces:
        """Everything embedded."""
        waiting, self._waiting = self._waiting, []
        for judge in self._judges if waiting else ():
            name = judge.description.name
            vectors = judge.embed(np.stack([c for crops in waiting for c in crops[name]]))
            self.faces.vectors[name] += list(vectors.reshape(len(waiting), 3, -1))
        return self.faces


# Figures -------------------------------------------------------------------------------------------------


def matched(judge: Recogniser, a: FloatArray, b: FloatArray) -> FloatArray:
    """(N, D) twice -> (N,) bool: whether each matches its own at FAR."""
    about = judge.description
    scores = [similarities(about, x[None], y[None])[0, 0] for x, y in zip(a, b, strict=True)]
    return np.asarray(np.array(scores, np.float32) >= threshold(about, FAR))


def share(hits: Any, tracks: Sequence[str]) -> Rate | None:
    """Share of hits (N,), its interval over blocks of BLOCK rows of one track."""
    blocks: dict[tuple[str, int], list[int]] = {}
    seen: dict[str, int] = defaultdict(int)
    for hit, track in zip(hits, tracks, strict=True):
        counts = blocks.setdefault((track, seen[track] // BLOCK), [0, 0])
        seen[track] += 1
        counts[0] += int(hit)
        counts[1] += 1
    return rate([h for h, _ in blocks.values()], [n for _, n in blocks.values()])


def any_of(hits: Any, tracks: Sequence[str]) -> Rate | None:
    """Share of tracks with a hit in any of their rows."""
    found: dict[str, bool] = {}
    for hit, track in zip(hits, tracks, strict=True):
        found[track] = found.get(track, False) or bool(hit)
    return each(list(found.values()))


def half_away(tracks: Sequence[str], frames: Sequence[int]) -> list[tuple[int, int]]:
    """Rows of one track, each with the row half of its track away, where that is another picture."""
    of: dict[str, list[int]] = defaultdict(list)
    for i, track in enumerate(tracks):
        of[track].append(i)
    pairs = [(rows[k], rows[(k + len(rows) // 2) % len(rows)]) for rows in of.values() for k in range(len(rows))]
    return [(i, j) for i, j in pairs if abs(frames[i] - frames[j]) >= APART]


def match_figures(faces: Faces, judge: Recogniser, strangers: Distractors) -> dict[str, Rate | None]:
    """Every match rate of one recogniser at FAR; "solid" is what a solid fill leaves, "impostor" what strangers match.

    "mistaken": how often the output is taken for somebody else, a stranger.
    """
    if not len(faces):
        return {}
    vectors, tracks = faces.of(judge), faces.tracks
    same = {k: matched(judge, vectors[:, k], vectors[:, SOURCE]) for k in (OUTPUT, SOLID)}
    pairs = half_away(tracks, faces.frames)
    a, b = [i for i, _ in pairs], [j for _, j in pairs]
    of_pairs = [tracks[i] for i in a]
    found: dict[str, Rate | None] = {
        "same": share(same[OUTPUT], tracks),
        "same_solid": share(same[SOLID], tracks),
        "any": any_of(same[OUTPUT], tracks),
        "any_solid": any_of(same[SOLID], tracks),
    }
    for name, k in (("other", OUTPUT), ("other_solid", SOLID), ("other_unprotected", SOURCE)):
        found[name] = share(matched(judge, vectors[a, k], vectors[b, SOURCE]), of_pairs) if pairs else None
    return found | _strangers(faces, vectors, judge, strangers)


def _strangers(faces: Faces, vectors: FloatArray, judge: Recogniser, strangers: Distractors) -> dict[str, Rate | None]:
    """Source ("impostor") and output ("mistaken") against strangers brought to the face's size.

    Trials are face-frames and strangers, in blocks by track; "any_...": tracks and strangers, a match in any frame.
    """
    names = {"impostor": SOURCE, "mistaken": OUTPUT}
    if not len(strangers):
        return dict.fromkeys((*names, *(f"any_{name}" for name in names)))
    least = threshold(judge.description, FAR)
    found: dict[str, list[np.ndarray]] = defaultdict(list)  #: track -> (2, strangers) matched, a frame each
    for vector, eyes, track in zip(vectors, faces.eyes, faces.tracks, strict=True):
        crowd = strangers.embedded(judge, eyes)
        found[track].append(similarities(judge.description, vector[list(names.values())], crowd) >= least)
    answer = {}
    for row, name in enumerate(names):
        hits = [np.stack([frame[row] for frame in of]) for of in found.values()]
        answer[name] = rate([int(h.sum()) for h in hits], [h.size for h in hits])
        answer[f"any_{name}"] = rate([int(h.any(0).sum()) for h in hits], [h.shape[1] for h in hits])
    return answer


def steadiness(faces: Faces, judge: Recogniser) -> dict[str, Interval | None]:
    """How alike the rows of a track are, a mean over tracks: each to the mean of the others, and to the next row.

    Only rows where the output shows a face, of tracks with LEAST of them. "mean", "next": cosines, of recognisers
    made for them only (others' are all near 1); "apart_mean", "apart_next": distance over that at which two faces
    match, so that 0 is the same and 1 is somebody else; "source_...": the same of the source. "next_matched": share
    of neighbouring outputs that the recogniser takes for one person.
    """
    of: dict[str, list[int]] = defaultdict(list)
    for i, (track, shown) in enumerate(zip(faces.tracks, faces.shown, strict=True)):
        if shown:
            of[track].append(i)
    cosine = judge.description.metric == "cosine"
    values: dict[str, list[float]] = defaultdict(list)
    for rows in of.values():
        if len(rows) < LEAST:
            continue
        vectors = faces.of(judge)[rows]
        for name, own in (("", vectors[:, OUTPUT]), ("source_", vectors[:, SOURCE])):
            others = (own.sum(0) - own) / (len(own) - 1)
            if cosine:
                others /= np.linalg.norm(others, axis=1, keepdims=True)
            for kind, a, b in (("mean", own, others), ("next", own[1:], own[:-1])):
                if cosine:
                    values[f"{name}{kind}"].append(float((a * b).sum(1).mean()))
                values[f"{name}apart_{kind}"].append(float(_apart(judge, a, b).mean()))
        values["next_matched"].append(float(matched(judge, vectors[1:, OUTPUT], vectors[:-1, OUTPUT]).mean()))
    kinds = ("mean", "next", "apart_mean", "apart_next")
    return {name: mean(values[name]) for name in (*kinds, *(f"source_{k}" for k in kinds), "next_matched")}


def _apart(judge: Recogniser, a: FloatArray, b: FloatArray) -> FloatArray:
    """(N, D) twice -> (N,): distance (for cosines 1 - cosine) over that of the threshold."""
    least = threshold(judge.description, FAR)
    if judge.description.metric == "cosine":
        return np.asarray((1 - (a * b).sum(1)) / (1 - least), np.float32)
    return np.asarray(np.linalg.norm(a - b, axis=1) / -least, np.float32)


def mean(values: Sequence[float]) -> Interval | None:
    """Mean with its bootstrap interval; None of nothing."""
    return bootstrap(lambda v: float(v.mean()), np.array(values), draws=500) if len(values) else None
