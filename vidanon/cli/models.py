"""``vidanon models list|fetch|path|verify``: which model files there are and where."""

from __future__ import annotations

from typing import Annotated

import typer

from vidanon import zoo
from vidanon.cli.terminal import Terminal
from vidanon.errors import ModelError, ModelUnavailable, UsageError

app = typer.Typer(help="Model files: list, fetch, path, verify.", no_args_is_help=False)

Names = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME]...", show_default=False, help="Models (default: all).")
]


@app.command("list")
def list_models() -> None:
    """Every model, its licence, what it is for, and whether it is on this machine."""
    terminal = Terminal()
    for model in zoo.load_registry().values():
        place = _place(model.name)
        terminal.result(f"{model.name:<14} {'here' if place else 'missing':<8} {model.licence:<11} {model.purpose}")


@app.command()
def fetch(names: Names = None) -> None:
    """Download what is missing; a file is kept only if its SHA-256 is the registered one."""
    registry = zoo.load_registry()
    for name in _known(names):
        try:
            Terminal().result(f"{name}: {zoo.resolve(name)}")
        except ModelUnavailable:
            if names or registry[name].package is None:
                raise
            Terminal().result(f"{name}: comes with {registry[name].package}, which is not installed")


@app.command()
def path(name: Annotated[str, typer.Argument(show_default=False, help="A model.")]) -> None:
    """Where a model's file is."""
    Terminal().result(str(zoo.resolve(_known([name])[0], offline=True)))


@app.command()
def verify(names: Names = None) -> None:
    """Hash the files again; exit code 8 where one was altered (one that is not here is no failure)."""
    terminal = Terminal()
    altered = 0
    for name in _known(names):
        try:
            terminal.result(f"{name}: right ({zoo.resolve(name, offline=True)})")
        except ModelUnavailable:
            terminal.result(f"{name}: not on this machine")
        except ModelError as error:
            altered += 1
            terminal.warn(str(error))
    if altered:
        raise ModelError(
            f"{altered} model file{'s are' if altered > 1 else ' is'} not what the registry says; see above"
        )


def _known(names: list[str] | None) -> list[str]:
    """The names given, else all. Raises UsageError for one that is not in the registry."""
    registry = zoo.load_registry()
    for name in names or ():
        if name not in registry:
            raise UsageError(f"unknown model '{name}'; there are: {', '.join(registry)}")
    return names or list(registry)


def _place(name: str) -> str:
    try:
        return str(zoo.resolve(name, offline=True))
    except ModelError:
        return ""
