import numpy as np
import pytest
import torch

from tests.faces.facekit import noise, points_of, row
from vidanon.config import ProtectSettings
from vidanon.faces import masks
from vidanon.faces.align import apply, invert
from vidanon.faces.gather import gather

#: A head turned by about 40 degrees: eyes, nose, mouth corners inside its box.
TILTED = [[52, 66], [74, 50], [74, 70], [66, 90], [85, 77]]
BOX = (40, 30, 110, 110)


def mask_of(shape: str, scale: float = 1.3, feather: float = 0.1, landmarks=TILTED, box=BOX):
    settings = ProtectSettings(mode="mask", shape=shape, mask_scale=scale, feather=feather)
    (batch,) = gather([noise()], [row(box, landmarks=landmarks)], settings, "cpu")
    return batch, masks.render(batch, shape, scale, feather)[0, 0].numpy()


def at(batch, mask, points):
    """Mask values of the patch pixels that hold coded-pixel points (N, 2)."""
    xy = np.floor(apply(invert(batch.to_frame[0]), points.astype(np.float32))).astype(int)
    assert (xy >= 0).all() and (xy < mask.shape[0]).all(), "the shape leaves its patch"
    return mask[xy[:, 1], xy[:, 0]]


@pytest.mark.parametrize("shape", ["solid", "ellipse", "hull"])
@pytest.mark.parametrize("scale", [1.0, 1.3, 2.0])
@pytest.mark.parametrize("feather", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("box", [BOX, (40, 30, 48, 38), (-300, -200, 500, 900), (10, 50, 150, 60)])
def test_one_all_over_the_shape_and_zero_at_the_patch_border(shape, scale, feather, box):
    batch, mask = mask_of(shape, scale, feather, None, box)
    assert (at(batch, mask, points_of(box, scale, shape)) == 1).all()
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert border.max() == 0


def test_soft_edge_lies_outside_and_has_the_width_asked_for():
    batch, mask = mask_of("ellipse", 1.0, 0.25)
    step = float(batch.to_frame[0, 0, 0])
    line = mask[mask.shape[0] // 2]
    soft = ((line > 0) & (line < 1)).sum() / 2 * step
    assert soft == pytest.approx(0.25 * 80, rel=0.15)


def test_hull_holds_the_ellipse_the_landmarks_and_more_of_a_turned_head():
    batch, hull = mask_of("hull")
    _, ellipse = mask_of("ellipse")
    assert (hull >= ellipse - 0.05).all()
    centre = np.array([75.0, 70.0])
    assert (at(batch, hull, centre + 1.3 * (np.array(TILTED) - centre)) == 1).all()
    assert (hull == 1).sum() > 1.02 * (ellipse == 1).sum()


def test_hull_without_landmarks_is_the_ellipse():
    _, hull = mask_of("hull", landmarks=None)
    _, ellipse = mask_of("ellipse")
    extra = (hull == 1).sum() / (ellipse == 1).sum()
    assert 1 <= extra < 1.03  # 32 half-planes around an ellipse


def test_hull_is_convex():
    _, hull = mask_of("hull", feather=0.0)
    for lines in (hull == 1, (hull == 1).T):
        for line in lines:
            filled = np.flatnonzero(line)
            assert filled.size == 0 or filled.size == filled[-1] - filled[0] + 1


@pytest.mark.parametrize("marks", [[[1e4, -1e4]] * 5, [[75, 70]] * 5])
def test_absurd_landmarks_do_not_push_the_hull_out_of_its_patch(marks):
    _, hull = mask_of("hull", landmarks=marks)
    assert np.isfinite(hull).all()
    assert max(hull[0].max(), hull[-1].max(), hull[:, 0].max(), hull[:, -1].max()) == 0


def test_a_row_without_a_place_spoils_no_other():
    settings = ProtectSettings(mode="mask")
    rows = [row((np.nan, 0, 1, 1)), row((40, 30, 48, 38), track=2)]
    (batch,) = gather([noise()], rows, settings, "cpu")
    for shape in ("solid", "ellipse", "hull"):
        both = masks.render(batch, shape, 1.3, 0.1)
        assert torch.isfinite(both[1]).all()
        assert both[1].max() == 1
