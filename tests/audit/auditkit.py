"""What the audit's tests are made of: clips with faces, planted failures, and judges."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from vidanon.audit import verdict
from vidanon.audit.coverage import Coverage
from vidanon.audit.figures import JudgeFigures
from vidanon.audit.pairs import Pairing
from vidanon.audit.picture import Picture
from vidanon.audit.rates import Compared, Rate
from vidanon.audit.result import AuditResult
from vidanon.audit.steady import Alike, SamePerson
from vidanon.audit.strips import Shot, Strip
from vidanon.config import AuditSettings
from vidanon.recognise.base import ARCFACE_112, Description
from vidanon.types import ByteArray, FloatArray

ROOT = Path(__file__).parents[2]
Rgb = Iterable[ByteArray]


def pictures(path: Path, count: int | None = None, step: int = 1) -> Iterator[ByteArray]:
    """(h, w, 3) RGB of every ``step``-th frame."""
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index % step == 0:
                yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                if count is not None and index // step + 1 >= count:
                    return


def write(path: Path, frames: Rgb, rate: int = 25, crf: int = 18, pts: Callable[[int], int] | None = None) -> Path:
    """Frames as a H.264 file; ``pts``: of frame i, in 1/12800 s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf), "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, 12800)
        for index, rgb in enumerate(frames):
            if index == 0:
                stream.height, stream.width = rgb.shape[0] // 2 * 2, rgb.shape[1] // 2 * 2
            even = np.ascontiguousarray(rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2])
            frame = av.VideoFrame.from_ndarray(even, "rgb24")
            frame.pts = index * 12800 // rate if pts is None else pts(index)
            frame.time_base = Fraction(1, 12800)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


class PixelJudge:
    """A recogniser that needs no model: the face's own fine structure in the middle of the crop, as a unit vector.

    An untouched face matches itself, whatever the codec did; a solid fill, a strong blur or another face does not.
    """

    def __init__(
        self, name: str = "pixels", thresholds: dict[float, float] | None = None, teachers: tuple[str, ...] = ()
    ) -> None:
        self.description = Description(
            name=name, size=112, template=ARCFACE_112, thresholds=thresholds or {0.01: 0.5, 0.001: 0.6},
            measured_on="made for tests", licence="MIT", sha256=hashlib.sha256(name.encode()).hexdigest(),
            teachers=teachers,
        )  # fmt: skip

    def embed(self, patches: ByteArray) -> FloatArray:
        out = np.zeros((len(patches), 32 * 32), np.float32)
        for i, patch in enumerate(patches):
            grey = cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY)[24:104, 24:88].astype(np.float32)
            fine = cv2.resize(cv2.GaussianBlur(grey, (0, 0), 1.5) - cv2.GaussianBlur(grey, (0, 0), 6), (32, 32))
            fine += 0.01 * np.random.default_rng(i).standard_normal(fine.shape)  # of a flat patch: no direction
            out[i] = fine.ravel() / max(1e-9, float(np.linalg.norm(fine)))
        return out


def jpeg(value: int) -> bytes:
    done, data = cv2.imencode(".jpg", np.full((104, 104, 3), value, np.uint8))
    assert done
    return bytes(data)


def made_up(
    protected: str = "out.mp4", *, passed: bool = False, faces: bool = False, mode: str = "blur"
) -> AuditResult:
    """A result with every part filled, as an audit would leave it."""
    swapped = mode == "swap"
    same = SamePerson(Alike(250, 0.93, 0.97, 1.0, 1.0), Alike(31, 0.85, 0.9, 0.97, 1.0), 0.02) if swapped else None

    def compared(value: float, clean: float | None = None) -> Compared:
        own = Rate(value, max(0.0, value - 0.1), min(1.0, value + 0.1), round(100 * value), 100)
        floor = Rate(0.01, 0, 0.05, 1, 100)
        return Compared(own, floor, floor, None if clean is None else Rate(clean, 0.9, 1, 95, 100))

    value = 0.01 if passed else 0.4
    at = {0.01: compared(value, 0.95), 0.001: compared(value / 2, 0.9)}
    judges = [
        JudgeFigures(
            name, "ab" * 32, "MIT", "LFW", {0.01: 0.25, 0.001: 0.35}, at, at, at, compared(value), 201,
            {1: compared(0.3, 0.99), 5: compared(0.5, 1)}, {1: compared(0.6), 5: compared(0.9)},
            {name: [(7 * i) % 23 for i in range(56)] for name in ("protected", "solid", "impostor")},
            np.linspace(-0.5, 1, 57).tolist(), [(i, 0.2 * np.sin(i / 9) - 0.1) for i in range(0, 300, 2)], same,
        )
        for name in ("student", "a_judge_with_quite_a_long_name")
    ]  # fmt: skip
    strips = [
        Strip(t, 41.0, [Shot(9 * i, None if clear else jpeg(40 * t), jpeg(200) if faces else None, clear)
                        for i, clear in enumerate([False] * 6 + [t == 2, False])])
        for t in (1, 2, 3)
    ]  # fmt: skip
    result = AuditResult(
        "original.mp4", protected, "12" * 32, "34" * 32, mode, "this audit's own look at the original (mtcnn+yunet)",
        True, 300, 300, 12.0, 3, 900, 700, {"too small": 150, "turned away": 50}, 0, 2, 0,
        Pairing(300, judged=280), Picture(900, 0 if passed else 4, worst_detail=0.9, change=1.0, disguise=5.0,
                                          warp_in=2.0, warp_out=2.1, warped=9, frames=60, inner=swapped),
        [Coverage("dlib-hog", False, 60, 180, 170, 3, 0), Coverage("yunet", True, 60, 180, 180, 9, 0)], judges,
        {"facenet": "has no weights here"}, 200, "libx264", strips, settings=AuditSettings().model_dump(mode="json"),
        notes=["no distractors were given: see --distractors"],
    )  # fmt: skip
    result.failures = verdict.failures(result, AuditSettings())
    result.checks = verdict.checks(result, AuditSettings())
    return result
