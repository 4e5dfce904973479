"""Which files are read and where each result goes. Nothing is opened here."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vidanon.errors import InputError, OutputError, UsageError

SUFFIX = "_anonymized"
#: what a folder is searched for; a file named on the command line is tried whatever it is called
VIDEO = frozenset(
    (
        "3gp",
        "avi",
        "flv",
        "gif",
        "m2ts",
        "m4v",
        "mkv",
        "mov",
        "mp4",
        "mpeg",
        "mpg",
        "mts",
        "mxf",
        "ogv",
        "ts",
        "vob",
        "webm",
        "wmv",
        "y4m",
    )
)
IMAGE = frozenset(("jpeg", "jpg", "png", "webp"))
#: extensions that are kept for the output; everything else becomes .mp4
WRITABLE = frozenset(("m4v", "mkv", "mov", "mp4", "qt", "webm")) | IMAGE


@dataclass(frozen=True)
class Job:
    source: Path
    output: Path


@dataclass(frozen=True)
class Jobs:
    jobs: tuple[Job, ...]
    batch: bool  #: folders, globs or several files: go on past a file that fails


def plan_jobs(words: Sequence[str], output: str | None, *, neutral: bool = False) -> Jobs:
    """Inputs and output as given on the command line -> one job per file.

    Without ``-o``, the second of two words is the output; of more words the last one is, if it is a folder
    or ends in a slash. A result with no place given lies beside its source, as ``NAME_anonymized.EXT``.
    Raises UsageError, InputError (nothing found), OutputError (a folder where a file is meant).
    """
    inputs, output = _split(words, output)
    folder = Path(output) if output is not None else None
    found = [_expand(word, folder) for word in inputs]
    if len(found) == 1 and not found[0].many:
        return Jobs((_single(Path(inputs[0]), output, neutral),), False)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file, and there are several inputs; give a folder with -o")
    files = {source: relative for each in found for source, relative in each.files}
    if not files:
        raise InputError(f"no video or picture found in {', '.join(inputs)}; name a file, or a folder that has some")
    jobs = [
        Job(source, _place(source, relative, folder, neutral_name(number, source) if neutral else None))
        for number, (source, relative) in enumerate(files.items(), start=1)
    ]
    _refuse_collisions(jobs)
    return Jobs(tuple(jobs), True)


def neutral_name(number: int, source: Path) -> str:
    """A name that says nothing about the source."""
    return f"vidanon_{number:04d}{_extension(source)}"


@dataclass(frozen=True)
class _Found:
    files: list[tuple[Path, Path]]  #: (file, its path below the folder that was named)
    many: bool


def _split(words: Sequence[str], output: str | None) -> tuple[list[str], str | None]:
    inputs = list(words)
    if output is None and (len(inputs) == 2 or (len(inputs) > 2 and _is_folder(inputs[-1]))):
        output = inputs.pop()
    for word in (*inputs, output):
        if word is not None and (not word or "\0" in word):
            raise UsageError("an empty name is no file; name an input, as in: vidanon in.mp4 out.mp4")
        if word == "-" or (word is not None and "://" in word):
            shown = word.rpartition("@")[2] if "@" in word else word  # what stands before may be a password
            raise UsageError(f"'{shown}': only files can be read and written; save the stream to a file first")
    if not inputs:
        raise UsageError("no input; name a file, as in: vidanon in.mp4 out.mp4 (see 'vidanon --help')")
    return inputs, output


def _is_folder(word: str) -> bool:
    return word.endswith(("/", os.sep)) or Path(word).is_dir()


def _expand(word: str, output: Path | None) -> _Found:
    path = Path(word)
    if path.is_dir():
        files = [p for p in sorted(path.rglob("*")) if _is_wanted(p, path, output) and p.is_file()]
        return _Found([(p, p.relative_to(path)) for p in files], True)
    if not os.path.lexists(path) and glob.has_magic(word):
        matches = [Path(m) for m in sorted(glob.glob(word, recursive=True)) if not Path(m).is_dir()]
        if not matches:
            raise InputError(f"no file matches {word}; check the pattern and the folder")
        return _Found([(p, Path(p.name)) for p in matches if not p.stem.endswith(SUFFIX)], True)
    if not os.path.lexists(path):
        raise InputError(f"{word}: no such file; check the name and the folder")
    return _Found([(path, Path(path.name))], False)


def _is_wanted(path: Path, top: Path, output: Path | None) -> bool:
    """A video or picture of this folder: not hidden, and not the result of an earlier run."""
    hidden = any(part.startswith(".") for part in path.relative_to(top).parts)
    if hidden or path.suffix[1:].lower() not in VIDEO | IMAGE or path.stem.endswith(SUFFIX):
        return False
    inside = output is not None and output.resolve() != top.resolve() and top.resolve() in output.resolve().parents
    return not (inside and output is not None and output.resolve() in path.resolve().parents)


def _place(source: Path, relative: Path, folder: Path | None, neutral: str | None) -> Path:
    """Where one file of a batch goes: mirrored below ``folder``, else beside its source."""
    if folder is None:
        return source.with_name(neutral or source.stem + SUFFIX + _extension(source))
    place = folder / (Path() if neutral else relative.parent) / (neutral or source.stem + _extension(source))
    if not neutral and place.parent.resolve() == source.parent.resolve():
        return place.with_name(source.stem + SUFFIX + _extension(source))
    return place


def _single(source: Path, output: str | None, neutral: bool) -> Job:
    if output is None:
        if neutral:
            names = (source.with_name(neutral_name(number, source)) for number in range(1, 10_000))
            free = next((name for name in names if not os.path.lexists(name)), None)
            if free is None:
                raise OutputError(f"{source.parent}: no vidanon_NNNN name is free; give an output name")
            return Job(source, free)
        return Job(source, source.with_name(source.stem + SUFFIX + _extension(source)))
    if neutral:
        raise UsageError("--neutral-names makes up the output's name; leave out the name or the option")
    target = Path(output)
    if _is_folder(output):
        example = target / (source.stem + _extension(source))
        raise OutputError(f"{output} is a folder; name the output file, as in {example}")
    return Job(source, target)


def _extension(source: Path) -> str:
    return source.suffix if source.suffix[1:].lower() in WRITABLE else ".mp4"


def _refuse_collisions(jobs: Sequence[Job]) -> None:
    counts = Counter(job.output for job in jobs)
    for output, count in counts.items():
        if count > 1:
            names = " and ".join(str(job.source) for job in jobs if job.output == output)
            raise UsageError(f"{names} would both become {output}; run them apart, or use --neutral-names")
