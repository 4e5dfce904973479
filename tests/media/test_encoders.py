"""The table of encoders and the choice among them."""

from __future__ import annotations

import av
import pytest

from vidanon.config import EncodeSettings
from vidanon.errors import OutputError, UsageError
from vidanon.media import encoders
from vidanon.media.encoder_options import rate_options
from vidanon.media.encoder_probe import probe
from vidanon.media.encoder_table import ENCODERS, STILLS
from vidanon.media.encoders import available, check_settings, choose, nearest_format
from vidanon.media.formats import SUPPORTED

DEFAULTS = EncodeSettings()


@pytest.mark.parametrize("name", [name for name, spec in ENCODERS.items() if not spec.hardware])
def test_every_software_encoder_opens_with_every_format_of_its_row(name: str) -> None:
    spec = ENCODERS[name]
    assert name in av.codecs_available
    for pixel_format in spec.formats:
        assert probe(spec, 64, 48, SUPPORTED[pixel_format]) == "", pixel_format


@pytest.mark.parametrize(
    ("container", "source", "encoder", "stored"),
    [
        ("mp4", "yuv420p", "libx264", "yuv420p"),
        ("mp4", "gray", "libx264", "yuv420p"),
        ("mp4", "gbrp", "libx264", "yuv444p"),
        ("mov", "yuv422p", "libx264", "yuv422p"),
        ("mp4", "yuv420p10le", "libx265", "yuv420p10le"),
        ("matroska", "yuv444p10le", "libx264", "yuv444p10le"),
        ("mp4", "yuv420p9le", "libx265", "yuv420p10le"),
        ("mp4", "yuv422p12le", "libx265", "yuv422p12le"),
        ("mp4", "gray10le", "libx265", "yuv420p10le"),
        ("mp4", "yuv444p16le", "libx265", "yuv444p12le"),
        ("mp4", "gbrp12le", "libx265", "gbrp12le"),
        ("mp4", "yuv440p", "libx264", "yuv444p"),
        ("webm", "yuv420p", "libvpx-vp9", "yuv420p"),
        ("webm", "yuv444p", "libvpx-vp9", "yuv444p"),
        ("webm", "yuv420p10le", "libsvtav1", "yuv420p10le"),
        ("jpeg", "gbrp", "mjpeg", "yuv444p"),
        ("png", "yuv420p", "png", "gbrp"),
        ("png", "gray", "png", "gray"),
        ("png", "gray10le", "png", "gray16le"),
        ("webp", "gbrp", "libwebp", "yuv420p"),
    ],
)
def test_defaults(container: str, source: str, encoder: str, stored: str) -> None:
    choice = choose(DEFAULTS, container, SUPPORTED[source], 64, 48)
    assert (choice.spec.name, choice.format.name) == (encoder, stored)
    assert choice.fallbacks == ()


def test_what_is_lost_is_said() -> None:
    def warnings(encoder: str, source: str) -> str:
        return " ".join(choose(EncodeSettings(encoder=encoder), "mp4", SUPPORTED[source], 64, 48).warnings)

    assert "10 bits are reduced" in warnings("libvpx-vp9", "yuv420p10le")
    assert "loses colour resolution" in warnings("libsvtav1", "yuv422p")
    assert "browsers" in warnings("libx264", "yuv422p")
    assert "browsers" in warnings("libx264", "yuv420p10le")
    assert warnings("libx264", "yuv420p") == ""


@pytest.mark.parametrize("encoder", list(ENCODERS))
def test_nearest_format_keeps_all_that_the_encoder_can(encoder: str) -> None:
    offered = [SUPPORTED[name] for name in ENCODERS[encoder].formats]
    for source in SUPPORTED.values():
        got = nearest_format(source, ENCODERS[encoder].formats)
        if source in offered:
            assert got == source
        if source.planes == 1:
            continue
        assert got.planes == 3 or all(fmt.planes == 1 for fmt in offered)
        fine = source.chroma_shift_x, source.chroma_shift_y
        as_fine = [f for f in offered if f.planes == 3 and f.chroma_shift_x <= fine[0] and f.chroma_shift_y <= fine[1]]
        if as_fine:
            assert got in as_fine
            assert got.depth >= min(source.depth, max(fmt.depth for fmt in as_fine))


def test_hardware_that_fails_is_replaced_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "probe", lambda spec, *_: "no such card" if spec.hardware else "")
    settings = EncodeSettings(encoder="hevc_nvenc", quality=30, preset="p7")
    choice = choose(settings, "mp4", SUPPORTED["yuv420p10le"], 64, 48)
    assert choice.spec.name == "libx265"
    assert choice.fallbacks == ("hevc_nvenc does not open (no such card): libx265 is used",)
    assert (choice.quality, choice.preset) == (choice.spec.quality, choice.spec.preset)  # another scale


def test_hardware_that_works_is_used_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "probe", lambda *_: "")
    choice = choose(EncodeSettings(encoder="h264_nvenc", quality=30, preset="p7"), "mp4", SUPPORTED["yuv420p"], 64, 48)
    assert (choice.spec.name, choice.quality, choice.preset) == ("h264_nvenc", 30, "p7")
    assert rate_options(choice.spec, choice.quality, choice.preset)["cq"] == "30"


def test_tiny_deep_pictures_get_an_encoder_that_takes_them() -> None:
    choice = choose(DEFAULTS, "mp4", SUPPORTED["yuv420p10le"], 8, 8)
    assert choice.spec.name == "libx264"
    assert choice.format.name == "yuv420p10le"
    assert "libx265 does not open" in choice.fallbacks[0]
    with pytest.raises(OutputError, match="another encoder"):  # named by the user: no other is taken in silence
        choose(EncodeSettings(encoder="libx265"), "mp4", SUPPORTED["yuv420p10le"], 8, 8)


def test_settings_are_checked_before_anything_is_read() -> None:
    with pytest.raises(UsageError, match="this build has: libx264"):
        check_settings(EncodeSettings(encoder="mjpeg9"), "mp4")
    with pytest.raises(UsageError, match="this kind of file"):
        check_settings(EncodeSettings(encoder="png"), "mp4")
    with pytest.raises(UsageError, match="0-51"):
        check_settings(EncodeSettings(quality=52), "mp4")
    with pytest.raises(UsageError, match="1-63"):
        check_settings(EncodeSettings(encoder="libsvtav1", quality=0), "mp4")
    check_settings(EncodeSettings(quality=60), "webm")
    check_settings(EncodeSettings(encoder="auto"), "mp4")


def test_available_names_video_encoders_only() -> None:
    assert {"libx264", "libx265", "libsvtav1", "libvpx-vp9"} <= set(available())
    assert not set(available()) & set(STILLS.values())
