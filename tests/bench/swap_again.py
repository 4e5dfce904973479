"""Are the new faces found by a detector, as the old ones were?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vidanon.audit.coverage import SURE, SURE_OTHER, DlibHog
from vidanon.audit.faces import Face
from vidanon.detect.base import Detector
from vidanon.types import ByteArray, Detection

#: a face found surely before is found again from the score that users of the detector ask for: dlib's 0, others' .6
USUAL, USUAL_OTHER = 0.0, 0.6


@dataclass
class Tally:
    """What one detector saw."""

    detector: str
    took_part: bool  #: whether the run may have used it
    faces: int = 0  #: looked for in the source
    found: int = 0  #: of them, found there surely
    still: int = 0  #: of those, found in the output


class Again:
    """One detector over some frames."""

    def __init__(self, detector: Detector, took_part: bool) -> None:
        self._detector = detector
        dlib = isinstance(detector, DlibHog)
        self._sure, self._usual = (SURE, USUAL) if dlib else (SURE_OTHER, USUAL_OTHER)
        self.tally = Tally(detector.name, took_part)

    def add(self, faces: Sequence[Face], source: ByteArray, output: ByteArray) -> None:
        """(h, w, 3) RGB of both. Nothing is looked at where there is no face."""
        if not faces:
            return
        before, after = (self._detector.detect([picture])[0] for picture in (source, output))
        for face in faces:
            self.tally.faces += 1
            if any(d.score >= self._sure and _on(d, face) for d in before):
                self.tally.found += 1
                self.tally.still += any(d.score >= self._usual and _on(d, face) for d in after)


def _on(found: Detection, face: Face) -> bool:
    """Whether the middle of the detection lies in the face's box."""
    x, y = (found.box[0] + found.box[2]) / 2, (found.box[1] + found.box[3]) / 2
    return bool(face.box[0] <= x <= face.box[2] and face.box[1] <= y <= face.box[3])
