"""Does an output keep the limits of the configuration?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vidanon.audit.figures import JudgeFigures
from vidanon.audit.rates import Compared
from vidanon.audit.result import AuditResult, Check, number
from vidanon.config import AuditSettings

CHANCE = 0.05  #: probability above which matches are taken for chance


def failures(result: AuditResult, settings: AuditSettings) -> list[str]:
    """What no limit excuses: frames and faces of which nothing is known."""
    found = list(result.pairing.problems())
    written = result.pairing.paired + result.pairing.extra
    if result.reported_frames and written and result.reported_frames != written:
        found.append(
            f"the run's report speaks of {result.reported_frames} frames and the output has {written}: "
            "it is the report of another run"
        )
    if result.unknown_shown:
        found.append(
            f"{result.unknown_shown} frames in which faces could not be looked for are not covered whole in the output"
        )
    if not result.tracks:
        found.append("no face was found in the original: nothing was measured")
    elif not result.judges:
        found.append("no recogniser judged the output")
    elif all(blind(judge, settings) for judge in result.judges):
        reasons = "; ".join(f"{judge.name} {blind(judge, settings)}" for judge in result.judges)
        found.append(f"no recogniser can tell people apart in this footage ({reasons}): nothing was measured")
    if result.judges and result.counted < settings.min_faces:
        found.append(
            f"only {result.counted} faces could be judged (at least {settings.min_faces} are asked for): "
            + ", ".join(f"{count} {why}" for why, count in result.left_out.items())
        )
    return found


def blind(judge: JudgeFigures, settings: AuditSettings) -> str:
    """Why this recogniser's matches mean nothing here; "" where they do."""
    solid, clean = judge.same_frame[0.01].solid, judge.other_frame[0.01].clean
    if solid is not None and solid.value > settings.blind:
        return f"takes {number(solid.value)} of solid fills for the person under them"
    if clean is not None and clean.value < settings.blind:
        return f"knows only {number(clean.value)} of the unprotected faces in another frame"
    return ""


def checks(result: AuditResult, settings: AuditSettings) -> list[Check]:
    """Every limit that is asked for, kept or not."""
    return [*_recognisers(result, settings), *_picture(result, settings)]


def excused(found: Iterable[Check]) -> str:
    """Which limits were exceeded and passed all the same, in a sentence; "" where none was."""
    passed = [c for c in found if c.passed and not c.least and c.value is not None and (c.limit or 0) < c.value]
    if not passed:
        return ""
    told = ", ".join(f"{c.name}{f' ({c.judge})' if c.judge else ''} {number(c.value, c.kind)}" for c in passed[:3])
    rest = f" and {len(passed) - 3} more" if len(passed) > 3 else ""
    return (
        f"above the limit, but no more than beside a floor or by chance, which proves little either way: {told}{rest}"
    )


def _recognisers(result: AuditResult, settings: AuditSettings) -> Iterator[Check]:
    for judge in result.judges:
        for name, by_far, limit in (
            ("faces matched", judge.same_frame, settings.match),
            ("people matched in any frame", judge.any_frame, settings.any_frame),
            ("faces matched to another frame", judge.other_frame, settings.match),
        ):
            for far, compared in by_far.items():
                if compared.protected is not None or by_far is not judge.other_frame:
                    at = f"{name} at {100 * far:g} % false accepts"
                    # Of many frames one in a hundred is matched by chance; one in a thousand rarely is.
                    doubt = by_far is judge.any_frame and far == max(by_far)
                    yield from _share(at, compared, limit, settings, judge.name, doubt=doubt)
        if judge.average.protected is not None:
            yield from _share(
                "averages of frames matched", judge.average, settings.average, settings, judge.name, doubt=True
            )
        for n, limit in ((1, settings.rank1), (5, settings.rank5)):
            yield from _share(f"rank {n}", judge.rank.get(n, Compared(None)), limit, settings, judge.name)
        yield from _share("parrot", judge.parrot.get(1, Compared(None)), settings.parrot, settings, judge.name)
        if settings.same_person is not None and judge.same_person is not None:
            value = judge.same_person.least
            passed = value is not None and value >= settings.same_person
            yield Check(
                "one person through each track", value, settings.same_person, passed,
                kind="ratio", least=True, judge=judge.name,
            )  # fmt: skip


def _share(
    name: str,
    compared: Compared,
    limit: float | None,
    settings: AuditSettings,
    judge: str,
    *,
    doubt: bool = False,
) -> Iterator[Check]:
    """A share against its limit.

    Above it, it passes beside its floor: by no more than the margin; or, where a solid fill is above the limit too, by
    a difference that may be chance; or where strangers in the place of these people match as often. ``doubt``: of so
    few trials (tracks, averages) that only an interval wholly above the limit misses it.
    """
    if limit is None:
        return
    found, floor = compared.protected, compared.floor
    if found is None:
        yield Check(name, None, limit, False, judge=judge)
        return
    passed, note = (found.low if doubt else found.value) <= limit, ""
    if passed and found.value > limit:
        note = f"of {found.count}: it may be chance"
    if not passed and floor is not None and floor > limit - settings.margin:
        solid = compared.solid
        near = found.value <= floor + settings.margin
        loud = solid is not None and solid.value > limit
        passed = near or (loud and compared.excess is not None and compared.excess <= settings.margin)
        note = _beside(compared)
        if passed and not near:
            note += ": the difference may be chance"
    if not passed and compared.chance is not None and compared.chance > CHANCE:
        passed, note = True, f"strangers in their place match as often with probability {compared.chance:.2f}"
    yield Check(name, found.value, limit, passed, judge=judge, note=note)


def _beside(compared: Compared) -> str:
    told = []
    if compared.solid is not None:
        told.append(f"a solid fill has {number(compared.solid.value)}")
    if compared.stranger is not None:
        told.append(f"the output is taken for other people in {number(compared.stranger.value)}")
    return ", ".join(told)


def _picture(result: AuditResult, settings: AuditSettings) -> Iterator[Check]:
    picture = result.picture
    if settings.clear_faces is not None:
        where = ", ".join(f"frame {f} track {t}" for f, t in picture.clear_at[:3])
        yield Check(
            "faces that show the original", picture.clear, settings.clear_faces, picture.clear <= settings.clear_faces,
            kind="count", note=where,
        )  # fmt: skip
    if settings.missed_faces is not None:
        for look in result.coverage:
            where = ", ".join(f"frame {frame}" for frame, _ in look.outside_at[:3])
            yield Check(
                f"clear faces outside every track ({look.detector})", look.outside, settings.missed_faces,
                look.outside <= settings.missed_faces, kind="count", note=where,
            )  # fmt: skip
    for name, value, limit in (
        ("flicker", picture.flicker, settings.flicker), ("warp error ratio", picture.warp, settings.warp)
    ):  # fmt: skip
        if limit is not None:
            yield Check(name, value, limit, value is not None and value <= limit, kind="ratio")
    psnr = picture.psnr("off")
    if settings.off_face_psnr is not None and psnr is not None:
        yield Check(
            "PSNR off the faces", psnr, settings.off_face_psnr, psnr >= settings.off_face_psnr, kind="dB", least=True
        )
