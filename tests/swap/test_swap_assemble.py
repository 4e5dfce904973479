"""The swap as it is put together: what the config says reaches who has to know it."""

from __future__ import annotations

import numpy as np
import pytest

import vidanon.swap.assemble
from tests.swap import swapkit
from vidanon.config import load_config
from vidanon.swap.assemble import make_swap
from vidanon.swap.retouch import Retoucher
from vidanon.track.plan import Plan
from vidanon.types import RunReport


@pytest.mark.parametrize("wanted", [True, False])
def test_whether_glasses_are_worn_is_a_setting(monkeypatch, wanted: bool):
    made: list[Retoucher] = []

    def kept(*arguments) -> Retoucher:
        made.append(Retoucher(*arguments))
        return made[-1]

    monkeypatch.setattr(vidanon.swap.assemble, "Retoucher", kept)
    config = load_config(None, {} if wanted else {"swap.glasses": False})
    with Plan() as plan:
        make_swap([], plan, None, config, swapkit.runtime(), RunReport())  # type: ignore[arg-type]
    search = made[0]._begun(swapkit.actors()[0], np.random.default_rng(0))
    assert (search.pair is not None) == wanted
