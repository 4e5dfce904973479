"""Whatever the times and wherever the cuts: every picture is in the file, at its own time, in its own order."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import example, given, settings
from hypothesis import strategies as st
from writekit import cut, frames, shown, write

from vidanon.config import EncodeSettings

MARKS = 16  # pictures told apart by their brightness


@st.composite
def timelines(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """pts in 1/12800 s, rising but otherwise anyhow, and the lengths of segments."""
    gaps = draw(st.lists(st.sampled_from([1, 2, 37, 512, 513, 6400, 128_000]), min_size=1, max_size=24))
    start = draw(st.sampled_from([0, 1, 5, 512, 64_000, 10**9]))
    pts = [start + sum(gaps[:n]) for n in range(len(gaps))]
    lengths, left = [], len(pts)
    while left:
        lengths.append(draw(st.integers(1, left)))
        left -= lengths[-1]
    return pts, lengths


@settings(max_examples=40, deadline=None)
@given(timelines(), st.sampled_from([".mp4", ".mov", ".mkv"]), st.sampled_from(["libx264", "libvpx-vp9"]))
@example(([0, 1, 2, 515, 1027, 1028, 1029], [1, 3, 1, 2]), ".mp4", "libx264")  # a key picture near the end of a rush
def test_every_picture_at_its_time(timeline: tuple[list[int], list[int]], extension: str, encoder: str) -> None:
    pts, lengths = timeline
    if extension == ".mov":
        encoder = "libx264"
    clip = frames(len(pts), 32, 32, pts=pts)
    for n, frame in enumerate(clip):
        for plane in frame.planes:
            plane[:] = 128
        frame.planes[0][:] = 20 + 12 * (n % MARKS)
    with TemporaryDirectory() as folder:
        final = Path(folder) / f"out{extension}"
        source = Path(folder) / "none.mp4"
        write_without_sound(final, cut(clip, *lengths), source, encoder)
        pictures = shown(final)
    tolerance = Fraction(1, 2000) if extension == ".mkv" else 0
    assert len(pictures) == len(pts)
    for n, (picture, tick) in enumerate(zip(pictures, pts, strict=True)):
        assert abs(picture.pts * picture.time_base - Fraction(tick, 12_800)) <= tolerance
        assert abs(int(picture.to_ndarray()[:32].mean()) - (20 + 12 * (n % MARKS))) <= 4


def write_without_sound(final: Path, segments: list, source: Path, encoder: str) -> None:
    """The source is opened for its sound alone: a file without any."""
    from writekit import make_source

    make_source(source, (), 0.2)
    write(final, segments, source, EncodeSettings(encoder=encoder, audio=False))
