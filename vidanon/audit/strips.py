"""Small pictures of what became of each face, for people to look at."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from vidanon.audit.faces import Face
from vidanon.faces.cover import grown
from vidanon.types import ByteArray, FloatArray

SIDE = 104  #: px of one picture
PICTURES = 8  #: of a track, at most, in a report
TRACKS = 12  #: in a report
HELD = 48  #: tracks whose pictures are held until the report chooses


@dataclass
class Shot:
    """One face in one frame; JPEG bytes."""

    frame: int
    protected: bytes | None  #: None where it shows the original's face and faces are not to be shown
    original: bytes | None  #: only where faces are to be shown
    clear: bool


@dataclass
class Strip:
    """One track."""

    track: int
    eyes: float = 0.0  #: px between the eyes, of the first picture
    shots: list[Shot] = field(default_factory=list)
    step: int = 1
    seen: int = 0


class Strips:
    """Evenly spread pictures of the first tracks; of each the first clear one is kept, and another if it comes soon."""

    def __init__(self, show_faces: bool) -> None:
        self._show = show_faces
        self._strips: dict[int, Strip] = {}

    def add(self, frame: int, faces: list[Face], clear: set[int], original: ByteArray, protected: ByteArray) -> None:
        """(h, w, 3) RGB of both; ``clear``: tracks whose face shows the original here."""
        for face in faces:
            if face.kept or not face.seen:
                continue
            strip = self._strips.get(face.track)
            if strip is None:
                if len(self._strips) >= HELD:
                    continue
                strip = self._strips[face.track] = Strip(face.track, 0.0 if np.isnan(face.eyes) else face.eyes)
            wanted = strip.seen % strip.step == 0
            strip.seen += 1
            is_clear = face.track in clear
            if is_clear and sum(s.clear for s in strip.shots) < 2:
                wanted = True
            if wanted:
                strip.shots.append(self._shot(frame, face.box, is_clear, original, protected))
                if len(strip.shots) >= 2 * PICTURES:
                    strip.step *= 2
                    first = next((s for s in strip.shots if s.clear), None)
                    strip.shots = [s for i, s in enumerate(strip.shots) if i % 2 == 0 or s is first]

    def chosen(self, worst: dict[int, float]) -> list[Strip]:
        """The tracks to show: first those with the largest similarity over the threshold (track -> margin)."""
        order = sorted(
            self._strips.values(),
            key=lambda s: (-any(shot.clear for shot in s.shots), -worst.get(s.track, -np.inf), s.track),
        )[:TRACKS]
        for strip in order:
            shown = sorted(strip.shots, key=lambda s: s.frame)
            if len(shown) > PICTURES:
                clear = _spread([s for s in shown if s.clear], PICTURES // 2)
                rest = _spread([s for s in shown if s not in clear], PICTURES - len(clear))
                shown = sorted([*clear, *rest], key=lambda s: s.frame)
            strip.shots = shown
        return sorted(order, key=lambda s: s.track)

    def _shot(self, frame: int, box: FloatArray, clear: bool, original: ByteArray, protected: ByteArray) -> Shot:
        hidden = clear and not self._show
        return Shot(
            frame,
            None if hidden else _jpeg(protected, box),
            _jpeg(original, box) if self._show else None,
            clear,
        )


def _spread(shots: list[Shot], count: int) -> list[Shot]:
    """At most ``count`` of them, evenly."""
    at = np.linspace(0, len(shots) - 1, min(len(shots), count)).round().astype(int)
    return [shots[i] for i in at]


def _jpeg(rgb: ByteArray, box: FloatArray) -> bytes:
    x0, y0, x1, y1 = (float(v) for v in grown(box, 1.7))
    half = max(x1 - x0, y1 - y0, 2.0) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    scale = SIDE / (2 * half)
    matrix = np.array([[scale, 0, SIDE / 2 - x * scale], [0, scale, SIDE / 2 - y * scale]], np.float64)
    flags = cv2.INTER_LINEAR
    if scale < 0.5:  # average first
        shrink = 2 * scale
        rgb = np.asarray(cv2.resize(rgb, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8)
        matrix[:, :2] /= shrink
    cut = cv2.warpAffine(rgb, matrix, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    done, data = cv2.imencode(".jpg", cut[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    assert done
    return bytes(data)
