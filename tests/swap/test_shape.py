"""The donor's shape on the source's mesh: free of pose, still at the rim, and moving with the source."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faces.meshkit import rotation
from tests.swap import swapkit
from vidanon.faces.mesh_points import LEFT_EYE, LIPS_INNER, LIPS_OUTER, NOSE_TIP, OVAL, RIGHT_EYE, eye_distance
from vidanon.swap.shape import Shapes

POSE = st.tuples(
    st.floats(-80, 80), st.floats(-60, 60), st.floats(-180, 180), st.floats(0.05, 40), st.floats(-3000, 3000)
)


@pytest.fixture(scope="module")
def shapes() -> Shapes:
    return Shapes(swapkit.finder().mean)


def mesh(which: int = 0) -> np.ndarray:
    return swapkit.donors()[which].points.astype(np.float64)


def moved(points: np.ndarray, pose: tuple[float, ...]) -> np.ndarray:
    yaw, pitch, roll, scale, shift = pose
    return scale * points @ rotation(yaw, pitch, roll).T + (shift, -shift / 2, shift / 3)


@settings(max_examples=40, deadline=None)
@given(POSE)
def test_a_shape_is_free_of_pose_and_size(pose):
    shapes = Shapes(swapkit.finder().mean)
    plain, posed = shapes.common(np.stack([mesh(), moved(mesh(), pose)]))
    np.testing.assert_allclose(posed, plain, atol=1e-6)


def test_a_shape_keeps_what_tells_it_from_others(shapes):
    one, other = shapes.common(np.stack([mesh(0), mesh(5)]))
    assert np.abs(one - other).max() > 0.02
    assert eye_distance(one) == pytest.approx(1, abs=0.25)


def test_the_scale_of_the_mean_does_not_matter(shapes):
    mean = swapkit.finder().mean
    again = Shapes(mean * 37 + 11)
    np.testing.assert_allclose(again.common(mesh()[None]), shapes.common(mesh()[None]), atol=1e-4)


def test_a_shape_has_no_offset_to_itself(shapes):
    one = shapes.common(mesh()[None])[0]
    assert np.abs(shapes.offset(one, one)).max() == 0


@pytest.mark.parametrize("pair", [(0, 5), (7, 20), (30, 3)])
def test_the_rim_and_the_lips_stay_the_sources(shapes, pair):
    donor, source = shapes.common(np.stack([mesh(i) for i in pair]))
    offset = shapes.offset(donor, source)
    still = [*OVAL, *LIPS_OUTER, *LIPS_INNER]
    assert np.abs(donor - source)[still].max() > 0.03
    assert np.abs(offset[still]).max() < 1e-12
    assert np.abs(offset[[NOSE_TIP, 168, *RIGHT_EYE]]).max() > 0.005


@pytest.mark.parametrize("eye", [RIGHT_EYE, LEFT_EYE])
def test_an_eye_moves_as_a_whole(shapes, eye):
    """Its opening is the source's: a blink stays a blink."""
    donor, source = shapes.common(np.stack([mesh(2), mesh(9)]))
    donor = donor.copy()
    donor[list(eye), 0] += 0.05
    offset = shapes.offset(donor, source)[list(eye)]
    np.testing.assert_allclose(offset, np.broadcast_to(offset[0], offset.shape), atol=1e-9)
    before = shapes.offset(donor - (0.05, 0, 0), source)[list(eye)]
    assert (offset - before)[0] == pytest.approx((0.05, 0, 0), abs=1e-6)


def test_without_an_offset_the_mesh_is_the_sources(shapes):
    meshes = np.stack([mesh(0), moved(mesh(1), (30, 10, -20, 0.4, 50))]).astype(np.float32)
    np.testing.assert_array_equal(shapes.placed(meshes, np.zeros((468, 3))), meshes)


@settings(max_examples=25, deadline=None)
@given(POSE)
def test_the_offset_turns_and_grows_with_the_head(pose):
    shapes = Shapes(swapkit.finder().mean)
    donor, source = shapes.common(np.stack([mesh(4), mesh(8)]))
    offset = shapes.offset(donor, source)
    still = moved(shapes.placed(mesh(8)[None], offset)[0].astype(np.float64), pose)
    turned = shapes.placed(moved(mesh(8), pose)[None], offset)[0]
    tolerance = 1e-4 * pose[3] * 384 + 2e-3  # float32 where the result is far from the origin
    np.testing.assert_allclose(turned, still, atol=tolerance)


def test_what_moves_in_the_source_moves_alike_in_the_result(shapes):
    donor, source = shapes.common(np.stack([mesh(4), mesh(8)]))
    offset = shapes.offset(donor, source)
    spoken = mesh(8).copy()
    spoken[list(LIPS_INNER[1:10]), 1] += 9
    spoken[list(RIGHT_EYE[9:]), 1] += 3
    before, after = shapes.placed(np.stack([mesh(8), spoken]), offset).astype(np.float64)
    np.testing.assert_allclose(after - before, spoken - mesh(8), atol=1e-3)
