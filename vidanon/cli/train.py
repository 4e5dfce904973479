"""``vidanon train``: run the recipe of a shipped model again."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidanon.cli.terminal import Terminal, clock
from vidanon.errors import InputError, OutputError, UsageError

if TYPE_CHECKING:
    from vidanon.train.progress import Progress

EVERY_SECONDS = 10.0  #: between two lines of progress
STAGES = {"faces": "pictures aligned", "pool": "faces in the pool", "train": "steps", "mixes": "mixes"}

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
    weak: Annotated[bool, typer.Option("--weak", help="The 'surrogate': smaller, of fewer faces and steps.")] = False,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps of 64 faces: 6000, 900 with --weak.", show_default=False)
    ] = None,
    pool: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Faces and mixes of faces to learn from (38 KB of disk each): 80000, 12000 with --weak.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed, faces and machine type give the same model.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the network.")] = 1,
) -> None:
    """Distil 'student' (or 'surrogate') from a teacher: two hours on one core. Stopped, the same command goes on."""
    _check(faces, teacher, out, "a TorchScript or ONNX recogniser")
    from vidanon.train.recogniser import WEAK, Recipe, train_recogniser

    terminal = Terminal()
    usual = WEAK if weak else Recipe()
    recipe = replace(usual, steps=steps or usual.steps, pool=pool or usual.pool, seed=seed, threads=threads)
    with _disk(out):
        made = train_recogniser(faces, teacher, out, recipe, _Lines(terminal))
    terminal.result(f"{recipe.name}: {made}")
    terminal.note("it has no thresholds yet: measure them with 'vidanon eval'")


@app.command()
def landmarks(
    faces: Annotated[Path, typer.Option(help="Folder or tar of portraits, one face each.", show_default=False)],
    teacher: Annotated[
        Path,
        typer.Option(
            help="Face mesh to learn from: TorchScript or ONNX, 468 points, RGB 0..1 of 192 px.", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="Folder of the run; one that was broken off goes on there.", show_default=False)
    ],
    steps: Annotated[
        int, typer.Option(min=1, help="Training steps of 64 faces; may change until the learning rate falls.")
    ] = 6400,
    views: Annotated[
        int, typer.Option(min=0, help="Turned views drawn of each face (65 KB of disk each, and the face itself).")
    ] = 3,
    seed: Annotated[int, typer.Option(min=0, help="The same seed, faces and machine type give the same model.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the network.")] = 1,
) -> None:
    """Distil the dense 'landmarks' from a face mesh: half an hour on a core. Stopped, the same command goes on."""
    _check(faces, teacher, out, "a TorchScript or ONNX face mesh")
    from vidanon.train.landmarks import MEASURED, Recipe, train_landmarks

    terminal = Terminal()
    recipe = Recipe(steps=steps, views=views, seed=seed, threads=threads)
    with _disk(out):
        model = train_landmarks(faces, teacher, out, recipe, _Lines(terminal))
    terminal.result(f"landmarks: {model}")
    terminal.note(f"errors on the faces held out: {out / MEASURED}")


@app.command()
def donors(
    faces: Annotated[
        Path,
        typer.Option(
            help="Folder or tar of the portraits of faker-js/assets-person-portrait, as female_000 to male_099.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run.", show_default=False)],
    count: Annotated[
        int,
        typer.Option(
            "--count", min=18, help="Donors at most: women and men, dark to light, young to old (an 18th each)."
        ),
    ] = 108,
    mixes: Annotated[int, typer.Option(min=1, help="Mixes tried of each portrait (.7 s each).")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="The same seed, faces and machine type give the same donors.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the networks.")] = 1,
) -> None:
    """Make the synthetic people of mode swap: new faces mixed from synthetic portraits, ten minutes on one core."""
    _check_places(faces, out)
    from vidanon.train.donors import MEASURED, SHEET, Recipe, train_donors

    terminal = Terminal()
    recipe = Recipe(donors=count, mixes=mixes, seed=seed, threads=threads)
    with _disk(out):
        model = train_donors(faces, out, recipe, _Lines(terminal))
    terminal.result(f"donors: {model}")
    terminal.note(f"look at them: {out / SHEET}; what was measured: {out / MEASURED}")


@app.command()
def attributes(
    portraits: Annotated[
        Path, typer.Option(help="Folder or tar of the portraits that donors are made from.", show_default=False)
    ],
    faces: Annotated[
        Path, typer.Option(help="Folder or tar of open faces, named as sfhq_00012.jpg.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run.", show_default=False)],
    seed: Annotated[int, typer.Option(min=0, help="The same seed, faces and machine type give the same model.")] = 0,
) -> None:
    """Learn to guess how a face looks (apparent gender and age), so that donors do not jar: two minutes."""
    _check_places(faces, out)
    if not portraits.exists():
        raise InputError(f"--portraits {portraits}: no such folder or tar; give the portraits")
    from vidanon.train.attributes import MEASURED, train_attributes

    terminal = Terminal()
    with _disk(out):
        model = train_attributes(portraits, faces, out, seed, _Lines(terminal))
    terminal.result(f"attributes: {model}")
    terminal.note(f"how well they tell faces of sets held out: {out / MEASURED}")


@app.command()
def traits(
    faces: Annotated[
        Path, typer.Option(help="Folder or tar of the portraits that donors are made from.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder of the run.", show_default=False)],
) -> None:
    """Bring the portraits' light and shade onto one mesh, of which swap mixes other people: ten seconds."""
    _check_places(faces, out)
    from vidanon.train.traits import train_traits

    terminal = Terminal()
    with _disk(out):
        model = train_traits(faces, out, _Lines(terminal))
    terminal.result(f"traits: {model}")


def _check(faces: Path, teacher: Path, out: Path, kind: str) -> None:
    """Before torch is loaded: are the paths what they should be?"""
    if not teacher.is_file():
        raise InputError(f"--teacher {teacher}: no such file; give {kind}")
    _check_places(faces, out)


def _check_places(faces: Path, out: Path) -> None:
    if not faces.exists():
        raise InputError(f"--faces {faces}: no such folder or tar; give the pictures to learn from")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; give a folder")


@contextlib.contextmanager
def _disk(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"--out {out}: {error.strerror or error}; give a folder with room that can be written"
        ) from error


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
