"""Is a swapped face another person's, the same one in every frame, and does it move like the old one?

Whole runs of the program: what is judged is the encoded output, decoded again, beside the source and beside the same
faces under a solid fill, encoded alike. Judges are recognisers and a detector that took no part (one that did is
marked and decides nothing), and for landmarks the network that taught the program's own.

    python -m tests.bench.swap --data DIR --out DIR             # 120 LFW people, 13 clips
    python -m tests.bench.swap --quick                          # about two minutes

LFW: the first photo of a pair becomes a clip, the *other* photo is looked for in its output. Clips: only faces with
24 px between the eyes that are turned 30 degrees at most count; how many were left out, and why, is printed. A share
above its bar is excused only where a solid fill lies above it too and it lies at most two points higher (``--strict``:
never). Ends with 1 where a bar is missed. The pictures in ``--out`` show the source's faces: they identify people.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import cv2

from tests.bench import swap_bars, swap_lfw, swap_tables, swap_tone
from tests.bench.peers import ToolError
from tests.bench.swap_clips import FRAMES, group_of, people, sample, sample_names
from tests.bench.swap_identity import JUDGES, joined, load_judges, match_figures, share, steadiness, took_part
from tests.bench.swap_measure import ClipRun, Judges, found_again, measure, models, together, told
from tests.bench.swap_quality import Quality, QualityJudge, figures, left_out
from tests.bench.swap_run import make
from tests.bench.swap_sheets import pair_sheet
from vidanon.audit.coverage import independent_detector
from vidanon.audit.distractors import Distractors
from vidanon.audit.result import Check
from vidanon.config import DetectSettings
from vidanon.detect.assemble import make_detectors
from vidanon.errors import VidanonError
from vidanon.faces.mesh import load_mesh
from vidanon.recognise.base import Recogniser
from vidanon.runtime.device import Runtime, choose_runtime

QUICK = {"people": 8, "clips": "sign-again,pair", "frames": 24, "look": 8}
SHEET = 60  #: LFW people on the sheet
STRANGERS = 60  #: of LFW, whom nobody in the clips is


def progress(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("VIDANON_TEST_DATA"), help="the test data")
    parser.add_argument("--out", type=Path, default=Path("build/swap"), help="folder for clips, sheets and swap.json")
    parser.add_argument("--mode", default="swap")
    parser.add_argument("--people", type=int, default=120, help="LFW people; 0: none")
    parser.add_argument("--clips", help="names of sample clips, with commas; '' for none (default: all)")
    parser.add_argument("--asl", type=int, default=6, help="clips of somebody signing among all")
    parser.add_argument("--frames", type=int, help="first frames of each clip (default: all)")
    parser.add_argument(
        "--look", type=int, default=5, help="frames between two looks of landmark teacher and detectors"
    )
    parser.add_argument("--judges", default=",".join(JUDGES), help="names, or files of the test data's recognisers")
    parser.add_argument("--seed", type=int, default=0, help="which people, and the run's seed")
    parser.add_argument("--quick", action="store_true", help="few people and frames, about two minutes")
    parser.add_argument("--strict", action="store_true", help="excuse nothing by a solid fill")
    found = parser.parse_args(argv)
    if found.data is None:
        parser.error("name the test data: --data DIR, or set VIDANON_TEST_DATA")
    if found.quick:
        parser.set_defaults(**QUICK)
        found = parser.parse_args(argv)
    found.clips = sample_names(found.asl) if found.clips is None else [n for n in found.clips.split(",") if n]
    if not found.people and not found.clips:
        parser.error("nothing to do: give --people or --clips")
    return found


def of_lfw(
    args: argparse.Namespace, run: swap_lfw.LfwRun, recognisers: Sequence[Recogniser], parts: dict[str, str]
) -> tuple[dict[str, Any], dict[str, list[swap_tone.Compared]]]:
    """Matches by recogniser, and tables by tone; printed."""
    found = {judge.description.name: swap_lfw.matches(run, judge) for judge in recognisers}
    print(swap_tables.lfw(found, parts, len(run.people)), end="\n\n")
    groups = swap_tone.groups(run.tones)
    shown = [judged.shown for judged in run.quality.judged]
    tables = {
        f"matched by {name}": swap_tone.compare(groups, m.hits, m.counts)
        for name, m in found.items() if name not in parts
    }  # fmt: skip
    tables["not swapped"] = swap_tone.compare(groups, [not s for s in shown], [1] * len(shown))
    print(swap_tables.looks("LFW: the new faces, one frame each", figures(run.quality)), end="\n\n")
    print(swap_tables.tone(tables), end="\n\n")
    frames = FRAMES * len(run.people)
    print(
        f"LFW: no face left out; {sum(shown)} of {len(shown)} outputs show a face; the run planned nothing on the face "
        f"in {sum(run.missed)} of {frames} frames; {run.shared} people share a track with the one before; no tone for "
        f"{sum(t is None for t in run.tones)}"
    )
    pair_sheet(run.pairs[:SHEET], args.out / "lfw.jpg")
    return found, tables


def of_clips(
    runs: Sequence[ClipRun], recognisers: Sequence[Recogniser], parts: dict[str, str], strangers: Distractors
) -> dict[str, Any]:
    """Everything pooled over the clips, printed."""
    print(swap_tables.clips(runs, recognisers, strangers), end="\n\n")
    groups = {"all clips": list(runs)}
    for run in runs:
        groups.setdefault(f"{group_of(run.name)} clips", []).append(run)
    if len(groups) == 2:  # of one kind
        groups = {"all clips": list(runs)}
    found: dict[str, Any] = {"groups": {title: matches(of, recognisers, strangers) for title, of in groups.items()}}
    for title, of_group in found["groups"].items():
        print(swap_tables.pooled(title, of_group["match"], of_group["within_tracks"], parts), end="\n\n")
    quality = Quality([j for r in runs for j in r.quality.judged], [t for r in runs for t in r.quality.tracks])
    found |= found["groups"]["all clips"]
    found |= {
        "quality": figures(quality),
        "picture": together(runs),
        "flicker": together(runs).flicker,
        "still_flicker": together(runs).still_flicker,
        "change_ratio": together(runs).change_ratio,
        "warp": together(runs).warp,
        "found_again": found_again(runs),
        "left_out": left_out([reason for r in runs for reason in r.reasons]),
    }
    more = swap_tables.lasting(found["picture"], found["found_again"])
    print(swap_tables.looks("all clips: the new faces", found["quality"], more), end="\n\n")
    return found


def matches(runs: Sequence[ClipRun], recognisers: Sequence[Recogniser], strangers: Distractors) -> dict[str, Any]:
    """Of several clips together: match figures and cosines by recogniser, and the share that shows a face."""
    faces = joined([r.faces for r in runs])
    return {
        "match": {j.description.name: match_figures(faces, j, strangers) for j in recognisers},
        "within_tracks": {j.description.name: steadiness(faces, j) for j in recognisers},
        "shown": share(faces.shown, faces.tracks),
    }


def bars(
    lfw: dict[str, Any], tones: dict[str, Any], clips: dict[str, Any], recognisers: Sequence[Recogniser],
    parts: dict[str, str], strict: bool,
) -> list[Check]:  # fmt: skip
    independent = [j.description.name for j in recognisers if j.description.name not in parts]
    cosine = [j.description.name for j in recognisers if j.description.metric == "cosine"]
    checks = list(swap_bars.recognition(lfw, clips.get("match", {}), independent, strict))
    checks += swap_bars.tones(tones)
    if clips:
        checks += swap_bars.steady(clips["within_tracks"], [n for n in independent if n in cosine])
        checks += swap_bars.again(clips["found_again"])
        checks += swap_bars.picture(clips["picture"], clips["quality"], clips["shown"])
    return checks


def judges_for(data: Path, names: str, runtime: Runtime) -> Judges:
    finder = load_mesh(runtime)
    gate = make_detectors(DetectSettings(), runtime).gate
    detectors = [(gate, True)]
    other = independent_detector()
    if other is not None:
        detectors.insert(0, (other, False))
    recognisers = load_judges(data, runtime, [n.strip() for n in names.split(",")])
    return Judges(recognisers, finder, QualityJudge(data, finder, runtime), detectors)


def plain(value: Any) -> Any:
    """For json: dataclasses and the picture's ratios."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value)} cannot be written")


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    cv2.setNumThreads(1)
    begun = time.perf_counter()
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        print(f"error: {args.out}: {error.strerror}; choose another folder with --out", file=sys.stderr)
        return 2
    if not os.environ.get("VIDANON_MODELS"):
        os.environ["VIDANON_MODELS"] = str(args.data / "detectors")  # YuNet, as an installed program has it
    try:
        return bench(args, begun)
    except (VidanonError, ToolError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def bench(args: argparse.Namespace, begun: float) -> int:
    runtime = choose_runtime("cpu")
    judges = judges_for(args.data, args.judges, runtime)
    someone = people(args.data, max(args.people, 20), args.seed)  # the clips need strangers too
    strangers = swap_lfw.strangers(someone[:STRANGERS])
    run = swap_lfw.run(someone[: args.people], args.out, args.mode, args.seed, judges, progress)
    runs, failed = clip_runs(args, judges)
    failed += run.failed
    of_people, of_samples = [m.report for m in run.made], [r.made.report for r in runs]
    parts = took_part(judges.recognisers, models([*of_people, *of_samples]), runtime)
    said = {"lfw": told(of_people), "clips": told(of_samples)}
    lfw, tones = of_lfw(args, run, judges.recognisers, parts) if run.people else ({}, {})
    if run.people:
        print(swap_tables.runs(said["lfw"], {}, None), end="\n\n")
    clips = of_clips(runs, judges.recognisers, parts, strangers) if runs else {}
    if runs:
        print(swap_tables.runs(said["clips"], clips["left_out"], clips["shown"]), end="\n\n")
    checks = bars(lfw, tones, clips, judges.recognisers, parts, args.strict)
    if failed:
        checks.append(Check("runs of the program that failed", len(failed), 0, False, "count", note=failed[0]))
    print(swap_bars.verdict(checks))
    for name, why in parts.items():
        print(f"{name} decides nothing: {why}")
    missed = [check for check in checks if not check.passed]
    took = time.perf_counter() - begun
    print(f"{len(missed)} of {len(checks)} bars missed; {took:.0f} s; pictures and swap.json are in {args.out}")
    whole = {
        "arguments": {k: str(v) for k, v in vars(args).items()}, "took_part": parts, "runs": said, "failed": failed,
        "lfw": {"matches": lfw, "looks": figures(run.quality)}, "tones": {"people": run.tones, "tables": tones},
        "clips": clips, "by_clip": [by_clip(r) for r in runs], "bars": checks, "passed": not missed, "seconds": took,
    }  # fmt: skip
    (args.out / "swap.json").write_text(json.dumps(whole, indent=1, default=plain), encoding="utf-8")
    return 1 if missed else 0


def clip_runs(args: argparse.Namespace, judges: Judges) -> tuple[list[ClipRun], list[str]]:
    """Every clip through the program, and why some could not be."""
    runs, failed = [], []
    for name in args.clips:
        progress(name)
        source = sample(args.data, name, args.out, args.frames)
        try:
            made = make(source, args.out, args.mode, args.seed)
        except VidanonError as error:
            failed.append(f"{name}: {error}")
            continue
        runs.append(measure(made, judges, args.look, args.out))
        reasons = runs[-1].reasons
        progress(f"  {runs[-1].frames} frames, {reasons.count('')} of {len(reasons)} face-frames count")
    return runs, failed


def by_clip(run: ClipRun) -> dict[str, Any]:
    """What the file says of one clip."""
    return {
        "name": run.name, "frames": run.frames, "left_out": left_out(run.reasons), "looks": figures(run.quality),
        "flicker": run.picture.flicker, "still_flicker": run.picture.still_flicker,
        "change_ratio": run.picture.change_ratio, "warp": run.picture.warp, "again": run.again,
        "run": told([run.made.report]),
    }  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
