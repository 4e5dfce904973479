"""The first pass over a file: find every face, keep it found, and write down in the plan what has to be covered.

    frames -> looks -> detector (worker threads) -> tracker -> plan

The tracker takes the looks in order whatever worker is done first, so the plan does not depend on threads.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np

from vidanon.config import RunConfig
from vidanon.detect.base import Detector
from vidanon.errors import VidanonError
from vidanon.media.planes import view
from vidanon.track.base import Again, Boxes, Refiner, map_boxes
from vidanon.track.looks import Look, looks
from vidanon.track.plan import Plan
from vidanon.track.tracker import Tracker
from vidanon.types import Detection, FloatArray, Frame, PlanInfo, PlanRow, View

_FAILURES = 5  #: looks in a row in which the detector may fail before the run stops
_LINES = 20  #: failures told one by one


@dataclass
class PlanStats:
    """What the analysis did."""

    frames: int = 0
    looks: int = 0  #: frames that were searched whole
    scenes: int = 0
    tracks: int = 0
    rows: int = 0
    unknown: int = 0  #: frames covered whole
    failed: int = 0  #: looks in which the detector failed
    failures: list[str] = field(default_factory=list)  #: one line for each of the first of them
    seconds: float = 0.0  #: wall clock of the whole pass
    track_seconds: float = 0.0  #: of it spent tracking


def analyse(
    frames: Iterable[Frame],
    detector: Detector,
    refiner: Refiner | None,
    settings: RunConfig,
    plan: Plan,
    *,
    workers: int,
    progress: Callable[[int], None] | None = None,
) -> PlanStats:
    """Fill ``plan`` from a stream of frames; memory does not grow with its length.

    ``refiner`` looks again where a live track was not found; ``workers``: threads that detect; ``progress`` is
    called with the number of frames done. A frame in which the detector fails, or that is damaged, is covered whole,
    and so are the frames between a failure and the looks around it; after five failures in a row the run stops with
    a VidanonError.
    """
    begun = time.perf_counter()
    run = _Run(refiner, settings, plan, progress)
    waiting: deque[tuple[Look, Future[_Seen]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="detect") as pool:
        try:
            for look in looks(frames, settings.detect.every):
                waiting.append((look, pool.submit(_detect, detector, look.frame)))
                if len(waiting) > workers + 1:
                    run.take(*waiting.popleft())
            while waiting:
                run.take(*waiting.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    run.finish(detector.name)
    run.stats.seconds = time.perf_counter() - begun
    return run.stats


@dataclass(frozen=True)
class _Seen:
    """What the detector saw in a frame."""

    view: View
    found: list[Detection]  #: in coded pixels


def _detect(detector: Detector, frame: Frame) -> _Seen:
    picture = view(frame)  # at full size: the detector itself tiles what is large
    (found,) = detector.detect([picture.rgb])
    return _Seen(picture, [_mapped(d, picture.to_coded) for d in found])


def _mapped(d: Detection, matrix: FloatArray) -> Detection:
    marks = None if d.landmarks is None else d.landmarks @ matrix[:, :2].T + matrix[:, 2]
    return replace(d, box=map_boxes(np.asarray(d.box, np.float64), matrix).astype(np.float32), landmarks=marks)


class _Run:
    """Looks with their detections in, in order; rows and unknown frames out to the plan."""

    def __init__(
        self, refiner: Refiner | None, settings: RunConfig, plan: Plan, progress: Callable[[int], None] | None
    ) -> None:
        self.stats = PlanStats()
        self._refiner = refiner
        self._settings = settings
        self._plan = plan
        self._progress = progress
        self._tracker = Tracker(settings.track)
        self._first: Frame | None = None
        self._failed = 0  #: looks in a row

    def take(self, look: Look, answer: Future[_Seen]) -> None:
        seen = self._answer(look, answer)
        begun = time.perf_counter()
        if self._first is None:
            self._first = look.frame
        if look.new_scene or not self.stats.scenes:
            self.stats.scenes += 1
        if look.new_scene:
            self._add(self._tracker.cut(look.lumas[0]))
        found = None if seen is None else seen.found
        self._add(self._tracker.step(look.lumas, found, self._again(seen)))
        self.stats.track_seconds += time.perf_counter() - begun
        self.stats.looks += 1
        self.stats.frames += len(look.lumas)
        if self._progress is not None:
            self._progress(self.stats.frames)

    def _again(self, seen: _Seen | None) -> Again | None:
        refiner = self._refiner
        if refiner is None or seen is None:
            return None
        picture = seen.view
        back = np.linalg.inv(np.vstack([picture.to_coded, [0, 0, 1]]))[:2].astype(np.float32)

        def again(boxes: Boxes) -> list[Detection | None]:
            places = map_boxes(boxes, back).astype(np.float32)
            (answers,) = refiner.refine([picture.rgb], [places])
            return [None if d is None else _mapped(d, picture.to_coded) for d in answers]

        return again

    def _answer(self, look: Look, answer: Future[_Seen]) -> _Seen | None:
        """The detections, or None where they are not to be had: then the frames around are unknown."""
        unknown = set(look.damaged)
        seen: _Seen | None = None
        window = [luma.index for luma in look.lumas]
        try:
            seen = answer.result()
        except (VidanonError, MemoryError):
            raise
        except Exception as error:  # whatever a detector throws: fail closed, say so, go on
            what = f"frame {look.frame.index}: {' '.join(str(error).split()) or repr(error)}"
            self.stats.failed += 1
            if len(self.stats.failures) < _LINES:
                self.stats.failures.append(what)
            if self._failed + 1 > _FAILURES:
                raise VidanonError(
                    f"the detector failed {_FAILURES + 1} times in a row, last at {what}; "
                    "try another --detector or --device cpu"
                ) from error
        if self._failed and not look.new_scene:
            unknown.update(window[:-1])  # also what follows a failure, up to the next look that succeeds
        if seen is None:
            unknown.update(window)
        self._failed = self._failed + 1 if seen is None else 0
        self._plan.add_unknown(unknown)
        self.stats.unknown += len(unknown)
        return seen

    def _add(self, rows: list[PlanRow]) -> None:
        self._plan.add(rows)
        self.stats.rows += len(rows)

    def finish(self, detectors: str) -> None:
        if self._first is not None:
            self._add(self._tracker.finish())
        self.stats.tracks = self._tracker.count
        first = self._first
        self._plan.finish(
            PlanInfo(
                width=first.width if first else 0,
                height=first.height if first else 0,
                frames=self.stats.frames,
                first_frame=first.index if first else 0,
                seed=self._settings.seed,
                detectors=tuple(detectors.split("+")),
                mode=self._settings.protect.mode,
                settings=self._settings.model_dump(mode="json"),
            )
        )
