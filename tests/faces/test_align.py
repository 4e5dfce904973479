import numpy as np
import pytest

from vidanon.faces import align


@pytest.mark.parametrize("side", [4, 8, 30, 100, 300, 3000])
def test_window_holds_the_grown_face_and_its_soft_edge(side):
    box = np.array([50, 60, 50 + 0.7 * side, 60 + side], np.float32)
    canvas, to_frame = align.window(box, 1.3, 0.1)
    corners = align.apply(to_frame, np.array([[0, 0], [canvas, canvas]], np.float32))
    reach = side * (1.3 / 2 + 0.1)
    centre = (box[:2] + box[2:]) / 2
    assert (corners[0] <= centre - reach - 1).all()
    assert (corners[1] >= centre + reach + 1).all()
    assert np.allclose(corners.mean(0), centre, atol=1e-2)


@pytest.mark.parametrize(("side", "canvas"), [(10, 64), (127, 64), (128, 128), (255, 128), (256, 256), (9000, 512)])
def test_canvas_never_enlarges_where_a_smaller_one_exists(side, canvas):
    assert align.canvas_for(side) == canvas


def test_boxes_that_are_no_boxes():
    assert align.is_box(np.array([0, 0, 8, 8], np.float32))
    for bad in ([np.nan, 0, 8, 8], [0, 0, np.inf, 8], [0, 0, 0, 8], [8, 0, 0, 8], [0, 0, 1e30, 8]):
        assert not align.is_box(np.array(bad, np.float32))


def test_invert_and_apply_are_inverse():
    transform = np.array([[1.5, -0.4, 30], [0.7, 2.0, -12]], np.float32)
    points = np.random.default_rng(0).uniform(-100, 100, (20, 2)).astype(np.float32)
    assert np.allclose(align.apply(align.invert(transform), align.apply(transform, points)), points, atol=1e-3)


def test_move_box_bounds_a_turned_box():
    turned = np.array([[0, -1, 10], [1, 0, 20]], np.float32)
    assert align.move_box(turned, np.array([1, 2, 3, 6], np.float32)).tolist() == [4, 21, 8, 23]


def test_similarity_recovers_rotation_scale_and_shift():
    angle, scale = 0.6, 1.7
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = np.random.default_rng(1).uniform(0, 100, (5, 2)).astype(np.float32)
    target = (points @ linear.T + [12, -7]).astype(np.float32)
    assert np.allclose(align.similarity(points, target)[:, :2], linear, atol=1e-4)
    assert np.allclose(align.apply(align.similarity(points, target), points), target, atol=1e-3)


def test_similarity_needs_two_places():
    with pytest.raises(ValueError, match="coincide"):
        align.similarity(np.ones((5, 2), np.float32), np.zeros((5, 2), np.float32))
