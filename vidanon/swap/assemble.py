"""Put the swap together: landmarks, donors, recognisers, and who plays whom."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import numpy as np

from vidanon.config import RunConfig
from vidanon.faces.mesh import load_mesh
from vidanon.protect.obscure import Pixelate
from vidanon.protect.swap import Swap
from vidanon.recognise.student import load_student
from vidanon.runtime.device import Runtime
from vidanon.swap.attributes import load_attributes
from vidanon.swap.audition import audition
from vidanon.swap.cast import Casting
from vidanon.swap.composite import Composer
from vidanon.swap.donors import load_donors
from vidanon.swap.guess import guesser
from vidanon.track.plan import Plan
from vidanon.types import Frame, RunReport


def make_swap(
    frames: Iterable[Frame],
    plan: Plan,
    config: RunConfig,
    runtime: Runtime,
    report: RunReport,
    progress: Callable[[int], None] | None = None,
) -> Swap:
    """Cast every track of ``plan`` by a pass over ``frames``. Raises ModelError, UsageError."""
    finder = load_mesh(runtime)
    student = load_student(runtime)
    report.models[student.description.name] = student.description.sha256
    composer = Composer(finder)
    actors = composer.actors(load_donors(config.swap.donors))
    secret = config.swap.project_key
    key = os.urandom(32) if secret is None else secret.get_secret_value().encode()
    casting = Casting(composer, actors, [student], key)
    roles = audition(frames, plan, casting, finder, guesser(student, load_attributes()), config.protect, config.swap, progress)
    cover = Pixelate(config.protect, config.seed)
    grain = config.seed if secret is not None else int(np.random.default_rng().integers(2**62))
    return Swap(config.swap, cover, finder, composer, actors, roles, grain)
