"""Who may judge whom."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from auditkit import PixelJudge

from vidanon.audit.judges import RunFacts, check_judges, objection, read_report
from vidanon.errors import UsageError

JUDGE = PixelJudge("MobileFace_V2").description
OTHER = PixelJudge("student", teachers=("mobileface-v2",)).description


def test_one_that_took_no_part_may_judge() -> None:
    assert objection(JUDGE, {"yunet": "1" * 64}) == ""
    assert check_judges([PixelJudge()], RunFacts("mask", {"yunet": "1" * 64}))


@pytest.mark.parametrize(
    ("judge", "models", "reason"),
    [
        (JUDGE, {"anything": JUDGE.sha256.upper()}, "itself used it, as anything"),
        (JUDGE, {"mobileface-v2.onnx": "1" * 64}, "of its name"),
        (OTHER, {"mobileface_v2": "1" * 64}, "taught by mobileface-v2"),
        (JUDGE, {"student": "1" * 64}, "it taught student"),
        (JUDGE, {"renamed": OTHER.sha256}, "it taught student"),
        (replace(JUDGE, sha256=""), {"yunet": "1" * 64}, "SHA-256"),
        (replace(JUDGE, thresholds={0.01: 0.5}), {}, "no threshold at 0.1 %"),
    ],
)
def test_objections(judge, models, reason) -> None:
    assert reason in objection(judge, models, [OTHER])


def test_a_refused_one_stops_the_audit() -> None:
    with pytest.raises(UsageError, match="no recogniser to judge with"):
        check_judges([], None)
    with pytest.raises(UsageError, match="cannot judge this output"):
        check_judges([PixelJudge("a"), PixelJudge("b")], RunFacts("mask", {"b": "2" * 64}))
    with pytest.raises(UsageError, match="called a"):
        check_judges([PixelJudge("a"), PixelJudge("a")], None)


def entry(**fields: object) -> dict[str, object]:
    return {"output": "out.mp4", "exit_code": 0, "mode": "blur", "models": {"m": "3" * 64}, "frames": 9, **fields}


def test_reports_of_one_file_and_of_a_batch(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(entry(detectors=["mtcnn"], kept=2)))
    facts = read_report(path, Path("renamed.mp4"))
    assert (facts.mode, facts.models, facts.frames, facts.detectors, facts.kept) == (
        "blur", {"m": "3" * 64}, 9, ("mtcnn",), 2,
    )  # fmt: skip
    path.write_text(json.dumps({"files": [entry(output="other.mp4", mode="mask"), entry()]}))
    assert read_report(path, tmp_path / "out.mp4").mode == "blur"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not a JSON file"),
        ("[]", "names no models"),
        ("{}", "names no models"),
        (json.dumps(entry(models=None)), "names no models"),
        (json.dumps(entry(exit_code=7)), "that run failed"),
        (json.dumps({"files": [entry(output="other.mp4")]}), "says nothing of out.mp4"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=problem):
        read_report(path, Path("out.mp4"))
    with pytest.raises(UsageError, match="give the file that the run wrote"):
        read_report(tmp_path / "missing.json", Path("out.mp4"))
