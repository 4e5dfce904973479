"""The table of video encoders: what each can carry, its quality scale and its place."""

from __future__ import annotations

from dataclasses import dataclass

from vidanon.types import PixelFormat

_SEMI_PLANAR = {"yuv420p": "nv12", "yuv420p10le": "p010le"}
_PNG = {"gbrp": "rgb24", "gbrp16le": "rgb48be", "gray": "gray", "gray16le": "gray16be"}


@dataclass(frozen=True)
class EncoderSpec:
    """One row of the table."""

    name: str  #: libav's name of the encoder
    codec: str  #: libav's name of the codec
    quality: float  #: default, on the encoder's own scale (CRF, CQ, QP): lower is better
    best: float  #: ends of that scale
    worst: float
    preset: str | None
    formats: tuple[str, ...]  #: pixel formats taken, as planar layouts of ``formats.SUPPORTED``
    containers: tuple[str, ...]  #: libav formats that can hold it
    reorder: int  #: pictures a decoder may have to hold back, at most
    even: bool  #: sizes must be even in subsampled directions
    hardware: bool = False
    semi_planar: bool = False  #: the chroma planes go in interleaved (a shuffle without loss)
    colours: tuple[int, bool] | None = None  #: matrix and full range, where the format of the file fixes them


_MPEG4 = ("mp4", "mov", "matroska")
_H264 = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le")
_HEVC = (*_H264, "yuv420p12le", "yuv422p12le", "yuv444p12le", "gbrp", "gbrp10le", "gbrp12le")
_VP9 = ("yuv420p", "yuv422p", "yuv440p", "yuv444p", "gbrp")
_BOTH = ("yuv420p", "yuv420p10le")
_OPEN = ("mp4", "matroska", "webm")


def _hardware(kind: str, preset: str | None, semi_planar: bool) -> list[EncoderSpec]:
    rows = [("h264", 21, ("yuv420p",), _MPEG4), ("hevc", 23, _BOTH, _MPEG4), ("av1", 28, _BOTH, _OPEN)]
    return [
        EncoderSpec(f"{codec}_{kind}", codec, quality, 1, 51, preset, formats, containers, 2, True, True, semi_planar)
        for codec, quality, formats, containers in rows
    ]


#: Every encoder a run may name.
ENCODERS: dict[str, EncoderSpec] = {
    spec.name: spec
    for spec in [
        EncoderSpec("libx264", "h264", 20, 0, 51, "veryfast", _H264, _MPEG4, 2, True),
        EncoderSpec("libx265", "hevc", 20, 0, 51, "superfast", _HEVC, _MPEG4, 2, True),
        EncoderSpec("libsvtav1", "av1", 26, 1, 63, "9", _BOTH, _OPEN, 0, False),
        EncoderSpec("libvpx-vp9", "vp9", 24, 0, 63, "7", _VP9, _OPEN, 0, False),
        EncoderSpec("mjpeg", "mjpeg", 5, 0, 63, None, ("yuv420p", "yuv422p", "yuv444p"), ("jpeg",), 0, False,
                    colours=(5, True)),
        EncoderSpec("png", "png", 0, 0, 63, None, tuple(_PNG), ("png",), 0, False, colours=(0, True)),
        EncoderSpec("libwebp", "webp", 5, 0, 63, None, ("yuv420p",), ("webp",), 0, False, colours=(5, False)),
        *_hardware("nvenc", "p4", False),
        *_hardware("qsv", None, True),
        *_hardware("amf", None, False),
    ]
}  # fmt: skip


#: Kind of still picture -> its encoder.
STILLS = {"jpeg": "mjpeg", "png": "png", "webp": "libwebp"}


def libav_format(spec: EncoderSpec, fmt: PixelFormat) -> str:
    """The pixel format the encoder itself is opened with."""
    if spec.name == "png":
        return _PNG[fmt.name]
    return _SEMI_PLANAR[fmt.name] if spec.semi_planar else fmt.name


def even_size(width: int, height: int, fmt: PixelFormat) -> tuple[int, int]:
    """The size rounded up to whole chroma samples."""
    step_x, step_y = 1 << fmt.chroma_shift_x, 1 << fmt.chroma_shift_y
    return -(-width // step_x) * step_x, -(-height // step_y) * step_y
