"""What may be written where: checked before anything is read, so that no file is lost to a slip of the hand."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vidanon.cli.jobs import Job, Jobs
from vidanon.errors import InputError, OutputError, UsageError


@dataclass(frozen=True)
class Extras:
    """Files beside the output."""

    report: Path | None = None
    tracks: Path | None = None
    tracks_in: Path | None = None
    preview: Path | None = None


def check_places(jobs: Jobs, extras: Extras, force: bool) -> None:
    """Refuse, before anything is read, to overwrite what the user did not mean. Raises UsageError, OutputError."""
    if jobs.batch and (extras.tracks or extras.tracks_in or extras.preview):
        raise UsageError("--tracks, --tracks-in and --preview are about one video; run the files one by one for them")
    written = {"--report": extras.report, "--tracks": extras.tracks, "--preview": extras.preview}
    used: dict[Path, str] = {}
    for flag, path in written.items():
        if path is None:
            continue
        if any(same(path, other) for job in jobs.jobs for other in (job.source, job.output)):
            raise UsageError(f"{flag} {path} is the video itself; give another name")
        if extras.tracks_in is not None and same(path, extras.tracks_in):
            raise UsageError(f"{flag} {path} is the plan of --tracks-in; give another name")
        if (first := used.setdefault(path.absolute(), flag)) != flag:
            raise UsageError(f"{first} and {flag} name the same file; give two names")
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise OutputError(f"{flag} {path}: not a place for a file; name a file in a folder that exists")
        if os.path.lexists(path) and not force:
            raise OutputError(f"{flag} {path} exists; add --force to overwrite it")
    if extras.tracks_in is not None and not extras.tracks_in.is_file():
        raise InputError(f"--tracks-in {extras.tracks_in}: no such file; make one with --tracks")
    if not jobs.batch:
        check_output(jobs.jobs[0], force)


def check_output(job: Job, force: bool) -> None:
    if same(job.source, job.output):
        raise UsageError(f"{job.output} is the input itself; give the output another name")
    if job.output.is_dir():
        raise OutputError(f"{job.output} is a folder; name the output file")
    if os.path.lexists(job.output) and not force:
        raise OutputError(f"{job.output} exists; add --force to overwrite it (or -o FOLDER if it is an input too)")


def same(a: Path, b: Path) -> bool:
    """The same file, by path, symbolic link or hard link."""
    try:
        return os.path.samefile(a, b)
    except OSError:
        return a.absolute() == b.absolute()


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"folder {folder}: {error.strerror}; give an output folder that can be made") from error
