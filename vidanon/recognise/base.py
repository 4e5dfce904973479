"""What a face recogniser is: aligned patches in, embeddings out, and a description that says how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from vidanon.types import ByteArray, FloatArray

#: Eye on the picture's left, other eye, nose, mouth left, mouth right: px in a square crop, pixel centres at integers.
ARCFACE_112 = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
DLIB_150 = ((47.55, 46.6), (100.48, 46.6), (74.01, 76.56), (50.41, 103.02), (97.61, 103.02))


@dataclass(frozen=True)
class Description:
    """How one recogniser is used, and where its thresholds come from."""

    name: str
    size: int  #: side of its square crop, px
    template: tuple[tuple[float, float], ...]  #: (5, 2): where the five landmarks lie in the crop (see above)
    channels: Literal["rgb", "bgr"] = "rgb"
    #: the network takes ``(pixel - offset) / scale`` of pixels 0..255
    offset: float = 0.0
    scale: float = 1.0
    metric: Literal["cosine", "l2"] = "cosine"  #: cosine of unit embeddings, or distance of embeddings as they come
    #: share of false accepts -> least similarity that is a match (a distance negated), as :func:`similarities` gives it
    thresholds: Mapping[float, float] = field(default_factory=dict)
    measured_on: str = ""  #: where the thresholds were measured
    licence: str = ""
    sha256: str = ""  #: of the file it was loaded from: what tells one recogniser from another, whatever its name
    teachers: tuple[str, ...] = ()  #: names of the recognisers it was distilled from


class Recogniser(Protocol):
    """One network that tells faces apart."""

    @property
    def description(self) -> Description: ...

    def embed(self, patches: ByteArray) -> FloatArray:
        """(N, size, size, 3) uint8 RGB crops, aligned to the template -> (N, D) float32, of unit norm for "cosine".

        Raises ValueError for another shape or type. N = 0 gives (0, D).
        """
        ...


def similarities(description: Description, a: FloatArray, b: FloatArray) -> FloatArray:
    """(N, D) and (M, D) embeddings -> (N, M) float32: larger is more alike (cosine, or the L2 distance negated)."""
    if description.metric == "cosine":
        return np.asarray(a @ b.T, np.float32)
    squared = (a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * (a @ b.T)
    return np.asarray(-np.sqrt(squared.clip(min=0)), np.float32)


def threshold(description: Description, far: float) -> float:
    """The least similarity that is a match at ``far`` (.01 = 1 % false accepts).

    Raises KeyError where the description has no such threshold.
    """
    return description.thresholds[far]
