"""Pieces of the HTML report: bars, curves, tables, strips. Everything from outside is escaped here."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape

from vidanon.audit.figures import JudgeFigures
from vidanon.audit.rates import Compared, Rate
from vidanon.audit.result import Check, number
from vidanon.audit.steady import SamePerson
from vidanon.audit.strips import Shot, Strip

SERIES = (("output", "this output"), ("solid", "solid fill"), ("others", "other people"))
_THIN = 'vector-effect="non-scaling-stroke"'  # a stretched drawing keeps its lines
WIDE, HIGH = 600, 160  #: units of a drawing; it is stretched to its place


def prose(text: str) -> str:
    """Escaped; options of the command line are not broken in two."""
    return re.sub(r"(?<!\w)--[a-z][a-z-]+", r'<code class="flag">\g<0></code>', escape(text))


def legend(names: Sequence[tuple[str, str]] = SERIES) -> str:
    return '<ul class="legend">' + "".join(f'<li><i class="{c}"></i>{escape(t)}</li>' for c, t in names) + "</ul>"


def measure(title: str, compared: Compared, limit: float | None = None, others: str = "other people") -> str:
    """One figure as bars: the output with its interval and limit, and what it stands beside."""
    bars = [
        _bar("output", "this output", compared.protected, limit, first=True),
        _bar("solid", "solid fill", compared.solid),
        _bar("others", others, compared.impostor),
    ]
    beside = [("unprotected", compared.clean), ("taken for other people", compared.stranger)]
    told = "; ".join(f"{text}: {number(rate.value)}" for text, rate in beside if rate is not None)
    clean = f'<p class="note">{told.capitalize()}</p>' if told else ""
    return f'<div class="measure"><h4>{escape(title)}</h4>{"".join(bars)}{clean}</div>'


def _bar(kind: str, name: str, rate: Rate | None, limit: float | None = None, first: bool = False) -> str:
    way, text = "", "-"
    if rate is not None:
        text = number(rate.value)
        way = f'<b class="{kind}" style="width:{100 * rate.value:.2f}%"></b>'
        if first and rate.count:
            way += f'<u style="left:{100 * rate.low:.2f}%;width:{max(0.3, 100 * (rate.high - rate.low)):.2f}%"></u>'
        if limit is not None and limit < 1:
            way += f'<s style="left:{100 * limit:.2f}%"></s>'
    spoken = ""
    if rate is not None and rate.count:
        spoken = f' title="{rate.hits} of {rate.count}, 95 % interval {number(rate.low)} to {number(rate.high)}"'
    return (
        f'<div class="bar{" first" if first else ""}"{spoken}><span class="name">{escape(name)}</span>'
        f'<span class="way">{way}</span><span class="value">{text}</span></div>'
    )


def same_person(found: SamePerson | None) -> str:
    """Whether a track of the output is one person, beside the original; "" where its faces are hidden."""
    if found is None:
        return ""
    kinds = (("Neighbouring frames", found.neighbours), ("Half a track apart", found.apart))
    rows = [
        [escape(name), f"{each.output:.2f}", f"{each.source:.2f}", number(each.output_same), number(each.source_same)]
        for name, each in kinds
        if each is not None
    ]
    if not rows:
        return ""
    head = ["Two frames of a track", "This output", "Original", "Output: one person", "Original: one person"]
    caption = (
        "How alike two frames are (1 is the same), in this output and in the original, and how often they count as one "
        "person at 1 % false accepts."
    )
    if found.strangers is not None:
        caption += f" Other people have {found.strangers:.2f}."
    inner = table(caption, head, rows, frozenset({1, 2, 3, 4}))
    return f'<div class="steady"><h4>One person through each track?</h4>{inner}</div>'


def histogram(judge: JudgeFigures) -> str:
    """How alike faces are to the original: output, solid fill and other people, with the thresholds."""
    low, high = judge.bins[0], judge.bins[-1]
    peak = max((max(counts) / max(1, sum(counts)) for counts in judge.histograms.values()), default=0.0)
    shapes = []
    for kind, name in (("impostor", "others"), ("solid", "solid"), ("protected", "output")):
        counts = judge.histograms[kind]
        total = max(1, sum(counts))
        points = _steps([c / total / max(peak, 1e-9) for c in counts])
        fill = "none" if name != "output" else "var(--output)"
        shapes.append(
            f'<path d="{points}" fill="{fill}" fill-opacity=".28" stroke="var(--{name})" stroke-width="2" {_THIN}/>'
        )
    lines = []
    for far, dash in ((0.01, "7 4"), (0.001, "2 3")):
        x = WIDE * (judge.thresholds[far] - low) / (high - low)
        lines.append(
            f'<path d="M{x:.1f} 0V{HIGH}" stroke="var(--text)" stroke-dasharray="{dash}" stroke-width="1.5" {_THIN}/>'
        )
    text = (
        f"How alike the output's faces, a solid fill and other people are to the original, for {judge.name}. "
        "Right of the dashed line they count as the same person at 1 % false accepts, right of the dotted one at 0.1 %."
    )
    return (
        f"<figure>{_svg(text, ''.join([*shapes, *lines]))}"
        f'<p class="ends"><span>nothing alike</span><span>the same picture</span></p>'
        f"<figcaption>{escape(text)}</figcaption></figure>"
    )


def timeline(judge: JudgeFigures, frames: int) -> str:
    """The likest face of every frame, over the video."""
    if len(judge.timeline) < 2:
        return ""
    reach = max(0.05, *(abs(margin) for _, margin in judge.timeline)) * 1.1

    def y(margin: float) -> float:
        return HIGH / 2 * (1 - margin / reach)

    points = " ".join(f"{WIDE * f / max(1, frames - 1):.1f},{y(m):.1f}" for f, m in judge.timeline)
    over = "".join(
        f'<circle cx="{WIDE * f / max(1, frames - 1):.1f}" cy="{y(m):.1f}" r="3" fill="var(--bad)"/>'
        for f, m in judge.timeline
        if m >= 0
    )
    text = (
        f"The most recognisable face of each frame for {judge.name}. "
        "Above the line it counts as a match at 1 % false accepts."
    )
    drawing = (
        f'<path d="M0 {HIGH / 2}H{WIDE}" stroke="var(--text)" stroke-dasharray="7 4" {_THIN}/>'
        f'<polyline points="{points}" fill="none" stroke="var(--output)" stroke-width="1.5" {_THIN}/>{over}'
    )
    return (
        f'<figure class="time">{_svg(text, drawing)}<p class="ends"><span>frame {judge.timeline[0][0]}</span>'
        f"<span>frame {judge.timeline[-1][0]}</span></p><figcaption>{escape(text)}</figcaption></figure>"
    )


def _svg(text: str, drawing: str) -> str:
    box = f'viewBox="0 0 {WIDE} {HIGH}" preserveAspectRatio="none"'
    return f'<svg {box} role="img" aria-label="{escape(text)}">{drawing}</svg>'


def _steps(heights: Sequence[float]) -> str:
    width = WIDE / len(heights)
    parts = [f"M0 {HIGH}"]
    for i, h in enumerate(heights):
        parts.append(f"V{HIGH - h * (HIGH - 8):.1f}H{(i + 1) * width:.1f}")
    return "".join(parts) + f"V{HIGH}Z"


def table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], numeric: frozenset[int] = frozenset()
) -> str:
    """``rows`` hold HTML; the first cell of each names it."""

    def cls(i: int) -> str:
        return ' class="n"' if i in numeric else ""

    top = "".join(f'<th scope="col"{cls(i)}>{escape(h)}</th>' for i, h in enumerate(head))
    body = "".join(
        "<tr>" + "".join(
            f'<th scope="row">{c}</th>' if i == 0 else f"<td{cls(i)}>{c}</td>" for i, c in enumerate(row)
        ) + "</tr>"
        for row in rows
    )  # fmt: skip
    told, name = f'<p class="note">{prose(caption)}</p>' if caption else "", escape(caption or head[0])
    return (
        f'{told}<div class="scroll" tabindex="0" role="region" aria-label="{name}"><table aria-label="{name}">'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def check_row(check: Check) -> list[str]:
    kind, sign, word = ("good", "&#10003;", "kept") if check.passed else ("bad", "&#10007;", "missed")
    about = [text for text in (check.judge, check.note) if text]
    name = f'<span class="mark {kind}">{sign} {word}</span> {escape(check.name)}' + "".join(
        f'<br><span class="soft">{prose(text)}</span>' for text in about
    )
    side = "at least " if check.least else "at most "
    return [name, number(check.value, check.kind), side + number(check.limit, check.kind)]


def strip(of: Strip) -> str:
    shots = "".join(_shot(shot, of.track) for shot in of.shots)
    size = f", {of.eyes:.0f} px between the eyes" if of.eyes else ""
    return f'<div class="strip"><h3>Track {of.track}{size}</h3><ol>{shots}</ol></div>'


def _shot(shot: Shot, track: int) -> str:
    pictures = ""
    if shot.original is not None:
        pictures += _img(shot.original, f"original face, track {track}, frame {shot.frame}")
    if shot.protected is not None:
        pictures += _img(shot.protected, f"track {track} in the output, frame {shot.frame}")
    else:
        pictures += '<span class="hidden">clear face, not shown</span>'
    return f"<li{' class=clear' if shot.clear else ''}>{pictures}{shot.frame}</li>"


def _img(jpeg: bytes, alt: str) -> str:
    return f'<img alt="{escape(alt)}" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'
