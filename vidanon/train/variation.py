"""The recipe of the shipped ``variation``: in which directions the donors' faces differ.

Every donor's portrait is brought onto the mean mesh of all of them, its fine structure taken (brightness over what is
around, :func:`vidanon.swap.variation.detail`) and made even on both sides. For women and for men, each donor weighted
by how it is likely to be read, what goes with age and skin tone is taken out by regression, and what tells men from
women by projection; the principal components of the rest are the directions. Nothing is random.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vidanon.faces.mesh import MeshFinder, load_mesh
from vidanon.faces.mesh_points import eye_distance
from vidanon.faces.mesh_pose import Floats
from vidanon.runtime.device import choose_runtime
from vidanon.swap.base import Donor
from vidanon.swap.composite import Composer
from vidanon.swap.donors import load_donors
from vidanon.swap.light import smoothed
from vidanon.swap.variation import SIDE, Variation, detail, write_variation
from vidanon.swap.warp import portrait_map
from vidanon.types import FloatArray

VARIATION = "variation.safetensors"
DIRECTIONS = 40  #: of each gender; fewer where there are fewer donors
_FINEST = 0.052  #: sigma, share of the eye distance: finer structure does not lie alike on two faces
_LEAST = 0.02  #: weight of a donor of the other gender
_TINY = 1e-12


def train_variation(donors: Path | None, out: Path) -> Path:
    """Run the recipe on a file of donors (None: the shipped ones); returns ``out/variation.safetensors``.

    Raises ModelError, ModelUnavailable, OSError.
    """
    out.mkdir(parents=True, exist_ok=True)
    made = directions(load_donors(donors), load_mesh(choose_runtime("cpu", 1)))
    write_variation(out / VARIATION, made)
    return out / VARIATION


def directions(donors: Sequence[Donor], finder: MeshFinder) -> Variation:
    """Of at least three donors."""
    composer = Composer(finder)
    actors = composer.actors(donors)
    mean = np.mean([a.donor.points * np.float32(SIDE / a.donor.image.shape[0]) for a in actors], axis=0)
    other = mean[finder.mirror] * np.array([-1, 1, 1]) + np.array([SIDE, 0, 0])
    mesh = np.asarray((mean + other) / 2, np.float32)
    unit = float(eye_distance(mesh))
    seen: list[FloatArray] = []
    for actor in actors:
        there = portrait_map(mesh, actor.fitted.points, composer.triangles, SIDE).where
        picture, clean = actor.portrait.sample(there, actor.unit / unit)
        seen.append(smoothed(detail(picture, mesh, clean), _FINEST * unit))
    faces = np.stack([np.asarray((each + each[:, ::-1]) / 2, np.float32) for each in seen])
    female, age, tone = (np.array([getattr(d, n) for d in donors], np.float64) for n in ("female", "age", "tone"))
    looks = np.stack([np.ones(len(donors)), (age - age.mean()) / 15, (tone - tone.mean()) / 20, female - 0.5], 1)
    women, men = (components(faces, looks, np.clip(share, _LEAST, 1)) for share in (female, 1 - female))
    return Variation(mesh, men, women)


def components(faces: FloatArray, looks: Floats, weight: Floats) -> FloatArray:
    """(N, SIDE, SIDE) and their (N, L) looks, the last the gender -> (K, SIDE, SIDE), one deviation each."""
    flat = faces.reshape(len(faces), -1).astype(np.float64)
    gender = np.linalg.lstsq(looks, flat, rcond=None)[0][-1]
    gender /= max(float(np.linalg.norm(gender)), _TINY)
    flat = flat - np.outer(flat @ gender, gender)
    root = np.sqrt(weight)[:, None]
    slopes = np.linalg.lstsq(looks[:, :-1] * root, flat * root, rcond=None)[0]
    rest = (flat - looks[:, :-1] @ slopes) * root / np.sqrt(weight.sum())
    _, strength, along = np.linalg.svd(rest, full_matrices=False)
    found = (along * strength[:, None])[:DIRECTIONS]
    # a direction has no sign of its own: the same one on every machine
    sign = np.sign(found[np.arange(len(found)), np.abs(found).argmax(1)])
    return np.asarray(found * sign[:, None], np.float32).reshape(-1, *faces.shape[1:])
