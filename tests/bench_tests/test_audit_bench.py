"""The audit's bench: its clips, its strengths, its table."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from tests.bench.audit import CLIPS, STRENGTHS, row, table
from vidanon.audit.rates import Compared, Rate
from vidanon.config import load_config

HALF, NONE = Rate(0.5, 0.2, 0.8, 5, 10), Rate(0.0, 0.0, 0.3, 0, 10)


def test_strengths_are_settings_and_rise_to_the_default() -> None:
    default = load_config(None, {}).protect
    for mode, strengths in STRENGTHS.items():
        made = [load_config(None, {"protect.mode": mode, **s}).protect for s in strengths.values()]
        assert list(strengths) == ["weak", "middle", "default"]
        assert made[-1] == default.model_copy(update={"mode": mode})
        key = "mask_scale" if mode == "mask" else "blur"
        values = [getattr(settings, key) for settings in made]
        assert values == sorted(values) and len(set(values)) == 3


@pytest.mark.parametrize("name", CLIPS)
def test_clips_move_and_have_one_size(name: str, test_data: Path) -> None:
    frames = list(islice(CLIPS[name](test_data, 8), 8))
    assert len(frames) == 8 and len({f.shape for f in frames}) == 1
    assert frames[0].dtype == np.uint8 and not frames[0].shape[0] % 2 and not frames[0].shape[1] % 2
    assert np.abs(frames[0].astype(int) - frames[7]).mean() > 0.5


def test_the_table_has_a_cell_for_everything() -> None:
    class Judge:
        same_frame = {0.01: Compared(HALF, NONE, None, stranger=NONE)}
        rank = {1: Compared(NONE, NONE)}
        parrot: dict[int, Compared] = {}

    class Result:
        judges = [Judge(), Judge()]
        passed = False

        class picture:  # noqa: N801
            clear = 7

    made = row("sign", "blur", "weak", Result())  # type: ignore[arg-type]
    assert made == ["sign", "blur weak", "**failed**", *2 * ["50 / 0 / 0", "0 / 0", "-"], "7"]
    lines = table(["a", "b"], [made]).splitlines()
    assert len({line.count("|") for line in lines}) == 1 and lines[1].startswith("| --- |")
