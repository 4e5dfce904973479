"""How a picture of the source sits in the picture that is encoded, and back again.

Nearly always they are the same and nothing is done. They differ where the container cannot say how to turn or
stretch the picture, where the encoder refuses its size or layout, and where the source changes its layout
half way: the output keeps the first layout, and what comes later is turned, converted, scaled down if it is
larger, and placed in the middle.

Odd sizes. H.264 and HEVC hold 4:2:0 in even sizes only, and cannot crop to an odd one; 4:4:4 would keep the size
but not play in browsers. So the last row or column is stored twice: one line more at most, stated. VP9, AV1 and
still pictures keep odd sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from vidanon.errors import UnsupportedError
from vidanon.media.colour import resolve_matrix
from vidanon.media.formats import SUPPORTED, SWS_SPACE, Planes, from_av, plane_shape, to_av
from vidanon.media.orientation import upright
from vidanon.types import Colour, Frame, Orientation, PixelFormat

_SQUARE = Fraction(1, 100)  #: pixels this close to square are taken for square where the file cannot say more


@dataclass(frozen=True)
class Layout:
    """Everything about a picture but its samples and its time."""

    width: int
    height: int
    format: PixelFormat
    colour: Colour
    orientation: Orientation = Orientation()
    sar: Fraction = Fraction(1)

    @classmethod
    def of(cls, frame: Frame) -> Layout:
        return cls(frame.width, frame.height, frame.format, frame.colour, frame.orientation, frame.sar)


@dataclass(frozen=True)
class Fit:
    """From pictures of ``source`` to pictures of ``target``."""

    source: Layout
    target: Layout
    content: tuple[int, int]  #: size of the source's picture inside the target
    offset: tuple[int, int]  #: of its top left corner, whole chroma samples

    @property
    def identical(self) -> bool:
        return self.source == self.target

    def forward(self, frame: Frame) -> Frame:
        """A frame of ``source`` as one of ``target``: same pts and index."""
        if self.identical:
            return frame
        if _turned(self.source, self.target):
            frame = _turn(frame, self.source.orientation, self.target.orientation)
        frame = _convert(frame, *self.content, self.target.format, self.target.colour)
        frame = replace(frame, orientation=self.target.orientation, sar=self.target.sar)
        return self._padded(frame)

    def backward(self, frame: Frame) -> Frame:
        """A frame of ``target`` in the source's geometry; pixel format and colours stay, but RGB goes back to YUV."""
        if self.identical:
            return frame
        (width, height), (left, top) = self.content, self.offset
        frame = replace(frame, planes=_cut(frame.planes, frame.format, left, top, width, height))
        turned = _turned(self.source, self.target)
        size = self.source.width, self.source.height
        if turned and self._swaps:
            size = size[::-1]
        layout = self.source if frame.format.rgb and not self.source.format.rgb else self.target
        frame = _convert(frame, *size, layout.format, layout.colour)
        if turned:
            frame = _turn(frame, self.target.orientation, self.source.orientation)
        return replace(frame, orientation=self.source.orientation, sar=self.source.sar)

    @property
    def _swaps(self) -> bool:
        return self.source.orientation.swaps_axes != self.target.orientation.swaps_axes

    def _padded(self, frame: Frame) -> Frame:
        target = self.target
        if (frame.width, frame.height) == (target.width, target.height):
            return frame
        left, top = self.offset
        by_a_line = target.width - frame.width <= 1 and target.height - frame.height <= 1
        planes = []
        for index, plane in enumerate(frame.planes):
            rows, columns = plane_shape(target.format, index, target.width, target.height)
            if by_a_line:  # the last row or column once more: no visible edge
                below, right = rows - plane.shape[0], columns - plane.shape[1]
                planes.append(np.pad(plane, ((0, below), (0, right)), mode="edge"))
                continue
            y, x = _plane_point(target.format, index, left, top)
            canvas = np.full((rows, columns), _black(target, index), plane.dtype)
            canvas[y : y + plane.shape[0], x : x + plane.shape[1]] = plane
            planes.append(canvas)
        return replace(frame, planes=tuple(planes))

    def describe(self) -> list[str]:
        """What is done to the picture, in words for the report; empty where nothing is."""
        out = []
        source, target = self.source, self.target
        if _turned(source, target):
            out.append("the picture is stored upright, turned or mirrored as its display matrix asked")
        shown = (source.height, source.width) if self._swaps else (source.width, source.height)
        if shown != self.content:
            out.append(f"{shown[0]}x{shown[1]} pictures are scaled to {self.content[0]}x{self.content[1]}")
        if self.content != (target.width, target.height):
            out.append(f"{self.content[0]}x{self.content[1]} pictures are padded to {target.width}x{target.height}")
        if source.format != target.format and not target.format.rgb:
            out.append(f"{source.format.name} pictures are stored as {target.format.name}")
        return out


def first_fit(
    source: Layout,
    fmt: PixelFormat,
    keeps_orientation: bool,
    keeps_sar: bool,
    even: bool,
    colours: tuple[int, bool] | None = None,
) -> Fit:
    """The fit that sets the output's layout, from the first picture and what container and encoder can carry.

    ``colours``: matrix and full range, where the kind of file fixes them.
    """
    orientation = source.orientation if keeps_orientation else Orientation()
    width, height, sar = _shown_size(source, orientation)
    if not keeps_sar:
        if abs(sar - 1) > _SQUARE:  # else nobody sees it, and no pixel is resampled for it
            width, height = (round(width * sar), height) if sar > 1 else (width, round(height / sar))
        sar = Fraction(1)
    colour = source.colour
    if source.format.rgb and not fmt.rgb:
        matrix = resolve_matrix(replace(colour, matrix=2), source.width, source.height)
        colour = replace(colour, matrix=matrix, full_range=False)
    if colours is not None:
        matrix, full_range = colours
        same = resolve_matrix(colour, source.width, source.height) in (matrix, matrix + 1)  # BT.470BG is BT.601
        colour = replace(colour, matrix=colour.matrix if same else matrix, full_range=full_range)
    content = width, height
    if even:
        step_x, step_y = 1 << fmt.chroma_shift_x, 1 << fmt.chroma_shift_y
        width, height = -(-width // step_x) * step_x, -(-height // step_y) * step_y
    return Fit(source, Layout(width, height, fmt, colour, orientation, sar), content, (0, 0))


def later_fit(source: Layout, target: Layout) -> Fit:
    """The fit of pictures that come later with another layout, into the output's."""
    width, height, sar = _shown_size(source, target.orientation)
    wide, high = Fraction(width) * sar / target.sar, Fraction(height)
    shrink = min(Fraction(1), target.width / wide, target.height / high)
    content = max(1, round(wide * shrink)), max(1, round(high * shrink))
    left, top = (target.width - content[0]) // 2, (target.height - content[1]) // 2
    offset = left & -(1 << target.format.chroma_shift_x), top & -(1 << target.format.chroma_shift_y)
    return Fit(source, target, content, offset)


def _shown_size(source: Layout, orientation: Orientation) -> tuple[int, int, Fraction]:
    """Width, height and sample aspect once turned to ``orientation``."""
    if source.orientation.swaps_axes == orientation.swaps_axes:
        return source.width, source.height, source.sar
    return source.height, source.width, 1 / source.sar


def _turned(source: Layout, target: Layout) -> bool:
    return source.orientation != target.orientation


def _turn(frame: Frame, before: Orientation, after: Orientation) -> Frame:
    """The same picture on the screen, stored for another display matrix."""
    if before.swaps_axes != after.swaps_axes and frame.format.chroma_shift_x != frame.format.chroma_shift_y:
        wide = f"yuv444p{'' if frame.format.depth == 8 else f'{frame.format.depth}le'}"  # 4:2:2 turned is 4:4:0
        frame = _convert(frame, frame.width, frame.height, SUPPORTED[wide], frame.colour)
    planes = []
    for plane in frame.planes:
        shown = upright(plane, before)
        stored = np.rot90(shown, (after.rotation // 90) % 4)
        planes.append(np.ascontiguousarray(stored[:, ::-1] if after.hflip else stored))
    return replace(frame, planes=tuple(planes))


def _convert(frame: Frame, width: int, height: int, fmt: PixelFormat, colour: Colour) -> Frame:
    """Another size, layout, matrix or range, by libswscale; unchanged where nothing differs."""
    same_colour = frame.colour.full_range == colour.full_range and frame.colour.matrix == colour.matrix
    if (frame.width, frame.height, frame.format) == (width, height, fmt) and same_colour:
        return frame
    if frame.format.planes == 1 and fmt.planes == 3 and not fmt.rgb and fmt.depth == frame.format.depth and same_colour:
        frame = _coloured(frame, fmt)
        if (frame.width, frame.height) == (width, height):
            return frame
    source_space = SWS_SPACE.get(resolve_matrix(frame.colour, frame.width, frame.height))
    target_space = SWS_SPACE.get(resolve_matrix(colour, width, height))
    if fmt.rgb:
        target_space = source_space
    ranges = [ColorRange.JPEG if c.full_range else ColorRange.MPEG for c in (frame.colour, colour)]
    try:
        out = VideoReformatter().reformat(
            to_av(frame), width, height, fmt.name,
            src_colorspace=None if frame.format.rgb else source_space, dst_colorspace=target_space,
            src_color_range=ranges[0], dst_color_range=ranges[1], threads=1,
            interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT,
        )  # fmt: skip
    except (av.FFmpegError, ValueError) as error:
        reason = f"{frame.format.name} pictures cannot be stored as {fmt.name} ({error})"
        raise UnsupportedError(f"{reason}; name another encoder") from error
    return replace(frame, planes=from_av(out)[0], format=fmt, colour=colour)


def _coloured(frame: Frame, fmt: PixelFormat) -> Frame:
    """Grey with neutral colour planes: luma stays as it is."""
    luma = frame.planes[0]
    shapes = [plane_shape(fmt, index, frame.width, frame.height) for index in (1, 2)]
    chroma = [np.full(shape, 1 << (fmt.depth - 1), luma.dtype) for shape in shapes]
    return replace(frame, planes=(luma, *chroma), format=fmt)


def _plane_point(fmt: PixelFormat, plane: int, x: int, y: int) -> tuple[int, int]:
    """(row, column) of a point in a plane."""
    if plane == 0 or fmt.rgb:
        return y, x
    return y >> fmt.chroma_shift_y, x >> fmt.chroma_shift_x


def _cut(planes: Planes, fmt: PixelFormat, left: int, top: int, width: int, height: int) -> Planes:
    out = []
    for index, plane in enumerate(planes):
        y, x = _plane_point(fmt, index, left, top)
        rows, columns = plane_shape(fmt, index, width, height)
        out.append(plane[y : y + rows, x : x + columns])
    return tuple(out)


def _black(layout: Layout, plane: int) -> int:
    fmt = layout.format
    if plane and not fmt.rgb:
        return int(1 << (fmt.depth - 1))
    return 0 if layout.colour.full_range else 16 << (fmt.depth - 8)
