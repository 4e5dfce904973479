"""The leak gate's recogniser: which tracks count as still known."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np
import pytest

from vidanon.likeness import MIN_EYES, Likeness
from vidanon.recognise.base import ARCFACE_112, Description
from vidanon.types import ByteArray, Colour, FloatArray, Frame, Orientation, PixelFormat, PlanRow, RowState

RGB = PixelFormat("gbrp", 8, 0, 0, 3, rgb=True)


@dataclass
class Pixels:
    """Embeds a crop as itself, and remembers it."""

    spoil: float = 1.0
    seen: ByteArray | None = None
    description = Description("pixels", 112, ARCFACE_112, thresholds={0.01: 0.9})

    def embed(self, patches: ByteArray) -> FloatArray:
        self.seen = patches
        flat = patches.reshape(len(patches), -1).astype(np.float32) - 127.5
        return np.asarray(self.spoil * flat / np.linalg.norm(flat, axis=1, keepdims=True), np.float32)


def picture(seed: int) -> Frame:
    """Clouds of colour."""
    coarse = np.random.default_rng(seed).integers(0, 256, (3, 10, 10), np.uint8)
    planes = [cv2.resize(plane, (160, 160), interpolation=cv2.INTER_CUBIC) for plane in coarse]
    return Frame(tuple(planes), RGB, Colour(0, full_range=True), 0, 0, Fraction(1, 25))


def row(track: int = 1, scale: float = 1.0, marks: bool = True) -> PlanRow:
    points = np.array(ARCFACE_112, np.float32) * np.float32(scale) + np.float32(10.5)
    return PlanRow(
        0, track, np.array([10, 10, 130, 130], np.float32), points if marks else None, RowState.DETECTED, 1.0
    )


def known(pairs: list[tuple[Frame, Frame, PlanRow]], spoil: float = 1.0) -> set[int]:
    tally = Likeness(Pixels(spoil)).begin()
    for source, output, face in pairs:
        tally.look(source, output, face)
    return set(tally.known())


def test_the_middle_of_a_track_decides() -> None:
    same, other = (picture(1), picture(1)), (picture(1), picture(2))
    assert known([(*same, row())]) == {1}
    assert known([(*other, row())]) == set()
    assert known([(*same, row()), (*same, row()), (*other, row())]) == {1}
    assert known([(*same, row()), (*other, row()), (*other, row())]) == set()
    assert known([(*same, row(2)), (*other, row(1))]) == {2}
    assert known([]) == set()


def test_what_cannot_be_judged_is_left_out() -> None:
    same = (picture(1), picture(1))
    eyes = ARCFACE_112[1][0] - ARCFACE_112[0][0]
    assert known([(*same, row(marks=False))]) == set()
    assert known([(*same, row(scale=0.95 * MIN_EYES / eyes))]) == set()
    assert known([(*same, row(scale=1.05 * MIN_EYES / eyes))]) == {1}


def test_an_answer_that_is_no_number_is_no_proof() -> None:
    assert known([(picture(1), picture(2), row())], float("nan")) == {1}


def test_a_recogniser_without_a_threshold_is_refused() -> None:
    recogniser = Pixels()
    recogniser.description = Description("none", 112, ARCFACE_112)
    with pytest.raises(KeyError):
        Likeness(recogniser)


def test_the_crop_is_the_face_under_the_template_mirrored_where_the_picture_is() -> None:
    plain, recogniser = picture(1), Pixels()
    tally = Likeness(recogniser).begin()
    tally.look(plain, plain, row())
    tally.known()
    assert recogniser.seen is not None
    # unit scale, shifted by whole pixels: the crop is the pixels themselves (planes are G, B, R)
    green, blue, red = (plane[10:122, 10:122].astype(int) for plane in plain.planes)
    assert np.abs(recogniser.seen[0].astype(int) - np.stack([red, green, blue], 2)).max() <= 3
    upright = recogniser.seen[0]

    planes = tuple(np.ascontiguousarray(plane[:, ::-1]) for plane in plain.planes)
    mirrored = Frame(planes, RGB, Colour(0, full_range=True), 0, 0, Fraction(1, 25), Orientation(hflip=True))
    face = row()
    assert face.landmarks is not None
    marks = face.landmarks * np.array([-1, 1], np.float32) + np.array([160, 0], np.float32)
    tally = Likeness(recogniser).begin()
    tally.look(mirrored, mirrored, PlanRow(0, 1, face.box, marks, RowState.DETECTED, 1.0))
    tally.known()
    assert recogniser.seen[0].shape == upright.shape
    # a mirrored picture stays mirrored, its eyes where the template has the other ones
    assert np.corrcoef(recogniser.seen[0].ravel(), upright[:, ::-1].ravel())[0, 1] > 0.95
