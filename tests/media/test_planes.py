from __future__ import annotations

import ctypes
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from hypothesis import given, settings
from hypothesis import strategies as st

from vidanon.media.planes import SUPPORTED, from_av, luma, plane_shape, region_rgb, to_av, view, write_region
from vidanon.types import Colour, Frame, Orientation

COLOURS = [
    Colour(1, 1, 1),
    Colour(6, 6, 6, True),
    Colour(2, 2, 2),
    Colour(9, 9, 16),
    Colour(9, 9, 18),
    Colour(8, 1, 1, True),
]


def noise(name: str, width: int, height: int, colour: Colour = COLOURS[0], seed: int = 0) -> Frame:
    """Random codes over the whole depth: most triples are far outside the RGB gamut."""
    fmt = SUPPORTED[name]
    rng = np.random.default_rng(seed)
    dtype = np.uint8 if fmt.depth == 8 else np.uint16
    planes = tuple(
        rng.integers(0, 1 << fmt.depth, plane_shape(fmt, i, width, height)).astype(dtype) for i in range(fmt.planes)
    )
    return Frame(planes, fmt, colour, 0, 7, Fraction(1, 90000))


def flat(name: str, codes: tuple[int, ...], width: int = 32, height: int = 24, **tags) -> Frame:
    fmt = SUPPORTED[name]
    dtype = np.uint8 if fmt.depth == 8 else np.uint16
    planes = tuple(np.full(plane_shape(fmt, i, width, height), c, dtype) for i, c in enumerate(codes))
    return Frame(planes, fmt, tags.pop("colour", Colour(1, 1, 1)), 0, 0, Fraction(1, 25), **tags)


def copies(frame: Frame) -> tuple[np.ndarray, ...]:
    return tuple(p.copy() for p in frame.planes)


@pytest.mark.parametrize("name", sorted(SUPPORTED))
@pytest.mark.parametrize("size", [(16, 8), (17, 15), (1, 1)])
def test_every_layout_goes_to_libav_and_back(name, size):
    frame = noise(name, *size, colour=Colour(1, 1, 1, SUPPORTED[name].planes == 1 or SUPPORTED[name].rgb))
    picture = to_av(frame)
    planes, fmt, colour = from_av(picture)
    assert fmt == frame.format and colour == frame.colour
    assert (picture.pts, picture.time_base) == (7, Fraction(1, 90000)) and len(picture.side_data) == 0
    for read, written in zip(planes, frame.planes, strict=True):
        assert np.array_equal(read, written)
        assert not read.flags.writeable


def test_planes_outlive_the_libav_frame():
    frame = noise("yuv420p", 640, 360)
    planes, _, _ = from_av(to_av(frame))
    for _ in range(20):
        to_av(noise("yuv420p", 640, 360, seed=9))  # would reuse the memory
    assert np.array_equal(planes[0], frame.planes[0])


def test_full_range_jpeg_names_are_read_as_plain_ones():
    picture = av.VideoFrame(16, 16, "yuvj422p")
    _, fmt, colour = from_av(picture)
    assert fmt == SUPPORTED["yuv422p"] and colour.full_range


@pytest.mark.parametrize(
    ("alpha", "plain"), [("yuva420p", "yuv420p"), ("yuva444p10le", "yuv444p10le"), ("gbrap", "gbrp")]
)
def test_alpha_is_not_looked_at_and_costs_no_conversion(alpha, plain):
    picture = av.VideoFrame(16, 16, alpha)
    for plane, value in zip(picture.planes, (10, 20, 30, 99), strict=True):
        np.frombuffer(plane, np.uint8)[:] = value
    planes, fmt, _ = from_av(picture)
    assert fmt == SUPPORTED[plain] and len(planes) == 3
    assert planes[0].ctypes.data == picture.planes[0].buffer_ptr
    assert [int(p.view(np.uint8)[0, 0]) for p in planes] == [10, 20, 30]


@pytest.mark.parametrize(
    ("source", "target"),
    [("nv12", "yuv420p"), ("nv16", "yuv422p"), ("nv24", "yuv444p"), ("p010le", "yuv420p10le"), ("yuyv422", "yuv422p"),
     ("yuv420p10be", "yuv420p10le"), ("gray12be", "gray12le"), ("y210le", "yuv422p10le"), ("gbrp10be", "gbrp10le")],
)  # fmt: skip
def test_other_layouts_of_the_same_samples_are_converted_without_loss(source, target):
    original = noise(target, 32, 16)
    other = VideoReformatter().reformat(to_av(original), format=source, threads=1)
    planes, fmt, _ = from_av(other, keep_rgb=True)
    assert fmt.name == target
    for read, written in zip(planes, original.planes, strict=True):
        assert np.array_equal(read, written)


@pytest.mark.parametrize(
    ("source", "target"),
    [("yuv411p", "yuv422p"), ("yuv410p", "yuv420p"), ("rgb48le", "yuv444p12le"), ("x2rgb10le", "yuv444p10le"),
     ("bgra", "yuv420p"), ("ya8", "gray")],
)  # fmt: skip
def test_nearest_layout_keeps_the_depth(source, target):
    assert from_av(av.VideoFrame(32, 16, source))[1].name == target


@pytest.mark.parametrize(("size", "matrix"), [((64, 64), 6), ((1280, 720), 1)])
def test_rgb_video_becomes_tagged_yuv420p_of_the_same_colour(size, matrix):
    rgb = np.full((size[1], size[0], 3), (200, 100, 50), np.uint8)
    planes, fmt, colour = from_av(av.VideoFrame.from_ndarray(rgb, format="rgb24"))
    assert fmt.name == "yuv420p" and (colour.matrix, colour.full_range) == (matrix, False)
    frame = Frame(planes, fmt, colour, 0, 0, Fraction(1, 25))
    assert np.abs(region_rgb(frame, (0, 0, 16, 16)) * 255 - (200, 100, 50)).max() < 2.5
    assert np.abs(view(frame, 64).rgb.astype(int) - (200, 100, 50)).max() <= 3


def test_rgb_stills_are_kept_without_loss():
    rgb = np.random.default_rng(1).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    planes, fmt, colour = from_av(av.VideoFrame.from_ndarray(rgb, format="rgb24"), keep_rgb=True)
    assert fmt.name == "gbrp" and colour.full_range
    assert np.array_equal(np.stack([planes[2], planes[0], planes[1]], axis=2), rgb)


def test_bottom_up_pictures_are_read_top_down(monkeypatch):
    class Plane:
        line_size = -32

        def __init__(self, memory, rows):
            self.buffer_ptr = ctypes.addressof(memory) + 32 * (rows - 1)

    class Picture:
        format, width, height = av.VideoFormat("gray", 16, 4), 16, 4
        colorspace = color_primaries = color_trc = 2
        color_range = 2

        def __init__(self):
            self.memory = (ctypes.c_uint8 * 128)(*[row * 10 for row in range(4) for _ in range(32)])
            self.planes = [Plane(self.memory, 4)]

    planes, _, _ = from_av(Picture())  # type: ignore[arg-type]
    assert planes[0][:, 0].tolist() == [30, 20, 10, 0]


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(SUPPORTED)), colour=st.sampled_from(COLOURS), seed=st.integers(0, 99), data=st.data()
)
def test_a_region_written_back_unchanged_changes_nothing(name, colour, seed, data):
    width, height = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40))
    x0, y0 = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    box = (x0, y0, data.draw(st.integers(x0 + 1, width)), data.draw(st.integers(y0 + 1, height)))
    frame = noise(name, width, height, colour, seed)
    planes = copies(frame)
    rgb = region_rgb(frame, box, clip=False)
    write_region(planes, frame.format, colour, box, rgb, np.ones(rgb.shape[:2], np.float32))
    for after, before in zip(planes, frame.planes, strict=True):
        assert np.abs(after.astype(int) - before).max() <= 1


@settings(max_examples=40, deadline=None)
@given(name=st.sampled_from(sorted(SUPPORTED)), seed=st.integers(0, 99))
def test_nothing_changes_where_alpha_is_zero_and_all_colour_goes_where_it_is_one(name, seed):
    frame = noise(name, 37, 29, seed=seed)
    rng = np.random.default_rng(seed)
    alpha = (rng.random((20, 24)) < 0.3).astype(np.float32)
    planes = copies(frame)
    box = (5, 3, 29, 23)
    write_region(planes, frame.format, frame.colour, box, np.zeros((20, 24, 3), np.float32), alpha)
    covered = np.zeros((29, 37), bool)
    covered[3:23, 5:29] = alpha > 0
    black = region_rgb(replace(frame, planes=planes), (0, 0, 37, 29), clip=False)
    assert np.abs(black[covered]).max() <= 0.01
    assert np.array_equal(planes[0][~covered], frame.planes[0][~covered])
    sx, sy = frame.format.chroma_shift_x, frame.format.chroma_shift_y
    blocks = np.zeros((-(-29 >> sy) << sy, -(-37 >> sx) << sx), bool)
    blocks[:29, :37] = covered
    blocks = blocks.reshape(blocks.shape[0] >> sy, 1 << sy, blocks.shape[1] >> sx, 1 << sx).any(axis=(1, 3))
    for after, before in zip(planes[1:], frame.planes[1:], strict=True):
        assert np.array_equal(after[~blocks], before[~blocks])


def test_half_alpha_is_the_mean_of_old_and_new():
    frame = flat("yuv420p", (100, 128, 128))
    planes = copies(frame)
    write_region(
        planes, frame.format, frame.colour, (0, 0, 32, 24), np.ones((24, 32, 3), np.float32), np.full((24, 32), 0.5)
    )
    assert np.unique(planes[0]).tolist() == [round((100 + 235) / 2 + 0.01)]


def test_what_is_no_number_covers():
    frame = noise("yuv420p", 16, 16)
    planes = copies(frame)
    rgb = np.full((16, 16, 3), np.nan, np.float32)
    write_region(planes, frame.format, frame.colour, (0, 0, 16, 16), rgb, np.full((16, 16), np.nan, np.float32))
    assert np.all(planes[0] == 16) and np.all(planes[1] == 128)


@pytest.mark.parametrize("box", [(-1, 0, 4, 4), (0, 0, 17, 4), (4, 4, 4, 8), (0, 9, 4, 8)])
def test_boxes_outside_the_picture_are_refused(box):
    frame = noise("yuv420p", 16, 16)
    with pytest.raises(ValueError, match="box"):
        region_rgb(frame, box)
    with pytest.raises(ValueError, match="box"):
        write_region(copies(frame), frame.format, frame.colour, box, np.zeros((4, 4, 3), np.float32), np.zeros((4, 4)))


def test_luma_takes_the_range_out():
    assert luma(flat("yuv420p", (16, 128, 128)))[0, 0] == 0
    assert luma(flat("yuv420p10le", (940, 512, 512)), (2, 2, 6, 4)).shape == (2, 4)
    assert luma(flat("yuv420p10le", (940, 512, 512)))[0, 0] == pytest.approx(1)
    assert luma(flat("gray", (51,), colour=Colour(full_range=True)))[0, 0] == pytest.approx(0.2)
    assert luma(flat("gbrp", (255, 0, 0), colour=Colour(0, full_range=True)))[0, 0] == pytest.approx(0.7152, abs=1e-4)


@pytest.mark.parametrize("orientation", [Orientation(r, f) for r in (0, 90, 180, 270) for f in (False, True)])
@pytest.mark.parametrize(
    ("sar", "max_side"), [(Fraction(1), None), (Fraction(1), 60), (Fraction(4, 3), None), (Fraction(1, 2), 90)]
)
def test_a_mark_in_the_view_maps_to_where_it_is_stored(orientation, sar, max_side):
    frame = flat("yuv420p", (30, 128, 128), 120, 80, orientation=orientation, sar=sar)
    planes = copies(frame)
    planes[0][20:28, 88:96] = 235
    shown = view(replace(frame, planes=planes), max_side)
    assert shown.rgb.dtype == np.uint8 and shown.rgb.flags.c_contiguous
    height, width = shown.rgb.shape[:2]
    assert max_side is None or max(width, height) == max_side
    wide = Fraction(120) * sar / 80
    assert width / height == pytest.approx(float(1 / wide if orientation.swaps_axes else wide), rel=0.03)
    weight = np.clip(shown.rgb[:, :, 1].astype(float) - 40, 0, None)
    v, u = (np.mgrid[0:height, 0:width] * weight).sum(axis=(1, 2)) / weight.sum()
    assert shown.to_coded @ (u + 0.5, v + 0.5, 1) == pytest.approx((92, 24), abs=0.35)


@pytest.mark.parametrize(
    "name", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p12le", "gbrp", "gbrp10le", "gray", "gray10le"]
)
@pytest.mark.parametrize("colour", COLOURS)
def test_view_agrees_with_the_exact_conversion(name, colour):
    """Smooth content: libswscale's shortcuts stay within three of 255."""
    fmt = SUPPORTED[name]
    y, x = np.mgrid[0:48, 0:64]
    colour = replace(colour, full_range=colour.full_range or fmt.planes == 1 or fmt.rgb)
    grey = flat(name, (0,) * fmt.planes, 64, 48, colour=colour)
    rgb = np.stack([x / 63, y / 47, (x + y) / 110], axis=2).astype(np.float32) * 0.8 + 0.1
    planes = copies(grey)
    write_region(planes, fmt, colour, (0, 0, 64, 48), rgb, np.ones((48, 64), np.float32))
    frame = replace(grey, planes=planes)
    exact = region_rgb(frame, (0, 0, 64, 48)) * 255
    limit = 3.5 if fmt.planes == 1 or fmt.chroma_shift_x == 0 else 5  # one chroma sample is shared by a block
    assert np.abs(view(frame).rgb - exact).max() <= limit


def test_libswscale_and_the_tables_agree_on_a_known_colour():
    rgb = np.full((16, 16, 3), (30, 160, 220), np.uint8)
    picture = VideoReformatter().reformat(
        av.VideoFrame.from_ndarray(rgb, format="rgb24"), format="yuv444p",
        dst_colorspace=Colorspace.BT2020, dst_color_range=ColorRange.JPEG, threads=1,
    )  # fmt: skip
    planes, fmt, colour = from_av(picture)
    assert (colour.matrix, colour.full_range) == (9, True)
    read = region_rgb(Frame(planes, fmt, colour, 0, 0, Fraction(1)), (0, 0, 4, 4)) * 255
    assert np.abs(read - (30, 160, 220)).max() < 2
