"""One sample clip from source to figures: a pass over its frames with every judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from tests.bench.swap_again import Again, Tally
from tests.bench.swap_identity import Embedder, Faces
from tests.bench.swap_quality import Quality, QualityJudge
from tests.bench.swap_run import Counted, Made, Moment, counted, moments
from tests.bench.swap_sheets import ClipSheet, SideBySide
from vidanon.audit.picture import Picture, PictureMeasures
from vidanon.audit.rates import Rate, rate
from vidanon.detect.base import Detector
from vidanon.faces.mesh import MeshFinder
from vidanon.faces.mesh_points import five
from vidanon.recognise.base import Recogniser
from vidanon.types import RunReport

JUDGED_RATE = 12  #: frames a second that recognisers judge, at least
NO_FACE = "no face by the landmark teacher"


@dataclass(frozen=True)
class Judges:
    """Everybody who is asked."""

    recognisers: Sequence[Recogniser]
    finder: MeshFinder
    quality: QualityJudge
    detectors: Sequence[tuple[Detector, bool]]  #: and whether it took part in the run


@dataclass
class ClipRun:
    """Everything known of one clip."""

    name: str
    made: Made
    faces: Faces
    quality: Quality = field(default_factory=Quality)
    picture: Picture = field(default_factory=Picture)
    again: list[Tally] = field(default_factory=list)  #: by detector
    reasons: list[str] = field(default_factory=list)  #: of every face-frame: "" where it counts, else why not
    frames: int = 0


def measure(made: Made, judges: Judges, look_every: int, out: Path) -> ClipRun:
    """``look_every``: frames between two looks of the landmark teacher and the detectors. Pictures go to ``out``.

    Recognisers judge JUDGED_RATE frames a second, or a few more; of clips with fewer all.
    """
    fps = _rate(made.source)
    every = max(1, int(fps / JUDGED_RATE))
    embedder = Embedder(judges.recognisers)
    result = ClipRun(made.name, made, embedder.faces)
    measures, sheet = PictureMeasures(), ClipSheet()
    detectors = [Again(detector, took_part) for detector, took_part in judges.detectors]
    with SideBySide(out / f"{made.name}-side-by-side.mp4", fps) as beside:
        for moment in moments(made):
            faces = [_checked(f, moment, judges.quality) for f in counted(moment, judges.finder)]
            fit = [f for f in faces if not f.why]
            look, judge = result.frames % look_every == 0, result.frames % every == 0
            result.frames += 1
            result.reasons += [f.why for f in faces]
            # detectors' landmarks tremble when a head turns, and what is drawn on it would seem to
            steady = [replace(f.face, landmarks=five(f.mesh)[:, :2]) for f in fit]
            measures.add(moment.frame, steady, moment.source, moment.output, True, False)
            if look:
                for detector in detectors:
                    detector.add([f.face for f in fit], moment.source, moment.output)
            for face in fit:
                shown = _look(result, face, moment, judges.quality) if look else None
                if judge:
                    shown = judges.quality.shows(moment.output, face.marks) if shown is None else shown
                    track = f"{made.name}:{face.face.track}"
                    embedder.add(track, moment.frame, face.eyes, shown, moment.pictures, face.marks)
            largest = max(fit or faces, key=lambda f: float(f.face.box[3] - f.face.box[1]), default=None)
            sheet.add(moment.source, moment.output, None if largest is None else largest.face.box)
            beside.add(moment.source, moment.output)
    embedder.finish()
    sheet.write(out / f"{made.name}.jpg")
    result.picture, result.again = measures.result, [detector.tally for detector in detectors]
    return result


def _checked(face: Counted, moment: Moment, quality: QualityJudge) -> Counted:
    """A face that counts must be one for the landmark teacher too: the run's detectors may be wrong."""
    if face.why or quality.shows(moment.source, face.marks):
        return face
    return replace(face, why=NO_FACE)


def _look(result: ClipRun, face: Counted, moment: Moment, quality: QualityJudge) -> bool:
    """The landmark teacher's look at source and output; whether the output shows a face."""
    judged = quality(moment.source, moment.output, face.mesh, face.marks)
    result.quality.judged.append(judged)
    result.quality.tracks.append(f"{result.name}:{face.face.track}")
    return judged.shown


def _rate(path: Path) -> Fraction:
    with av.open(str(path)) as container:
        return Fraction(container.streams.video[0].average_rate or 25)


# Several clips together ----------------------------------------------------------------------------------


_SUMS = ("faces", "clear", "change", "disguise", "moved_in", "moved_out", "warp_in", "warp_out", "warped")


def together(clips: Sequence[ClipRun]) -> Picture:
    """The sums of flicker and warp error over all clips."""
    total = Picture()
    for clip in clips:
        for name in _SUMS:
            setattr(total, name, getattr(total, name) + getattr(clip.picture, name))
    return total


def found_again(clips: Sequence[ClipRun]) -> dict[str, dict[str, Any]]:
    """Detector -> share of the faces it found in the source that it finds in the output; intervals draw clips."""
    answer: dict[str, dict[str, Any]] = {}
    for of in zip(*(clip.again for clip in clips), strict=True):
        share: Rate | None = rate([t.still for t in of], [t.found for t in of])
        answer[of[0].detector] = {
            "took_part": of[0].took_part, "faces": sum(t.faces for t in of), "found": sum(t.found for t in of),
            "still": share,
        }  # fmt: skip
    return answer


def told(reports: Sequence[RunReport]) -> dict[str, Any]:
    """What the runs say: faces swapped and not, why, and where the time went (ms a face, by stage)."""
    faces = sum(r.faces for r in reports)
    stages: dict[str, float] = {}
    instead: dict[str, int] = {}
    covered: dict[str, int] = {}
    for report in reports:
        for stage, seconds in report.seconds.items():
            stages[stage] = stages.get(stage, 0.0) + seconds
        for reason, count in report.fallback_faces.items():
            instead[reason] = instead.get(reason, 0) + count
        for reason, count in report.covered.items():
            covered[reason] = covered.get(reason, 0) + count
    elsewhere = sum(instead.values()) + sum(covered.values())
    return {
        "faces": faces,
        "frames": sum(r.frames for r in reports),
        "by_the_mode": max(0, faces - elsewhere),
        "instead": dict(sorted(instead.items(), key=lambda item: -item[1])),
        "covered": dict(sorted(covered.items(), key=lambda item: -item[1])),
        "frames_covered_whole": sum(r.frames_covered_whole for r in reports),
        "ms_per_face": {stage: 1000 * seconds / faces for stage, seconds in stages.items()} if faces else {},
        "fps": sum(r.frames for r in reports) / stages["total"] if stages.get("total") else None,
        "encoder": sorted({r.encoder for r in reports}),
        "fallbacks": sorted({f for r in reports for f in r.fallbacks}),
        "warnings": sorted({w for r in reports for w in r.warnings}),
    }


def models(reports: Sequence[RunReport]) -> dict[str, str]:
    """Every model any run used: name -> SHA-256."""
    return {name: digest for report in reports for name, digest in report.models.items()}
