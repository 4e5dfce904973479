"""The types that travel along the data path. Frozen; arrays are not copied, so treat them as read-only.

Coordinates. Every box, landmark and transform is in *coded pixels* of its frame: the picture as the
decoder stores it, before display rotation and before the sample aspect ratio is applied. x to the
right, y down, pixel centres at +0.5, so a box ``(x0, y0, x1, y1)`` covers ``[x0, x1) x [y0, y1)``.
Detectors look at an upright, square-pixel RGB *view* (:class:`View`), and what they find is mapped back.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Orientation:
    """How a player turns the stored picture before showing it: flip, then rotate.

    ``hflip`` mirrors left-right first; then the picture is turned *clockwise* by ``rotation``
    degrees (0, 90, 180 or 270). These eight cover every lossless display matrix.
    """

    rotation: int = 0
    hflip: bool = False

    @property
    def swaps_axes(self) -> bool:
        return self.rotation in (90, 270)


@dataclass(frozen=True)
class Colour:
    """Colour tags, as the numbers of ITU-T H.273 (what libav calls them): 2 = unspecified."""

    matrix: int = 2  #: matrix coefficients: 1 BT.709, 5/6 BT.601, 9 BT.2020 nc, 0 RGB
    primaries: int = 2
    transfer: int = 2  #: 16 PQ, 18 HLG
    full_range: bool = False  #: True: 0..2^n-1, False: "tv" range


@dataclass(frozen=True)
class PixelFormat:
    """A planar layout the whole pipeline can read and write without loss.

    Name as in libav (``yuv420p10le``, ``gray``, ``gbrp`` ...). Luma (or G) is plane 0; no alpha, never packed.
    """

    name: str
    depth: int  #: bits per sample, 8..16; samples are uint8 for 8 and little-endian uint16 above
    chroma_shift_x: int  #: log2 of the horizontal chroma subsampling (4:2:0 -> 1)
    chroma_shift_y: int
    planes: int  #: 1 (gray) or 3
    rgb: bool = False  #: planes are G, B, R


@dataclass(frozen=True)
class Frame:
    """One decoded picture in the decoder's own planes."""

    planes: tuple[npt.NDArray[Any], ...]  #: each (H_p, W_p), uint8 or uint16; may be strided views
    format: PixelFormat
    colour: Colour
    index: int  #: 0-based count of shown frames from the start of the stream (not of the cut)
    pts: int  #: in units of time_base, exactly as in the container
    time_base: Fraction  #: seconds per tick
    orientation: Orientation = Orientation()
    sar: Fraction = Fraction(1)  #: sample aspect ratio, width / height of one pixel
    duration: int = 0  #: ticks, 0 where unknown
    interlaced: bool = False
    top_field_first: bool = False
    damaged: bool = False  #: the decoder reported concealed or corrupt data: covered whole

    @property
    def width(self) -> int:
        return int(self.planes[0].shape[1])

    @property
    def height(self) -> int:
        return int(self.planes[0].shape[0])

    @property
    def seconds(self) -> float:
        return float(self.pts * self.time_base)

    @property
    def nbytes(self) -> int:
        return sum(int(p.nbytes) for p in self.planes)


@dataclass(frozen=True)
class View:
    """What a detector sees of a frame: upright, square pixels, 8-bit RGB (tone-mapped where HDR)."""

    rgb: ByteArray  #: (h, w, 3) uint8, R first, C-contiguous
    to_coded: FloatArray  #: (2, 3): view pixel -> coded pixel
    index: int


@dataclass(frozen=True)
class Detection:
    """One face found in one picture."""

    box: FloatArray  #: (4,) x0 y0 x1 y1, px
    score: float  #: detector's own confidence, 0..1
    landmarks: FloatArray | None  #: (5, 2) px: eye on the picture's left, other eye, nose, mouth left, mouth right
    detector: str  #: "mtcnn", "yunet", ...


class RowState(enum.IntEnum):
    """Why a track has a box in a frame."""

    DETECTED = 0  #: a detector saw it here
    REFINED = 1  #: between detection frames, the track's own region was looked at again
    BRIDGED = 2  #: inside a gap, from both ends
    COASTING = 3  #: after the last hit
    BACKFILLED = 4  #: before the first hit
    IMPORTED = 5  #: from an edited plan
    ADDED = 6  #: by the leak gate, after looking at the output


class Action(enum.StrEnum):
    """What happens to a track."""

    PROTECT = "protect"
    KEEP = "keep"  #: left clear, only ever by the user's word
    COVER = "cover"  #: solid, whatever the mode


@dataclass(frozen=True)
class FacePose:
    """What a protector that draws a face has to know of it in one frame."""

    mesh: FloatArray  #: (468, 3) coded px, smoothed over time; NaN where there is none
    share: float  #: 1: drawn, 0: another protection, between: one goes over into the other
    reason: str = ""  #: why it is not wholly drawn
    #: where the eyes look, shares of an eye's width along and across it; NaN where not known
    gaze: tuple[float, float] = (float("nan"), float("nan"))
    room: float = 0.0  #: how far what is around the face may be moved, as a share: 0 beside another drawn face
    near: tuple[FloatArray, ...] = ()  #: (4,) each, coded px: places of others near it
    mouth_covered: bool = False  #: whether the cover of another face may reach into its mouth


@dataclass(frozen=True)
class PlanRow:
    """One track in one frame."""

    frame: int  #: Frame.index
    track: int  #: track id, 1, 2, ... in order of first appearance
    box: FloatArray  #: (4,) px, the face itself (forehead to chin, ear to ear), not yet scaled by mask_scale
    landmarks: FloatArray | None  #: (5, 2) px or None
    state: RowState
    confidence: float  #: 0..1
    pose: FacePose | None = None  #: given by the protector that needs it, never written to a plan


@dataclass(frozen=True)
class TrackInfo:
    """What is known of a whole track."""

    id: int
    first: int  #: first frame index with a row
    last: int  #: last frame index with a row (inclusive)
    seed: int  #: 63-bit, stable for the same input, seed and plan
    action: Action = Action.PROTECT
    hits: int = 0  #: rows with state DETECTED
    score: float = 0.0  #: best detection score


@dataclass(frozen=True)
class PlanInfo:
    """The head of a plan."""

    width: int
    height: int
    frames: int  #: number of frames analysed
    first_frame: int  #: index of the first one
    seed: int
    detectors: tuple[str, ...]
    mode: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1


@dataclass(frozen=True)
class FaceBatch:
    """Face patches of several frames and tracks, one canvas size, on one device."""

    patches: torch.Tensor  #: (N, 3, S, S) float32 RGB in [0, 1]
    to_frame: FloatArray  #: (N, 2, 3): patch pixel -> coded pixel
    boxes: FloatArray  #: (N, 4) px in patch coordinates: the face box inside the canvas
    landmarks: FloatArray  #: (N, 5, 2) px in patch coordinates, NaN where unknown
    tracks: tuple[int, ...]
    frames: tuple[int, ...]
    poses: tuple[FacePose | None, ...] = ()  #: (N,) coded px, or empty where no protector asked for them

    def __len__(self) -> int:
        return int(self.patches.shape[0])


@dataclass(frozen=True)
class Layer:
    """A face that was drawn, before it was merged with the source around it."""

    luma: FloatArray  #: (S, S) in [0, 1]
    inside: FloatArray  #: (S, S) in [0, 1]: 1 where nothing of the source's fine structure may be left
    face: FloatArray  #: (S, S) in [0, 1]: 1 where the face is, or its cover; with the rim that shows the source too


BLANK = "a recogniser knew the face, and only one colour of it is left"  #: why a face is not as the mode has it


@dataclass(frozen=True)
class Protected:
    """What a protector answers for a FaceBatch."""

    patches: torch.Tensor  #: (N, 3, S, S) float32 RGB in [0, 1]
    masks: torch.Tensor  #: (N, 1, S, S) float32 in [0, 1]: 1 where the patch replaces the frame
    ok: npt.NDArray[np.bool_]  #: (N,) False: this face is to be covered instead
    reasons: tuple[str, ...]  #: (N,) "" where ok
    #: (N,) why a face was protected otherwise than the mode does, "" where it was not; empty: nowhere
    instead: tuple[str, ...] = ()
    layers: tuple[
        Layer | None, ...
    ] = ()  #: (N,) what was drawn, for a protector that keeps what lies around; empty: none
    #: (N,) whether nothing but one colour is left, so that there is nothing for a recogniser to know; None: nowhere
    blank: npt.NDArray[np.bool_] | None = None


PROTECTION_KEY = object()  #: only ``faces/blend.py`` and ``faces/cover.py`` may use it (a test looks)


class ProtectedFrame:
    """A frame that may be encoded. Only ``blend`` and ``cover`` can make one.

    It carries planes, timing and tags, and none of the side data of its source.
    """

    __slots__ = ("frame",)

    def __init__(self, frame: Frame, key: object) -> None:
        if key is not PROTECTION_KEY:
            raise TypeError("a ProtectedFrame is made by faces.blend or faces.cover only")
        self.frame = frame


@dataclass
class RunReport:
    """What happened: the JSON report and the closing summary. Filled by the run, written once."""

    mode: str = ""
    device: str = ""
    runtime: str = ""
    detectors: list[str] = field(default_factory=list)
    models: dict[str, str] = field(default_factory=dict)  #: name -> SHA-256
    seed: int = 0
    frames: int = 0
    frames_with_faces: int = 0
    frames_covered_whole: int = 0
    tracks: int = 0
    faces: int = 0  #: face-frames protected
    face_states: dict[str, int] = field(default_factory=dict)  #: RowState name -> face-frames
    kept: int = 0  #: face-frames left clear by the user's word
    covered: dict[str, int] = field(default_factory=dict)  #: reason -> face-frames covered instead of protected
    #: reason -> face-frames protected in another way than the mode's own (swap: pixelated)
    fallback_faces: dict[str, int] = field(default_factory=dict)
    fallbacks: list[str] = field(default_factory=list)  #: every weaker or other path taken, and why
    warnings: list[str] = field(default_factory=list)
    segments: int = 0
    segments_retried: int = 0
    verify: dict[str, Any] = field(default_factory=dict)
    #: one line per audio track: copied, transcoded and why, dropped and why
    audio: list[str] = field(default_factory=list)
    encoder: str = ""
    seconds: dict[str, float] = field(default_factory=dict)  #: stage -> seconds of wall clock
    fps: float = 0.0


def landmarks_or_nan(rows: Sequence[PlanRow]) -> FloatArray:
    """(N, 5, 2) float32, NaN where a row has no landmarks."""
    out = np.full((len(rows), 5, 2), np.nan, np.float32)
    for i, row in enumerate(rows):
        if row.landmarks is not None:
            out[i] = row.landmarks
    return out
