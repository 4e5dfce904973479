"""The program: its commands, and the one place where errors and signals become lines and exit codes."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import vidanon
from vidanon.cli import audit, doctor, models, train
from vidanon.cli import eval as evaluation
from vidanon.cli.arguments import EPILOG, HELP
from vidanon.cli.run import run
from vidanon.cli.signals import Signals, Stop
from vidanon.cli.terminal import error, silence
from vidanon.errors import VidanonError

RUN = "run"
GROUP_OPTIONS = ("--version", "--install-completion", "--show-completion")


class Commands(TyperGroup):
    """The first word picks a command; anything else means ``run``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        completing_first = ctx.resilient_parsing and not args
        if not completing_first and first not in self.commands and not first.startswith(GROUP_OPTIONS):
            args = [RUN, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        found = super().shell_complete(ctx, incomplete)
        command = self.commands[RUN]
        with command.make_context(RUN, [], parent=ctx, resilient_parsing=True) as inner:
            return [*found, *command.shell_complete(inner, incomplete)]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vidanon {vidanon.__version__}")
        raise typer.Exit()


app = typer.Typer(
    name="vidanon",
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Anonymise the faces in video and prove it."""


app.command(RUN, help=HELP, epilog=EPILOG)(run)
app.add_typer(models.app, name="models")
app.command("audit", help=audit.HELP)(audit.audit)
app.command("doctor")(doctor.doctor)
app.add_typer(evaluation.app, name="eval")
app.add_typer(train.app, name="train")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program on ``argv`` (default: the process's own). Returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    with Signals() as signals:
        try:
            return _run(words, signals)
        except Stop as stop:
            error("stopped: no unfinished output is left, finished ones stay")
            return stop.exit_code
        finally:
            _flush()


def _run(words: list[str], signals: Signals) -> int:
    debug = "--debug" in words
    try:
        return int(app(args=words, prog_name="vidanon", standalone_mode=False, obj=signals) or 0)
    except VidanonError as failure:
        _traceback(debug)
        error(str(failure))
        return failure.exit_code
    except typer.TyperException as failure:  # what the parser refuses
        error(f"{failure.format_message().rstrip('.')}; see 'vidanon --help'")
        return failure.exit_code
    except SystemExit as stop:  # a broken pipe, as typer sees it
        return stop.code if isinstance(stop.code, int) else 1
    except Exception as failure:
        _traceback(debug)
        text = f"{type(failure).__name__}: {failure}" if str(failure) else type(failure).__name__
        error(f"a bug: {text}" + ("" if debug else "; run again with --debug and report what it prints"))
        return VidanonError.exit_code


def _traceback(debug: bool) -> None:
    if debug:
        traceback.print_exc()


def _flush() -> None:
    """Whoever read us may be gone: then the exit code still tells, and the interpreter's own flush must not fail."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except BrokenPipeError:
            silence(stream)
        except (OSError, ValueError):
            pass
