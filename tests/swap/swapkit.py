"""What the swap's tests share: the shipped donors as pictures, the tools made once, and faces moved about."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import cv2
import numpy as np
import torch

from tests.faces.meshkit import rotation
from vidanon.faces.mesh import Meshes, MeshFinder, load_mesh
from vidanon.faces.mesh_points import LIPS_INNER, OVAL, five
from vidanon.recognise.student import Student, load_student, load_surrogate
from vidanon.runtime.device import Runtime
from vidanon.swap.base import Donor
from vidanon.swap.composite import Actor, Composer
from vidanon.swap.donors import load_donors
from vidanon.types import Colour, Frame, PixelFormat, PlanRow, RowState

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@cache
def runtime() -> Runtime:
    return Runtime(torch.device("cpu"), 1)


@cache
def finder() -> MeshFinder:
    return load_mesh(runtime())


@cache
def student() -> Student:
    return load_student(runtime())


@cache
def surrogate() -> Student:
    return load_surrogate(runtime())


@cache
def donors() -> tuple[Donor, ...]:
    return load_donors()


def donor_at(which: int) -> Donor:
    """However many are shipped."""
    return donors()[which % len(donors())]


@cache
def composer() -> Composer:
    return Composer(finder())


@cache
def actors() -> tuple[Actor, ...]:
    return tuple(composer().actors(donors()))


def face(which: int, size: int = 192) -> tuple[np.ndarray, np.ndarray]:
    """(size, size, 3) float32 and its (468, 3) mesh: a donor's portrait as a patch."""
    donor = donor_at(which)
    image = cv2.resize(donor.image, (size, size), interpolation=cv2.INTER_AREA)
    return image.astype(np.float32) / np.float32(255), donor.points * np.float32(size / donor.image.shape[0])


def turned(points: np.ndarray, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> np.ndarray:
    """The mesh turned about its own middle, degrees."""
    middle = points.mean(0)
    return np.asarray((points - middle) @ rotation(yaw, pitch, roll).T + middle, np.float32)


def with_open_mouth(points: np.ndarray, gap: float) -> np.ndarray:
    """The inner lips parted by ``gap`` px: the upper ones stay."""
    out = points.copy()
    out[list(LIPS_INNER[1:10]), 1] += np.float32(gap)
    return out


def painted(points: np.ndarray, part: tuple[int, ...], size: int) -> np.ndarray:
    """bool (size, size): inside a contour, by whole pixels."""
    picture = np.zeros((size, size), np.uint8)
    cv2.fillPoly(picture, [np.rint(points[list(part), :2] - 0.5).astype(np.int32)], 1)
    return picture > 0


def oval(points: np.ndarray, size: int, grown: int = 0) -> np.ndarray:
    """bool (size, size): inside the face's oval, ``grown`` px outwards or, negative, inwards."""
    inside = painted(points, OVAL, size).astype(np.uint8)
    if grown:
        kernel = np.ones((2 * abs(grown) + 1,) * 2, np.uint8)
        inside = (cv2.dilate if grown > 0 else cv2.erode)(inside, kernel)
    return np.asarray(inside > 0)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """dB, of pictures in [0, 1]."""
    return float(-10 * np.log10(max(float(np.mean((a.astype(np.float64) - b) ** 2)), 1e-12)))


RGB = PixelFormat("gbrp", 8, 0, 0, 3, rgb=True)


def frame_of(picture: np.ndarray, index: int = 0, rate: int = 25) -> Frame:
    """(h, w, 3) RGB, uint8 or in [0, 1], as a frame that loses nothing of it."""
    rgb = picture if picture.dtype == np.uint8 else np.rint(picture * 255).astype(np.uint8)
    planes = tuple(np.ascontiguousarray(rgb[..., c]) for c in (1, 2, 0))
    return Frame(planes, RGB, Colour(0, full_range=True), index, index, Fraction(1, rate))


def box_of(points: np.ndarray) -> np.ndarray:
    """(4,) around the oval, as a detector would see the face."""
    outline = points[list(OVAL), :2]
    return np.concatenate([outline.min(0), outline.max(0)]).astype(np.float32)


def row_of(points: np.ndarray, frame: int = 0, track: int = 1, marks: bool = True) -> PlanRow:
    landmarks = five(points)[:, :2] if marks else None
    return PlanRow(frame, track, box_of(points), landmarks, RowState.DETECTED, 1.0)


class KnownFinder:
    """In place of a network: knows one mesh, and puts it where the box is. NaN in the frames told."""

    def __init__(self, points: np.ndarray, hidden: frozenset[int] = frozenset()) -> None:
        self.points, self.hidden = points, hidden

    def detect(self, frame: Frame, boxes: Any, landmarks: Any, *, looks: int | None = None) -> Meshes:
        return self.detect_each([frame] * len(boxes), boxes, landmarks)

    def detect_each(self, frames: Sequence[Frame], boxes: Any, landmarks: Any) -> Meshes:
        shift = boxes[:, :2] - box_of(self.points)[:2]
        points = self.points[None] + np.concatenate([shift, np.zeros((len(boxes), 1), np.float32)], 1)[:, None]
        points[[frame.index in self.hidden for frame in frames]] = np.nan
        return Meshes(points.astype(np.float32), np.isfinite(points).all((1, 2)).astype(np.float32))
