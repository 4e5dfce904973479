"""Looking more widely: the same crop, farther away."""

from __future__ import annotations

import numpy as np
import pytest

from tests.swap import swapkit
from vidanon.faces.mesh_points import five
from vidanon.recognise.base import ARCFACE_112, Description
from vidanon.recognise.crop import crop
from vidanon.swap.wide import TELLING, VIEWS, wider

ABOUT = Description("any", 112, ARCFACE_112, thresholds={0.01: 0.3})


def test_the_first_view_is_the_recognisers_own_and_the_others_are_wider():
    np.testing.assert_allclose(wider(ABOUT, VIEWS[0]).template, ABOUT.template, atol=1e-5)
    zooms = [zoom for zoom, _ in VIEWS]
    assert zooms == sorted(zooms) and zooms[0] == 1 and TELLING in VIEWS[1:]


@pytest.mark.parametrize("view", VIEWS[1:])
def test_a_wider_crop_shows_the_face_smaller_and_more_around_it(view):
    zoom, down = view
    eyes = [np.array(about.template)[:2] for about in (ABOUT, wider(ABOUT, view))]
    distance = [np.linalg.norm(pair[1] - pair[0]) for pair in eyes]
    assert distance[1] == pytest.approx(distance[0] / zoom, rel=1e-4)
    # what lay in the middle of the crop lies above or below it by so much
    middle = [np.array(about.template).mean(0) - 55.5 for about in (ABOUT, wider(ABOUT, view))]
    assert middle[1][1] * zoom == pytest.approx(middle[0][1] - 55.5 * down, abs=1e-3)
    picture, mesh = swapkit.face(0, 192)
    pixels = np.rint(picture * 255).astype(np.uint8)
    own, wide = (crop(pixels, five(mesh)[:, :2], about) for about in (ABOUT, wider(ABOUT, view)))
    assert own.shape == wide.shape and np.abs(own.astype(float) - wide).mean() > 3
