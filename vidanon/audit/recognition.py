"""What one recogniser makes of an output: matches by frame and by track, averages of frames, and a gallery.

Every face-frame is embedded three times: from the original, from the output and from the solid fill, all aligned by
the original's landmarks, which is more than an attacker has. Counts are kept by block; embeddings only of some
frames of each track, evenly spread however long it is.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vidanon.audit.distractors import Distractors
from vidanon.audit.faces import Face
from vidanon.audit.judges import FARS
from vidanon.audit.rates import BLOCK
from vidanon.audit.steady import Neighbours
from vidanon.recognise.base import Recogniser, similarities, threshold
from vidanon.recognise.crop import crop
from vidanon.types import ByteArray, FloatArray

BATCH = 24  #: face-frames embedded together
KEEP = 16  #: face-frames of a track whose embeddings are kept, at least where it has as many
HELD_TRACKS = 512  #: tracks whose embeddings are kept; those after them are judged by frame only
AVERAGED = 30  #: frames of an average
LEAST_AVERAGED = 10  #: of a track that has fewer
BINS = 56  #: of the histograms of similarity
SOURCES = ("protected", "solid")
PROTECTED, SOLID = range(2)


@dataclass
class _Entry:
    """One face-frame on its way to the recogniser."""

    frame: int
    track: int
    eyes: float
    crops: list[ByteArray]  #: original, protected, solid
    alike: ByteArray | None  #: the original protected by somebody else in the run's mode, where the frame is kept


@dataclass
class Kept:
    """Embeddings of one face-frame."""

    frame: int
    original: FloatArray  #: (D,)
    protected: FloatArray
    solid: FloatArray
    alike: FloatArray | None


@dataclass
class Block:
    """Counts of up to BLOCK frames of one track."""

    count: int = 0
    hits: list[list[int]] = field(default_factory=lambda: [[0] * len(FARS) for _ in SOURCES])
    strangers: int = 0  #: comparisons of the original with somebody else
    stranger_hits: list[int] = field(default_factory=lambda: [0] * len(FARS))
    mistaken: list[int] = field(default_factory=lambda: [0] * len(FARS))  #: the same of the output


class Evenly:
    """Which frames of a track to keep: every one, then every second, fourth ... so that at most 2 KEEP are held."""

    def __init__(self) -> None:
        self._step = 1
        self._seen = 0

    def wants(self) -> bool:
        """Whether the next frame is kept. Called once per frame."""
        wanted = self._seen % self._step == 0
        self._seen += 1
        return wanted

    def thin(self, kept: list[Kept]) -> list[Kept]:
        if len(kept) < 2 * KEEP:
            return kept
        self._step *= 2
        return kept[::2]


@dataclass
class Tally:
    """What is known of one track."""

    blocks: list[Block] = field(default_factory=list)
    any_hit: list[list[bool]] = field(default_factory=lambda: [[False] * len(FARS) for _ in SOURCES])
    #: stranger -> frames matched, by original or output, then by FAR
    stranger_frames: dict[int, list[list[int]]] = field(default_factory=dict)
    kept: list[Kept] = field(default_factory=list)
    evenly: Evenly = field(default_factory=Evenly)
    eyes: list[float] = field(default_factory=list)
    first: int = 0
    last: int = 0


@dataclass
class _Sum:
    """Frames of one track on their way to an average."""

    original: ByteArray
    totals: list[FloatArray]
    count: int = 0


class Recognition:
    """One recogniser over all frames; ``add`` in order, then ``finish``."""

    def __init__(self, judge: Recogniser, distractors: Distractors, frames_step: int = 1) -> None:
        self.about = judge.description
        self.thresholds = [threshold(self.about, far) for far in FARS]
        self._judge = judge
        self._distractors = distractors
        self._step = frames_step
        self._waiting: list[_Entry] = []
        self._sums: dict[int, _Sum] = {}
        self.neighbours = Neighbours(self.about, self.thresholds[0])
        self._ended: list[int] = []  #: tracks whose last frames may still wait
        self.tracks: dict[int, Tally] = {}
        self.together: dict[int, set[int]] = defaultdict(set)  #: tracks seen in one frame: surely different people
        self.averages: dict[int, list[list[bool]]] = defaultdict(list)  #: track -> matched at FARS[0], by source
        self.histograms = {name: np.zeros(BINS, np.int64) for name in (*SOURCES, "impostor")}
        self.worst_frames = array("l")  #: frame numbers with a face that counts
        self.worst_margins = array("f")  #: the largest similarity over the threshold of FARS[0] among them
        self.worst_of_track: dict[int, tuple[float, int]] = {}  #: track -> (margin, frame)

    def wants(self, track: int) -> bool:
        """Whether this track's next frame is one whose embeddings are kept."""
        tally = self.tracks.get(track)
        if tally is None:
            tally = self.tracks[track] = Tally()
        return len(self.tracks) <= HELD_TRACKS and tally.evenly.wants()

    def add(
        self,
        frame: int,
        faces: Sequence[Face],
        pictures: Sequence[ByteArray],
        alike: Sequence[ByteArray | None],
        kept: Sequence[bool],
    ) -> None:
        """Faces that count, of one frame; ``pictures``: RGB of original, output and solid fill, of one size.

        ``alike``: per face, the original picture with that face protected by somebody else.
        """
        for face, copy, keep in zip(faces, alike, kept, strict=True):
            assert face.landmarks is not None
            crops = [crop(picture, face.landmarks, self.about) for picture in pictures]
            again = None if copy is None else crop(copy, face.landmarks, self.about)
            self._tally(face, frame)
            self._average(face.track, crops)
            self._waiting.append(_Entry(frame if keep else -1 - frame, face.track, face.eyes, crops, again))
        for face in faces:
            self.together[face.track].update(other.track for other in faces if other.track != face.track)
        if len(self._waiting) >= BATCH:
            self._flush()

    def end_track(self, track: int) -> None:
        """No more frames of this track."""
        self._ended.append(track)
        total = self._sums.pop(track, None)
        if total is not None and total.count >= LEAST_AVERAGED and not self.averages.get(track):
            self._judge_average(track, total)

    def finish(self) -> None:
        self._flush()
        for track in list(self._sums):
            self.end_track(track)

    def bin_edges(self) -> FloatArray:
        """(BINS + 1,) of the histograms of similarity."""
        low, high = (-0.5, 1.0) if self.about.metric == "cosine" else (3 * self.thresholds[0], 0.0)
        return np.linspace(low, high, BINS + 1, dtype=np.float32)

    # -- inside ----------------------------------------------------------------------------------------------------

    def _tally(self, face: Face, frame: int) -> None:
        tally = self.tracks[face.track]
        if not tally.eyes:
            tally.first = frame
        tally.last = frame
        if len(tally.eyes) < 1000:
            tally.eyes.append(face.eyes)

    def _average(self, track: int, crops: Sequence[ByteArray]) -> None:
        total = self._sums.get(track)
        if total is None:
            total = self._sums[track] = _Sum(crops[0], [np.zeros(c.shape, np.float32) for c in crops[1:]])
        for sums, picture in zip(total.totals, crops[1:], strict=True):
            sums += picture
        total.count += 1
        if total.count == AVERAGED:
            self._judge_average(track, self._sums.pop(track))

    def _judge_average(self, track: int, total: _Sum) -> None:
        pictures = [total.original] + [np.rint(t / total.count).astype(np.uint8) for t in total.totals]
        embedded = self._judge.embed(np.stack(pictures))
        scores = similarities(self.about, embedded[:1], embedded[1:])[0]
        self.averages[track].append([bool(s >= self.thresholds[0]) for s in scores])

    def _flush(self) -> None:
        entries, self._waiting = self._waiting, []
        if not entries:
            return
        crops = [c for e in entries for c in e.crops] + [e.alike for e in entries if e.alike is not None]
        embedded = self._judge.embed(np.stack(crops))
        if not np.isfinite(embedded).all():
            raise ValueError(f"{self.about.name} answers values that are no numbers")
        triples = embedded[: 3 * len(entries)].reshape(len(entries), 3, -1)
        copies = iter(embedded[3 * len(entries) :])
        same_frame: dict[int, list[tuple[int, FloatArray]]] = defaultdict(list)
        for entry, triple in zip(entries, triples, strict=True):
            frame = entry.frame if entry.frame >= 0 else -1 - entry.frame
            self._count(entry, frame, triple, None if entry.alike is None else next(copies))
            self.neighbours.add(entry.track, triple[1], triple[0])
            same_frame[frame].append((entry.track, triple[0]))
        for entry, triple in zip(entries, triples, strict=True):
            frame = entry.frame if entry.frame >= 0 else -1 - entry.frame
            others = [(t, e) for t, e in same_frame[frame] if t != entry.track]
            self._strangers(entry, triple, others)
        self.neighbours.drop(self._ended)
        self._ended.clear()

    def _count(self, entry: _Entry, frame: int, triple: FloatArray, copy: FloatArray | None) -> None:
        tally = self.tracks[entry.track]
        scores = similarities(self.about, triple[:1], triple[1:])[0]
        block = self._block(tally)
        block.count += 1
        edges = self.bin_edges()
        for source, score in enumerate(scores):
            self.histograms[SOURCES[source]] += np.histogram(score.clip(edges[0], edges[-1]), edges)[0]
            for level, least in enumerate(self.thresholds):
                if score >= least:
                    block.hits[source][level] += 1
                    tally.any_hit[source][level] = True
        margin = float(scores[PROTECTED] - self.thresholds[0])
        if margin > self.worst_of_track.get(entry.track, (-np.inf, 0))[0]:
            self.worst_of_track[entry.track] = (margin, frame)
        if self.worst_frames and self.worst_frames[-1] == frame:
            self.worst_margins[-1] = max(self.worst_margins[-1], margin)
        else:
            self.worst_frames.append(frame)
            self.worst_margins.append(margin)
        if entry.frame >= 0:
            original, protected, solid = (np.array(e) for e in triple)
            tally.kept.append(Kept(frame, original, protected, solid, None if copy is None else np.array(copy)))
            tally.kept = tally.evenly.thin(tally.kept)

    def _block(self, tally: Tally) -> Block:
        if not tally.blocks or tally.blocks[-1].count >= BLOCK:
            tally.blocks.append(Block())
        return tally.blocks[-1]

    def _strangers(self, entry: _Entry, triple: FloatArray, others: Sequence[tuple[int, FloatArray]]) -> None:
        """Other people's faces at this size: distractors (numbered below zero), and who else is in the frame.

        ``triple`` (3, D): original, output, solid fill.
        """
        faces = self._distractors.embedded(self._judge, entry.eyes)
        names = [-1 - i for i in range(len(faces))] + [track for track, _ in others]
        if not names:
            return
        everyone = np.concatenate([*([faces] if len(faces) else []), *(e[None] for _, e in others)])
        scores, mistaken = similarities(self.about, triple[:2], everyone)
        tally = self.tracks[entry.track]
        for name in names:
            tally.stranger_frames.setdefault(name, [[0] * len(FARS), [0] * len(FARS)])
        block = tally.blocks[-1]
        block.strangers += len(scores)
        edges = self.bin_edges()
        self.histograms["impostor"] += np.histogram(scores.clip(edges[0], edges[-1]), edges)[0]
        for level, least in enumerate(self.thresholds):
            hits = scores >= least, mistaken >= least
            block.stranger_hits[level] += int(hits[0].sum())
            block.mistaken[level] += int(hits[1].sum())
            for kind, hit in enumerate(hits):
                for at in np.flatnonzero(hit):
                    tally.stranger_frames[names[at]][kind][level] += 1
