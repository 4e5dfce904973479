"""Opens the output a path asks for."""

from __future__ import annotations

from pathlib import Path

from vidanon.config import EncodeSettings, Limits
from vidanon.media.audio import AudioTracks
from vidanon.media.base import SourceInfo
from vidanon.media.containers import container_for
from vidanon.media.file_sink import FileSink
from vidanon.media.hidden_file import check_output
from vidanon.media.sink_base import Sink
from vidanon.media.still_sink import StillSink

__all__ = ["Sink", "open_sink"]


def open_sink(
    final: Path,
    source_path: Path,
    info: SourceInfo,
    settings: EncodeSettings,
    cut_start: bool = False,
    cut_end: bool = False,
    limits: Limits | None = None,
) -> Sink:
    """A sink for one output, after the checks of :func:`check_output` and of the extension.

    ``cut_start`` / ``cut_end``: the run leaves out a part at that end, and the sound is cut with the pictures.
    """
    container = container_for(final, info.is_still)
    real = check_output(final, source_path)
    if container.still:
        return StillSink(real)
    audio = AudioTracks(source_path, container, settings.audio, limits or Limits())
    try:
        return FileSink(real, container, info, audio, cut_start, cut_end)
    except BaseException:
        audio.close()
        raise
