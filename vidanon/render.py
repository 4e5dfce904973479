"""The render pass: protect, blend, encode, decode again, verify, and only then commit, segment by segment.

A segment that fails its check is drawn again with what failed covered by a solid shape, then with whole frames
covered, and is withheld (LeakError) if that fails too. Nothing unverified reaches the sink.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TypeVar

import numpy as np

from vidanon.config import RunConfig
from vidanon.errors import LeakError
from vidanon.faces.blend import Part, blend, drawn_at, others_at, spared, split
from vidanon.faces.cover import cover_whole
from vidanon.faces.gather import gather
from vidanon.media.encode import EncodedSegment, SegmentEncoder
from vidanon.media.segment_decode import decode_segment
from vidanon.media.sink import Sink
from vidanon.protect.base import Protector, TrackStates
from vidanon.segments import Segment, segments
from vidanon.track.plan import Plan
from vidanon.treatment import Rows, Treatment, first_treatment, stronger_treatment
from vidanon.types import Frame, PlanRow, ProtectedFrame, RowState, RunReport
from vidanon.verify import KNOWN, Eyes, Findings, Wanted, face_luma, verify

ATTEMPTS = 7  #: protected; in up to three other ways; covered; covered with what the next look found; whole frames
CHUNK = 16  #: frames whose faces go to the protector together
LOOK_EVERY = 12  #: frames between two looks of the light detector pass

T = TypeVar("T")
Verified = Callable[[Segment, EncodedSegment], None]


@dataclass
class Attempt:
    """One drawing of a segment, and what is needed to judge it."""

    treatment: Treatment
    wanted: dict[int, list[Wanted]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)  #: reason -> face-frames the protector gave back
    instead: Counter[str] = field(default_factory=Counter)  #: reason -> face-frames protected in another way
    encoded: EncodedSegment | None = None


class Renderer:
    """Renders one file; ``run`` is its one method."""

    def __init__(
        self,
        plan: Plan,
        protector: Protector,
        encoder: SegmentEncoder,
        sink: Sink,
        eyes: Eyes,
        config: RunConfig,
        report: RunReport,
        device: str,
    ) -> None:
        """``eyes``: what looks at the output; with ``verify`` off nothing does."""
        self._plan = plan
        self._protector = protector
        self._encoder = encoder
        self._sink = sink
        self._eyes = eyes
        self._config = config
        self._report = report
        self._device = device
        self._actions = {track.id: track.action for track in plan.tracks()}
        self._states: TrackStates = {}
        self._clock: dict[str, float] = defaultdict(float)  #: stage -> seconds
        self._worst_detail = 0.0
        self._changes = 0  #: how often a track went on in another way

    def run(self, frames: Iterable[Frame], progress: Callable[[int], None], verified: Verified | None = None) -> None:
        """Render every frame and commit every segment, in order.

        ``progress`` gets the number of frames committed so far, ``verified`` every committed segment. A segment
        is checked while the next one is drawn. Raises LeakError when a segment cannot be drawn so that it passes.
        """
        done = 0
        waiting: tuple[Segment, Attempt, Future[Findings] | None] | None = None
        with ThreadPoolExecutor(1, "verify") as checker:
            for segment in segments(self._timed("decode", frames), self._config.encode):
                attempt = self._draw(segment, self._prepared(segment))
                check = self._check(checker, segment, attempt)
                if waiting is not None:
                    before = self._changes
                    done += self._settle(*waiting, verified)
                    progress(done)
                    if self._changes != before:  # a track goes on in another way: from here on, not from later
                        if check is not None:
                            check.result()
                        attempt = self._draw(segment, attempt.treatment)
                        check = self._check(checker, segment, attempt)
                waiting = (segment, attempt, check)
            if waiting is not None:
                done += self._settle(*waiting, verified)
                progress(done)
        for stage, seconds in self._clock.items():
            self._report.seconds[stage] = self._report.seconds.get(stage, 0.0) + seconds
        self._report.verify["worst_surviving_detail"] = round(self._worst_detail, 4)

    def _check(self, checker: ThreadPoolExecutor, segment: Segment, attempt: Attempt) -> Future[Findings] | None:
        return None if self._config.verify == "off" else checker.submit(self._verify, segment, attempt)

    def _prepared(self, segment: Segment) -> Treatment:
        """As planned, with what the protector wants to know of the whole segment."""
        treatment = first_treatment(segment, self._plan, self._actions)
        started = time.perf_counter()
        rows = [row for frame in segment.frames for row in treatment.protect.get(frame.index, ())]
        rows, self._states = self._protector.prepare(segment.frames, rows, self._states)
        protect: Rows = defaultdict(list)
        for row in rows:
            protect[row.frame].append(row)
        self._clock["prepare"] += time.perf_counter() - started
        return replace(treatment, protect=protect)

    def _draw(self, segment: Segment, treatment: Treatment) -> Attempt:
        """Protect, blend and encode. Frames stream into the encoder; only face regions are kept for the check."""
        attempt = Attempt(treatment)
        started = time.perf_counter()
        protected = self._clock["protect"]
        attempt.encoded = self._encoder.encode(self._timed("protect", self._protected(segment, attempt)))
        self._clock["encode"] += time.perf_counter() - started - (self._clock["protect"] - protected)
        return attempt

    def _protected(self, segment: Segment, attempt: Attempt) -> Iterator[ProtectedFrame]:
        chunks = [segment.frames[start : start + CHUNK] for start in range(0, len(segment.frames), CHUNK)]
        # the next chunk's faces are drawn while this one's frames are blended and encoded
        with ThreadPoolExecutor(1, "protect") as drawer:
            ahead = drawer.submit(self._faces, chunks[0], attempt)
            for chunk, following in zip_longest(chunks, chunks[1:]):
                parts = ahead.result()
                if following is not None:
                    ahead = drawer.submit(self._faces, following, attempt)
                yield from self._blended(chunk, parts, attempt)

    def _faces(self, chunk: Sequence[Frame], attempt: Attempt) -> dict[int, list[Part]]:
        """What the faces of some frames become, by frame."""
        treatment = attempt.treatment
        rows = [row for f in chunk if f.index not in treatment.whole for row in treatment.protect.get(f.index, ())]
        parts: dict[int, list[Part]] = defaultdict(list)
        for batch in _ahead(gather(chunk, rows, self._config.protect, self._device)):
            protected, self._states = self._protector(batch, self._states)
            attempt.instead.update(reason for reason in protected.instead if reason)
            for part in split(batch, protected):
                parts[part.frame].append(part)
                if not part.ok:
                    attempt.refused[part.reason] += 1
        return parts

    def _blended(
        self, chunk: Sequence[Frame], parts: dict[int, list[Part]], attempt: Attempt
    ) -> Iterator[ProtectedFrame]:
        treatment = attempt.treatment
        for frame in chunk:
            if frame.index in treatment.whole:
                out = cover_whole(frame)
                everything = np.array([0, 0, frame.width, frame.height], np.float32)
                seen = [PlanRow(frame.index, 0, everything, None, RowState.ADDED, 1.0)]
            else:
                covered = treatment.cover.get(frame.index, [])
                out = blend(frame, parts[frame.index], covered, self._config.protect)
                seen = [*treatment.protect.get(frame.index, ()), *covered]
            attempt.wanted[frame.index] = _wanted(out, frame, seen, treatment, parts[frame.index])
            yield out

    def _verify(self, segment: Segment, attempt: Attempt) -> Findings:
        assert attempt.encoded is not None
        started = time.perf_counter()
        found = verify(
            segment.frames,
            decode_segment(attempt.encoded),
            attempt.wanted,
            attempt.treatment.known(self._config.protect.mask_scale),
            self._eyes,
            self._look_at(segment) - attempt.treatment.whole,
        )
        self._clock["verify"] += time.perf_counter() - started
        return found

    def _look_at(self, segment: Segment) -> frozenset[int]:
        """Indices the eyes look at: every frame, or both ends and some in between, off the analysis' rhythm."""
        step = 1 if self._config.verify == "full" else LOOK_EVERY
        inside = range(segment.first + step // 2, segment.stop, step)
        return frozenset({segment.first, segment.stop - 1, *inside})

    def _settle(
        self, segment: Segment, attempt: Attempt, check: Future[Findings] | None, verified: Verified | None
    ) -> int:
        """Draw again what failed its check, then commit. Returns the number of frames committed."""
        found = Findings() if check is None else check.result()
        for _ in range(ATTEMPTS - 1):
            if found.clean or found.stream:
                break
            again, self._states = self._protector.rejected(sorted(found.known), self._states)
            self._changes += len(again)
            self._note_retry(attempt.treatment, found, again)
            attempt = self._draw(segment, stronger_treatment(segment, attempt.treatment, found, again))
            found = self._verify(segment, attempt)
        if not found.clean:
            reason = found.stream or next(iter(found.rows.values()), "faces outside the plan were found each time")
            raise LeakError(
                f"frames {segment.first}-{segment.stop - 1} failed the leak check ({reason}) and nothing was written; "
                "try --mode mask, a larger --mask-scale or a higher quality"
            )
        assert attempt.encoded is not None
        self._sink.commit(attempt.encoded)
        self._count(segment, attempt, found)
        if verified is not None:
            verified(segment, attempt.encoded)
        return len(segment.frames)

    # The report ------------------------------------------------------------------------------------------

    def _timed(self, stage: str, items: Iterable[T]) -> Iterator[T]:
        """``items``, with the time spent waiting for each of them booked to ``stage``."""
        iterator = iter(items)
        while True:
            started = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self._clock[stage] += time.perf_counter() - started
            yield item

    def _note_retry(self, treatment: Treatment, found: Findings, again: frozenset[int]) -> None:
        self._report.segments_retried += 1
        covered = Counter(self._report.covered)
        covered.update(found.rows.values())
        known = [row for rows in treatment.protect.values() for row in rows if row.track in found.known.keys() - again]
        covered.update(KNOWN for row in known if (row.frame, row.track) not in found.rows)
        self._report.covered = dict(covered)
        if found.missed:
            tally = self._report.verify
            tally["faces_outside_plan"] = tally.get("faces_outside_plan", 0) + sum(map(len, found.missed.values()))

    def _count(self, segment: Segment, attempt: Attempt, found: Findings) -> None:
        report, treatment = self._report, attempt.treatment
        report.segments += 1
        report.frames += len(segment.frames)
        report.frames_covered_whole += len(treatment.whole)
        covered = Counter(report.covered)
        covered.update(attempt.refused)
        report.covered = dict(covered)
        report.fallback_faces = dict(Counter(report.fallback_faces) + attempt.instead)
        states = Counter(report.face_states)
        for frame in segment.frames:
            rows = [*treatment.protect.get(frame.index, ()), *treatment.cover.get(frame.index, ())]
            report.faces += len(rows)
            report.frames_with_faces += bool(rows)
            report.kept += len(treatment.keep.get(frame.index, ()))
            states.update(row.state.name.lower() for row in rows)
        report.face_states = dict(states)
        tally = report.verify
        tally["faces_checked"] = tally.get("faces_checked", 0) + found.faces
        tally["frames_looked_at"] = tally.get("frames_looked_at", 0) + found.looked
        self._worst_detail = max(self._worst_detail, found.worst_detail)


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """``items``, each made while the one before it is worked on."""
    with ThreadPoolExecutor(1, "ahead") as maker:
        coming = maker.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = maker.submit(next, items, None)
            yield item


def _wanted(
    out: ProtectedFrame, frame: Frame, seen: Sequence[PlanRow], treatment: Treatment, parts: Sequence[Part]
) -> list[Wanted]:
    """What every face of ``frame`` became."""
    by_track = {part.track: part for part in parts if part.ok}
    protected = {row.track for row in treatment.protect.get(frame.index, ())}
    wanted = []
    for row in seen:
        part = by_track.get(row.track) if row.track in protected else None
        solid = row.track not in protected or (part is not None and part.blank)
        drawn = None if part is None else drawn_at(frame, part, row.box)
        others = None if part is None else others_at(frame, spared(part, parts), row.box)
        wanted.append(Wanted(row, face_luma(out.frame, row.box), solid, drawn, others))
    return wanted
