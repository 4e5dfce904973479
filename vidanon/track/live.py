"""A track that is alive: what was measured, where it is expected, and the rows it leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from vidanon.track import flow, kalman
from vidanon.track.base import Box, grown, iou, stack, tilt_margin, to_boxes, to_state
from vidanon.track.path import Hit, Node, centre
from vidanon.track.smooth import smoothed
from vidanon.types import Detection, PlanRow, RowState

BESIDE = 0.3  #: overlap below which two boxes show two faces
_NOISE = kalman.Noise()
_FLOW_TRUST = 4.0  #: a step of the flow against a detector's box, in variance
_SEEN = 0.5  #: trust of a node, at least, that is no guess
_MIN_ANCHOR = 0.25  #: least likeness to the last hit's patch, for the flow to go on
_CHUNK, _OVERLAP = 1200, 200  #: nodes smoothed at once, and kept beside them, so that a long track costs no more


def hit_of(frame: int, d: Detection, state: RowState = RowState.DETECTED) -> Hit:
    """A detection (coded px) as a hit, with more room where the face is tilted."""
    box = np.asarray(d.box, np.float64)
    return Hit(frame, grown(box, tilt_margin(d.landmarks)), float(d.score), d.landmarks, state)


@dataclass
class Track:
    """``nodes`` reach from the first frame covered to the last hit; ``ahead`` is the flow since, as far as it held."""

    id: int
    first: Hit
    last: Hit
    mean: kalman.Array  #: (3, 2), see ``kalman``; at the frame of the last look
    cov: kalman.Array
    nodes: list[Node]
    done: int = 0  #: nodes at the front that were handed out already
    hits: int = 1
    confirmed: bool = False
    carried: bool = False  #: back to the frames before the first hit
    flowing: bool = True  #: ``ahead`` reaches the last look
    ahead: list[flow.Step] = field(default_factory=list)
    shadowed: int = 0  #: looks in a row in which another track had the face
    apart: set[int] = field(default_factory=set)  #: live tracks seen beside this one: they are other people

    @classmethod
    def born(cls, number: int, hit: Hit) -> Self:
        z = to_state(hit.box)[0]
        mean, cov = kalman.start(z, _NOISE.measured(np.exp(z[2])))
        return cls(number, hit, hit, mean, cov, [hit.node()])

    def take(self, hit: Hit) -> None:
        """A new last hit; the nodes up to it are there already."""
        self.nodes.append(hit.node())
        z = to_state(hit.box)[0]
        if self.hits == 1:
            # The second hit is the first that says anything of the velocity.
            self.mean[:, 1] = (z - to_state(self.last.box)[0]) / (hit.frame - self.last.frame)
        self.mean, self.cov = kalman.update(self.mean, self.cov, z, _NOISE.measured(np.exp(z[2])))
        self.last, self.ahead, self.flowing, self.shadowed = hit, [], True, 0
        self.hits += 1

    def box_at(self, frame: int) -> Box:
        """Where it is expected in the frame reached."""
        if self.flowing and len(self.ahead) == frame - self.last.frame:
            return self.ahead[-1].box if self.ahead else self.last.box
        state, aspect = to_state(self.last.box)
        return to_boxes(np.array([*self.mean[:2, 0], state[2]]), aspect)

    def seen_at(self, frame: int) -> Box | None:
        """Where a detector or the flow saw it; None where it was not seen, or that is not at hand."""
        first = self.nodes[0].frame
        node = self.nodes[frame - first] if first <= frame <= self.nodes[-1].frame else None
        return node.box if node is not None and node.trust >= _SEEN else None

    def velocity(self, span: int) -> kalman.Array:
        """(2,) px per frame, over the last frames before the last hit; ``span``: frames between two looks."""
        recent = [n for n in self.nodes[-2 * span - 2 :] if n.trust > 0]
        if len(recent) < 2:
            return np.zeros(2)
        a, b = recent[0], recent[-1]
        return np.asarray((centre(b.box) - centre(a.box)) / (b.frame - a.frame))

    def follow(self, get: flow.Get, stop: int, longest: int) -> None:
        """Let the flow go on to frame ``stop``, at most ``longest`` frames after the last hit."""
        reached = self.last.frame + len(self.ahead)
        if not self.flowing or reached >= stop:
            return
        if stop - self.last.frame > longest:
            self.flowing = False
            return
        box = self.ahead[-1].box if self.ahead else self.last.box
        steps = flow.follow(get, reached, stop, box, self.mean[:2, 1], min_anchor=_MIN_ANCHOR)
        self.ahead += steps
        self.flowing = len(steps) == stop - reached

    def hide(self, front: Track, now: int, span: int) -> None:
        """The flow has slipped onto the face of ``front``: take back those steps, and let the track coast."""
        there = {n.frame: n.box for n in front.nodes[-2 * len(self.ahead) - 1 :]}
        kept: list[flow.Step] = []
        for frame, step in enumerate(self.ahead, start=self.last.frame + 1):
            if frame in there and iou(step.box[None], there[frame][None])[0, 0] >= BESIDE:
                break
            kept.append(step)
        self.ahead, self.flowing = kept, False
        z = to_state(kept[-1].box if kept else self.last.box)[0]
        mean, cov = kalman.start(z, _NOISE.measured(np.exp(z[2])))
        mean[:2, 1] = self.velocity(span)
        q = _NOISE.process(np.exp(z[2]))
        for _ in range(now - self.last.frame - len(kept)):
            mean, cov = kalman.predict(mean, cov, q)
        self.mean, self.cov = mean, cov

    def early_rows(self, span: int) -> list[PlanRow]:
        """Of a long track, the rows that later hits do not change any more."""
        return self.rows(len(self.nodes) - _OVERLAP, span) if len(self.nodes) > _CHUNK + 2 * _OVERLAP else []

    def rows(self, stop: int, span: int) -> list[PlanRow]:
        """Smooth the track and hand out its nodes up to ``stop``; the last ones stay, for the next piece's sake."""
        nodes = self.nodes
        boxes = smoothed(stack([n.box for n in nodes]), np.array([n.trust for n in nodes]), span).astype(np.float32)
        out = [
            PlanRow(node.frame, self.id, box, node.landmarks, node.state, float(node.confidence))
            for node, box in zip(nodes[self.done : stop], boxes[self.done : stop], strict=True)
        ]
        kept = max(0, stop - _OVERLAP)
        self.nodes, self.done = nodes[kept:], stop - kept
        return out


def predict(tracks: Sequence[Track], lumas: Sequence[flow.Luma]) -> None:
    """Every track's filter through the frames since the last look; the flow's boxes are its measurements."""
    if not tracks:
        return
    mean, cov = np.stack([t.mean for t in tracks]), np.stack([t.cov for t in tracks])
    for luma in lumas:
        size = np.exp(np.clip(mean[:, 2, 0], 0.0, 12.0))
        mean, cov = kalman.predict(mean, cov, _NOISE.process(size))
        z = np.zeros((len(tracks), 3))
        r = np.full_like(z, np.inf)
        for i, track in enumerate(tracks):
            n = luma.index - track.last.frame
            if 0 < n <= len(track.ahead):
                z[i] = to_state(track.ahead[n - 1].box)[0]
                r[i] = _NOISE.measured(np.exp(z[i, 2])) / _FLOW_TRUST
        mean, cov = kalman.update(mean, cov, z, r)
    for track, m, p in zip(tracks, mean, cov, strict=True):
        track.mean, track.cov = m, p
