"""What takes finished segments."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from vidanon.media.encoded import EncodedSegment


class Sink(ABC):
    """Takes segments in order; ``finish`` or ``abort`` ends it. As a context manager it aborts unless finished."""

    warnings: list[str]  #: what the output could not keep of the source; complete after ``finish``

    @abstractmethod
    def commit(self, segment: EncodedSegment) -> None:
        """Append a segment. Raises OutputError."""

    @abstractmethod
    def finish(self) -> list[str]:
        """Give the file its name; one report line per audio track and per kind of stream left behind."""

    @abstractmethod
    def abort(self) -> None:
        """Delete what was written; nothing happens after ``finish``, or the second time."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()
