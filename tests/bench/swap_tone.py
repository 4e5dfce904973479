"""By skin tone: the individual typology angle of the source's cheeks, and whether any group fares worse.

The angle is of the picture, so of skin and light together. Groups are Chardon's; one with fewer than LEAST people is
merged with its smaller neighbour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vidanon.audit.rates import Rate, rate
from vidanon.types import ByteArray, FloatArray

#: degrees from which a face belongs to a group, lightest first
GROUPS = (
    ("very light", 55.0),
    ("light", 41.0),
    ("intermediate", 28.0),
    ("tan", 10.0),
    ("brown", -30.0),
    ("dark", -91.0),
)
LEAST = 15  #: people of a group
#: mesh points around the middle of each cheek
CHEEKS = (
    (116, 117, 118, 119, 100, 142, 203, 206, 207, 187, 147, 123),
    (345, 346, 347, 348, 329, 371, 423, 426, 427, 411, 376, 352),
)


def tone(rgb: ByteArray, mesh: FloatArray) -> float | None:
    """Degrees, -90 (dark) to 90 (light), from the cheeks' median colour; None where no cheek is in the picture."""
    lab = []
    for cheek in CHEEKS:
        inside = np.zeros(rgb.shape[:2], np.uint8)
        cv2.fillConvexPoly(inside, cv2.convexHull(np.rint(mesh[list(cheek), :2] - 0.5).astype(np.int32)), 1)
        if inside.any():
            lab.append(_lab(np.median(rgb[inside > 0], axis=0)))
    if not lab:
        return None
    lightness, _, yellow = np.mean(lab, axis=0)
    return float(np.degrees(np.arctan2(lightness - 50, yellow)).clip(-90, 90)) if yellow > 0 else None


def _lab(rgb: FloatArray) -> FloatArray:
    """(3,) sRGB 0..255 -> CIE L*, a*, b* (D65)."""
    pixel = (np.asarray(rgb, np.float32) / 255).reshape(1, 1, 3)
    return np.asarray(cv2.cvtColor(pixel, cv2.COLOR_RGB2LAB)[0, 0], np.float32)


@dataclass(frozen=True)
class Group:
    """Several neighbouring tones."""

    name: str
    people: tuple[int, ...]  #: their places in the list


def groups(tones: Sequence[float | None], least: int = LEAST) -> list[Group]:
    """People by tone, from light to dark; those without a tone are in none."""
    made: list[tuple[list[str], list[int]]] = []
    above = float("inf")
    for name, low in GROUPS:
        members = [i for i, t in enumerate(tones) if t is not None and low <= t < above]
        above = low
        made.append(([name], members))
    while len(made) > 1 and min(len(m) for _, m in made) < least:
        at = min(range(len(made)), key=lambda i: len(made[i][1]))
        beside = [i for i in (at - 1, at + 1) if 0 <= i < len(made)]
        to = min(beside, key=lambda i: len(made[i][1]))
        first, second = sorted((at, to))
        made[first] = (made[first][0] + made[second][0], made[first][1] + made[second][1])
        del made[second]
    return [Group(_span(names), tuple(sorted(members))) for names, members in made if members]


def _span(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


@dataclass(frozen=True)
class Compared:
    """One group's rate beside the mean of all."""

    group: str
    people: int
    rate: Rate
    ratio: float | None  #: over the mean; None where the mean is 0

    @property
    def worse(self) -> bool:
        """Above twice the mean, and not by chance: the whole interval lies above the mean."""
        return self.ratio is not None and self.ratio > 2 and self.rate.low > self.rate.value / self.ratio

    @property
    def doubtful(self) -> bool:
        """Above twice the mean, and it may be chance."""
        return self.ratio is not None and self.ratio > 2 and not self.worse


def compare(found: Sequence[Group], hits: Sequence[int], counts: Sequence[int]) -> list[Compared]:
    """``hits`` of ``counts`` trials of each person, by group."""
    everyone = [i for group in found for i in group.people]
    total = sum(counts[i] for i in everyone)
    average = sum(hits[i] for i in everyone) / total if total else 0.0
    answer = []
    for group in found:
        made = rate([hits[i] for i in group.people], [counts[i] for i in group.people])
        if made is not None:
            answer.append(Compared(group.name, len(group.people), made, made.value / average if average else None))
    return answer
