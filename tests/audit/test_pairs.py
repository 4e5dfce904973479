"""Frames by time, and whether they show that moment."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vidanon.audit.pairs import Content, Pairer, Pairing, same_size
from vidanon.media.formats import SUPPORTED
from vidanon.types import Colour, Frame

PLANES = tuple(np.zeros((2, 2), np.uint8) for _ in range(3))


def frame(index: int, pts: int, base: Fraction = Fraction(1, 1000)) -> Frame:
    return Frame(PLANES, SUPPORTED["yuv444p"], Colour(), index, pts, base)


def pair(original: list[int], protected: list[int], base: Fraction = Fraction(1, 1000)) -> tuple[list[int], Pairing]:
    pairer = Pairer(frame(i, t, base) for i, t in enumerate(protected))
    found = [pairer.match(frame(i, t)) for i, t in enumerate(original)]
    pairer.finish()
    return [-1 if f is None else f.index for f in found], pairer.pairing


@given(st.lists(st.integers(1, 90), min_size=1, max_size=30), st.data())
def test_every_frame_finds_its_own(steps: list[int], data: st.DataObject) -> None:
    times = np.cumsum([0, *steps]).tolist()
    assert pair(times, [t + 500 for t in times])[0] == list(range(len(times)))
    lost = data.draw(st.integers(1, len(times) - 1))
    found, pairing = pair(times, times[:lost] + times[lost + 1 :])
    assert found[lost] == -1 and (pairing.missing, pairing.extra) == (1, 0) and pairing.first_missing == [lost]
    found, pairing = pair(times[:lost] + times[lost + 1 :], times)
    assert (pairing.missing, pairing.extra, pairing.paired) == (0, 1, len(times) - 1)
    assert pairing.problems()


def test_rounding_of_a_container_is_no_difference() -> None:
    base = Fraction(1, 12800)
    times = [0, 427, 853, 1280]  # 30 fps
    rounded = [round(t * 1000 * base) for t in times]
    pairer = Pairer(frame(i, t) for i, t in enumerate(rounded))
    assert all(pairer.match(frame(i, t, base)) is not None for i, t in enumerate(times))


def test_an_empty_output_is_told() -> None:
    _, pairing = pair([0, 40], [])
    assert pairing.missing == 2 and any("no frame" in p for p in pairing.problems())


def moving(index: int, seed: int = 0) -> np.ndarray:
    """(90, 160, 3): coarse noise that drifts."""
    noise = np.random.default_rng(seed).uniform(30, 220, (30, 80, 1)).astype(np.float32)
    big = np.repeat(np.repeat(noise, 6, 0), 6, 1)[:90, 3 * index : 3 * index + 160]
    return np.repeat(big, 3, 2).astype(np.uint8)


def content(shown: list[np.ndarray], original: list[np.ndarray], boxes: list[np.ndarray] | None = None) -> Pairing:
    pairing = Pairing(paired=len(shown))
    judge = Content(pairing)
    for i, (a, b) in enumerate(zip(original, shown, strict=True)):
        judge.add(i, a, b, boxes or [])
    judge.finish()
    return pairing


@pytest.mark.parametrize("off", [-3, -1, 1, 2])
def test_a_shift_is_seen_under_the_noise_of_a_codec(off: int) -> None:
    noise = np.random.default_rng(1)
    frames = [moving(i) for i in range(30)]
    coded = [(f + noise.normal(0, 4, f.shape)).clip(0, 255).astype(np.uint8) for f in frames]
    assert content(coded, frames).problems() == []
    shifted = content([coded[min(max(i + off, 0), 29)] for i in range(30)], frames)
    assert max(shifted.misplaced, key=lambda d: shifted.misplaced[d]) == off and "shifted" in shifted.problems()[0]


def test_a_still_picture_says_nothing_and_another_one_is_told() -> None:
    still = [moving(0)] * 10
    assert content(still, still).judged == 0 and content(still, still).problems() == []
    other = content([moving(i, seed=5) for i in range(10)], [moving(i) for i in range(10)])
    assert other.other == 10 and "beside the faces" in " ".join(other.problems())


def test_frames_covered_whole_are_counted_and_no_fault() -> None:
    frames = [moving(i) for i in range(10)]
    grey = np.full_like(frames[0], 64)
    pairing = content([grey if 3 <= i < 6 else f for i, f in enumerate(frames)], frames)
    assert pairing.whole == 3 and pairing.problems() == []


def test_where_faces_fill_the_picture_nothing_is_judged() -> None:
    frames = [moving(i) for i in range(10)]
    everything = np.array([0, 0, 160, 90], np.float32)
    pairing = content([moving(i + 1) for i in range(10)], frames, [everything])
    assert pairing.judged == 0 and not pairing.misplaced


def test_one_line_of_padding_is_cut_and_another_size_refused() -> None:
    pairing = Pairing()
    a = np.zeros((9, 15, 3), np.uint8)
    cut = same_size(a, np.zeros((10, 16, 3), np.uint8), pairing)
    assert cut is not None and cut.shape == a.shape and not pairing.sizes
    assert same_size(a, np.zeros((9, 30, 3), np.uint8), pairing) is None and "15x9" in pairing.problems()[0]
