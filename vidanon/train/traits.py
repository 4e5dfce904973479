"""The recipe of the shipped ``traits``: the light and shade of synthetic portraits, brought onto one mesh.

Every portrait that is awake, looks at the camera and shows its face is brought onto the mean mesh of all of them, its
fine structure taken (brightness over what is around, :func:`vidanon.swap.traits.detail`) and made even on both sides.
Portraits and not the donors: those are mixes already, in which what tells people apart is partly averaged away. Nothing
is random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vidanon.detect.yunet import YuNet
from vidanon.errors import InputError
from vidanon.faces.mesh import MeshFinder, load_mesh
from vidanon.faces.mesh_points import eye_distance
from vidanon.recognise.base import Recogniser
from vidanon.recognise.student import load_student
from vidanon.runtime.device import choose_runtime
from vidanon.swap.base import Donor
from vidanon.swap.composite import Composer
from vidanon.swap.portraits import face_crop, framed
from vidanon.swap.traits import SIDE, Traits, detail, write_traits
from vidanon.swap.warp import portrait_map
from vidanon.train.donor_portraits import Labelled, read_labelled
from vidanon.train.progress import Clock, Progress
from vidanon.zoo.fetch import resolve

TRAITS = "traits.safetensors"
_GOOD = ("", "teeth")  #: why a portrait may be no good for donors, and yet for traits: of lips there is little in them


def train_traits(faces: Path, out: Path, progress: Callable[[Progress], None] = lambda progress: None) -> Path:
    """Run the recipe on ``faces`` (folder or tar of the portraits); returns ``out/traits.safetensors``.

    Raises InputError, ModelError, ModelUnavailable (YuNet finds the faces), OSError.
    """
    out.mkdir(parents=True, exist_ok=True)
    runtime = replace(choose_runtime("cpu", 1), exact=True)
    finder, detector, student = load_mesh(runtime), YuNet(resolve("yunet"), runtime), load_student(runtime)
    tell = Clock(progress)
    portraits = read_labelled(faces, finder, detector, lambda done: tell("faces", done, 0))
    good = [_as_donor(portrait, student) for portrait in portraits if portrait.left_out in _GOOD]
    if not good:
        raise InputError(f"{faces}: no portrait in it is of use; give the portraits that the recipe was made for")
    write_traits(out / TRAITS, traits(good, finder))
    return out / TRAITS


def traits(donors: Sequence[Donor], finder: MeshFinder) -> Traits:
    """Of at least one."""
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


def _as_donor(labelled: Labelled, student: Recogniser) -> Donor:
    face = framed(labelled.face.image, labelled.face.points)
    embedding = student.embed(face_crop(face, student)[None])[0]
    return Donor(labelled.name, face.image, face.points, labelled.female, labelled.age, labelled.tone, embedding)
