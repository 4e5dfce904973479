"""What a person sees: results on stdout, everything else on stderr; a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from vidanon.progress import Progress

EVERY_SECONDS = 5.0  #: between two plain progress lines
STAGES = {"analyse": "finding faces", "render": "protecting"}


@dataclass(frozen=True)
class Terminal:
    """``quiet``: no progress and no results; warnings and errors are always said."""

    quiet: bool = False
    check: Callable[[], None] = lambda: None  #: called at every progress, in the main thread: raises to stop the job

    def result(self, line: str) -> None:
        """One line of the result, on stdout. A reader that went away does not fail the run."""
        if not self.quiet:
            write(sys.stdout, one_line(line))

    def warn(self, line: str) -> None:
        write(sys.stderr, f"vidanon: warning: {one_line(line)}")

    def note(self, line: str) -> None:
        if not self.quiet:
            write(sys.stderr, f"vidanon: {one_line(line)}")

    @contextlib.contextmanager
    def progress(self, name: str) -> Iterator[Callable[[Progress], None]]:
        """A callback that shows how far the job on ``name`` is."""
        if self.quiet:
            yield self._checked(lambda progress: None)
        elif sys.stderr is not None and sys.stderr.isatty():
            with _bar(name) as show:
                yield self._checked(show)
        else:
            yield self._checked(_Lines(name))

    def _checked(self, show: Callable[[Progress], None]) -> Callable[[Progress], None]:
        def progress(progress: Progress) -> None:
            self.check()
            show(progress)

        return progress


def error(line: str) -> None:
    """The one line that an expected failure ends with."""
    write(sys.stderr, f"vidanon: error: {one_line(line)}")


def write(stream: TextIO | None, line: str) -> None:
    """A line, whatever the stream can show of it; a closed pipe is taken for /dev/null from then on."""
    if stream is None:  # the process was started with the descriptor closed
        return
    try:
        try:
            stream.write(line + "\n")
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except BrokenPipeError:
        silence(stream)
    except (OSError, ValueError):  # a closed or full stderr: the exit code still tells
        pass


def silence(stream: TextIO) -> None:
    """Point the descriptor of a broken pipe at /dev/null, so that the flush at exit does not fail."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def one_line(text: str) -> str:
    """No line breaks and no control characters: a file name may hold both."""
    return "".join(
        c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in re.sub(r"\s*[\r\n]\s*", " ", text.strip("\r\n"))
    )


def clock(seconds: float) -> str:
    """75 -> ``1:15``, 3675 -> ``1:01:15``."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def describe(progress: Progress) -> str:
    """``120/300 frames, 40 %, 85 fps, 0:02 left``."""
    speed = progress.done / progress.seconds if progress.seconds > 0 else 0.0
    pace = f"{speed:.0f} fps" if progress.unit == "frames" else f"{speed:.1f}/s"
    if not progress.total:
        return f"{progress.done} {progress.unit}, {pace}"
    share = min(1.0, progress.done / progress.total)
    text = f"{progress.done}/{progress.total} {progress.unit}, {share:.0%}, {pace}"
    return f"{text}, {clock((progress.total - progress.done) / speed)} left" if speed else text


class _Lines:
    """Progress where nobody can see a bar move: a line now and then, and one as each stage ends."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stage = ""
        self._last = 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage != self._stage:
            self._stage, self._last = progress.stage, now
        if now - self._last < EVERY_SECONDS:
            return
        self._last = now
        stage = STAGES.get(progress.stage, progress.stage)
        write(sys.stderr, f"vidanon: {one_line(self._name)}: {stage}: {describe(progress)}")


@contextlib.contextmanager
def _bar(name: str) -> Iterator[Callable[[Progress], None]]:
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, TaskID, TextColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[text]}"))
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(progress: Progress) -> None:
            if progress.stage not in tasks:
                label = f"{escape(one_line(name))}: {STAGES.get(progress.stage, progress.stage)}"
                tasks[progress.stage] = bars.add_task(label, total=progress.total, text="")
            task = tasks[progress.stage]
            bars.update(task, completed=progress.done, total=progress.total, text=describe(progress))

        yield show
