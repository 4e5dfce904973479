"""Where a source face looks, read in its frame."""

from __future__ import annotations

import numpy as np
import pytest

from tests.swap import eyekit, swapkit
from vidanon.swap.looking import looking


def scene(unit: float, gaze: tuple[float, float], at: tuple[int, int] = (60, 40)):
    """A painted face somewhere in a frame, and its mesh there."""
    points = eyekit.mesh(unit)
    face = eyekit.filmed(eyekit.paint(points, gaze))
    picture = np.full((face.shape[0] + 120, face.shape[1] + 120, 3), 90, np.uint8)
    picture[at[1] : at[1] + face.shape[0], at[0] : at[0] + face.shape[1]] = face
    return swapkit.frame_of(picture), points + np.array([*at, 0], np.float32)


@pytest.mark.parametrize("unit", [24, 60, 200])
@pytest.mark.parametrize("wanted", [(0.0, -0.04), (0.16, -0.04), (-0.16, -0.02)])
def test_a_gaze_is_found_where_the_face_is(unit, wanted):
    found, sure = looking(*scene(unit, wanted))
    assert found == pytest.approx(wanted, abs=0.07)
    assert 0.3 < sure <= 1


def nothing(frame, mesh) -> bool:
    found, sure = looking(frame, mesh)
    return bool(np.isnan(found).all()) and sure == 0 and found.shape == (2,)


def test_eyes_that_cannot_be_seen_tell_nothing():
    frame, mesh = scene(60, (0.1, -0.04))
    assert nothing(frame, np.full_like(mesh, np.nan))
    holed = mesh.copy()
    holed[33] = np.nan
    assert nothing(frame, holed)
    assert nothing(swapkit.frame_of(np.full((200, 200, 3), 128, np.uint8)), mesh)


@pytest.mark.parametrize("scale", [0.0, 1e-3, 0.04, 1e3])
def test_a_face_of_no_size_tells_nothing(scale):
    frame, mesh = scene(60, (0.1, -0.04))
    assert nothing(frame, mesh * np.float32(scale))


@pytest.mark.parametrize("shift", [(-5000, 0), (5000, 5000), (-90, 0), (0, -110)])
def test_a_face_beside_or_across_the_picture_is_no_fault(shift):
    frame, mesh = scene(60, (0.1, -0.04))
    found, sure = looking(frame, mesh + np.array([*shift, 0], np.float32))
    assert found.shape == (2,) and 0 <= sure <= 1
    assert np.isfinite(found).all() == (sure > 0)
