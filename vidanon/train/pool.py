"""The pool a student learns from: faces, their mirror images, and new identities mixed and warped from them.

The open faces show few people. A teacher needs no label, so any face it can tell from others will do: two faces mixed
(evenly or along a soft random border) and slightly bent are a third person to it. Pixels and the teacher's answers are
kept on disk; making the pool can be broken off and taken up again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vidanon.errors import UsageError
from vidanon.train.state import load_generator, save_generator, write_text
from vidanon.types import ByteArray, FloatArray

#: (N, 3, S, S) float32 RGB 0..255 -> (N, D) float32 of unit norm
Teacher = Callable[[FloatArray], FloatArray]
_BATCH = 64
_SAVE = 10  #: batches between two saved states
_FACES, _ANSWERS, _STATE = "pool-faces.npy", "pool-teacher.npy", "pool.json"


@dataclass(frozen=True)
class Pool:
    """Both arrays are mapped from disk."""

    faces: npt.NDArray[np.uint8]  #: (N, S, S, 3) RGB
    answers: npt.NDArray[np.float32]  #: (N, D) the teacher's embeddings, unit norm
    made_from: str = ""  #: faces, size, seed and teacher, as text

    def __len__(self) -> int:
        return len(self.faces)


def make_pool(
    folder: Path,
    faces: ByteArray,
    teacher: Teacher,
    size: int,
    seed: int,
    made_from: str,
    progress: Callable[[int, int], None] = lambda done, size: None,
) -> Pool:
    """The pool of ``size`` faces in ``folder``, made where it is not there yet, from where it was broken off.

    faces: (N, S, S, 3) uint8 RGB aligned; made_from: names the teacher, for the state. ``progress(done, size)`` may
    raise to stop. Raises UsageError where the folder holds a pool of other faces, size, seed or teacher, and OSError
    where the disk is full.
    """
    wanted = {
        "faces": hashlib.sha256(faces.tobytes()).hexdigest(), "size": size, "seed": seed, "teacher": made_from,
    }  # fmt: skip
    generator = np.random.default_rng(seed)
    done = 0
    if (folder / _STATE).is_file():
        state: dict[str, Any] = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        if (there := {name: state[name] for name in wanted}) != wanted:
            changed = ", ".join(name for name in wanted if there[name] != wanted[name])
            raise UsageError(f"{folder} holds a pool of other settings ({changed}); give another --out")
        done = state["done"]
        load_generator(generator, state["generator"])
    pixels, answers = (_open(folder / name) if done else None for name in (_FACES, _ANSWERS))
    while done < size:
        end = min(done + _BATCH, size)
        batch = np.stack([_face(i, faces, generator) for i in range(done, end)]).clip(0, 255)
        answer = teacher(np.ascontiguousarray(batch.transpose(0, 3, 1, 2)))
        if pixels is None or answers is None:
            pixels = create(folder / _FACES, np.uint8, (size, *faces.shape[1:]))
            answers = create(folder / _ANSWERS, np.float32, (size, answer.shape[1]))
        pixels[done:end] = batch.round().astype(np.uint8)
        answers[done:end] = answer
        done = end
        if done == size or done % (_BATCH * _SAVE) == 0:
            pixels.flush()
            answers.flush()
            state = {**wanted, "done": done, "generator": save_generator(generator)}
            write_text(folder / _STATE, json.dumps(state))
        progress(done, size)
    pixels, answers = (np.load(folder / name, mmap_mode="r") for name in (_FACES, _ANSWERS))
    return Pool(pixels, answers, json.dumps(wanted, sort_keys=True))


def create(path: Path, dtype: Any, shape: tuple[int, ...]) -> Any:
    """A mapped array with its disk space taken: a full disk is an OSError here, not a SIGBUS when a page is written."""
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def _open(path: Path) -> Any:
    return np.load(path, mmap_mode="r+")


def _face(index: int, faces: ByteArray, generator: np.random.Generator) -> FloatArray:
    """(S, S, 3) float32, about 0..255: first each face, then each mirrored, then mixes without end."""
    count = len(faces)
    if index < count:
        return np.asarray(faces[index], np.float32)
    if index < 2 * count:
        return np.asarray(faces[index - count][:, ::-1], np.float32)
    face = _mirrored(faces[generator.integers(count)].astype(np.float32), generator)
    if generator.random() < 0.8:
        other = _mirrored(faces[generator.integers(count)].astype(np.float32), generator)
        face = _mix(face, other, generator)
    if generator.random() < 0.8:
        face = _bend(face, generator)
    return face


def _mirrored(face: FloatArray, generator: np.random.Generator) -> FloatArray:
    return face[:, ::-1] if generator.random() < 0.5 else face


def _mix(face: FloatArray, other: FloatArray, generator: np.random.Generator) -> FloatArray:
    """Half the time as one transparent over the other, else parts of both, their colours brought together first."""
    share: Any
    if generator.random() < 0.5:
        share = np.float32(generator.uniform(0.25, 0.75))
    else:
        share = (1 / (1 + np.exp(-_smooth(face.shape[0], 3, 2.0, generator) * 3)))[..., None]
        other = other + (face.mean((0, 1)) - other.mean((0, 1))) * 0.7
    return np.asarray(face * share + other * (1 - share), np.float32)


def _bend(face: FloatArray, generator: np.random.Generator) -> FloatArray:
    """Move pixels along a smooth field of .5 to 3 px (standard deviation)."""
    size = face.shape[0]
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    amount = generator.uniform(0.5, 3)
    x = x + _smooth(size, 4, amount, generator)
    y = y + _smooth(size, 4, amount, generator)
    return np.asarray(cv2.remap(face, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT), np.float32)


def _smooth(size: int, knots: int, amount: float, generator: np.random.Generator) -> FloatArray:
    """(size, size) float32: normal noise of ``knots`` x ``knots`` values times ``amount``, drawn smooth."""
    noise = generator.normal(size=(knots, knots)).astype(np.float32)
    return np.asarray(cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC) * amount, np.float32)
