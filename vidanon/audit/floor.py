"""What an output is compared with: the same frames with every face under a solid ellipse, encoded the same way.

And the attacker's copy: the same faces protected in the run's own mode by somebody else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vidanon.build import PROTECTORS
from vidanon.config import EncodeSettings, ProtectSettings
from vidanon.errors import UsageError
from vidanon.faces.blend import Part, blend, split
from vidanon.faces.gather import gather
from vidanon.media.base import SourceInfo
from vidanon.media.encode import SegmentEncoder
from vidanon.media.segment_decode import decode_segment
from vidanon.protect.base import Protector
from vidanon.segments import Segment
from vidanon.types import Frame, PlanRow, ProtectedFrame


def paint(
    frames: Sequence[Frame], rows: Sequence[PlanRow], settings: ProtectSettings, protector: Protector
) -> Iterator[ProtectedFrame]:
    """Every row of ``frames`` as the protector makes it."""
    parts: dict[int, list[Part]] = defaultdict(list)
    for batch in gather(frames, rows, settings, "cpu"):
        for part in split(batch, protector(batch, {})[0]):
            parts[part.frame].append(part)
    for frame in frames:
        yield blend(frame, parts[frame.index], (), settings)


@dataclass(frozen=True)
class Copyist:
    """Protects single faces in one mode: for the parrot, a gallery that the attacker protects alike."""

    settings: ProtectSettings
    protector: Protector

    @classmethod
    def of(cls, settings: ProtectSettings, seed: int) -> Copyist | None:
        """None for a mode that is not one of the obscuring ones: it cannot be redone here."""
        kind = PROTECTORS.get(settings.mode)
        return None if kind is None else cls(settings, kind(settings, seed))

    def __call__(self, frame: Frame, row: PlanRow) -> Frame:
        (made,) = paint([frame], [row], self.settings, self.protector)
        return made.frame


class SolidFloor:
    """Encodes segments again with every face under a solid ellipse."""

    def __init__(
        self, output: Path, info: SourceInfo, encode: EncodeSettings, protect: ProtectSettings, workers: int
    ) -> None:
        """``output``: of the run, for its kind of file. ``encode``, ``protect``: the run's, as far as known."""
        self.settings = protect.model_copy(update={"mode": "mask", "shape": "ellipse"})
        self._protector = PROTECTORS["mask"](self.settings, 0)
        self.notes: list[str] = []
        try:
            self._encoder = SegmentEncoder(output, info, encode, workers)
        except UsageError:
            suffix = ".png" if info.is_still else ".mp4"
            self.notes.append(
                f"the solid-fill floor is encoded as {suffix[1:]}, not as {output.suffix or 'the output'}"
            )
            self._encoder = SegmentEncoder(output.with_suffix(suffix), info, EncodeSettings(), workers)

    @property
    def encoder(self) -> str:
        return self._encoder.name

    def __call__(self, segment: Segment, rows: Mapping[int, Sequence[PlanRow]]) -> Iterator[Frame]:
        """The frames of ``segment`` in order, decoded again; as they are, unencoded, where none has a face."""
        wanted = [row for frame in segment.frames for row in rows.get(frame.index, ())]
        if not wanted:
            yield from segment.frames
            return
        yield from decode_segment(self._encoder.encode(self._covered(segment, rows)))

    def _covered(self, segment: Segment, rows: Mapping[int, Sequence[PlanRow]]) -> Iterator[ProtectedFrame]:
        for start in range(0, len(segment.frames), 16):
            frames = segment.frames[start : start + 16]
            wanted = [row for frame in frames for row in rows.get(frame.index, ())]
            yield from paint(frames, wanted, self.settings, self._protector)
