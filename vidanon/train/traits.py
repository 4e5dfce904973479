"""The recipe of the shipped ``traits``: the donors' light and shade, brought onto one mesh.

Every donor's portrait is brought onto the mean mesh of all of them, its fine structure taken (brightness over what is
around, :func:`vidanon.swap.traits.detail`) and made even on both sides. Nothing is random.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vidanon.faces.mesh import MeshFinder, load_mesh
from vidanon.faces.mesh_points import eye_distance
from vidanon.runtime.device import choose_runtime
from vidanon.swap.base import Donor
from vidanon.swap.composite import Composer
from vidanon.swap.donors import load_donors
from vidanon.swap.traits import SIDE, Traits, detail, write_traits
from vidanon.swap.warp import portrait_map

TRAITS = "traits.safetensors"


def train_traits(donors: Path | None, out: Path) -> Path:
    """Run the recipe on a file of donors (None: the shipped ones); returns ``out/traits.safetensors``.

    Raises ModelError, ModelUnavailable, OSError.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_traits(out / TRAITS, traits(load_donors(donors), load_mesh(choose_runtime("cpu", 1))))
    return out / TRAITS


def traits(donors: Sequence[Donor], finder: MeshFinder) -> Traits:
    """Of at least one donor."""
    composer = Composer(finder)
    actors = composer.actors(donors)
    mean = np.mean([a.donor.points * np.float32(SIDE / a.donor.image.shape[0]) for a in actors], axis=0)
    other = mean[finder.mirror] * np.array([-1, 1, 1]) + np.array([SIDE, 0, 0])
    mesh = np.asarray((mean + other) / 2, np.float32)
    unit = float(eye_distance(mesh))
    faces = []
    for actor in actors:
        there = portrait_map(mesh, actor.fitted.points, composer.triangles, SIDE).where
        picture, clean = actor.portrait.sample(there, actor.unit / unit)
        seen = detail(picture, mesh, clean)
        faces.append((seen + seen[:, ::-1]) / 2)
    female, age = (np.array([getattr(donor, name) for donor in donors], np.float32) for name in ("female", "age"))
    return Traits(mesh, np.asarray(np.stack(faces), np.float32), female, age)
