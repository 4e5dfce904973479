"""Numbers that follow from the run's secret key and cannot be guessed without it."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(key: bytes, purpose: bytes, name: str) -> np.random.Generator:
    """The same for the same key, purpose (16 bytes at most) and name."""
    if len(key) > hashlib.blake2b.MAX_KEY_SIZE:
        key = hashlib.blake2b(key).digest()  # all of it counts
    digest = hashlib.blake2b(name.encode(), key=key, digest_size=16, person=purpose).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))
