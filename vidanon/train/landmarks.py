"""The recipe of the shipped ``landmarks``: dense landmarks distilled from a 468-point face mesh on open faces.

1. Faces are found and brought to one canvas; views of them are drawn that are turned or have their eyes closed; the
   teacher answers each (:mod:`vidanon.train.mesh_pool`).
2. A :class:`MeshNet` that begins with the teacher's own modes of shape learns them from crops that are moved, shrunk,
   blurred, lit, partly hidden or empty (:mod:`vidanon.train.mesh_augment`, :mod:`vidanon.train.mesh_loss`,
   :mod:`vidanon.train.loop`); the average of its weights is what is written.
3. It is measured on the faces that were held out (:mod:`vidanon.train.mesh_check`).

The views are drawn from ``seed`` and the picture's number, the batches from ``seed + 1``, torch's own generator draws
the first weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from vidanon.faces.mesh import OFFSET, SCALE, MeshFinder, write_mesh
from vidanon.faces.mesh_nets import MODES, SPREAD, MeshNet
from vidanon.runtime.device import choose_runtime
from vidanon.train.loop import LatePlan, Step, train
from vidanon.train.mesh_augment import in_crop, moved, place, sample
from vidanon.train.mesh_check import measure
from vidanon.train.mesh_loss import MeshLoss, mesh_loss, pack
from vidanon.train.mesh_pool import MeshPool, make_mesh_pool
from vidanon.train.mesh_teacher import MeshTeacher
from vidanon.train.progress import Clock, Progress
from vidanon.train.state import write_text
from vidanon.types import FloatArray
from vidanon.zoo.fetch import file_hash, resolve

CHECKPOINT, LANDMARKS, MEASURED = "checkpoint.pt", "landmarks.safetensors", "measured.json"
_RATE, _LEAST = 1.2e-3, 0.004  # highest learning rate; share of it at the end
_AS_IT_IS = 0.4  # share of crops from pictures as they are; the others from views
_MODES_FROM = 3000  # meshes that the first modes are computed from


@dataclass(frozen=True)
class Recipe:
    """What may be chosen; the defaults made the shipped model."""

    steps: int = 6400
    views: int = 3  #: of each face
    seed: int = 0
    threads: int = 1  #: of torch
    batch: int = 64  #: crops a step
    warm_up: int = 300  #: steps
    checkpoint_every: int = 100  #: steps: what is lost at most when a run is broken off


def train_landmarks(
    faces: Path,
    teacher: Path,
    out: Path,
    recipe: Recipe,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Path:
    """Run the recipe on ``faces`` (folder or tar of pictures); returns ``out/landmarks.safetensors``.

    What was done before in ``out`` is taken up again; the number of steps may change until the learning rate falls.
    ``out/measured.json`` holds the errors on the faces held out. ``progress`` is called after each piece of work and
    may raise to stop. Raises InputError, ModelError, ModelUnavailable (YuNet finds the faces), UsageError (``out``
    holds a run of other settings), OSError.
    """
    out.mkdir(parents=True, exist_ok=True)
    runtime = choose_runtime("cpu", recipe.threads)
    torch.set_num_threads(recipe.threads)
    tell = Clock(progress)
    pool = make_mesh_pool(
        out, faces, resolve("yunet"), MeshTeacher(teacher, runtime), recipe.views, recipe.seed, file_hash(teacher), tell
    )
    state = distil_landmarks(
        pool, recipe, out / CHECKPOINT, lambda step: tell("train", step.done, step.steps, _said(step))
    )
    write_mesh(out / LANDMARKS, state)
    measured = measure(MeshFinder(out / LANDMARKS, runtime), pool)
    write_text(out / MEASURED, json.dumps(measured, indent=1))
    return out / LANDMARKS


def distil_landmarks(
    pool: MeshPool, recipe: Recipe, checkpoint: Path, progress: Callable[[Step[MeshLoss]], None] = lambda step: None
) -> dict[str, torch.Tensor]:
    """Step 2 of the recipe: the averaged weights of a MeshNet trained on the faces of ``pool`` not held out."""
    known = pool.known(held=False)
    views: dict[int, list[int]] = {}
    for picture, view in known.tolist():
        views.setdefault(picture, []).append(view)
    pictures = np.array(sorted(views))

    def batch(generator: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        samples = []
        for picture in generator.choice(pictures, recipe.batch).tolist():
            view = 0 if generator.random() < _AS_IT_IS else int(generator.choice(views[picture]))
            other = pool.faces[int(generator.choice(pictures)), 0]
            samples.append(
                sample(
                    np.asarray(pool.faces[picture, view]), pool.meshes[picture, view], pool.anatomy.mirror, other,
                    generator,
                )
            )  # fmt: skip
        pixels = np.stack([s.crop for s in samples]).transpose(0, 3, 1, 2)
        x = (torch.from_numpy(pixels.copy()).float() - OFFSET) / SCALE
        numbers = [
            torch.tensor(v, dtype=torch.float32) for v in zip(*((s.weight, s.seen) for s in samples), strict=True)
        ]
        targets = pack(torch.from_numpy(np.stack([s.points for s in samples])), *numbers)
        return x.contiguous(memory_format=torch.channels_last), targets

    torch.manual_seed(recipe.seed)
    return train(
        first_net(pool, known, recipe.seed),
        batch,
        mesh_loss,
        LatePlan(recipe.steps, rate=_RATE, warm_up=recipe.warm_up, least=_LEAST),
        seed=recipe.seed + 1,
        run=f"landmarks, batches of {recipe.batch}, pool {pool.made_from}",
        checkpoint=checkpoint,
        every=recipe.checkpoint_every,
        progress=progress,
    )


def first_net(pool: MeshPool, known: npt.NDArray[np.int64], seed: int) -> MeshNet:
    """A MeshNet that knows the average face and the modes in which the teacher's meshes differ, placed as crops are."""
    net = MeshNet(triangles=len(pool.anatomy.triangles))
    generator = np.random.default_rng(seed)
    shapes: list[FloatArray] = []
    for number in np.unique(np.linspace(0, len(known) - 1, min(_MODES_FROM, len(known))).astype(int)).tolist():
        mesh = pool.meshes[tuple(known[number])]
        points = in_crop(mesh, moved(place(mesh), generator, badly=False))
        if number % 2:
            points = points[pool.anatomy.mirror]
            points[:, 0] = 1 - points[:, 0]
        shapes.append(points.ravel())
    away = np.stack(shapes) - pool.anatomy.mean.ravel()
    _, deviation, modes = np.linalg.svd(away, full_matrices=False)
    count = min(MODES, len(modes))
    scaled = modes[:count] * (deviation[:count, None] / np.sqrt(len(away)) / SPREAD)
    with torch.no_grad():
        net.mean.copy_(torch.from_numpy(pool.anatomy.mean))
        net.mirror.copy_(torch.from_numpy(pool.anatomy.mirror))
        net.triangles.copy_(torch.from_numpy(pool.anatomy.triangles))
        net.shape.bias.zero_()
        net.shape.weight[:, :count] = torch.from_numpy(np.ascontiguousarray(scaled.T))
    return net


def _said(step: Step[MeshLoss]) -> str:
    return f"error {step.loss.error:.3f} of the eye distance"
