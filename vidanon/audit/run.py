"""The audit of one output: both files decoded side by side, one pass, a segment in memory."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from vidanon.analyse import analyse
from vidanon.audit import verdict
from vidanon.audit.coverage import CoverageLook, independent_detector
from vidanon.audit.distractors import Distractors, load_distractors
from vidanon.audit.faces import Face, faces_of
from vidanon.audit.figures import figures
from vidanon.audit.floor import Copyist, SolidFloor
from vidanon.audit.judges import RunFacts, check_judges
from vidanon.audit.notes import notes
from vidanon.audit.pairs import Content, Pairer, same_size
from vidanon.audit.picture import AROUND, PictureMeasures
from vidanon.audit.recognition import Recognition
from vidanon.audit.result import AuditResult
from vidanon.audit.strips import Strips
from vidanon.build import PROTECTORS
from vidanon.config import AuditSettings, EncodeSettings, RunConfig
from vidanon.detect.assemble import Detectors, make_detectors
from vidanon.errors import UsageError
from vidanon.faces.cover import grown
from vidanon.media.planes import view
from vidanon.media.source import FileSource, open_source
from vidanon.progress import Progress
from vidanon.recognise.base import Description, Recogniser
from vidanon.runtime.device import Runtime, choose_runtime
from vidanon.segments import Segment, segments
from vidanon.track.plan import Plan
from vidanon.track.plan_io import import_plan
from vidanon.types import ByteArray, Frame, PlanRow
from vidanon.zoo.fetch import file_hash

_OF_RUN = ("protect", "encode", "start_time", "end_time")  #: settings taken from the run's plan
COPY_TRACK = 1 << 40  #: added to a track's id for the attacker's copy: a texture of its own
COPY_SEED = 0x5EED
FOUND_AGAIN = 0.5  #: share of the faces that a detector finds again, from which the output shows somebody


@dataclass(frozen=True)
class Asked:
    """What to audit, and with what."""

    original: Path
    protected: Path
    judges: Sequence[Recogniser]
    known: Sequence[Description] = ()  #: recognisers whose teachers are known, for the test of independence
    facts: RunFacts | None = None  #: of the run's report
    mode: str = ""  #: of the run, where neither its report nor its plan says it
    tracks: Path | None = None  #: the run's exported plan
    distractors: Path | None = None
    show_faces: bool = False
    refused: dict[str, str] = field(default_factory=dict)  #: recognisers left out by the caller -> why


def audit(asked: Asked, config: RunConfig, progress: Callable[[Progress], None] | None = None) -> AuditResult:
    """Judge ``asked.protected`` against ``asked.original``.

    ``config``: its audit section, and for what the run's plan does not say the settings of the run (detectors, mode,
    encoder). Raises UsageError where it cannot be judged with what was given, and what reading the files raises.
    """
    begun = time.perf_counter()
    check_judges(asked.judges, asked.facts, asked.known)
    if asked.original.resolve() == asked.protected.resolve():
        raise UsageError("original and output are the same file; give the file before and the file after")
    runtime = choose_runtime(config.device, config.threads)
    detectors = make_detectors(config.detect, runtime)
    with ExitStack() as stack:
        plan = stack.enter_context(Plan(config.seed))
        config, mode, faces_from = _settings(asked, config, plan)
        original, protected = (
            stack.enter_context(open_source(path, config.limits, threads=runtime.workers, salvage=salvage, **cut))
            for path, salvage, cut in (
                (asked.original, config.salvage, {"start": config.start_time, "end": config.end_time}),
                (asked.protected, False, {}),
            )
        )
        result = AuditResult(
            asked.original.name, asked.protected.name, file_hash(asked.original), file_hash(asked.protected),
            mode, faces_from, asked.facts is not None,
            reported_frames=asked.facts.frames if asked.facts else 0,
            refused=dict(asked.refused), settings=config.audit.model_dump(mode="json"),
        )  # fmt: skip
        if not faces_from:
            result.faces_from = _analyse(original, plan, detectors, config, runtime, progress)
            result.notes += detectors.fallbacks
        strangers = Distractors()
        if asked.distractors is not None and config.audit.distractors:
            strangers = load_distractors(asked.distractors, config.audit.distractors, detectors.finder)
        _Audit(asked, config, plan, detectors, strangers, runtime, result).run(original, protected, progress)
    result.took = time.perf_counter() - begun
    return result


def _settings(asked: Asked, config: RunConfig, plan: Plan) -> tuple[RunConfig, str, str]:
    """The run's own settings as far as its plan and report tell them; its mode; and where the faces come from.

    Mode and place are "" where nobody says. Raises UsageError where they disagree.
    """
    told: dict[str, str] = {}
    faces_from = ""
    if asked.tracks is not None:
        info = import_plan(asked.tracks, plan)
        kept = {key: value for key, value in info.settings.items() if key in _OF_RUN}
        try:
            settings = RunConfig.model_validate(kept)
        except ValidationError as error:
            raise UsageError(f"plan {asked.tracks}: its settings are not those of a run; export it again") from error
        config = config.model_copy(update={name: getattr(settings, name) for name in kept})
        faces_from = f"the run's plan {asked.tracks.name} (found by {'+'.join(info.detectors) or 'nobody it names'})"
        told["the plan"] = info.mode
    if asked.facts is not None:
        told["the report"] = asked.facts.mode
    told["--mode"] = asked.mode
    modes = {mode for mode in told.values() if mode}
    if len(modes) > 1:
        says = ", ".join(f"{who} says {mode}" for who, mode in told.items() if mode)
        raise UsageError(f"which mode the run had is not clear: {says}; give the report and plan of this output")
    mode = next(iter(modes), "")
    if mode in PROTECTORS:
        config = config.model_copy(update={"protect": config.protect.model_copy(update={"mode": mode})})
    return config, mode, faces_from


def _analyse(
    original: FileSource,
    plan: Plan,
    detectors: Detectors,
    config: RunConfig,
    runtime: Runtime,
    progress: Callable[[Progress], None] | None,
) -> str:
    begun = time.perf_counter()
    total = original.info.frame_count

    def report(done: int) -> None:
        if progress is not None:
            progress(Progress("analyse", done, total, time.perf_counter() - begun))

    analyse(
        original.frames(), detectors.finder, detectors.refiner, config, plan, workers=runtime.workers, progress=report
    )
    return f"this audit's own look at the original ({'+'.join(detectors.names)})"


class _Audit:
    """The state of one pass."""

    def __init__(
        self,
        asked: Asked,
        config: RunConfig,
        plan: Plan,
        detectors: Detectors,
        strangers: Distractors,
        runtime: Runtime,
        result: AuditResult,
    ) -> None:
        self._asked, self._config, self._plan, self._result = asked, config, plan, result
        self._settings: AuditSettings = config.audit
        self._strangers = strangers
        self._workers = runtime.workers
        self._actions = {track.id: track.action for track in plan.tracks()}
        self._ends: dict[int, list[int]] = defaultdict(list)
        for track in plan.tracks():
            self._ends[track.last].append(track.id)
        self._recognitions = [Recognition(judge, strangers) for judge in asked.judges]
        self._measures = PictureMeasures(inner=result.swapped)
        self._strips = Strips(asked.show_faces)
        self._looks = self._make_looks(detectors)
        self._copyist = Copyist.of(config.protect, COPY_SEED) if self._knows_mode() else None

    def _knows_mode(self) -> bool:
        return self._result.mode in PROTECTORS

    def _make_looks(self, detectors: Detectors) -> list[CoverageLook]:
        facts = self._asked.facts
        used = set(facts.detectors) if facts is not None else {"mtcnn", "yunet"}
        looks = [CoverageLook(detectors.gate, detectors.gate.name in used or facts is None)]
        other = independent_detector()
        if other is not None:
            looks.insert(0, CoverageLook(other, other.name in used))
        else:
            self._result.notes.append(
                "no detector but the run's own kind looked at the output; dlib's comes with vidanon[audit]"
            )
        return looks

    def run(self, original: FileSource, protected: FileSource, progress: Callable[[Progress], None] | None) -> None:
        result = self._result
        begun = time.perf_counter()
        floor = SolidFloor(self._asked.protected, original.info, self._encode(), self._config.protect, self._workers)
        pairer = Pairer(protected.frames())
        content = Content(pairer.pairing)
        result.pairing = pairer.pairing
        for segment in segments(original.frames(), self._config.encode):
            rows: dict[int, list[PlanRow]] = defaultdict(list)
            for row in self._plan.rows(segment.first, segment.stop):
                rows[row.frame].append(row)
            self._segment(segment, rows, floor, pairer, content)
            if pairer.pairing.sizes:
                break
            if progress is not None:
                done = time.perf_counter() - begun
                progress(Progress("audit", result.frames, original.info.frame_count, done))
        else:
            pairer.finish()
        content.finish()
        for recognition in self._recognitions:
            recognition.finish()
        result.floor_encoder = floor.encoder
        result.notes += [*floor.notes, *original.warnings, *protected.warnings]
        self._conclude(floor)

    def _encode(self) -> EncodeSettings:
        facts, encode = self._asked.facts, self._config.encode
        if facts is not None and facts.encoder and facts.encoder != encode.encoder:
            return encode.model_copy(update={"encoder": facts.encoder})
        return encode

    def _segment(
        self,
        segment: Segment,
        rows: dict[int, list[PlanRow]],
        floor: SolidFloor,
        pairer: Pairer,
        content: Content,
    ) -> None:
        result = self._result
        unknown = self._plan.unknown(segment.first, segment.stop)
        for frame, filled in zip(segment.frames, floor(segment, rows), strict=True):
            result.frames += 1
            result.seconds = frame.seconds
            out = pairer.match(frame)
            if out is not None:
                seen = view(frame)
                picture = same_size(seen.rgb, view(out).rgb, pairer.pairing)
                if picture is None:
                    return
                faces = faces_of(rows.get(frame.index, ()), seen, self._actions, self._settings)
                whole = content.add(frame.index, seen.rgb, picture, [grown(f.box, AROUND) for f in faces])
                if frame.index in unknown or frame.damaged:
                    result.unknown += 1
                    result.unknown_shown += not whole
                self._frame(frame, rows.get(frame.index, ()), faces, (seen.rgb, picture, view(filled).rgb), whole)
            for track in self._ends.get(frame.index, ()):
                for recognition in self._recognitions:
                    recognition.end_track(track)

    def _frame(
        self,
        frame: Frame,
        rows: Sequence[PlanRow],
        faces: list[Face],
        pictures: tuple[ByteArray, ByteArray, ByteArray],
        whole: bool,
    ) -> None:
        result, settings = self._result, self._settings
        result.faces += len(faces)
        position = result.frames - 1
        look = position % settings.look_every == 0
        clear = self._measures.add(frame.index, faces, pictures[0], pictures[1], look, whole)
        self._strips.add(frame.index, faces, {f.track for f in clear}, pictures[0], pictures[1])
        if look:
            for detector in self._looks:
                detector.add(frame.index, faces, pictures[0], pictures[1])
        for face in faces:
            if face.why:
                result.left_out[face.why] = result.left_out.get(face.why, 0) + 1
        fit = [face for face in faces if not face.why]
        if position % settings.every:
            result.skipped += len(fit)
            return
        result.counted += len(fit)
        for recognition in self._recognitions:
            kept = [recognition.wants(face.track) for face in fit]
            recognition.add(
                frame.index, fit, pictures, [self._copy(frame, f, k) for f, k in zip(fit, kept, strict=True)], kept
            )

    def _copy(self, frame: Frame, face: Face, wanted: bool) -> ByteArray | None:
        if not wanted or self._copyist is None:
            return None
        row = PlanRow(
            frame.index, COPY_TRACK + face.track, face.row.box, face.row.landmarks, face.row.state, face.row.confidence
        )
        return view(self._copyist(frame, row)).rgb

    def _conclude(self, floor: SolidFloor) -> None:
        result, config = self._result, self._config
        result.tracks = len(self._actions)
        result.picture = self._measures.result
        result.coverage = [look.result for look in self._looks]
        result.distractors = len(self._strangers)
        copyists = {}
        solid = Copyist.of(floor.settings, COPY_SEED)
        if self._copyist is not None and solid is not None:
            copyists = {"protected": self._copyist, "solid": solid}
        shown = result.swapped or (result.faces_again or 0.0) >= FOUND_AGAIN
        if result.counted:
            result.judges = [
                figures(found, judge, self._strangers, copyists, config.seed, faces_again=shown)
                for found, judge in zip(self._recognitions, self._asked.judges, strict=True)
            ]
        worst: dict[int, float] = {}
        for found in self._recognitions:
            for track, (margin, _) in found.worst_of_track.items():
                worst[track] = max(margin, worst.get(track, margin))
        result.strips = self._strips.chosen(worst)
        result.notes += notes(
            result, self._settings, self._asked.facts, plan=self._asked.tracks is not None,
            parrot=self._copyist is not None, strangers=bool(self._strangers.pictures),
        )  # fmt: skip
        result.failures = verdict.failures(result, self._settings)
        result.checks = verdict.checks(result, self._settings)
        if told := verdict.excused(result.checks):
            result.notes.append(told)
