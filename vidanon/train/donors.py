"""The recipe of the shipped ``donors``: new people mixed from synthetic portraits, far apart.

1. Portraits are read, their faces found, those that are no good left out (:mod:`vidanon.train.donor_portraits`).
2. From each, with others of about its look, new people are made (:mod:`vidanon.train.donor_morph`). The first portrait
   of a mix gives hair, skin and background, the others features, shape and light.
3. A mix in which the mesh finds its face where it was put, awake and with its mouth closed, may be chosen; those that
   are unlike one another are, as many women as men, as many of each range of skin tones and of ages
   (:mod:`vidanon.train.donor_select`).

Everything random is drawn from ``seed``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from vidanon.detect.base import Detector
from vidanon.detect.yunet import YuNet
from vidanon.errors import InputError
from vidanon.faces.mesh import MeshFinder, load_mesh
from vidanon.faces.mesh_points import eye_distance
from vidanon.recognise.base import Recogniser, threshold
from vidanon.recognise.student import load_student
from vidanon.runtime.device import choose_runtime
from vidanon.swap.attributes import tones
from vidanon.swap.base import Donor
from vidanon.swap.donors import write_donors
from vidanon.swap.portraits import Portrait, Unusable, face_crop, find_face, judge
from vidanon.train.donor_morph import Mix, draw_bend, mirrored, morph, on_canvas
from vidanon.train.donor_portraits import NO_EYES, PUT_OUT, SHAVEN, STUBBLE, Labelled, read_labelled
from vidanon.train.donor_select import select
from vidanon.train.progress import Clock, Progress
from vidanon.train.state import write_text
from vidanon.types import FloatArray
from vidanon.zoo.fetch import resolve

DONORS, MEASURED, SHEET = "donors.safetensors", "measured.json", "donors.jpg"
TONES = (-10.0, 30.0)  #: degrees: between dark, middle and light
YEARS = (35.0, 55.0)  #: between young, middle and old
SIBLINGS = 2  #: of one first portrait, at most
_GROUPS = 2 * (len(TONES) + 1) * (len(YEARS) + 1)
_ALIKE = (25.0, 16.0)  # degrees of tone, years: what portraits that are mixed differ by, at most
_STRONGER = (1.0, 1.4)  # how much further from the average the mixed shape is taken
_BENT = (0.4, 0.9)  # how much of a difference between two people is added to it
_STRAYS = 0.05  # of the eye distance: how far the found mesh may lie from where the face was put
_COLUMNS, _TILE = 8, 152  # of the sheet; px


@dataclass(frozen=True)
class Recipe:
    """What may be chosen; the defaults made the shipped file."""

    donors: int = 108  #: at most; a multiple of 18: two genders, three ranges of tones, three of ages
    mixes: int = 10  #: tried of each portrait
    seed: int = 0
    threads: int = 1  #: of torch


@dataclass(frozen=True)
class Candidate:
    donor: Donor
    parents: tuple[str, ...]  #: the first gave hair and skin


def train_donors(
    faces: Path, out: Path, recipe: Recipe, progress: Callable[[Progress], None] = lambda progress: None
) -> Path:
    """Run the recipe on ``faces`` (folder or tar of the portraits); returns ``out/donors.safetensors``.

    Beside it are written a sheet of the donors and what was measured. ``progress`` may raise to stop; nothing is kept
    then. Raises InputError, ModelError, ModelUnavailable (YuNet finds the faces), OSError.
    """
    out.mkdir(parents=True, exist_ok=True)
    runtime = choose_runtime("cpu", recipe.threads)
    torch.set_num_threads(recipe.threads)
    finder, detector = load_mesh(runtime), YuNet(resolve("yunet"), runtime)
    student = load_student(runtime)
    tell = Clock(progress)
    portraits = read_labelled(faces, finder, detector, lambda done: tell("faces", done, 0))
    parents = [p for p in portraits if not p.left_out]
    if not parents:
        raise InputError(f"{faces}: no portrait in it can be mixed; give the portraits that the recipe was made for")
    total = len(parents) * recipe.mixes
    candidates: list[Candidate] = []
    for done, candidate in enumerate(make_candidates(parents, finder, detector, student, recipe), start=1):
        candidates += [candidate] if candidate is not None else []
        tell("mixes", done, total, f"{len(candidates)} good")
    chosen = choose(candidates, recipe.donors).tolist()
    chosen = [i for i in chosen if candidates[i].donor.name not in PUT_OUT]
    donors = [candidates[i].donor for i in chosen]
    if not donors:
        raise InputError(f"{faces}: no mix of its portraits was good; give the portraits that the recipe was made for")
    measured = {
        "portraits": len(portraits),
        "parents": len(parents),
        "left out": {p.name: p.left_out for p in portraits if p.left_out},
        "candidates": len(candidates),
        "alike": alike(donors, threshold(student.description, 0.01)),
        "made of": {candidates[i].donor.name: candidates[i].parents for i in chosen},
    }
    write_text(out / MEASURED, json.dumps(measured, indent=1))
    cv2.imwrite(str(out / SHEET), cv2.cvtColor(sheet(donors), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])
    write_donors(out / DONORS, donors)
    return out / DONORS


def make_candidates(
    parents: Sequence[Labelled], finder: MeshFinder, detector: Detector, student: Recogniser, recipe: Recipe
) -> Iterator[Candidate | None]:
    """``recipe.mixes`` of each parent in turn; None for one that is no good, or has nobody of its look beside it."""
    generator = np.random.default_rng(recipe.seed)
    meshes = {
        female: np.stack([on_canvas(p.face) for p in parents if p.female == female])
        for female in sorted({p.female for p in parents})
    }
    for first in parents:
        near = [p for p in parents if p is not first and _of_a_look(first, p)]
        for number in range(recipe.mixes):
            chosen = generator.permutation(len(near))[: generator.integers(1, 4)]
            family = [first, *(near[i] for i in chosen)]
            name = f"{first.name}-{number}"
            yield _candidate(name, family, meshes[first.female], finder, detector, student, generator)


def choose(candidates: Sequence[Candidate], count: int) -> npt.NDArray[np.int64]:
    """Indices of ``count`` candidates that are unlike one another, evenly of both genders, three ranges of tones
    and three of ages.

    At most SIBLINGS of each first portrait. Fewer where a group has not enough.
    """
    if not candidates:
        return np.zeros(0, np.int64)
    donors = [candidate.donor for candidate in candidates]
    groups = np.array([_group(donor) for donor in donors])
    firsts = np.unique([candidate.parents[0] for candidate in candidates], return_inverse=True)[1]
    embeddings = np.stack([donor.embedding for donor in donors])
    return select(embeddings, groups, firsts, dict.fromkeys(range(_GROUPS), count // _GROUPS), SIBLINGS)


def alike(donors: Sequence[Donor], least: float) -> dict[str, float]:
    """How alike donors are to one another by their embeddings; a match is ``least`` or more."""
    embeddings = np.stack([donor.embedding for donor in donors])
    pairs = (embeddings @ embeddings.T)[np.triu_indices(len(donors), 1)]
    if not len(pairs):
        return {"pairs": 0.0}
    return {
        "pairs": float(len(pairs)), "match": float((pairs >= least).mean()), "mean": float(pairs.mean()),
        "most": float(pairs.max()), "threshold": least,
    }  # fmt: skip


def sheet(donors: Sequence[Donor]) -> npt.NDArray[np.uint8]:
    """One picture of all donors, women first, each from dark to light."""
    order = sorted(donors, key=lambda donor: (-donor.female, donor.tone))
    rows = -(-len(order) // _COLUMNS)
    out = np.full((rows * _TILE, min(len(order), _COLUMNS) * _TILE, 3), 255, np.uint8)
    for i, donor in enumerate(order):
        y, x = (_TILE * part for part in divmod(i, _COLUMNS))
        tile: Any = cv2.resize(donor.image, (_TILE, _TILE), interpolation=cv2.INTER_AREA)
        out[y : y + _TILE, x : x + _TILE] = tile
    return out


def _of_a_look(a: Labelled, b: Labelled) -> bool:
    return a.female == b.female and abs(a.tone - b.tone) <= _ALIKE[0] and abs(a.age - b.age) <= _ALIKE[1]


def _candidate(
    name: str,
    family: Sequence[Labelled],
    meshes: FloatArray,
    finder: MeshFinder,
    detector: Detector,
    student: Recogniser,
    generator: np.random.Generator,
) -> Candidate | None:
    mix, flips = draw_mix(family, meshes, generator)
    if len(family) == 1:
        return None
    faces = [mirrored(p.face, finder.mirror) if flip else p.face for p, flip in zip(family, flips, strict=True)]
    made = morph(faces, mix, meshes.mean(0))
    try:
        points, confidence = find_face(made.image, finder, detector)
        judge(points, confidence)
    except Unusable:
        return None
    strays = np.linalg.norm(points[:, :2] - made.points[:, :2], axis=1).mean() / eye_distance(points)
    if strays > _STRAYS:
        return None
    crop = face_crop(Portrait(made.image, points), student)[None]
    seen = np.bincount(
        [0, 0, 0, *mix.features.values()], minlength=len(family)
    )  # skin weighs as much as three features
    age = float(np.average([p.age for p in family], weights=seen))
    female = family[0].female if family[0].name in STUBBLE else max(family[0].female, SHAVEN)
    donor = Donor(name, made.image, points, female, age, float(tones(crop)[0]), student.embed(crop)[0])
    return Candidate(donor, tuple(p.name for p in family))


def draw_mix(family: Sequence[Labelled], meshes: FloatArray, generator: np.random.Generator) -> tuple[Mix, list[bool]]:
    """A mix of the family, in which at least one feature is not the first one's, and who is mirrored.

    meshes: (N, 468, 3) on the canvas, people of their gender.
    """
    count = len(family)
    features = {name: int(generator.integers(0, count)) for name in ("eyes", "nose", "mouth")}
    if not any(features.values()) and count > 1:
        features["nose"] = 1
    if features["eyes"] and family[features["eyes"]].name in NO_EYES:
        features["eyes"] = 0
    shape = generator.dirichlet([2.0] * count)
    light = 0.5 * generator.dirichlet([2.0] * count) + 0.5 * (np.arange(count) == 0)
    flips = (generator.random(count) < 0.5).tolist()
    stronger, bent = generator.uniform(*_STRONGER), draw_bend(meshes, generator.uniform(*_BENT), generator)
    return Mix(tuple(shape.tolist()), tuple(light.tolist()), features, float(stronger), bent), flips


def _group(donor: Donor) -> int:
    look = int(donor.female > 0.5) * (len(TONES) + 1) + int(np.searchsorted(TONES, donor.tone))
    return look * (len(YEARS) + 1) + int(np.searchsorted(YEARS, donor.age))
