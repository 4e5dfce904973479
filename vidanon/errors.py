"""Every error vidanon raises on purpose, and the exit code each one ends the program with.

    VidanonError                 1   a bug if it is ever raised itself
    ├── UsageError               2   wrong argument, option or config: nothing was read
    ├── InputError               3   the input is missing, unreadable, unsupported or over a limit
    │   ├── UnsupportedError     3   a format, codec or layout outside the allow-list
    │   └── ResourceLimitError   3   pixels, duration or streams over the configured caps
    ├── NoVideoError             4   the input has no video stream
    ├── OutputError              5   the output cannot be written (permission, disk full, directory, encoder)
    ├── DamagedInputError        6   frames are missing or corrupt; ``--salvage`` goes on with a warning
    ├── LeakError                7   the leak gate withheld the output
    ├── ModelError               8   a model file is missing, altered or not tensors only
    │   └── ModelUnavailable     8   it cannot be had now (offline); a run that can do without it goes on and says so
    ├── StreamError              9   network or live source
    ├── BatchError              10   some files of a batch failed
    └── AuditError              11   an audit's threshold was missed

Signals end with 130 (SIGINT) and 143 (SIGTERM). libav's own exceptions are translated inside
``vidanon.media`` only. A message is one line and says what to do next.
"""

from __future__ import annotations


class VidanonError(Exception):
    """Base of the tree. ``exit_code`` is what the command line ends with."""

    exit_code = 1


class UsageError(VidanonError):
    exit_code = 2


class InputError(VidanonError):
    exit_code = 3


class UnsupportedError(InputError):
    pass


class ResourceLimitError(InputError):
    pass


class NoVideoError(VidanonError):
    exit_code = 4


class OutputError(VidanonError):
    exit_code = 5


class DamagedInputError(VidanonError):
    exit_code = 6


class LeakError(VidanonError):
    exit_code = 7


class ModelError(VidanonError):
    exit_code = 8


class ModelUnavailable(ModelError):
    pass


class StreamError(VidanonError):
    exit_code = 9


class BatchError(VidanonError):
    exit_code = 10


class AuditError(VidanonError):
    exit_code = 11
