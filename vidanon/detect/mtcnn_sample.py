"""How MTCNN looks at a picture: the image pyramid of stage 1 and the crops of stages 2 and 3.

Two ways of doing the same: :class:`CvPicture` for the CPU (OpenCV, one small resize after the other) and
:class:`TorchPicture` for any torch device (no loop over crops; the area averages of facenet-pytorch, exactly).
Both answer RGB in 0..255 (uint8 or float32), channels-last in memory.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from vidanon.types import ByteArray, FloatArray

Size = tuple[int, int]  #: height, width


class Picture(ABC):
    """One RGB picture, ready to be sampled."""

    def __init__(self, image: ByteArray) -> None:
        self.height, self.width = int(image.shape[0]), int(image.shape[1])

    @abstractmethod
    def levels(self, sizes: Sequence[Size]) -> Iterator[torch.Tensor]:
        """(1, 3, h, w) for each size, largest first."""

    @abstractmethod
    def crops(self, boxes: FloatArray, size: int) -> torch.Tensor:
        """(n, 3, size, size) for boxes (n, 4); what lies outside the picture is cut off before resizing."""

    def _clamped(self, boxes: FloatArray) -> npt.NDArray[np.int64]:
        """Whole px inside the picture, at least one px wide and high."""
        limit = np.array([self.width, self.height])
        # far outside float32's whole numbers a cast would be undefined; a box that wild is clamped anyway
        whole = np.trunc(np.clip(np.nan_to_num(boxes), -1e6, 1e6)).astype(np.int64)
        low = np.clip(whole[:, :2], 0, limit - 1)
        high = np.clip(whole[:, 2:4], low + 1, limit)
        return np.concatenate((low, high), 1)


class CvPicture(Picture):
    """On the CPU. A level or crop much smaller than its source is taken from a halved copy, made once."""

    def __init__(self, image: ByteArray) -> None:
        super().__init__(image)
        self._halves: list[ByteArray] = [image]  # [i] is the picture scaled by 2^-i

    def _half(self, i: int) -> ByteArray:
        while len(self._halves) <= i:
            last = self._halves[-1]
            h, w = max(1, last.shape[0] // 2), max(1, last.shape[1] // 2)
            self._halves.append(np.asarray(cv2.resize(last, (w, h), interpolation=cv2.INTER_AREA), np.uint8))
        return self._halves[i]

    def levels(self, sizes: Sequence[Size]) -> Iterator[torch.Tensor]:
        for h, w in sizes:
            i = 0
            while min(self.height / h, self.width / w) >= 2 ** (i + 1):
                i += 1
            level: Any = cv2.resize(self._half(i), (w, h), interpolation=cv2.INTER_LINEAR)
            yield torch.from_numpy(level)[None].permute(0, 3, 1, 2)

    def crops(self, boxes: FloatArray, size: int) -> torch.Tensor:
        whole = self._clamped(boxes)
        sides = (whole[:, 2:] - whole[:, :2]).min(1) if len(whole) else whole[:, 0]
        # a crop keeps at least three source px per target px, then area-averages them
        depth = np.clip(np.floor(np.log2(np.maximum(sides / (3 * size), 1))), 0, 8).astype(int)
        out = np.empty((len(whole), size, size, 3), np.uint8)
        for n, ((x0, y0, x1, y1), i) in enumerate(zip(whole.tolist(), depth.tolist(), strict=True)):
            source = self._half(i)
            patch = source[y0 >> i : max(y1 >> i, (y0 >> i) + 1), x0 >> i : max(x1 >> i, (x0 >> i) + 1)]
            shrinks = patch.shape[0] > size and patch.shape[1] > size
            cv2.resize(patch, (size, size), dst=out[n], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        return torch.from_numpy(out).permute(0, 3, 1, 2)


class TorchPicture(Picture):
    """On any torch device: every crop at once, from sums over rectangles."""

    def __init__(self, image: ByteArray, device: torch.device) -> None:
        super().__init__(image)
        self._pixels = torch.from_numpy(np.ascontiguousarray(image)).to(device)  # (h, w, 3)
        self._sums: torch.Tensor | None = None

    def _integral(self) -> torch.Tensor:
        """(h + 1, w + 1, 3) int32: sum of all pixels above and left. It may wrap; differences are right all the same,
        as no rectangle that is averaged holds 2^23 px or more per target px."""
        if self._sums is None:
            sums = self._pixels.cumsum(0, dtype=torch.int32).cumsum(1, dtype=torch.int32)
            self._sums = F.pad(sums, (0, 0, 1, 0, 1, 0))
        return self._sums

    def levels(self, sizes: Sequence[Size]) -> Iterator[torch.Tensor]:
        whole = self._pixels.permute(2, 0, 1)[None].float()
        for size in sizes:
            yield F.interpolate(whole, size=size, mode="area").contiguous(memory_format=torch.channels_last)

    def crops(self, boxes: FloatArray, size: int) -> torch.Tensor:
        sums = self._integral()
        whole = torch.from_numpy(self._clamped(boxes)).to(sums.device)
        steps = torch.arange(size, device=sums.device)
        ends = []
        for low, high in ((whole[:, 1], whole[:, 3]), (whole[:, 0], whole[:, 2])):
            length = (high - low)[:, None]
            first = low[:, None] + steps * length // size
            last = low[:, None] + ((steps + 1) * length + size - 1) // size
            ends.append((first, last))
        (y0, y1), (x0, x1) = ends  # each (n, size)

        def at(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
            return sums[y[:, :, None], x[:, None, :]]  # (n, size, size, 3)

        total = at(y1, x1) - at(y0, x1) - at(y1, x0) + at(y0, x0)
        count = (y1 - y0)[:, :, None] * (x1 - x0)[:, None, :]
        return (total / count[..., None]).permute(0, 3, 1, 2)


def picture(image: ByteArray, device: torch.device) -> Picture:
    """The faster of the two for ``device``."""
    return CvPicture(image) if device.type == "cpu" else TorchPicture(image, device)
