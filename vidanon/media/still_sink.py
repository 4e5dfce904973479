"""A still picture as output: one encoded picture is the whole file."""

from __future__ import annotations

from pathlib import Path

from vidanon.errors import OutputError
from vidanon.media.encoded import EncodedSegment
from vidanon.media.hidden_file import HiddenFile, output_error
from vidanon.media.sink_base import Sink


class StillSink(Sink):
    """One JPEG, PNG or WebP file: no EXIF, thumbnail, profile or text, turned upright by the encoder."""

    def __init__(self, final: Path) -> None:
        self._final = final
        self._written = False
        self.warnings: list[str] = []
        self._hidden = HiddenFile(final)

    def commit(self, segment: EncodedSegment) -> None:
        try:
            if not self._hidden.alive or self._written or len(segment.packets) != 1:
                raise OutputError("a still picture is one picture; name the output .mp4 for more")
            with self._hidden.path.open("wb") as file:
                file.write(segment.packets[0].data)
            self._written = True
        except OSError as error:
            self.abort()
            raise output_error(self._final, error) from error
        except OutputError:
            self.abort()
            raise

    def finish(self) -> list[str]:
        if not self._written:
            self.abort()
            raise OutputError("nothing was committed: there is no output")
        try:
            self._hidden.sync()
            self._hidden.publish()
        except OSError as error:
            self.abort()
            raise output_error(self._final, error) from error
        return []

    def abort(self) -> None:
        self._hidden.discard()
