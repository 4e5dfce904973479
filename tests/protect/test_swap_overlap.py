"""A new face beside another person: its rim and its mouth are the source's, and must not bring anybody back."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

import vidanon.protect.swap
from tests.swap import swapkit
from vidanon.config import ProtectSettings, SwapSettings
from vidanon.faces.blend import blend, split
from vidanon.faces.gather import gather
from vidanon.faces.mesh import Meshes
from vidanon.protect.obscure import Pixelate
from vidanon.protect.swap import Swap
from vidanon.swap.cast import Role
from vidanon.swap.gate import CROWDED, UNCAST
from vidanon.types import Frame, PlanRow

PROTECT = ProtectSettings(mode="swap", texture=0.0)
LARGE, SMALL, FRAMES = 192, 96, 20
WHO, BESIDE = 20, 5  #: the donors who are the people of the footage


class Finder:
    """Knows both people by the size of their boxes."""

    def __init__(self, known: list[np.ndarray]) -> None:
        self._known = known

    def detect_each(self, frames: Sequence[Frame], boxes: np.ndarray, landmarks: object) -> Meshes:
        out = []
        for box in boxes:
            points = min(self._known, key=lambda each: abs(np.ptp(swapkit.box_of(each)[::2]) - (box[2] - box[0])))
            shift = box[:2] - swapkit.box_of(points)[:2]
            out.append(points + np.array([*shift, 0], np.float32))
        return Meshes(np.array(out, np.float32), np.ones(len(boxes), np.float32))


def scene(gap: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """A small portrait in front of the left of a large one, its face ``gap`` of its width to the left of the large
    face's box: (h, w, 3) and both meshes."""
    large, points = swapkit.face(WHO, LARGE)
    small, other = swapkit.face(BESIDE, SMALL)
    picture = np.full((LARGE, 100 + LARGE, 3), 0.4, np.float32)
    picture[:, 100:] = large
    points = points + np.array([100, 0, 0], np.float32)
    width = float(np.ptp(swapkit.box_of(other)[::2]))
    x = round(float(swapkit.box_of(points)[0] - gap * width - swapkit.box_of(other)[2]))
    y = round(float(points[:, 1].mean() - other[:, 1].mean()))
    picture[y : y + SMALL, x : x + SMALL] = small
    return picture, [points, other + np.array([x, y, 0], np.float32)]


def rendered(
    gap: float, swapped: tuple[int, ...] = (1, 2), covers_first: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[list[str]]]:
    """Of the middle frame: luma of source and output, the small face's box, and why faces were not swapped.

    swapped: tracks that somebody plays; the large face is 1, the small one 2. covers_first: against the rule."""
    picture, meshes = scene(gap)
    frames = [swapkit.frame_of(picture, i) for i in range(FRAMES)]
    rows = [swapkit.row_of(points, i, track) for i in range(FRAMES) for track, points in enumerate(meshes, 1)]
    roles = {t: Role((0,), swapkit.actors()[who].shape) for t, who in ((1, WHO), (2, BESIDE)) if t in swapped}
    swap = Swap(
        SwapSettings(),
        Pixelate(PROTECT, 7),
        Finder(meshes),  # type: ignore[arg-type]
        swapkit.composer(),
        swapkit.actors(),
        roles,
        0,
        PROTECT.mask_scale,
    )
    posed: list[PlanRow]
    posed, states = swap.prepare(frames, rows, {})
    parts = []
    reasons: list[list[str]] = [[] for _ in meshes]
    for batch in gather(frames, posed, PROTECT, "cpu"):
        protected, states = swap(batch, states)
        for track, reason in zip(batch.tracks, protected.instead, strict=True):
            reasons[track - 1].append(reason)
        parts += split(batch, protected)
    here = [part for part in parts if part.frame == 10]
    if covers_first:
        below = blend(frames[10], [part for part in here if part.layer is None], (), PROTECT).frame
        out = blend(below, [part for part in here if part.layer is not None], (), PROTECT)
    else:
        out = blend(frames[10], here, (), PROTECT)
    return lumas(frames[10]), lumas(out.frame), swapkit.box_of(meshes[1]), reasons


def lumas(frame: Frame) -> np.ndarray:
    green, blue, red = frame.planes
    return np.asarray(np.stack([red, green, blue], -1) @ swapkit.LUMA, np.float32)


def brought_back(source: np.ndarray, output: np.ndarray, box: np.ndarray) -> float:
    """Share of the source's fine structure that the output has in the sixth of the box nearest the large face."""
    x0, y0, x1, y1 = (int(v) for v in box)
    at = (slice(y0, y1), slice(x1 - (x1 - x0) // 6, x1))
    before, after = (p - cv2.GaussianBlur(p, (0, 0), 2.0) for p in (source, output))
    return float((before[at] * after[at]).sum() / (before[at] ** 2).sum())


def margin(box: np.ndarray) -> np.ndarray:
    """A box whose sixth nearest the large face is the margin that a cover has beside the middle of the small one."""
    x0, y0, x1, y1 = box
    wide, high = (PROTECT.mask_scale - 1) / 2 * 0.8 * (x1 - x0), y1 - y0
    return np.array([x1 - 5 * wide, y0 + 0.35 * high, x1 + wide, y1 - 0.35 * high])


@pytest.mark.parametrize("gap", [-0.4, -0.2, -0.05])
def test_where_new_faces_overlap_the_smaller_yields_and_nobody_is_brought_back(gap):
    source, output, box, reasons = rendered(gap)
    assert set(reasons[0]) == {""} and set(reasons[1]) == {CROWDED}
    assert abs(brought_back(source, output, box)) < 0.15


def test_the_judge_sees_who_is_brought_back_without_the_gate(monkeypatch):
    monkeypatch.setattr(vidanon.protect.swap, "crowded", lambda faces, *any: {t: [False] * FRAMES for t in faces})
    assert max(brought_back(*rendered(gap)[:3]) for gap in (-0.4, -0.2)) > 0.3


@pytest.mark.parametrize("gap", [-0.4, -0.2, 0.0, 0.1])
def test_a_cover_with_its_margin_lies_over_a_new_face(gap):
    source, output, box, reasons = rendered(gap, swapped=(1,))
    assert set(reasons[0]) == {""} and set(reasons[1]) == {UNCAST}
    assert abs(brought_back(source, output, box)) < 0.15
    assert abs(brought_back(source, output, margin(box))) < 0.15


def test_the_judge_sees_a_margin_brought_back_where_the_new_face_lies_over_the_cover():
    source, output, box, _ = rendered(0.1, swapped=(1,), covers_first=True)
    assert brought_back(source, output, margin(box)) > 0.3


@pytest.mark.parametrize("gap", [0.2, 0.3])
def test_faces_beside_each_other_are_both_swapped_and_nobody_is_brought_back(gap):
    source, output, box, reasons = rendered(gap)
    assert set(reasons[0]) == {""} and set(reasons[1]) == {""}
    _, alone, _, (_, why) = rendered(gap, swapped=(2,))
    assert set(why) == {""}
    side = (box[2] - box[0]) / 5
    middle = np.array([*(box[:2] + side), *(box[2:] - side)])  # its sixth nearest the large face is within the oval
    for each in (output, alone):
        assert abs(brought_back(source, each, middle)) < 0.3
        x0, y0, x1, y1 = (int(v) for v in middle)
        assert np.abs(each - source)[y0:y1, x0:x1].mean() > 5
