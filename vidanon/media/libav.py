"""libav's exceptions as vidanon's. No other package sees an ``av`` exception."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from vidanon.errors import DamagedInputError, InputError, ResourceLimitError, UnsupportedError, VidanonError


def opening_error(error: Exception, path: Path) -> VidanonError:
    """What a failure to open a file for reading means."""
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: no such file; check the name")
    if isinstance(error, PermissionError):
        return InputError(f"{path}: permission denied; make the file readable")
    if isinstance(error, IsADirectoryError):
        return InputError(f"{path}: is a directory; name a file in it")
    if isinstance(error, MemoryError):
        return ResourceLimitError(f"{path}: not enough memory to open it; the file may be hostile or damaged")
    if isinstance(error, av.error.ArgumentError):  # what libav says of a demuxer outside the allow-list
        return UnsupportedError(f"{path}: not an allowed media format; convert it to MP4 or Matroska first")
    if isinstance(error, av.error.InvalidDataError | av.error.EOFError):
        return InputError(f"{path}: not a media file, or its header is damaged; check that it plays elsewhere")
    return InputError(f"{path}: cannot be opened ({_reason(error)}); check that it plays elsewhere")


def decoding_error(error: Exception, where: str) -> VidanonError:
    """What a failure in the middle of a file means."""
    if isinstance(error, MemoryError):
        return ResourceLimitError(f"{where}: not enough memory to decode; free memory or scale the video down first")
    if isinstance(error, av.error.DecoderNotFoundError | av.error.PatchWelcomeError):
        return UnsupportedError(f"{where}: this codec feature cannot be decoded; convert the file first")
    return DamagedInputError(f"{where}: damaged data ({_reason(error)}); repair the file or use --salvage")


@contextmanager
def opening(path: Path) -> Iterator[None]:
    """Translate what libav raises while ``path`` is opened for reading."""
    try:
        yield
    except (av.FFmpegError, OSError, MemoryError, UnicodeError, ValueError) as error:
        raise opening_error(error, path) from error


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())
