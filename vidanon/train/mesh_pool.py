"""The pool the landmark network learns from: portraits, other views of them, and the teacher's mesh of each.

Every face is brought to one canvas first. Pixels and meshes are kept on disk; making the pool can be broken off and
taken up again. A face the teacher is not sure of is left out.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vidanon.errors import InputError, UsageError
from vidanon.faces.align import apply, similarity
from vidanon.faces.mesh import SIZE, TEMPLATE
from vidanon.faces.mesh_points import POINTS, eye_distance
from vidanon.train.faces import portraits
from vidanon.train.mesh_teacher import Anatomy, MeshTeacher, anatomy, around
from vidanon.train.mesh_views import another_view
from vidanon.train.pool import create
from vidanon.train.state import write_text
from vidanon.types import ByteArray, FloatArray

CANVAS = 144  #: px, side of a picture in the pool: the student's crop and some more
STEP = 1.15  #: canvas pixels per pixel of the student's crop
PRESENCE = 0.9  #: of the teacher, at least
SPREAD = 0.06  #: of the teacher's looks around their mean, share of the eye distance, at most
AGREE = 0.12  #: how far a view's mesh may lie from the one it was drawn with, share of the eye distance
HELD = 20  #: one in so many pictures is held out, by its name
_KNOWN = 400  # faces whose average is the anatomy
_SAVE = 32  # pictures between two saved states
_FACES, _MESHES, _STATE = "pool-faces.npy", "pool-meshes.npy", "pool.json"


@dataclass(frozen=True)
class MeshPool:
    """Both arrays are mapped from disk: of each picture the face itself, then its views."""

    faces: npt.NDArray[np.uint8]  #: (P, 1 + V, 144, 144, 3) RGB
    meshes: npt.NDArray[np.float32]  #: (P, 1 + V, 468, 3) px of the canvas; NaN where the teacher was not sure
    held: npt.NDArray[np.bool_]  #: (P,) kept from training, for measuring
    anatomy: Anatomy
    made_from: str = ""  #: faces, views, seed and teacher, as text

    def known(self, held: bool) -> npt.NDArray[np.int64]:
        """(N, 2): picture and view of every face that has a mesh, held out or not."""
        there = np.isfinite(self.meshes[:, :, 0, 0]) & (self.held == held)[:, None]
        return np.argwhere(there)


def make_mesh_pool(
    folder: Path,
    source: Path,
    detector: Path,
    teacher: MeshTeacher,
    views: int,
    seed: int,
    made_from: str,
    progress: Callable[[str, int, int], None] = lambda stage, done, size: None,
) -> MeshPool:
    """The pool of the faces in ``source`` (folder or tar), in ``folder``; made where it is not there yet, from where
    it was broken off.

    made_from: names the teacher, for the state. ``progress(stage, done, size)`` may raise to stop; stages are "faces"
    and "pool". Raises InputError where no picture has a face, UsageError where the folder holds a pool of other
    faces, views, seed or teacher, OSError where the disk is full.
    """
    found = list(portraits(source, detector, lambda done: progress("faces", done, 0)))
    if not found:
        raise InputError(f"{source}: no picture with a face in it; give portraits of one face each")
    names = [name for name, _, _ in found]
    canvases = [_canvas(picture, landmarks) for _, picture, landmarks in found]
    crc = 0
    for canvas, _ in canvases:
        crc = zlib.crc32(canvas.tobytes(), crc)
    wanted = {"faces": f"{len(names)} {crc:08x}", "views": views, "seed": seed, "teacher": made_from}
    known = _known(teacher, canvases)
    done = 0
    if (folder / _STATE).is_file():
        state: dict[str, Any] = json.loads((folder / _STATE).read_text(encoding="utf-8"))
        if (there := {name: state.get(name) for name in wanted}) != wanted:
            changed = ", ".join(name for name in wanted if there[name] != wanted[name])
            raise UsageError(f"{folder} holds a pool of other settings ({changed}); give another --out")
        done = state["done"]
        faces, meshes = (np.load(folder / name, mmap_mode="r+") for name in (_FACES, _MESHES))
    else:
        faces = create(folder / _FACES, np.uint8, (len(names), 1 + views, CANVAS, CANVAS, 3))
        meshes = create(folder / _MESHES, np.float32, (len(names), 1 + views, POINTS, 3))
    while done < len(names):
        faces[done], meshes[done] = _row(teacher, *canvases[done], known, views, np.random.default_rng((seed, done)))
        done += 1
        if done == len(names) or done % _SAVE == 0:
            faces.flush()
            meshes.flush()
            write_text(folder / _STATE, json.dumps({**wanted, "done": done}))
        progress("pool", done, len(names))
    faces, meshes = (np.load(folder / name, mmap_mode="r") for name in (_FACES, _MESHES))
    held = np.array([zlib.crc32(Path(name).name.encode()) % HELD == 0 for name in names])
    return MeshPool(faces, meshes, held, known, json.dumps(wanted, sort_keys=True))


def _canvas(picture: ByteArray, landmarks: FloatArray) -> tuple[ByteArray, FloatArray]:
    """(144, 144, 3) uint8 RGB with the face where the student's crop would show it, and its landmarks there."""
    goal = (np.array(TEMPLATE, np.float32) - SIZE / 2) * np.float32(STEP) + CANVAS / 2
    matrix = similarity(landmarks + np.float32(0.5), goal)
    placed = apply(matrix, landmarks + np.float32(0.5))
    at_zero = matrix.astype(np.float64)
    at_zero[:, 2] += at_zero[:, :2].sum(1) / 2 - 0.5  # pixel centres at +0.5 here, at 0 in OpenCV
    canvas = cv2.warpAffine(picture, at_zero, (CANVAS, CANVAS), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return np.asarray(cv2.cvtColor(canvas, cv2.COLOR_BGR2RGB), np.uint8), placed


def _known(teacher: MeshTeacher, canvases: list[tuple[ByteArray, FloatArray]]) -> Anatomy:
    """From faces spread over all, and their mirror images: as many are turned left as right."""
    meshes = []
    for number in np.unique(np.linspace(0, len(canvases) - 1, _KNOWN // 2).astype(int)).tolist():
        picture, landmarks = canvases[number]
        flipped = np.array((CANVAS, 0), np.float32) + landmarks[[1, 0, 2, 4, 3]] * np.array((-1, 1), np.float32)
        meshes.append(teacher.first(picture, landmarks))
        meshes.append(teacher.first(np.ascontiguousarray(picture[:, ::-1]), flipped))
    return anatomy(np.stack(meshes))


def _row(
    teacher: MeshTeacher,
    picture: ByteArray,
    landmarks: FloatArray,
    known: Anatomy,
    views: int,
    generator: np.random.Generator,
) -> tuple[ByteArray, FloatArray]:
    """One picture's part of the pool: (1 + V, 144, 144, 3) and (1 + V, 468, 3)."""
    faces = np.zeros((1 + views, CANVAS, CANVAS, 3), np.uint8)
    meshes = np.full((1 + views, POINTS, 3), np.nan, np.float32)
    faces[0] = picture
    mesh, presence, spread = teacher.steady(picture, teacher.first(picture, landmarks), known)
    if presence < PRESENCE or spread > SPREAD:
        return faces, meshes
    meshes[0] = mesh
    for view in range(1, 1 + views):
        seen, expected = another_view(picture, mesh, known, generator)
        points, logits = teacher.look(seen, [around(expected)], [False])
        told = np.asarray(points[0], np.float32)
        told[:, 2] -= told[:, 2].mean()
        away = np.linalg.norm((told - expected)[:, :2], axis=1).mean() / eye_distance(expected)
        faces[view] = seen
        if 1 / (1 + np.exp(-float(logits[0]))) >= PRESENCE and away <= AGREE:
            meshes[view] = told
    return faces, meshes
