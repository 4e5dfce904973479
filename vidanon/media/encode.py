"""One closed-GOP encoder per segment: protected frames in, packets with exactly their pts out.

Every segment starts with a key picture and refers to nothing outside itself; with constant quality and the same
settings all segments carry the same parameter sets, so that their packets, one after the other, are one stream.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import av

from vidanon.config import EncodeSettings
from vidanon.errors import OutputError
from vidanon.media.base import SourceInfo
from vidanon.media.containers import Container, container_for
from vidanon.media.encoded import EncodedSegment
from vidanon.media.encoders import Choice, check_settings, choose, is_automatic
from vidanon.media.fit import Fit, Layout, first_fit, later_fit
from vidanon.media.segment_work import SegmentWork
from vidanon.types import Frame, ProtectedFrame

__all__ = ["EncodedSegment", "SegmentEncoder"]


class SegmentEncoder:
    """Encodes segments of one output. The first frame ever seen sets the output's layout.

    ``fallbacks`` (another encoder than the one named, and why) and ``warnings`` (what the output loses) are
    complete once a segment is encoded; ``name`` says what encodes.
    """

    def __init__(self, final: Path, info: SourceInfo, settings: EncodeSettings, threads: int | None = None) -> None:
        """``final`` is the output's path, for its extension. ``threads``: None for one per usable core.

        Raises UsageError for an unknown extension, encoder, quality, or a pair of them that does not go together.
        """
        self._container: Container = container_for(final, info.is_still)
        check_settings(settings, self._container.name)
        self._info = info
        self._settings = settings
        self._threads = threads or len(os.sched_getaffinity(0))
        self._choice: Choice | None = None
        self._output: Layout | None = None
        self._field_order = ""  # "", "tff", "bff"
        self.fallbacks: list[str] = []
        self.warnings: list[str] = []

    @property
    def name(self) -> str:
        if self._choice is not None:
            return self._choice.spec.name
        return "" if is_automatic(self._settings, self._container.name) else self._settings.encoder

    def encode(self, frames: Iterable[ProtectedFrame]) -> EncodedSegment:
        """Encode the frames of one segment, which have one layout and pts in order of showing.

        Raises TypeError for anything but a ProtectedFrame, ValueError for no frame or frames of several layouts,
        OutputError where the encoder fails.
        """
        work: SegmentWork | None = None
        try:
            for protected in frames:
                if not isinstance(protected, ProtectedFrame):
                    raise TypeError(f"only a ProtectedFrame may be encoded, not {type(protected).__name__}")
                if work is None:
                    work = self._begin(protected.frame)
                work.add(protected.frame)
            if work is None:
                raise ValueError("a segment has at least one frame")
            return work.finish()
        except av.FFmpegError as error:
            raise OutputError(f"{self.name} failed ({_reason(error)}); choose another encoder or preset") from error
        finally:
            if work is not None:
                work.close()

    def _begin(self, first: Frame) -> SegmentWork:
        source = Layout.of(first)
        if self._output is None or self._choice is None:
            fit = self._set_up(first, source)
        elif source == self._first:
            fit = self._first_fit
        else:
            fit = later_fit(source, self._output)
        for line in fit.describe():
            if line not in self.warnings:
                self.warnings.append(line)
        assert self._choice is not None
        still = self._container.still
        return SegmentWork(self._choice, fit, self._info, self._threads, self._field_order, first.time_base, still)

    def _set_up(self, first: Frame, source: Layout) -> Fit:
        choice = choose(self._settings, self._container.name, first.format, first.width, first.height)
        keeps_sar = self._container.keeps_sar(choice.spec.codec)
        spec = choice.spec
        fit = first_fit(source, choice.format, self._container.orientation, keeps_sar, spec.even, spec.colours)
        self._choice, self._output, self._first, self._first_fit = choice, fit.target, source, fit
        self.fallbacks += choice.fallbacks
        self.warnings += choice.warnings
        if first.interlaced:
            turned = source.orientation != fit.target.orientation
            if spec.name == "libx264" and not turned and fit.target.height % 4 == 0:
                self._field_order = "tff" if first.top_field_first else "bff"
            else:
                self.warnings.append(f"{spec.name} stores the interlaced pictures whole, flagged progressive")
        return fit


def _reason(error: av.FFmpegError) -> str:
    log = getattr(error, "log", None)
    return str(log[2]).strip() if log else str(error.strerror or error)
