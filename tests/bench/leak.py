"""Leak bench: how many face-frames are not covered, tool by tool, on the same clips in the same run.

    python -m tests.bench.leak --clips 12 --out build/leak

Writes ``leak.json``, ``leak.md``, ``leak.png`` and, for every tool that leaked, ``failures-TOOL.json`` and
``failures-TOOL.png`` (source crop with the face's ellipse beside the output crop), and ``beside-TOOL.png``: the frames
in which most was covered away from every face, since covering everything leaks nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench import coverage, plots
from tests.bench.composites import Clip, make_clip
from tests.bench.coverage import Measured, MeasureError, tally
from tests.bench.motion import BUCKETS
from tests.bench.peers import Deface, FrameMtcnn, Tool, ToolError, Vidanon, default_cache, find_deface
from tests.bench.portraits import load_portraits

TOOLS = ("vidanon-mtcnn", "vidanon-all", "mtcnn-frames", "deface")
GROUPS = {"16-32": (16.0, 32.0), ">=32": (32.0, 1e9), "all": (16.0, 1e9)}


def make_tool(name: str, args: argparse.Namespace) -> Tool:
    if name.startswith("vidanon-"):
        models = Path(args.data) / "detectors" if args.data else None
        return Vidanon(name.removeprefix("vidanon-"), tuple(args.vidanon_option), models)
    if name == "mtcnn-frames":
        return FrameMtcnn()
    if name in ("deface", "deface-boxes"):
        return Deface(find_deface(args.deface, default_cache()), args.work, boxes=name == "deface-boxes")
    raise SystemExit(f"unknown tool '{name}': choose from {', '.join((*TOOLS, 'vidanon-yunet', 'deface-boxes'))}")


def output_of(tool: Tool, clip: Clip, work: Path, fresh: bool, reuse: bool) -> tuple[Path, float | None]:
    """The tool's output for a clip and its seconds; None where a stored output was taken."""
    key = tool.key()
    path = work / f"{clip.video.stem}.{tool.name}{'-' + key if key else ''}.mp4"
    if path.is_file() and ((key and not fresh) or reuse):
        return path, None
    part = path.with_suffix(".part.mp4")
    seconds = tool.run(clip.video, part)
    part.replace(path)
    return path, seconds


def summary(rows: list[Measured]) -> dict[str, Any]:
    """Tallies by reporting group and by fine size bucket."""
    fine = {f"{low}-{high}": tally(rows, low, high if high < BUCKETS[-1][1] else 1e9) for low, high in BUCKETS}
    return {**{name: tally(rows, *bounds) for name, bounds in GROUPS.items()}, "by_size": fine}


def ratio(leaks: int, ours: int | None) -> str:
    """Leaks in multiples of ours; against none of ours the multiple of one is a lower bound."""
    if ours is None:
        return "-"
    return f"{leaks / ours:.1f}" if ours else (f"> {leaks}" if leaks else "1.0")


def table(results: dict[str, dict[str, Any]], labels: dict[str, str]) -> str:
    """Markdown: leakage and burst by size group, and leaks in multiples of ours."""
    lines = [
        "| tool | 16-32 px | >= 32 px | clear >= 32 px | burst >= 32 px | burst all "
        "| black beside faces, of the picture | leaks / ours |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    ours = results.get("vidanon-all", {}).get("all", {}).get("leaks")
    for name, result in results.items():
        small, large, every = result["16-32"], result[">=32"], result["all"]
        cells = [
            labels[name],
            f"{100 * small['leakage']:.2f} % of {small['face_frames']}",
            f"{100 * large['leakage']:.2f} % of {large['face_frames']}",
            f"{100 * large['clear'] / max(1, large['face_frames']):.2f} %",
            f"{100 * large['burst']:.1f} % of {large['tracks']}",
            f"{100 * every['burst']:.1f} % of {every['tracks']}",
            f"{100 * result['black_beside_faces']:.2f} %",
            ratio(every["leaks"], ours),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def failures(rows: list[Measured], clips: dict[int, Clip]) -> list[dict[str, Any]]:
    """Runs of leaking frames, longest first."""
    return [
        {
            "clip": run.clip,
            "video": clips[run.clip].video.name,
            "track": run.track,
            "first": run.rows[0].truth.frame,
            "last": run.rows[-1].truth.frame,
            "size": round(run.worst.truth.size, 1),
            "visible": round(run.worst.truth.visible, 2),
            "covered": round(run.worst.share, 3),
            "centre": [round(v, 1) for v in run.worst.truth.centre],
            "events": plots.events_of(clips[run.clip], run.track),
        }
        for run in plots.runs_of(rows)
    ]


def clean(value: Any) -> Any:
    """JSON has no NaN: None instead."""
    if isinstance(value, dict):
        return {k: clean(v) for k, v in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--clips", type=int, default=12, help="number of clips (default 12)")
    parser.add_argument("--first", type=int, default=0, help="number of the first clip")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true", help="run the peers again where their outputs are stored")
    parser.add_argument(
        "--reuse", action="store_true", help="look again at stored outputs, our own and all: no new figure"
    )
    parser.add_argument("--quick", action="store_true", help="two clips of 60 frames: a smoke test, not a figure")
    parser.add_argument(
        "--tools",
        default=",".join(TOOLS),
        help="comma-separated, from: " + ", ".join((*TOOLS, "vidanon-yunet", "deface-boxes")),
    )
    parser.add_argument("--out", type=Path, default=Path("build/leak"), help="where table, JSON and pictures go")
    parser.add_argument(
        "--work", type=Path, default=default_cache(), help="where clips and peers' outputs are kept between runs"
    )
    parser.add_argument(
        "--data", type=Path, default=os.environ.get("VIDANON_TEST_DATA"), help="test data (default: VIDANON_TEST_DATA)"
    )
    parser.add_argument("--faces", type=Path, help="folder of portraits to use instead of the test data's")
    parser.add_argument("--yunet", type=Path, help="YuNet's ONNX file where there is no test data")
    parser.add_argument(
        "--deface", type=Path, help="deface's program; default: installed by pip into an environment of its own"
    )
    parser.add_argument(
        "--vidanon-option",
        action="append",
        default=[],
        help="further option for vidanon, as --vidanon-option=--every=2",
    )
    return parser.parse_args()


def main() -> None:
    args = arguments()
    data = Path(args.data) if args.data else None
    args.out.mkdir(parents=True, exist_ok=True)
    args.work.mkdir(parents=True, exist_ok=True)
    try:
        tools = [make_tool(name.strip(), args) for name in args.tools.split(",") if name.strip()]
        portraits = load_portraits(data, args.work, args.faces, args.yunet)
        count = 2 if args.quick else args.clips
        numbers = range(args.first, args.first + count)
        clips = {
            n: make_clip(portraits, data, args.work, args.seed, n, frames=60 if args.quick else None) for n in numbers
        }
        results, labels, everything = {}, {}, {}
        for tool in tools:
            rows: list[Measured] = []
            outputs, seconds, hidden, dark = {}, 0.0, 0, 0
            black: list[float] = []
            beside: list[float] = []
            worst: dict[int, tuple[int, float]] = {}
            for number, clip in clips.items():
                begin = time.perf_counter()
                outputs[number], took = output_of(tool, clip, args.work, args.fresh, args.reuse)
                measured = coverage.measure(clip, outputs[number])
                rows += measured.rows
                hidden, dark = hidden + measured.hidden, dark + measured.dark
                black.append(measured.black)
                beside.append(measured.beside)
                worst[number] = measured.worst
                seconds += took or 0.0
                leaks = sum(r.leaks for r in measured.rows)
                print(
                    f"{tool.name}: clip {number}: {leaks} of {len(measured.rows)} face-frames leak "
                    f"({time.perf_counter() - begin:.0f} s)",
                    file=sys.stderr,
                )
            everything[tool.name], labels[tool.name] = rows, tool.label
            total = max(1, len(rows) + hidden + dark)
            results[tool.name] = {
                "label": tool.label,
                **summary(rows),
                "not_counted": {"hidden": hidden, "dark": dark, "share": (hidden + dark) / total},
                "black_share_of_picture": sum(black) / max(1, len(black)),
                "black_beside_faces": sum(beside) / max(1, len(beside)),
                "black_beside_faces_by_clip": dict(zip(clips, beside, strict=True)),
                "seconds": round(seconds, 1),
            }
            listed = failures(rows, clips)
            (args.out / f"failures-{tool.name}.json").write_text(json.dumps(listed, indent=1), encoding="utf-8")
            sheet = args.out / f"failures-{tool.name}.png"
            sheet.unlink(missing_ok=True)
            (args.out / f"beside-{tool.name}.png").unlink(missing_ok=True)
            plots.beside_sheet(args.out / f"beside-{tool.name}.png", clips, outputs, worst)
            plots.contact_sheet(sheet, clips, outputs, plots.runs_of(rows)[:40])
    except (ToolError, MeasureError) as error:
        raise SystemExit(f"error: {error}") from error
    text = table(results, labels)
    about = {
        "clips": [c.about for c in clips.values()],
        "seed": args.seed,
        "quick": args.quick,
        "frames": sum(c.about["frames"] for c in clips.values()),
        "leak_below": coverage.LEAK,
        "results": results,
    }
    (args.out / "leak.json").write_text(json.dumps(clean(about), indent=1), encoding="utf-8")
    excluded = next(iter(results.values()))["not_counted"]["share"]
    note = (
        f"{len(clips)} clips, {about['frames']} frames, seed {args.seed}; "
        f"{100 * excluded:.1f} % of face-frames not counted (too little to be seen, or too dark)"
    )
    (args.out / "leak.md").write_text(f"{text}\n\n{note}\n", encoding="utf-8")
    sizes = next(iter(results.values()))["by_size"]
    ticks = [f"{name}\n{sizes[name]['face_frames']} face-frames" for name in sizes]
    rates = {
        labels[name]: [float(result["by_size"][f"{low}-{high}"]["leakage"]) for low, high in BUCKETS]
        for name, result in results.items()
    }
    plots.plot_leaks(args.out / "leak.png", ticks, rates, note)
    print(f"{text}\n\n{note}\nwritten to {args.out}")


if __name__ == "__main__":
    main()
