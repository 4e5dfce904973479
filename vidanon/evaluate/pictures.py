"""How much protected photos differ from their originals as pictures: SSIM, MSSIM, PSNR, L2, and MMD of the faces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon.evaluate.bootstrap import Interval, bootstrap
from vidanon.evaluate.cache import VectorCache, digest
from vidanon.evaluate.metrics_image import GAUSSIAN_TAPS, l2, mssim, psnr, ssim
from vidanon.evaluate.mmd import squared_mmd
from vidanon.evaluate.photos import decode, key, person
from vidanon.evaluate.protection import ProtectedSet
from vidanon.recognise.base import ARCFACE_112, Description
from vidanon.recognise.crop import crop
from vidanon.types import FloatArray

_FACE = Description("face", 112, ARCFACE_112)
_SIDE = 32  #: px of the faces that MMD compares
_MOST_FACES = 400
_COLUMNS = ("ssim", "mssim", "psnr", "l2")


@dataclass(frozen=True)
class PictureMetrics:
    """Means over photos; intervals draw people."""

    photos: int
    unchanged: int  #: photos equal to their originals, pixel by pixel
    other_size: int  #: photos that cannot be compared, as their size differs
    ssim: Interval | None = None
    mssim: Interval | None = None
    psnr: Interval | None = None  #: dB, of the changed photos
    l2: Interval | None = None
    mmd: float | None = None  #: squared, between the sets of aligned 32 px faces, bandwidths around the median


def compare(
    data: ProtectedSet,
    *,
    folder: Path | None = None,
    seed: int = 0,
    draws: int = 500,
    progress: Callable[[int, int], None] | None = None,
) -> PictureMetrics:
    """Every picture metric. ``folder``: where the values of each pair are kept."""
    cache = VectorCache(folder / "pictures.vectors", len(_COLUMNS)) if folder is not None else None
    generator = np.random.default_rng(seed)
    shown = set(generator.permutation(len(data.probes))[:_MOST_FACES].tolist())
    faces: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    rows, people, other_size = [], [], 0
    for i, name in enumerate(data.probes):
        files = data.originals.read(name), data.protected.read(data.copies[name])
        place = digest(*files)
        known = cache.get(place) if cache is not None else None
        if known is None or i in shown:
            pictures = decode(files[0], name), decode(files[1], data.copies[name])
            if i in shown:
                for side, picture in zip(faces, pictures, strict=True):
                    side.append(_face(picture, data.landmarks[key(name)]))
            if known is None:
                known = _measure(*pictures)
                if cache is not None:
                    cache.add({place: known})
        if np.isnan(known).all():
            other_size += 1
        else:
            rows.append(known)
            people.append(person(name))
        if progress is not None:
            progress(i + 1, len(data.probes))
    mmd = squared_mmd(np.stack(faces[0]), np.stack(faces[1]))
    if not rows:
        return PictureMetrics(0, 0, other_size, mmd=mmd)
    values, groups = np.stack(rows).astype(np.float64), np.array(people)
    found = {
        column: _interval(values[:, j], groups, seed, draws) for j, column in enumerate(_COLUMNS) if column != "psnr"
    }
    changed = np.isfinite(values[:, 2])
    noise = _interval(values[changed, 2], groups[changed], seed, draws) if changed.any() else None
    return PictureMetrics(len(rows), int((values[:, 3] == 0).sum()), other_size, psnr=noise, mmd=mmd, **found)


def _measure(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> FloatArray:
    """(4,) of the columns; NaN where the pictures cannot be compared."""
    if a.shape != b.shape or min(a.shape[:2]) < GAUSSIAN_TAPS:
        return np.full(len(_COLUMNS), np.nan, np.float32)
    return np.array([ssim(a, b), mssim(a, b), psnr(a, b), l2(a, b)], np.float32)


def _face(picture: NDArray[np.uint8], landmarks: FloatArray) -> FloatArray:
    patch = crop(picture, landmarks, _FACE)
    return np.asarray(cv2.resize(patch, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA).ravel() / 255, np.float32)


def _interval(values: NDArray[Any], groups: NDArray[Any], seed: int, draws: int) -> Interval:
    return bootstrap(lambda x: float(x.mean()), values, seed=seed, draws=draws, groups=groups)
