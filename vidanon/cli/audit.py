"""``vidanon audit ORIGINAL PROTECTED``: how well is a video protected, by judges that took no part in it?"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vidanon.cli import options
from vidanon.cli.run import start_logging
from vidanon.cli.terminal import Terminal
from vidanon.errors import AuditError, InputError, ModelError, OutputError, UsageError

if TYPE_CHECKING:
    from vidanon.audit.judges import RunFacts
    from vidanon.recognise.base import Description, Recogniser

HELP = (
    "Judge a protected video against its original: do recognisers that took no part in the run know the faces?\n\n"
    "Both files are decoded and compared frame by frame. Every figure stands beside that of a solid fill and of other "
    "people's faces. Ends with 11 where a limit of the config's audit section is missed."
)

Original = Annotated[Path, typer.Argument(metavar="ORIGINAL", help="The video before.", show_default=False)]
Protected = Annotated[Path, typer.Argument(metavar="PROTECTED", help="The video after.", show_default=False)]


def _option(help: str, *names: str) -> object:
    return typer.Option(*names, help=help, show_default=False)


Report = Annotated[
    Path | None,
    _option("The run's JSON report: says which models took part, and may not judge; and the mode.", "--report"),
]
Tracks = Annotated[
    Path | None, _option("The run's plan: where the faces are. Without it they are looked for.", "--tracks")
]
Recognisers = Annotated[
    list[str] | None,
    _option("A recogniser by name or file, repeatable (default: all that may judge).", "--recogniser", "-r"),
]
DistractorsPath = Annotated[
    Path | None, _option("Folder or tar of portraits of other people, for gallery and impostors.", "--distractors")
]
Html = Annotated[Path | None, _option("Write a report to read here: one file, nothing loaded from outside.", "--html")]
Json = Annotated[Path | None, _option("Write every figure here.", "--json")]
ShowFaces = Annotated[
    bool, _option("Show the original's faces in the HTML report. It then identifies people.", "--show-faces")
]
Mode = Annotated[str | None, _option("The run's mode, where neither report nor plan says it.", "--mode", "-m")]
Every = Annotated[int | None, _option("Let recognisers judge every n-th frame only (default: every frame).", "--every")]
StartTime = Annotated[str | None, _option("Where the output begins in the original.", "--start-time")]
EndTime = Annotated[str | None, _option("Where it ends.", "--end-time")]
Config = Annotated[Path | None, _option("YAML file of settings; limits are in its audit section.", "--config", "-c")]
Device = Annotated[str | None, _option("auto, cpu, cuda or cuda:N.", "--device")]
Force = Annotated[bool, _option("Overwrite reports that exist.", "--force", "-f")]
LogLevel = Annotated[str, _option("debug, info, warning (default) or error.", "--log-level")]
Quiet = Annotated[bool, _option("No progress and no summary.", "--quiet", "-q")]
Debug = Annotated[bool, _option("Show the traceback of an error.", "--debug")]


def audit(
    original: Original,
    protected: Protected,
    report: Report = None,
    tracks: Tracks = None,
    recogniser: Recognisers = None,
    distractors: DistractorsPath = None,
    html: Html = None,
    json: Json = None,
    show_faces: ShowFaces = False,
    mode: Mode = None,
    every: Every = None,
    start_time: StartTime = None,
    end_time: EndTime = None,
    config: Config = None,
    device: Device = None,
    force: Force = False,
    log_level: LogLevel = "warning",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """See HELP."""
    start_logging(log_level)
    settings = options.make_config(
        config,
        {
            "--mode": mode,
            "--start-time": options.seconds(start_time, "--start-time"),
            "--end-time": options.seconds(end_time, "--end-time"),
            "--device": device,
        },
    )
    if every is not None:
        if every < 1:
            raise UsageError(f"--every {every}: at least 1")
        settings = settings.model_copy(update={"audit": settings.audit.model_copy(update={"every": every})})
    _check_places((original, protected), [p for p in (html, json) if p is not None], force)
    terminal = Terminal(quiet)

    from vidanon.audit.html import write_html
    from vidanon.audit.judges import read_report
    from vidanon.audit.run import Asked
    from vidanon.audit.run import audit as judge
    from vidanon.cli.audit_summary import lines
    from vidanon.cli.summary import write_report

    facts = read_report(report, protected) if report is not None else None
    judges, known, refused = find_judges(recogniser or [], facts, settings.device)
    asked = Asked(
        original, protected, judges, known, facts, settings.protect.mode if mode is not None else "", tracks,
        distractors, show_faces, refused,
    )  # fmt: skip
    with terminal.progress(protected.name) as progress:
        result = judge(asked, settings, progress)
    written = []
    if json is not None:
        write_report(json, {"audit": result.to_json()})
        written.append(json)
    if html is not None:
        write_html(html, result)
        written.append(html)
    for line in lines(result, written):
        terminal.result(line)
    if not result.passed:
        first, *rest = result.headlines or ["no limit was asked for, so nothing was judged"]
        more = f" (and {len(rest)} more)" if rest else ""
        raise AuditError(f"{protected.name} did not pass: {first}{more}; protect it more strongly, and look at it")


def find_judges(
    names: Sequence[str], facts: RunFacts | None, device: str
) -> tuple[list[Recogniser], list[Description], dict[str, str]]:
    """The recognisers named, or all that can be had and may judge; what is known of all; and who was left out.

    Raises UsageError for a named one that may not judge, and where none is left.
    """
    from vidanon.audit.judges import objection
    from vidanon.recognise.assemble import NAMES, make_recogniser
    from vidanon.recognise.description_file import known_recognisers
    from vidanon.recognise.student import NAME, SURROGATE, read_description
    from vidanon.runtime.device import choose_runtime
    from vidanon.zoo import resolve

    runtime = choose_runtime(device)
    known = list(known_recognisers().values())
    for used in (NAME, SURROGATE):
        with contextlib.suppress(ModelError):  # a run may have used it even where it is not asked to judge
            known.append(read_description(resolve(used, offline=True)))
    refused: dict[str, str] = {}
    judges: list[Recogniser] = []
    for name in names or NAMES:
        if "+" in name and not Path(name).is_file():
            raise UsageError(f"--recogniser {name}: judges are named one by one; give --recogniser for each")
        try:
            made = make_recogniser(name, runtime, offline=not names)
        except ModelError as error:
            if names:
                raise
            refused[name] = str(error)
            continue
        known.append(made.description)
        judges.append(made)
    if not names:
        fit = []
        for made in judges:
            reason = objection(made.description, facts.models if facts is not None else {}, known)
            if reason:
                refused[made.description.name] = reason
            else:
                fit.append(made)
        judges = fit
    if not judges:
        reasons = "; ".join(f"{name}: {why}" for name, why in refused.items())
        raise UsageError(
            f"no recogniser can judge this output ({reasons or 'none is installed'}); "
            "name one with --recogniser, or install vidanon[audit]"
        )
    return judges, known, refused


def _check_places(inputs: Sequence[Path], outputs: Sequence[Path], force: bool) -> None:
    """Before anything is read: the inputs are there, and no report replaces a file unasked."""
    for path in inputs:
        if not path.is_file():
            raise InputError(f"{path}: no such file; check the name and the folder")
    for path in outputs:
        if any(path.resolve() == other.resolve() for other in inputs):
            raise UsageError(f"{path} is an input; give the report another name")
        if path.is_dir():
            raise OutputError(f"{path} is a folder; give a file name")
        if not path.parent.is_dir():
            raise OutputError(f"{path.parent}: no such folder; make it first")
        if path.exists() and not force:
            raise OutputError(f"{path} exists; use --force to overwrite it")
