"""Where one new face would lie over another.

The rim of a new face and its open mouth show the source: over another face they would bring back what was taken away
there. ``faces.blend`` therefore paints new faces first, the largest last, and covers over them; what is left is a new
face over a smaller new one, and the smaller one yields. Heads side by side are two new faces: only their ovals count,
and a little around them. Of a face that goes over into its cover, for another reason, all
that its cover takes counts.

What is moved around a new face (:mod:`vidanon.swap.outline`) is the source's too: nothing is moved out of anybody
else's place or into it, and nothing at all beside another new face, where that would show. An open mouth that
the cover of another face may reach into is drawn as well: parts of a cover would stand in it like teeth.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vidanon.faces.align import longer_side
from vidanon.faces.cover import grown
from vidanon.faces.mesh_points import LIPS_OUTER, OVAL
from vidanon.swap.outline import WIDER, Outline
from vidanon.swap.poses import Seen
from vidanon.types import FloatArray, PlanRow

#: of an oval's radius, and px: how much further it may lie than it is known to; a colour sample is two pixels wide
_BESIDE, _PIXELS = 0.06, 2.0
_AS_LARGE = 0.98  #: of a size: which of two faces so equal is painted last is left to rounding, and both yield


def crowded(
    faces: Mapping[int, Seen], meshes: Mapping[int, FloatArray], shares: Mapping[int, FloatArray], reach: float
) -> dict[int, list[bool]]:
    """By track, for each of its frames, whether a new face that is painted later would touch it.

    faces, meshes (T, 468, 3) and shares (T,), of the new face, by track. reach: of a cover, box sizes.
    """
    drawn: dict[int, list[tuple[int, float, FloatArray]]] = defaultdict(list)
    for track, seen in faces.items():
        for frame, box, mesh, share in zip(seen.frames, seen.boxes, meshes[track], shares[track], strict=True):
            if share > 0:
                drawn[frame].append((track, longer_side(box), _oval(mesh)))
    out: dict[int, list[bool]] = {}
    for track, seen in faces.items():
        out[track] = []
        for frame, box, mesh, share in zip(seen.frames, seen.boxes, meshes[track], shares[track], strict=True):
            later = [
                oval for other, size, oval in drawn[frame] if other != track and size >= _AS_LARGE * longer_side(box)
            ]
            place = _oval(mesh) if share >= 1 else _with(_oval(mesh), grown(box, reach))
            out[track].append(any(touch(oval, place) for oval in later))
    return out


@dataclass(frozen=True)
class Near:
    """Who is near a face in one frame."""

    places: tuple[FloatArray, ...]  #: (4,) each, coded px: theirs, as large as a cover
    drawn: bool  #: whether one of them is a new face
    mouth_covered: bool  #: whether one of them is not, and its cover may reach into the mouth


def near(
    faces: Mapping[int, Seen],
    meshes: Mapping[int, FloatArray],
    shares: Mapping[int, FloatArray],
    rows: Sequence[PlanRow],
    cover: float,
) -> dict[int, list[Near]]:
    """By track, for each of its frames, who may be reached by what is moved around its face.

    rows: everybody's. cover: reach of a cover with its soft edge, box sizes.
    """
    drawn = {
        (frame, track)
        for track, seen in faces.items()
        for frame, share in zip(seen.frames, shares[track], strict=True)
        if share > 0
    }
    there: dict[int, list[tuple[int, FloatArray]]] = defaultdict(list)
    for row in rows:
        there[row.frame].append((row.track, grown(row.box, cover)))
    out = {}
    for track, seen in faces.items():
        found = []
        for frame, mesh in zip(seen.frames, meshes[track], strict=True):
            own = Outline(mesh, WIDER).reach()
            # a place that is no number is near
            beside = {
                other: box
                for other, box in there[frame]
                if other != track and not ((own[2:] < box[:2]) | (box[2:] < own[:2])).any()
            }
            covers = [box for other, box in beside.items() if (frame, other) not in drawn]
            reached = any(_reaches(mesh[list(LIPS_OUTER), :2], box) for box in covers)
            found.append(Near(tuple(beside.values()), len(covers) < len(beside), reached))
        out[track] = found
    return out


def touch(one: FloatArray, other: FloatArray) -> bool:
    """Whether no line along a side of one of two convex places (P, 2), px, parts them (separating axes); none parts
    what is no number."""
    sides = np.concatenate([np.roll(each, -1, 0) - each for each in (one, other)]).astype(np.float64)
    across = np.stack([-sides[:, 1], sides[:, 0]])
    a, b = one @ across, other @ across
    return not bool(((a.max(0) < b.min(0)) | (b.max(0) < a.min(0))).any())


def _oval(mesh: FloatArray) -> FloatArray:
    """(468, 3) -> (P, 2): the hull of its oval, a little larger."""
    oval = mesh[list(OVAL), :2]
    away = oval - oval.mean(0)
    far = np.hypot(away[:, 0], away[:, 1])[:, None]
    return _hull(oval + away * (_BESIDE + _PIXELS / np.maximum(far, 1)))


def _with(oval: FloatArray, box: FloatArray) -> FloatArray:
    """The hull of (P, 2) and of a (4,) box; the box alone where there is no oval."""
    x0, y0, x1, y1 = box
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float32)
    return _hull(np.concatenate([oval, corners]) if np.isfinite(oval).all() else corners)


def _hull(points: FloatArray) -> FloatArray:
    """(N, 2) -> (P, 2); as it is where it holds what is no number."""
    if not np.isfinite(points).all():
        return points
    return np.asarray(cv2.convexHull(points.astype(np.float32))[:, 0], np.float32)


def _reaches(part: FloatArray, box: FloatArray) -> bool:
    """Whether (4,) ``box`` reaches to (P, 2) ``part``, by its bounds; one that is no number does."""
    return not bool((part.max(0) < box[:2]).any() or (box[2:] < part.min(0)).any())
