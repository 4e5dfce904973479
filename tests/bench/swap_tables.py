"""The swap bench's tables: LFW, clips, quality, tone, and what the runs say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.bench.swap_bars import table, text
from tests.bench.swap_clips import FRAMES, lines_of
from tests.bench.swap_identity import match_figures
from tests.bench.swap_lfw import JUDGED
from tests.bench.swap_measure import ClipRun
from tests.bench.swap_quality import figures
from tests.bench.swap_tone import Compared
from vidanon.audit.distractors import Distractors
from vidanon.audit.picture import Picture
from vidanon.audit.rates import each
from vidanon.recognise.base import Recogniser

#: how alike faces of one track are: figure -> heading
WITHIN = {
    "mean": "cosine to mean", "next": "to next", "source_mean": "source: to mean", "source_next": "to next",
    "apart_mean": "apart from mean", "apart_next": "from next", "source_apart_mean": "source: from mean",
}  # fmt: skip


def lfw(found: Mapping[str, Any], took_part: Mapping[str, str], count: int) -> str:
    rows = [
        (
            judge + (" (took part)" if judge in took_part else ""), text(m.other), text(m.other_solid),
            text(m.other_unprotected), text(m.impostor), text(m.mistaken), text(m.any_frame), text(m.own),
            text(m.own_solid), text(m.alike),
        )
        for judge, m in found.items()
    ]  # fmt: skip
    head = (
        "recogniser", "other photo", "solid fill", "unprotected", "impostors", "taken for others", "any frame",
        "own photo", "solid fill", "outputs alike",
    )  # fmt: skip
    title = f"LFW: {count} people, {len(JUDGED)} of {FRAMES} frames each; matched at 1 % false accepts, % (95 %)"
    return f"{title}\n{table(head, rows)}"


def identity_row(clip: ClipRun, judges: Sequence[Recogniser], strangers: Distractors) -> list[str]:
    """One clip: output / solid fill per judge, of faces in the same frame and of tracks in any frame."""
    row = [clip.name]
    for judge in judges:
        found = match_figures(clip.faces, judge, strangers)
        for key in ("same", "any"):
            rates = [found.get(key), found.get(f"{key}_solid")]
            row.append(" / ".join("-" if r is None else f"{100 * r.value:.0f}" for r in rates))
    return row


def picture_row(clip: ClipRun) -> list[str]:
    """One clip: how many faces count, how many are swapped, and what they look like."""
    quality, lines = figures(clip.quality), lines_of(clip.name)
    shown = each(clip.faces.shown)
    numbers = [
        quality["landmarks"],
        quality["gaze"],
        quality["sharpness"]["50"],
        clip.picture.flicker,
        clip.picture.still_flicker,
        clip.picture.change_ratio,
        clip.picture.warp,
    ]
    eyes = f"{min(clip.faces.eyes):.0f}-{max(clip.faces.eyes):.0f}" if len(clip.faces) else "-"
    return [
        clip.name, "as it is" if lines is None else f"{lines} lines", str(clip.frames), str(len(clip.reasons)),
        str(clip.reasons.count("")), str(len(clip.faces)), eyes, "-" if shown is None else f"{100 * shown.value:.0f}",
        *("-" if v is None else f"{getattr(v, 'value', v):.2f}" for v in numbers),
    ]  # fmt: skip


def clips(runs: Sequence[ClipRun], judges: Sequence[Recogniser], strangers: Distractors) -> str:
    head = ["clip", *(f"{j.description.name} {kind}" for j in judges for kind in ("same", "any"))]
    said = "clips: matched, output / solid fill, % of faces (same frame) and of tracks (any frame)\n"
    said += table(head, [identity_row(run, judges, strangers) for run in runs])
    head = [
        "clip", "enlarged", "frames", "faces", "count", "judged", "eyes px", "swapped %", "landmarks", "gaze",
        "sharpness", "flicker", "still", "change", "warp",
    ]  # fmt: skip
    return f"{said}\n\n{table(head, [picture_row(run) for run in runs])}"


def pooled(
    title: str, found: Mapping[str, Mapping[str, Any]], cosines: Mapping[str, Mapping[str, Any]],
    took_part: Mapping[str, str],
) -> str:  # fmt: skip
    """Match rates of several clips together, and cosines within their tracks."""
    keys = {
        "same": "same frame", "same_solid": "solid", "other": "another frame", "other_solid": "solid",
        "other_unprotected": "unprotected", "any": "any frame", "any_solid": "solid", "impostor": "impostors",
        "mistaken": "taken for others", "any_impostor": "any: impostors", "any_mistaken": "any: taken for others",
    }  # fmt: skip
    rows, within = [], []
    for judge, values in found.items():
        name = judge + (" (took part)" if judge in took_part else "")
        rows.append([name, *(text(values.get(key)) for key in keys)])
        of = cosines.get(judge, {})
        columns = [text(of.get(key), "ratio") for key in WITHIN]
        within.append([name, *columns, text(of.get("next_matched"))])
    head = ("recogniser", *WITHIN.values(), "next matched %")
    return (
        f"{title}: matched at 1 % false accepts, % (95 %)\n{table(('recogniser', *keys.values()), rows)}\n\n"
        f"{title}: the new face within its track (apart: 0 the same, 1 at the threshold)\n{table(head, within)}"
    )


def looks(title: str, found: Mapping[str, Any], more: Sequence[tuple[str, str]] = ()) -> str:
    """What the new faces look like; ``more``: further rows."""
    sharp = [text(value, "ratio") for value in found["sharpness"].values()]
    rows = [
        ("landmark error by the teacher, % of the eye distance", text(found["landmarks"])),
        ("  its 95th percentile", text(found["landmarks_95"])),
        ("  by our own network", text(found["ours"])),
        ("  teacher and ours on the source: what networks disagree", text(found["noise"])),
        ("lids, lips: error of the opening, % of the eye distance", f"{text(found['lids'])}, {text(found['lips'])}"),
        ("gaze error, shares of an eye's width", text(found["gaze"], "ratio")),
        ("  faces whose gaze is known", f"{found['gaze_known']} of {found['faces']}"),
        ("skin tone, degrees off the source's", text(found["tone"], "ratio")),
        ("sharpness, output / source: 10 %, middle, 90 %", ", ".join(sharp)),
        *more,
    ]
    return table((title, ""), rows)


def lasting(sums: Picture, again: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Rows of what is measured over time, and of the detectors."""
    rows = [
        ("flicker", text(sums.flicker, "ratio")),
        ("  of a still picture in its place", text(sums.still_flicker, "ratio")),
        ("change from frame to frame, output / source", text(sums.change_ratio, "ratio")),
        ("warp error, output / source", text(sums.warp, "ratio")),
        ("faces with detail like the source's", f"{sums.clear} of {sums.faces}"),
    ]
    for name, tally in again.items():
        part = " (took part)" if tally["took_part"] else ""
        seen = f"found in {tally['found']} of {tally['faces']} in the source"
        rows.append((f"found again by {name}{part}, %", f"{text(tally['still'])}; {seen}"))
    return rows


def tone(tables: Mapping[str, Sequence[Compared]]) -> str:
    rows = [
        (name, row.group, str(row.people), text(row.rate), text(row.ratio, "ratio"),
         "worse" if row.worse else "may be chance" if row.doubtful else "")
        for name, found in tables.items() for row in found
    ]  # fmt: skip
    return "by skin tone (LFW): % (95 %) and ratio to the mean\n" + table(
        ("figure", "tone", "people", "share", "over the mean", ""), rows
    )


def runs(told: Mapping[str, Any], left: Mapping[str, int], shown: Any) -> str:
    """What was swapped, what was not and why, and where the time went."""
    faces = told["faces"]
    lines = [f"the runs say: {faces} face-frames in {told['frames']} frames, encoder {', '.join(told['encoder'])}"]
    if faces:
        lines.append(f"  as the mode does: {told['by_the_mode']} ({100 * told['by_the_mode'] / faces:.1f} %)")
    for name, reasons in (("protected otherwise", told["instead"]), ("covered", told["covered"])):
        for reason, count in reasons.items():
            lines.append(f"  {name}, {reason}: {count}")
    if told["frames_covered_whole"]:
        lines.append(f"  frames covered whole: {told['frames_covered_whole']}")
    lines.append("  ms a face: " + ", ".join(f"{stage} {ms:.1f}" for stage, ms in told["ms_per_face"].items()))
    total = sum(left.values())
    if total:
        out = [f"{n} {reason} ({100 * n / total:.1f} %)" for reason, n in left.items() if reason]
        count = left.get("", 0)
        lines.append(f"faces of the clips that count: {count} of {total} ({100 * count / total:.1f} %)")
        lines.append("  left out: " + (", ".join(out) or "none"))
        lines.append(f"of those that count the output shows a face in {text(shown)} %")
    return "\n".join(lines)
