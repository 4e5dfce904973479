"""What an audit found, as data: the JSON file, the summary and the HTML report all come from it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any

from vidanon.audit.coverage import Coverage
from vidanon.audit.figures import JudgeFigures
from vidanon.audit.pairs import Pairing
from vidanon.audit.picture import Picture
from vidanon.audit.strips import Strip


@dataclass(frozen=True)
class Check:
    """One limit of the configuration."""

    name: str
    value: float | None  #: None: nothing could be measured, which fails
    limit: float
    passed: bool
    kind: str = "share"  #: how to write the numbers: share, count, ratio or dB
    least: bool = False  #: the value is to be at least the limit, not at most
    judge: str = ""
    note: str = ""


@dataclass
class AuditResult:
    """Everything the reports show."""

    original: str  #: file name
    protected: str
    original_sha256: str
    protected_sha256: str
    mode: str  #: of the run; "" where unknown
    faces_from: str  #: where the original's faces come from
    reported: bool  #: whether a run's report said which models took part
    reported_frames: int = 0  #: frames the run says it wrote; 0 where it does not say
    frames: int = 0
    seconds: float = 0.0  #: of video
    tracks: int = 0
    faces: int = 0  #: face-frames of the plan
    counted: int = 0  #: of them, judged by recognisers
    left_out: dict[str, int] = field(default_factory=dict)  #: reason -> face-frames
    skipped: int = 0  #: face-frames between the frames that recognisers judge
    unknown: int = 0  #: frames the analysis could not judge
    unknown_shown: int = 0  #: of them, not covered whole in the output
    pairing: Pairing = field(default_factory=Pairing)
    picture: Picture = field(default_factory=Picture)
    coverage: list[Coverage] = field(default_factory=list)
    judges: list[JudgeFigures] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)  #: recogniser that may not or cannot judge -> why
    distractors: int = 0
    floor_encoder: str = ""
    strips: list[Strip] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  #: what makes the audit void or failed, whatever the limits
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    took: float = 0.0  #: s, wall clock

    @property
    def swapped(self) -> bool:
        """Whether the run put other faces in place of those of the original."""
        return self.mode == "swap"

    @property
    def faces_again(self) -> float | None:
        """Share of the faces that a detector finds again in the output, of the one that finds most; None of none."""
        return max((look.still / look.found for look in self.coverage if look.found), default=None)

    @property
    def passed(self) -> bool:
        return bool(self.checks) and not self.failures and all(check.passed for check in self.checks)

    @property
    def problems(self) -> list[str]:
        """Why it did not pass, a line each."""
        return [*self.failures, *(sentence(check) for check in self.checks if not check.passed)]

    @property
    def headlines(self) -> list[str]:
        """The same in short: one line for each recogniser."""
        missed = [check for check in self.checks if not check.passed]
        found = [*self.failures, *(sentence(check) for check in missed if not check.judge)]
        for judge in dict.fromkeys(check.judge for check in missed if check.judge):
            first, *rest = [check for check in missed if check.judge == judge]
            more = f" ({len(rest)} more of its limits missed)" if rest else ""
            found.append(sentence(first) + more)
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain data without pictures; a number that is not finite is null."""
        content = {name: value for name, value in vars(self).items() if name != "strips"}
        made = _plain(content)
        assert isinstance(made, dict)
        picture = self.picture
        made["picture"] |= _plain({
            "flicker": picture.flicker, "still_flicker": picture.still_flicker,
            "change_ratio": picture.change_ratio, "warp_ratio": picture.warp,
            "psnr_on": picture.psnr("on"), "psnr_off": picture.psnr("off"),
            "ssim_on": picture.ssim("on"), "ssim_off": picture.ssim("off"),
        })  # fmt: skip
        return {"passed": self.passed, "problems": self.problems, **made}


def sentence(check: Check) -> str:
    """A missed limit in words."""
    who = f" ({check.judge})" if check.judge else ""
    side = "at least" if check.least else "at most"
    measured = "could not be measured" if check.value is None else f"is {number(check.value, check.kind)}"
    note = f"; {check.note}" if check.note else ""
    return f"{check.name}{who} {measured}, {side} {number(check.limit, check.kind)} is asked for{note}"


def number(value: float | None, kind: str = "share") -> str:
    """A figure as people write it."""
    if value is None:
        return "-"
    if kind == "share":
        return f"{100 * value:.1f} %"
    if kind == "count":
        return f"{value:.0f}"
    if kind == "dB":
        return "no difference" if math.isinf(value) else f"{value:.1f} dB"
    return f"{value:.2f}"


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
