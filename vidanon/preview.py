"""A contact sheet of the output: frames as they were committed, never of the source."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

from vidanon.errors import OutputError
from vidanon.media.encode import EncodedSegment
from vidanon.media.planes import view
from vidanon.media.segment_decode import decode_segment
from vidanon.segments import Segment
from vidanon.types import ByteArray

TILES = 12
TILE_SIDE = 480


class ContactSheet:
    """Evenly spaced frames of a stream of unknown length: whenever twice as many are held, every other one goes."""

    def __init__(self) -> None:
        self._step = 1
        self._held: dict[int, ByteArray] = {}
        self._seen = 0

    def __call__(self, segment: Segment, encoded: EncodedSegment) -> None:
        """Take what is wanted of a committed segment."""
        for frame in decode_segment(encoded):
            if self._seen % self._step == 0:
                self._held[self._seen] = view(frame, TILE_SIDE).rgb
                if len(self._held) >= 2 * TILES:
                    self._step *= 2
                    self._held = {i: rgb for i, rgb in self._held.items() if i % self._step == 0}
            self._seen += 1

    def write(self, path: Path) -> None:
        """Four tiles a row, on white, in the format of the suffix. Raises OutputError."""
        tiles = [self._held[i] for i in sorted(self._held)][:: max(1, math.ceil(len(self._held) / TILES))]
        height, width = (max(t.shape[axis] for t in tiles) for axis in (0, 1))
        columns = min(4, len(tiles))
        rows = math.ceil(len(tiles) / columns)
        sheet = np.full((rows * (height + 8) + 8, columns * (width + 8) + 8, 3), 255, np.uint8)
        for number, tile in enumerate(tiles):
            y, x = 8 + number // columns * (height + 8), 8 + number % columns * (width + 8)
            sheet[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
        try:
            written = cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
        except cv2.error as error:
            raise OutputError(
                f"preview {path}: cannot be written as {path.suffix or 'that'}; use .png or .jpg"
            ) from error
        if not written:
            raise OutputError(f"preview {path}: cannot be written; check the folder and its permissions")
