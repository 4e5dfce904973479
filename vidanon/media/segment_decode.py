"""The encoded packets of a segment as frames again: what a player will show, for the leak gate to look at."""

from __future__ import annotations

from collections.abc import Iterator

import av
from av.codec.context import ThreadType
from av.video.codeccontext import VideoCodecContext

from vidanon.errors import OutputError
from vidanon.media.encoded import EncodedSegment
from vidanon.media.formats import from_av
from vidanon.types import Frame

_DECODERS = {"av1": "libdav1d"}  # libav's own "av1" needs hardware


def decode_segment(segment: EncodedSegment, threads: int = 2) -> Iterator[Frame]:
    """Decode in order of showing; frames lie in the geometry of those that went in, with their index and pts.

    Pixel format and colours are the encoded ones; where the picture was turned, scaled or padded for the output,
    that is undone. Raises OutputError where libav finds the packets damaged.
    """
    stream = segment.stream
    layout = stream.layout
    context = av.CodecContext.create(_DECODERS.get(stream.codec, stream.codec), "r")
    assert isinstance(context, VideoCodecContext)
    if stream.extradata:
        context.extradata = stream.extradata
    context.thread_count = threads
    context.thread_type = ThreadType.FRAME if threads > 1 else ThreadType.SLICE
    indices = iter(segment.indices)
    try:
        for picture in _pictures(context, segment):
            if picture.is_corrupt:
                raise OutputError(f"{stream.encoder} made a damaged picture; choose another encoder")
            planes, fmt, _ = from_av(picture, keep_rgb=layout.format.rgb)
            frame = Frame(
                planes, fmt, layout.colour, next(indices, -1), picture.pts if picture.pts is not None else -1,
                segment.time_base, layout.orientation, layout.sar,
            )  # fmt: skip
            yield segment.fit.backward(frame)
    except av.FFmpegError as error:
        reason = f"what {stream.encoder} made cannot be decoded ({error.strerror})"
        raise OutputError(f"{reason}; choose another encoder") from error
    finally:
        # Freeing a context waits for its threads and keeps the interpreter's lock; flushing waits without it. What
        # an abandoned decode (a segment that failed its check) leaves behind is done with here.
        context.flush_buffers()


def _pictures(context: VideoCodecContext, segment: EncodedSegment) -> Iterator[av.VideoFrame]:
    for encoded in segment.packets:
        yield from context.decode(encoded.to_av(segment.time_base))
    yield from context.decode(None)
