"""A file that has no name until it is complete: hidden beside the output, then renamed in one step."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from vidanon.errors import OutputError, UsageError


def check_output(final: Path, source_path: Path) -> Path:
    """The path that will really be written (links followed).

    Raises OutputError for a folder, a device, or a folder above that is missing or not writable; UsageError where
    the output is the input itself, by name or by link.
    """
    if final.is_dir():
        raise OutputError(f"{final} is a folder; give the output a file name")
    try:
        if final.exists() and source_path.exists() and os.path.samefile(final, source_path):
            raise UsageError(f"{final} is the input itself; give the output another name")
        real = Path(os.path.realpath(final))
        if real.exists() and not stat.S_ISREG(real.stat().st_mode):
            raise OutputError(f"{final} is not a plain file; choose another output")
    except OSError as error:
        raise output_error(final, error) from error
    if not real.parent.is_dir():
        raise OutputError(f"the folder {real.parent} does not exist; make it first")
    if not os.access(real.parent, os.W_OK | os.X_OK):
        raise OutputError(f"no permission to write in {real.parent}; choose another folder")
    return real


def output_error(final: Path, error: Exception) -> OutputError:
    """What a failed write means, libav's or the system's."""
    reason = " ".join(str(getattr(error, "strerror", None) or error).split())
    return OutputError(f"{final}: {reason}; free some space or choose another output")


class HiddenFile:
    """Made empty, readable by its owner alone; ``publish`` gives it its name and the mode any new file has here."""

    def __init__(self, final: Path) -> None:
        """Raises OutputError where the folder takes no file."""
        self._final = final
        self.path = final.parent / f".vidanon-{secrets.token_hex(8)}.part"  # short: names end at 255 bytes
        self._alive = True
        try:
            handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            try:
                self._mode = stat.S_IMODE(os.fstat(handle).st_mode)  # what the umask leaves
                os.fchmod(handle, 0o600)
            finally:
                os.close(handle)
        except OSError as error:
            raise output_error(final, error) from error

    @property
    def alive(self) -> bool:
        """Neither published nor discarded yet."""
        return self._alive

    def sync(self) -> None:
        """Wait for the disk; errors held back until now are raised (OSError)."""
        _sync(self.path)

    def publish(self) -> None:
        """Raises OSError; the file is then still hidden."""
        os.chmod(self.path, self._mode)
        os.replace(self.path, self._final)
        self._alive = False
        with suppress(OSError):  # some file systems cannot sync a folder; the name is there all the same
            _sync(self._final.parent)

    def discard(self) -> None:
        """Delete it, unless it was published."""
        if self._alive:
            self._alive = False
            self.path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
