"""Packages that only evaluation needs (extra ``audit``)."""

from __future__ import annotations

import importlib
from typing import Any

from vidanon.errors import UsageError


def need(module: str, package: str) -> Any:
    """The imported module. Raises UsageError that says what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"{package} is needed for this ({error}); pip install 'vidanon[audit]'") from error
