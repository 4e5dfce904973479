"""Put a run together: the only place that names concrete classes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from vidanon.analyse import analyse
from vidanon.config import RunConfig
from vidanon.detect.assemble import Detectors, make_detectors
from vidanon.errors import UsageError
from vidanon.likeness import Likeness
from vidanon.media.encode import SegmentEncoder
from vidanon.media.sink import open_sink
from vidanon.media.source import FileSource, open_source
from vidanon.preview import ContactSheet
from vidanon.progress import Progress
from vidanon.protect.base import Protector
from vidanon.protect.obscure import Blur, Mask, Pixelate
from vidanon.recognise.student import load_student
from vidanon.render import Renderer
from vidanon.runtime.device import Runtime, choose_runtime
from vidanon.swap.assemble import make_swap
from vidanon.track.plan import Plan
from vidanon.track.plan_io import export_plan, import_plan
from vidanon.types import Action, RunReport
from vidanon.verify import Eyes

PROTECTORS: dict[str, type[Mask] | type[Pixelate] | type[Blur]] = {cls.name: cls for cls in (Mask, Pixelate, Blur)}


def run_file(
    source: Path,
    output: Path,
    config: RunConfig,
    *,
    tracks_out: Path | None = None,
    tracks_in: Path | None = None,
    preview: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> RunReport:
    """Anonymise one file or still picture. Leaves nothing at ``output`` unless all of it passed.

    ``tracks_out`` / ``tracks_in``: export the plan, or render an edited one instead of analysing.
    Raises the errors of ``vidanon.errors``.
    """
    begun = time.perf_counter()
    runtime = choose_runtime(config.device, config.threads)
    report = RunReport(mode=config.protect.mode, device=runtime.describe(), seed=config.seed)
    report.fallbacks += runtime.notes
    # Before any file is made: libraries that load here may swallow an interrupt.
    detectors = make_detectors(config.detect, runtime)
    with (
        open_source(
            source,
            config.limits,
            start=config.start_time,
            end=config.end_time,
            salvage=config.salvage,
            threads=runtime.workers,
        ) as opened,
        Plan(config.seed) as plan,
        open_sink(
            output,
            source,
            opened.info,
            config.encode,
            cut_start=config.start_time is not None,
            cut_end=config.end_time is not None,
            limits=config.limits,
        ) as sink,
    ):
        encoder = SegmentEncoder(output, opened.info, config.encode, runtime.workers)
        report.fallbacks += detectors.fallbacks
        report.models.update(detectors.models)
        report.runtime = detectors.runtime
        _plan(opened, plan, detectors, config, runtime, report, tracks_in, progress)
        if tracks_out is not None:
            export_plan(plan, tracks_out)
        sheet = ContactSheet() if preview is not None else None
        eyes = Eyes(detectors.gate, _likeness(config, runtime, report))
        protector = _protector(config, opened, plan, detectors, runtime, report, progress)
        renderer = Renderer(plan, protector, encoder, sink, eyes, config, report, str(runtime.device))
        renderer.run(opened.frames(), _reporter("render", plan.info.frames, progress), sheet)
        started = time.perf_counter()
        report.audio = sink.finish()
        report.seconds["finish"] = time.perf_counter() - started
        report.encoder = encoder.name
        report.fallbacks += encoder.fallbacks
        report.warnings += [*opened.warnings, *encoder.warnings, *sink.warnings]
    if sheet is not None and preview is not None:
        sheet.write(preview)
    report.seconds["total"] = time.perf_counter() - begun
    report.fps = report.frames / report.seconds["total"]
    return report


def make_protector(config: RunConfig) -> Protector:
    return PROTECTORS[config.protect.mode](config.protect, config.seed)


def _protector(
    config: RunConfig,
    source: FileSource,
    plan: Plan,
    detectors: Detectors,
    runtime: Runtime,
    report: RunReport,
    progress: Callable[[Progress], None] | None,
) -> Protector:
    if config.protect.mode != "swap":
        return make_protector(config)
    started = time.perf_counter()
    made = make_swap(
        source.frames(), plan, detectors.finder, config, runtime, report, _reporter("cast", plan.info.frames, progress)
    )
    report.seconds["cast"] = time.perf_counter() - started
    return made


def _likeness(config: RunConfig, runtime: Runtime, report: RunReport) -> Likeness | None:
    """The recogniser that looks at what a mode leaves of a face. A solid fill leaves nothing to ask about."""
    if config.protect.mode == "mask" or config.verify == "off":
        return None
    student = load_student(runtime)
    report.models[student.description.name] = student.description.sha256
    return Likeness(student)


def _plan(
    source: FileSource,
    plan: Plan,
    detectors: Detectors,
    config: RunConfig,
    runtime: Runtime,
    report: RunReport,
    tracks_in: Path | None,
    progress: Callable[[Progress], None] | None,
) -> None:
    """Fill ``plan`` from the source or from an edited file, and apply the user's word on single tracks."""
    if tracks_in is not None:
        import_plan(tracks_in, plan)
        info = plan.info
        if (info.width, info.height) != (source.info.width, source.info.height):
            raise UsageError(
                f"plan {tracks_in}: made for {info.width}x{info.height}, "
                f"this is {source.info.width}x{source.info.height}; give the plan of this file"
            )
        report.detectors = [f"none (tracks from {tracks_in.name})"]
    else:
        stats = analyse(
            source.frames(),
            detectors.finder,
            detectors.refiner,
            config,
            plan,
            workers=runtime.workers,
            progress=_reporter("analyse", source.info.frame_count, progress),
        )
        report.seconds["analyse"] = stats.seconds
        report.detectors = list(detectors.names)
        report.warnings += stats.failures
    known = {track.id for track in plan.tracks()}
    unknown = sorted((config.keep | (config.redact or frozenset())) - known)
    if unknown:
        raise UsageError(f"no track {', '.join(map(str, unknown))} in this file; list the tracks with --tracks PLAN")
    for track in known:
        if track in config.keep or (config.redact is not None and track not in config.redact):
            plan.set_action(track, Action.KEEP)
    report.tracks = len(known)


def _reporter(stage: str, total: int | None, progress: Callable[[Progress], None] | None) -> Callable[[int], None]:
    begun = time.perf_counter()

    def report(done: int) -> None:
        if progress is not None:
            progress(Progress(stage, done, total, time.perf_counter() - begun))

    return report
