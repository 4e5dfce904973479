"""Synthetic clips whose truth is known: textured patches on a textured background, and a detector that knows them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction

import cv2
import numpy as np
import numpy.typing as npt

from vidanon.detect.base import Detector
from vidanon.types import ByteArray, Colour, Detection, Frame, PixelFormat

WIDTH, HEIGHT = 320, 180
FORMAT = PixelFormat("yuv420p", 8, 1, 1, 3)
Box = npt.NDArray[np.float64]
Path = Callable[[int], Sequence[float] | None]  #: frame -> x0, y0, x1, y1, or None: not there


def texture(seed: int, width: int, height: int, cells: int) -> ByteArray:
    """Smooth random grey, about ``cells`` blobs across."""
    rng = np.random.default_rng(seed)
    small = rng.integers(20, 235, (max(2, round(cells * height / width)), cells), np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def frame(luma: ByteArray, index: int, fps: int = 25, *, damaged: bool = False) -> Frame:
    height, width = luma.shape
    chroma = np.full((height // 2, width // 2), 128, np.uint8)
    # The lowest row carries the index in 8 x 8 blocks, for the stub detector to know the frame by.
    marked = luma.copy()
    for bit in range(16):
        marked[-8:, bit * 8 : bit * 8 + 8] = 235 if index >> bit & 1 else 16
    return Frame((marked, chroma, chroma), FORMAT, Colour(), index, index, Fraction(1, fps), damaged=damaged)


def index_of(rgb: ByteArray) -> int:
    """The frame index written by :func:`frame`; the view must be unscaled."""
    row = rgb[-4, 4:128:8, 1]
    return sum(int(v > 128) << bit for bit, v in enumerate(row))


def draw(luma: ByteArray, box: Sequence[float], face: ByteArray) -> None:
    """The patch ``face`` scaled into ``box``, with subpixel accuracy, in place."""
    x0, y0, x1, y1 = box
    kx, ky = (x1 - x0) / face.shape[1], (y1 - y0) / face.shape[0]
    matrix = np.array([[kx, 0, x0 + kx / 2 - 0.5], [0, ky, y0 + ky / 2 - 0.5]])
    size = (luma.shape[1], luma.shape[0])
    alpha = cv2.warpAffine(np.full(face.shape, 1.0, np.float32), matrix, size)
    luma[:] = np.rint(luma * (1 - alpha) + cv2.warpAffine(face.astype(np.float32), matrix, size) * alpha)


class Clip:
    """Faces along known paths; ``cuts`` are first frames of new scenes, each with a background of its own that moves
    ``pan`` px a frame."""

    def __init__(
        self, count: int, paths: Mapping[int, Path], *, cuts: Sequence[int] = (), fps: int = 25, pan: int = 0
    ) -> None:
        self.count, self.paths, self.cuts, self.fps = count, dict(paths), tuple(cuts), fps
        self.pan = pan
        self.damaged: set[int] = set()
        self._faces = {n: texture(100 + n, 64, 80, 7) for n in paths}
        self._scenes = [texture(s, WIDTH, HEIGHT, 24) for s in range(len(cuts) + 1)]

    def truth(self, index: int) -> dict[int, Box]:
        """Faces of a frame of which at least something lies in the picture."""
        out = {}
        for n, path in self.paths.items():
            box = path(index) if 0 <= index < self.count else None
            if box is not None and box[2] > 1 and box[3] > 1 and box[0] < WIDTH - 1 and box[1] < HEIGHT - 1:
                out[n] = np.array(box, np.float64)
        return out

    def frames(self, start: int = 0) -> Iterator[Frame]:
        for index in range(start, self.count):
            luma = np.roll(self._scenes[sum(index >= c for c in self.cuts)], self.pan * index, axis=1)
            for n, box in self.truth(index).items():
                draw(luma, list(box), self._faces[n])
            yield frame(luma, index, self.fps, damaged=index in self.damaged)


class Oracle(Detector):
    """Knows the clip. ``score(frame, face)`` is what it answers: below .05 nothing at all."""

    name = "oracle"

    def __init__(self, clip: Clip, score: Callable[[int, int], float] = lambda frame, face: 0.99) -> None:
        self._clip, self._score = clip, score
        self._lock = threading.Lock()
        self.seen: list[int] = []

    def detect(self, images: Sequence[ByteArray]) -> list[list[Detection]]:
        return [self.at(index_of(image)) for image in images]

    def at(self, index: int) -> list[Detection]:
        with self._lock:
            self.seen.append(index)
        out = []
        for n, box in self._clip.truth(index).items():
            score = self._score(index, n)
            if score >= 0.05:
                marks = box[:2] + np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]]) * (
                    box[2:] - box[:2]
                )
                out.append(Detection(box.astype(np.float32), score, marks.astype(np.float32), "oracle"))
        return out


def straight(x: float, y: float, vx: float, vy: float, side: float = 32) -> Path:
    """A face of 0.8 side x side moving evenly; (x, y) is its upper left corner in frame 0."""
    return lambda i: (x + vx * i, y + vy * i, x + vx * i + 0.8 * side, y + vy * i + side)


def covered(box: Box, row_box: npt.NDArray[np.floating], scale: float = 1.3) -> float:
    """Share of the inner ellipse of ``box``, as far as it lies in the picture, inside the ellipse that is covered."""
    line = np.linspace(-0.95, 0.95, 41)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    grid = grid[(grid**2).sum(1) <= 0.95**2]
    points = (box[:2] + box[2:]) / 2 + grid * (box[2:] - box[:2]) / 2
    points = points[((points >= 0) & (points < [WIDTH, HEIGHT])).all(1)]
    if not len(points):
        return 1.0
    centre, half = (row_box[:2] + row_box[2:]) / 2, (row_box[2:] - row_box[:2]) / 2 * scale
    return float(((((points - centre) / half) ** 2).sum(1) <= 1).mean())
