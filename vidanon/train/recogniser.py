"""The recipe of the shipped recognisers: distilled from one teacher on open faces, on a CPU.

``student`` takes two hours; ``surrogate``, a smaller network that sees fewer faces for a shorter time, twenty minutes.

1. Faces are found and aligned (:mod:`vidanon.train.faces`).
2. A pool of faces, mirror images and mixes gets the teacher's embeddings (:mod:`vidanon.train.pool`).
3. A :class:`StudentNet` learns them from augmented faces (:mod:`vidanon.train.augment`,
   :mod:`vidanon.train.losses`, :mod:`vidanon.train.loop`); the average of its weights is what is written.

Two generators, seeded ``seed`` and ``seed + 1``, draw the pool and the batches; torch's own draws the first weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vidanon.errors import ModelError
from vidanon.recognise.nets import DEPTHS, WIDTHS, StudentNet
from vidanon.recognise.student import NAME, OFFSET, SCALE, SIZE, SURROGATE, describe_student, write_student
from vidanon.runtime.device import Runtime, choose_runtime
from vidanon.train.augment import augment
from vidanon.train.faces import aligned_faces
from vidanon.train.loop import Plan, Step, train
from vidanon.train.losses import distil
from vidanon.train.pool import Pool, Teacher, make_pool
from vidanon.train.progress import Clock, Progress
from vidanon.types import FloatArray
from vidanon.zoo.fetch import file_hash, resolve

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Recipe:
    """What may be chosen; the defaults made the shipped student."""

    name: str = NAME
    widths: tuple[int, ...] = WIDTHS
    depths: tuple[int, ...] = DEPTHS
    steps: int = 6000
    pool: int = 80_000  #: faces and mixes of faces
    seed: int = 0
    threads: int = 1  #: of torch
    batch: int = 64  #: faces a step
    warm_up: int = 300  #: steps
    checkpoint_every: int = 100  #: steps: what is lost at most when a run is broken off


#: what made the shipped surrogate
WEAK = Recipe(SURROGATE, (24, 24, 48, 96, 128), (1, 1, 2, 1), steps=900, pool=12_000, warm_up=60)


def train_recogniser(
    faces: Path,
    teacher: Path,
    out: Path,
    recipe: Recipe,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> Path:
    """Run the recipe on ``faces`` (folder or tar of pictures); returns ``out/NAME.safetensors``, without thresholds.

    What was done before in ``out`` is taken up again. ``progress`` is called after each piece of work and may raise to
    stop. Raises InputError, ModelError, ModelUnavailable (YuNet finds the faces), UsageError (``out`` holds a run of
    other settings), OSError.
    """
    out.mkdir(parents=True, exist_ok=True)
    runtime = choose_runtime("cpu", recipe.threads)
    torch.set_num_threads(recipe.threads)
    answer = load_teacher(teacher, runtime)
    tell = Clock(progress)
    aligned = aligned_faces(faces, resolve("yunet"), lambda done: tell("faces", done, 0))
    pool = make_pool(
        out, aligned, answer, recipe.pool, recipe.seed, file_hash(teacher), lambda done, size: tell("pool", done, size)
    )
    state = distil_student(
        pool, recipe, out / CHECKPOINT, lambda step: tell("train", step.done, step.steps, _said(step))
    )
    made = out / f"{recipe.name}.safetensors"
    write_student(made, state, describe_student(teachers=(teacher.name.split(".")[0],), name=recipe.name))
    return made


def distil_student(
    pool: Pool, recipe: Recipe, checkpoint: Path, progress: Callable[[Step], None] = lambda step: None
) -> dict[str, torch.Tensor]:
    """Step 3 of the recipe: the averaged weights of a StudentNet trained on ``pool``."""

    def batch(generator: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = np.sort(generator.integers(0, len(pool), recipe.batch))
        pixels = np.stack([augment(np.asarray(pool.faces[i]), generator) for i in chosen])
        x = (torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).float() - OFFSET) / SCALE
        return x.contiguous(memory_format=torch.channels_last), torch.from_numpy(np.asarray(pool.answers[chosen]))

    torch.manual_seed(recipe.seed)
    net = StudentNet(pool.answers.shape[1], recipe.widths, recipe.depths)
    return train(
        net,
        batch,
        distil,
        Plan(recipe.steps, warm_up=recipe.warm_up),
        seed=recipe.seed + 1,
        run=f"{recipe.name}, batches of {recipe.batch}, pool {pool.made_from}",
        checkpoint=checkpoint,
        every=recipe.checkpoint_every,
        progress=progress,
    )


def load_teacher(path: Path, runtime: Runtime) -> Teacher:
    """A TorchScript (``.pt``) or ONNX file that takes (N, 3, 112, 112) RGB 0..255 and gives (N, D), as a Teacher.

    Raises ModelError for a file that is neither, or a network that answers otherwise.
    """
    if path.suffix == ".onnx":
        session, _ = runtime.onnx_session(path)
        name = session.get_inputs()[0].name

        def run(pixels: FloatArray) -> torch.Tensor:
            return torch.from_numpy(session.run(None, {name: pixels})[0])
    else:
        try:
            script = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            raise ModelError(
                f"teacher {path}: no TorchScript file; give a .pt of torch.jit.save, or a .onnx"
            ) from error

        def run(pixels: FloatArray) -> torch.Tensor:
            answer = script(torch.from_numpy(pixels))
            return torch.as_tensor(answer[0] if isinstance(answer, tuple) else answer)

    def teacher(pixels: FloatArray) -> FloatArray:
        with torch.inference_mode():
            return np.asarray(torch.nn.functional.normalize(run(pixels), dim=1).numpy(), np.float32)

    probe = np.random.default_rng(0).uniform(0, 255, (2, 3, SIZE, SIZE)).astype(np.float32)
    try:
        answer = teacher(probe)
    except Exception as error:  # whatever a network of another kind raises
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1][:120]
        raise ModelError(f"teacher {path}: does not take crops of {SIZE} px ({reason}); give one that does") from error
    if answer.ndim != 2 or len(answer) != 2 or not np.isfinite(answer).all():
        raise ModelError(f"teacher {path}: answers {answer.shape}, not one embedding per face; give a recogniser")
    return teacher


def _said(step: Step) -> str:
    return f"cosine {step.loss.cosine:.3f}"
