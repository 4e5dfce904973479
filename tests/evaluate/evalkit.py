"""A small world of people: photos whose middle carries a pattern per person, and a recogniser that sees it."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

from vidanon.recognise.base import ARCFACE_112, Description

MARKS = np.array([[48, 56], [80, 56], [64, 76], [52, 92], [76, 92]], np.float32)
SIDE = 128


class Pixels:
    """Embeds a patch as its own pixels at 14x14, unit norm. Counts what it was asked."""

    def __init__(self, name: str = "pixels", sha256: str = "ab" * 32, metric: str = "cosine", thresholds=None) -> None:
        self.description = Description(
            name, 112, ARCFACE_112, metric=metric, thresholds=thresholds or {}, measured_on="here", sha256=sha256
        )
        self.asked = 0

    def embed(self, batch: np.ndarray) -> np.ndarray:
        self.asked += len(batch)
        blocks = batch.reshape(-1, 14, 8, 14, 8, 3).mean((2, 4)).reshape(len(batch), 588)
        out = (blocks / 255 - 0.5).astype(np.float32)
        return out / np.linalg.norm(out, axis=1, keepdims=True) if self.description.metric == "cosine" else out


def photo(who: int, which: int, noise: float = 30.0) -> np.ndarray:
    """(128, 128, 3) uint8."""
    pattern = np.random.default_rng(who).uniform(0, 255, (8, 8, 3)).astype(np.float32)
    picture = cv2.resize(pattern, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    picture += np.random.default_rng((who, which)).normal(0, noise, picture.shape)
    return picture.clip(0, 255).astype(np.uint8)


def name(who: int, which: int) -> str:
    return f"P{who:02}/P{who:02}_{which:04}.png"


def write(folder: Path, photos: dict[str, np.ndarray]) -> Path:
    for where, picture in photos.items():
        path = folder / where
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), picture[..., ::-1])
    return folder


def people(count: int = 12, each: int = 6, noise: float = 30.0) -> dict[str, np.ndarray]:
    return {name(who, i): photo(who, i, noise) for who in range(count) for i in range(1, each + 1)}


def table(path: Path, names) -> Path:
    """Landmarks of every photo."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", *(f"{p}{a}" for p in ("re", "le", "n", "rm", "lm") for a in "xy")])
        for each in names:
            writer.writerow([each, *(MARKS - 0.5).ravel().tolist()])
    return path


def pairs_file(path: Path, count: int = 12, folds: int = 4) -> Path:
    """``folds`` folds of as many pairs of one person as of two, over people() of at least ``count`` and 6 photos."""
    lines = [f"{folds}\t{count}"]
    for fold in range(folds):
        lines += [f"P{who:02}\t{fold + 1}\t{fold + 2}" for who in range(count)]
        lines += [f"P{who:02}\t{fold + 1}\tP{(who + fold + 1) % count:02}\t{fold + 2}" for who in range(count)]
    path.write_text("\n".join(lines).replace("\t", "\t") + "\n")
    return path
