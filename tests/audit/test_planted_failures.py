"""Outputs that must not pass, each failing for its own reason; and one that must."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from auditkit import PixelJudge, write
from conftest import FRAMES, Scene

from vidanon.audit.judges import RunFacts
from vidanon.audit.result import AuditResult
from vidanon.audit.run import Asked, audit
from vidanon.config import AuditSettings, DetectSettings, RunConfig
from vidanon.errors import UsageError
from vidanon.recognise.assemble import make_recogniser
from vidanon.recognise.base import Recogniser
from vidanon.runtime.device import choose_runtime

Output = Callable[..., Path]
CONFIG = RunConfig(audit=AuditSettings(look_every=25), detect=DetectSettings(detector="mtcnn"), threads=1)


def judged(
    original: Path, plan: Path, output: Path, *judges: Recogniser, facts: RunFacts | None = None, every: int = 1
) -> AuditResult:
    config = CONFIG.model_copy(update={"audit": CONFIG.audit.model_copy(update={"every": every})})
    return audit(Asked(original, output, judges or [PixelJudge()], facts=facts, tracks=plan), config)


def test_a_solid_cover_passes(scene: Scene, original: Path, plan: Path, output: Output) -> None:
    result = judged(original, plan, output(scene.covered))
    assert result.passed, result.problems
    assert result.counted == 5 * FRAMES and result.pairing.paired == FRAMES and result.pairing.judged > FRAMES / 2
    (judge,) = result.judges
    assert judge.same_frame[0.01].protected is not None and judge.same_frame[0.01].protected.value == 0
    assert judge.other_frame[0.01].clean is not None and judge.other_frame[0.01].clean.value > 0.95
    assert judge.gallery == 5 and judge.rank[1].clean is not None and judge.rank[1].clean.value > 0.95


def test_a_mode_that_does_nothing_is_caught(scene: Scene, original: Path, plan: Path, output: Output) -> None:
    result = judged(original, plan, output(scene.picture))
    assert not result.passed
    missed = {check.name for check in result.checks if not check.passed}
    assert {
        "faces that show the original",
        "faces matched at 1 % false accepts",
        "averages of frames matched",
    } <= missed
    assert result.picture.clear == 5 * FRAMES
    matched = result.judges[0].same_frame[0.001].protected
    assert matched is not None and matched.value > 0.99


def test_one_clear_frame_in_a_hundred_is_caught(scene: Scene, original: Path, plan: Path, output: Output) -> None:
    result = judged(original, plan, output(lambda i: scene.picture(i) if i == 37 else scene.covered(i)))
    assert not result.passed
    missed = {check.name for check in result.checks if not check.passed}
    assert {"faces that show the original", "people matched in any frame at 1 % false accepts"} <= missed
    assert {frame for frame, _ in result.picture.clear_at} == {37}
    rate = result.judges[0].same_frame[0.01].protected
    assert rate is not None and rate.value == pytest.approx(0.01), "the share of faces alone would not have told"


def test_one_clear_face_among_five_is_caught(scene: Scene, original: Path, plan: Path, output: Output) -> None:
    result = judged(original, plan, output(lambda i: scene.covered(i, (0, 1, 3, 4))))
    assert not result.passed
    assert result.picture.clear_tracks == {3}
    rate = result.judges[0].any_frame[0.001].protected
    assert rate is not None and (rate.hits, rate.count) == (1, 5)
    assert [strip.track for strip in result.strips if any(shot.clear for shot in strip.shots)] == [3]


@pytest.mark.parametrize(("sigma", "fars", "share"), [(3.0, ("1", "0.1"), 0.5), (4.0, ("1",), 0.3)])
def test_a_light_blur_is_caught_by_recognisers(
    scene: Scene,
    original: Path,
    plan: Path,
    output: Output,
    test_data: Path,
    sigma: float,
    fars: tuple[str, ...],
    share: float,
) -> None:
    judge = make_recogniser(str(test_data / "recognisers" / "mobileface_v2.onnx"), choose_runtime("cpu", 1))
    result = judged(original, plan, output(lambda i: scene.blurred(i, sigma)), judge, every=4)
    missed = {check.name for check in result.checks if not check.passed}
    assert not result.passed and {f"faces matched at {far} % false accepts" for far in fars} <= missed
    figures = result.judges[0].same_frame[0.01]
    assert figures.protected is not None and figures.protected.value > share
    assert figures.solid is not None and figures.solid.value < 0.2


@pytest.mark.parametrize("by", [1, -1])
def test_an_output_shifted_by_one_frame_is_caught(
    scene: Scene, original: Path, plan: Path, output: Output, by: int
) -> None:
    """Every frame one off, times rewritten so that they agree: only the surroundings tell."""
    result = judged(original, plan, output(lambda i: scene.covered(min(max(0, i + by), FRAMES - 1))))
    assert not result.passed and result.pairing.paired == FRAMES and not result.pairing.missing
    assert any("shifted" in failure for failure in result.failures), result.problems
    assert max(result.pairing.misplaced, key=lambda d: result.pairing.misplaced[d]) == by


def test_frames_that_have_no_counterpart_are_caught(
    scene: Scene, original: Path, plan: Path, output: Output, tmp_path: Path
) -> None:
    short = judged(original, plan, output(scene.covered, "short.mp4", FRAMES - 1))
    assert any("1 frames of the original have none" in failure for failure in short.failures)
    late = write(
        tmp_path / "late.mp4", (scene.covered(i) for i in range(FRAMES)), pts=lambda i: 512 * i + 256 * (i > 50)
    )
    result = judged(original, plan, late)
    assert result.pairing.missing == result.pairing.extra == FRAMES - 51 and not result.passed


def test_a_recogniser_that_took_part_may_not_judge(scene: Scene, original: Path, plan: Path, output: Output) -> None:
    judge = PixelJudge("surrogate")
    facts = RunFacts("mask", {"renamed": judge.description.sha256})
    with pytest.raises(UsageError, match="the run itself used it, as renamed"):
        judged(original, plan, output(scene.covered), judge, facts=facts)
    with pytest.raises(UsageError, match="was taught by surrogate"):
        judged(
            original, plan, output(scene.covered), PixelJudge("pupil", teachers=("surrogate",)),
            facts=RunFacts("mask", {"surrogate": "0" * 64}),
        )  # fmt: skip


def test_an_audit_without_faces_does_not_pass(scene: Scene, original: Path, output: Output, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text(
        f'{{"vidanon_plan": 1, "width": 720, "height": 400, "frames": {FRAMES}, "first_frame": 0, "seed": 0}}\n'
    )
    result = judged(original, empty, output(scene.picture))
    assert not result.passed and any("no face was found" in failure for failure in result.failures)
    assert any(look.outside for look in result.coverage), "a detector sees what the plan does not name"


def test_unknown_frames_pass_only_where_they_are_covered_whole(
    scene: Scene, original: Path, plan: Path, output: Output, tmp_path: Path
) -> None:
    unknown = tmp_path / "unknown.jsonl"
    unknown.write_text(plan.read_text() + '{"unknown": [10, 12]}\n')
    shown = judged(original, unknown, output(scene.covered, "shown.mp4"))
    assert shown.unknown == 3 and any("not covered whole" in failure for failure in shown.failures)
    grey = scene.picture(0) * 0 + 64
    covered = judged(original, unknown, output(lambda i: grey if 10 <= i <= 12 else scene.covered(i), "grey.mp4"))
    assert covered.passed, covered.problems
    assert covered.unknown == 3 and covered.pairing.whole == 3
