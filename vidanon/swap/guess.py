"""How a source face is likely to be read, from a few shots of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidanon.recognise.base import Recogniser
from vidanon.swap.attributes import Attributes, Look
from vidanon.swap.audition import Guess
from vidanon.swap.cast import Shot, aligned


def guesser(recogniser: Recogniser, attributes: Attributes) -> Guess:
    """recogniser: the one whose embeddings ``attributes`` reads."""

    def guess(shots: Sequence[Shot]) -> Look:
        crops = np.stack([aligned(shot.patch, shot.mesh, recogniser) for shot in shots])
        return attributes.guess(recogniser.embed(crops), crops)

    return guess
