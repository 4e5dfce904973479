import numpy as np
import pytest

from tests.faces.facekit import FORMATS, noise, row, touched
from vidanon.faces.cover import cover_faces, cover_whole
from vidanon.media.colour import conversion
from vidanon.types import Colour


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("size", [(64, 48), (33, 21)])
def test_whole_cover_is_one_neutral_colour_in_every_layout(fmt, full, size):
    frame = noise(fmt, size, colour=Colour(6, 6, 6, full_range=full))
    out = cover_whole(frame).frame
    assert [p.shape for p in out.planes] == [p.shape for p in frame.planes]
    assert [p.dtype for p in out.planes] == [p.dtype for p in frame.planes]
    codes = [np.unique(p) for p in out.planes]
    assert all(len(c) == 1 for c in codes)
    if fmt.planes == 3 and not fmt.rgb:
        assert codes[1][0] == codes[2][0] == 1 << (fmt.depth - 1)
    if fmt.planes == 3:
        rgb = conversion(fmt, 6, full).to_rgb @ [*(float(c[0]) for c in codes), 1]
        assert np.ptp(rgb) < 0.01
        assert rgb.mean() == pytest.approx(64 / 255, abs=0.01)
    assert (out.index, out.pts, out.time_base) == (frame.index, frame.pts, frame.time_base)


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
@pytest.mark.parametrize(
    "box", [(41.3, 30.2, 71.9, 66.6), (-9, -9, 14, 14), (150, 100, 300, 300), (-99, -99, 999, 999)]
)
def test_face_cover_fills_all_it_touches_and_nothing_far(fmt, box):
    frame, other = noise(fmt, (161, 121), 1), noise(fmt, (161, 121), 2)
    a, b = (cover_faces(f, [row(box)], 1.2, (200, 30, 90)).frame for f in (frame, other))
    inside = touched(frame, box, 1.2, "solid")
    outside = touched(frame, box, 1.4, "solid")
    for source, x, y, hit, near in zip(frame.planes, a.planes, b.planes, inside, outside, strict=True):
        assert hit.any()
        assert (x[hit] == y[hit]).all()
        assert (x[hit] == x[hit][0]).all()
        assert (x[~near] == source[~near]).all()


def test_face_outside_the_picture_changes_nothing():
    frame = noise()
    out = cover_faces(frame, [row((-50, -50, -20, -20)), row((400, 10, 420, 30))], 1.3).frame
    assert all((a == b).all() for a, b in zip(out.planes, frame.planes, strict=True))


def test_no_rows_no_copy():
    frame = noise()
    assert all(a is b for a, b in zip(cover_faces(frame, [], 1.3).frame.planes, frame.planes, strict=True))


@pytest.mark.parametrize("bad", [(np.nan, 0, 5, 5), (0, 0, np.inf, 5), (9, 9, 3, 3), (0, 0, 1e30, 5)])
def test_a_box_that_is_no_box_covers_the_frame(bad):
    out = cover_faces(noise(), [row((10, 10, 20, 20)), row(bad)], 1.3).frame
    assert all(len(np.unique(p)) == 1 for p in out.planes)


def test_colour_survives_hdr():
    """White is the tone map's white, not ten thousand candela; black is black."""
    frame = noise(FORMATS[5], colour=Colour(9, 9, 16))
    black = cover_faces(frame, [row((10, 10, 80, 80))], 1.0, (0, 0, 0)).frame
    grey = cover_faces(frame, [row((10, 10, 80, 80))], 1.0, (128, 128, 128)).frame
    assert black.planes[0][40, 40] == 64
    assert 64 < grey.planes[0][40, 40] < 64 + 876 * 0.6
