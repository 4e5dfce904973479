"""The closing summary and the JSON report, both from the RunReport alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vidanon
from vidanon.text_file import write_whole

if TYPE_CHECKING:
    from vidanon.types import RunReport

LIMITS = "faces only: body, clothes, gait, voice and place can identify a person too"
VOICES = "the audio is kept as it is, voices too (--no-audio leaves it out)"
STATES = {
    "detected": "seen",
    "refined": "looked at again between detections",
    "bridged": "bridged",
    "coasting": "after the last sight",
    "backfilled": "before the first sight",
    "imported": "from the imported plan",
    "added": "added by the leak gate",
}


def lines(report: RunReport, output: Path, report_path: Path | None = None) -> Iterator[str]:
    """The summary of one file, a line each."""
    yield f"{output}"
    yield f"  protected   {_count(report.faces, 'face')} of {_count(report.tracks, 'track')}" + (
        f" in {report.frames_with_faces} of {_count(report.frames, 'frame')}, mode {report.mode}"
    )
    if report.face_states:
        known = sorted(report.face_states.items(), key=lambda item: -item[1])
        yield "  coverage    " + ", ".join(f"{STATES.get(state, state)} {count}" for state, count in known)
    for reason, count in report.fallback_faces.items():
        yield f"  obscured    {_count(count, 'face')} instead: {reason}"
    if report.kept:
        yield f"  left clear  {_count(report.kept, 'face')}, as asked (--keep, --redact)"
    for reason, count in report.covered.items():
        yield f"  covered     {_count(count, 'face')} by a solid shape: {reason}"
    if report.frames_covered_whole:
        yield f"  covered     {_count(report.frames_covered_whole, 'whole frame')}"
    if report.faces == 0 and not report.frames_covered_whole:
        yield "  note        no face was found: look at the output before you rely on it"
    yield f"  looked with {', '.join(report.detectors) or 'no detector'} on {report.device}" + (
        f" ({report.runtime})" if report.runtime else ""
    )
    for text in report.fallbacks:
        yield f"  fall-back   {text}"
    yield f"  check       {_check(report)}"
    for text in report.audio or ["none"]:
        yield f"  audio       {text}"
    yield f"  encoder     {report.encoder}"
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in report.seconds.items())
    yield f"  speed       {report.fps:.1f} frames a second" + (f" ({stages})" if stages else "")
    if report_path is not None:
        yield f"  report      {report_path}"
    yield f"  limits      {LIMITS}" + (f"; {VOICES}" if _has_audio(report) else "")


def brief(report: RunReport) -> str:
    """One file of a batch in one line: what was done, and everything that was not as usual."""
    parts = [f"{_count(report.faces, 'face')} of {_count(report.tracks, 'track')} in {_count(report.frames, 'frame')}"]
    parts += [f"{_count(count, 'face')} covered ({reason})" for reason, count in report.covered.items()]
    if report.fallback_faces:
        parts.append(f"{_count(sum(report.fallback_faces.values()), 'face')} obscured instead")
    if report.frames_covered_whole:
        parts.append(f"{_count(report.frames_covered_whole, 'whole frame')} covered")
    parts += report.fallbacks
    return "; ".join([*parts, f"{report.fps:.0f} fps"])


def entry(report: RunReport, source: Path, output: Path) -> dict[str, Any]:
    """One file of the JSON report. It names no folder, and nothing of the source."""
    names = sorted({str(source), str(source.absolute()), str(source.resolve()), source.name}, key=len, reverse=True)

    def scrubbed(text: str) -> str:
        for name in names:
            text = text.replace(name, "input")
        return text

    facts = asdict(report)
    for key in ("detectors", "fallbacks", "warnings", "audio"):
        facts[key] = [scrubbed(text) for text in facts[key]]
    facts["covered"] = {scrubbed(reason): count for reason, count in facts["covered"].items()}
    return {"output": output.name, "exit_code": 0, **facts}


def failure(output: Path, exit_code: int, kind: str) -> dict[str, Any]:
    """A file that failed: which kind of error, but not its message, which names paths."""
    return {"output": output.name, "exit_code": exit_code, "error": kind}


def write_report(path: Path, content: Mapping[str, Any]) -> None:
    """JSON, whole or not at all. Raises OutputError."""
    text = json.dumps({"vidanon": vidanon.__version__, **content}, indent=2, default=str) + "\n"
    write_whole(path, text)


def _check(report: RunReport) -> str:
    if not report.verify or report.verify.get("mode") == "off":
        return "off: the encoded output was not looked at (--verify fast is the default)"
    facts = ", ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in report.verify.items())
    again = f"; {report.segments_retried} done again" if report.segments_retried else ""
    return f"{_count(report.segments, 'segment')} decoded again and compared{again} ({facts})"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _has_audio(report: RunReport) -> bool:
    return any("dropped" not in text for text in report.audio)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
