"""Planted leaks in mode swap: what is drawn looks like a face and lies where one was, so a leak hides better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.swap import swapkit
from vidanon.config import RunConfig, load_config
from vidanon.faces.blend import OPEN
from vidanon.likeness import Likeness
from vidanon.media.encode import SegmentEncoder
from vidanon.media.sink import open_sink
from vidanon.media.source import open_source
from vidanon.protect.obscure import Pixelate
from vidanon.protect.swap import Swap
from vidanon.recognise.base import ARCFACE_112, Description
from vidanon.render import Renderer
from vidanon.swap.cast import Role
from vidanon.swap.composite import Actor, Composer, Drawn
from vidanon.swap.gate import NO_DONOR
from vidanon.track.plan import Plan
from vidanon.types import (
    BLANK,
    ByteArray,
    FloatArray,
    PlanInfo,
    PlanRow,
    RunReport,
)
from vidanon.verify import Eyes

WIDTH, HEIGHT = 320, 180
PORTRAIT, SHOWN, LONG = 20, 176, 30  #: which donor is the source; px of its portrait; frames


def portrait() -> tuple[np.ndarray, np.ndarray]:
    """(SHOWN, SHOWN, 3) in [0, 1] and its mesh."""
    return swapkit.face(PORTRAIT, SHOWN)


def portrait_place(frame: int) -> tuple[int, int]:
    return 40 + 2 * frame, frame // 8


@pytest.fixture(scope="module")
def portrait_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A portrait that drifts over grey, as track 1."""
    path = tmp_path_factory.mktemp("clip") / "portrait.mp4"
    picture = np.rint(portrait()[0] * 255).astype(np.uint8)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "12", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt, stream.time_base = WIDTH, HEIGHT, "yuv420p", Fraction(1, 25)
        for index in range(LONG):
            whole = np.full((HEIGHT, WIDTH, 3), 110, np.uint8)
            x, y = portrait_place(index)
            whole[y : y + SHOWN, x : x + SHOWN] = picture[: HEIGHT - y, : WIDTH - x]
            frame = av.VideoFrame.from_ndarray(whole, "rgb24").reformat(format="yuv420p")
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def portrait_rows() -> list[PlanRow]:
    mesh = portrait()[1]
    return [swapkit.row_of(mesh + np.array([*portrait_place(i), 0], np.float32), i) for i in range(LONG)]


def render_swap(
    clip: Path,
    output: Path,
    composer: Composer,
    donors: tuple[int, ...] = (0, 9),
    likeness: Likeness | None = None,
    **settings: object,
) -> RunReport:
    """The render pass in mode swap over a known plan, in two segments."""
    half = LONG // 2 * WIDTH * HEIGHT * 3 // 2
    config: RunConfig = load_config(None, {"protect.mode": "swap", "encode.segment_bytes": half, **settings})
    report = RunReport()
    actors = swapkit.actors()
    role = Role(donors, actors[PORTRAIT].shape)
    finder = swapkit.KnownFinder(portrait()[1])
    cover = Pixelate(config.protect, 0)
    protector = Swap(config.swap, cover, finder, composer, actors, {1: role}, 0, 1.3)  # type: ignore[arg-type]
    with (
        open_source(clip, config.limits) as source,
        open_sink(output, clip, source.info, config.encode) as sink,
        Plan() as plan,
    ):
        plan.add(portrait_rows())
        plan.finish(PlanInfo(WIDTH, HEIGHT, LONG, 0, 0, ("known",)))
        encoder = SegmentEncoder(output, source.info, config.encode)
        Renderer(plan, protector, encoder, sink, Eyes(None, likeness), config, report, "cpu").run(
            source.frames(), lambda done: None
        )
        sink.finish()
    return report


def lumas(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="gray").astype(np.float64) for frame in container.decode(video=0)]


@pytest.fixture(scope="module")
def swapped(portrait_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """What an honest composer makes of the clip."""
    output = tmp_path_factory.mktemp("swapped") / "out.mp4"
    report = render_swap(portrait_clip, output, swapkit.composer())
    assert (report.covered, report.fallback_faces, report.segments_retried, report.faces) == ({}, {}, 0, LONG)
    return lumas(output)


def of_the_source(source: Path, output: Path, honest: list[np.ndarray]) -> np.ndarray:
    """(LONG,) how much of the source's fine structure there is beyond what a swap of that face has: a regression."""
    shares = []
    mesh = portrait()[1]
    inside = swapkit.oval(mesh, SHOWN, -9)[: HEIGHT - LONG // 8]
    rows, columns = np.nonzero(inside)
    for index, pictures in enumerate(zip(lumas(source), lumas(output), honest, strict=True)):
        x, y = portrait_place(index)
        fine = [p - cv2.GaussianBlur(p, (0, 0), 3.5) for p in pictures]
        before, after, other = (f[rows + y, columns + x] for f in fine)
        (share, _), *_ = np.linalg.lstsq(np.stack([before, other], 1), after, rcond=None)
        shares.append(float(share))
    assert len(shares) == LONG
    return np.array(shares)


class Spoilt(Composer):
    """Draws as it should; then something goes wrong."""

    def __init__(self, spoil: Callable[[int, FloatArray, Drawn], Drawn]) -> None:
        super().__init__(swapkit.finder())
        self._spoil = spoil
        self.calls = 0

    def draw(self, patch: FloatArray, *rest: Any, **named: Any) -> Drawn:
        drawn = super().draw(patch, *rest, **named)
        self.calls += 1
        return self._spoil(self.calls - 1, patch, drawn)


def shown(patch: FloatArray, drawn: Drawn) -> Drawn:
    return replace(drawn, patch=patch)


def and_says_so(patch: FloatArray, drawn: Drawn) -> Drawn:
    return replace(drawn, patch=patch, layer=replace(drawn.layer, luma=patch @ swapkit.LUMA))


def shifted(patch: FloatArray, drawn: Drawn) -> Drawn:
    step = patch.shape[0] // 4
    layer = replace(drawn.layer, luma=np.roll(drawn.layer.luma, step, 1), inside=np.roll(drawn.layer.inside, step, 1))
    moved, mask = np.roll(drawn.patch, step, 1), np.roll(drawn.mask, step, 1)
    return Drawn(np.where(mask[..., None] > 0, moved, patch).astype(np.float32), mask, layer)


def with_a_hole(patch: FloatArray, drawn: Drawn) -> Drawn:
    mask = drawn.mask.copy()
    size = mask.shape[0]
    mask[size * 2 // 5 : size * 3 // 5, size * 2 // 5 : size * 3 // 5] = 0
    return replace(drawn, mask=mask)


COMPOSERS: dict[str, Callable[[int, FloatArray, Drawn], Drawn]] = {
    "does nothing": lambda i, patch, drawn: shown(patch, drawn),
    "does nothing and says so": lambda i, patch, drawn: and_says_so(patch, drawn),
    "half the source": lambda i, patch, drawn: shown((patch + drawn.patch) / 2, drawn),
    "one frame in thirty": lambda i, patch, drawn: shown(patch, drawn) if i % 30 == 17 else drawn,
    "the first frame": lambda i, patch, drawn: shown(patch, drawn) if i == 0 else drawn,
    "beside the landmarks": lambda i, patch, drawn: shifted(patch, drawn),
    "mask has a hole": lambda i, patch, drawn: with_a_hole(patch, drawn),
    "mask is empty": lambda i, patch, drawn: replace(drawn, mask=np.zeros_like(drawn.mask)),
    "mask is half transparent": lambda i, patch, drawn: replace(drawn, mask=drawn.mask * np.float32(0.5)),
    "not a number": lambda i, patch, drawn: replace(drawn, patch=drawn.patch * np.float32("nan")),
    "says it drew nothing": lambda i, patch, drawn: replace(
        shown(patch, drawn), layer=replace(drawn.layer, inside=np.zeros_like(drawn.mask))
    ),
}


@pytest.mark.parametrize("fault", COMPOSERS)
def test_a_sabotaged_swap_shows_no_source(
    fault: str, portrait_clip: Path, swapped: list[np.ndarray], tmp_path: Path
) -> None:
    output = tmp_path / "out.mp4"
    report = render_swap(portrait_clip, output, Spoilt(COMPOSERS[fault]))
    assert np.abs(of_the_source(portrait_clip, output, swapped)).max() < 0.25
    assert sum(report.covered.values()) >= (1 if fault in ("one frame in thirty", "the first frame") else LONG)


def test_the_judge_sees_a_source_that_nobody_swapped(
    portrait_clip: Path, swapped: list[np.ndarray], tmp_path: Path
) -> None:
    """Without the gate the same sabotage leaks; what blend refuses does not even then."""
    output = tmp_path / "out.mp4"
    render_swap(portrait_clip, output, Spoilt(COMPOSERS["does nothing"]), verify="off")
    assert of_the_source(portrait_clip, output, swapped).min() > 0.6
    render_swap(portrait_clip, output, Spoilt(COMPOSERS["half the source"]), verify="off")
    assert 0.35 < np.median(of_the_source(portrait_clip, output, swapped)) < 0.65
    render_swap(portrait_clip, output, Spoilt(COMPOSERS["one frame in thirty"]), verify="off")
    seen = of_the_source(portrait_clip, output, swapped)
    assert (seen > 0.5).sum() == 1 and seen.argmax() == 17
    report = render_swap(portrait_clip, output, Spoilt(COMPOSERS["beside the landmarks"]), verify="off")
    assert np.abs(of_the_source(portrait_clip, output, swapped)).max() < 0.25
    assert report.covered == {OPEN: LONG}


def test_a_donor_that_is_the_source_is_no_swap(portrait_clip: Path, swapped: list[np.ndarray], tmp_path: Path) -> None:
    """Where the fine structure is not like enough to tell, the recogniser does."""
    eyes = Likeness(swapkit.student())
    report = render_swap(portrait_clip, tmp_path / "out.mp4", swapkit.composer(), (PORTRAIT,), eyes)
    assert sum(report.covered.values()) + sum(report.fallback_faces.values()) == LONG
    assert np.abs(of_the_source(portrait_clip, tmp_path / "out.mp4", swapped)).max() < 0.25


def test_a_composer_that_fails_leaves_nothing(portrait_clip: Path, tmp_path: Path) -> None:
    def fail(index: int, patch: FloatArray, drawn: Drawn) -> Drawn:
        if index == 20:
            raise RuntimeError("out of memory")
        return drawn

    with pytest.raises(RuntimeError):
        render_swap(portrait_clip, tmp_path / "out.mp4", Spoilt(fail))
    assert list(tmp_path.iterdir()) == []


class Knows:
    """A recogniser that knows whatever in the middle of a crop is finer than ``least``, and no solid fill."""

    description = Description("knows", 112, ARCFACE_112, thresholds={0.01: 0.5})

    def __init__(self, least: float) -> None:
        self._least = least

    def embed(self, patches: ByteArray) -> FloatArray:
        middle = patches[:, 45:80, 35:77].astype(np.float32).mean(3)
        fine = np.array([float(np.abs(m - cv2.GaussianBlur(m, (0, 0), 1.5)).mean()) for m in middle])
        return np.eye(2, dtype=np.float32)[(fine > self._least).astype(int)]


class Counting(Composer):
    """Remembers which donor was drawn, call by call."""

    def __init__(self) -> None:
        super().__init__(swapkit.finder())
        self.names: list[str] = []

    def draw(self, patch: FloatArray, mesh: FloatArray, offset: Any, actor: Actor, *rest: Any, **named: Any) -> Drawn:
        self.names.append(actor.donor.name)
        return super().draw(patch, mesh, offset, actor, *rest, **named)


def test_who_is_still_recognised_gets_the_next_donor_then_a_mosaic(
    portrait_clip: Path, swapped: list[np.ndarray], tmp_path: Path
) -> None:
    """A recogniser that knows every drawn face: the segment after goes on as the last one ended."""
    composer = Counting()
    plain = {"protect.texture": 0.0}
    report = render_swap(portrait_clip, tmp_path / "out.mp4", composer, likeness=Likeness(Knows(2.0)), **plain)
    first, second = (swapkit.donors()[d].name for d in (0, 9))
    order = list(dict.fromkeys(composer.names))
    assert order == [first, second]
    assert composer.names.count(second) == LONG // 2  # only in the first segment: the one after is pixelated at once
    assert report.covered == {}
    assert report.fallback_faces == {NO_DONOR: LONG}
    assert report.segments_retried == 2
    assert np.abs(of_the_source(portrait_clip, tmp_path / "out.mp4", swapped)).max() < 0.25


def test_who_is_recognised_even_then_becomes_blank(portrait_clip: Path, tmp_path: Path) -> None:
    plain = {"protect.texture": 0.0}
    report = render_swap(portrait_clip, tmp_path / "out.mp4", Counting(), likeness=Likeness(Knows(0.02)), **plain)
    assert report.covered == {}
    assert report.fallback_faces == {BLANK: LONG}
    assert report.segments_retried == 3
    for index, luma in enumerate(lumas(tmp_path / "out.mp4")):
        x, y = portrait_place(index)
        inside = swapkit.oval(portrait()[1], SHOWN, -4)[: HEIGHT - y]
        assert luma[y : y + SHOWN, x : x + SHOWN][inside[: HEIGHT - y]].std() < 2


def test_a_swap_that_nobody_recognises_keeps_its_donor(portrait_clip: Path, tmp_path: Path) -> None:
    composer = Counting()
    report = render_swap(portrait_clip, tmp_path / "out.mp4", composer, likeness=Likeness(swapkit.student()))
    assert set(composer.names) == {swapkit.donors()[0].name} and len(composer.names) == LONG
    assert (report.covered, report.fallback_faces, report.segments_retried) == ({}, {}, 0)
