"""The bars a swap has to clear, and the figures as people read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.bench.swap_tone import Compared
from vidanon.audit.picture import Picture
from vidanon.audit.rates import Rate
from vidanon.audit.result import Check, number
from vidanon.evaluate.bootstrap import Interval

OTHER_PHOTO, SAME_FRAME, ANY_FRAME = 0.04, 0.05, 0.15  #: shares matched at 1 % false accepts, at most
SWAPPED, FOUND_AGAIN, STEADY = 0.85, 0.95, 0.8  #: at least
LANDMARKS, FLICKER, WARP = 0.06, 0.2, 1.15  #: at most
MARGIN = 0.02  #: above a solid fill that is itself above the bar


def share(name: str, found: Rate | None, limit: float, judge: str, solid: Rate | None, strict: bool) -> Check:
    """A share that is to be small. Where a solid fill of the same faces is above the limit too, it counts instead."""
    if found is None:
        return Check(name, None, limit, False, judge=judge)
    passed, note = found.value <= limit, ""
    if solid is not None and solid.value > limit and found.value > limit:
        note = f"a solid fill has {number(solid.value)}"
        passed = not strict and found.value <= solid.value + MARGIN
    return Check(name, found.value, limit, passed, judge=judge, note=note)


def at_most(name: str, value: float | None, limit: float, kind: str = "ratio", judge: str = "") -> Check:
    return Check(name, value, limit, value is not None and value <= limit, kind=kind, judge=judge)


def at_least(name: str, value: float | None, limit: float, kind: str = "share", judge: str = "") -> Check:
    return Check(name, value, limit, value is not None and value >= limit, kind=kind, judge=judge, least=True)


def recognition(
    lfw: Mapping[str, Any], clips: Mapping[str, Mapping[str, Any]], independent: Sequence[str], strict: bool
) -> Iterator[Check]:
    """``lfw``: judge -> Matches; ``clips``: judge -> match figures; only of ``independent`` judges."""
    for judge in independent:
        if judge in lfw:
            of = lfw[judge]
            yield share("LFW: matched to another photo", of.other, OTHER_PHOTO, judge, of.other_solid, strict)
        if judge in clips:
            of = clips[judge]
            for name, key, limit in (
                ("clips: matched to the same frame", "same", SAME_FRAME),
                ("clips: matched to another frame", "other", SAME_FRAME),
                ("clips: tracks matched in any frame", "any", ANY_FRAME),
            ):
                yield share(name, of.get(key), limit, judge, of.get(f"{key}_solid"), strict)


def picture(sums: Picture, quality: Mapping[str, Any], shown: Rate | None) -> Iterator[Check]:
    landmarks: Interval | None = quality.get("landmarks")
    yield at_least("faces swapped, not covered", None if shown is None else shown.value, SWAPPED)
    yield at_most("landmark error", None if landmarks is None else landmarks.value, LANDMARKS, "share")
    yield at_most("flicker", sums.flicker, FLICKER)
    yield at_most("warp error ratio", sums.warp, WARP)


def steady(cosines: Mapping[str, Mapping[str, Any]], usable: Sequence[str]) -> Iterator[Check]:
    """``usable``: independent judges whose cosine means something (those trained for it)."""
    for judge in usable:
        found: Interval | None = cosines.get(judge, {}).get("mean")
        yield at_least("cosine within a track", None if found is None else found.value, STEADY, "ratio", judge)
    if not usable:
        yield at_least("cosine within a track", None, STEADY, "ratio")


def again(detectors: Mapping[str, Mapping[str, Any]]) -> Iterator[Check]:
    """Of the detectors that took no part; where there is none, of those that did."""
    wanted = [name for name, d in detectors.items() if not d["took_part"]] or list(detectors)
    for name in wanted:
        found: Rate | None = detectors[name]["still"]
        yield at_least("faces found again", None if found is None else found.value, FOUND_AGAIN, judge=name)


def tones(tables: Mapping[str, Sequence[Compared]]) -> Iterator[Check]:
    """One for each figure: the worst group's ratio to the mean; above 2 passes only where it may be chance."""
    for name, rows in tables.items():
        known = [row for row in rows if row.ratio is not None]
        if not known:
            continue
        worst = max(known, key=lambda row: (row.worse, row.ratio or 0))
        note = f"{worst.group}, {worst.people} people"
        if worst.doubtful:
            note += ": it may be chance"
        yield Check(
            f"by tone: {name}, worst group over the mean", worst.ratio, 2.0, not worst.worse, "ratio", note=note
        )


# Reading -------------------------------------------------------------------------------------------------


def text(value: Rate | Interval | float | None, kind: str = "share") -> str:
    """A figure with its interval: per cent for shares."""
    if value is None:
        return "-"
    if isinstance(value, float | int):
        return f"{100 * value:.1f}" if kind == "share" else f"{value:.3f}"
    if kind == "share":
        digits = 0 if value.high >= 0.1 else 1
        return f"{100 * value.value:.1f} ({100 * value.low:.{digits}f}-{100 * value.high:.{digits}f})"
    return f"{value.value:.3f} ({value.low:.2f}-{value.high:.2f})"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """In columns, for a terminal and for Markdown."""
    wide = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    lines = [" | ".join(cell.ljust(w) for cell, w in zip(row, wide, strict=True)) for row in (head, *rows)]
    return "\n".join(f"| {line} |" for line in (lines[0], " | ".join("-" * w for w in wide), *lines[1:]))


def verdict(checks: Sequence[Check]) -> str:
    rows = []
    for check in checks:
        side = ">=" if check.least else "<="
        said = "kept" if check.passed else "MISSED"
        over = check.value is not None and not check.least and check.value > check.limit
        if check.passed and over:
            said = "excused"
        rows.append(
            (
                said,
                check.name,
                check.judge,
                number(check.value, check.kind),
                f"{side} {number(check.limit, check.kind)}",
                check.note,
            )
        )
    return table(("", "bar", "by", "found", "asked", ""), rows)
