"""Do weak settings fail the audit, and do the defaults pass? Every mode at three strengths on three clips.

Each clip is protected by the program itself, then audited by recognisers that took no part, from the run's own report
and plan, beside the solid fill and strangers from LFW. The weak and the middle strengths run without the leak gate
(``verify: off``), which would cover what they leave: it is the audit that is on trial.

    python -m tests.bench.audit --data DIR --out DIR

``sign`` is one person close up (640x480); ``pair`` two people turning their heads (480x270, enlarged); ``five`` five
portraits of people who do not exist on a drifting ground (720x400).
"""

from __future__ import annotations

import argparse
import json
import os
import tarfile
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from vidanon.audit.judges import read_report
from vidanon.audit.result import AuditResult
from vidanon.audit.run import Asked, audit
from vidanon.build import run_file
from vidanon.cli.summary import entry, write_report
from vidanon.config import RunConfig, load_config
from vidanon.recognise.assemble import make_recogniser
from vidanon.recognise.base import Recogniser
from vidanon.runtime.device import choose_runtime

Bytes = NDArray[np.uint8]
#: mode -> strength -> settings
STRENGTHS: dict[str, dict[str, dict[str, Any]]] = {
    "mask": {
        "weak": {"protect.mask_scale": 1.0, "protect.feather": 0.0, "protect.shape": "hull"},
        "middle": {"protect.mask_scale": 1.15},
        "default": {},
    },
    "pixelate": {
        "weak": {"protect.cells": 24, "protect.blur": 0.02, "protect.texture": 0.0},
        "middle": {"protect.cells": 12, "protect.blur": 0.1, "protect.texture": 0.0},
        "default": {},
    },
    "blur": {
        "weak": {"protect.blur": 0.04, "protect.texture": 0.0},
        "middle": {"protect.blur": 0.12, "protect.texture": 0.0},
        "default": {},
    },
}
JUDGES = ("dlib", "dlib_densenet")


def sign(data: Path, count: int) -> Iterator[Bytes]:
    yield from _pictures(data / "videos" / "asl_gestures" / "again.mkv", count)


def pair(data: Path, count: int) -> Iterator[Bytes]:
    for rgb in _pictures(data / "videos" / "head-pose-face-detection-female-and-male.gif", count):
        yield np.asarray(cv2.resize(rgb, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.uint8)


def five(data: Path, count: int) -> Iterator[Bytes]:
    side, width, height = 190, 720, 400
    portraits = []
    with tarfile.open(data / "faces" / "donors384.tar") as tar:
        for member in sorted((m for m in tar if m.name.endswith((".jpg", ".png"))), key=lambda m: m.name)[10:15]:
            file = tar.extractfile(member)
            assert file is not None
            portrait = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]
            small = cv2.resize(np.ascontiguousarray(portrait), (280, 280), interpolation=cv2.INTER_AREA)
            portraits.append(small[10 : 10 + side, 45 : 45 + side])
    noise = np.random.default_rng(7).uniform(40, 160, (height // 20 + 12, width // 20 + 12)).astype(np.float32)
    grey = cv2.resize(noise, (width + 240, height + 240), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    ground = np.repeat(grey[:, :, None], 3, axis=2)
    places = ((15, 10), (195, 10), (380, 8), (515, 195), (95, 200))
    for frame in range(count):
        rgb = ground[frame : frame + height, 2 * frame : 2 * frame + width].copy()
        for person, portrait in enumerate(portraits):
            x = places[person][0] + round(10 * np.sin(frame / 9 + person))
            y = max(0, places[person][1] + round(7 * np.cos(frame / 7 + 2 * person)))
            rgb[y : y + side, x : x + side] = portrait[: height - y]
        yield rgb


CLIPS = {"sign": sign, "pair": pair, "five": five}


def _pictures(path: Path, count: int) -> Iterator[Bytes]:
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index == count:
                return
            yield np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def write(path: Path, frames: Iterator[Bytes]) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "16", "preset": "veryfast"})
        stream.pix_fmt = "yuv420p"
        for index, rgb in enumerate(frames):
            if index == 0:
                stream.height, stream.width = rgb.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def judged(
    source: Path, mode: str, strength: str, judges: Sequence[Recogniser], data: Path, out: Path, audit_settings: dict
) -> AuditResult:
    """Protect ``source`` and audit what comes out."""
    name = f"{source.stem}-{mode}-{strength}"
    settings = {"protect.mode": mode, **STRENGTHS[mode][strength], **audit_settings}
    if strength != "default":
        settings["verify"] = "off"
    config: RunConfig = load_config(None, settings)
    output, report, plan = (out / f"{name}.{suffix}" for suffix in ("mp4", "run.json", "jsonl"))
    write_report(report, entry(run_file(source, output, config, tracks_out=plan), source, output))
    asked = Asked(
        source, output, judges, facts=read_report(report, output), tracks=plan,
        distractors=data / "faces" / "lfw-deepfunneled.tar",
    )  # fmt: skip
    return audit(asked, config)


def row(clip: str, mode: str, strength: str, result: AuditResult) -> list[str]:
    """One line of the table: per recogniser, matched: output / solid fill / output taken for others; ranks: / solid."""

    def share(rate: Any) -> str:
        return "-" if rate is None else f"{100 * rate.value:.0f}"

    cells = []
    for judge in result.judges:
        same, parrot = judge.same_frame[0.01], judge.parrot.get(1)
        cells.append(f"{share(same.protected)} / {share(same.solid)} / {share(same.stranger)}")
        rank = judge.rank.get(1)
        cells.append("-" if rank is None else f"{share(rank.protected)} / {share(rank.solid)}")
        cells.append("-" if parrot is None else f"{share(parrot.protected)} / {share(parrot.solid)}")
    clear = f"{result.picture.clear}"
    return [clip, f"{mode} {strength}", "passed" if result.passed else "**failed**", *cells, clear]


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = ["clip", "settings", "audit"]
    for name in names:
        head += [f"{name}: matched", "rank 1", "parrot"]
    lines = [[*head, "clear faces"], ["---"] * (len(head) + 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("VIDANON_TEST_DATA"), help="the test data")
    parser.add_argument("--out", type=Path, default=Path("build/audit"))
    parser.add_argument("--clips", default="sign,pair,five")
    parser.add_argument("--modes", default="mask,pixelate,blur")
    parser.add_argument("--strengths", default="weak,middle,default")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--every", type=int, default=5, help="frames between two that recognisers judge")
    parser.add_argument("--distractors", type=int, default=25)
    parser.add_argument("--judges", default=",".join(JUDGES), help="names, or files of the test data's recognisers")
    arguments = parser.parse_args(argv)
    if arguments.data is None:
        parser.error("name the test data: --data DIR, or set VIDANON_TEST_DATA")
    arguments.out.mkdir(parents=True, exist_ok=True)
    runtime = choose_runtime("cpu")
    judges = []
    for name in arguments.judges.split(","):
        file = arguments.data / "recognisers" / f"{name}.onnx"
        judges.append(make_recogniser(str(file) if file.is_file() else name, runtime))
    limits = {"audit.every": arguments.every, "audit.distractors": arguments.distractors, "audit.min_faces": 10}
    rows, figures = [], {}
    for clip in arguments.clips.split(","):
        source = write(arguments.out / f"{clip}.mp4", CLIPS[clip](arguments.data, arguments.frames))
        for mode in arguments.modes.split(","):
            for strength in arguments.strengths.split(","):
                started = time.perf_counter()
                result = judged(source, mode, strength, judges, arguments.data, arguments.out, limits)
                rows.append(row(clip, mode, strength, result))
                figures[f"{clip} {mode} {strength}"] = result.to_json()
                print(" | ".join(rows[-1]), f"({time.perf_counter() - started:.0f} s)", flush=True)
                for line in result.headlines:
                    print("    " + line, flush=True)
    (arguments.out / "audit.json").write_text(json.dumps(figures, indent=1))
    (arguments.out / "audit.md").write_text(table([j.description.name for j in judges], rows))


if __name__ == "__main__":
    main()
