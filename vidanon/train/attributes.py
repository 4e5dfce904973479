"""The recipe of the shipped ``attributes``: probes of a face's look, from synthetic faces labelled by eye.

The portraits that donors are made from (:mod:`vidanon.train.donor_portraits`) and some synthetic ones of the open faces
(:mod:`vidanon.train.donor_labels`) are seen near and wide, worsened and embedded by the project's recogniser; two
linear probes learn their labels (:mod:`vidanon.train.donor_probe`). No picture of a real person is used.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np

from vidanon.detect.base import Detector
from vidanon.detect.yunet import YuNet
from vidanon.errors import InputError
from vidanon.faces.mesh import MeshFinder, load_mesh
from vidanon.faces.mesh_points import five
from vidanon.recognise.student import load_student
from vidanon.runtime.device import choose_runtime
from vidanon.swap.attributes import views, write_attributes
from vidanon.swap.portraits import Unusable, find_face
from vidanon.train.donor_labels import LOOKS
from vidanon.train.donor_portraits import AGES
from vidanon.train.donor_probe import Example, train_probes
from vidanon.train.faces import pictures
from vidanon.train.progress import Clock, Progress
from vidanon.train.state import write_text
from vidanon.types import ByteArray
from vidanon.zoo.fetch import resolve

ATTRIBUTES, MEASURED = "attributes.safetensors", "attributes.json"


def train_attributes(
    portraits: Path, faces: Path, out: Path, seed: int = 0, progress: Callable[[Progress], None] = lambda progress: None
) -> Path:
    """Run the recipe on ``portraits`` and open ``faces`` (folders or tars); returns ``out/attributes.safetensors``.

    What the probes tell of sets held out is written beside it. Raises InputError, ModelError, ModelUnavailable (YuNet
    finds the faces), OSError.
    """
    out.mkdir(parents=True, exist_ok=True)
    runtime = choose_runtime("cpu", 1)
    finder, detector, tell = load_mesh(runtime), YuNet(resolve("yunet"), runtime), Clock(progress)
    examples: list[Example] = []
    for source, looks in ((portraits, _portrait_look), (faces, _open_look)):
        before = len(examples)
        for number, (path, bgr) in enumerate(pictures(source), start=1):
            if (look := looks(PurePosixPath(path).name)) is not None:
                face = _seen(np.asarray(bgr[:, :, ::-1], np.uint8), finder, detector)
                examples += [] if face is None else [Example(face, *look)]
            tell("faces", number, 0)
        if len(examples) == before:
            raise InputError(f"{source}: no face in it that the recipe has a label for; give the set it was made for")
    probes = train_probes(examples, load_student(runtime), seed)
    write_attributes(out / ATTRIBUTES, probes.female, probes.age)
    write_text(out / MEASURED, json.dumps(probes.measured, indent=1))
    return out / ATTRIBUTES


def _portrait_look(name: str) -> tuple[float, float, str] | None:
    stem = name.rsplit(".", 1)[0]
    return (float(stem.startswith("female")), float(AGES[stem]), "portraits") if stem in AGES else None


def _open_look(name: str) -> tuple[float, float, str] | None:
    return (*LOOKS[name], name.rsplit("_", 1)[0]) if name in LOOKS else None


def _seen(rgb: ByteArray, finder: MeshFinder, detector: Detector) -> ByteArray | None:
    rgb = np.ascontiguousarray(rgb)
    try:
        points, _ = find_face(rgb, finder, detector)
    except Unusable:
        return None
    return views(rgb, five(points)[:, :2])
