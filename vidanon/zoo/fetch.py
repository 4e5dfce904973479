"""From a model's name to a verified file: the folders of ``VIDANON_MODELS``, what is installed, the cache, the URL.

A file is known by its SHA-256 alone, whatever it is called; one that does not match is never returned.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, IncompleteRead
from pathlib import Path

from vidanon.errors import ModelError, ModelUnavailable
from vidanon.zoo.registry import Model, find, models_dir

TIMEOUT = 15.0  #: seconds without a byte before a download is given up
_CHUNK = 1 << 20
_HOW = "put its file into a folder named by VIDANON_MODELS"


def resolve(
    name: str, *, offline: bool = False, timeout: float = TIMEOUT, registry: dict[str, Model] | None = None
) -> Path:
    """A file with the registered hash of model ``name``.

    Looked for in the folders of ``VIDANON_MODELS`` (``os.pathsep`` between them, any file name), in the cache, then
    at the model's URL unless ``offline`` (given up after ``timeout`` seconds without a byte). Raises ModelUnavailable
    where it cannot be had now, and ModelError where what came is not the registered file.
    """
    model = find(name, registry)
    for folder in _user_folders():
        if (path := _in_folder(folder, model)) is not None:
            return path
    if model.shipped:
        return _shipped(model)
    if model.package is not None:
        return _in_package(model)
    cached = cache_dir() / _cache_name(model)
    if cached.is_file():
        _check(cached, model, f"delete {cached} to fetch it again")
        return cached
    if offline:
        raise ModelUnavailable(f"model '{name}' is not on this machine; {_HOW}")
    if model.consent:
        raise ModelUnavailable(f"model '{name}' ({model.licence}) is fetched only by 'vidanon models fetch {name}'")
    return fetch(model, timeout)


def fetch(model: Model, timeout: float = TIMEOUT) -> Path:
    """Download into the cache, hashing on the way; the file takes its name only once it is whole and right.

    Raises ModelUnavailable (no network, server refuses), ModelError (other content).
    """
    if model.url is None:
        raise ModelError(f"model '{model.name}' comes with the package {model.package or 'vidanon'}; install that")
    target = cache_dir() / _cache_name(model)
    part: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, part_name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        part = Path(part_name)
        digest, size = hashlib.sha256(), 0
        with os.fdopen(handle, "wb") as out, urllib.request.urlopen(model.url, timeout=timeout) as answer:
            while chunk := answer.read(_CHUNK):
                size += len(chunk)
                if size > model.size:
                    break
                digest.update(chunk)
                out.write(chunk)
            if missing := size < model.size and answer.length:
                raise IncompleteRead(b"", missing)  # the connection broke: another try may do
            out.flush()
            os.fsync(out.fileno())
        if size != model.size or digest.hexdigest() != model.sha256:
            raise ModelError(
                f"model '{model.name}': {model.url} did not send the registered file (SHA-256 or size differs); {_HOW}"
            )
        part.replace(target)
        return target
    except (HTTPException, OSError) as error:  # URLError and TimeoutError are OSErrors
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise ModelUnavailable(
            f"model '{model.name}' cannot be fetched ({reason}); connect to the network, or {_HOW}"
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)


def cache_dir() -> Path:
    """``$VIDANON_CACHE``, else ``$XDG_CACHE_HOME/vidanon``, else ``~/.cache/vidanon``. Holds model files only."""
    if own := os.environ.get("VIDANON_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "vidanon"


def file_hash(path: Path) -> str:
    """SHA-256 of a file, streamed. Raises ModelError where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise ModelError(f"model file {path} cannot be read ({error.strerror}); check its permissions") from error
    return digest.hexdigest()


def _user_folders() -> Iterator[Path]:
    for name in os.environ.get("VIDANON_MODELS", "").split(os.pathsep):
        if name:
            yield Path(name)


def _in_folder(folder: Path, model: Model) -> Path | None:
    """The file with the model's hash, directly in ``folder``; only files of its size are read."""
    try:
        candidates = sorted(p for p in folder.iterdir() if p.is_file() and p.stat().st_size == model.size)
    except OSError:
        return None  # a folder that is not there holds no model; the next place is tried
    return next((p for p in candidates if file_hash(p) == model.sha256), None)


def _shipped(model: Model) -> Path:
    path = models_dir() / model.file
    if not path.is_file():
        raise ModelUnavailable(f"model '{model.name}' is part of vidanon and {path} is missing; reinstall vidanon")
    _check(path, model, "reinstall vidanon")
    return path


def _in_package(model: Model) -> Path:
    # find_spec does not run the package: facenet_pytorch cannot be imported beside a CPU-only torch
    spec = importlib.util.find_spec(model.package or "")
    for root in (spec.submodule_search_locations or []) if spec is not None else []:
        path = Path(root) / model.file
        if path.is_file():
            _check(path, model, f"reinstall {model.package}")
            return path
    raise ModelUnavailable(f"model '{model.name}' comes with the package {model.package}; install that")


def _check(path: Path, model: Model, remedy: str) -> None:
    if path.stat().st_size != model.size or file_hash(path) != model.sha256:
        raise ModelError(f"model '{model.name}': {path} is not the registered file (SHA-256 or size differs); {remedy}")


def _cache_name(model: Model) -> str:
    suffix = Path(model.url or model.file).suffix
    return f"{model.name}-{model.sha256[:16]}{suffix}"
