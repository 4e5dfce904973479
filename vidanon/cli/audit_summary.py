"""The closing summary of an audit: one screen, from the result alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vidanon.audit.rates import Compared, Rate
from vidanon.audit.result import AuditResult, number
from vidanon.audit.steady import SamePerson

LIMITS = "faces only, by these recognisers, today: body, voice, place, people who know the person, and better networks"
FAR = 0.01


def lines(result: AuditResult, written: list[Path]) -> Iterator[str]:
    """The summary, a line each."""
    yield f"{result.protected} against {result.original}: {'passed' if result.passed else 'NOT PASSED'}"
    for problem in result.headlines:
        yield f"  problem     {problem}"
    pairing = result.pairing
    moved = f"{pairing.judged} of them told from their neighbours" if pairing.judged else "too still to tell a shift"
    yield f"  frames      {pairing.paired} of {result.frames} paired by time, {moved}"
    yield f"  faces       {result.faces} of {result.tracks} tracks, {result.counted} judged; from {result.faces_from}"
    if result.left_out:
        reasons = ", ".join(f"{count} {why}" for why, count in sorted(result.left_out.items(), key=lambda i: -i[1]))
        yield f"  left out    {sum(result.left_out.values())}: {reasons}"
    for judge in result.judges:
        yield f"  {judge.name}, at {100 * FAR:g} % false accepts"
        yield f"    {'':<22}{'output':>16}{'solid fill':>12}{'impostors':>12}{'unprotected':>13}"
        yield _row("same frame", judge.same_frame[FAR])
        yield _row("any frame of a track", judge.any_frame[FAR])
        yield _row("another frame", judge.other_frame[FAR])
        yield _row("average of 30", judge.average)
        for n, compared in judge.rank.items():
            yield _row(f"rank {n} of {judge.gallery}", compared)
        if 1 in judge.parrot:
            yield _row("parrot, rank 1", judge.parrot[1])
        if judge.same_person is not None:
            yield f"    {'one person through':<22}{_same_person(judge.same_person)}"
    picture = result.picture
    yield (
        f"  detail      {picture.clear} of {picture.faces} faces show the original "
        + (
            f"(inner face at most {number(picture.worst_likeness)} alike)"
            if picture.inner
            else f"(most {number(picture.worst_detail)} of its detail)"
        )
    )
    for look in result.coverage:
        part = "took part in the run" if look.took_part else "independent"
        if result.swapped:
            found = f"finds {look.still} of {look.found} faces again, as new ones; {look.outside} were missed and clear"
        else:
            found = f"{look.outside} clear faces outside the tracks, finds {look.still} of {look.found} again"
        yield f"  {look.detector:<12}{found}, in {look.frames} frames ({part})"
    yield (
        f"  picture     off the faces {number(picture.psnr('off'), 'dB')}, "
        f"SSIM {number(picture.ssim('off'), 'ratio')}; "
        f"on them {number(picture.psnr('on'), 'dB')}, SSIM {number(picture.ssim('on'), 'ratio')}; "
        f"flicker {number(picture.flicker, 'ratio')}, warp error {number(picture.warp, 'ratio')} x"
    )
    for name, why in result.refused.items():
        yield f"  no judge    {name}: {why}"
    for note in result.notes:
        yield f"  note        {note}"
    for path in written:
        yield f"  report      {path}"
    yield f"  limits      {LIMITS}"


def _same_person(found: SamePerson) -> str:
    kinds = (("neighbouring frames", found.neighbours), ("half a track apart", found.apart))
    told = [
        f"{name} {each.output:.2f}, {number(each.output_same)} taken for one (source {each.source:.2f})"
        for name, each in kinds
        if each is not None
    ]
    if told and found.strangers is not None:
        told.append(f"strangers {found.strangers:.2f}")
    return "; ".join(told) or "no two frames of a track were judged"


def _row(name: str, compared: Compared) -> str:
    cells = [_with_interval(compared.protected), *map(_short, (compared.solid, compared.impostor, compared.clean))]
    return f"    {name:<22}{cells[0]:>16}{cells[1]:>12}{cells[2]:>12}{cells[3]:>13}"


def _with_interval(rate: Rate | None) -> str:
    return "-" if rate is None else f"{100 * rate.value:.1f} % [{100 * rate.low:.0f}-{100 * rate.high:.0f}]"


def _short(rate: Rate | None) -> str:
    return "-" if rate is None else f"{100 * rate.value:.1f} %"
