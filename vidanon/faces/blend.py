"""Write protected patches back into the planes of their frame, at the frame's own resolution and depth.

Fails closed: what was not protected, or not wholly, is covered; what has no usable place covers the frame whole.
A sample with mask 0 keeps its code; one with mask 1 holds nothing of the source, but around
a drawn face, where what is shown in the clear may be moved. A chroma sample takes the largest
mask of the luma samples it colours.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from vidanon.config import ProtectSettings
from vidanon.faces.align import invert, is_box, longer_side, move_box
from vidanon.faces.cover import codes_of, cover_whole, fill, grown
from vidanon.types import (
    PROTECTION_KEY,
    FaceBatch,
    FloatArray,
    Frame,
    Layer,
    PixelFormat,
    PlanRow,
    Protected,
    ProtectedFrame,
)

NO_BOX = "no usable box"
NOT_FINITE = "the protector returned values that are not numbers"
OPEN = "the mask leaves the middle of the face open"
MIDDLE = 0.4  #: the middle of a face no mask may leave open: share of its box on each axis
ALONE = 0.75  #: share of a drawn face's middle that holds nothing of the source; an open mouth and a rim take some
SMALLER = 0.5  #: of a drawn face's size, below which a face's cover lies over it
BAND = 256  #: rows written at a time, even: bounds the memory that a face as large as an 8K picture takes
CORNER = 0.1  #: of its way to the middle that a corner of the mouth may lie outside: a turned face has one on its rim
FULL = 1 - 1e-3  #: a mask this close to 1 is 1


@dataclass(frozen=True)
class Part:
    """What one face of one frame became."""

    frame: int  #: Frame.index
    track: int
    box: FloatArray  #: (4,) coded px, the face; NaN where there is none
    to_frame: FloatArray  #: (2, 3) patch pixel -> coded pixel
    patch: FloatArray  #: (3, S, S) R'G'B', nominally in [0, 1], or (3, 1, 1) for one flat colour
    mask: FloatArray  #: (S, S) in [0, 1]
    reason: str  #: "" or why the face is covered instead
    layer: Layer | None = None
    blank: bool = False  #: nothing is left but one colour

    @property
    def ok(self) -> bool:
        return not self.reason


def split(batch: FaceBatch, protected: Protected) -> list[Part]:
    """One part per row of ``batch``, on the CPU. What a protector got wrong becomes a reason to cover.

    Raises ValueError where the answer has not the batch's shape: a bug, which must stop the run.
    """
    n, size = len(batch), batch.patches.shape[-1]
    shapes = tuple(protected.patches.shape), tuple(protected.masks.shape), len(protected.ok), len(protected.reasons)
    if shapes != ((n, 3, size, size), (n, 1, size, size), n, n):
        raise ValueError(f"a protector answered {shapes} for {n} patches of {size} px")
    patches = protected.patches.detach()
    if patches.stride()[2:] == (0, 0):  # one colour, expanded
        patches = patches[:, :, :1, :1]
    masks = protected.masks.detach()[:, 0]
    # A sum is finite only where every term is: one pass, where isfinite() would write its answer out first.
    finite = torch.isfinite(patches.flatten(1).sum(1) + masks.flatten(1).sum(1)).cpu().numpy()
    patches_np: FloatArray = patches.to(torch.float32).cpu().numpy()
    masks_np: FloatArray = masks.to(torch.float32).clamp(0, 1).cpu().numpy()
    parts = []
    for i in range(n):
        mask = masks_np[i]
        layer = protected.layers[i] if protected.layers else None
        placed = bool(np.isfinite(batch.to_frame[i]).all())
        if not placed:
            reason = NO_BOX
        elif not protected.ok[i]:
            reason = protected.reasons[i] or "not protected"
        elif not finite[i]:
            reason = NOT_FINITE
        elif not (_covers_middle(mask, batch.boxes[i]) if layer is None else _is_drawn(mask, layer, batch, i)):
            reason = OPEN
        else:
            reason = ""
        box = move_box(batch.to_frame[i], batch.boxes[i]) if placed else np.full(4, np.nan, np.float32)
        blank = protected.blank is not None and bool(protected.blank[i])
        place = batch.to_frame[i]
        parts.append(Part(batch.frames[i], batch.tracks[i], box, place, patches_np[i], mask, reason, layer, blank))
    return parts


def _covers_middle(mask: FloatArray, box: FloatArray) -> bool:
    middle = mask[_square(box)]
    return middle.size > 0 and float(middle.min()) >= FULL


def _is_drawn(mask: FloatArray, layer: Layer, batch: FaceBatch, row: int) -> bool:
    """Whether the new face covers what lies between the detector's eyes and corners of the mouth, and is alone in most
    of it. That is the middle here: a turned face is not in the middle of its box. Only where the landmarks are not
    known it is the box's.
    """
    landmarks = batch.landmarks[row]
    if np.isfinite(landmarks).all():
        points = np.clip(landmarks, -1e4, 1e4).astype(np.float32)
        middle = _hull(points, mask.shape[0])
        points[3:] += CORNER * (points.mean(0) - points[3:])
        least = _hull(points, mask.shape[0])
    else:
        middle = np.zeros(mask.shape, np.bool_)
        middle[_square(batch.boxes[row])] = True
        least = middle
    if not least.any():
        return False
    # around a drawn face its patch may show the source: the mask alone does not tell
    covered = min(float(mask[least].min()), float(layer.face[least].min())) >= FULL
    return covered and float((layer.inside[middle] > FULL).mean()) >= ALONE


def _hull(points: FloatArray, size: int) -> npt.NDArray[np.bool_]:
    """(size, size), where the convex hull of (P, 2) px lies."""
    filled = np.zeros((size, size), np.uint8)
    hull = cv2.convexHull(points)[:, 0]
    cv2.fillConvexPoly(filled, np.rint((hull - 0.5) * 16).astype(np.int32), 1, cv2.LINE_8, 4)
    return filled > 0


def _square(box: FloatArray) -> tuple[slice, slice]:
    """The middle of (4,) ``box`` in a patch."""
    x0, y0, x1, y1 = (int(v) for v in grown(box, MIDDLE))
    return slice(max(0, y0), y1 + 1), slice(max(0, x0), x1 + 1)


def blend(frame: Frame, parts: Iterable[Part], covered: Sequence[PlanRow], settings: ProtectSettings) -> ProtectedFrame:
    """``frame`` with every part in its place, and a solid fill over ``covered`` rows and over parts that are not ok.

    A frame with neither keeps its planes, uncopied. Drawn faces are painted first, then covers, each by size, the
    largest last, and solid fills at the end: a drawn face's rim shows the source, so none may lie over a cover. Where a
    drawn face is alone it hides all that a cover would, and covers leave it as it is. A damaged frame, and one with a
    row that is no box, is covered whole. Raises ValueError for a part of another frame.
    """
    faces = sorted(parts, key=lambda part: (part.layer is None, longer_side(part.box)))
    if any(part.frame != frame.index for part in faces) or any(row.frame != frame.index for row in covered):
        raise ValueError(f"frame {frame.index} was given faces of another frame")
    solid = [row.box for row in covered] + [part.box for part in faces if not part.ok]
    if frame.damaged or not all(is_box(box) for box in solid):
        return cover_whole(frame)
    if not faces and not solid:
        return ProtectedFrame(frame, PROTECTION_KEY)
    planes = tuple(np.array(plane) for plane in frame.planes)
    for part in faces:
        if part.ok:
            _paint(planes, frame, part, spared(part, faces))
    for box in solid:
        fill(planes, frame, grown(box, settings.mask_scale), settings.colour)
    return ProtectedFrame(replace(frame, planes=planes), PROTECTION_KEY)


def _alone(part: Part, region: tuple[int, int, int, int]) -> FloatArray:
    """(h, w) in [0, 1]: 1 where a drawn face is alone at the pixels of ``region``, 0 where any of the source is."""
    assert part.layer is not None
    inside = (part.layer.inside > FULL).astype(np.float32)
    share = _warp(inside, invert(part.to_frame), region, (1, 1), cv2.BORDER_CONSTANT)
    return np.asarray(np.clip(2 * share - 1, 0, 1), np.float32)


def others_at(frame: Frame, parts: Sequence[Part], box: FloatArray) -> npt.NDArray[np.bool_] | None:
    """(h, w), at the pixels of ``frame`` that (4,) ``box`` touches: where one of ``parts`` was drawn; None: nowhere."""
    found = [at[1] for at in (drawn_at(frame, part, box) for part in parts) if at is not None and at[1].any()]
    return np.logical_or.reduce(found) if found else None


def drawn_at(frame: Frame, part: Part, box: FloatArray) -> tuple[FloatArray, npt.NDArray[np.bool_]] | None:
    """What was drawn, at the pixels of ``frame`` that (4,) ``box`` touches: luma (h, w), and (h, w) where the source's
    fine structure must be gone. None where nothing was drawn or the box lies outside."""
    x0, y0 = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
    x1, y1 = min(frame.width, math.ceil(box[2])), min(frame.height, math.ceil(box[3]))
    if part.layer is None or x0 >= x1 or y0 >= y1:
        return None
    to_patch, region = invert(part.to_frame), (x0, y0, x1, y1)
    luma = _warp(part.layer.luma, to_patch, region, (1, 1), cv2.BORDER_REPLICATE)
    inside = _warp(part.layer.inside, to_patch, region, (1, 1), cv2.BORDER_CONSTANT)
    return luma, inside > FULL


def spared(cover: Part, parts: Sequence[Part]) -> list[Part]:
    """The drawn faces that ``cover`` leaves as they are where they are alone. They have the light of what they lie on,
    blurred as suits their size, which may not be enough for a much smaller face."""
    if cover.layer is not None:
        return []
    most, (low, high) = longer_side(cover.box) / SMALLER, _window(cover)
    found = []
    for part in parts:
        if part.ok and part.layer is not None and longer_side(part.box) <= most:
            from_, to = _window(part)
            if (from_ < high).all() and (low < to).all():
                found.append(part)
    return found


def _window(part: Part) -> FloatArray:
    """(2, 2) coded px: the corners of the patch, which reaches as far as anything is painted."""
    size = part.mask.shape[0]
    return move_box(part.to_frame, np.array([0, 0, size, size], np.float32)).reshape(2, 2)


def _paint(planes: Sequence[npt.NDArray[Any]], frame: Frame, part: Part, others: Sequence[Part]) -> None:
    """Write one part into ``planes`` through its mask, but not where one of ``others`` is alone."""
    region = _region(frame, part)
    if region is None:
        return
    to_patch = invert(part.to_frame)
    codes = codes_of(part.patch, frame)
    x0, y0, x1, y1 = region
    for top in range(y0, y1, BAND):
        band = (x0, top, x1, min(top + BAND, y1))
        alpha = _warp(part.mask, to_patch, band, (1, 1), cv2.BORDER_CONSTANT)
        for other in others:
            alpha *= 1 - _alone(other, band)
        _paint_band(planes, frame.format, alpha, codes, to_patch, band)


def _paint_band(
    planes: Sequence[npt.NDArray[Any]],
    fmt: PixelFormat,
    alpha: FloatArray,
    codes: FloatArray,
    to_patch: FloatArray,
    region: tuple[int, int, int, int],
) -> None:
    """Write (P, S, S) or (P, 1, 1) ``codes`` into one region of whole chroma blocks, through ``alpha`` (h, w) of it."""
    x0, y0, x1, y1 = region
    np.putmask(alpha, alpha > FULL, 1)
    alphas: dict[tuple[int, int], FloatArray] = {}
    for index, plane in enumerate(planes):
        step = (1, 1) if index == 0 or fmt.rgb else (1 << fmt.chroma_shift_x, 1 << fmt.chroma_shift_y)
        if step not in alphas:
            alphas[step] = _largest(alpha, step)
        weight = alphas[step]
        target = plane[y0 // step[1] : y1 // step[1], x0 // step[0] : x1 // step[0]]
        weight = weight[: target.shape[0], : target.shape[1]]  # the region's last block may reach over an odd edge
        if codes.shape[1:] == (1, 1):
            painted = weight * codes[index, 0, 0]
        else:
            warped = _warp(codes[index], to_patch, region, step, cv2.BORDER_REPLICATE)
            painted = warped[: target.shape[0], : target.shape[1]] * weight
        painted += (1 - weight) * target  # exactly the source at 0, exactly the patch at 1
        target[...] = np.rint(painted, out=painted)


def _largest(alpha: FloatArray, step: tuple[int, int]) -> FloatArray:
    """The largest value of each block of ``step`` = (x, y) pixels, 1 or 2 on each axis."""
    if step[1] == 2:
        alpha = np.maximum(alpha[0::2], alpha[1::2])
    if step[0] == 2:
        alpha = np.maximum(alpha[:, 0::2], alpha[:, 1::2])
    return alpha


def _region(frame: Frame, part: Part) -> tuple[int, int, int, int] | None:
    """The coded pixels the mask may reach, on whole chroma blocks (so maybe one past an odd edge); None if outside."""
    rows, columns = np.flatnonzero(part.mask.max(1)), np.flatnonzero(part.mask.max(0))
    if not rows.size:
        return None
    # A mask pixel is felt up to one patch pixel from its centre.
    inside = np.array([columns[0] - 1, rows[0] - 1, columns[-1] + 2, rows[-1] + 2], np.float32)
    reach = move_box(part.to_frame, inside)
    block_x, block_y = 1 << frame.format.chroma_shift_x, 1 << frame.format.chroma_shift_y
    x0, y0 = max(0, int(np.floor(reach[0]))), max(0, int(np.floor(reach[1])))
    x1, y1 = min(frame.width, int(np.ceil(reach[2]))), min(frame.height, int(np.ceil(reach[3])))
    if x0 >= x1 or y0 >= y1:
        return None
    return x0 // block_x * block_x, y0 // block_y * block_y, -(-x1 // block_x) * block_x, -(-y1 // block_y) * block_y


def _warp(
    picture: FloatArray,
    to_patch: FloatArray,
    region: tuple[int, int, int, int],
    step: tuple[int, int],
    border: int,
) -> FloatArray:
    """(S, S) ``picture`` at the centres of the samples of ``region``, one per ``step`` = (x, y) coded pixels."""
    x0, y0, x1, y1 = region
    linear = to_patch[:, :2].astype(np.float64)
    matrix = np.empty((2, 3))
    matrix[:, :2] = linear * step
    matrix[:, 2] = to_patch[:, 2] + linear @ (x0 + step[0] / 2, y0 + step[1] / 2) - 0.5
    size = ((x1 - x0) // step[0], (y1 - y0) // step[1])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, matrix, size, flags=flags, borderMode=border), np.float32)
