"""What the bench shows to be looked at: sheets of faces before and after, and clips side by side.

They show the source's faces, so they identify people: keep them where only those may look who may see the footage.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import av
import cv2
import numpy as np

from vidanon.faces.align import longer_side
from vidanon.types import ByteArray, FloatArray

CELL = 224  #: px of a face
PAIRS_ACROSS = 6
COLUMNS = 8  #: frames of a clip's sheet
WIDE = 384  #: px of a frame on a clip's sheet
HIGH = 480  #: px at most, of one half of a side by side clip
_GAP = 6


def cut(rgb: ByteArray, box: FloatArray, side: int, scale: float = 1.9) -> ByteArray:
    """(side, side, 3): the square around a face box (4,)."""
    half = max(2.0, longer_side(box)) * scale / 2
    x, y = float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2
    step = side / (2 * half)
    matrix = np.array([[step, 0, side / 2 - x * step], [0, step, side / 2 - y * step]])
    if step < 0.5:  # average first
        less = 2 * step
        rgb = np.asarray(cv2.resize(rgb, None, fx=less, fy=less, interpolation=cv2.INTER_AREA), np.uint8)
        matrix[:, :2] /= less
    flags = cv2.INTER_CUBIC if step > 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.warpAffine(rgb, matrix, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def pair_sheet(pairs: list[tuple[ByteArray, ByteArray]], path: Path) -> None:
    """Source and output beside one another, (CELL, CELL, 3) each, PAIRS_ACROSS pairs in a row."""
    if not pairs:
        return
    white = np.full((CELL, _GAP, 3), 255, np.uint8)
    cells = [np.hstack([a, b, white]) for a, b in pairs]
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % PAIRS_ACROSS)
    rows = [np.hstack(cells[at : at + PAIRS_ACROSS]) for at in range(0, len(cells), PAIRS_ACROSS)]
    gap = np.full((_GAP, rows[0].shape[1], 3), 255, np.uint8)
    save(path, np.vstack([part for row in rows for part in (row, gap)]))


class ClipSheet:
    """Every k-th frame: source, output, and below each the face that counts most, enlarged."""

    def __init__(self) -> None:
        self._columns: list[list[ByteArray]] = []
        self._step, self._seen = 1, 0

    def add(self, source: ByteArray, output: ByteArray, box: FloatArray | None) -> None:
        """``box`` (4,): of the face to enlarge; None where there is none."""
        wanted = self._seen % self._step == 0
        self._seen += 1
        if not wanted:
            return
        height = round(source.shape[0] * WIDE / source.shape[1])
        column = [cv2.resize(p, (WIDE, height), interpolation=cv2.INTER_AREA) for p in (source, output)]
        for picture in (source, output):
            column.append(np.full((WIDE, WIDE, 3), 255, np.uint8) if box is None else cut(picture, box, WIDE))
        self._columns.append([np.asarray(part, np.uint8) for part in column])
        if len(self._columns) == 2 * COLUMNS:
            self._columns, self._step = self._columns[::2], 2 * self._step

    def write(self, path: Path) -> None:
        if self._columns:
            save(path, np.hstack([np.vstack(column) for column in self._columns[: 2 * COLUMNS]]))


class SideBySide:
    """A clip of source and output beside one another."""

    def __init__(self, path: Path, rate: Fraction) -> None:
        self._container: Any = av.open(str(path), "w")
        self._rate = rate
        self._stream: Any = None
        self._count = 0

    def add(self, source: ByteArray, output: ByteArray) -> None:
        both = np.hstack([source, output])
        if source.shape[0] > HIGH:
            size = round(both.shape[1] * HIGH / source.shape[0]), HIGH
            both = np.asarray(cv2.resize(both, size, interpolation=cv2.INTER_AREA), np.uint8)
        both = np.ascontiguousarray(both[: both.shape[0] // 2 * 2, : both.shape[1] // 2 * 2])
        if self._stream is None:
            self._stream = self._container.add_stream(
                "libx264", rate=self._rate, options={"crf": "18", "preset": "veryfast"}
            )
            self._stream.pix_fmt = "yuv420p"
            self._stream.height, self._stream.width = both.shape[:2]
        frame = av.VideoFrame.from_ndarray(both, "rgb24")
        frame.pts, frame.time_base = self._count, 1 / self._rate
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def __enter__(self) -> SideBySide:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None and kind is None:
            self._container.mux(self._stream.encode(None))
        self._container.close()


def save(path: Path, rgb: ByteArray) -> None:
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(rgb[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 90])
    assert done
    path.write_bytes(bytes(data))
