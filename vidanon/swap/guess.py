"""How a source face is likely to be read, from a few shots."""

from __future__ import annotations
from collections.abc import Sequence
from vidanon.recognise.base import Recogniser
from vidanon.swap.audition import Guess
from vidanon.swap.cast import Attributes, Shot


def guesser(recogniser: Recogniser) -> Guess:
    def guess(shots: Sequence[Shot]) -> Attributes:
        return Attributes(0.5, 40.0, 30.0)

    return guess
