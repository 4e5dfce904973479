"""What a reader has to know to read the figures of an audit right, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from vidanon.audit import verdict
from vidanon.audit.judges import RunFacts
from vidanon.audit.result import AuditResult
from vidanon.config import AuditSettings


def notes(
    result: AuditResult, settings: AuditSettings, facts: RunFacts | None, *, plan: bool, parrot: bool, strangers: bool
) -> Iterator[str]:
    """facts: of the run's report, where one was given; plan, strangers: whether they were given; parrot: whether the
    gallery could be protected as the output is."""
    if facts is None:
        yield "no run report was given: nobody checked that the recognisers took no part in the run (--report)"
    elif facts.kept and not plan:
        yield (
            f"the run left {facts.kept} faces clear by the user's word; they count here as unprotected "
            "(give the run's plan with --tracks to leave them out)"
        )
    if result.swapped:
        yield (
            "the parrot was left out: without the run's key nobody can swap a gallery as this run did, "
            "and with other new faces it would find nobody"
        )
    elif not parrot:
        yield "the parrot was left out: the run's mode is not known here (--report, --tracks)"
    if not strangers:
        yield "no distractors were given: the gallery and the impostors are the people seen together in this video"
    if result.pairing.judged == 0 and result.pairing.paired > 1:
        yield "hardly anything moves beside the faces: a shift in time could not have been seen"
    for judge in result.judges:
        if reason := verdict.blind(judge, settings):
            yield f"{judge.name} {reason}: it hardly tells people apart here"
