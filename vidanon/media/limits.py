"""What is checked before a byte of an input is decoded: kind of file, format, protocol, size.

A file is opened under its own name only (``file:`` protocol, no patterns, no playlists, nothing that names other
files), by a demuxer of the allow-list, with the pixel cap set in libav before it allocates a picture.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import av
import av.container

from vidanon.config import Limits
from vidanon.errors import InputError, ResourceLimitError, UnsupportedError
from vidanon.media import still
from vidanon.media.libav import opening

#: libav's demuxer names. Absent on purpose: concat, hls, dash, sdp, rtsp, lavfi, image2 (patterns), tty, devices.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,obu,ivf,av1,flv,gif,apng,"
    "ogg,mxf,yuv4mpegpipe,asf,dv,nut,vc1,rm,wtv,jpeg_pipe,png_pipe,webp_pipe,"
    "mp3,wav,w64,aiff,flac,aac,ac3,eac3,caf"  # sound alone: opened to say that there is no video
)


def check_file(path: Path) -> os.stat_result:
    """InputError unless ``path`` (links followed) is a readable, non-empty, regular file. Opens nothing that blocks."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; check the name") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{path}: cannot be read ({reason}); check the name and the permissions") from error
    if stat.S_ISDIR(status.st_mode):
        raise InputError(f"{path}: is a directory; name a file in it")
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path}: is a pipe, socket or device; save the video to a file first")
    if status.st_size == 0:
        raise InputError(f"{path}: is empty; check that the copy or download finished")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: permission denied; make the file readable")
    return status


def open_container(path: Path, limits: Limits) -> av.container.InputContainer:
    """An opened input inside every limit that its header can break.

    Raises InputError, UnsupportedError or ResourceLimitError.
    """
    check_file(path)
    picture = still.probe(path)
    if picture is not None:
        if picture.animated_webp:
            raise UnsupportedError(f"{path}: animated WebP cannot be decoded; convert it to GIF or MP4 first")
        check_pixels(path, picture.width, picture.height, limits)
    options = {
        "protocol_whitelist": "file",
        "format_whitelist": FORMATS,
        "max_pixels": str(limits.max_pixels),  # reaches the decoders that probing opens
    }
    with opening(path):
        # A still picture is never probed by libav: its image2 demuxer would read a '%d' in the name as a pattern.
        container = av.open(
            f"file:{path.absolute()}", "r", format=picture.demuxer if picture else None, options=options
        )
    try:
        _check_header(path, container, limits)
    except BaseException:
        container.close()
        raise
    return container


def check_pixels(path: Path, width: int, height: int, limits: Limits) -> None:
    if width * height > limits.max_pixels:
        raise ResourceLimitError(
            f"{path}: a picture of {width}x{height} exceeds the limit of {limits.max_pixels} pixels; "
            "raise limits.max_pixels if you trust the file"
        )


def check_seconds(path: Path, seconds: float, limits: Limits) -> None:
    if seconds > limits.max_seconds:
        raise ResourceLimitError(
            f"{path}: {seconds:.0f} s exceeds the limit of {limits.max_seconds:.0f} s; "
            "raise limits.max_seconds if you trust the file"
        )


def _check_header(path: Path, container: av.container.InputContainer, limits: Limits) -> None:
    if len(container.streams) > limits.max_streams:
        raise ResourceLimitError(
            f"{path}: {len(container.streams)} streams exceed the limit of {limits.max_streams}; "
            "raise limits.max_streams if you trust the file"
        )
    if container.duration is not None:
        check_seconds(path, container.duration / av.time_base, limits)
    for stream in container.streams.video:
        context = stream.codec_context
        if context is not None:
            check_pixels(path, context.width, context.height, limits)
            check_pixels(path, context.coded_width, context.coded_height, limits)
        if stream.duration is not None and stream.time_base is not None:
            check_seconds(path, float(stream.duration * stream.time_base), limits)
