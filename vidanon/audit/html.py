"""The HTML report of an audit: one file that loads nothing, for people who have to decide about a video."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path

import vidanon
from vidanon.audit import html_parts as parts
from vidanon.audit.figures import JudgeFigures
from vidanon.audit.html_style import CSS
from vidanon.audit.rates import Compared
from vidanon.audit.result import AuditResult, number
from vidanon.text_file import write_whole

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
KEEP_SAFE = "This report shows faces of the original: keep it as you keep the original."
LIMITS = (
    "Only faces were judged. Body, clothes, gait, hair, voice, place, company and the file itself identify people too.",
    "People who know a person recognise far less of a face than these programs need.",
    "These recognisers are a few of many. A better one, or one trained on faces protected in this way, finds more: the "
    "parrot figures are a taste of that.",
    "Faces that no detector found in the original were not judged. Look at the output yourself.",
    "The recognisers were told where the eyes, nose and mouth of the original are. An attacker has to guess that.",
    "Figures from few faces say little: read the intervals, and how many faces were left out.",
)


def write_html(path: Path, result: AuditResult) -> None:
    """The report, whole or not at all. Raises OutputError."""
    write_whole(path, page(result))


def page(result: AuditResult) -> str:
    """The whole document."""
    title = f"Audit of {result.protected}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><meta name="robots" content="noindex">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head><body>"
        '<a class="skip" href="#main">Skip to the figures</a>'
        f'<header><p class="eyebrow">Privacy audit</p><h1>{escape(result.protected)}</h1>'
        f'<p class="soft">compared with {escape(result.original)}'
        f"{', protected with mode ' + escape(result.mode) if result.mode else ''}</p></header>"
        f'<main id="main">{_whole_numbers("".join(_sections(result)))}</main>'
        f"<footer>Made by vidanon {escape(vidanon.__version__)} in {result.took:.0f} s. "
        f"{KEEP_SAFE if _shows_faces(result) else ''}"
        "</footer></body></html>\n"
    )


def _whole_numbers(html: str) -> str:
    """No line ends between a number and its sign."""
    return html.replace(" %", "\N{NO-BREAK SPACE}%").replace(" dB", "\N{NO-BREAK SPACE}dB")


def _sections(result: AuditResult) -> Iterator[str]:
    yield _verdict(result)
    yield _facts(result)
    if result.notes:
        notes = "".join(f"<li>{parts.prose(note)}</li>" for note in result.notes)
        yield (
            '<section class="card warn"><strong>Read the figures with this in mind</strong>'
            f'<ul class="notes">{notes}</ul></section>'
        )
    yield _limits_kept(result)
    yield _strips(result)
    if result.judges:
        yield _how_to_read()
    for judge in result.judges:
        yield _judge(judge, result)
    yield _faces(result)
    yield _detectors(result)
    yield _picture(result)
    yield (
        "<section><h2>What this audit cannot tell</h2><ul class=notes>"
        + "".join(f"<li>{escape(line)}</li>" for line in LIMITS)
        + "</ul></section>"
    )
    yield _provenance(result)


def _verdict(result: AuditResult) -> str:
    if result.passed:
        return (
            '<section class="card verdict good" aria-label="Verdict"><strong>&#10003; Passed</strong>'
            "<p>Every limit that was asked for is kept. That is a statement about these recognisers and these limits, "
            "not a promise that nobody can be recognised.</p></section>"
        )
    problems = "".join(f"<li>{parts.prose(line)}</li>" for line in result.headlines)
    return (
        '<section class="card verdict bad" aria-label="Verdict"><strong>&#10007; Not passed</strong>'
        f"<ul>{problems}</ul></section>"
    )


def _facts(result: AuditResult) -> str:
    left = sum(result.left_out.values())
    worst = max((j.same_frame[0.01].protected for j in result.judges if j.same_frame[0.01].protected),
                key=lambda r: r.value, default=None)  # fmt: skip
    cells = [
        (
            "Faces still matched",
            number(worst.value) if worst else "-",
            "by the best recogniser here, 1 % false accepts",
        ),
        ("Faces judged", f"{result.counted:,}", f"{left:,} left out, {result.tracks:,} tracks"),
        ("Frames", f"{result.pairing.paired:,} of {result.frames:,}", "have their counterpart in the output"),
        (
            "Clear faces",
            f"{result.picture.clear:,}",
            f"of {result.picture.faces:,} show the original's {'inner face' if result.swapped else 'detail'}",
        ),
    ]
    inner = "".join(f"<div><dt>{escape(n)}</dt><dd>{v}<small>{escape(t)}</small></dd></div>" for n, v, t in cells)
    return f'<dl class="facts">{inner}</dl>'


def _limits_kept(result: AuditResult) -> str:
    if not result.checks:
        return ""
    rows = [parts.check_row(check) for check in sorted(result.checks, key=lambda c: c.passed)]
    inner = parts.table(
        "A share above its limit still passes where a solid fill of the same faces is above it as well and about as "
        "high (then what lies beside the face is what matches), and where so few cases say nothing sure.",
        ["Limit", "Measured", "Asked for"], rows, frozenset({1, 2}),
    )  # fmt: skip
    missed = sum(not check.passed for check in result.checks)
    summary = f"{len(result.checks)} limits, {missed} missed" if missed else f"{len(result.checks)} limits, all kept"
    return f'<section><h2>Limits</h2><details class="card"><summary>{summary}</summary>{inner}</details></section>'


def _how_to_read() -> str:
    return (
        "<section><h2>Do recognisers still know the faces?</h2>"
        "<p>A face recogniser says how alike two faces are. Above a threshold they count as the same person; the "
        "threshold is set so that one pair in a hundred (or in a thousand) of different people would be confused. "
        "Each figure stands beside two floors: the same faces under a <em>solid fill</em>, which leaves only hair, "
        "neck and background, and <em>other people's</em> faces of that size. What lies at a floor is not the face's "
        "doing.</p>"
        '<p class="note">The thin line over a bar is the 95 % interval; the upright line is the limit.</p></section>'
    )


def _judge(judge: JudgeFigures, result: AuditResult) -> str:
    limit = result.settings
    shown = [
        _measure("Same frame, 1 % false accepts", judge.same_frame[0.01], limit["match"]),
        _measure("Same frame, 0.1 % false accepts", judge.same_frame[0.001], limit["match"]),
        _measure("Tracks matched in any frame, 1 %", judge.any_frame[0.01], limit["any_frame"]),
        _measure("Tracks matched in any frame, 0.1 %", judge.any_frame[0.001], limit["any_frame"]),
        _measure("Another frame of the track, 1 %", judge.other_frame[0.01], limit["match"]),
        _measure("Average of 30 frames, 1 %", judge.average, limit["average"]),
    ]
    for n, compared in judge.rank.items():
        shown.append(
            _measure(f"Found among the first {n} of {judge.gallery} people", compared, limit[f"rank{n}"], "chance")
        )
    for n, compared in judge.parrot.items():
        title = f"Parrot: among the first {n}, gallery protected alike"
        shown.append(_measure(title, compared, limit["parrot"] if n == 1 else None, "chance"))
    source = f'<p class="note">Thresholds: {escape(judge.measured_on)}.</p>' if judge.measured_on else ""
    return (
        f'<section class="card"><h3>{escape(judge.name)}</h3>{parts.legend()}'
        f'<div class="measures">{"".join(shown)}</div>'
        f"{parts.same_person(judge.same_person)}"
        f"{parts.histogram(judge)}{parts.timeline(judge, result.frames)}{source}</section>"
    )


def _measure(title: str, compared: Compared, limit: float | None, others: str = "other people") -> str:
    return parts.measure(title, compared, limit, others)


def _strips(result: AuditResult) -> str:
    if not result.strips:
        return ""
    kind = "The original above, the output below it" if _shows_faces(result) else "Faces as the output shows them"
    inner = "".join(parts.strip(s) for s in result.strips)
    which = "" if result.tracks <= len(result.strips) else f"; of {result.tracks:,} tracks those recognisers know best"
    return (
        f"<section><h2>The faces</h2><p>{kind}, with the frame number"
        f"{which}.</p>"
        f'<div class="card strips">{inner}</div></section>'
    )


def _faces(result: AuditResult) -> str:
    total = result.faces or 1
    rows = [["judged by recognisers", f"{result.counted:,}", number(result.counted / total)]]
    rows += [
        [escape(why), f"{count:,}", number(count / total)]
        for why, count in sorted(result.left_out.items(), key=lambda item: -item[1])
    ]
    if result.skipped:
        rows.append(["between the frames that are judged", f"{result.skipped:,}", number(result.skipped / total)])
    inner = parts.table(
        f"Faces of the original, from {result.faces_from}. Those left out were still looked at for detail.",
        ["", "Faces", "Share"], rows, frozenset({1, 2}),
    )  # fmt: skip
    return f'<section><h2>Which faces were judged</h2><div class="card">{inner}</div></section>'


def _detectors(result: AuditResult) -> str:
    rows = [
        [
            f'{escape(look.detector)}<br><span class="soft">{_part(look.took_part)}</span>', f"{look.frames:,}",
            f"{look.found:,} of {look.planned:,}", f"{look.still:,}", f"{look.outside:,}",
        ]
        for look in result.coverage
    ]  # fmt: skip
    if not rows:
        return ""
    caption, again, outside = (
        "A detector finds a face again where the output still has one to see: none under a solid fill, nearly all "
        "after a swap. Clear faces outside every track were missed.", "Found again", "Clear outside",
    )  # fmt: skip
    if result.swapped:
        caption, again, outside = (
            "The new faces should be found where the old ones were: nearly all. Those that are not were pixelated "
            "instead, or do not look like a face. Missed are faces of the original that no track covers and that the "
            "output shows.", "Found again, as new ones", "Missed",
        )  # fmt: skip
    inner = parts.table(
        caption, ["Detector", "Frames", "Found in the original", again, outside], rows, frozenset({1, 2, 3, 4})
    )
    return f'<section><h2>What detectors see</h2><div class="card">{inner}</div></section>'


def _picture(result: AuditResult) -> str:
    p = result.picture
    pixels = [
        [_explained("Surroundings", "off the faces: what nobody had to touch; above 35 dB few people see a difference"),
         number(p.psnr("off"), "dB"), number(p.ssim("off"), "ratio")],
        [_explained("Faces", "what was done to them"), number(p.psnr("on"), "dB"), number(p.ssim("on"), "ratio")],
    ]  # fmt: skip
    moving = [
        [_explained("Flicker", "change of the disguise from frame to frame over the disguise itself; 0 is steady"),
         number(p.flicker, "ratio")],
        [_explained("Flicker of a still picture", "what a picture that does not move at all would have in the same "
                    "place: it is the original's own motion and noise"), number(p.still_flicker, "ratio")],
        [_explained("Change", "of the aligned face from frame to frame, over the original's; 1 is as lively"),
         number(p.change_ratio, "ratio")],
        [_explained(
            "Warp error",
            "how badly each picture follows from the one before along the original's motion, over the original's own; "
            "1 is as smooth as the original",
        ), number(p.warp, "ratio")],
    ]  # fmt: skip
    return (
        '<section><h2>The picture</h2><div class="card">'
        f"{parts.table('', ['Likeness', 'PSNR', 'SSIM'], pixels, frozenset({1, 2}))}</div><div class=card>"
        f"{parts.table('', ['Movement', 'Ratio'], moving, frozenset({1}))}</div></section>"
    )


def _explained(name: str, text: str) -> str:
    return f'{escape(name)}<br><span class="soft">{escape(text)}</span>'


def _part(took: bool) -> str:
    return "took part in the run" if took else "independent"


def _provenance(result: AuditResult) -> str:
    rows = [
        ["Original", f"<code>{result.original_sha256}</code>"],
        ["Output", f"<code>{result.protected_sha256}</code>"],
        ["Run report", "given: the judges took no part" if result.reported else "not given: independence unchecked"],
        ["Distractors", f"{result.distractors:,} people"],
        ["Solid fill", f"encoded by {escape(result.floor_encoder or '-')}"],
    ]
    rows += [
        [escape(j.name), f"<code>{escape(j.sha256 or 'no hash')}</code> {escape(j.licence)}"] for j in result.judges
    ]
    rows += [[escape(name), f"did not judge: {escape(why)}"] for name, why in result.refused.items()]
    rows += [[escape(name), escape(str(value))] for name, value in result.settings.items()]
    inner = parts.table("Files by SHA-256, recognisers and settings.", ["", ""], rows)
    return (
        "<section><h2>How this was made</h2><details class=card>"
        f"<summary>Files, recognisers, settings</summary>{inner}</details></section>"
    )


def _shows_faces(result: AuditResult) -> bool:
    return any(shot.original is not None for strip in result.strips for shot in strip.shots)
