"""A source's look is guessed from crops that are as bright as portraits are."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from tests.swap import swapkit
from vidanon.swap.attributes import Look, load_attributes
from vidanon.swap.base import Shot
from vidanon.swap.guess import guesser
from vidanon.types import ByteArray, FloatArray


@dataclass
class Probes:
    """Keeps what it was given."""

    seen: list[tuple[FloatArray, ByteArray]] = field(default_factory=list)

    def guess(self, features: FloatArray, crops: ByteArray) -> Look:
        self.seen.append((features, crops))
        return Look(0.5, 40.0, 10.0)


def shots(which: int, light: float = 1.0, count: int = 1) -> list[Shot]:
    patch, mesh = swapkit.face(which, 160)
    return [Shot((patch * np.float32(light)).astype(np.float32), mesh)] * count


def test_every_shot_is_looked_at():
    probes = Probes()
    assert guesser(swapkit.student(), probes)(shots(0, count=3)) == Look(0.5, 40.0, 10.0)
    ((features, crops),) = probes.seen
    assert (
        features.shape == (3, load_attributes().dimensions)
        and crops.shape == (3, 112, 112, 3)
        and crops.dtype == np.uint8
    )


@pytest.mark.parametrize("light", [0.5, 0.7])
def test_a_dark_picture_is_lit_before_its_skin_is_judged(light):
    probes = Probes()
    guess = guesser(swapkit.student(), probes)
    guess(shots(0))
    guess(shots(0, light))
    plain, lit = (crops.astype(float) for _, crops in probes.seen)
    assert lit.mean() > 1.2 * light * plain.mean()
    assert lit.mean() <= 1.1 * max(plain.mean(), 150)


def test_a_bright_picture_stays_and_a_black_one_is_not_blown_up():
    probes = Probes()
    guess = guesser(swapkit.student(), probes)
    white = Shot(np.ones((160, 160, 3), np.float32), swapkit.face(0, 160)[1])
    guess([white])
    guess([Shot(np.zeros_like(white.patch), white.mesh)])
    guess([Shot(np.full_like(white.patch, 0.1), white.mesh)])
    bright, black, dark = (crops for _, crops in probes.seen)
    assert bright[0, 40:70, 40:70].min() == 255 and black.max() == 0
    assert 26 < dark[0, 56, 56, 0] < 80  # lit, but only so much


def test_portraits_are_read_as_they_were_labelled():
    guess = guesser(swapkit.student(), load_attributes())
    for which in range(0, len(swapkit.donors()), 8):
        donor = swapkit.donors()[which]
        found = guess(shots(which))
        assert (found.female > 0.5) == (donor.female > 0.5) or 0.3 < donor.female < 0.7
        assert found.age == pytest.approx(donor.age, abs=15)


def test_the_tone_does_not_follow_the_light():
    guess = guesser(swapkit.student(), load_attributes())
    plain, dark = guess(shots(0)), guess(shots(0, 0.55))
    assert dark.tone == pytest.approx(plain.tone, abs=14)
