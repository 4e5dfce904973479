"""Embeddings of photos: read, cut, embed in batches on worker threads, keep on disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from vidanon.evaluate.cache import VectorCache, digest, embedding_file
from vidanon.evaluate.landmarks import Landmarks
from vidanon.evaluate.photos import Photos, decode, key
from vidanon.recognise.base import Recogniser
from vidanon.recognise.crop import crop
from vidanon.types import ByteArray, FloatArray

BATCH = 32


def embed_photos(
    recogniser: Recogniser,
    photos: Photos,
    names: Sequence[str],
    landmarks: Landmarks,
    *,
    folder: Path | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> FloatArray:
    """(N, D): the face of each photo ``names``, aligned by ``landmarks``.

    folder: where embeddings are kept, under the recogniser's hash and the photo's; None, or a recogniser without a
    hash: nowhere. ``progress`` (done, all) counts photos, without those already there. Raises KeyError for a photo
    without landmarks, InputError for one that cannot be read.
    """
    description = recogniser.description
    dimensions = recogniser.embed(np.empty((0, description.size, description.size, 3), np.uint8)).shape[1]
    out = np.empty((len(names), dimensions), np.float32)
    cache = None
    if folder is not None and description.sha256:
        cache = VectorCache(embedding_file(folder, description), dimensions)
    done, known = 0, 0

    def patches(part: list[tuple[int, bytes, bytes]]) -> ByteArray:
        return np.stack([crop(decode(data, names[i]), landmarks[key(names[i])], description) for i, _, data in part])

    def work(part: list[tuple[int, bytes, bytes]]) -> FloatArray:
        return recogniser.embed(patches(part))

    def settle(part: list[tuple[int, bytes, bytes]], vectors: FloatArray) -> None:
        nonlocal done
        out[[i for i, _, _ in part]] = vectors
        if cache is not None:
            cache.add({name: vector for (_, name, _), vector in zip(part, vectors, strict=True)})
        done += len(part)
        if progress is not None:
            progress(done, len(names) - known)

    waiting: deque[tuple[list[tuple[int, bytes, bytes]], Future[FloatArray]]] = deque()
    with ThreadPoolExecutor(workers, "embed") as pool:
        try:
            part: list[tuple[int, bytes, bytes]] = []
            for i, name in enumerate(names):
                data = photos.read(name)
                place = digest(data, landmarks[key(name)].astype(np.float32).tobytes())
                if cache is not None and (vector := cache.get(place)) is not None:
                    out[i] = vector
                    known += 1
                    continue
                part.append((i, place, data))
                if len(part) == BATCH:
                    waiting.append((part, pool.submit(work, part)))
                    part = []
                while len(waiting) > 2 * workers:
                    first, future = waiting.popleft()
                    settle(first, future.result())
            if part:
                waiting.append((part, pool.submit(work, part)))
            while waiting:
                first, future = waiting.popleft()
                settle(first, future.result())
        finally:
            for _, future in waiting:
                future.cancel()
    return out
