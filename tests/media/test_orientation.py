from __future__ import annotations

import struct

import numpy as np
import pytest

from vidanon.media.orientation import coded_from_upright, from_exif, from_matrix, upright
from vidanon.types import Orientation

ALL = [Orientation(rotation, hflip) for rotation in (0, 90, 180, 270) for hflip in (False, True)]
MATRICES = [(1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1),
            (0, 1, 1, 0), (0, 1, -1, 0), (0, -1, 1, 0), (0, -1, -1, 0)]  # fmt: skip


def pack(a: float, b: float, c: float, d: float) -> bytes:
    a, b, c, d = (round(v * 65536) for v in (a, b, c, d))
    return struct.pack("=9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)


def shown(picture: np.ndarray, a: int, b: int, c: int, d: int) -> np.ndarray:
    """The matrix applied to every pixel centre, as its definition says: (p, q) = (a x + c y, b x + d y)."""
    height, width = picture.shape
    y, x = np.mgrid[0:height, 0:width]
    p, q = a * x + c * y, b * x + d * y
    p, q = p - p.min(), q - q.min()
    out = np.zeros((q.max() + 1, p.max() + 1), picture.dtype)
    out[q, p] = picture
    return out


@pytest.mark.parametrize("matrix", MATRICES)
def test_matrix_shows_what_its_definition_says(matrix):
    picture = np.arange(6).reshape(2, 3)
    orientation = from_matrix(pack(*matrix))
    assert orientation is not None
    assert np.array_equal(upright(picture, orientation), shown(picture, *matrix))


def test_eight_matrices_are_eight_orientations():
    assert {from_matrix(pack(*m)) for m in MATRICES} == set(ALL)


@pytest.mark.parametrize("data", [b"", bytes(36), pack(0.866, 0.5, -0.5, 0.866), pack(1, 1, 1, 1)])
def test_what_is_no_right_angle_is_none(data):
    assert from_matrix(data) is None


def test_rounded_sine_is_still_a_right_angle():
    assert from_matrix(struct.pack("=9i", 3, 65536, 0, -65536, -2, 0, 0, 0, 1 << 30)) == Orientation(90)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, [[1, 2], [3, 4]]), (2, [[2, 1], [4, 3]]), (3, [[4, 3], [2, 1]]), (4, [[3, 4], [1, 2]]),
     (5, [[1, 3], [2, 4]]), (6, [[3, 1], [4, 2]]), (7, [[4, 2], [3, 1]]), (8, [[2, 4], [1, 3]])],
)  # fmt: skip
def test_exif_orientations(value, expected):
    assert upright(np.array([[1, 2], [3, 4]]), from_exif(value)).tolist() == expected


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_unknown_exif_value_is_none(value):
    assert from_exif(value) is None


@pytest.mark.parametrize("orientation", ALL)
def test_points_of_the_shown_picture_map_to_the_stored_pixel(orientation):
    width, height = 5, 3
    picture = np.arange(width * height).reshape(height, width)
    turned = upright(picture, orientation)
    matrix = coded_from_upright(width, height, orientation)
    for v in range(turned.shape[0]):
        for u in range(turned.shape[1]):
            x, y = matrix @ (u + 0.5, v + 0.5, 1.0)
            assert picture[int(y), int(x)] == turned[v, u]
            assert (x % 1, y % 1) == (0.5, 0.5)
