#!/usr/bin/env python3
"""Makes the clips of this folder from the NASA portrait that ships in scikit-image (see PROVENANCE.md).

    python samples/make_samples.py [FOLDER]

portrait.mp4  640x360, 25 fps, 6 s, AAC: a camera moves and zooms over the portrait (one face)
group.mp4     960x540, 25 fps, 6 s, AAC: four copies of the portrait cross a drawn background, two mirrored; sizes
              differ, one enters late, one leaves early, paths cross (never more than four faces)
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import skimage.data

FPS, SECONDS, RATE = 25, 6, 44_100
FRAMES = FPS * SECONDS
FACE = (222.0, 120.0)  #: centre of the face in the 512x512 portrait, px
Picture = npt.NDArray[np.uint8]


def portrait() -> Iterator[Picture]:
    """A camera that circles around the face, from wide to close and back."""
    source = skimage.data.astronaut()
    for i in range(FRAMES):
        t = i / FRAMES
        zoom = 1.45 + 0.75 * math.sin(math.pi * t)
        x = 320 + 150 * math.sin(2 * math.pi * t)
        y = 150 + 35 * math.sin(4 * math.pi * t)
        move = np.array([[zoom, 0, x - zoom * FACE[0]], [0, zoom, y - zoom * FACE[1]]], np.float32)
        yield cv2.warpAffine(source, move, (640, 360), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT_101)


def group() -> Iterator[Picture]:
    """Four cut-outs on their ways: the face goes from (x, y) to (x, y) px; scale, mirrored, (from, to) in [0, 1]."""
    paths = (  # the far ones first
        ((330, 150), (860, 170), 0.45, True, (0.0, 0.8)),
        ((110, 300), (420, 330), 0.55, False, (0.0, 1.0)),
        ((560, 180), (180, 210), 0.75, True, (0.0, 1.0)),
        ((760, 300), (520, 260), 1.15, False, (0.2, 1.0)),
    )
    figure, alpha = _cut_out()
    backdrop = _backdrop(960, 540)
    for i in range(FRAMES):
        t = i / FRAMES
        out = backdrop.astype(np.float32)
        for (x0, y0), (x1, y1), scale, mirrored, (first, last) in paths:
            if first <= t < last:
                u = (t - first) / (last - first)
                x, y = x0 + (x1 - x0) * u, y0 + (y1 - y0) * u + 6 * math.sin(20 * u)
                across = -scale if mirrored else scale
                move = np.array([[across, 0, x - across * FACE[0]], [0, scale, y - scale * FACE[1]]], np.float32)
                layer = cv2.warpAffine(figure, move, (960, 540), flags=cv2.INTER_AREA)
                mask = cv2.warpAffine(alpha, move, (960, 540), flags=cv2.INTER_AREA)[..., None]
                out += (layer.astype(np.float32) - out) * mask
        yield np.clip(out + 0.5, 0, 255).astype(np.uint8)


def _cut_out() -> tuple[Picture, npt.NDArray[np.float32]]:
    """Head and shoulders, and a soft mask (512, 512) in [0, 1] around them."""
    mask = np.zeros((512, 512), np.uint8)
    cv2.ellipse(mask, (222, 120), (82, 105), 0, 0, 360, 255, -1)
    cv2.ellipse(mask, (222, 370), (185, 175), 0, 0, 360, 255, -1)
    return skimage.data.astronaut(), cv2.GaussianBlur(mask, (0, 0), 3).astype(np.float32) / 255


def _backdrop(width: int, height: int) -> Picture:
    """A drawn room: a gradient, a floor and some frames on the wall; nothing like a face."""
    rng = np.random.default_rng(7)
    shade = np.linspace(150, 110, height)[:, None] + np.linspace(-12, 12, width)[None, :]
    room = np.stack([shade + 12, shade + 4, shade - 8], -1)
    room[int(height * 0.78) :] *= 0.6
    room = np.clip(room + cv2.GaussianBlur(rng.normal(0, 18, room.shape), (0, 0), 2), 0, 255).astype(np.uint8)
    for left, top, w, h, colour in ((70, 60, 150, 90, (92, 104, 126)), (640, 40, 230, 120, (120, 96, 84))):
        cv2.rectangle(room, (left, top), (left + w, top + h), colour, -1)
        cv2.rectangle(room, (left, top), (left + w, top + h), (60, 52, 46), 5)
    return room


def tone(hertz: float) -> npt.NDArray[np.float32]:
    """(2, N) float32: a tone that swells and fades each second, softer on the right."""
    t = np.arange(RATE * SECONDS) / RATE
    wave = 0.2 * np.sin(2 * np.pi * hertz * t) * np.sin(np.pi * t) ** 2
    return np.stack([wave, wave / 2]).astype(np.float32)


def write(path: Path, pictures: Iterator[Picture], hertz: float) -> None:
    """H.264 and AAC in one MP4, the same bytes each time on one machine."""
    with av.open(str(path), "w", options={"movflags": "+faststart", "fflags": "+bitexact"}) as out:
        audio = out.add_stream("aac", rate=RATE, layout="stereo", options={"b": "64k", "flags": "+bitexact"})
        video = None
        for picture in pictures:
            if video is None:
                video = out.add_stream("libx264", rate=FPS, options={"crf": "27", "preset": "slow", "threads": "1"})
                video.height, video.width = picture.shape[:2]
                video.pix_fmt, video.time_base = "yuv420p", Fraction(1, FPS)
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(video.encode(None))
        samples = tone(hertz)
        for start in range(0, samples.shape[1], 1024):
            block = np.ascontiguousarray(samples[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = RATE, start
            out.mux(audio.encode(frame))
        out.mux(audio.encode(None))


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "portrait.mp4", portrait(), 440.0)
    write(folder / "group.mp4", group(), 330.0)


if __name__ == "__main__":
    main()
