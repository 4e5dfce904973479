"""``vidanon eval lfw|pair``: what recognisers reach, and what a set of protected photos withstands."""

from __future__ import annotations

import contextlib
import csv
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vidanon.cli.signals import Signals
from vidanon.cli.terminal import Terminal
from vidanon.errors import InputError, UsageError
from vidanon.progress import Progress

if TYPE_CHECKING:
    from vidanon.evaluate.landmarks import Landmarks
    from vidanon.evaluate.photos import Photos
    from vidanon.recognise.base import Recogniser
    from vidanon.runtime.device import Runtime

app = typer.Typer(
    help="Measure recognisers and protected photos by the papers' protocols.\n\n"
    "Embeddings stay in OUT/embeddings, so that an interrupted evaluation goes on where it was; they are biometric "
    "data: delete the folder when it is no longer needed.",
    no_args_is_help=True,
)


def _option(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, show_default=False, **more)


Names = Annotated[
    list[str] | None,
    _option(
        "A recogniser, repeatable: student (default), facenet[:WEIGHTS], dlib, a model file, or A+B for both as one.",
        "--recogniser", "-r", metavar="NAME",
    ),
]  # fmt: skip
LandmarksFile = Annotated[
    Path | None,
    _option("CSV of path, rex, rey, lex, ley, nx, ny, rmx, rmy, lmx, lmy (default: faces are looked for).",
            "--landmarks"),
]  # fmt: skip
Out = Annotated[Path, _option("Folder for results and embeddings (default: vidanon-eval).", "--out", "-o")]
Seed = Annotated[int, _option("Of the bootstrap and of splits (default: 0).", "--seed", min=0)]
Draws = Annotated[int, _option("Of the bootstrap (default: 500).", "--draws", min=10, max=100_000)]
Device = Annotated[str, _option("auto (default), cpu, cuda or cuda:N.", "--device")]
Threads = Annotated[int | None, _option("Worker threads (default: one per core).", "--threads", min=1)]
Quiet = Annotated[bool, _option("No progress and no table; the files are written.", "--quiet", "-q")]
Debug = Annotated[bool, _option("Show the traceback of an error.", "--debug")]


@app.command()
def lfw(
    ctx: typer.Context,
    data: Annotated[Path, _option("LFW's photos: a folder or a tar file of Name/Name_0001.jpg.", "--data")],
    pairs: Annotated[Path, _option("LFW's pairs file.", "--pairs")],
    landmarks: LandmarksFile = None,
    recogniser: Names = None,
    limit: Annotated[int | None, _option("Only so many pairs, evenly over folds.", "--limit", min=40)] = None,
    out: Out = Path("vidanon-eval"),
    seed: Seed = 0,
    draws: Draws = 500,
    device: Device = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Verification on LFW: ten-fold accuracy, EER, TAR at FAR; thresholds from all cross pairs too.

    Writes OUT/lfw.json and OUT/lfw.png.
    """
    from vidanon.evaluate.extras import need
    from vidanon.evaluate.lfw import read_pairs, spread
    from vidanon.evaluate.photos import open_photos
    from vidanon.evaluate.plots import plot_verification
    from vidanon.evaluate.tables import verification_lines, write_json
    from vidanon.evaluate.verification import fit, verify

    terminal, runtime = _terminal(ctx, quiet), _runtime(device, threads)
    need("matplotlib.figure", "matplotlib")  # before the work, not after it
    chosen = spread(read_pairs(pairs), limit)
    photos = open_photos(data)
    wanted = {name for pair in chosen for name in (pair.first, pair.second)}
    marks = _landmarks(landmarks, photos, [n for n in photos.names if n in wanted], out, runtime, terminal)
    usable = fit(photos, chosen, marks)
    if usable.left_out:
        terminal.warn(f"{usable.left_out} pairs are left out: a photo is missing or has no landmarks")
    recognisers = _recognisers(recogniser, runtime)
    results = []
    for each in recognisers:
        with _progress(terminal, f"embedding ({each.description.name})") as progress:
            results.append(
                verify(
                    each, usable, folder=out / "embeddings", workers=runtime.workers, seed=seed, draws=draws,
                    progress=progress,
                )
            )  # fmt: skip
    settings = {"pairs": len(usable.pairs), "left_out": usable.left_out, "seed": seed, "draws": draws}
    write_json(out / "lfw.json", {"protocol": "lfw", "settings": settings, "results": results})
    plot_verification(out / "lfw.png", results)
    _show(terminal, verification_lines(results), [out / "lfw.json", out / "lfw.png"])


@app.command()
def pair(
    ctx: typer.Context,
    original: Annotated[Path, typer.Argument(metavar="ORIGINAL", help="Photos: folder or tar of Name/Name_0001.jpg.")],
    protected: Annotated[Path, typer.Argument(metavar="PROTECTED", help="Their protected copies, of the same names.")],
    landmarks: LandmarksFile = None,
    recogniser: Names = None,
    targets: Annotated[
        Path | None, _option("CSV of path, target: the person each photo was aimed at.", "--targets")
    ] = None,
    least_photos: Annotated[
        int, _option("Photos of a person that the SVM needs (default: 10).", "--least-photos", min=2)
    ] = 10,
    out: Out = Path("vidanon-eval"),
    seed: Seed = 0,
    draws: Draws = 500,
    device: Device = "auto",
    threads: Threads = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Attack success of protected photos: verification, ranks, identification; SSIM, MSSIM, PSNR, L2, MMD.

    ORIGINAL may hold more photos than PROTECTED: they are the gallery. Writes OUT/pair.json and OUT/pair.png.
    """
    from vidanon.evaluate.extras import need
    from vidanon.evaluate.photos import open_photos
    from vidanon.evaluate.pictures import compare
    from vidanon.evaluate.plots import plot_protection
    from vidanon.evaluate.protection import match_up, withstand
    from vidanon.evaluate.tables import protection_lines, write_json

    terminal, runtime = _terminal(ctx, quiet), _runtime(device, threads)
    need("matplotlib.figure", "matplotlib")  # before the work, not after it
    need("sklearn.svm", "scikit-learn")
    originals, copies = open_photos(original), open_photos(protected)
    marks = _landmarks(landmarks, originals, originals.names, out, runtime, terminal)
    matched = match_up(originals, copies, marks)
    if matched.left_out:
        terminal.warn(f"{matched.left_out} protected photos are left out: no original of that name with landmarks")
    aims = _targets(targets) if targets is not None else {}
    recognisers = _recognisers(recogniser, runtime)
    folder = out / "embeddings"
    results = []
    for each in recognisers:
        with _progress(terminal, f"embedding ({each.description.name})") as progress:
            results.append(
                withstand(
                    each, matched, targets=aims, least_photos=least_photos, folder=folder, workers=runtime.workers,
                    seed=seed, draws=draws, progress=progress,
                )
            )  # fmt: skip
    with _progress(terminal, "comparing pictures") as progress:
        pictures = compare(matched, folder=folder, seed=seed, draws=draws, progress=progress)
    settings = {"photos": len(matched.probes), "gallery": len(matched.gallery), "seed": seed, "draws": draws}
    write_json(out / "pair.json", {"protocol": "pair", "settings": settings, "results": results, "pictures": pictures})
    plot_protection(out / "pair.png", results)
    _show(terminal, protection_lines(results, pictures), [out / "pair.json", out / "pair.png"])


def _terminal(ctx: typer.Context, quiet: bool) -> Terminal:
    signals = ctx.find_object(Signals)
    return Terminal(quiet, signals.raise_if_stopped) if signals is not None else Terminal(quiet)


def _runtime(device: str, threads: int | None) -> Runtime:
    from vidanon.runtime.device import choose_runtime

    return choose_runtime(device, threads)


def _recognisers(names: Sequence[str] | None, runtime: Runtime) -> list[Recogniser]:
    """Every recogniser asked for, loaded before any work is done. Raises UsageError where two are the same."""
    from vidanon.recognise.assemble import make_recogniser

    found: list[Recogniser] = []
    for name in dict.fromkeys(names or ["student"]):
        made = make_recogniser(name, runtime)
        if any(made.description.name == other.description.name for other in found):
            raise UsageError(f"two recognisers are called {made.description.name}; give one, or rename its description")
        found.append(made)
    return found


def _landmarks(
    table: Path | None, photos: Photos, names: Sequence[str], out: Path, runtime: Runtime, terminal: Terminal
) -> Landmarks:
    """From the user's table, else found on the photos and kept in OUT."""
    from vidanon.evaluate.landmarks import find_landmarks, read_landmarks

    if table is not None:
        return read_landmarks(table)
    from vidanon.config import DetectSettings
    from vidanon.detect.assemble import make_detectors

    detectors = make_detectors(DetectSettings(), runtime)
    for line in detectors.fallbacks:
        terminal.note(line)
    out.mkdir(parents=True, exist_ok=True)
    with _progress(terminal, "finding faces") as progress:
        found = find_landmarks(photos, names, detectors.finder, out / "landmarks.csv", progress)
    if len(found) < len(names):
        terminal.warn(f"no face found on {len(names) - len(found)} of {len(names)} photos; they are left out")
    return found


def _targets(path: Path) -> dict[str, str]:
    from vidanon.evaluate.photos import key

    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return {key(line["path"]): line["target"] for line in csv.DictReader(stream)}
    except (OSError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a table of path, target ({error}); correct it") from error


@contextlib.contextmanager
def _progress(terminal: Terminal, stage: str) -> Iterator[Callable[[int, int], None]]:
    """Shows how far a stage is, with the time left."""
    began = time.monotonic()
    with terminal.progress("eval") as show:
        yield lambda done, total: show(Progress(stage, done, total, time.monotonic() - began, "photos"))


def _show(terminal: Terminal, lines: Iterable[str], written: Sequence[Path]) -> None:
    for line in lines:
        terminal.result(line)
    terminal.result(f"written: {', '.join(map(str, written))}")
