"""``vidanon [run] INPUT... [OUTPUT]``: the default command."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from vidanon.cli import arguments, options, summary
from vidanon.cli.jobs import Job, plan_jobs
from vidanon.cli.places import Extras, check_output, check_places, make_folder
from vidanon.cli.signals import Signals
from vidanon.cli.terminal import Terminal, error
from vidanon.errors import BatchError, UsageError, VidanonError

if TYPE_CHECKING:
    from vidanon.config import RunConfig
    from vidanon.types import RunReport

LEVELS = ("debug", "info", "warning", "error")


def run(
    ctx: typer.Context,
    paths: arguments.Paths = None,
    mode: arguments.Mode = None,
    shape: arguments.Shape = None,
    boxes: arguments.Boxes = False,
    mask_scale: arguments.MaskScale = None,
    cells: arguments.Cells = None,
    blur: arguments.Blur = None,
    texture: arguments.Texture = None,
    donors: arguments.Donors = None,
    project_key: arguments.ProjectKey = None,
    detector: arguments.Detector = None,
    min_face: arguments.MinFace = None,
    thresh: arguments.Thresh = None,
    max_side: arguments.MaxSide = None,
    every: arguments.Every = None,
    keep: arguments.Keep = None,
    redact: arguments.Redact = None,
    start_time: arguments.StartTime = None,
    end_time: arguments.EndTime = None,
    tracks: arguments.Tracks = None,
    tracks_in: arguments.TracksIn = None,
    output: arguments.Output = None,
    encoder: arguments.Encoder = None,
    quality: arguments.Quality = None,
    preset: arguments.Preset = None,
    no_audio: arguments.NoAudio = False,
    neutral_names: arguments.NeutralNames = False,
    force: arguments.Force = False,
    report: arguments.Report = None,
    preview: arguments.Preview = None,
    verify: arguments.Verify = None,
    salvage: arguments.Salvage = False,
    seed: arguments.Seed = None,
    device: arguments.Device = None,
    execution_provider: arguments.ExecutionProvider = None,
    threads: arguments.Threads = None,
    config: arguments.Config = None,
    log_level: arguments.LogLevel = "warning",
    quiet: arguments.Quiet = False,
    debug: arguments.Debug = False,
) -> None:
    """Anonymise the faces of videos and pictures: the default command."""
    start_logging(log_level)
    if boxes and shape not in (None, "solid"):
        raise UsageError(f"--boxes and --shape {shape} disagree; give one")
    given = {
        "--mode": mode,
        "--shape": "solid" if boxes else shape,
        "--mask-scale": mask_scale,
        "--cells": cells,
        "--blur": blur,
        "--texture": texture,
        "--donors": donors,
        "--project-key": options.secret(project_key, "--project-key"),
        "--detector": detector,
        "--min-face": min_face,
        "--thresh": thresh,
        "--max-side": options.side(max_side),
        "--every": every,
        "--keep": options.track_ids(keep, "--keep"),
        "--redact": options.track_ids(redact, "--redact"),
        "--start-time": options.seconds(start_time, "--start-time"),
        "--end-time": options.seconds(end_time, "--end-time"),
        "--no-audio": False if no_audio else None,
        "--encoder": encoder,
        "--quality": quality,
        "--preset": preset,
        "--verify": verify,
        "--salvage": salvage or None,
        "--seed": seed,
        "--device": options.device(device, execution_provider),
        "--threads": threads,
    }
    settings = options.make_config(config, given)
    jobs = plan_jobs(paths or [], output, neutral=neutral_names)
    extras = Extras(report, tracks, tracks_in, preview)
    check_places(jobs, extras, force)
    signals = ctx.find_object(Signals)
    terminal = Terminal(quiet, signals.raise_if_stopped) if signals is not None else Terminal(quiet)
    if jobs.batch:
        run_batch(jobs.jobs, settings, extras, terminal, force=force, debug=debug)
    else:
        run_single(jobs.jobs[0], settings, extras, terminal)


def run_single(job: Job, config: RunConfig, extras: Extras, terminal: Terminal) -> None:
    """One file. Raises VidanonError."""
    result = one(job, config, extras, terminal)
    if extras.report is not None:
        summary.write_report(extras.report, summary.entry(result, job.source, job.output))
    for line in summary.lines(result, job.output, extras.report):
        terminal.result(line)


@dataclass
class Outcome:
    """What became of the files of a batch."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    failed: int = 0


def run_batch(
    jobs: Sequence[Job], config: RunConfig, extras: Extras, terminal: Terminal, *, force: bool, debug: bool
) -> None:
    """Every file in turn, past those that fail. Raises BatchError where some did."""
    outcome = Outcome()
    try:
        for number, job in enumerate(jobs, start=1):
            place = f"[{number}/{len(jobs)}]"
            try:
                check_output(job, force)
                make_folder(job.output.parent)
                result = one(job, config, Extras(), terminal)
            except Exception as failure:
                code = failure.exit_code if isinstance(failure, VidanonError) else 1
                outcome.failed += 1
                outcome.entries.append(summary.failure(job.output, code, type(failure).__name__))
                hint = "" if isinstance(failure, VidanonError) else " (a bug: run this file again with --debug)"
                error(f"{place} {job.source}: {failure or type(failure).__name__}{hint}")
                if debug:
                    traceback.print_exc()
                continue
            outcome.entries.append(summary.entry(result, job.source, job.output))
            terminal.result(f"{place} {job.output}: {summary.brief(result)}")
    finally:
        if extras.report is not None:
            summary.write_report(
                extras.report, {"files": outcome.entries, "not_reached": len(jobs) - len(outcome.entries)}
            )
    terminal.result(f"limits: {summary.LIMITS}" + (f"; {summary.VOICES}" if config.encode.audio else ""))
    if outcome.failed:
        raise BatchError(
            f"{outcome.failed} of {len(jobs)} files failed; the others are done: run the failed ones again"
        )


def one(job: Job, config: RunConfig, extras: Extras, terminal: Terminal) -> RunReport:
    """Anonymise one file; warnings are said as they are known."""
    from vidanon.build import run_file  # torch takes a second: only where it is needed

    with terminal.progress(job.source.name) as progress:
        result = run_file(
            job.source,
            job.output,
            config,
            tracks_out=extras.tracks,
            tracks_in=extras.tracks_in,
            preview=extras.preview,
            progress=progress,
        )
    for text in result.warnings:
        terminal.warn(text)
    return result


def start_logging(level: str) -> None:
    if level.lower() not in LEVELS:
        raise UsageError(f"--log-level: '{level}' is not one of {', '.join(LEVELS)}")
    logging.basicConfig(level=level.upper(), format="vidanon: %(levelname)s: %(name)s: %(message)s", force=True)
