"""The table of model files: ``models/registry.toml``, read into :class:`Model` rows."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vidanon.errors import ModelError

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Model:
    """One model file. From ``url``, from ``file`` inside ``package``, or ``file`` beside the registry itself."""

    name: str
    sha256: str  #: 64 hex digits of the whole file
    size: int  #: bytes
    licence: str  #: SPDX identifier
    purpose: str
    url: str | None = None  #: https address of the file
    package: str | None = None  #: installed package that carries it
    file: str = ""  #: path inside the package, or beside the registry
    consent: bool = False  #: True: fetched only after the user agreed to its terms

    @property
    def shipped(self) -> bool:
        """The file is part of vidanon, in :func:`models_dir`."""
        return self.url is None and self.package is None


def models_dir() -> Path:
    """The folder with registry.toml: ``vidanon/_models`` of an installed wheel, else ``models/`` of the checkout.

    Raises ModelError where neither is there.
    """
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_models", package.parent / "models"):
        if (folder / "registry.toml").is_file():
            return folder
    raise ModelError("models/registry.toml is missing from this installation; reinstall vidanon")


def load_registry(path: Path | None = None) -> dict[str, Model]:
    """Every row by name. Raises ModelError with the row and what is wrong in it."""
    path = path or models_dir() / "registry.toml"
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))["models"]
        return {name: _model(path, name, row) for name, row in tables.items()}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError, AttributeError) as error:
        raise ModelError(f"{path}: not a readable model registry ({error}); reinstall vidanon") from error


def find(name: str, registry: dict[str, Model] | None = None) -> Model:
    """The row of ``name``. Raises ModelError that lists the known names."""
    rows = load_registry() if registry is None else registry
    if name not in rows:
        raise ModelError(f"unknown model '{name}'; known are {', '.join(sorted(rows))}")
    return rows[name]


def _model(path: Path, name: str, row: dict[str, Any]) -> Model:
    try:
        model = Model(name=name, **row)
    except TypeError as error:
        raise ModelError(f"{path}: model '{name}': {error}; correct the row") from error
    if not isinstance(model.sha256, str) or not _SHA256.fullmatch(model.sha256):
        raise ModelError(f"{path}: model '{name}': sha256 must be 64 lower-case hex digits")
    if type(model.size) is not int or model.size <= 0:
        raise ModelError(f"{path}: model '{name}': size must be a positive number of bytes")
    if model.url is not None and model.package is not None:
        raise ModelError(f"{path}: model '{name}': give either url or package")
    if model.url is None and not model.file:
        raise ModelError(f"{path}: model '{name}': give url, package and file, or file alone")
    if model.shipped and (not isinstance(model.file, str) or Path(model.file).name != model.file):
        raise ModelError(f"{path}: model '{name}': file must be a name without folders: it lies beside the registry")
    if model.url is not None and not model.url.startswith("https://"):
        raise ModelError(f"{path}: model '{name}': url must begin with https://")
    return model
