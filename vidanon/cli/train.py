"""``vidanon train recogniser``: run the recipe of a shipped model again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidanon.cli.terminal import Terminal, clock
from vidanon.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from vidanon.train.recogniser import Progress

EVERY_SECONDS = 10.0  #: between two lines of progress
STAGES = {"faces": "pictures aligned", "pool": "faces in the pool", "train": "steps"}

app = typer.Typer(help="Train a model by the recipe it was shipped from.", no_args_is_help=False)


@app.callback()
def train() -> None:
    """Train a model by the recipe it was shipped from."""


@app.command()
def recogniser(
    faces: Annotated[Path, typer.Option(help="Folder or tar of portraits, one face each.", show_default=False)],
    teacher: Annotated[
        Path,
        typer.Option(help="Recogniser to learn from: TorchScript or ONNX, RGB 0..255 of 112 px.", show_default=False),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the run; one that was broken off goes on there.", show_default=False)
    ],
    steps: Annotated[int, typer.Option(min=1, help="Training steps of 64 faces.")] = 6000,
    pool: Annotated[
        int, typer.Option(min=1, help="Faces and mixes of faces to learn from (38 KB of disk each).")
    ] = 80_000,
    seed: Annotated[int, typer.Option(min=0, help="The same seed, faces and machine type give the same model.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the network.")] = 1,
) -> None:
    """Distil the recogniser 'student' from a teacher: two hours on one core. Stopped, the same command goes on."""
    if not teacher.is_file():
        raise InputError(f"--teacher {teacher}: no such file; give a TorchScript or ONNX recogniser")
    if not faces.exists():
        raise InputError(f"--faces {faces}: no such folder or tar; give the pictures to learn from")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; give a folder")
    from vidanon.train.recogniser import Recipe, train_recogniser

    terminal = Terminal()
    recipe = Recipe(steps=steps, pool=pool, seed=seed, threads=threads)
    try:
        student = train_recogniser(faces, teacher, out, recipe, _Lines(terminal))
    except OSError as error:
        raise OutputError(
            f"--out {out}: {error.strerror or error}; give a folder with room that can be written"
        ) from error
    terminal.result(f"student: {student}")
    terminal.note("it has no thresholds yet: measure them with 'vidanon eval'")


class _Lines:
    """A line of progress now and then, with the time left."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last < EVERY_SECONDS and progress.done != progress.total:
            return
        self._last = now
        parts = [f"{progress.done}/{progress.total}" if progress.total else str(progress.done), STAGES[progress.stage]]
        extra = [progress.note] if progress.note else []
        if progress.left == progress.left:  # not NaN
            extra.append(f"{clock(progress.left)} left")
        self._terminal.note(", ".join([" ".join(parts), *extra]))
