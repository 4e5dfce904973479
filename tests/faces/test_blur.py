"""A blur at a fraction of the size is the blur."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.swap import swapkit
from vidanon.faces.blur import smoothed

SIZE = 128


@pytest.mark.parametrize("sigma", [0.3, 2.0, 5.9, 6.1, 17.0, 30.0])
def test_smoothing_at_a_fraction_shows_no_difference(sigma):
    picture, _ = swapkit.face(3, SIZE)
    plain = cv2.GaussianBlur(picture, (0, 0), max(sigma, 0.1), borderType=cv2.BORDER_REPLICATE)
    assert np.abs(smoothed(picture, sigma) - plain).mean() < 0.03
    assert np.abs(smoothed(picture, sigma) - plain).max() < 0.12


@pytest.mark.parametrize("sigma", [0.0, 0.3, 6.1, 40.0, 3000.0])
def test_smoothing_leaves_a_flat_picture(sigma):
    flat = np.full((50, 70, 3), 0.3, np.float32)
    assert np.abs(smoothed(flat, sigma) - 0.3).max() < 1e-5
