from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from tests.faces.facekit import FORMATS, noise, row
from vidanon.config import ProtectSettings
from vidanon.faces.gather import gather
from vidanon.faces.masks import render
from vidanon.protect.obscure import Blur, Mask, Pixelate
from vidanon.types import BLANK

PROTECTORS = {"mask": Mask, "pixelate": Pixelate, "blur": Blur}
BOX = (50, 30, 90, 80)


def plain(mode, **changes):
    """Settings without texture: the mosaic or blur alone."""
    return ProtectSettings(mode=mode, texture=0, **changes)


def batch_of(settings, boxes=(BOX,), frame=None, first=0):
    frame = frame or noise(FORMATS[4])
    (batch,) = gather([frame], [row(b, track=t) for t, b in enumerate(boxes, first)], settings, "cpu")
    return batch


@pytest.mark.parametrize("mode", PROTECTORS)
def test_answers_every_row_and_leaves_states_alone(mode):
    settings = ProtectSettings(mode=mode)
    batch = batch_of(settings, [BOX, (20, 20, 58, 65), (40, 1, 79, 48)])
    states = {9: object()}
    protected, after = PROTECTORS[mode](settings)(batch, states)
    assert after == states
    assert protected.ok.tolist() == [True] * len(batch)
    assert protected.patches.shape == batch.patches.shape
    assert protected.masks.shape == (len(batch), 1, *batch.patches.shape[2:])
    for tensor in (protected.patches, protected.masks):
        assert torch.isfinite(tensor).all() and tensor.min() >= 0 and tensor.max() <= 1


def test_rows_do_not_depend_on_their_neighbours():
    """A batch of faces of several sizes gives each what it gets alone."""
    boxes = [(50, 30, 90, 80), (20, 20, 63, 79), (5, 5, 52, 60)]
    for mode, protector in PROTECTORS.items():
        settings = ProtectSettings(mode=mode)
        batch = batch_of(settings, boxes)
        together = protector(settings)(batch, {})[0]
        for i, box in enumerate(boxes):
            alone = protector(settings)(batch_of(settings, [box], first=i), {})[0]
            assert torch.allclose(together.patches[i], alone.patches[0], atol=2e-3)
            assert torch.allclose(together.masks[i], alone.masks[0], atol=1e-5)


def test_pixelate_cells_are_means_of_the_blur_anchored_at_the_face():
    settings = plain("pixelate", cells=4)
    batch = batch_of(settings)
    out = Pixelate(settings)(batch, {})[0].patches[0].numpy()
    blurred = gaussian(batch, settings.blur)
    x0, y0, x1, y1 = batch.boxes[0]
    size = blurred.shape[-1]
    cell = (y1 - y0) / 4
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    for ix in (-2, -1, 0, 1):
        for iy in (-2, -1, 0, 1):
            left, top = cx + ix * cell, cy + iy * cell
            inner = np.s_[:, int(np.ceil(top)) : int(top + cell), int(np.ceil(left)) : int(left + cell)]
            assert np.ptp(out[inner], axis=(1, 2)).max() < 1e-5  # one colour
            weights_x, weights_y = (
                np.clip(np.minimum(np.arange(size) + 1, low + cell) - np.maximum(np.arange(size), low), 0, None)
                for low in (left, top)
            )
            mean = np.einsum("chw,h,w->c", blurred, weights_y, weights_x) / (weights_x.sum() * weights_y.sum())
            assert np.allclose(out[inner][:, 0, 0], mean, atol=1e-3)


def gaussian(batch, blur):
    """(3, S, S): the first patch under a full Gaussian, cut and normalised at the border."""
    size = batch.patches.shape[-1]
    sigma = blur * float((batch.boxes[0, 2:] - batch.boxes[0, :2]).max())
    offsets = np.arange(size)[:, None] - np.arange(size)
    kernel = np.exp(-(offsets**2) / (2 * sigma**2))
    kernel /= kernel.sum(1, keepdims=True)
    return kernel @ batch.patches[0].numpy() @ kernel.T


@pytest.mark.parametrize("cells", [1, 3, 64])
def test_pixelate_takes_any_number_of_cells(cells):
    settings = plain("pixelate", cells=cells)
    batch = batch_of(settings)
    out = Pixelate(settings)(batch, {})[0].patches
    assert torch.isfinite(out).all()
    assert float((out.mean() - batch.patches.mean()).abs()) < 0.02


@pytest.mark.parametrize(("blur", "box"), [(0.05, BOX), (0.25, BOX), (0.25, (-90, -150, 310, 350)), (2.0, BOX)])
def test_blur_is_the_gaussian_it_says(blur, box):
    settings = plain("blur", blur=blur)
    batch = batch_of(settings, [box], noise(FORMATS[4], (400, 300)))
    out = Blur(settings)(batch, {})[0].patches[0].numpy()
    assert np.abs(out - gaussian(batch, blur)).max() < 0.01


@pytest.mark.parametrize("mode", ["pixelate", "blur"])
def test_strength_is_relative_to_the_face(mode):
    """The same face, three times as large, keeps as little detail as before."""
    rng = np.random.default_rng(3)
    small = (cv2.GaussianBlur(rng.random((240, 320)), (0, 0), 2) * 2000 % 200).astype(np.uint8)
    large = cv2.resize(small, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    settings = plain(mode)
    grids = []
    for scale, picture in ((1, small), (3, large)):
        frame = replace(noise(FORMATS[3], (320 * scale, 240 * scale)), planes=(picture,))
        batch = batch_of(settings, [tuple(scale * v for v in (100, 60, 180, 160))], frame)
        out = PROTECTORS[mode](settings)(batch, {})[0].patches[0, 0].numpy()
        x0, y0, x1, y1 = batch.boxes[0].astype(int)
        grids.append(cv2.resize(out[y0:y1, x0:x1], (40, 50), interpolation=cv2.INTER_AREA))
    assert np.corrcoef(grids[0].ravel(), grids[1].ravel())[0, 1] > 0.97


def test_fine_detail_is_gone():
    for mode in ("pixelate", "blur"):
        settings = plain(mode)
        batch = batch_of(settings)
        out = PROTECTORS[mode](settings)(batch, {})[0].patches[0, 0].numpy()
        fine = out - cv2.GaussianBlur(out, (0, 0), 2)
        source = batch.patches[0, 0].numpy()
        source = source - cv2.GaussianBlur(source, (0, 0), 2)
        assert abs((fine * source).sum() / (source * source).sum()) < 0.05


# Texture -------------------------------------------------------------------------------------------------


def texture_of(mode, box, track=1, seed=0, size=(320, 240), texture=0.1):
    """The luma a protector adds on flat grey, over the face box, on a grid of 40 x 40."""
    fmt = FORMATS[3]
    frame = replace(noise(fmt, size), planes=(np.full((size[1], size[0]), 128, np.uint8),))
    settings = ProtectSettings(mode=mode, texture=texture)
    (batch,) = gather([frame], [row(box, track=track)], settings, "cpu")
    out = PROTECTORS[mode](settings, seed)(batch, {})[0].patches[0, 0].numpy()
    x0, y0, x1, y1 = batch.boxes[0]
    grid = np.stack(np.meshgrid(np.linspace(x0, x1, 40), np.linspace(y0, y1, 40)), -1).astype(np.float32) - 0.5
    return cv2.remap(out, grid, None, cv2.INTER_LINEAR) - float(batch.patches.mean())


def alike(a, b):
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.parametrize("mode", ["pixelate", "blur"])
def test_texture_moves_and_grows_with_its_face(mode):
    here = texture_of(mode, (60, 60, 140, 160))
    assert alike(here, texture_of(mode, (61.3, 60.6, 141.3, 160.6))) > 0.97
    assert alike(here, texture_of(mode, (90, 40, 250, 240))) > 0.9  # another canvas


@pytest.mark.parametrize("mode", ["pixelate", "blur"])
def test_texture_belongs_to_track_and_seed(mode):
    box = (60, 60, 140, 160)
    here = texture_of(mode, box)
    assert (here == texture_of(mode, box)).all()
    assert abs(alike(here, texture_of(mode, box, track=2))) < 0.5
    assert abs(alike(here, texture_of(mode, box, seed=1))) < 0.5


@pytest.mark.parametrize("mode", ["pixelate", "blur"])
def test_texture_is_as_strong_as_set_and_shifts_no_colour(mode):
    many = [texture_of(mode, (60, 60, 140, 160), track=t) for t in range(20)]
    assert np.std(many) == pytest.approx(0.1, rel=0.15)
    assert abs(np.mean(many)) < 0.02
    settings = ProtectSettings(mode=mode)
    batch = batch_of(settings)
    with_it, without = (PROTECTORS[mode](s)(batch, {})[0].patches[0].numpy() for s in (settings, plain(mode)))
    chroma = (with_it - with_it.mean(0)) - (without - without.mean(0))
    assert np.abs(chroma).max() < 1e-3


@pytest.mark.parametrize("mode", ["pixelate", "blur"])
@pytest.mark.parametrize("settings", [{"mask_scale": 4.0, "feather": 1.0}, {"cells": 64}, {"texture": 0.5}])
def test_extreme_settings_stay_in_range(mode, settings):
    settings = ProtectSettings(mode=mode, **settings)
    batch = batch_of(settings)
    out = PROTECTORS[mode](settings)(batch, {})[0].patches
    assert torch.isfinite(out).all() and out.min() >= 0 and out.max() <= 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("mode", PROTECTORS)
@pytest.mark.parametrize("shape", ["solid", "ellipse", "hull"])
def test_a_gpu_gives_what_the_cpu_gives(mode, shape):
    settings = ProtectSettings(mode=mode, shape=shape)
    answers = []
    for device in ("cpu", "cuda"):
        (batch,) = gather([noise(FORMATS[4])], [row(BOX)], settings, device)
        protected, _ = PROTECTORS[mode](settings)(batch, {})
        assert protected.patches.device.type == device
        answers.append((protected.patches.cpu(), protected.masks.cpu()))
    for a, b in zip(*answers, strict=True):
        assert torch.allclose(a, b, atol=5e-3)


@pytest.mark.parametrize("mode", ["pixelate", "blur"])
def test_a_face_that_was_still_known_becomes_blank(mode):
    """Once, and nothing of it is left but one colour; the others stay as they are."""
    settings = plain(mode)
    batch = batch_of(settings, [BOX, (20, 20, 58, 65)])
    protector = PROTECTORS[mode](settings)
    before, states = protector(batch, {})
    again, states = protector.rejected([1], states)
    assert again == {1} and protector.rejected([1], states)[0] == frozenset()
    after, _ = protector(batch, states)
    assert after.blank is not None and after.blank.tolist() == [False, True] and not before.blank.any()
    assert torch.equal(after.patches[0], before.patches[0]) and torch.equal(after.masks[0], before.masks[0])
    solid = render(batch, "solid", settings.mask_scale, 0.0)  # no less is hidden than under a solid fill
    assert (after.masks[1][solid[1] == 1] == 1).all() and (before.masks[1][solid[1] == 1] < 1).any()
    assert after.instead == ("", BLANK)
    spread = after.patches.amax((2, 3)) - after.patches.amin((2, 3))
    assert spread[1].max() < 1e-3 < 0.03 < spread[0].max()
    grainy, _ = PROTECTORS[mode](ProtectSettings(mode=mode))(batch, states)
    assert (grainy.patches.amax((2, 3)) - grainy.patches.amin((2, 3)))[1].min() > 0.1  # the texture stays
    assert Mask(settings).rejected([1], {})[0] == frozenset()
