"""The probes of :mod:`vidanon.swap.attributes`: linear, on the recogniser's embeddings of the labelled portraits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from vidanon.recognise.base import Recogniser
from vidanon.train.augment import augment
from vidanon.train.donor_portraits import Labelled
from vidanon.types import FloatArray

_VIEWS = 12  # of each portrait: itself, its mirror image, worsened ones
_FOLDS = 10
_STRENGTHS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # of the ridge
_SPREAD = 15.0  # years: ages are learned in units of it

Rows = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Probes:
    """What was learned, and how well it tells portraits that were held out (every portrait once)."""

    female: FloatArray  #: (D + 1,)
    age: FloatArray  #: (D + 1,)
    measured: dict[str, float]


def train_probes(portraits: Sequence[Labelled], recogniser: Recogniser, seed: int) -> Probes:
    """Learn gender as the files' names say and age as the recipe's table says; deterministic under ``seed``."""
    generator = np.random.default_rng(seed)
    crops = [_view(p, k, generator) for p in portraits for k in range(_VIEWS)]
    rows = _with_one(recogniser.embed(np.stack(crops)))
    whose = np.repeat(np.arange(len(portraits)), _VIEWS)
    female = np.array([p.female for p in portraits])
    age = np.array([p.age for p in portraits])
    folds = generator.permutation(len(portraits)) % _FOLDS
    plain = np.arange(len(whose)) % _VIEWS == 0
    logits, strength_f = _held_out(rows, female[whose], whose, folds, _logistic, _wrong)
    years, strength_a = _held_out(rows, age[whose] / _SPREAD, whose, folds, _ridge, _off)
    right = (logits > 0) == (female[whose] > 0.5)
    off = np.abs(years * _SPREAD - age[whose])
    measured = {
        "portraits": float(len(portraits)),
        "gender right, as they are": float(right[plain].mean()),
        "gender right, worsened": float(right[~plain].mean()),
        "age off by, as they are": float(off[plain].mean()),
        "age off by, worsened": float(off[~plain].mean()),
        "age off by, always the mean": float(np.abs(age - age.mean()).mean()),
        "age correlation, as they are": float(np.corrcoef(years[plain], age)[0, 1]),
    }
    return Probes(
        _logistic(rows, female[whose], strength_f).astype(np.float32),
        (_ridge(rows, age[whose] / _SPREAD, strength_a) * _SPREAD).astype(np.float32),
        measured,
    )


def _view(portrait: Labelled, number: int, generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    face = portrait.crop[:, ::-1] if number % 2 else portrait.crop
    return augment(np.ascontiguousarray(face), generator) if number > 1 else face


def _with_one(embeddings: FloatArray) -> Rows:
    return np.concatenate([embeddings, np.ones((len(embeddings), 1))], 1).astype(np.float64)


def _held_out(
    rows: Rows,
    wanted: Rows,
    whose: npt.NDArray[Any],
    folds: npt.NDArray[Any],
    fit: Callable[[Rows, Rows, float], Rows],
    loss: Callable[[Rows, Rows], float],
) -> tuple[Rows, float]:
    """Answers of probes that did not see the portrait, at the best strength, and that strength."""
    tried: list[tuple[float, float, Rows]] = []
    for strength in _STRENGTHS:
        answers = np.empty(len(rows))
        for fold in range(_FOLDS):
            held = folds[whose] == fold
            answers[held] = rows[held] @ fit(rows[~held], wanted[~held], strength)
        tried.append((loss(answers, wanted), strength, answers))
    _, strength, answers = min(tried, key=lambda t: t[:2])
    return answers, strength


def _ridge(rows: Rows, wanted: Rows, strength: float) -> Rows:
    penalty = np.eye(rows.shape[1]) * strength * len(rows) / rows.shape[1]
    penalty[-1, -1] = 0  # the constant is free
    return np.asarray(np.linalg.solve(rows.T @ rows + penalty, rows.T @ wanted))


def _logistic(rows: Rows, wanted: Rows, strength: float) -> Rows:
    sign = 2 * wanted - 1
    penalty = strength / rows.shape[1]

    def cost(weights: Rows) -> tuple[float, Rows]:
        margin = sign * (rows @ weights)
        slope = -sign / (1 + np.exp(margin)) / len(rows)
        free = np.append(weights[:-1], 0.0)
        value = float(np.logaddexp(0, -margin).mean() + penalty * (free @ free) / 2)
        return value, rows.T @ slope + penalty * free

    return np.asarray(minimize(cost, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B").x)


def _wrong(logits: Rows, wanted: Rows) -> float:
    return float(np.logaddexp(0, -(2 * wanted - 1) * logits).mean())


def _off(answers: Rows, wanted: Rows) -> float:
    return float(np.abs(answers - wanted).mean())
