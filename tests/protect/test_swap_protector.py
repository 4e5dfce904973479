"""Mode swap as a protector: who is drawn, who is pixelated and why, and what is carried from segment to segment."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.swap import swapkit
from vidanon.config import ProtectSettings, SwapSettings
from vidanon.faces.blend import OPEN, blend, split
from vidanon.faces.gather import gather
from vidanon.faces.mesh_points import five
from vidanon.protect.obscure import Pixelate
from vidanon.protect.swap import Swap, TrackFace
from vidanon.swap.base import Retouch
from vidanon.swap.cast import Role
from vidanon.swap.gate import NO_DONOR, NO_MESH, UNCAST
from vidanon.types import FaceBatch, FacePose, Frame, PlanRow, Protected

PROTECT = ProtectSettings(mode="swap")
SOURCE, SIZE = 20, 192
FRAMES = 5


def pictures(count: int = FRAMES, first: int = 0, grain: float = 0.0) -> list[Frame]:
    """The same portrait twice, side by side."""
    patch, _ = swapkit.face(SOURCE, SIZE)
    out = []
    for index in range(first, first + count):
        rng = np.random.default_rng(index)
        both = np.concatenate([patch, patch], 1) + rng.normal(0, grain, (SIZE, 2 * SIZE, 3))
        out.append(swapkit.frame_of(both.clip(0, 1), index))
    return out


def mesh_of(track: int) -> np.ndarray:
    """Track 1 is the left face, 2 the right one."""
    return np.asarray(swapkit.face(SOURCE, SIZE)[1] + np.array([SIZE * (track - 1), 0, 0]), np.float32)


def rows_of(tracks: tuple[int, ...], count: int = FRAMES, first: int = 0) -> list[PlanRow]:
    return [swapkit.row_of(mesh_of(t), index, t) for index in range(first, first + count) for t in tracks]


def role(*donors: int) -> Role:
    return Role(donors, swapkit.actors()[SOURCE % len(swapkit.actors())].shape)


def make(roles: dict[int, Role], hidden: frozenset[int] = frozenset(), seed: int = 0, points: Any = None) -> Swap:
    return Swap(
        SwapSettings(),
        Pixelate(PROTECT, 7),
        swapkit.KnownFinder(mesh_of(1) if points is None else points, hidden),  # type: ignore[arg-type]
        swapkit.composer(),
        swapkit.actors(),
        roles,
        seed,
        PROTECT.mask_scale,
    )


def run(swap: Swap, frames: list[Frame], rows: list[PlanRow], states: Any = None):
    """[(batch, protected)] and the states after them."""
    rows, states = swap.prepare(frames, rows, states or {})
    out = []
    for batch in gather(frames, rows, PROTECT, "cpu"):
        protected, states = swap(batch, states)
        out.append((batch, protected))
    return out, states


def by_face(out: list[tuple[FaceBatch, Protected]]) -> dict[tuple[int, int], dict[str, Any]]:
    """(frame, track) -> what became of it."""
    faces = {}
    for batch, protected in out:
        for i in range(len(batch)):
            faces[batch.frames[i], batch.tracks[i]] = {
                "before": batch.patches[i].numpy(),
                "patch": protected.patches[i].numpy(),
                "mask": protected.masks[i, 0].numpy(),
                "instead": protected.instead[i],
                "layer": protected.layers[i],
                "ok": protected.ok[i],
                "blank": bool(protected.blank[i]),
            }
    return faces


def pixelated(batch: FaceBatch) -> Protected:
    return Pixelate(PROTECT, 7)(replace(batch, poses=()), {})[0]


def is_pixelated(out: list[tuple[FaceBatch, Protected]], track: int) -> bool:
    same = []
    for batch, protected in out:
        cover = pixelated(batch)
        for i in range(len(batch)):
            if batch.tracks[i] == track:
                same.append(bool((protected.patches[i] - cover.patches[i]).abs().max() < 2e-3))
                same.append(bool((protected.masks[i] >= cover.masks[i] - 1e-6).all()))
                same.append(protected.layers[i] is None)
    return bool(same) and all(same)


def test_a_cast_track_is_drawn_in_every_frame():
    out, _ = run(make({1: role(0)}), pictures(), rows_of((1,)))
    faces = by_face(out)
    assert len(faces) == FRAMES
    for face in faces.values():
        assert face["ok"] and face["instead"] == "" and face["layer"] is not None
        assert np.isfinite(face["patch"]).all() and face["patch"].min() >= 0 and face["patch"].max() <= 1
        changed = np.abs(face["patch"] - face["before"]).max(0)
        assert changed[face["mask"] == 1].mean() > 0.01
        assert changed[face["mask"] == 0].max() < 1e-4
    assert not is_pixelated(out, 1)
    parts = [part for batch, protected in out for part in split(batch, protected)]
    assert all(part.ok for part in parts)


def test_batches_keep_their_rows_and_their_order():
    rows = rows_of((2, 1))
    out, _ = run(make({1: role(0)}), pictures(), rows)
    assert [key for batch, _ in out for key in zip(batch.frames, batch.tracks, strict=True)] == [
        (row.frame, row.track) for row in rows
    ]


def test_a_track_without_a_role_is_pixelated_and_the_reason_told():
    out, _ = run(make({1: role(0), 3: role()}), pictures(), rows_of((1, 2)))
    faces = by_face(out)
    assert {face["instead"] for (_, track), face in faces.items() if track == 1} == {""}
    assert {face["instead"] for (_, track), face in faces.items() if track == 2} == {UNCAST}
    assert is_pixelated(out, 2) and not is_pixelated(out, 1)
    out, _ = run(make({1: role()}), pictures(), rows_of((1,)))
    assert {face["instead"] for face in by_face(out).values()} == {NO_DONOR}
    assert is_pixelated(out, 1)


def test_frames_without_a_mesh_are_pixelated_with_a_fade_around():
    hidden = frozenset(range(16, 24))
    out, _ = run(make({1: role(0)}, hidden), pictures(40), rows_of((1,), 40))
    faces = by_face(out)
    told = [index for index in range(40) if faces[index, 1]["instead"]]
    assert set(told) >= set(range(19, 21))  # smoothing may fill a little from both sides
    assert set(told) <= hidden
    for index in told:
        assert faces[index, 1]["instead"] == NO_MESH and faces[index, 1]["layer"] is None
    before, after = told[0] - 1, told[-1] + 1
    covers = by_face([(batch, pixelated_as_protected(batch)) for batch, _ in out])
    for index in (before, after):
        face, cover = faces[index, 1], covers[index, 1]
        inside = faces[2, 1]["mask"] == 1
        far = float(np.abs(face["patch"] - cover["patch"])[:, inside].mean())
        whole = float(np.abs(faces[2, 1]["patch"] - covers[2, 1]["patch"])[:, inside].mean())
        assert 0 < far < 0.7 * whole  # partly the one, partly the other
        beside = (face["mask"] < 1) & (cover["mask"] == 1)
        assert beside.any() and (face["mask"][beside] > 0.2).all()  # the cover goes as the face comes
    # wholly drawn, what lies around is the source, though moved outward
    drawn = faces[2, 1]
    around = (drawn["layer"].face == 0) & (covers[2, 1]["mask"] == 1)
    away = [np.abs(drawn["patch"] - each)[:, around].mean() for each in (drawn["before"], covers[2, 1]["patch"])]
    assert around.any() and away[0] < 0.6 * away[1]


def pixelated_as_protected(batch: FaceBatch) -> Protected:
    cover = pixelated(batch)
    n = len(batch)
    return replace(cover, instead=("",) * n, layers=(None,) * n)


def fixed_share(share: float):
    """One face at a given share: (batch, protected)."""
    swap = make({1: role(0)})
    frames = pictures(1)
    rows, states = swap.prepare(frames, rows_of((1,), 1), {})
    pose = rows[0].pose
    assert pose is not None
    (batch,) = gather(frames, [replace(rows[0], pose=FacePose(pose.mesh, share, "", pose.gaze))], PROTECT, "cpu")
    return batch, swap(batch, states)[0]


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_a_share_is_a_mixture(share):
    """Of what is seen: of the picture with the new face and of the picture with the cover."""
    batch, whole = fixed_share(1.0)
    cover = pixelated(batch)
    _, half = fixed_share(share)

    def seen(protected):
        return batch.patches + protected.masks * (protected.patches - batch.patches)

    mixed = share * seen(whole) + (1 - share) * seen(cover)
    beyond = whole.masks > cover.masks  # the new face reaches out of the cover
    assert beyond.float().mean() < 0.05
    as_said = ~beyond.expand_as(mixed)
    assert torch.allclose(seen(half)[as_said], mixed[as_said], atol=2e-3)
    assert (half.masks >= whole.masks).all()
    layer, drawn = half.layers[0], whole.layers[0]
    assert layer is not None and drawn is not None
    flat = np.tensordot(swapkit.LUMA, cover.patches[0].numpy(), 1)
    np.testing.assert_allclose(layer.luma, share * drawn.luma + (1 - share) * flat, atol=2e-3)


def test_beside_the_new_face_a_fading_patch_holds_the_cover_alone():
    """Nothing of the source: another face may lie there, painted before."""
    batch, whole = fixed_share(1.0)
    _, half = fixed_share(0.5)
    cover = pixelated(batch)
    beside = (whole.masks == 0) & (cover.masks > 0)
    assert beside.float().mean() > 0.1
    beside = beside.expand_as(half.patches)
    assert torch.allclose(half.patches[beside], cover.patches[beside], atol=1e-5)


def test_the_same_seed_draws_the_same_and_the_source_is_not_written_to():
    frames = pictures(3, grain=0.1)
    before = [plane.copy() for frame in frames for plane in frame.planes]
    one, again, other = (run(make({1: role(0)}, seed=seed), frames, rows_of((1,), 3))[0] for seed in (1, 1, 2))
    for (_, a), (_, b), (_, c) in zip(one, again, other, strict=True):
        assert torch.equal(a.patches, b.patches) and torch.equal(a.masks, b.masks)
        assert not torch.equal(a.patches, c.patches)  # the grain
    assert all((a == b).all() for a, b in zip(before, (p for f in frames for p in f.planes), strict=True))


def test_a_rejected_track_goes_on_with_the_next_donor_then_pixelated_then_blank_then_not_at_all():
    swap = make({1: role(0, 9), 2: role(4)})
    frames, rows = pictures(), rows_of((1, 2))
    first, states = run(swap, frames, rows)
    again, states = swap.rejected([1], states)
    assert again == {1}
    second, states = run(swap, frames, rows, states)
    again, states = swap.rejected([1], states)
    assert again == {1}  # once more, pixelated
    third, states = run(swap, frames, rows, states)
    assert is_pixelated(third, 1)
    assert {f["instead"] for (_, t), f in by_face(third).items() if t == 1} == {NO_DONOR}
    again, states = swap.rejected([1], states)
    assert again == {1}  # and once more, blank
    last, states = run(swap, frames, rows, states)
    assert not is_pixelated(last, 1) and not any(f["blank"] for f in by_face(third).values())
    assert {t for (_, t), f in by_face(last).items() if f["blank"]} == {1}
    again, states = swap.rejected([1], states)
    assert again == frozenset()  # nothing weaker is left: the renderer covers it
    key = (FRAMES - 1, 1)
    one, two = by_face(first)[key], by_face(second)[key]
    assert two["instead"] == "" and np.abs(one["patch"] - two["patch"])[:, one["mask"] == 1].mean() > 0.01
    others = [by_face(out)[FRAMES - 1, 2]["patch"] for out in (first, second, third)]
    assert np.abs(others[0] - others[2]).mean() < 5e-3  # the other face goes on as it was


def test_a_track_that_was_never_drawn_becomes_blank():
    swap = make({1: role(0), 2: role()})
    again, states = swap.rejected([1, 2, 3], {})
    assert again == {1, 2, 3}
    assert swap.rejected([2, 3], states)[0] == frozenset()  # blank was rejected as well
    again, states = swap.rejected([1], states)
    assert again == {1}  # pixelated was
    assert swap.rejected([1], states)[0] == frozenset()


def test_states_of_other_tracks_pass_through():
    swap = make({1: role(0, 4), 5: role(3)})
    marker = TrackFace(turn=1)
    states = {5: marker, 9: "another's"}
    frames, rows = pictures(3), rows_of((1,), 3)
    posed, after = swap.prepare(frames, rows, states)
    assert after[5] is marker and after[9] == "another's"
    (batch, *_) = gather(frames, posed, PROTECT, "cpu")
    _, last = swap(batch, after)
    assert last[5] is marker and last[9] == "another's"
    _, rejected = swap.rejected([1], last)
    assert rejected[5] is marker and rejected[9] == "another's"
    assert states == {5: marker, 9: "another's"}  # what was given is not written to


def test_rows_come_back_as_they_were_but_for_their_poses():
    rows = rows_of((1, 2))
    posed, _ = make({1: role(0)}).prepare(pictures(), rows, {})
    for given_row, row in zip(rows, posed, strict=True):
        assert (row.frame, row.track, row.state) == (given_row.frame, given_row.track, given_row.state)
        assert row.box is given_row.box and row.landmarks is given_row.landmarks
    assert all((row.pose is not None) == (row.track == 1) for row in posed)


def test_a_segment_goes_on_with_what_the_one_before_left():
    """In two segments a face is drawn as in one."""
    swap = make({1: role(0)})
    whole, _ = run(swap, pictures(20, grain=0.01), rows_of((1,), 20))
    first, states = run(swap, pictures(9, grain=0.01), rows_of((1,), 9))
    second, states = run(swap, pictures(11, 9, grain=0.01), rows_of((1,), 11, 9), states)
    together = by_face(whole)
    for key, face in by_face([*first, *second]).items():
        assert face["instead"] == ""
        assert np.abs(face["patch"] - together[key]["patch"]).mean() < 4e-3, key


def test_a_track_that_comes_back_out_of_the_cover_fades_in():
    swap = make({1: role(0)}, hidden=frozenset(range(20)))
    _, states = run(swap, pictures(20), rows_of((1,), 20))
    posed, _ = swap.prepare(pictures(20, 20), rows_of((1,), 20, 20), states)
    shares = [row.pose.share for row in posed if row.pose is not None]
    assert 0 < shares[0] < 1 and shares[-1] == 1 and shares == sorted(shares)


def test_a_batch_without_poses_is_pixelated():
    swap = make({1: role(0)})
    (batch,) = gather(pictures(1), rows_of((1,), 1), PROTECT, "cpu")
    for each in (batch, replace(batch, poses=())):
        protected, _ = swap(each, {})
        assert protected.instead == (NO_MESH,) and protected.layers == (None,)
        assert torch.allclose(protected.patches, pixelated(batch).patches, atol=2e-3)


def test_a_row_that_is_no_box_is_no_fault():
    swap = make({1: role(0)})
    frames = pictures(1)
    rows, states = swap.prepare(frames, rows_of((1,), 1), {})
    bad = replace(rows[0], box=np.array([5, 5, 5, 5], np.float32))
    (batch,) = gather(frames, [bad], PROTECT, "cpu")
    protected, _ = swap(batch, states)
    assert protected.instead == (NO_MESH,)
    assert not any(part.ok for part in split(batch, protected))


def test_a_mesh_of_numbers_that_are_none_is_pixelated():
    swap = make({1: role(0)})
    frames = pictures(1)
    rows, states = swap.prepare(frames, rows_of((1,), 1), {})
    pose = rows[0].pose
    assert pose is not None
    mesh = pose.mesh.copy()
    mesh[5, 1] = np.nan
    (batch,) = gather(frames, [replace(rows[0], pose=FacePose(mesh, 1.0))], PROTECT, "cpu")
    protected, _ = swap(batch, states)
    assert protected.instead == (NO_MESH,)
    assert torch.allclose(protected.patches, pixelated(batch).patches, atol=2e-3)


def test_a_mirrored_frame_is_swapped_as_the_plain_one():
    """Frames that are stored mirrored hold mirrored faces; what is drawn is the mirror image."""
    plain = pictures(1)
    flipped = [replace(f, planes=tuple(np.ascontiguousarray(p[:, ::-1]) for p in f.planes)) for f in plain]
    points = mesh_of(1)
    turned = points.copy()
    turned[:, 0] = 2 * SIZE - turned[:, 0]
    row, other = swapkit.row_of(points), swapkit.row_of(turned)
    ((_, a),), _ = run(make({1: role(0)}), plain, [row])
    ((_, b),), _ = run(make({1: role(0)}, points=turned), flipped, [other])
    assert a.instead == b.instead == ("",)
    assert (a.patches.flip(-1) - b.patches).abs().mean() < 2e-3
    assert (a.masks.flip(-1) - b.masks).abs().mean() < 2e-3
    first, second = a.layers[0], b.layers[0]
    assert first is not None and second is not None
    assert np.abs(first.luma[:, ::-1] - second.luma).mean() < 5e-3
    assert np.abs(first.inside[:, ::-1] - second.inside).mean() < 5e-3


def test_frames_without_a_clock_are_no_fault():
    frames = [replace(frame, pts=0, time_base=Fraction(1, 25)) for frame in pictures(5)]
    out, _ = run(make({1: role(0)}), frames, rows_of((1,), 5))
    assert all(face["instead"] == "" for face in by_face(out).values())
    assert make({1: role(0)}).prepare(pictures(1), [], {}) == ([], {})


POSES = st.tuples(st.floats(-50, 50), st.floats(-25, 25), st.floats(-60, 60), st.floats(0.15, 1.3))


@settings(max_examples=20, deadline=None)
@given(POSES, st.tuples(st.floats(-60, 60), st.floats(-60, 60)))
def test_whatever_is_drawn_covers_what_the_gate_asks_for(pose, shift):
    """A face turned, tilted, small or beside its landmarks is drawn so that blend takes it, or not drawn."""
    yaw, pitch, roll, scale = pose
    points = swapkit.turned(mesh_of(1), yaw, pitch, roll)
    points = (points - points.mean(0)) * np.float32(scale) + points.mean(0)
    marks = five(points)[:, :2] + np.array(shift, np.float32) * (abs(shift[0]) > 45)
    row = replace(swapkit.row_of(points), landmarks=marks.astype(np.float32))
    frames = pictures(1)
    swap = make({1: role(0)}, points=points)
    ((batch, protected),), _ = run(swap, frames, [row])
    (part,) = split(batch, protected)
    assert part.ok, part.reason
    blend(frames[0], [part], [], PROTECT)
    if protected.instead[0] == "":
        assert protected.layers[0] is not None
        hull = cv2.convexHull(batch.landmarks[0].astype(np.float32))
        inside = np.zeros(part.mask.shape, np.uint8)
        cv2.fillConvexPoly(inside, np.rint(hull - 0.5).astype(np.int32), 1)
        assert part.mask[inside > 0].min() > 0.99
    else:
        assert torch.allclose(protected.patches, pixelated(batch).patches, atol=2e-3)
    if abs(yaw) > 45:
        assert protected.instead[0] != ""


def test_a_mask_that_was_shifted_off_the_landmarks_is_refused():
    """What the property above relies on: blend looks at the detector's landmarks, not at the mesh."""
    ((batch, protected),), _ = run(make({1: role(0)}), pictures(1), rows_of((1,), 1))
    size = batch.patches.shape[-1]
    (layer,) = protected.layers
    assert layer is not None
    elsewhere = replace(layer, face=np.roll(layer.face, size // 4, -1))
    for shifted in (
        replace(protected, masks=protected.masks.roll(size // 2, -1)),
        replace(protected, layers=(elsewhere,)),  # the mask shows what is around the face as well
        replace(protected, masks=protected.masks.roll(size // 4, -1), layers=(elsewhere,)),
    ):
        assert [part.reason for part in split(batch, shifted)] == [OPEN]


def test_a_donor_is_drawn_with_its_own_retouch():
    """The first is lighter above than below, the second darker."""
    gains = [np.repeat(np.float32([share, -share]), 4)[:, None].repeat(8, 1) for share in (0.2, -0.2)]
    both = replace(role(0, 3), retouches=lambda: tuple(Retouch(gain, 2.0) for gain in gains))
    slopes = []
    for cast in (role(0, 3), both):
        swap = make({1: cast})
        first, states = run(swap, pictures(), rows_of((1,)))
        _, states = swap.rejected((1,), states)
        second, _ = run(swap, pictures(), rows_of((1,)), states)
        for out in (first, second):
            layer = by_face(out)[FRAMES // 2, 1]["layer"]
            inside = layer.inside >= 1
            above = np.indices(inside.shape)[0] < np.nonzero(inside)[0].mean()
            slopes.append(float(layer.luma[inside & above].mean() / layer.luma[inside & ~above].mean()))
    assert slopes[2] > slopes[0] + 0.02 and slopes[3] < slopes[1] - 0.02


def test_who_is_known_less_is_drawn_and_the_other_where_that_is_rejected():
    gain = np.zeros((8, 8), np.float32)
    known = replace(role(0, 3), retouches=lambda: (Retouch(gain, 1.0, 0.2), Retouch(gain, 1.0, 0.0)))
    swap = make({1: known})
    first, states = run(swap, pictures(), rows_of((1,)))
    again, states = swap.rejected((1,), states)
    assert again == {1}
    second, _ = run(swap, pictures(), rows_of((1,)), states)
    turned, _ = run(make({1: replace(known, donors=(3, 0), retouches=tuple)}), pictures(), rows_of((1,)))
    plain, _ = run(make({1: role(0)}), pictures(), rows_of((1,)))

    def seen(out):
        return by_face(out)[FRAMES // 2, 1]["layer"].luma

    assert np.abs(seen(first) - seen(turned)).mean() < 0.5 * np.abs(seen(first) - seen(plain)).mean()
    assert np.abs(seen(second) - seen(plain)).mean() < 0.5 * np.abs(seen(second) - seen(turned)).mean()
