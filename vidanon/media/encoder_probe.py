"""Tries whether an encoder really works on this machine."""

from __future__ import annotations

import os
from fractions import Fraction

import av
import av.logging
from av.video.codeccontext import VideoCodecContext

from vidanon.media.encoder_options import rate_options
from vidanon.media.encoder_table import EncoderSpec, even_size, libav_format
from vidanon.types import PixelFormat


def probe(spec: EncoderSpec, width: int, height: int, fmt: PixelFormat) -> str:
    """'' where the encoder really encodes a picture of this size and layout, else libav's reason in a few words."""
    quiet_libraries()
    if spec.even:
        width, height = even_size(width, height, fmt)
    level = av.logging.get_level()
    av.logging.set_level(av.logging.ERROR)  # the error number alone says too little
    try:
        with av.logging.Capture() as said:
            return _try(spec, width, height, libav_format(spec, fmt), said)
    finally:
        av.logging.set_level(level)


def _try(spec: EncoderSpec, width: int, height: int, name: str, said: list[tuple[int, str, str]]) -> str:
    try:
        context = av.CodecContext.create(spec.name, "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height, context.pix_fmt = width, height, name
        context.time_base, context.framerate = Fraction(1, 25), Fraction(25)
        if spec.colours is not None:
            context.color_range = 2 if spec.colours[1] else 1
        context.thread_count = 1
        quiet = {"x265-params": "log-level=none"} if spec.name == "libx265" else {}
        context.options = rate_options(spec, spec.quality, spec.preset) | quiet
        context.open()
        if not spec.hardware:
            return ""
        picture = av.VideoFrame(width, height, name)
        for plane in picture.planes:
            plane.update(bytes(plane.buffer_size))
        picture.pts, picture.time_base = 0, Fraction(1, 25)
        packets = [*context.encode(picture), *context.encode(None)]
        return "" if packets else "it gave no data"
    except (av.FFmpegError, ValueError) as error:
        lines = [text.strip() for _, _, text in said if text.strip()]
        return lines[0] if lines else " ".join(str(getattr(error, "strerror", None) or error).split())


def quiet_libraries() -> None:
    """SVT-AV1 writes its settings to stderr unless told not to; an explicit SVT_LOG of the user's wins."""
    os.environ.setdefault("SVT_LOG", "1")
