"""Through the whole program: a clip protected, its faces under a solid fill, and both decoded beside the source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vidanon.audit.faces import CARRIED, NO_LANDMARKS, OUTSIDE, SMALL, TURNED, Face, faces_of
from vidanon.build import run_file
from vidanon.config import AuditSettings, load_config
from vidanon.faces.mesh import MeshFinder
from vidanon.faces.mesh_points import eye_distance, yaw
from vidanon.media.planes import view
from vidanon.media.source import open_source
from vidanon.track.plan import Plan
from vidanon.track.plan_io import import_plan
from vidanon.types import ByteArray, FloatArray, PlanRow, RunReport, View

MIN_EYES = 24.0  #: px between the eyes, in space
MAX_YAW = 30.0  #: degrees
SURE = 0.5  #: confidence of the source's mesh: an error of .08 of the eye distance is expected there
UNSURE = "not clearly seen"


@dataclass(frozen=True)
class Made:
    """One clip and what was made of it."""

    name: str
    source: Path
    output: Path
    solid: Path
    plan: Path
    report: RunReport


@dataclass(frozen=True)
class Moment:
    """The same frame three times, (h, w, 3) RGB each, and the faces the run planned in it."""

    frame: int
    source: ByteArray
    output: ByteArray
    solid: ByteArray
    view: View
    rows: tuple[PlanRow, ...]

    @property
    def pictures(self) -> tuple[ByteArray, ByteArray, ByteArray]:
        return self.source, self.output, self.solid


@dataclass(frozen=True)
class Counted:
    """A face of the source and, by its dense mesh, whether it counts."""

    face: Face
    mesh: FloatArray  #: (468, 3) px; NaN where there is none
    marks: FloatArray  #: (5, 2) px: the run's landmarks
    eyes: float  #: px
    turned: float  #: degrees
    why: str  #: "" where it counts, else why it does not


def make(source: Path, folder: Path, mode: str, seed: int = 0) -> Made:
    """Protect ``source`` as ``--mode`` does, default encoder, and the same faces with a solid ellipse."""
    name = source.stem
    output, solid, plan = folder / f"{name}-{mode}.mp4", folder / f"{name}-solid.mp4", folder / f"{name}.jsonl"
    for path in (output, solid, plan):
        path.unlink(missing_ok=True)
    config = load_config(None, {"protect.mode": mode, "seed": seed})
    report = run_file(source, output, config, tracks_out=plan)
    floor = load_config(None, {"protect.mode": "mask", "protect.shape": "ellipse", "verify": "off"})
    run_file(source, solid, floor, tracks_in=plan)
    return Made(name, source, output, solid, plan, report)


def moments(made: Made) -> Iterator[Moment]:
    """Frame by frame. Raises ValueError where an output has more or fewer frames or another size than the source."""
    limits = load_config(None, {}).limits
    with ExitStack() as stack:
        plan = stack.enter_context(Plan())
        import_plan(made.plan, plan)
        rows: dict[int, list[PlanRow]] = defaultdict(list)
        for row in plan.iter_rows():
            rows[row.frame].append(row)
        opened = [stack.enter_context(open_source(p, limits)) for p in (made.source, made.output, made.solid)]
        for frames in zip(*(source.frames() for source in opened), strict=True):
            views = [view(frame) for frame in frames]
            if len({v.rgb.shape for v in views}) > 1:
                raise ValueError(f"{made.name}: sizes differ, {[v.rgb.shape for v in views]}")
            index = frames[0].index
            yield Moment(index, views[0].rgb, views[1].rgb, views[2].rgb, views[0], tuple(rows.get(index, ())))


def counted(moment: Moment, finder: MeshFinder) -> list[Counted]:
    """Every planned face of the frame; those count that are large, frontal and clearly seen in the source."""
    faces = faces_of(moment.rows, moment.view, {}, AuditSettings())
    if not faces:
        return []
    unknown = np.full((5, 2), np.nan, np.float32)
    marks = np.stack([unknown if f.landmarks is None else f.landmarks for f in faces])
    found = finder.detect_picture(moment.source, np.stack([f.box for f in faces]), marks)
    height, width = moment.source.shape[:2]
    answer = []
    for face, own, mesh, sure in zip(faces, marks, found.points, found.confidence, strict=True):
        eyes = float(eye_distance(mesh)) if np.isfinite(mesh).all() else float("nan")
        turned = abs(float(yaw(mesh))) if np.isfinite(mesh).all() else float("nan")
        if not face.seen:
            why = CARRIED
        elif not np.isfinite(own).all() or not np.isfinite(mesh).all():
            why = NO_LANDMARKS
        elif (own < 0).any() or (own > (width, height)).any():
            why = OUTSIDE
        elif eyes < MIN_EYES:
            why = SMALL
        elif turned > MAX_YAW:
            why = TURNED
        else:
            why = "" if sure >= SURE else UNSURE
        answer.append(Counted(face, mesh, own, eyes, turned, why))
    return answer
