"""The probes of :mod:`vidanon.swap.attributes`: linear, on what the student sees of labelled synthetic faces.

They are chosen and measured on sets of faces that they did not see: within a set, faces have so much else in common
that a held-out face of it says little about footage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from vidanon.swap.attributes import Backbone, features
from vidanon.train.augment import augment
from vidanon.types import ByteArray, FloatArray

_VIEWS = 12  # of each face: itself, its mirror image, worsened ones
_STRENGTHS = tuple(float(v) for v in np.geomspace(0.01, 100, 9))  # of the ridge
_TINY = 1e-9

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Example:
    """A synthetic face and how it looks."""

    seen: ByteArray  #: (2, 112, 112, 3) uint8 RGB, as :func:`vidanon.swap.attributes.views` gives it
    female: float  #: 0 or 1
    age: float  #: years; NaN where not judged
    source: str  #: the set it is from


@dataclass(frozen=True)
class Probes:
    """What was learned, and how well it tells faces of sets that were held out (each set once)."""

    female: FloatArray  #: (D + 1,)
    age: FloatArray  #: (D + 1,)
    measured: dict[str, float]


def train_probes(examples: Sequence[Example], backbone: Backbone, seed: int) -> Probes:
    """Learn from at least two sets; deterministic under ``seed``. Raises ValueError for one set."""
    sets = np.array([example.source for example in examples])
    if len(set(sets.tolist())) < 2:
        raise ValueError("one set of faces: give two or more, to hold one out")
    generator = np.random.default_rng(seed)
    seen = np.stack([_view(example.seen, k, generator) for example in examples for k in range(_VIEWS)])
    known = features(backbone, seen).astype(np.float64)
    rows = np.concatenate([known, np.ones((len(known), 1))], 1)
    source = np.repeat(sets, _VIEWS)
    female, age = (np.repeat([getattr(e, name) for e in examples], _VIEWS) for name in ("female", "age"))
    plain = np.arange(len(rows)) % _VIEWS == 0
    sides, strength = _held_out(rows, 2 * female - 1, source)
    scale = _calibrated(sides, female)
    probe = _ridge(rows, 2 * female - 1, [strength])[:, 0] * scale[0]
    probe[-1] += scale[1]
    aged = np.isfinite(age)
    rows_aged, age = rows[aged], age[aged]
    years, strength = _held_out(rows_aged, age, source[aged])
    right, off = (sides * scale[0] + scale[1] > 0) == (female > 0.5), np.abs(years - age)
    plain_aged = plain[aged]
    measured = {
        "faces": float(len(examples)),
        "gender right, as they are": float(right[plain].mean()),
        "gender right, worsened": float(right[~plain].mean()),
        "age off by, as they are": float(off[plain_aged].mean()),
        "age off by, worsened": float(off[~plain_aged].mean()),
        "age off by, always the mean": float(np.abs(age - age.mean()).mean()),
        "age correlation, as they are": float(np.corrcoef(years[plain_aged], age[plain_aged])[0, 1]),
    }
    return Probes(probe.astype(np.float32), _ridge(rows_aged, age, [strength])[:, 0].astype(np.float32), measured)


def _view(seen: ByteArray, number: int, generator: np.random.Generator) -> ByteArray:
    """Both crops changed alike."""
    faces = np.ascontiguousarray(seen[:, :, ::-1] if number % 2 else seen)
    if number < 2:
        return faces
    state = generator.bit_generator.state
    near = augment(faces[0], generator)
    generator.bit_generator.state = state
    return np.stack([near, augment(faces[1], generator)])


def _held_out(rows: Rows, wanted: Rows, source: npt.NDArray[Any]) -> tuple[Rows, float]:
    """Answers of probes that did not see the face's set, and their strength: the greatest within a standard error of
    the least error (Breiman et al. 1984), for footage is less like the sets than they are like one another."""
    answers = np.empty((len(_STRENGTHS), len(rows)))
    for held in np.unique(source):
        out = source == held
        answers[:, out] = (rows[out] @ _ridge(rows[~out], wanted[~out], _STRENGTHS)).T
    errors = ((answers - wanted) ** 2).reshape(len(answers), -1, _VIEWS).mean(2)  # by face
    least = errors[errors.mean(1).argmin()]
    enough = errors.mean(1) <= least.mean() + least.std() / np.sqrt(len(least))
    best = int(np.flatnonzero(enough).max())
    return answers[best], _STRENGTHS[best]


def _ridge(rows: Rows, wanted: Rows, strengths: Sequence[float]) -> Rows:
    """(D + 1, strengths): weights, what each is worth counted in deviations of its feature."""
    spread = rows.var(0) + _TINY
    spread[-1] = 0  # the constant is free
    products, sums = rows.T @ rows, rows.T @ wanted
    found = [np.linalg.solve(products + np.diag(strength * len(rows) * spread), sums) for strength in strengths]
    return np.stack(found, 1)


def _calibrated(sides: Rows, female: Rows) -> Rows:
    """(2,): factor and constant that make a logit of an answer."""

    def cost(scale: Rows) -> float:
        wrong = np.logaddexp(0, (1 - 2 * female) * (sides * scale[0] + scale[1]))
        return float(wrong.mean() + 1e-4 * scale[0] ** 2)

    return np.asarray(minimize(cost, np.array([1.0, 0.0]), method="Nelder-Mead").x)
