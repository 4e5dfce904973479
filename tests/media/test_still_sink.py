"""Still pictures: upright, close to what was protected, one to a file."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from writekit import EVERY_ORIENTATION, frames, info, protected

from vidanon.config import EncodeSettings
from vidanon.errors import OutputError, UsageError
from vidanon.media.encode import SegmentEncoder
from vidanon.media.orientation import upright
from vidanon.media.planes import luma, region_rgb
from vidanon.media.segment_decode import decode_segment
from vidanon.media.sink import open_sink
from vidanon.types import Colour, Frame, Orientation

JPEG = Colour(5, 1, 1, True)
RGB = Colour(0, 1, 13, True)
EXTENSIONS = [".jpg", ".jpeg", ".png", ".webp"]
SOURCES = [("yuv420p", JPEG), ("yuv444p", JPEG), ("gbrp", RGB), ("gray", Colour(2, 2, 2, True)), ("gbrp16le", RGB)]


def save(frame: Frame, final: Path, settings: EncodeSettings | None = None) -> Frame:
    """Write one picture; what the gate saw of it."""
    settings = settings or EncodeSettings()
    about = info(frame, is_still=True)
    encoder = SegmentEncoder(final, about, settings, 1)
    with open_sink(final, final.parent / "source.png", about, settings) as sink:
        segment = encoder.encode(protected([frame]))
        (seen,) = decode_segment(segment)
        sink.commit(segment)
        assert sink.finish() == []
    return seen


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize(("name", "colour"), SOURCES)
@pytest.mark.parametrize("size", [(64, 48), (37, 23), (1, 1)])
def test_another_reader_sees_the_same_picture(
    tmp_path: Path, extension: str, name: str, colour: Colour, size: tuple[int, int]
) -> None:
    (frame,) = frames(1, *size, name, colour=colour)
    final = tmp_path / f"out{extension}"
    seen = save(frame, final)
    assert (seen.width, seen.height) == size
    read = cv2.imread(str(final), cv2.IMREAD_COLOR)
    assert read.shape == (size[1], size[0], 3)
    wanted = region_rgb(frame, (0, 0, *size))
    error = np.abs(read[:, :, ::-1] / 255.0 - wanted)
    assert float(error.mean()) < (0.004 if extension == ".png" else 0.03)
    assert float(np.abs(luma(seen) - luma(frame)).mean()) < 0.02


def test_png_of_rgb_is_without_loss(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    (frame,) = frames(1, 40, 30, "gbrp", colour=RGB)
    frame = replace(frame, planes=tuple(rng.integers(0, 256, (30, 40), np.uint8) for _ in range(3)))
    seen = save(frame, tmp_path / "out.png")
    for before, after in zip(frame.planes, seen.planes, strict=True):
        assert np.array_equal(before, after)


def test_sixteen_bits_stay_sixteen_bits(tmp_path: Path) -> None:
    (frame,) = frames(1, 40, 30, "gbrp16le", colour=RGB)
    save(frame, tmp_path / "out.png")
    read = cv2.imread(str(tmp_path / "out.png"), cv2.IMREAD_UNCHANGED)
    assert read.dtype == np.uint16
    assert np.array_equal(read[:, :, 1], frame.planes[0])


@pytest.mark.parametrize("orientation", EVERY_ORIENTATION)
@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp"])
def test_stored_upright(tmp_path: Path, orientation: Orientation, extension: str) -> None:
    (frame,) = frames(1, 64, 48, colour=JPEG, orientation=orientation)
    final = tmp_path / f"out{extension}"
    seen = save(frame, final)
    assert (seen.width, seen.height, seen.orientation) == (64, 48, orientation)
    assert float(np.abs(luma(seen) - luma(frame)).mean()) < 0.02
    read = cv2.imread(str(final), cv2.IMREAD_GRAYSCALE)
    wanted = upright(luma(frame), orientation)
    assert read.shape == wanted.shape
    assert float(np.abs(read / 255.0 - wanted).mean()) < 0.03


@pytest.mark.parametrize("extension", [".jpg", ".webp"])
def test_quality(tmp_path: Path, extension: str) -> None:
    (frame,) = frames(1, 160, 120, colour=JPEG)
    sizes = []
    for quality in (2, 25):
        save(frame, tmp_path / f"out{extension}", EncodeSettings(quality=quality))
        sizes.append((tmp_path / f"out{extension}").stat().st_size)
    assert sizes[0] > sizes[1]


def test_a_video_encoder_has_no_say_in_a_folder_of_both(tmp_path: Path) -> None:
    (frame,) = frames(1, colour=JPEG)
    save(frame, tmp_path / "out.jpg", EncodeSettings(encoder="libx265"))
    assert cv2.imread(str(tmp_path / "out.jpg")).shape == (48, 64, 3)


def test_a_video_is_no_still_picture(tmp_path: Path) -> None:
    clip = frames(2)
    for extension in EXTENSIONS:
        with pytest.raises(UsageError, match=r"\.mp4"):
            SegmentEncoder(tmp_path / f"out{extension}", info(clip[0]), EncodeSettings())
        with pytest.raises(UsageError, match=r"\.mp4"):
            open_sink(tmp_path / f"out{extension}", tmp_path / "in.mp4", info(clip[0]), EncodeSettings())


def test_one_picture_and_no_more(tmp_path: Path) -> None:
    (frame,) = frames(1, colour=JPEG)
    about = info(frame, is_still=True)
    final = tmp_path / "out.png"
    segment = SegmentEncoder(final, about, EncodeSettings()).encode(protected([frame]))
    with open_sink(final, tmp_path / "in.png", about, EncodeSettings()) as sink:
        sink.commit(segment)
        with pytest.raises(OutputError):
            sink.commit(segment)
    assert list(tmp_path.iterdir()) == []
    with open_sink(final, tmp_path / "in.png", about, EncodeSettings()) as sink, pytest.raises(OutputError):
        sink.finish()
    assert list(tmp_path.iterdir()) == []


def test_a_failing_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (frame,) = frames(1, colour=JPEG)
    about = info(frame, is_still=True)
    segment = SegmentEncoder(tmp_path / "out.png", about, EncodeSettings()).encode(protected([frame]))

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with open_sink(tmp_path / "out.png", tmp_path / "in.png", about, EncodeSettings()) as sink:
        sink.commit(segment)
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(OutputError, match="No space"):
            sink.finish()
    assert list(tmp_path.iterdir()) == []
