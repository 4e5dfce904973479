"""The kinds of file a run can write, by extension, and what each of them can say about the picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vidanon.errors import UsageError
from vidanon.types import Orientation


@dataclass(frozen=True)
class Container:
    name: str  #: libav's name of the muxer; of the kind of picture for stills
    orientation: bool  #: holds a display matrix that players follow
    sar_needs: tuple[str, ...]  #: codecs whose sample aspect ratio reaches the player; () means every codec's
    exact_time: bool  #: any time base; otherwise milliseconds
    still: bool = False  #: one picture and nothing else

    def keeps_sar(self, codec: str) -> bool:
        return not self.sar_needs or codec in self.sar_needs


# Matroska can say how to turn a picture, but most players do not listen: there it is turned before it is stored.
# Its muxer takes the sample aspect ratio from the bitstream alone, where VP9 and AV1 have none.
_MP4 = Container("mp4", True, (), True)
_MOV = Container("mov", True, (), True)
_MATROSKA = Container("matroska", False, ("h264", "hevc"), False)
_WEBM = Container("webm", False, ("h264", "hevc"), False)

VIDEO_EXTENSIONS: dict[str, Container] = {
    ".mp4": _MP4, ".m4v": _MP4, ".mov": _MOV, ".qt": _MOV, ".mkv": _MATROSKA, ".webm": _WEBM,
}  # fmt: skip

#: Still pictures are turned upright: without EXIF nothing says how to.
STILL_EXTENSIONS: dict[str, Container] = {
    extension: Container(kind, False, (), True, still=True)
    for kind, extensions in (("jpeg", (".jpg", ".jpeg")), ("png", (".png",)), ("webp", (".webp",)))
    for extension in extensions
}


def container_for(path: Path, still: bool) -> Container:
    """What an output's extension asks for; ``still``: the input is one picture. Raises UsageError."""
    extension = path.suffix.lower()
    found = VIDEO_EXTENSIONS.get(extension) or STILL_EXTENSIONS.get(extension)
    if found is not None and (still or not found.still):
        return found
    known = f"use one of {', '.join([*VIDEO_EXTENSIONS, *(STILL_EXTENSIONS if still else ())])}"
    if found is not None:
        raise UsageError(f"{path.name}: a video cannot be written as a still picture; {known}")
    if extension == ".gif":
        raise UsageError(f"{path.name}: GIF holds 256 colours only and is not written; {known}")
    raise UsageError(f"{path.name}: unknown kind of output '{extension}'; {known}")


def display_matrix(orientation: Orientation, width: int, height: int) -> list[int]:
    """libav's 3x3 matrix (16.16 fixed point, last column 2.30) that shows a stored picture of this size upright.

    Mirror first, then turn clockwise, then move back into view.
    """
    a, b, c, d = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[orientation.rotation]
    if orientation.hflip:
        a, b = -a, -b
    x = -min(0, a * width) - min(0, c * height)
    y = -min(0, b * width) - min(0, d * height)
    one = 1 << 16
    return [a * one, b * one, 0, c * one, d * one, 0, x * one, y * one, 1 << 30]
