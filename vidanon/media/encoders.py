"""Which encoder a run gets, from what the user says, the kind of file, and the source's pictures.

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

from collections.abc import Sequence
from dataclasses import dataclass

import av

from vidanon.config import EncodeSettings
from vidanon.errors import OutputError, UsageError
from vidanon.media.encoder_probe import probe
from vidanon.media.encoder_table import ENCODERS, STILLS, EncoderSpec
from vidanon.media.formats import SUPPORTED
from vidanon.types import PixelFormat

AUTO = "auto"


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
    """Video encoders of the table that this build of libav has (hardware ones may still fail to open)."""
    return [name for name in ENCODERS if name in av.codecs_available and name not in STILLS.values()]


def check_settings(settings: EncodeSettings, container: str) -> None:
    """Raise UsageError where the encoder named is unknown, does not fit the container, or the quality its scale."""
    spec = ENCODERS[_default(container, SUPPORTED["yuv420p"])]
    if not is_automatic(settings, container):
        named = ENCODERS.get(settings.encoder)
        if named is None or named.name not in av.codecs_available:
            raise UsageError(f"unknown encoder '{settings.encoder}'; this build has: {', '.join(available())}")
        spec = named
    if container not in spec.containers:
        fitting = [name for name in available() if container in ENCODERS[name].containers]
        raise UsageError(
            f"{spec.name} cannot be stored in this kind of file; "
            f"choose another extension, or one of {', '.join(fitting)}"
        )
    if settings.quality is not None and not spec.best <= settings.quality <= spec.worst:
        scale = f"{spec.best:g}-{spec.worst:g}, lower is better"
        raise UsageError(f"quality {settings.quality:g} is not on the scale of {spec.name}; choose {scale}")


def is_automatic(settings: EncodeSettings, container: str) -> bool:
    """True where the user named no encoder, or it has no say (still pictures)."""
    return container in STILLS or settings.encoder == AUTO or "encoder" not in settings.model_fields_set


def choose(settings: EncodeSettings, container: str, source: PixelFormat, width: int, height: int) -> Choice:
    """The encoder for pictures of this layout. Raises UsageError (see :func:`check_settings`), OutputError."""
    check_settings(settings, container)
    automatic = is_automatic(settings, container)
    wanted = ENCODERS[_default(container, source) if automatic else settings.encoder]
    candidates = [wanted]
    if wanted.hardware:
        candidates.append(ENCODERS[_default(container, source)])
    if wanted.hardware or automatic and container not in STILLS:  # tiny pictures: x264 and VP9 take them
        candidates += [ENCODERS[name] for name in ("libx264", "libvpx-vp9") if container in ENCODERS[name].containers]
    reasons = []
    for spec in candidates:
        fmt = nearest_format(source, spec.formats)
        reason = probe(spec, width, height, fmt)
        if not reason:
            break
        reasons.append(f"{spec.name} does not open ({reason})")
    else:
        raise OutputError(f"{reasons[0]} for {width}x{height} {source.name} pictures; choose another encoder")
    fallbacks = (f"{reasons[0]}: {spec.name} is used",) if reasons else ()
    own = spec is wanted
    quality = settings.quality if settings.quality is not None and own else spec.quality
    preset = settings.preset if settings.preset is not None and own else spec.preset
    return Choice(spec, fmt, quality, preset, fallbacks, tuple(_warnings(spec, source, fmt)))


def _default(container: str, source: PixelFormat) -> str:
    if container in STILLS:
        return STILLS[container]
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
