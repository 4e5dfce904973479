"""Segments: exact times, kept depth and colours, nothing but protected frames, no words in the stream."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from writekit import BT709, EVERY_ORIENTATION, encode, frames, info, protected

from vidanon.config import EncodeSettings
from vidanon.errors import OutputError, UsageError
from vidanon.media.base import HdrInfo, Mastering
from vidanon.media.encode import SegmentEncoder
from vidanon.media.encoder_table import ENCODERS
from vidanon.media.planes import luma
from vidanon.media.segment_decode import decode_segment
from vidanon.types import Colour, Orientation

HDR10 = HdrInfo(
    Mastering(
        red=(Fraction(34000, 50000), Fraction(16000, 50000)),
        green=(Fraction(13250, 50000), Fraction(34500, 50000)),
        blue=(Fraction(7500, 50000), Fraction(3000, 50000)),
        white=(Fraction(15635, 50000), Fraction(16450, 50000)),
        max_luminance=Fraction(1000),
        min_luminance=Fraction(1, 10000),
    ),
    1000,
    400,
)
PQ = Colour(9, 9, 16, False)


def named(encoder: str, **values: object) -> EncodeSettings:
    return EncodeSettings(encoder=encoder, **values)


@pytest.mark.parametrize("thing", [frames(1)[0], None, "frame", np.zeros((48, 64, 3))])
def test_only_protected_frames_are_encoded(thing: object) -> None:
    first = frames(1)[0]
    encoder = SegmentEncoder(Path("out.mp4"), info(first), EncodeSettings(), 1)
    with pytest.raises(TypeError, match="ProtectedFrame"):
        encoder.encode([thing])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="ProtectedFrame"):
        encoder.encode([*protected([first]), thing])  # type: ignore[list-item]


def test_no_frame_is_no_segment() -> None:
    encoder = SegmentEncoder(Path("out.mp4"), info(frames(1)[0]), EncodeSettings(), 1)
    with pytest.raises(ValueError, match="at least one"):
        encoder.encode([])


@pytest.mark.parametrize("encoder", ["libx264", "libx265", "libsvtav1", "libvpx-vp9"])
@pytest.mark.parametrize(
    "pts",
    [
        [0, 512, 1024, 1536, 2048],
        [7, 8, 9, 600, 601, 5000, 5001, 5002, 90_000],
        [-4000, -3500, 0, 1, 400],
        [95_441 * 12_800 + n * 511 for n in range(6)],
        [12_345],
        [0, 40, 40, 40, 80, 80],  # a container that repeats itself: no frame is lost
    ],
    ids=["constant", "variable", "negative", "far", "single", "repeated"],
)
def test_pts_and_order_come_back(encoder: str, pts: list[int]) -> None:
    source = frames(len(pts), pts=pts, index=10)
    segment = encode(source, "out.mp4", named(encoder))
    assert (segment.first_pts, segment.last_pts, segment.frames) == (min(pts), max(pts), len(pts))
    back = list(decode_segment(segment))
    assert [frame.pts for frame in back] == pts
    assert [frame.index for frame in back] == [frame.index for frame in source]
    for before, after in zip(source, back, strict=True):
        assert float(np.abs(luma(before) - luma(after)).mean()) < 0.02


@pytest.mark.parametrize("encoder", ["libx264", "libx265", "libsvtav1", "libvpx-vp9"])
def test_segments_share_their_parameter_sets_and_begin_with_a_key(encoder: str) -> None:
    source = frames(37)
    work = SegmentEncoder(Path("out.mp4"), info(source[0]), named(encoder), 1)
    parts = [work.encode(protected(source[a:b])) for a, b in ((0, 1), (1, 3), (3, 6), (6, 37))]
    assert len({part.stream.extradata for part in parts}) == 1
    assert all(part.packets[0].key and part.packets[0].position == 0 for part in parts)
    assert [len(list(decode_segment(part))) for part in parts] == [1, 2, 3, 31]  # each by itself


def test_the_same_frames_give_the_same_bytes_wherever_they_stand() -> None:
    clips = [frames(12, start=start) for start in (0, 0, 1_000_000, *[0] * 12)]
    for encoder in ("libx264", "libx265", "libsvtav1", "libvpx-vp9"):
        packets = [[packet.data for packet in encode(clip, "out.mp4", named(encoder)).packets] for clip in clips]
        assert all(other == packets[0] for other in packets)


@pytest.mark.parametrize(
    ("name", "encoder"),
    [
        ("yuv420p", "libx264"), ("yuv422p", "libx264"), ("yuv444p", "libx264"), ("yuv420p10le", "libx265"),
        ("yuv422p10le", "libx264"), ("yuv444p10le", "libx264"), ("yuv420p12le", "libx265"),
    ],
)  # fmt: skip
def test_depth_chroma_and_tags_are_kept_by_default(name: str, encoder: str) -> None:
    colour = PQ if "10" in name else Colour(6, 6, 6, True)
    source = frames(3, 72, 64, name, colour=colour, sar=Fraction(4, 3))
    segment = encode(source)
    assert segment.stream.encoder == encoder
    back = list(decode_segment(segment))
    assert {frame.format.name for frame in back} == {name}
    assert {frame.colour for frame in back} == {colour}
    assert {frame.sar for frame in back} == {Fraction(4, 3)}
    for before, after in zip(source, back, strict=True):
        for a, b in zip(before.planes, after.planes, strict=True):
            assert float(np.abs(a.astype(float) - b).mean()) < 2.5 * (1 << (before.format.depth - 8))


@pytest.mark.parametrize(
    ("name", "encoder"), [("yuv420p10le", "libx265"), ("yuv422p10le", "libx264"), ("yuv420p10le", "libsvtav1")]
)
def test_mastering_display_and_light_levels_are_in_the_stream(name: str, encoder: str) -> None:
    import av

    segment = encode(frames(2, 128, 96, name, colour=PQ), "out.mp4", named(encoder), hdr=HDR10)
    decoder = av.CodecContext.create({"libsvtav1": "libdav1d"}.get(encoder, segment.stream.codec), "r")
    decoder.extradata = segment.stream.extradata or None
    pictures = [f for p in segment.packets for f in decoder.decode(p.to_av(segment.time_base))] + decoder.decode(None)
    kinds = {item.type.name: bytes(item) for item in pictures[0].side_data}
    numbers = np.frombuffer(kinds["MASTERING_DISPLAY_METADATA"], np.int32)[:20].reshape(-1, 2)
    wanted = [0.68, 0.32, 0.265, 0.69, 0.15, 0.06, 0.3127, 0.329, 0.0001, 1000.0]
    assert np.allclose(numbers[:, 0] / numbers[:, 1], wanted, rtol=2e-2, atol=1e-4)
    assert np.frombuffer(kinds["CONTENT_LIGHT_LEVEL"], np.uint32)[:2].tolist() == [1000, 400]


@pytest.mark.parametrize("top_first", [True, False])
def test_interlaced_sources_stay_interlaced(top_first: bool) -> None:
    source = frames(4, interlaced=True, top_field_first=top_first)
    segment = encode(source)
    import av

    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = segment.stream.extradata
    pictures = [f for p in segment.packets for f in decoder.decode(p.to_av(segment.time_base))] + decoder.decode(None)
    assert len(pictures) == 4
    assert all(picture.interlaced_frame for picture in pictures)


def test_interlaced_pictures_flagged_progressive_are_said() -> None:
    source = frames(2, interlaced=True, top_field_first=True)
    work = SegmentEncoder(Path("out.mp4"), info(source[0]), named("libx265"), 1)
    work.encode(protected(source))
    assert any("interlaced" in line for line in work.warnings)


@pytest.mark.parametrize("encoder", ["libx264", "libx265", "libsvtav1", "libvpx-vp9"])
def test_encoders_say_nothing_about_themselves(encoder: str) -> None:
    segment = encode(frames(3), "out.mkv", named(encoder))
    everything = segment.stream.extradata + b"".join(packet.data for packet in segment.packets)
    for word in (b"x264", b"x265", b"Lavc", b"SVT", b"http", b"options"):
        assert word not in everything


@pytest.mark.parametrize(("width", "height"), [(63, 47), (2, 2), (1, 1), (64, 47)])
@pytest.mark.parametrize("final", ["out.mp4", "out.webm"])
def test_odd_sizes_are_padded_by_a_line_at_most(width: int, height: int, final: str) -> None:
    source = frames(3, width, height)
    segment = encode(source, final)
    layout = segment.stream.layout
    assert 0 <= layout.width - width <= 1
    assert 0 <= layout.height - height <= 1
    back = list(decode_segment(segment))
    assert {(frame.width, frame.height) for frame in back} == {(width, height)}
    assert float(np.abs(luma(back[0]) - luma(source[0])).mean()) < 0.05


def test_later_layouts_are_fitted_and_come_back_in_their_own_geometry() -> None:
    first = frames(3, 64, 48)
    work = SegmentEncoder(Path("out.mp4"), info(first[0]), EncodeSettings(), 1)
    layout = work.encode(protected(first)).stream.layout
    later = [
        frames(3, 32, 24, start=5000),
        frames(3, 128, 96, start=9000),
        frames(3, 64, 48, "yuv422p10le", start=13_000),
        frames(3, 48, 64, start=17_000, orientation=Orientation(90)),
        frames(3, 64, 48, start=21_000, colour=replace(BT709, full_range=True)),
        first,
    ]
    for source in later:
        segment = work.encode(protected(source))
        assert segment.stream.layout == layout
        for before, after in zip(source, decode_segment(segment), strict=True):
            assert (after.width, after.height, after.orientation) == (before.width, before.height, before.orientation)
            assert after.pts == before.pts
            assert float(np.abs(luma(before) - luma(after)).mean()) < 0.04
    for words in ("32x24 pictures are padded", "128x96 pictures are scaled", "stored as yuv420p", "stored upright"):
        assert any(words in line for line in work.warnings)


def test_a_segment_has_one_layout() -> None:
    mixed = [*frames(1, 64, 48), *frames(1, 32, 24, start=512)]
    with pytest.raises(ValueError, match="one layout"):
        encode(mixed)


@pytest.mark.parametrize("orientation", EVERY_ORIENTATION)
@pytest.mark.parametrize("name", ["yuv420p", "yuv422p"])
def test_turned_pictures_come_back_as_they_were(orientation: Orientation, name: str) -> None:
    source = frames(2, 64, 48, name, orientation=orientation)
    segment = encode(source, "out.mkv")  # turned before it is stored
    assert segment.stream.layout.orientation == Orientation()
    shape = (segment.stream.layout.width, segment.stream.layout.height)
    assert shape == ((48, 64) if orientation.swaps_axes else (64, 48))
    for before, after in zip(source, decode_segment(segment), strict=True):
        assert after.orientation == orientation
        assert float(np.abs(luma(before) - luma(after)).mean()) < 0.02


def test_pixels_are_not_stretched_where_the_container_cannot_say_so() -> None:
    source = frames(2, 64, 48, sar=Fraction(2))
    layout = encode(source, "out.webm").stream.layout
    assert (layout.width, layout.height, layout.sar) == (128, 48, 1)
    assert encode(source, "out.mp4").stream.layout.sar == 2


def test_unknown_encoders_are_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="libx264, libx265"):
        SegmentEncoder(Path("out.mp4"), info(frames(1)[0]), named("x264"))
    with pytest.raises(UsageError, match="libvpx-vp9"):
        SegmentEncoder(Path("out.webm"), info(frames(1)[0]), named("libx264"))
    with pytest.raises(UsageError, match="0-51"):
        SegmentEncoder(Path("out.mp4"), info(frames(1)[0]), named("libx264", quality=60))


@pytest.mark.parametrize("name", ["out.gif", "out.avi", "out", "out.jpg"])
def test_unknown_kinds_of_file_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r"\.mp4"):
        SegmentEncoder(Path(name), info(frames(1)[0]), EncodeSettings())


def test_quality_is_the_encoders_own_scale() -> None:
    source = frames(6, 128, 96)
    sizes = [encode(source, "out.mp4", named("libx264", quality=q)).nbytes for q in (10, 20, 40)]
    assert sizes[0] > sizes[1] > sizes[2]


def test_a_bad_preset_is_one_line() -> None:
    with pytest.raises(OutputError) as caught:
        encode(frames(1), "out.mp4", named("libx264", preset="nonsense"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("encoder", [name for name, spec in ENCODERS.items() if spec.hardware and spec.codec == "h264"])
def test_hardware_is_tried_once_and_its_absence_said(encoder: str) -> None:
    source = frames(3, 256, 192)
    work = SegmentEncoder(Path("out.mp4"), info(source[0]), named(encoder), 1)
    segment = work.encode(protected(source))
    if work.name == encoder:
        assert work.fallbacks == []
    else:
        assert work.name == "libx264"
        (line,) = work.fallbacks
        assert encoder in line
        assert "libx264 is used" in line
    assert len(list(decode_segment(segment))) == 3
