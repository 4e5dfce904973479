"""What a face and its mesh go through together: crops placed badly, little detail, light, things in front; and crops
that show no face.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vidanon.faces.align import apply, invert, similarity
from vidanon.faces.mesh import SIZE, TEMPLATE, cut_crop
from vidanon.faces.mesh_points import five
from vidanon.train.augment import compress, light
from vidanon.types import ByteArray, FloatArray

NO_FACE = 0.06  #: share of crops without a face
BADLY_PLACED = 0.08  #: share of crops placed worse than a detector would
_CLEAR, _HIDDEN = 0.8, 0.4  # share of points to be seen: from here confidence is not lowered, up to here it is 0
_BADLY_WEIGHT = 0.3  # of a badly placed crop's points


@dataclass(frozen=True)
class Sample:
    """One crop to learn from."""

    crop: ByteArray  #: (96, 96, 3) RGB
    points: FloatArray  #: (468, 3) shares of the crop's side
    weight: float  #: 0..1: how much the points count; 0: no face
    seen: float  #: 0..1: greatest confidence


def place(mesh: FloatArray) -> FloatArray:
    """(2, 3): the student's crop of a face with this mesh, to the picture of the mesh."""
    return invert(similarity(five(mesh)[:, :2], np.array(TEMPLATE, np.float32)))


def in_crop(mesh: FloatArray, to_picture: FloatArray) -> FloatArray:
    """(468, 3) px of the picture -> (468, 3) shares of the crop under ``to_picture`` (a similarity)."""
    to_crop = invert(to_picture)
    scale = np.hypot(to_crop[0, 0], to_crop[1, 0])
    return np.asarray(np.concatenate([apply(to_crop, mesh[:, :2]), mesh[:, 2:] * scale], 1) / SIZE, np.float32)


def sample(
    picture: ByteArray,
    mesh: FloatArray,
    mirror: npt.NDArray[np.int64],
    other: ByteArray,
    generator: np.random.Generator,
) -> Sample:
    """picture: (S, S, 3) uint8 RGB; mesh: (468, 3) its px; mirror: (468,) as of MeshNet; other: any picture, of which
    pieces are held before the face."""
    if generator.random() < NO_FACE:
        return Sample(_finish(_no_face(other, generator), generator), np.zeros_like(mesh), 0.0, 0.0)
    badly = generator.random() < BADLY_PLACED
    where = moved(place(mesh), generator, badly)
    points = in_crop(mesh, where)
    crop = np.asarray(cut_crop(picture, where), np.uint8)
    if generator.random() < 0.5:
        crop = np.ascontiguousarray(crop[:, ::-1])
        points = points[mirror]
        points[:, 0] = 1 - points[:, 0]
    hidden = np.zeros((SIZE, SIZE), np.uint8)
    if generator.random() < 0.25:
        crop = _hide(crop, hidden, other, generator)
    spots = np.floor(points[:, :2] * SIZE).astype(int)
    inside = ((spots >= 0) & (spots < SIZE)).all(1)
    clear = inside & (hidden[spots[:, 1].clip(0, SIZE - 1), spots[:, 0].clip(0, SIZE - 1)] == 0)
    seen = float(np.clip((clear.mean() - _HIDDEN) / (_CLEAR - _HIDDEN), 0, 1))
    weight = (_BADLY_WEIGHT if badly else 1.0) * (0.3 + 0.7 * seen)
    return Sample(_finish(crop, generator), points, weight, seen)


def moved(to_picture: FloatArray, generator: np.random.Generator, badly: bool) -> FloatArray:
    """``to_picture`` after a turn, zoom and shift of the crop: as much as detectors err, or much more."""
    if badly:
        angle = generator.uniform(-180, 180) if generator.random() < 0.4 else generator.normal(0, 15)
        zoom, shift = np.exp(generator.uniform(-0.8, 0.8)), generator.normal(0, 0.2, 2)
    else:
        angle = generator.uniform(-40, 40) if generator.random() < 0.1 else generator.normal(0, 6)
        zoom, shift = np.exp(generator.normal(0, 0.07)), generator.normal(0, 0.026, 2)
    turn = np.radians(angle)
    linear = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.full(2, SIZE / 2)
    jitter = np.concatenate([linear, (middle + shift * SIZE - linear @ middle)[:, None]], 1)
    return np.asarray(to_picture.astype(np.float64) @ np.vstack([jitter, (0, 0, 1)]), np.float32)


def _no_face(other: ByteArray, generator: np.random.Generator) -> ByteArray:
    """(96, 96, 3): a corner of a picture, enlarged; a picture in tiles, shuffled; or smooth noise."""
    kind = generator.random()
    size = other.shape[0]
    if kind < 0.5:
        side = int(generator.uniform(0.12, 0.3) * size)
        left, top = (int(generator.integers(0, 2)) * (size - side) for _ in "xy")
        return _sized(other[top : top + side, left : left + side])
    if kind < 0.8:
        tile = size // int(generator.integers(3, 9))
        rows, columns = size // tile, size // tile
        tiles = other[: rows * tile, : columns * tile].reshape(rows, tile, columns, tile, 3).swapaxes(1, 2)
        tiles = tiles.reshape(-1, tile, tile, 3)[generator.permutation(rows * columns)]
        mixed = tiles.reshape(rows, columns, tile, tile, 3).swapaxes(1, 2).reshape(rows * tile, columns * tile, 3)
        return _sized(np.ascontiguousarray(mixed))
    knots = int(generator.integers(2, 24))
    return _sized(generator.integers(0, 256, (knots, knots, 3)).astype(np.uint8))


def _sized(picture: ByteArray) -> ByteArray:
    return np.asarray(cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), np.uint8)


def _hide(crop: ByteArray, hidden: ByteArray, other: ByteArray, generator: np.random.Generator) -> ByteArray:
    """``crop`` with something in front; what it hides is 1 in ``hidden`` (96, 96), changed in place."""
    x, y = (int(v) for v in generator.integers(0, SIZE, 2))
    long, wide = (int(v) for v in generator.uniform(0.08, 0.4, 2) * SIZE)
    angle = float(generator.uniform(0, 360))
    kind = generator.random()
    if kind < 0.35:
        cv2.ellipse(hidden, (x, y), (long, wide), angle, 0, 360, 1, -1)
    elif kind < 0.6:
        corners = cv2.boxPoints(((x, y), (2 * long, 2 * wide), angle))
        cv2.fillConvexPoly(hidden, corners.astype(np.int32), 1)
    elif kind < 0.8:  # fingers, or a microphone's stem
        along = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
        thick = int(generator.integers(4, 12))
        for number in range(int(generator.integers(1, 5))):
            start = np.array([x, y]) + (-along[1], along[0]) * np.full(2, number * thick * 1.15)
            end = start + along * SIZE * generator.uniform(0.25, 0.6)
            cv2.line(hidden, _point(start), _point(end), 1, thick)
    else:  # everything beyond a line: the edge of a door, of somebody's head, of the picture
        slope = np.tan(np.radians(generator.uniform(-30, 30)))
        edge = generator.uniform(0.05, 0.45) * SIZE
        row, column = np.mgrid[0:SIZE, 0:SIZE]
        side = column + slope * (row - SIZE / 2) < edge
        hidden[np.rot90(side, int(generator.integers(4)))] = 1
    fill = generator.random()
    front: ByteArray
    if fill < 0.4:
        front = _sized(other)
    else:
        spot = crop[tuple(generator.integers(0, SIZE, 2))] if fill < 0.75 else generator.integers(0, 256, 3)
        shade = np.linspace(generator.uniform(0.6, 1.3), generator.uniform(0.6, 1.3), SIZE)[:, None, None]
        front = (spot * shade).clip(0, 255).astype(np.uint8).repeat(SIZE, 1)
    return np.where(hidden[..., None] == 1, front, crop)


def _point(place: npt.NDArray[np.float64]) -> tuple[int, int]:
    return int(place[0]), int(place[1])


def _finish(crop: ByteArray, generator: np.random.Generator) -> ByteArray:
    """Less detail, as of a small or blurred face; other light; noise; JPEG, at the size of the face."""
    if generator.random() < 0.2:
        crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), generator.uniform(0.5, 2.5)), np.uint8)
    elif generator.random() < 0.15:
        crop = _smear(crop, generator)
    side = SIZE
    if generator.random() < 0.45:
        side = int(np.exp(generator.uniform(np.log(18), np.log(90))))
        crop = np.asarray(cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    lit = light(crop.astype(np.float32), generator)
    crop = compress(np.asarray(lit.clip(0, 255), np.uint8), generator)
    if side == SIZE:
        return crop
    way = (cv2.INTER_LINEAR, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)[int(generator.integers(4))]
    return np.asarray(cv2.resize(crop, (SIZE, SIZE), interpolation=way), np.uint8)


def _smear(crop: ByteArray, generator: np.random.Generator) -> ByteArray:
    """Motion blur along a line of 3 to 11 px."""
    length = int(generator.integers(3, 12)) | 1
    kernel = np.zeros((length, length), np.float32)
    middle = length // 2
    turn = generator.uniform(0, np.pi)
    reach = middle * np.array([np.cos(turn), np.sin(turn)])
    cv2.line(kernel, _point(np.round(middle - reach)), _point(np.round(middle + reach)), 1.0)
    return np.asarray(cv2.filter2D(crop, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.uint8)
