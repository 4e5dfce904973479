from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vidanon.media.timing import Clock

MS = Fraction(1, 1000)


def run(stamps, rate=Fraction(25), time_base=MS):
    clock = Clock(time_base, rate)
    return [clock.stamp(pts, dts) for pts, dts in stamps], clock


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=40), st.integers(-(10**6), 10**6))
def test_what_is_in_order_is_left_exactly_alone(steps, start):
    pts = np.cumsum([start, *steps]).tolist()
    out, clock = run([(p, None) for p in pts])
    assert out == pts and clock.remarks() == []


@given(st.lists(st.tuples(st.none() | st.integers(-500, 5000), st.none() | st.integers(-500, 5000)), max_size=60))
def test_times_always_rise_and_repeat(stamps):
    out, clock = run(stamps)
    assert all(b > a for a, b in zip(out, out[1:], strict=False))
    assert run(stamps)[0] == out


def test_a_double_time_moves_by_one_tick():
    out, clock = run([(0, 0), (40, 40), (40, 80), (80, 120), (120, 160)])
    assert out == [0, 40, 41, 80, 120] and clock.nudged == 1


def test_missing_times_are_filled_in():
    out, clock = run([(100, None), (None, None), (None, None), (220, None)])
    assert out == [100, 140, 180, 220] and clock.interpolated == 2


def test_containers_without_presentation_times_give_decoding_times():
    out, clock = run([(None, 3), (None, 4), (None, 6)], time_base=Fraction(1, 25))
    assert out == [3, 4, 6] and clock.interpolated == 0


def test_joined_recordings_go_on_after_each_other():
    out, clock = run([(p, p) for p in (5000, 5040, 5080, 1000, 1040, 1080, 0, 40)])
    assert out == [5000, 5040, 5080, 5120, 5160, 5200, 5240, 5280] and clock.joins == 2


def test_times_in_decoding_order_keep_the_length():
    """A broken muxer wrote decoding times as presentation times, B-frames among them."""
    shown = [0, 120, 40, 80, 240, 160, 200, 360, 280, 320, 480, 400, 440, 600, 520, 560]
    out, clock = run([(3 * p, 120 + 120 * i) for i, p in enumerate(shown)])
    assert clock.joins == 0 and out[-1] <= 120 * len(shown) + 360
    assert np.diff(out[8:]).tolist() == [120] * 7


def test_gaps_are_counted_only_where_the_timeline_is_even():
    even = [t for t in range(0, 4000, 40) if t not in (800, 2400)]
    assert run([(t, None) for t in even])[1].gaps == 2
    jitter = [t + (t // 40 % 5) * 6 for t in range(0, 4000, 40)]
    assert run([(t, None) for t in jitter])[1].gaps == 0
    assert run([(t, None) for t in range(0, 4000, 40)])[1].gaps == 0


def test_memory_is_bounded():
    clock = Clock(MS, None)
    t = 0
    for step in range(1, 500):
        t += step
        clock.stamp(t, None)
    assert len(clock._intervals) <= 64 and clock.gaps == 0
