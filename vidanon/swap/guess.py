"""How a source face is likely to be read, from a few shots of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidanon.faces.mesh_points import five
from vidanon.swap.attributes import Attributes, Backbone, Look, features, views
from vidanon.swap.audition import Guess
from vidanon.swap.base import Shot
from vidanon.swap.cast import eight_bit
from vidanon.types import ByteArray

_WHITE = 225.0  #: what the brightest parts of a portrait have
_MOST = 2.5  #: gain
_CAST = 0.5  #: how much of a colour cast is taken out: it may be the skin's own colour


def guesser(backbone: Backbone, attributes: Attributes) -> Guess:
    """backbone: the one that ``attributes`` was made for, the student."""

    def guess(shots: Sequence[Shot]) -> Look:
        seen = np.stack([views(eight_bit(shot.patch), five(shot.mesh)[:, :2]) for shot in shots])
        return attributes.guess(features(backbone, seen), _lit(seen[:, 0]))

    return guess


def _lit(crops: ByteArray) -> ByteArray:
    """The crops as bright as portraits are, the light less coloured: in dark or warm footage skin is not darker."""
    colour = np.maximum(np.percentile(crops.reshape(-1, 3), 99, axis=0), 1.0)
    brightest = float(colour.max())
    gain = np.clip(_WHITE / brightest, 1.0, _MOST) * (brightest / colour) ** _CAST
    return np.asarray(np.clip(crops * gain, 0, 255), np.uint8)
