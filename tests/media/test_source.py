from __future__ import annotations

import gc
import struct
import threading
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from vidanon.config import Limits
from vidanon.errors import DamagedInputError, NoVideoError, ResourceLimitError, UsageError
from vidanon.media.planes import view
from vidanon.media.source import open_source
from vidanon.types import Orientation


def read(path: Path, **options):
    with open_source(path, Limits(), threads=2, **options) as source:
        return source, list(source.frames())


def times(frames):
    return [f.pts for f in frames]


def same(one, other) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one.planes, other.planes, strict=True))


def test_header_and_frames_of_a_plain_clip(make_clip):
    source, frames = read(make_clip("a.mp4", frames=12))
    info = source.info
    assert (info.width, info.height, info.format.name, info.codec) == (64, 48, "yuv420p", "h264")
    assert "mp4" in info.container and info.average_rate == 25 and info.frame_count == 12
    assert info.duration == pytest.approx(0.48) and not info.is_still and info.warnings == ()
    assert [f.index for f in frames] == list(range(12))
    assert np.diff(times(frames)).tolist() == [round(1 / (25 * info.time_base))] * 11
    assert not any(f.damaged for f in frames) and source.warnings == []


@pytest.mark.parametrize("name", ["vfr.mp4", "vfr.mkv"])
def test_times_of_variable_rate_are_exact(make_clip, name):
    pts = [0, 33, 70, 71, 500, 533, 1900, 1933]
    _, frames = read(make_clip(name, frames=8, pts=pts, time_base=Fraction(1, 1000)))
    assert [round(f.seconds * 1000) for f in frames] == pts


def test_offset_start_is_kept(make_clip):
    _, frames = read(make_clip("late.mkv", frames=4, pts=[5000, 5040, 5080, 5120]))
    assert [round(f.seconds, 3) for f in frames] == [5.0, 5.04, 5.08, 5.12]


def test_every_pass_numbers_and_decodes_alike(make_clip):
    with open_source(make_clip("a.mp4", frames=15, options={"bf": "2"}), Limits(), threads=4) as source:
        first, second = list(source.frames()), list(source.frames())
    assert [(f.index, f.pts) for f in first] == [(f.index, f.pts) for f in second]
    assert all(same(a, b) for a, b in zip(first, second, strict=True))


def test_two_passes_at_once_do_not_disturb_each_other(make_clip):
    with open_source(make_clip("a.mp4", frames=8), Limits()) as source:
        pairs = list(zip(source.frames(), source.frames(), strict=True))
    assert all(a.pts == b.pts and same(a, b) for a, b in pairs)


def test_the_cut_keeps_the_numbers(make_clip):
    path = make_clip("a.mp4", frames=20)
    _, whole = read(path)
    _, part = read(path, start=0.2, end=0.48)
    assert [f.index for f in part] == list(range(5, 12))
    assert times(part) == times(whole)[5:12] and all(same(a, b) for a, b in zip(part, whole[5:12], strict=True))
    assert read(path, start=9.0)[1] == []


def test_the_cut_counts_from_the_first_shown_frame(make_clip):
    _, frames = read(make_clip("late.mkv", frames=4, pts=[5000, 5040, 5080, 5120]), start=0.06)
    assert [f.index for f in frames] == [2, 3]


def test_an_end_before_the_start_is_refused(make_clip):
    with pytest.raises(UsageError, match="later end"):
        open_source(make_clip("a.mp4"), Limits(), start=2.0, end=1.0)


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "gray"])
def test_native_planes_keep_depth_and_chroma(make_clip, pixel_format):
    source, frames = read(make_clip("a.mkv", frames=2, codec="ffv1", pixel_format=pixel_format))
    assert source.info.format.name == pixel_format == frames[1].format.name


def with_matrix(path: Path, numbers: tuple[int, ...]) -> Path:
    """The clip with another display matrix in its track header."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", *numbers)
    out = path.with_name("turned.mp4")
    out.write_bytes(data)
    return out


F, W = 1 << 16, 1 << 30


@pytest.mark.parametrize(
    ("matrix", "orientation"),
    [((0, F, 0, -F, 0, 0, 0, 0, W), Orientation(90)), ((-F, 0, 0, 0, -F, 0, 0, 0, W), Orientation(180)),
     ((0, -F, 0, F, 0, 0, 0, 0, W), Orientation(270)), ((-F, 0, 0, 0, F, 0, 0, 0, W), Orientation(0, True)),
     ((F, 0, 0, 0, -F, 0, 0, 0, W), Orientation(180, True)), ((0, F, 0, F, 0, 0, 0, 0, W), Orientation(270, True))],
)  # fmt: skip
def test_display_matrix_turns_and_flips(make_clip, matrix, orientation):
    plain = make_clip("a.mp4", frames=3)
    source, frames = read(with_matrix(plain, matrix))
    assert source.info.orientation == orientation and {f.orientation for f in frames} == {orientation}
    assert same(frames[0], read(plain)[1][0])  # the stored picture stays as it is


@pytest.mark.parametrize("matrix", [(56756, 32768, 0, -32768, 56756, 0, 0, 0, W), (0,) * 9])
def test_other_matrices_are_ignored_with_a_warning(make_clip, matrix):
    source, frames = read(with_matrix(make_clip("a.mp4", frames=2), matrix))
    assert frames[0].orientation == Orientation()
    assert any("right angle" in w for w in source.warnings) and source.info.warnings


def test_upright_picture_is_what_ffmpeg_shows(make_clip, ffmpeg, tmp_path):
    path = with_matrix(make_clip("a.mp4", frames=1), (0, F, 0, F, 0, 0, 0, 0, W))
    raw = tmp_path / "frame.rgb"
    ffmpeg("-i", path, "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "rgb24", raw)
    shown = view(read(path)[1][0]).rgb
    assert np.abs(np.frombuffer(raw.read_bytes(), np.uint8).reshape(shown.shape).astype(int) - shown).max() <= 3


def test_sei_orientation_is_a_state(make_clip, ffmpeg, tmp_path):
    path = tmp_path / "sei.mp4"
    ffmpeg("-i", make_clip("a.mp4", frames=6, gop=50), "-c", "copy", "-bsf:v",
           "h264_metadata=display_orientation=insert:rotate=90:flip=horizontal", path)  # fmt: skip
    _, frames = read(path)
    assert frames[0].orientation != Orientation() and len({f.orientation for f in frames}) == 1


def test_sample_aspect_ratio(make_clip, ffmpeg, tmp_path):
    plain = make_clip("a.mp4", frames=2)
    for ratio, expected in (("4/3", Fraction(4, 3)), ("1/60", Fraction(1))):
        path = tmp_path / "sar.mp4"
        ffmpeg("-i", plain, "-vf", f"setsar={ratio}:max=100", "-c:v", "libx264", path)
        source, frames = read(path)
        assert frames[0].sar == source.info.sar == expected
        assert bool(source.warnings) == (expected == 1)


def test_interlaced_flags(make_clip, ffmpeg, tmp_path):
    for flag, top in (("tff=1", True), ("bff=1", False)):
        path = tmp_path / f"{flag}.mp4"
        ffmpeg("-i", make_clip("a.mp4", frames=4), "-c:v", "libx264", "-x264opts", flag, "-flags", "+ilme+ildct", path)
        _, frames = read(path)
        assert all(f.interlaced and f.top_field_first == top for f in frames)


def test_hdr_side_data(ffmpeg, make_clip, tmp_path):
    path = tmp_path / "hdr.mp4"
    ffmpeg("-i", make_clip("a.mp4", frames=2), "-c:v", "libx265", "-pix_fmt", "yuv420p10le",
           "-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc", "-x265-params",
           "log-level=error:hdr10=1:max-cll=1000,400:"
           "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)", path)  # fmt: skip
    source, frames = read(path)
    hdr, colour = source.info.hdr, frames[0].colour
    assert (colour.matrix, colour.primaries, colour.transfer, colour.full_range) == (9, 9, 16, False)
    assert (hdr.max_cll, hdr.max_fall) == (1000, 400) and hdr.mastering is not None
    assert hdr.mastering.green == (Fraction(13250, 50000), Fraction(34500, 50000))
    assert hdr.mastering.red == (Fraction(34000, 50000), Fraction(16000, 50000))
    assert hdr.mastering.max_luminance == 1000 and hdr.mastering.min_luminance == Fraction(1, 10000)


def test_size_changes_in_the_middle_are_per_frame(make_clip, tmp_path):
    joined = tmp_path / "joined.ts"
    parts = [make_clip("one.ts", frames=5), make_clip("two.ts", frames=5, size=(32, 24))]
    joined.write_bytes(b"".join(p.read_bytes() for p in parts))
    source, frames = read(joined)
    assert [(f.width, f.height) for f in frames] == [(64, 48)] * 5 + [(32, 24)] * 5
    assert np.all(np.diff(times(frames)) > 0) and any("jumped back" in w for w in source.warnings)


def write_streams(path: Path, kinds: list[tuple[str, av.stream.Disposition]]) -> Path:
    """One container with several video streams, each of its own brightness."""
    with av.open(str(path), "w") as container:
        streams = []
        for codec, disposition in kinds:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.disposition = disposition
            streams.append(stream)
        for number, stream in enumerate(streams):
            for index in range(1 if stream.disposition else 4):
                frame = av.VideoFrame(32, 32, stream.pix_fmt)
                for plane, value in zip(frame.planes, (50 + 60 * number, 128, 128), strict=True):
                    np.frombuffer(plane, np.uint8)[:] = value
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


ATTACHED = av.stream.Disposition.attached_pic
NONE = av.stream.Disposition(0)


def test_cover_pictures_are_never_the_video(tmp_path):
    source, frames = read(write_streams(tmp_path / "a.mp4", [("mjpeg", ATTACHED), ("libx264", NONE)]))
    assert (
        source.info.codec == "h264" and len(frames) == 4 and int(frames[0].planes[0][0, 0]) == pytest.approx(110, abs=3)
    )
    with pytest.raises(NoVideoError, match="no video"):
        read(write_streams(tmp_path / "b.mp4", [("mjpeg", ATTACHED)]))


def test_second_video_is_dropped_and_said(tmp_path):
    source, frames = read(write_streams(tmp_path / "a.mkv", [("libx264", NONE), ("libx264", NONE)]))
    assert int(frames[0].planes[0][0, 0]) == pytest.approx(50, abs=3)
    assert any("2 video streams" in w for w in source.warnings)


def test_animated_gif_is_a_video_with_its_delays(tmp_path):
    path = tmp_path / "a.gif"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 33, 21, "rgb8"
        for index in range(4):
            rgb = np.full((21, 33, 3), index * 60, np.uint8)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="rgb8")
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    source, frames = read(path)
    assert not source.info.is_still and [round(f.seconds, 2) for f in frames] == [0, 0.1, 0.2, 0.3]
    assert frames[0].format.name == "yuv420p" and (frames[0].width, frames[0].height) == (33, 21)


def still(path: Path, rgb: np.ndarray, codec: str, pixel_format: str) -> Path:
    with av.open(str(path), "w", format="image2" if codec != "libwebp" else "webp") as container:
        stream = container.add_stream(codec, rate=1)
        stream.width, stream.height, stream.pix_fmt = rgb.shape[1], rgb.shape[0], pixel_format
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pixel_format)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("name", "codec", "pixel_format"), [("a.jpg", "mjpeg", "yuvj420p"), ("b.png", "png", "rgb24"),
                                                             ("c.webp", "libwebp", "yuv420p")])  # fmt: skip
def test_stills_are_sources_of_one_frame(tmp_path, name, codec, pixel_format):
    rgb = np.full((30, 40, 3), (220, 150, 60), np.uint8)
    source, frames = read(still(tmp_path / name, rgb, codec, pixel_format))
    assert source.info.is_still and source.info.frame_count == 1 and len(frames) == 1
    assert frames[0].index == 0 and (frames[0].width, frames[0].height) == (40, 30)
    assert np.abs(view(frames[0]).rgb.astype(int) - (220, 150, 60)).max() <= 6


def test_png_pixels_are_kept_exactly(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    _, (frame,) = read(still(tmp_path / "a.png", rgb, "png", "rgb24"))
    assert np.array_equal(np.stack([frame.planes[2], frame.planes[0], frame.planes[1]], axis=2), rgb)


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_orientation_of_a_jpeg(tmp_path, order):
    path = still(tmp_path / "a.jpg", np.zeros((16, 24, 3), np.uint8), "mjpeg", "yuvj420p")
    tiff = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IHHHIHH", 8, 1, 0x0112, 3, 1, 6, 0)
    segment = b"Exif\0\0" + tiff + bytes(4)
    data = path.read_bytes()
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:])
    source, (frame,) = read(path)
    assert source.info.orientation == frame.orientation == Orientation(90)
    assert view(frame).rgb.shape == (24, 16, 3)


@pytest.mark.parametrize(("name", "codec", "pixel_format"), [("a.jpg", "mjpeg", "yuvj420p"), ("b.png", "png", "rgb24")])
def test_a_still_cut_short_is_damaged(tmp_path, name, codec, pixel_format):
    rgb = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = still(tmp_path / name, rgb, codec, pixel_format)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DamagedInputError, match="--salvage"):
        read(path)


def cut(path: Path, share: float) -> Path:
    out = path.with_name(f"cut{path.suffix}")
    out.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return out


@pytest.mark.parametrize(
    ("name", "options"), [("a.mkv", {}), ("a.avi", {"codec": "mjpeg", "pixel_format": "yuvj420p"})]
)
def test_a_file_cut_short_is_damaged_unless_salvaged(make_clip, name, options):
    path = cut(make_clip(name, frames=40, **options), 0.6)
    with pytest.raises(DamagedInputError, match="missing at its end"):
        read(path)
    source, frames = read(path, salvage=True)
    assert 5 < len(frames) < 40 and any("damaged input" in w for w in source.warnings)


def test_an_mp4_cut_in_its_media_data_is_damaged(make_clip, ffmpeg, tmp_path):
    path = tmp_path / "front.mp4"
    ffmpeg("-i", make_clip("a.mp4", frames=40), "-c", "copy", "-movflags", "faststart", path)
    path = cut(path, 0.7)
    with pytest.raises(DamagedInputError):
        read(path)
    source, frames = read(path, salvage=True)
    assert 0 < len(frames) < 40 and any("declared frames are missing" in w for w in source.warnings)


def remux_without(path: Path, dropped: set[int], out: Path) -> Path:
    with av.open(str(path)) as source, av.open(str(out), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(source.streams.video[0])):
            if packet.dts is not None and number not in dropped:
                packet.stream = stream
                target.mux(packet)
    return out


def test_lost_reference_pictures_are_damage_even_though_the_decoder_says_nothing(make_clip, tmp_path):
    whole = make_clip("a.mkv", frames=30, gop=10, options={"bf": "0"})
    path = remux_without(whole, {13}, tmp_path / "lost.mkv")
    with pytest.raises(DamagedInputError, match="pictures are missing"):
        read(path)
    source, frames = read(path, salvage=True)
    assert len(frames) == 29 and source.warnings
    damaged = [round(f.seconds * 25) for f in frames if f.damaged]
    assert damaged == list(range(14, 20))  # up to the next key frame
    assert not read(remux_without(whole, set(), tmp_path / "kept.mkv"))[0].warnings


def test_a_gap_in_even_times_is_said(make_clip):
    even = list(range(0, 1600, 40))
    source, frames = read(make_clip("gap.mkv", frames=38, pts=[t for t in even if t not in (400, 920)]))
    assert len(frames) == 38 and any("2 gaps" in w for w in source.warnings)
    varying = [t + (t // 40 % 3) * 9 for t in even]
    assert read(make_clip("vfr.mkv", frames=38, pts=[t for t in varying if t not in (418, 938)][:38]))[0].warnings == []


def test_an_undecodable_lead_in_is_dropped_and_said(make_clip, tmp_path):
    whole = make_clip("a.mkv", frames=30, gop=10, options={"bf": "0"})
    source, frames = read(remux_without(whole, {0, 1}, tmp_path / "lead.mkv"))
    assert len(frames) == 20 and frames[0].index == 0 and not any(f.damaged for f in frames)
    assert any("before the first key frame" in w for w in source.warnings)


def test_garbage_in_the_middle_is_damage(make_clip):
    path = make_clip("a.mp4", frames=60, gop=60)
    data = bytearray(path.read_bytes())
    middle = data.index(b"mdat") + (data.index(b"moov") - data.index(b"mdat")) // 2
    data[middle : middle + 400] = bytes(400)
    path.write_bytes(data)
    with pytest.raises(DamagedInputError, match="--salvage"):
        read(path)
    _, frames = read(path, salvage=True)
    assert any(f.damaged for f in frames) and len(frames) > 20


def test_concealed_pictures_are_flagged(make_clip):
    """Flipped bits: libav decodes on and guesses. The guess is flagged, and the same in every pass."""
    path = make_clip("a.mp4", frames=30, size=(320, 240), gop=30, options={"crf": "4", "preset": "ultrafast"})
    data = bytearray(path.read_bytes())
    start, end = data.index(b"mdat") + 2000, data.index(b"moov")
    for at in range(start, end, (end - start) // 40):
        data[at] ^= 0x10
    path.write_bytes(data)
    passes = []
    for threads in (4, 1):
        with open_source(path, Limits(), threads=threads) as source:
            passes += [list(source.frames()), list(source.frames())]
    damaged = [f.index for f in passes[0] if f.damaged]
    assert damaged and len(passes[0]) == 30
    for other in passes[1:]:
        assert [f.index for f in other if f.damaged] == damaged
        assert all(same(a, b) for a, b in zip(passes[0], other, strict=True))


def test_frames_hidden_by_an_edit_list_stay_hidden(make_clip, ffmpeg, tmp_path):
    path = tmp_path / "trimmed.mp4"
    ffmpeg("-ss", 0.48, "-i", make_clip("a.mp4", frames=50, gop=50), "-c", "copy", path)
    source, frames = read(path)
    with av.open(str(path), options={"ignore_editlist": "1"}) as container:
        stored = sum(1 for _ in container.decode(video=0))
    assert stored == 50 and len(frames) == 38 == source.info.frame_count
    assert frames[0].seconds == 0 and source.warnings == []


def test_cropped_away_area_is_not_in_the_planes(make_clip, ffmpeg, tmp_path):
    path = tmp_path / "cropped.mp4"
    ffmpeg("-i", make_clip("a.mp4", frames=2), "-c", "copy", "-bsf:v", "h264_metadata=crop_left=16:crop_right=16", path)
    _, frames = read(path)
    assert frames[0].planes[0].shape == (48, 32) and frames[0].planes[1].shape == (24, 16)


def test_elementary_streams_without_times_get_even_ones(make_clip, ffmpeg, tmp_path):
    path = tmp_path / "a.h264"
    ffmpeg("-i", make_clip("a.mp4", frames=10), "-c", "copy", path)
    source, frames = read(path)
    assert len(frames) == 10 and len(set(np.diff(times(frames)).tolist())) == 1
    assert any("interpolated" in w for w in source.warnings)


def test_pixels_over_the_limit_in_the_middle_are_refused(make_clip, tmp_path):
    joined = tmp_path / "grows.ts"
    parts = [make_clip("one.ts", frames=3, size=(320, 240)), make_clip("two.ts", frames=3, size=(400, 256))]
    joined.write_bytes(b"".join(p.read_bytes() for p in parts))
    with open_source(joined, Limits(max_pixels=320 * 240), salvage=True) as source, pytest.raises(ResourceLimitError):
        list(source.frames())


def test_closing_ends_an_open_pass(make_clip):
    with open_source(make_clip("a.mp4", frames=8), Limits()) as source:
        frame = replace(next(source.frames()))
    gc.collect()
    assert int(frame.planes[0].sum()) > 0  # what was handed out stays valid
    assert threading.active_count() < 20
