"""Ground truth of a clip: which pixels show which face, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.bench.motion import SIZE_RANGE

COUNTED = 0.4  #: visible share below which a face-frame is not counted
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FaceTruth:
    """One face in one frame."""

    track: int
    frame: int
    centre: tuple[float, float]  #: px
    axes: tuple[float, float]  #: half axes across and along the face, px
    angle: float  #: degrees clockwise
    size: float  #: longer side of the inner face, px
    visible: float  #: visible share of the inner face
    speed: float  #: px per frame
    origin: tuple[int, int]  #: x, y of the mask's corner in the frame
    mask: Mask  #: (h, w) visible pixels of the inner face


def save_truth(path: Path, rows: list[FaceTruth]) -> None:
    bits = [np.packbits(r.mask.reshape(-1)) for r in rows]
    numbers = np.array(
        [
            [r.track, r.frame, *r.centre, *r.axes, r.angle, r.size, r.visible, r.speed, *r.origin, *r.mask.shape]
            for r in rows
        ],
        np.float64,
    )
    np.savez_compressed(
        path,
        rows=numbers.reshape(-1, 14),
        ends=np.cumsum([len(b) for b in bits], dtype=np.int64),
        bits=np.concatenate(bits or [np.zeros(0, np.uint8)]),
    )


def load_truth(path: Path) -> list[FaceTruth]:
    """Every face-frame of a clip, in order of frames."""
    with np.load(path) as stored:
        numbers, ends, bits = stored["rows"], stored["ends"], stored["bits"]
    rows = []
    for i, n in enumerate(numbers):
        h, w = int(n[12]), int(n[13])
        mask = np.unpackbits(bits[ends[i - 1] if i else 0 : ends[i]], count=h * w).astype(bool).reshape(h, w)
        rows.append(
            FaceTruth(
                int(n[0]), int(n[1]), (n[2], n[3]), (n[4], n[5]), n[6], n[7], n[8], n[9], (int(n[10]), int(n[11])), mask
            )
        )
    return rows


def counted(row: FaceTruth) -> bool:
    """Whether a face-frame takes part in the measure."""
    return row.visible >= COUNTED and row.size >= SIZE_RANGE[0]
