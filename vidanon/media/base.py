"""What a source of frames is, and what is known of it before the first frame."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from types import TracebackType
from typing import Self

from vidanon.types import Colour, Frame, Orientation, PixelFormat


@dataclass(frozen=True)
class Mastering:
    """The display an HDR picture was graded on (SMPTE ST 2086)."""

    red: tuple[Fraction, Fraction] | None  #: CIE 1931 x, y; None where the stream has no primaries
    green: tuple[Fraction, Fraction] | None
    blue: tuple[Fraction, Fraction] | None
    white: tuple[Fraction, Fraction] | None
    max_luminance: Fraction | None  #: cd/m²
    min_luminance: Fraction | None


@dataclass(frozen=True)
class HdrInfo:
    """Static HDR side data; an encoder has to be told again, or it is lost."""

    mastering: Mastering | None = None
    max_cll: int | None = None  #: brightest pixel, cd/m²
    max_fall: int | None = None  #: brightest frame average, cd/m²


@dataclass(frozen=True)
class AudioInfo:
    index: int  #: of the stream in the container
    codec: str
    channels: int
    sample_rate: int  #: Hz


@dataclass(frozen=True)
class SourceInfo:
    """What the header and the first shown frame say; a later frame may differ and carries its own values."""

    width: int  #: of the first frame, coded pixels
    height: int
    format: PixelFormat
    codec: str  #: libav's name of the codec: "h264", "av1", "mjpeg", ...
    container: str  #: libav's demuxer name: "mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", ...
    video_index: int  #: of the video stream that is read
    time_base: Fraction
    average_rate: Fraction | None  #: frames per second
    duration: float | None  #: seconds, as declared
    frame_count: int | None  #: shown frames as declared; None where the container does not say
    orientation: Orientation
    sar: Fraction
    colour: Colour
    hdr: HdrInfo
    is_still: bool
    audio: tuple[AudioInfo, ...]
    warnings: tuple[str, ...]  #: known on opening; a pass over the frames may add to ``Source.warnings``


class Source(ABC):
    """Frames in order of display, numbered alike in every pass."""

    info: SourceInfo

    @property
    @abstractmethod
    def warnings(self) -> list[str]:
        """One line each, without repetition: what was ignored, mended or dropped so far."""

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """A fresh pass from the beginning; memory does not grow with its length."""

    @abstractmethod
    def close(self) -> None:
        """Ends every pass that is still open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
