"""Write a text file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from vidanon.errors import OutputError


def write_whole(path: Path, text: str) -> None:
    """Replace ``path`` at once; only its owner may read it (mode 0600). Raises OutputError."""
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise OutputError(f"report {path}: {error.strerror}; give a place that can be written") from error
