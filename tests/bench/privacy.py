"""How strong are the obscuring modes? Match rates of face recognisers on decoded output.

Every face of the source is protected, the frames go through x264 and back, and each recogniser compares the face
with the *same* frame of the source, aligned by the source's landmarks: the easiest case there is for it. The bar is
1 % false accepts. A solid fill leaves hair, neck and place: what it leaves is the floor. Only faces with at least
24 px between the eyes count; smaller ones hardly match anything.

``parrot`` (information only): how often the nearest of a gallery *protected in the same way* is another photo of the
same person. A person who holds photos of the suspects can always do this.

    python -m tests.bench.privacy --data DIR --out DIR

The groups are those of :mod:`tests.bench.face_clips`; compare with the solid fill in every one of them.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import matplotlib
import numpy as np
import torch

from tests.bench.face_clips import Bytes, Clip, crowd, footage, photos, to_rgb
from vidanon.config import ProtectSettings
from vidanon.faces.align import apply, similarity
from vidanon.faces.blend import blend, split
from vidanon.faces.gather import gather
from vidanon.media.planes import from_av, to_av
from vidanon.protect.base import Protector
from vidanon.protect.obscure import Blur, Mask, Pixelate
from vidanon.recognise.base import Recogniser, similarities, threshold
from vidanon.recognise.crop import crop
from vidanon.recognise.described import load_described
from vidanon.runtime.device import choose_runtime
from vidanon.types import FloatArray, Frame, PlanRow

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  (after the backend is chosen)

MIN_EYES = 24.0  #: px between the eyes
JUDGES = ("mobileface_v2", "mobileface_v3", "dlib_densenet")  #: of the test data; they take no part in the product
FAR = 0.01
GROUPS = ("all", "photos", "crowd", "street", "close")
PROTECTORS: dict[str, type[Protector]] = {"mask": Mask, "pixelate": Pixelate, "blur": Blur}


@dataclass(frozen=True)
class Variant:
    """One way of protecting."""

    name: str
    settings: ProtectSettings
    kind: str  #: curve of the plot
    strength: float


def variants(base: ProtectSettings, cells: Sequence[int], blurs: Sequence[float]) -> list[Variant]:
    """Solid fills, mosaic and blur at every strength, and both without texture; otherwise as ``base``."""
    made = [
        Variant(f"mask {shape}", base.model_copy(update={"mode": "mask", "shape": shape}), f"mask {shape}", 0.0)
        for shape in ("ellipse", "solid", "hull")
    ]
    made += [
        Variant(f"pixelate {n}", base.model_copy(update={"mode": "pixelate", "cells": n}), "pixelate", n) for n in cells
    ]
    made += [Variant(f"blur {s:g}", base.model_copy(update={"mode": "blur", "blur": s}), "blur", s) for s in blurs]
    made += [
        Variant(f"{mode} smooth", base.model_copy(update={"mode": mode, "texture": 0.0}), "smooth", 0.0)
        for mode in ("pixelate", "blur")
    ]
    return made


# The way through -----------------------------------------------------------------------------------------


def protect(clip: Clip, settings: ProtectSettings) -> list[Frame]:
    """Every face of the clip protected, as a run does it."""
    protector = PROTECTORS[settings.mode](settings)  # type: ignore[call-arg]
    out = []
    for start in range(0, len(clip.frames), 16):
        frames = clip.frames[start : start + 16]
        rows = [row for row in clip.rows if start <= row.frame < start + 16]
        parts: dict[int, list] = {frame.index: [] for frame in frames}
        for batch in gather(frames, rows, settings, "cpu"):
            for part in split(batch, protector(batch, {})[0]):
                parts[part.frame].append(part)
        out += [blend(frame, parts[frame.index], (), settings).frame for frame in frames]
    return out


def through_x264(frames: Sequence[Frame], crf: float) -> list[Bytes]:
    """Encode and decode again: (h, w, 3) RGB per frame."""
    first = frames[0]
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = first.width, first.height, first.format.name
    encoder.time_base, encoder.framerate = first.time_base, Fraction(1) / first.time_base
    encoder.options = {"crf": f"{crf:g}", "preset": "veryfast"}
    encoder.thread_count = 1
    packets = [packet for frame in [*map(to_av, frames), None] for packet in encoder.encode(frame)]
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.extradata = encoder.extradata
    decoded = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    if len(decoded) != len(frames):
        raise RuntimeError(f"{len(decoded)} frames came back, {len(frames)} went in")
    pictures = []
    for frame, source in zip(decoded, frames, strict=True):
        planes, fmt, colour = from_av(frame)
        pictures.append(to_rgb(Frame(planes, fmt, source.colour, source.index, source.pts, source.time_base)))
    return pictures


# Judging -------------------------------------------------------------------------------------------------


def load_judges(data: Path) -> list[Recogniser]:
    """The recognisers of the test data, with the thresholds that the program knows for them."""
    runtime = choose_runtime("cpu", 1)
    return [load_described(data / "recognisers" / f"{name}.onnx", runtime) for name in JUDGES]


def name_of(judge: Recogniser) -> str:
    return judge.description.name


def counted(clip: Clip) -> list[PlanRow]:
    return [row for row in clip.rows if row.landmarks is not None and _eyes(row.landmarks) >= MIN_EYES]


def _eyes(marks: FloatArray) -> float:
    return float(np.linalg.norm(marks[1] - marks[0]))


def embed(judge: Recogniser, clip: Clip, pictures: Sequence[Bytes]) -> FloatArray:
    """(N, D) of the counted faces of ``pictures``, aligned by the source's landmarks."""
    crops = []
    for row in counted(clip):
        assert row.landmarks is not None
        crops.append(crop(pictures[row.frame], row.landmarks, judge.description))
    return judge.embed(np.stack(crops))


def match_rate(judge: Recogniser, source: FloatArray, output: FloatArray) -> tuple[int, int]:
    """Faces whose output matches their own source frame at the recogniser's bar, and faces."""
    about = judge.description
    own = np.array([similarities(about, a[None], b[None])[0, 0] for a, b in zip(source, output, strict=True)])
    return int((own >= threshold(about, FAR)).sum()), len(own)


def parrot_rate(judge: Recogniser, clip: Clip, embeddings: FloatArray) -> float:
    """Share of second photos whose nearest first photo is the same person's; both protected alike."""
    people = [clip.people[row.frame] for row in counted(clip)]
    first: dict[str, int] = {}
    second: dict[str, int] = {}
    for i, person in enumerate(people):
        (second if person in first else first)[person] = i
    names = [name for name in first if name in second]
    gallery = embeddings[[first[name] for name in names]]
    probes = embeddings[[second[name] for name in names]]
    return float((similarities(judge.description, probes, gallery).argmax(1) == np.arange(len(names))).mean())


def measure(clips: Sequence[Clip], judges: Sequence[Recogniser], tried: Sequence[Variant], crf: float) -> dict:
    """Rates by variant, group and recogniser, with the counts they come from."""
    sources = {clip.name: [to_rgb(frame) for frame in clip.frames] for clip in clips}
    known = {(name_of(j), c.name): embed(j, c, sources[c.name]) for j in judges for c in clips if counted(c)}
    results: dict = {}
    for variant in [Variant("source", tried[0].settings, "source", 0.0), *tried]:
        counts: dict[tuple[str, str], np.ndarray] = {}
        parrot: dict[str, float] = {}
        for clip in clips:
            if not counted(clip):
                continue
            frames = clip.frames if variant.name == "source" else protect(clip, variant.settings)
            pictures = through_x264(frames, crf)
            for judge in judges:
                output = embed(judge, clip, pictures)
                hit = np.array(match_rate(judge, known[name_of(judge), clip.name], output))
                for group in (clip.group, "all"):
                    counts[group, name_of(judge)] = counts.get((group, name_of(judge)), np.zeros(2, int)) + hit
                if clip.people:
                    parrot[name_of(judge)] = parrot_rate(judge, clip, output)
        results[variant.name] = {
            "kind": variant.kind,
            "strength": variant.strength,
            "match": {
                group: {name_of(j): float(counts[group, name_of(j)][0] / counts[group, name_of(j)][1]) for j in judges}
                for group in sorted({g for g, _ in counts})
            },
            "faces": {group: int(counts[group, name_of(judges[0])][1]) for group in sorted({g for g, _ in counts})},
            "parrot": parrot,
        }
        print(line(variant.name, results[variant.name], judges), flush=True)
    return results


def passes(result: dict, floor: dict) -> bool:
    """At most 2 %, or a point above the solid fill of the same shape where that is more, by every recogniser."""
    return all(rate <= max(0.02, floor["match"]["all"][name] + 0.01) for name, rate in result["match"]["all"].items())


# Showing -------------------------------------------------------------------------------------------------


def heading(judges: Sequence[Recogniser]) -> str:
    return f"{'':14}" + "".join(f"{name_of(j) + ' ' + '/'.join(GROUPS):>50}" for j in judges) + "   parrot"


def line(name: str, result: dict, judges: Sequence[Recogniser]) -> str:
    cells = []
    for judge in judges:
        groups = [result["match"].get(group, {}).get(name_of(judge)) for group in GROUPS]
        cells.append(f"{' '.join('    -  ' if g is None else f'{g:6.1%} ' for g in groups):>50}")
    parrot = " ".join(f"{result['parrot'][name_of(j)]:4.0%}" for j in judges if name_of(j) in result["parrot"])
    return f"{name:14}" + "".join(cells) + f"   {parrot}"


def plot(results: dict, judges: Sequence[Recogniser], path: Path) -> None:
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True)
    for axis, kind, label in zip(axes, ("pixelate", "blur"), ("cells across the face", "sigma / face"), strict=True):
        for colour, judge in zip(("C0", "C1", "C2"), judges, strict=False):
            points = [(r["strength"], r["match"]["all"][name_of(judge)]) for r in results.values() if r["kind"] == kind]
            axis.plot(*zip(*points, strict=True), "o-", color=colour, label=name_of(judge))
            axis.axhline(
                results["mask ellipse"]["match"]["all"][name_of(judge)], color=colour, linestyle=":", linewidth=1
            )
        axis.axhline(0.02, color="grey", linewidth=0.8)
        axis.set(title=kind, xlabel=label, ylim=(0, 0.3))
    axes[0].set_ylabel("match to the same frame at 1 % FAR")
    axes[0].legend(title="dotted: solid ellipse; grey: 2 %")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def sheet(clips: Sequence[Clip], tried: Sequence[Variant], path: Path) -> None:
    """One row per face, one column per variant, the source first: to be looked at."""
    rows = []
    for clip in clips:
        biggest = sorted(counted(clip), key=lambda r: -_eyes(r.landmarks))[:: max(1, len(counted(clip)) // 3)][:3]
        for row in biggest:
            small = Clip(
                clip.name, clip.group, [clip.frames[row.frame]], [r for r in clip.rows if r.frame == row.frame]
            )
            small.frames = [Frame(**{**small.frames[0].__dict__, "index": 0})]
            small.rows = [PlanRow(0, r.track, r.box, r.landmarks, r.state, r.confidence) for r in small.rows]
            pictures = [to_rgb(small.frames[0])] + [to_rgb(protect(small, v.settings)[0]) for v in tried]
            side = 1.1 * float(max(row.box[2] - row.box[0], row.box[3] - row.box[1]))
            x, y = float(row.box[0] + row.box[2]) / 2, float(row.box[1] + row.box[3]) / 2
            square = np.array([[x - side, y - side], [x + side, y + side]], np.float32)
            matrix = similarity(square, np.array([[0, 0], [220, 220]], np.float32))
            assert np.allclose(apply(matrix, square)[1], 220, atol=0.1)
            rows.append(np.hstack([cv2.warpAffine(p, matrix, (220, 220), flags=cv2.INTER_CUBIC) for p in pictures]))
    cv2.imwrite(str(path), np.vstack(rows)[:, :, ::-1])


def main() -> None:
    parser = argparse.ArgumentParser(description="match rates of recognisers on protected faces")
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("VIDANON_TEST_DATA"), help="test data (default: VIDANON_TEST_DATA)"
    )
    parser.add_argument("--out", type=Path, default=Path("build/privacy"), help="folder for table, plot and sheet")
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--frames", type=int, default=6, help="frames of each clip")
    parser.add_argument("--step", type=int, default=6, help="take every k-th frame of a clip")
    parser.add_argument("--crf", type=float, default=20)
    parser.add_argument("--cells", type=int, nargs="*", default=[4, 6, 12])
    parser.add_argument("--blurs", type=float, nargs="*", default=[0.1, 0.2])
    parser.add_argument("--mask-scale", type=float, default=ProtectSettings().mask_scale)
    parser.add_argument("--feather", type=float, default=ProtectSettings().feather)
    parser.add_argument("--shape", choices=("solid", "ellipse", "hull"), default=ProtectSettings().shape)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("give --data, the folder of the test data, or set VIDANON_TEST_DATA")
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    base = ProtectSettings(shape=arguments.shape, mask_scale=arguments.mask_scale, feather=arguments.feather)
    default = ProtectSettings()
    tried = variants(
        base,
        sorted({*arguments.cells, default.cells}),
        sorted({*arguments.blurs, default.blur}),
    )
    clips = [photos(arguments.data, arguments.photos, arguments.seed)]
    clips.append(crowd(clips[0], 168, arguments.frames))
    clips += footage(arguments.data, arguments.frames, arguments.step)
    judges = load_judges(arguments.data)
    for clip in clips:
        print(
            f"{clip.name}: {clip.group}, {len(clip.frames)} frames, {len(clip.rows)} faces, {len(counted(clip))} count"
        )
    print(heading(judges))
    results = measure(clips, judges, tried, arguments.crf)
    floor = results[f"mask {arguments.shape}"]
    for name, result in results.items():
        result["passes"] = name != "source" and passes(result, floor)
    print("pass:", ", ".join(name for name, result in results.items() if result["passes"]) or "none")
    settings = {key: str(value) for key, value in vars(arguments).items() if key not in ("data", "out")}
    (arguments.out / "privacy.json").write_text(json.dumps({"settings": settings, "results": results}, indent=1))
    plot(results, judges, arguments.out / "privacy.png")
    shown = [
        v
        for v in tried
        if v.kind.startswith("mask")
        or v.settings.cells == default.cells
        and v.kind == "pixelate"
        or v.settings.blur == default.blur
        and v.kind == "blur"
    ]
    sheet(clips, shown, arguments.out / "privacy-sheet.png")


if __name__ == "__main__":
    main()
