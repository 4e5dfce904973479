"""The table of video encoders: what each can carry, its quality scale, and which one a run gets.

Defaults (no encoder named): what plays everywhere and loses nothing that matters.

==========================  =========================================================
8 bit                       H.264 (libx264), 4:2:2 and 4:4:4 kept
10 bit 4:2:0                HEVC Main 10 (libx265), tagged ``hvc1``
10 bit 4:2:2 or 4:4:4       H.264 High 4:2:2 / 4:4:4 (libx264)
12 bit and more             HEVC 12 bit (libx265)
``.webm``                   VP9 (8 bit), AV1 (10 bit)
==========================  =========================================================

A hardware encoder is tried once, by really encoding pictures of the wanted size; where it fails the default
software encoder takes its place and the reason is returned for the report.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import av

from vidanon.config import EncodeSettings
from vidanon.errors import OutputError, UsageError
from vidanon.media.formats import SUPPORTED
from vidanon.types import PixelFormat

AUTO = "auto"
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
        EncoderSpec("mjpeg", "mjpeg", 2, 1, 31, None, ("yuv420p", "yuv422p", "yuv444p"), ("jpeg",), 0, False,
                    colours=(5, True)),
        EncoderSpec("png", "png", 0, 0, 63, None, tuple(_PNG), ("png",), 0, False, colours=(0, True)),
        EncoderSpec("libwebp", "webp", 5, 0, 63, None, ("yuv420p",), ("webp",), 0, False, colours=(5, False)),
        *_hardware("nvenc", "p4", False),
        *_hardware("qsv", None, True),
        *_hardware("amf", None, False),
    ]
}  # fmt: skip


_STILLS = {"jpeg": "mjpeg", "png": "png", "webp": "libwebp"}


@dataclass(frozen=True)
class Choice:
    """The encoder and layout a run gets, and what there is to say about it."""

    spec: EncoderSpec
    format: PixelFormat
    quality: float
    preset: str | None
    fallbacks: tuple[str, ...] = ()  #: another encoder than the one asked for, and why
    warnings: tuple[str, ...] = ()  #: what the output loses, or who may not play it


def available() -> list[str]:
    """Encoders of the table that this build of libav has (hardware ones may still fail to open)."""
    return [name for name in ENCODERS if name in av.codecs_available]


def check_settings(settings: EncodeSettings, container: str) -> None:
    """Raise UsageError where the encoder named is unknown, does not fit the container, or the quality its scale."""
    if is_automatic(settings):
        if container in _STILLS:
            _check_quality(settings, ENCODERS[_STILLS[container]])
        return
    spec = ENCODERS.get(settings.encoder)
    if spec is None or spec.name not in av.codecs_available:
        raise UsageError(f"unknown encoder '{settings.encoder}'; this build has: {', '.join(available())}")
    if container not in spec.containers:
        fitting = [name for name in available() if container in ENCODERS[name].containers]
        raise UsageError(
            f"{spec.name} cannot be stored in this kind of file; "
            f"choose another extension, or one of {', '.join(fitting)}"
        )
    _check_quality(settings, spec)


def _check_quality(settings: EncodeSettings, spec: EncoderSpec) -> None:
    if settings.quality is not None and not spec.best <= settings.quality <= spec.worst:
        scale = f"{spec.best:g}-{spec.worst:g}, lower is better"
        raise UsageError(f"quality {settings.quality:g} is not on the scale of {spec.name}; choose {scale}")


def is_automatic(settings: EncodeSettings) -> bool:
    """True where the user named no encoder."""
    return settings.encoder == AUTO or "encoder" not in settings.model_fields_set


def choose(settings: EncodeSettings, container: str, source: PixelFormat, width: int, height: int) -> Choice:
    """The encoder for pictures of this layout. Raises UsageError (see :func:`check_settings`), OutputError."""
    check_settings(settings, container)
    spec = ENCODERS[_default(container, source) if is_automatic(settings) else settings.encoder]
    fallbacks: list[str] = []
    reason = probe(spec, width, height, nearest_format(source, spec.formats))
    if reason:
        instead = ENCODERS[_default(container, source)]
        if not spec.hardware or instead.name == spec.name:
            what = f"{width}x{height} {source.name}"
            raise OutputError(f"{spec.name} cannot encode {what} ({reason}); choose another encoder")
        fallbacks.append(f"{spec.name} does not open ({reason}): {instead.name} is used")
        spec = instead
    fmt = nearest_format(source, spec.formats)
    quality = spec.quality
    if settings.quality is not None and not fallbacks:
        quality = min(max(settings.quality, spec.best), spec.worst)
    preset = spec.preset if settings.preset is None or fallbacks else settings.preset
    return Choice(spec, fmt, quality, preset, tuple(fallbacks), tuple(_warnings(spec, source, fmt)))


def _default(container: str, source: PixelFormat) -> str:
    if container in _STILLS:
        return _STILLS[container]
    if container == "webm":
        return "libvpx-vp9" if source.depth == 8 else "libsvtav1"
    if source.depth == 8 or source.depth <= 10 and not source.rgb and _chroma(source) > _chroma(SUPPORTED["yuv420p"]):
        return "libx264"
    return "libx265"


def _chroma(fmt: PixelFormat) -> int:
    """How much colour resolution a layout keeps: 0 (grey) to 5 (RGB)."""
    if fmt.planes == 1:
        return 0
    return 5 if fmt.rgb else 4 - fmt.chroma_shift_x - fmt.chroma_shift_y


def nearest_format(wanted: PixelFormat, offered: Sequence[str]) -> PixelFormat:
    """The smallest layout offered that loses nothing; else the one that loses least (colour resolution, then depth)."""

    def cost(name: str) -> tuple[float, ...]:
        fmt = SUPPORTED[name]
        chroma_loss = int(fmt.chroma_shift_x > wanted.chroma_shift_x) + (fmt.chroma_shift_y > wanted.chroma_shift_y)
        if wanted.planes == 1 or fmt.planes == 1:
            chroma_loss = 0 if wanted.planes == 1 else 3
        depth_loss = max(0, wanted.depth - fmt.depth)
        return chroma_loss, depth_loss, wanted.rgb != fmt.rgb, max(0, fmt.depth - wanted.depth), _chroma(fmt)

    return SUPPORTED[min(offered, key=cost)]


def _warnings(spec: EncoderSpec, source: PixelFormat, fmt: PixelFormat) -> list[str]:
    out = []
    if fmt.depth < source.depth:
        out.append(f"{spec.name} holds {fmt.depth} bits: the source's {source.depth} bits are reduced")
    coarser = fmt.chroma_shift_x > source.chroma_shift_x or fmt.chroma_shift_y > source.chroma_shift_y
    if source.planes == 3 and coarser:
        out.append(f"{spec.name} is given {fmt.name}: the source's {source.name} loses colour resolution")
    elif source.rgb and not fmt.rgb and spec.codec != "mjpeg":
        out.append(f"RGB pictures are stored as {fmt.name}")
    if spec.codec in ("h264", "hevc") and (fmt.chroma_shift_x, fmt.chroma_shift_y) != (1, 1):
        out.append(f"{fmt.name} is kept as in the source; browsers and some players cannot play it")
    elif spec.codec == "h264" and fmt.depth > 8:
        out.append("10-bit H.264: browsers and some players cannot play it")
    elif spec.codec == "hevc" and fmt.depth == 10:
        out.append("10-bit HEVC, to keep the source's depth: Firefox and old players cannot play it")
    elif spec.codec == "hevc" and fmt.depth > 10:
        out.append(f"{fmt.depth}-bit HEVC: browsers and most players cannot play it")
    return out


def libav_format(spec: EncoderSpec, fmt: PixelFormat) -> str:
    """The pixel format the encoder itself is opened with."""
    if spec.name == "png":
        return _PNG[fmt.name]
    return _SEMI_PLANAR[fmt.name] if spec.semi_planar else fmt.name


def rate_options(spec: EncoderSpec, quality: float, preset: str | None) -> dict[str, str]:
    """Constant quality on the encoder's own scale."""
    text = f"{quality:g}"
    if spec.name.endswith("_nvenc"):
        options = {"rc": "vbr", "cq": text, "b": "0", "preset": preset}
    elif spec.name.endswith("_qsv"):
        options = {"global_quality": f"{round(quality)}", "preset": preset}
    elif spec.name.endswith("_amf"):
        step = f"{round(quality)}"
        options = {"rc": "cqp", "qp_i": step, "qp_p": step, "quality": preset}
    elif spec.name == "mjpeg":
        options = {"qmin": f"{round(quality)}", "qmax": f"{round(quality)}", "b": "2000000000"}
    elif spec.name == "png":
        options = {"pred": "mixed"}
    elif spec.name == "libwebp":
        options = {"quality": f"{100 - quality:g}"}
    elif spec.name == "libvpx-vp9":
        realtime = preset is not None and preset.isdigit() and int(preset) > 5
        speed = ("realtime", "0") if realtime else ("good", "25")
        options = {"crf": f"{round(quality)}", "b": "0", "cpu-used": preset, "row-mt": "1"}
        options |= dict(zip(("deadline", "lag-in-frames"), speed, strict=True))
    else:
        options = {"crf": f"{round(quality)}" if spec.name == "libsvtav1" else text, "preset": preset}
    return {key: value for key, value in options.items() if value is not None}


def probe(spec: EncoderSpec, width: int, height: int, fmt: PixelFormat) -> str:
    """'' where the encoder really encodes a picture of this size and layout, else libav's reason in a few words."""
    quiet_libraries()
    if spec.even:
        width, height = even_size(width, height, fmt)
    name = libav_format(spec, fmt)
    try:
        context = av.CodecContext.create(spec.name, "w")
        context.width, context.height, context.pix_fmt = width, height, name  # type: ignore[attr-defined]
        context.time_base, context.framerate = Fraction(1, 25), Fraction(25)  # type: ignore[attr-defined]
        if spec.colours is not None:
            context.color_range = 2 if spec.colours[1] else 1  # type: ignore[attr-defined]
        context.thread_count = 1
        quiet = {"x265-params": "log-level=none"} if spec.name == "libx265" else {}
        context.options = rate_options(spec, spec.quality, spec.preset) | quiet
        if not spec.hardware:
            context.open()
            return ""
        picture = av.VideoFrame(width, height, name)
        for plane in picture.planes:
            plane.update(bytes(plane.buffer_size))
        picture.pts, picture.time_base = 0, Fraction(1, 25)
        packets = [*context.encode(picture), *context.encode(None)]  # type: ignore[attr-defined]
        return "" if packets else "it gave no data"
    except (av.FFmpegError, ValueError) as error:
        log = getattr(error, "log", None)
        return str(log[2]).strip() if log else " ".join(str(getattr(error, "strerror", None) or error).split())


def even_size(width: int, height: int, fmt: PixelFormat) -> tuple[int, int]:
    """The size rounded up to whole chroma samples."""
    step_x, step_y = 1 << fmt.chroma_shift_x, 1 << fmt.chroma_shift_y
    return -(-width // step_x) * step_x, -(-height // step_y) * step_y


def quiet_libraries() -> None:
    """SVT-AV1 writes its settings to stderr unless told not to; an explicit SVT_LOG of the user's wins."""
    os.environ.setdefault("SVT_LOG", "1")
