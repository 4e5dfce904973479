"""What tells a face that was drawn anew from one that is still the source's; and whether a track is one person."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidanon.audit.inner import LEAST_EYES, MAX_LIKENESS, inner_likeness
from vidanon.audit.steady import Neighbours, Pairs, SamePerson
from vidanon.faces.align import apply
from vidanon.recognise.base import ARCFACE_112, Description
from vidanon.types import ByteArray, FloatArray

MARKS = np.array(ARCFACE_112, np.float32) + 44
BOX = np.array([54, 54, 146, 166], np.float32)


def skin(seed: int, size: int = 200) -> ByteArray:
    """(size, size) fine structure of all widths, as a face has."""
    rng = np.random.default_rng(seed)
    out = np.full((size, size), 120, np.float32)
    for sigma, strength in ((1.0, 6), (2.0, 10), (5.0, 16)):
        noise = cv2.GaussianBlur(rng.standard_normal((size, size)).astype(np.float32), (0, 0), sigma)
        out += strength * noise / noise.std()
    return out.clip(0, 255).astype(np.uint8)


def likeness(a: ByteArray, b: ByteArray, marks: FloatArray | None = MARKS, box: FloatArray = BOX) -> float:
    found = inner_likeness(a, b, marks, box)
    assert found is not None
    return found


def test_the_same_face_another_and_none() -> None:
    a, b = skin(1), skin(2)
    assert likeness(a, a) == pytest.approx(1, abs=1e-4)
    assert likeness(a, b) < 0.4
    assert likeness(a, np.full_like(a, 30)) == 0 == likeness(np.full_like(a, 30), a)


def test_only_the_inner_face_counts_and_not_the_mouth() -> None:
    a, b = skin(1), skin(2)
    around, inside, mouth = a.copy(), b.copy(), b.copy()
    middle = (slice(80, 150), slice(70, 130))
    around[middle], inside[middle] = b[middle], a[middle]
    mouth[131:146, 84:116] = a[131:146, 84:116]
    assert likeness(a, around) < 0.4 < MAX_LIKENESS < likeness(a, inside)
    assert likeness(a, mouth) < 0.4


@pytest.mark.parametrize("share", [0.7, 0.85])
def test_a_source_that_shines_through_and_one_a_little_blurred_are_seen(share: float) -> None:
    a, b = skin(1).astype(np.float32), skin(2)
    assert likeness(skin(1), np.rint(share * a + (1 - share) * b).astype(np.uint8)) > MAX_LIKENESS
    assert likeness(skin(1), cv2.GaussianBlur(skin(1), (0, 0), 0.02 * 112)) > MAX_LIKENESS


@given(st.floats(-3.5, 3.5), st.floats(-3.5, 3.5))
@settings(max_examples=25, deadline=None)
def test_a_small_shift_hides_nothing(x: float, y: float) -> None:
    a = skin(1)
    moved = cv2.warpAffine(a, np.array([[1, 0, x], [0, 1, y]]), a.shape[::-1])
    assert likeness(a, moved) > MAX_LIKENESS


@pytest.mark.parametrize("times", [0.4, 1.0, 3.0, 6.0])
@pytest.mark.parametrize("degrees", [0, 40, 180])
def test_size_and_turning_change_little(times: float, degrees: float) -> None:
    matrix = cv2.getRotationMatrix2D((100, 100), degrees, times)
    matrix[:, 2] += 100 * times - 100
    size = (round(200 * times), round(200 * times))
    a, b = (cv2.warpAffine(skin(s), matrix, size, flags=cv2.INTER_AREA) for s in (1, 2))
    marks = apply(matrix.astype(np.float32), MARKS)
    assert likeness(a, a, marks) > 0.99 and likeness(a, b, marks) < 0.5


def test_faces_without_landmarks_too_small_or_outside_the_picture() -> None:
    a, b = skin(1), skin(2)
    assert likeness(a, a, None) > 0.99 and likeness(a, b, None) < 0.4
    assert likeness(a, a, MARKS * np.nan) > 0.99
    small = (MARKS - 100) * (0.9 * LEAST_EYES / 35.24) + 100
    assert inner_likeness(a, a, small, BOX) is None
    assert inner_likeness(a, a, np.zeros((5, 2), np.float32), BOX) is None
    assert likeness(a, a, MARKS - 400) == 0
    cut = likeness(a, a, MARKS - [0, 100])
    assert cut > 0.99, "half of it lies in the picture, and is the source's"


def test_a_new_person_that_stays_and_one_that_changes() -> None:
    about = Description("judge", 112, ARCFACE_112, thresholds={0.01: 0.5, 0.001: 0.6})
    rng = np.random.default_rng(0)
    own, other, third = (v / np.linalg.norm(v) for v in rng.standard_normal((3, 64)).astype(np.float32))
    steady, changing = Neighbours(about, 0.5), Neighbours(about, 0.5)
    for frame in range(9):
        steady.add(1, other, own)
        changing.add(1, (other, third)[frame % 2], own)
    changing.drop([1])
    changing.add(1, other, own)
    stays, changes = steady.result(), changing.result()
    assert stays is not None and (stays.pairs, stays.output_same) == (8, 1) and stays.output == pytest.approx(1)
    assert changes is not None and changes.pairs == 8, "a dropped track has no neighbour"
    assert changes.output < 0.4 and changes.output_same == 0 and changes.source == pytest.approx(1)
    assert SamePerson(stays, changes).least == changes.output
    nothing = Pairs(about, 0.5).result()
    assert nothing is None and SamePerson(None, None).least is None
