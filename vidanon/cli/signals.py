"""Signals unwind the program, so that temporary files go, and become its exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType, TracebackType
from typing import Any

from vidanon.cli.terminal import write

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


class Stop(BaseException):
    """SIGINT, SIGTERM or SIGHUP arrived: unwind and end with ``exit_code``."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code


class Signals:
    """Inside, the first signal raises Stop, once: a second one must not cut the clean-up short; a third ends it there.

    Those that were ignored or handled before are left alone.
    """

    def __init__(self) -> None:
        self._arrived = 0
        self._code = 0
        self._before: dict[signal.Signals, Any] = {}

    def raise_if_stopped(self) -> None:
        """Raises Stop where a signal arrived: a library in the middle of its own loading may have swallowed it."""
        if self._arrived:
            raise Stop(self._code)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._arrived += 1
        if self._arrived == 1:
            self._code = CODES[signal.Signals(number)]
            raise Stop(self._code)
        if self._arrived == 2:
            write(sys.stderr, "vidanon: stopping; once more to stop at once")
        else:
            os._exit(CODES[signal.Signals(number)])

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in CODES:
                if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, old in self._before.items():
            signal.signal(number, old)
