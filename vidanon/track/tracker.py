"""Detections of every k-th frame in, covered boxes of every frame out.

One step per *look*: a frame in which the whole picture was searched, with the small grey pictures of the frames since
the look before. Every live track is carried through them by optical flow; then detections and tracks are matched;
what lies between two hits is filled from both ends; a new track is carried back, a lost one carried on. Nothing here
depends on time or threads: the same steps give the same rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from vidanon.config import TrackSettings
from vidanon.track.arrival import nothing_came
from vidanon.track.assign import Match, assign, two_stage
from vidanon.track.base import Again, Box, Boxes, iou, stack, union
from vidanon.track.flow import Luma, carry
from vidanon.track.live import BESIDE, Track, hit_of, predict
from vidanon.track.path import Absent, Hit, Node, between, beyond, carried_back, centre
from vidanon.types import Detection, PlanRow, RowState

_SAME = 0.6  #: overlap of two tracks on one face
_WEAK_IOU = 0.3
_SURELY = 0.8  #: likeness of the patches on both sides of a cut, for a track to be followed over it


class Tracker:
    """Feed ``step`` with every look in order, ``cut`` at a scene cut, ``finish`` at the end; each hands out rows."""

    def __init__(self, settings: TrackSettings) -> None:
        self._settings = settings
        self._tracks: list[Track] = []
        self._next_id = 1
        self._lumas: dict[int, Luma] = {}
        self._looks: deque[tuple[int, list[Hit]]] = deque()  #: hits that went to no track, for carrying back
        self._scene = 0  #: first frame of the scene
        self._now = -1  #: frame of the last look
        self._span = 1  #: most frames between two looks so far
        self._out: list[PlanRow] = []
        self.count = 0  #: tracks that have ended

    # -- the three calls -------------------------------------------------------------------------------------------

    def step(
        self, lumas: Sequence[Luma], detections: Sequence[Detection] | None, again: Again | None = None
    ) -> list[PlanRow]:
        """``lumas``: the frames since the last look, in order, the look itself last; ``detections`` of the look,
        in coded px; None: the detector failed there; ``again`` looks again at the look's picture, where a live track
        was not found. Returns the rows that are final now.
        """
        if self._now < 0:
            self._scene = lumas[0].index
        self._remember(lumas)
        longest = max(self._settings.backfill, self._coast())
        for track in self._tracks:
            track.follow(self._lumas.get, lumas[-1].index, longest)
        predict(self._tracks, lumas)
        self._span = max(len(lumas), self._span)
        self._now = lumas[-1].index
        if detections is not None:
            self._match(lumas[-1], detections, again)
        self._carry_back()
        self._drop()
        return self._taken()

    def cut(self, first: Luma) -> list[PlanRow]:
        """Another scene starts with the frame ``first``; call before the ``step`` that brings it.

        Every track ends that cannot plainly be followed into it: where the cut was a mistake (a flash, a picture
        in the picture) the others stay. Nothing is carried back over the cut.
        """
        stay = [t for t in self._tracks if self._crosses(t, first)]
        for track in self._tracks:
            if track not in stay:
                self._end(track, first.index - 1)
            elif track.confirmed and not track.carried:
                self._back(track)  # while the frames before the cut are still at hand
        self._tracks = stay
        for index in [i for i in self._lumas if i < self._now]:
            del self._lumas[index]
        self._looks.clear()
        self._scene = first.index
        return self._taken()

    def _crosses(self, track: Track, first: Luma) -> bool:
        before = self._lumas.get(first.index - 1)
        if before is None or (before.width, before.height) != (first.width, first.height):
            return False
        box = track.box_at(self._now)
        step = carry(before, first, box, track.mean[:2, 1])
        return step is not None and step.ncc >= _SURELY

    def finish(self) -> list[PlanRow]:
        """The stream has ended with the last look."""
        for track in self._tracks:
            self._end(track, self._now)
        self._tracks = []
        return self._taken()

    # -- one look --------------------------------------------------------------------------------------------------

    def _remember(self, lumas: Sequence[Luma]) -> None:
        self._lumas.update((luma.index, luma) for luma in lumas)
        s = self._settings
        oldest = lumas[-1].index - max(s.backfill, s.bridge) - self._window() - 2 * self._span
        for index in [i for i in self._lumas if i < oldest]:
            del self._lumas[index]
        while self._looks and self._looks[0][0] < oldest:
            self._looks.popleft()

    def _window(self) -> int:
        """Frames within which the second hit of a new track must come: two looks at least."""
        return max(self._settings.birth_window, 2 * self._span)

    def _coast(self) -> int:
        return max(self._settings.coast, 2 * self._span)

    def _match(self, luma: Luma, detections: Sequence[Detection], again: Again | None) -> None:
        s = self._settings
        sane = (d for d in detections if np.isfinite(d.box).all() and (d.box[2:] > d.box[:2]).all())
        hits = [hit_of(luma.index, d) for d in sane if d.score >= s.low]
        match = self._assigned(luma.index, hits)
        taken = {j for _, j in match.pairs}
        # A second box on a face that has its track is no second face, but what it adds is covered too.
        owners = [(i, j) for i, j in match.pairs]
        for j, hit in enumerate(hits):
            if j in taken or not owners:
                continue
            overlap = iou(hit.box[None], stack([hits[o].box for _, o in owners]))[0]
            best = int(overlap.argmax())
            if overlap[best] >= _SAME:
                owner = owners[best][1]
                if hit.score >= s.high:
                    hits[owner] = Hit(
                        luma.index, union(hits[owner].box, hit.box), hits[owner].score, hits[owner].landmarks
                    )
                taken.add(j)
        for i, j in match.pairs:
            self._hit(self._tracks[i], hits[j])
        found = stack([hits[j].box for _, j in match.pairs])
        missing = [self._tracks[i] for i in match.tracks]
        self._shadow(missing, [self._tracks[i] for i, _ in match.pairs], found)
        if again is not None:
            self._look_again([t for t in missing if t.confirmed and not t.shadowed], found, again)
        born = [hits[j] for j in match.detections if j not in taken]
        taken.update(j for j in match.detections)
        self._looks.append((luma.index, [h for j, h in enumerate(hits) if j not in taken]))
        self._born(sorted(born, key=lambda h: -h.score))
        self._merge()

    def _assigned(self, now: int, hits: Sequence[Hit]) -> Match:
        s = self._settings
        boxes = stack([h.box for h in hits])
        missed = np.array([0 if t.flowing else now - t.last.frame for t in self._tracks], np.float64)
        slack = np.minimum(0.06 * missed, 2.0)
        live = np.array([now - t.last.frame <= self._coast() for t in self._tracks], bool)
        expected = stack([t.box_at(now) for t in self._tracks])
        scores = np.array([h.score for h in hits])
        match = two_stage(expected, slack, boxes, scores, high=s.high, low=s.low, live=live)
        # Who was lost from sight may also have stopped or turned back there.
        lost = [i for i in match.tracks if not self._tracks[i].flowing]
        there = stack([self._tracks[i].last.box for i in lost])
        more = assign(there, boxes[match.detections], slack[lost])
        pairs = match.pairs + [(lost[i], match.detections[j]) for i, j in more.pairs]
        found = {i for i, _ in pairs}
        return Match(
            sorted(pairs),
            [i for i in range(len(self._tracks)) if i not in found],
            [match.detections[j] for j in more.detections],
        )

    def _look_again(self, tracks: Sequence[Track], found: Boxes, again: Again) -> None:
        """Live tracks that the search of the whole picture missed: turned, blurred or half hidden faces."""
        live = [t for t in tracks if self._now - t.last.frame <= self._coast() and t.flowing]
        if not live:
            return
        expected = stack([t.box_at(self._now) for t in live])
        for track, place, d in zip(live, expected, again(expected), strict=True):
            if d is None or d.score < self._settings.low:
                continue
            hit = hit_of(self._now, d, RowState.REFINED)
            here = float(iou(place[None], hit.box[None])[0, 0]) >= _WEAK_IOU
            if here and not (len(found) and iou(hit.box[None], found).max() >= _WEAK_IOU):
                self._hit(track, hit)

    def _hit(self, track: Track, hit: Hit) -> None:
        weak = hit.score < self._settings.high or hit.state != RowState.DETECTED
        if weak and track.flowing and track.ahead:
            hit = hit.doubted(track.ahead[-1].box)
        speed = track.velocity(self._span) if track.hits > 1 else None
        track.nodes += between(track.last, hit, track.ahead, self._lumas.get, self._settings.coast_growth, speed)
        track.take(hit)
        if not track.confirmed and (hit.score >= self._settings.birth_pair or track.hits >= 3):
            track.confirmed = True
        self._out += track.early_rows(self._span)

    def _born(self, hits: Sequence[Hit]) -> None:
        kept: list[Hit] = []
        for hit in hits:
            same = [i for i, other in enumerate(kept) if iou(hit.box[None], other.box[None])[0, 0] >= _SAME]
            if same:
                other = kept[same[0]]
                kept[same[0]] = Hit(other.frame, union(other.box, hit.box), other.score, other.landmarks)
            else:
                kept.append(hit)
        for hit in kept:
            track = Track.born(self._next_id, hit)
            self._next_id += 1
            self._tracks.append(track)
            if hit.score >= self._settings.birth:
                track.confirmed = True

    def _carry_back(self) -> None:
        """New tracks that are sure: one look after the first hit, for then the speed is known."""
        for track in self._tracks:
            if track.confirmed and not track.carried and track.first.frame < self._now:
                self._back(track)

    def _back(self, track: Track) -> None:
        """Put the frames before the first hit in front: all that is allowed, or, for an unsure track, the next few."""
        longest = self._settings.backfill if track.confirmed else self._span
        track.nodes = [*self._before(track, longest), *track.nodes]
        track.carried = True

    def _before(self, track: Track, longest: int) -> list[Node]:
        first = track.first
        blind = min(self._coast(), longest)
        looks = [frame for frame, _ in reversed(self._looks) if frame < first.frame] if longest > self._span else []
        known = [n for n in track.nodes if n.frame - first.frame <= 2 * self._span]
        velocity = np.zeros(2)
        if len(known) > 1:
            a, b = known[0], known[-1]
            velocity = (centre(b.box) - centre(a.box)) / (b.frame - a.frame)
        return carried_back(
            first, looks, self._seen, self._lumas.get,
            oldest=max(self._scene, first.frame - longest), blind=blind, growth=self._settings.coast_growth,
            velocity=velocity, picture=self._picture(), absent=self._absent(track, first),
        )  # fmt: skip

    def _seen(self, look: int, expected: Box) -> Hit | None:
        """The candidate at an earlier look that lies where it is expected, taken out of the list."""
        for frame, hits in self._looks:
            if frame == look and hits:
                overlap = iou(expected[None], stack([h.box for h in hits]))[0]
                best = int(overlap.argmax())
                return hits.pop(best) if overlap[best] >= _WEAK_IOU else None
        return None

    def _absent(self, track: Track, end: Hit) -> Absent:
        """Whether ``track``, seen in ``end``, is surely not in a place in another frame."""

        def absent(frame: int, place: Box) -> bool:
            then, now = self._lumas.get(end.frame), self._lumas.get(frame)
            if then is None or now is None:
                return False
            seen = [t.seen_at(frame) for t in self._tracks if t is not track]
            return nothing_came(then, now, end.box, place, [box for box in seen if box is not None])

        return absent

    def _picture(self) -> tuple[int, int]:
        luma = next(reversed(self._lumas.values()))
        return luma.width, luma.height

    # -- ends ------------------------------------------------------------------------------------------------------

    def _shadow(self, unmatched: Sequence[Track], matched: Sequence[Track], boxes: Boxes) -> None:
        """Tracks without a hit that lie on one with a hit: twice the same face, or a face behind another one."""
        overlap = iou(boxes, boxes)
        for i, track in enumerate(matched):
            track.apart.update(t.id for t, o in zip(matched, overlap[i], strict=True) if o < BESIDE)
        for track in unmatched:
            over = iou(track.box_at(self._now)[None], boxes)[0] if len(boxes) else np.zeros(1)
            if over.max() < _SAME:
                track.shadowed = 0
            elif (front := matched[int(over.argmax())]).id in track.apart:
                track.hide(front, self._now, self._span)
            else:
                track.shadowed += 1

    def _merge(self) -> None:
        """Two tracks that both follow one face: after three looks the younger ends, the older covers the face."""
        seen = [t for t in self._tracks if t.last.frame == self._now]
        for i, older in enumerate(seen):
            for younger in seen[i + 1 :]:
                if iou(older.last.box[None], younger.last.box[None])[0, 0] >= _SAME and younger.hits >= 3:
                    younger.shadowed = 2

    def _drop(self) -> None:
        kept = []
        for track in self._tracks:
            lost = self._now - track.last.frame
            wait = max(self._settings.bridge, self._coast()) if track.confirmed else self._window()
            if track.shadowed >= 2 or lost > wait:
                self._end(track, self._now)
            else:
                kept.append(track)
        self._tracks = kept
        live = {t.id for t in kept}
        for track in kept:
            track.apart &= live

    def _end(self, track: Track, stop: int) -> None:
        """Carry it on after its last hit, to ``stop`` at most, and hand out all of it."""
        s = self._settings
        if not track.carried:
            self._back(track)
        coast = self._coast() if track.confirmed else self._span
        longest = max(s.backfill, coast) if track.confirmed else coast
        track.nodes += beyond(
            track.last, track.ahead[:longest], track.velocity(self._span), 1,
            blind=min(coast, stop - track.last.frame), longest=min(longest, stop - track.last.frame),
            growth=s.coast_growth, picture=self._picture(), absent=self._absent(track, track.last),
        )  # fmt: skip
        self._out += track.rows(len(track.nodes), self._span)
        self.count += 1

    def _taken(self) -> list[PlanRow]:
        out, self._out = self._out, []
        return out
