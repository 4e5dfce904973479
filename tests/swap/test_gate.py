"""Which frames of a track are swapped, why others are not, and how one goes over into the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.swap import swapkit
from vidanon.config import SwapSettings
from vidanon.faces.mesh_points import OVAL, eye_distance, five, yaw
from vidanon.swap.gate import ASTRAY, CROWDED, NO_MESH, SHORT, SMALL, TURNED, UNSURE, Gated, gate
from vidanon.swap.poses import Seen

RATE = 25.0
SETTINGS = SwapSettings()


def mesh() -> np.ndarray:
    return swapkit.donor_at(0).points


def seen(meshes: np.ndarray, confidence: float = 1.0, marks: bool = True) -> Seen:
    count = len(meshes)
    landmarks = five(meshes)[..., :2] if marks else np.full((count, 5, 2), np.nan, np.float32)
    boxes = np.stack([swapkit.box_of(m) for m in meshes])
    return Seen(tuple(range(count)), meshes, np.full(count, confidence, np.float32), boxes, landmarks)


def track(good: list[bool]) -> tuple[Seen, np.ndarray]:
    """Frontal where good, without landmarks where not."""
    meshes = np.repeat(mesh()[None], len(good), 0)
    found = seen(meshes)
    meshes = meshes.copy()
    meshes[~np.array(good)] = np.nan
    return found, meshes


def gated(good: list[bool], *, fresh: bool = True, before: float = 0.0, rate: float = RATE) -> Gated:
    found, meshes = track(good)
    return gate(found, meshes, [False] * len(good), rate, SETTINGS, fresh=fresh, before=before)


def one_reason(found: Seen, meshes: np.ndarray, crowded: bool = False) -> str:
    out = gate(found, meshes, [crowded] * len(meshes), RATE, SETTINGS, fresh=True, before=0.0)
    assert len(set(out.reasons)) == 1
    assert (out.share == (0 if out.reasons[0] else 1)).all()
    return out.reasons[0]


def test_a_face_from_the_front_is_swapped_from_its_first_frame():
    out = gated([True] * 30)
    assert (out.share == 1).all() and set(out.reasons) == {""}


def test_each_reason():
    meshes = np.repeat(mesh()[None], 12, 0)
    found = seen(meshes)
    assert one_reason(found, meshes) == ""
    assert one_reason(found, np.full_like(meshes, np.nan)) == NO_MESH
    small = meshes * np.float32(0.9 * SETTINGS.min_eyes / float(eye_distance(mesh())))
    assert one_reason(seen(small), small) == SMALL
    away = np.repeat(swapkit.turned(mesh(), yaw=SETTINGS.max_yaw + 8)[None], 12, 0)
    assert one_reason(seen(away), away) == TURNED
    other = np.repeat(swapkit.turned(mesh(), yaw=-SETTINGS.max_yaw - 8)[None], 12, 0)
    assert one_reason(seen(other), other) == TURNED
    assert one_reason(seen(meshes, SETTINGS.min_confidence - 0.1), meshes) == UNSURE
    assert one_reason(seen(meshes, float("nan")), meshes) == UNSURE
    beside = meshes + np.array([200, 0, 0], np.float32)
    assert one_reason(found, beside) == ASTRAY
    assert one_reason(found, meshes, crowded=True) == CROWDED
    assert one_reason(found, np.full_like(meshes, np.nan), crowded=True) == NO_MESH


def test_a_face_beside_another_is_covered_for_as_long_and_fades_around():
    found, meshes = track([True] * 60)
    crowded = [20 <= i < 40 for i in range(60)]
    out = gate(found, meshes, crowded, RATE, SETTINGS, fresh=True, before=0.0)
    assert (out.share[20:40] == 0).all() and set(out.reasons[20:40]) == {CROWDED}
    assert out.share[[0, -1]].min() == 1 and 0 < out.share[19] < 1 and 0 < out.share[40] < 1


def test_within_every_limit_nothing_is_said():
    away = np.repeat(swapkit.turned(mesh(), yaw=SETTINGS.max_yaw - 18)[None], 12, 0)
    assert one_reason(seen(away), away) == ""
    small = np.repeat(mesh()[None], 12, 0) * np.float32(1.1 * SETTINGS.min_eyes / float(eye_distance(mesh())))
    assert one_reason(seen(small), small) == ""


@pytest.mark.parametrize("mark", range(5))
def test_one_landmark_beside_the_new_face_is_enough(mark):
    """What blend holds a drawn face to: the middle of the detector's face is covered."""
    meshes = np.repeat(mesh()[None], 12, 0)
    found = seen(meshes)
    marks = found.landmarks.copy()
    marks[:, mark] = meshes[0, 10, :2] - (0, 40)  # above the brow
    assert one_reason(replace(found, landmarks=marks), meshes) == ASTRAY


def test_a_swapped_face_stays_swapped_a_little_beyond_where_others_become_it():
    """A detector's corner of the mouth on the rim of a face that turns: neither in and out, nor far out."""
    meshes = np.repeat(mesh()[None], 12, 0)
    found = seen(meshes)
    rim = meshes[0, 454, :2]  # beside the ear
    out = (rim - meshes[0, 1, :2]) / np.linalg.norm(rim - meshes[0, 1, :2]) * float(eye_distance(mesh()))

    def reasons(beyond, start=0, mark=4, fresh=True, before=0.0):
        marks = found.landmarks.copy()
        marks[start:, mark] = rim + np.float32(beyond) * out
        moved = replace(found, landmarks=marks)
        return gate(moved, meshes, [False] * 12, RATE, SETTINGS, fresh=fresh, before=before).reasons

    assert set(reasons(0.01)) == {ASTRAY}  # from the first frame on
    assert set(reasons(-0.01)) == {""} and set(reasons(-0.01, mark=1)) == {ASTRAY}
    assert set(reasons(0.01, start=4)) == {""}
    assert set(reasons(0.01, fresh=False, before=1.0)) == {""}  # from the segment before
    assert set(reasons(0.2, start=4)[4:]) == {ASTRAY}
    assert set(reasons(0.01, start=4, mark=1)[4:]) == {ASTRAY}  # an eye is held to the same as ever


def turning(*degrees: float) -> tuple[Seen, np.ndarray]:
    meshes = np.stack([swapkit.turned(mesh(), yaw=each) for each in degrees])
    found = seen(meshes)
    middle = meshes[:, list(OVAL), :2].mean(1)[:, None]  # landmarks well inside: only the turn counts
    return replace(found, landmarks=middle + np.float32(0.2) * (found.landmarks - middle)), meshes


@pytest.mark.parametrize("backwards", [False, True])
def test_a_face_that_turns_is_swapped_a_little_further_before_and_after(backwards):
    """Of one that comes from the side its first frames, of one that goes there its last; not of one that stays."""
    read = np.array([float(yaw(swapkit.turned(mesh(), yaw=each))) for each in np.arange(0, 60.0)])
    at = [float(np.interp(SETTINGS.max_yaw + more, read, np.arange(60))) for more in (-20, -10, -2, 3, 3, 9, 9)]
    degrees = [at[0]] * 12 + at
    found, meshes = turning(*(degrees[::-1] if backwards else degrees))
    out = gate(found, meshes, [False] * len(degrees), RATE, SETTINGS, fresh=True, before=0.0)
    reasons = out.reasons[::-1] if backwards else out.reasons
    assert set(reasons[:-2]) == {""} and set(reasons[-2:]) == {TURNED}
    found, meshes = turning(*[at[3]] * 12)
    assert set(gate(found, meshes, [False] * 12, RATE, SETTINGS, fresh=True, before=0.0).reasons) == {TURNED}
    after = gate(found, meshes, [False] * 12, RATE, SETTINGS, fresh=False, before=1.0)
    assert set(after.reasons[:5]) == {""} and set(after.reasons[5:]) == {TURNED}  # a fifth of a second
    assert (np.diff(after.share[:6]) < 0).all()  # going over all the while


def test_without_landmarks_the_middle_of_the_box_must_be_held():
    meshes = np.repeat(mesh()[None], 12, 0)
    found = seen(meshes, marks=False)
    assert one_reason(found, meshes) == ""
    assert one_reason(replace(found, boxes=found.boxes + np.float32(90)), meshes) == ASTRAY
    wide = found.boxes + np.array([-150, -150, 150, 150], np.float32)
    assert one_reason(replace(found, boxes=wide), meshes) == ASTRAY


def test_a_face_goes_over_into_the_cover_and_back():
    good = [True] * 20 + [False] * 5 + [True] * 20
    out = gated(good)
    assert (out.share[20:25] == 0).all() and set(out.reasons[20:25]) == {NO_MESH}
    assert out.share[0] == 1 and out.share[-1] == 1
    falling, rising = out.share[:20], out.share[25:]
    assert (np.diff(falling) <= 0).all() and (np.diff(rising) >= 0).all()
    for fade in (falling, rising):
        between = fade[(fade > 0) & (fade < 1)]
        assert 2 <= len(between) <= RATE / 2
        assert np.abs(np.diff(fade)).max() < 0.5
    assert (falling == rising[::-1]).all()


@pytest.mark.parametrize("rate", [10.0, 25.0, 60.0, 120.0])
def test_a_fade_lasts_as_long_at_every_rate(rate):
    seconds = int(2 * rate)
    out = gated([True] * seconds + [False] + [True] * seconds, rate=rate)
    assert (out.share < 1).sum() / rate == pytest.approx(0.4, abs=1.5 / rate + 0.15)


def test_a_face_seen_shortly_is_not_swapped():
    good = [True] * 20 + [False] * 5 + [True] * 4 + [False] * 5 + [True] * 20
    out = gated(good)
    assert (out.share[20:34] == 0).all()
    assert set(out.reasons[25:29]) == {SHORT}
    assert out.share[[0, -1]].min() == 1
    long = gated([True] * 20 + [False] * 5 + [True] * 14 + [False] * 5 + [True] * 20)
    assert long.share[25:39].max() == 1


def test_a_run_that_may_go_on_in_the_next_segment_is_swapped():
    assert gated([False] * 10 + [True] * 3).share[-3:].min() > 0
    assert gated([True] * 3).share.min() == 1


def test_a_run_that_went_on_from_the_segment_before_is_swapped():
    good = [True] * 3 + [False] * 20
    assert gated(good, fresh=False, before=1.0).share[0] > 0
    short = gated(good, fresh=False, before=0.0)
    assert (short.share == 0).all() and set(short.reasons[:3]) == {SHORT}
    assert (gated(good, fresh=True).share == 0).all()


def test_a_segment_goes_on_with_the_share_of_the_one_before():
    good = [False] * 4 + [True] * 40
    whole = gated(good)
    for cut in range(5, 30):
        first = gated(good[:cut])
        second = gated(good[cut:], fresh=False, before=float(first.share[-1]))
        np.testing.assert_allclose(np.concatenate([first.share, second.share]), whole.share, atol=1e-6)
    assert gated([True] * 20, fresh=False, before=0.0).share[0] < 1  # it came from the cover
    assert gated([True] * 20, fresh=False, before=1.0).share.min() == 1


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.booleans(), min_size=1, max_size=80),
    st.booleans(),
    st.floats(0, 1),
    st.floats(1, 240),
)
def test_whatever_comes(good, fresh, before, rate):
    out = gated(good, fresh=fresh, before=0.0 if fresh else before, rate=rate)
    assert out.share.shape == (len(good),) and len(out.reasons) == len(good)
    assert out.share.min() >= 0 and out.share.max() <= 1
    assert (out.share[~np.array(good)] == 0).all()  # a frame that failed never shows the new face
    assert all((share == 0) == bool(reason) for share, reason in zip(out.share, out.reasons, strict=True))
    shown = out.share > 0
    steps = np.abs(np.diff(out.share))[shown[1:] & shown[:-1]]
    assert (steps <= 1 / max(1, round(0.2 * rate)) + 1e-6).all()
