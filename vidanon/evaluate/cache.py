"""Vectors on disk, each under the hash of what it was computed from: what makes an evaluation resumable.

Embeddings of faces are biometric data: the files are readable by their owner alone. Delete the folder when done.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vidanon.errors import OutputError
from vidanon.recognise.base import Description
from vidanon.types import FloatArray

_KEY = 32  # bytes of a SHA-256
_CROP = 2  # to be counted up when recognise.crop cuts otherwise: what was cut before then counts no more


class VectorCache:
    """One file of records: 32 bytes of key, ``dimensions`` float32. Several processes may add to it."""

    def __init__(self, path: Path, dimensions: int) -> None:
        """Opens or makes the file; half a record at its end (an interruption) is cut off. Raises OutputError."""
        self._path = path
        self._record = np.dtype([("key", f"V{_KEY}"), ("value", np.float32, (dimensions,))])
        self._values: dict[bytes, FloatArray] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._locked() as descriptor:
                size = os.fstat(descriptor).st_size
                whole = size - size % self._record.itemsize
                if whole != size:
                    os.ftruncate(descriptor, whole)
                data = os.pread(descriptor, whole, 0)
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror}; give another folder with --out") from error
        for row in np.frombuffer(data, self._record):
            self._values[row["key"].tobytes()] = row["value"]

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: bytes) -> FloatArray | None:
        return self._values.get(key)

    def add(self, values: Mapping[bytes, FloatArray]) -> None:
        """Keep vectors by key, in memory and in the file. Raises OutputError."""
        rows = np.zeros(len(values), self._record)
        for row, (key, value) in zip(rows, values.items(), strict=True):
            row["key"], row["value"] = np.void(key), value
        try:
            with self._locked() as descriptor:
                data = rows.tobytes()
                while data:
                    data = data[os.write(descriptor, data) :]
        except OSError as error:
            raise OutputError(
                f"{self._path}: {error.strerror}; free space, or give another folder with --out"
            ) from error
        self._values.update(values)

    def _locked(self) -> _Locked:
        return _Locked(self._path)


class _Locked:
    """The file's descriptor, for appending, held by this process alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> int:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def embedding_file(folder: Path, description: Description) -> Path:
    """The cache file of one recogniser, by its file's hash and by how its crops are cut."""
    use = (description.size, description.template, description.channels, description.offset, description.scale,
           description.metric, _CROP)  # fmt: skip
    return folder / f"{description.sha256}-{hashlib.sha256(repr(use).encode()).hexdigest()[:16]}.vectors"


def digest(*parts: bytes) -> bytes:
    """SHA-256 of the parts; where one ends is part of it."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "big") + part)
    return whole.digest()
