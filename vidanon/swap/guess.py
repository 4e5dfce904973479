"""How a source face is likely to be read, from a few shots of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidanon.recognise.base import Recogniser
from vidanon.swap.attributes import Attributes, Look
from vidanon.swap.audition import Guess
from vidanon.swap.cast import Shot, aligned
from vidanon.types import ByteArray

_WHITE = 225.0  #: what the brightest parts of a portrait have
_MOST = 2.5  #: gain


def guesser(recogniser: Recogniser, attributes: Attributes) -> Guess:
    """recogniser: the one whose embeddings ``attributes`` reads."""

    def guess(shots: Sequence[Shot]) -> Look:
        crops = np.stack([aligned(shot.patch, shot.mesh, recogniser) for shot in shots])
        return attributes.guess(recogniser.embed(crops), _lit(crops))

    return guess


def _lit(crops: ByteArray) -> ByteArray:
    """The crops as bright as portraits are: in footage that is dark as a whole, skin is not."""
    brightest = max(float(np.percentile(crops.max(-1), 97)), 1.0)
    gain = np.clip(_WHITE / brightest, 1.0, _MOST)
    return np.asarray(np.clip(crops * gain, 0, 255), np.uint8)
