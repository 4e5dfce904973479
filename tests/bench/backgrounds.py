"""Face-free backgrounds at the clip's size: stretches of two sample videos, photographs, generated textures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

#: pictures inside the scikit-image wheel without a person or an animal's face
STILLS = ("brick.png", "grass.png", "gravel.png", "coffee.png", "motorcycle_left.png", "rocket.jpg")
VIDEOS = ("car-detection.mp4", "one-by-one-person-detection.mp4")
EMPTY_ROOM = 1.6  #: mean difference (0-255) to the video's first picture, an empty room, below which nobody is in it


class Background(ABC):
    """A moving picture without faces. ``label`` says what it is."""

    label: str

    @abstractmethod
    def frame(self, index: int) -> Bytes:
        """(h, w, 3) uint8 RGB, a fresh array."""


class Video(Background):
    """Frames of a video, forward and backward again, a little zoomed."""

    def __init__(self, label: str, frames: list[Bytes], width: int, height: int, slow: float, zoom: float) -> None:
        self.label = label
        self._frames, self._slow, self._zoom, self._size = frames, slow, zoom, (width, height)

    def frame(self, index: int) -> Bytes:
        step = int(index / self._slow)
        period = max(1, 2 * len(self._frames) - 2)
        step %= period
        picture = self._frames[step if step < len(self._frames) else period - step]
        h, w = picture.shape[:2]
        ch, cw = int(h / self._zoom), int(w / self._zoom)
        crop = picture[(h - ch) // 2 : (h - ch) // 2 + ch, (w - cw) // 2 : (w - cw) // 2 + cw]
        return np.asarray(cv2.resize(crop, self._size, interpolation=cv2.INTER_LINEAR), np.uint8)


class Still(Background):
    """One picture, slowly panned."""

    def __init__(self, label: str, picture: Bytes, width: int, height: int, pan: tuple[float, float]) -> None:
        self.label = label
        scale = max(width * 1.2 / picture.shape[1], height * 1.2 / picture.shape[0])
        self._picture = np.asarray(
            cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8
        )
        self._size, self._pan = (width, height), pan

    def frame(self, index: int) -> Bytes:
        w, h = self._size
        x = (self._picture.shape[1] - w) * (0.5 + 0.5 * np.sin(index * self._pan[0]))
        y = (self._picture.shape[0] - h) * (0.5 + 0.5 * np.sin(index * self._pan[1]))
        shift = np.array([[1, 0, x], [0, 1, y]], np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(self._picture, shift, (w, h), flags=flags), np.uint8)


def texture(rng: np.random.Generator, width: int, height: int) -> Bytes:
    """Coloured cloud noise over a gradient with a few flat panels: walls and furniture, without an edge of a face."""
    picture = np.zeros((height, width, 3), np.float32)
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    picture += (
        rng.uniform(60, 190, 3).astype(np.float32) * (1 - ramp) + rng.uniform(60, 190, 3).astype(np.float32) * ramp
    )
    for cells, strength in ((6, 26.0), (24, 14.0), (96, 8.0)):
        coarse = rng.normal(0, 1, (max(2, cells * height // width), cells, 3)).astype(np.float32)
        picture += strength * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    picture = 0.3 * picture + 0.7 * picture.mean(2, keepdims=True)  # walls are not rainbows
    for _ in range(int(rng.integers(3, 8))):
        x, y = int(rng.uniform(0, width)), int(rng.uniform(0, height))
        w, h = int(rng.uniform(60, 420)), int(rng.uniform(60, 320))
        panel = picture[y : y + h, x : x + w]
        panel *= 0.35
        panel += 0.65 * rng.uniform(40, 210, 3).astype(np.float32)
    return np.asarray(np.clip(picture, 0, 255), np.uint8)


def _decode(path: Path, start: int, count: int) -> list[Bytes]:
    """``count`` RGB pictures of a video from frame ``start``."""
    pictures: list[Bytes] = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for i, frame in enumerate(container.decode(stream)):
            if i >= start:
                pictures.append(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
            if len(pictures) == count:
                break
    return pictures


def _empty(pictures: list[Bytes]) -> list[Bytes]:
    """The pictures from the first one on until somebody comes in."""
    thumbs = np.stack([cv2.resize(p, (96, 54), interpolation=cv2.INTER_AREA) for p in pictures]).astype(np.float32)
    busy = np.flatnonzero(np.abs(thumbs - thumbs[0]).mean((1, 2, 3)) > EMPTY_ROOM)
    return pictures[: int(busy[0]) if len(busy) else len(pictures)]


def choose(rng: np.random.Generator, data: Path | None, width: int, height: int) -> Background:
    """A background drawn at random; without the test data only photographs and textures are drawn from."""
    kind = rng.choice(["car", "room", "still", "texture"] if data else ["still", "texture"])
    if kind == "car" and data:
        start = int(rng.integers(0, 120))
        pictures = _decode(data / "videos" / VIDEOS[0], start, 250)
        return Video(f"{VIDEOS[0]} from frame {start}", pictures, width, height, 1.0, float(rng.uniform(1, 1.4)))
    if kind == "room" and data:
        pictures = _empty(_decode(data / "videos" / VIDEOS[1], 0, 90))
        return Video(f"{VIDEOS[1]}, empty room", pictures, width, height, 2.5, float(rng.uniform(1, 1.4)))
    pan = (float(rng.uniform(0.002, 0.012)), float(rng.uniform(0.002, 0.012)))
    if kind == "still":
        import skimage

        name = str(rng.choice(STILLS))
        picture: Any = cv2.imread(str(Path(skimage.__file__).parent / "data" / name), cv2.IMREAD_COLOR)
        return Still(f"scikit-image {name}", np.ascontiguousarray(picture[..., ::-1]), width, height, pan)
    return Still("generated texture", texture(rng, int(width * 1.2), int(height * 1.2)), width, height, pan)
