"""The picture metrics agree with scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vidanon.evaluate.metrics_image import l2, mssim, psnr, ssim, ssim_map

RNG = np.random.default_rng(5)


def pair(shape, noise):
    """A smooth picture with an edge, and the same with noise."""
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]]
    a = 120 + 60 * np.sin(x / 7) + 40 * (y > shape[0] / 2)
    a = a if len(shape) == 2 else np.stack([a, a * 0.7, 255 - a], axis=2)
    b = a + RNG.normal(0, noise, shape)
    return a.clip(0, 255).astype(np.uint8), b.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(40, 53), (64, 64, 3), (11, 30, 3)])
@pytest.mark.parametrize("noise", [1, 12, 60])
def test_agrees_with_scikit_image(shape, noise):
    a, b = pair(shape, noise)
    channel = None if len(shape) == 2 else 2
    wanted = structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=channel, data_range=255
    )
    assert mssim(a, b) == pytest.approx(wanted, abs=1e-4)
    assert ssim(a, b) == pytest.approx(structural_similarity(a, b, channel_axis=channel, data_range=255), abs=1e-4)
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=255), abs=1e-4)
    assert l2(a, b) == pytest.approx(np.linalg.norm((a / 255.0 - b / 255.0).ravel()), abs=1e-4)
    assert 0 < mssim(a, b) < 1


def test_map_agrees_with_scikit_image_to_its_edges():
    a, b = pair((40, 53, 3), 20)
    wanted = structural_similarity(
        a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=2, data_range=255, full=True
    )[1]
    np.testing.assert_allclose(ssim_map(a, b), wanted, atol=1e-4)


def test_floating_point_pictures_are_in_0_to_1():
    a, b = pair((40, 40, 3), 15)
    x, y = (a / 255).astype(np.float32), (b / 255).astype(np.float32)
    for metric in (l2, psnr, ssim, mssim):
        assert metric(x, y) == pytest.approx(metric(a, b), abs=1e-4)


def test_equal_pictures():
    a, _ = pair((30, 30, 3), 0)
    assert (l2(a, a), psnr(a, a), ssim(a, a), mssim(a, a)) == (0, float("inf"), 1, 1)


def test_a_mask_counts_only_its_pixels():
    a, _ = pair((60, 60, 3), 0)
    b = a.copy()
    b[:20] = 0
    below = np.zeros((60, 60), bool)
    below[30:] = True
    assert psnr(a, b, below) == float("inf") and mssim(a, b, below) == pytest.approx(1) == ssim(a, b, below)
    assert psnr(a, b, ~below) < psnr(a, b) < 20
    assert mssim(a, b, ~below) < mssim(a, b) < 0.9
    error = ((a / 255.0 - b / 255.0)[~below] ** 2).mean()
    assert psnr(a, b, ~below) == pytest.approx(-10 * np.log10(error))


def test_refusals():
    a, b = pair((30, 30, 3), 3)
    for metric in (l2, psnr, ssim, mssim):
        with pytest.raises(ValueError):
            metric(a, b[:20])
        with pytest.raises(ValueError):
            metric(a, b.astype(np.float32))
        with pytest.raises(ValueError):
            metric(a.astype(np.int32), b.astype(np.int32))
    with pytest.raises(ValueError, match="smaller than the window"):
        mssim(a[:10], b[:10])
    with pytest.raises(ValueError, match="no pixel"):
        psnr(a, b, np.zeros((30, 30), bool))
    with pytest.raises(ValueError, match="mask of shape"):
        psnr(a, b, np.ones((30, 31), bool))
