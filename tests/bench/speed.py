"""Speed bench: frames per second end to end, alternating, on one 720p clip with three faces and sound.

    python -m tests.bench.speed --out build/speed              # shipped defaults against deface's and the floor
    python -m tests.bench.speed --frames 20000 --out build/speed   # memory over a long clip

Whole processes are timed: start, loading of models, decoding, all the work, encoding, checking. Each tool is also
run on a few frames of the same kind; what that takes is its start-up, and the row without it is
(frames - few) / (seconds - seconds for the few). Peak memory is the process's and all its children's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import psutil  # type: ignore[import-untyped]

from tests.bench.composites import Clip, make_clip
from tests.bench.peers import Deface, ToolError, Vidanon, default_cache, find_deface
from tests.bench.portraits import load_portraits

FEW = 10  #: frames of the clip that measures start-up
SAMPLE_SECONDS = 0.2
REFERENCE = 1000  #: frames of the run that a long run's memory is held against: several segments
Command = Callable[[Path, Path], list[str]]


@dataclass
class Timing:
    """One process from start to end."""

    seconds: float
    peak: int  #: bytes, resident, the process and its children together
    samples: list[tuple[float, int]] = field(default_factory=list)  #: seconds since the start, bytes


def resident(process: psutil.Process) -> int:
    """Resident bytes of a process and its children; 0 once it has gone."""
    total = 0
    try:
        for one in [process, *process.children(recursive=True)]:
            try:
                total += one.memory_info().rss
            except psutil.Error:
                continue
    except psutil.Error:
        return total
    return total


def timed(command: list[str], environment: dict[str, str] | None = None) -> Timing:
    """Runs a command to its end, sampling memory. Raises ToolError where it fails."""
    with tempfile.TemporaryFile("w+") as said:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=said, stderr=said, env={**os.environ, **(environment or {})})
        watched = psutil.Process(process.pid)
        samples: list[tuple[float, int]] = []
        done = threading.Event()

        def watch() -> None:
            while not done.is_set():
                samples.append((time.perf_counter() - begin, resident(watched)))
                done.wait(SAMPLE_SECONDS)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        code = process.wait()
        seconds = time.perf_counter() - begin
        done.set()
        watcher.join()
        if code != 0:
            said.seek(0)
            tail = " | ".join(said.read().replace("\r", "\n").strip().splitlines()[-3:])
            raise ToolError(f"{' '.join(command[:4])} ... ended with {code}: {tail}")
    return Timing(seconds, max((b for _, b in samples), default=0), samples)


def recode(source: Path, output: Path, threads: int) -> None:
    """Decodes and encodes a video with nothing in between, planes as they are: no tool can be faster."""
    with av.open(str(source)) as reader, av.open(str(output), "w") as writer:
        stream = reader.streams.video[0]
        stream.thread_type = "AUTO"
        options = {"crf": "23", "preset": "veryfast", "threads": str(threads)}
        target: Any = writer.add_stream("libx264", rate=Fraction(stream.average_rate or 25), options=options)
        target.width, target.height, target.pix_fmt = stream.width, stream.height, "yuv420p"
        for index, frame in enumerate(reader.decode(stream)):
            frame.pts, frame.time_base, frame.pict_type = index, 1 / Fraction(stream.average_rate or 25), 0
            writer.mux(target.encode(frame))
        writer.mux(target.encode(None))


def lengthen(source: Path, output: Path, frames: int) -> int:
    """The same pictures again and again, packet for packet, up to at least ``frames``; answers how many."""
    with av.open(str(source)) as reader:
        stream = reader.streams.video[0]
        packets = [bytes(p) for p in reader.demux(stream) if p.dts is not None]
    with av.open(str(source)) as reader, av.open(str(output), "w") as writer:
        stream = reader.streams.video[0]
        meta = [(p.pts, p.dts, p.duration, p.is_keyframe) for p in reader.demux(stream) if p.dts is not None]
        target: Any = writer.add_stream_from_template(stream)
        length = sum(int(duration or 0) for _, _, duration, _ in meta)
        rounds = -(-frames // len(meta))
        for k in range(rounds):
            for content, (pts, dts, duration, key) in zip(packets, meta, strict=True):
                packet = av.Packet(content)
                packet.stream, packet.time_base = target, Fraction(stream.time_base or 1)
                packet.pts, packet.dts, packet.duration = (
                    int(pts or 0) + k * length,
                    int(dts or 0) + k * length,
                    duration,
                )
                packet.is_keyframe = key
                writer.mux(packet)
    return rounds * len(meta)


def medians(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def compare(commands: dict[str, Command], clip: Clip, few: Clip, work: Path, rounds: int) -> dict[str, Any]:
    """Every tool in turn, round after round; fps whole and without start-up, and peak memory."""
    frames, small = int(clip.about["frames"]), int(few.about["frames"])
    runs: dict[str, list[Timing]] = {name: [] for name in commands}
    starts: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(rounds):
        for name, command in commands.items():
            for source, short in ((few, True), (clip, False)):
                output = work / f"speed-{name}.mp4"
                output.unlink(missing_ok=True)
                timing = timed(command(source.video, output))
                if not output.is_file():
                    raise ToolError(f"{name} wrote no output")
                if short:
                    starts[name].append(timing.seconds)
                else:
                    runs[name].append(timing)
            print(f"round {turn + 1}: {name}: {frames / runs[name][-1].seconds:.1f} fps", file=sys.stderr)
    result: dict[str, Any] = {}
    for name, timings in runs.items():
        inner = [(frames - small) / max(1e-6, t.seconds - s) for t, s in zip(timings, starts[name], strict=True)]
        result[name] = {
            "fps": medians([frames / t.seconds for t in timings]),
            "fps_without_start": medians(inner),
            "few_frames_seconds": medians(starts[name]),
            "peak_mb": max(t.peak for t in timings) / 2**20,
        }
    return result


def ratios(result: dict[str, Any], ours: str) -> dict[str, dict[str, float]]:
    """Our median over each other tool's."""
    return {
        name: {key: result[ours][key]["median"] / entry[key]["median"] for key in ("fps", "fps_without_start")}
        for name, entry in result.items()
        if name != ours
    }


def memory(command: Command, clip: Clip, work: Path, frames: int, reference: int = REFERENCE) -> dict[str, Any]:
    """Resident memory over a long clip: how far its peak lies above that of a clip of ``reference`` frames.

    Peaks are compared, not the start and the end of one run: the passes of one run need different amounts.
    """
    if frames < 2 * reference:
        raise ToolError(f"--frames {frames}: give at least {2 * reference}, memory is compared with {reference} frames")
    runs: dict[int, Timing] = {}
    for wanted in (reference, frames):
        long = work / f"{clip.video.stem}-long.mp4"
        count = lengthen(clip.video, long, wanted)
        output = work / "speed-long.mp4"
        output.unlink(missing_ok=True)
        runs[count] = timed(command(long, output))
        output.unlink(missing_ok=True)
        long.unlink()
    return compare_memory(runs)


def compare_memory(runs: dict[int, Timing]) -> dict[str, Any]:
    """Figures of a short and a long run, by number of frames; the curves are (seconds, MiB), 400 points at most."""
    short, long = sorted(runs)
    curves = {}
    for count, timing in runs.items():
        step = max(1, len(timing.samples) // 400)
        curves[str(count)] = [[round(t, 1), round(b / 2**20, 1)] for t, b in timing.samples[::step]]
    return {
        "frames": long,
        "fps": long / runs[long].seconds,
        "peak_mb": runs[long].peak / 2**20,
        "reference_frames": short,
        "reference_peak_mb": runs[short].peak / 2**20,
        "growth_mb": (runs[long].peak - runs[short].peak) / 2**20,
        "curves": curves,
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=11.0, help="length of the clip")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", type=int, default=2, help="cores every tool may use")
    parser.add_argument("--frames", type=int, help="measure memory over this many frames instead of speed")
    parser.add_argument("--tools", default="vidanon,deface,floor")
    parser.add_argument("--out", type=Path, default=Path("build/speed"))
    parser.add_argument("--work", type=Path, default=default_cache(), help="where clips are kept between runs")
    parser.add_argument("--data", type=Path, default=os.environ.get("VIDANON_TEST_DATA"), help="test data")
    parser.add_argument("--faces", type=Path, help="folder of portraits to use instead of the test data's")
    parser.add_argument("--yunet", type=Path, help="YuNet's ONNX file where there is no test data")
    parser.add_argument(
        "--deface", type=Path, help="deface's program; default: installed into an environment of its own"
    )
    parser.add_argument("--mode", default="mask", help="vidanon's; the others cover faces in any case")
    parser.add_argument("--vidanon-option", action="append", default=[], help="further option for vidanon")
    parser.add_argument("--recode", nargs=2, type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    if args.recode:
        recode(args.recode[0], args.recode[1], args.cores)
        return
    mine = psutil.Process()
    allowed = mine.cpu_affinity()
    if len(allowed) > args.cores:
        mine.cpu_affinity(allowed[: args.cores])  # inherited by every tool
    data = Path(args.data) if args.data else None
    args.out.mkdir(parents=True, exist_ok=True)
    args.work.mkdir(parents=True, exist_ok=True)
    report = args.work / "speed-report.json"
    vidanon = Vidanon("all", tuple(args.vidanon_option), data / "detectors" if data else None, args.mode)
    os.environ.update(vidanon.environment)

    def ours(source: Path, output: Path) -> list[str]:
        report.unlink(missing_ok=True)
        return vidanon.command(source, output, report)

    known: dict[str, Callable[[], Command]] = {
        "vidanon": lambda: ours,
        "deface": lambda: Deface(find_deface(args.deface, default_cache()), args.work).default_command,
        "floor": lambda: lambda source, output: [
            sys.executable, "-m", "tests.bench.speed", "--cores", str(args.cores), "--recode", str(source), str(output),
        ],
    }  # fmt: skip
    names = ["vidanon"] if args.frames else [name.strip() for name in args.tools.split(",")]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise SystemExit(f"unknown tool '{unknown[0]}': choose from {', '.join(known)}")
    try:
        portraits = load_portraits(data, args.work, args.faces, args.yunet)
        clip = make_clip(
            portraits, data, args.work, args.seed, 0, frames=int(args.seconds * 25), faces=3, audio=True, calm=True
        )
        commands = {name: known[name]() for name in names}
        if args.frames:
            found = memory(commands["vidanon"], clip, args.work, args.frames)
            (args.out / "memory.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
            print(f"{found['frames']} frames at {found['fps']:.1f} fps: peak {found['peak_mb']:.0f} MiB, "
                  f"{found['growth_mb']:+.1f} MiB over that of {found['reference_frames']} frames")  # fmt: skip
            return
        few = make_clip(portraits, data, args.work, args.seed, 0, frames=FEW, faces=3, audio=True, calm=True)
        result = compare(commands, clip, few, args.work, args.rounds)
        said = vidanon.check(report) if "vidanon" in result else {}
    except ToolError as error:
        raise SystemExit(f"error: {error}") from error
    about: dict[str, Any] = {
        "clip": clip.about,
        "cores": args.cores,
        "mode": args.mode,
        "rounds": args.rounds,
        "load": os.getloadavg(),
        "tools": result,
    }
    if "vidanon" in result:
        about["ratios"] = ratios(result, "vidanon")
        about["stages"], about["detectors"] = said.get("seconds", {}), said["detectors"]
    (args.out / "speed.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    print("| tool | fps, whole process | without start-up | start-up and 10 frames, s | peak MiB | ours is x times |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, entry in result.items():
        times = about.get("ratios", {}).get(name, {})
        print(f"| {name} | {entry['fps']['median']:.1f} ({entry['fps']['min']:.1f}-{entry['fps']['max']:.1f}) "
              f"| {entry['fps_without_start']['median']:.1f} | {entry['few_frames_seconds']['median']:.1f} "
              f"| {entry['peak_mb']:.0f} | {times.get('fps', 1.0):.2f} |")  # fmt: skip
    if about.get("stages"):
        print("stages, s: " + ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in about["stages"].items()))


if __name__ == "__main__":
    main()
