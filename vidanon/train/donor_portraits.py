"""The portraits that donors are made from: apparent ages by eye, which ones are left out and why, and reading them.

The portraits are the 200 AI portraits of faker-js/assets-person-portrait (CC0 1.0): people who do not exist. The ages
are one judgement by eye of how old each picture looks, to five years or so; the gender is that of the file's name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from vidanon.detect.base import Detector
from vidanon.errors import InputError
from vidanon.faces.mesh import MeshFinder
from vidanon.faces.mesh_points import five
from vidanon.recognise.crop import crop
from vidanon.swap.attributes import NEAR, tones
from vidanon.swap.portraits import Portrait, Unusable, find_face, judge
from vidanon.train.faces import pictures

_FEMALE = (
    20, 22, 30, 20, 50, 25, 45, 72, 22, 45, 24, 48, 78, 40, 62, 74, 65, 24, 62, 50,
    50, 60, 22, 78, 80, 62, 26, 42, 22, 60, 40, 24, 35, 66, 82, 55, 32, 35, 42, 45,
    25, 88, 25, 25, 26, 25, 62, 22, 38, 34, 22, 52, 82, 52, 58, 82, 25, 22, 25, 32,
    25, 80, 45, 80, 26, 25, 22, 30, 22, 84, 42, 32, 25, 28, 28, 75, 58, 58, 60, 82,
    75, 68, 25, 62, 22, 26, 32, 24, 28, 28, 22, 22, 18, 78, 24, 38, 84, 18, 25, 32,
)  # fmt: skip
_MALE = (
    48, 64, 32, 60, 22, 19, 72, 25, 50, 35, 50, 50, 30, 45, 45, 72, 28, 68, 22, 32,
    68, 22, 68, 68, 48, 50, 32, 24, 60, 33, 35, 38, 27, 40, 22, 45, 48, 20, 78, 38,
    35, 38, 33, 27, 76, 22, 28, 82, 25, 30, 74, 26, 47, 50, 46, 40, 66, 80, 22, 62,
    36, 33, 42, 24, 38, 76, 27, 66, 38, 75, 22, 24, 28, 72, 30, 32, 35, 50, 25, 35,
    50, 38, 28, 27, 35, 60, 42, 20, 30, 65, 45, 24, 84, 38, 48, 62, 38, 20, 22, 58,
)  # fmt: skip
#: apparent age, years
AGES = {
    f"{kind}_{number:03}": age
    for kind, ages in (("female", _FEMALE), ("male", _MALE))
    for number, age in enumerate(ages)
}

#: reason -> portraits that look at the camera, but are no good to be mixed; the others are judged by their meshes
LEFT_OUT = {
    "teeth": (
        "female_000 female_007 female_010 female_023 female_029 female_033 female_037 female_052 female_078 female_080 "
        "female_081 female_088 female_095 female_096 male_006 male_013 male_014 male_024 male_025 male_034 male_039 "
        "male_044 male_047 male_055 male_076 male_079 male_086 male_089 male_091 male_096 male_099"
    ),
    "glasses": "female_069 male_095",
    "scarf or headgear over the rim of the face": (
        "female_021 female_041 female_043 female_079 female_094 male_011 male_015 male_023 male_029"
    ),
    "hair over the face": "female_001 male_005",
    "beard or moustache": (
        "male_002 male_020 male_032 male_042 male_049 male_060 male_062 male_066 male_072 male_073 male_074 male_075 "
        "male_080 male_082"
    ),
    "hand at the face": "female_054 female_056",
    "painted mark": "female_092",
    "hard light": "male_057 male_087",
}
#: donors that were chosen and put out by eye: over another face, these jar
PUT_OUT = {
    "female_019-6": "a strand on the forehead",
    "female_084-3": "a strand over the brow",
    "male_028-2": "eyes pinched",
    "male_028-9": "a moustache's shadow",
    "male_041-6": "a moustache's shadow",
    "male_070-0": "a moustache's shadow, a tuft on the chin",
    "male_070-2": "a moustache, a dark fold between the brows",
    "male_083-8": "a moustache's ends, a tuft on the chin",
    "male_090-6": "a beard's rim",
}
#: men with stubble or a goatee, by eye; the faces of the others may be read as a woman's sooner
STUBBLE = frozenset(
    f"male_{number}"
    for number in ["007", "012", "016", "040", "043", "048", "052", "070", "078", "085", "088", "090", "093", "098"]
)
SHAVEN = 0.12  #: how likely a shaven man's face is to be read as a woman's: a guess, used to weigh
#: portraits whose eyes are not given to others: hair lies over a brow
NO_EYES = frozenset({"female_031", "female_084"})
_REASONS = {name: reason for reason, names in LEFT_OUT.items() for name in names.split()}


@dataclass(frozen=True)
class Labelled:
    """A portrait with a face."""

    name: str
    face: Portrait
    female: float  #: 0 or 1
    age: float  #: years
    tone: float  #: degrees
    left_out: str = ""  #: why it is not mixed with others


def read_labelled(
    source: Path, finder: MeshFinder, detector: Detector, progress: Callable[[int], None] = lambda done: None
) -> list[Labelled]:
    """The portraits of ``source`` (folder or tar) that have a face, by name.

    ``progress`` is told how many were looked at. Raises InputError for a source that is none, a broken picture, or a
    portrait whose name no age is known for.
    """
    out: list[Labelled] = []
    for number, (path, bgr) in enumerate(pictures(source), start=1):
        name = PurePosixPath(path).stem
        if name not in AGES:
            raise InputError(f"{path}: its apparent age is not in the recipe; give the portraits that it was made for")
        image = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
        reason = _REASONS.get(name, "")
        try:
            points, confidence = find_face(image, finder, detector)
        except Unusable:
            continue
        finally:
            progress(number)
        try:
            judge(points, confidence)
        except Unusable as error:
            reason = reason or str(error)
        face = crop(image, five(points)[:, :2], NEAR)
        female, tone = float(name.startswith("female")), float(tones(face[None])[0])
        out.append(Labelled(name, Portrait(image, points), female, float(AGES[name]), tone, reason))
    return out
