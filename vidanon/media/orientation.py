"""Display matrices (3x3, libav's fixed point) as one of the eight lossless orientations.

libav's matrix maps a stored point to a shown one: ``(p, q) = (a x + c y, b x + d y)`` with the matrix rows
``(a, b, u), (c, d, v), (x, y, w)``, a..d in 16.16 and y down. Only the signs of right-angle matrices matter
here; the translation just brings the picture back into view.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from vidanon.types import Orientation

_CLOCKWISE = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}  # a, b, c, d

#: (sign a, sign b, sign c, sign d) -> orientation. A mirror first: x -> -x turns a, b into -a, -b.
_BY_SIGNS: dict[tuple[int, int, int, int], Orientation] = {
    (-a if hflip else a, -b if hflip else b, c, d): Orientation(rotation, hflip)
    for rotation, (a, b, c, d) in _CLOCKWISE.items()
    for hflip in (False, True)
}


def from_matrix(data: bytes) -> Orientation | None:
    """The orientation of a display matrix (nine native int32); None where it is no right angle (or all zero)."""
    if len(data) < 36:
        return None
    a, b, _, c, d, _, _, _, _ = struct.unpack("=9i", data[:36])
    largest = max(abs(v) for v in (a, b, c, d))
    if largest == 0:
        return None
    # A right angle has one large number per row; what is left of a rounded sine stays below a thousandth.
    signs = tuple(0 if abs(v) * 1000 < largest else (1 if v > 0 else -1) for v in (a, b, c, d))
    return _BY_SIGNS.get(signs)  # type: ignore[arg-type]


def from_exif(value: int) -> Orientation | None:
    """EXIF orientation 1..8."""
    table = {1: (0, False), 2: (0, True), 3: (180, False), 4: (180, True),
             5: (270, True), 6: (90, False), 7: (90, True), 8: (270, False)}  # fmt: skip
    return Orientation(*table[value]) if value in table else None


def upright(picture: npt.NDArray[Any], orientation: Orientation) -> npt.NDArray[Any]:
    """A (h, w, ...) picture as it is shown; a view, not a copy."""
    if orientation.hflip:
        picture = picture[:, ::-1]
    return np.rot90(picture, -(orientation.rotation // 90) % 4)


def coded_from_upright(width: int, height: int, orientation: Orientation) -> npt.NDArray[np.float64]:
    """(2, 3): point of the upright picture -> point of the stored one, whose size is ``width`` x ``height``."""
    rotate = {
        0: [[1, 0, 0], [0, 1, 0]],
        90: [[0, 1, 0], [-1, 0, height]],  # shown (u, v) = (height - y, x)
        180: [[-1, 0, width], [0, -1, height]],
        270: [[0, -1, width], [1, 0, 0]],  # shown (u, v) = (y, width - x)
    }[orientation.rotation]
    matrix = np.array(rotate, np.float64)
    if orientation.hflip:
        matrix[0] = [-matrix[0, 0], -matrix[0, 1], width - matrix[0, 2]]
    return matrix
