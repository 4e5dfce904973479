"""Put the swap together: landmarks, donors, recognisers, and who plays whom."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from vidanon.config import RunConfig
from vidanon.detect.base import Detector
from vidanon.faces.mesh import load_mesh
from vidanon.protect.obscure import Pixelate
from vidanon.protect.swap import Swap
from vidanon.recognise.student import load_student, load_surrogate
from vidanon.runtime.device import Runtime
from vidanon.swap.attributes import load_attributes
from vidanon.swap.audition import audition
from vidanon.swap.base import Retouch, Shot
from vidanon.swap.cast import Casting, Role
from vidanon.swap.composite import Composer
from vidanon.swap.donors import donors_from_folder, load_donors
from vidanon.swap.guess import guesser
from vidanon.swap.retouch import Retoucher
from vidanon.swap.traits import load_traits
from vidanon.track.plan import Plan
from vidanon.types import Frame, RunReport


def make_swap(
    frames: Iterable[Frame],
    plan: Plan,
    detector: Detector,
    config: RunConfig,
    runtime: Runtime,
    report: RunReport,
    progress: Callable[[int], None] | None = None,
) -> Swap:
    """Cast every track of ``plan`` by a pass over ``frames``.

    detector: finds the faces of the user's own donors. Raises ModelError, UsageError.
    """
    finder = load_mesh(runtime)
    student, surrogate = load_student(runtime), load_surrogate(runtime)
    report.models |= {each.description.name: each.description.sha256 for each in (student, surrogate)}
    composer = Composer(finder)
    attributes = load_attributes()
    donors = load_donors()
    if config.swap.donors is not None:
        donors, left_out = donors_from_folder(config.swap.donors, finder, detector, student, attributes)
        report.warnings += [f"--donors: {name} is not used ({why})" for name, why in left_out]
    actors = composer.actors(donors)
    secret = config.swap.project_key
    key = os.urandom(32) if secret is None else secret.get_secret_value().encode()
    retouch = Retoucher(composer, (student, surrogate), load_traits(), key, config.swap.glasses)
    guess = guesser(student, attributes)

    def retouches(shots: Sequence[Shot], role: Role) -> tuple[Retouch, ...]:
        chosen = [actors[donor] for donor in role.donors]
        return retouch(shots, role.shape, chosen) if chosen else ()

    with ThreadPoolExecutor(runtime.workers, "cast") as pool:
        casting = Casting(composer, actors, [student], key, pool.map)
        roles = audition(
            frames, plan, casting, finder, guess, retouches, config.protect, config.swap, runtime.workers, progress
        )
    cover = Pixelate(config.protect, config.seed)
    grain = config.seed if secret is not None else int(np.random.default_rng().integers(2**62))
    reach = config.protect.mask_scale
    return Swap(config.swap, cover, finder, composer, actors, roles, grain, reach, runtime.workers)
