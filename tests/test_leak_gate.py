"""Planted leaks: every way a clear face could reach the output is tried, and none may.

A protector, a stage or an encoder is sabotaged; the run must end with an output that shows no face, or with an
error and no output at all. The judge is not the gate's own code: it decodes the file with PyAV and correlates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from vidanon import render as render_module
from vidanon.config import RunConfig, load_config
from vidanon.errors import LeakError, VidanonError
from vidanon.likeness import Likeness
from vidanon.media.encode import EncodedSegment, SegmentEncoder
from vidanon.media.sink import open_sink
from vidanon.media.source import open_source
from vidanon.protect.base import Protector, TrackStates
from vidanon.protect.obscure import Mask
from vidanon.recognise.base import ARCFACE_112, Description
from vidanon.render import Renderer
from vidanon.track.plan import Plan
from vidanon.types import (
    ByteArray,
    FaceBatch,
    FloatArray,
    PlanInfo,
    PlanRow,
    Protected,
    ProtectedFrame,
    RowState,
    RunReport,
)
from vidanon.verify import KNOWN, Eyes

skimage_data = pytest.importorskip("skimage.data")

FRAMES, WIDTH, HEIGHT, SIDE = 60, 320, 180, 64
CLEAR = 0.5  #: correlation with the face above which a region counts as clear


def place(track: int, frame: int) -> tuple[int, int]:
    """Top left corner of a face."""
    return 20 + track * 90 + frame // 2, 40 + 10 * track + frame // 3


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """The face of the public-domain portrait in scikit-image, (SIDE, SIDE) luma, 0-255."""
    portrait = cv2.cvtColor(skimage_data.astronaut(), cv2.COLOR_RGB2GRAY)[66:206, 160:290]
    return cv2.resize(portrait, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory, face: np.ndarray) -> Path:
    """Two faces (tracks 1 and 2) moving over grey noise."""
    path = tmp_path_factory.mktemp("clip") / "faces.mp4"
    noise = np.random.default_rng(0).normal(0, 3, (HEIGHT, WIDTH))
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=25, options={"crf": "12", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt, stream.time_base = WIDTH, HEIGHT, "yuv420p", Fraction(1, 25)
        for index in range(FRAMES):
            picture = np.clip(120 + noise, 0, 255).astype(np.uint8)
            for track in (1, 2):
                x, y = place(track, index)
                picture[y : y + SIDE, x : x + SIDE] = face
            yuv = np.vstack([picture, np.full((HEIGHT // 2, WIDTH), 128, np.uint8)])
            frame = av.VideoFrame.from_ndarray(yuv, "yuv420p")
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def rows() -> Iterator[PlanRow]:
    for index in range(FRAMES):
        for track in (1, 2):
            x, y = place(track, index)
            box = np.array([x, y, x + SIDE, y + SIDE], np.float32)
            marks = np.array([x, y] + np.array(ARCFACE_112) / 112 * SIDE, np.float32)
            yield PlanRow(index, track, box, marks, RowState.DETECTED, 1.0)


def render(
    clip: Path, output: Path, protector: Protector, likeness: Likeness | None = None, **settings: object
) -> RunReport:
    """The render pass over a known plan."""
    config: RunConfig = load_config(None, {"encode.segment_bytes": 20 * WIDTH * HEIGHT * 3 // 2, **settings})
    report = RunReport()
    with (
        open_source(clip, config.limits) as source,
        open_sink(output, clip, source.info, config.encode) as sink,
        Plan() as plan,
    ):
        plan.add(rows())
        plan.finish(PlanInfo(WIDTH, HEIGHT, FRAMES, 0, 0, ("known",)))
        encoder = SegmentEncoder(output, source.info, config.encode)
        Renderer(plan, protector, encoder, sink, Eyes(None, likeness), config, report, "cpu").run(
            source.frames(), lambda done: None
        )
        sink.finish()
    return report


def clear_faces(output: Path, face: np.ndarray) -> int:
    """Face-frames of the output in which the face's fine structure can still be seen."""
    reference = face.astype(np.float64) - cv2.GaussianBlur(face.astype(np.float64), (0, 0), SIDE / 24)
    clear = seen = 0
    with av.open(str(output)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            luma = frame.to_ndarray(format="gray").astype(np.float64)
            for track in (1, 2):
                x, y = place(track, index)
                region = luma[y : y + SIDE, x : x + SIDE]
                region = region - cv2.GaussianBlur(region, (0, 0), SIDE / 24)
                if region.std() > 0.5:
                    clear += float(np.corrcoef(region.ravel(), reference.ravel())[0, 1]) > CLEAR
            seen += 1
    assert seen == FRAMES
    return clear


class Sabotaged(Protector):
    """A proper mask, and then something goes wrong with the batch's answer."""

    name = "sabotaged"

    def __init__(self, spoil: Callable[[FaceBatch, Protected], Protected]) -> None:
        self._mask = Mask(load_config(None, {}).protect)
        self._spoil = spoil

    def __call__(self, batch: FaceBatch, states: TrackStates) -> tuple[Protected, TrackStates]:
        protected, states = self._mask(batch, states)
        return self._spoil(batch, replace(protected, patches=protected.patches.clone())), states


def source_patches(batch: FaceBatch, face: torch.Tensor) -> torch.Tensor:
    """What the batch would hold if a protector passed the source through (mode mask gathers no pixels)."""
    out = torch.zeros_like(batch.patches)
    for i, box in enumerate(batch.boxes.round().astype(int)):
        x0, y0, x1, y1 = box.tolist()
        size = (y1 - y0, x1 - x0)
        out[i, :, y0:y1, x0:x1] = torch.nn.functional.interpolate(face[None, None], size=size, mode="area")[0]
    return out


def clear_where(face: np.ndarray, choose: Callable[[int, int], bool], sigma: float = 0.0) -> Protector:
    """Faces for which ``choose(frame, track)`` holds are passed through, blurred by ``sigma`` px of the face."""
    picture = face.astype(np.float32) / 255
    if sigma:
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    shown = torch.from_numpy(picture)

    def spoil(batch: FaceBatch, good: Protected) -> Protected:
        clear = source_patches(batch, shown)
        for i, (frame, track) in enumerate(zip(batch.frames, batch.tracks, strict=True)):
            if choose(frame, track):
                good.patches[i] = clear[i]
        return good

    return Sabotaged(spoil)


def masks(change: Callable[[torch.Tensor], torch.Tensor]) -> Protector:
    return Sabotaged(lambda batch, good: replace(good, masks=change(good.masks.clone())))


def hole(mask: torch.Tensor) -> torch.Tensor:
    size = mask.shape[-1]
    mask[:, :, size * 2 // 5 : size * 3 // 5, size * 2 // 5 : size * 3 // 5] = 0
    return mask


def patches(change: Callable[[torch.Tensor], torch.Tensor]) -> Protector:
    return Sabotaged(lambda batch, good: replace(good, patches=change(good.patches)))


def fails(batch: FaceBatch, good: Protected) -> Protected:
    raise RuntimeError("out of memory")


def refuses(batch: FaceBatch, good: Protected) -> Protected:
    return replace(good, ok=np.zeros(len(batch), np.bool_), reasons=("too small",) * len(batch))


PROTECTORS: dict[str, Callable[[np.ndarray], Protector]] = {
    "does nothing": lambda face: clear_where(face, lambda f, t: True),
    "one clear face among two": lambda face: clear_where(face, lambda f, t: t == 2),
    "one clear frame": lambda face: clear_where(face, lambda f, t: f == 37),
    "first frame clear": lambda face: clear_where(face, lambda f, t: f == 0),
    "last frame clear": lambda face: clear_where(face, lambda f, t: f == FRAMES - 1),
    "every tenth frame clear": lambda face: clear_where(face, lambda f, t: f % 10 == 3),
    "blurs lightly": lambda face: clear_where(face, lambda f, t: True, 1.0),
    "mask is empty": lambda face: masks(torch.zeros_like),
    "mask is half transparent": lambda face: masks(lambda m: m * 0.4),
    "mask has a hole": lambda face: masks(hole),
    "mask is shifted": lambda face: masks(lambda m: m.roll(m.shape[-1] // 2, -1)),
    "mask is not a number": lambda face: masks(lambda m: m * float("nan")),
    "patch is not a number": lambda face: patches(lambda p: p * float("nan")),
    "patch is infinite": lambda face: patches(lambda p: p + float("inf")),
    "raises": lambda face: Sabotaged(fails),
    "refuses every face": lambda face: Sabotaged(refuses),
    "answers too few": lambda face: Sabotaged(lambda b, good: replace(good, patches=good.patches[:-1])),
    "answers for another size": lambda face: Sabotaged(lambda b, good: replace(good, masks=good.masks[..., :-2])),
}


@pytest.mark.parametrize("fault", PROTECTORS)
def test_a_sabotaged_protector_shows_no_face(fault: str, clip: Path, face: np.ndarray, tmp_path: Path) -> None:
    output = tmp_path / "out.mp4"
    try:
        render(clip, output, PROTECTORS[fault](face))
    except Exception:
        assert list(tmp_path.iterdir()) == []
    else:
        assert clear_faces(output, face) == 0


def test_the_judge_sees_a_face_that_nobody_protected(clip: Path, face: np.ndarray, tmp_path: Path) -> None:
    """Without the gate the same sabotage leaks: so the gate is what catches it, and the judge is not blind."""
    output = tmp_path / "out.mp4"
    render(clip, output, clear_where(face, lambda f, t: f == 37), verify="off")
    assert clear_faces(output, face) == 2
    render(clip, output, clear_where(face, lambda f, t: True, 1.0), verify="off")
    assert clear_faces(output, face) > FRAMES


def test_what_failed_is_covered_and_counted(clip: Path, face: np.ndarray, tmp_path: Path) -> None:
    report = render(clip, tmp_path / "out.mp4", clear_where(face, lambda f, t: f == 37))
    assert report.segments_retried == 1
    assert report.covered == {"detail of the face survived": 2}
    assert report.faces == 2 * FRAMES


class Coarse:
    """A recogniser that knows a face by 6x6 means: what a blur leaves, and a solid fill does not."""

    description = Description("coarse", 112, ARCFACE_112, thresholds={0.01: 0.8})

    def embed(self, patches: ByteArray) -> FloatArray:
        small = np.stack([cv2.resize(p, (6, 6), interpolation=cv2.INTER_AREA) for p in patches]).mean(3)
        flat = small.reshape(len(patches), -1).astype(np.float32)
        flat -= flat.mean(1, keepdims=True)
        return np.asarray(flat / np.linalg.norm(flat, axis=1, keepdims=True).clip(1e-6), np.float32)


def test_a_face_that_is_still_recognised_is_covered(clip: Path, face: np.ndarray, tmp_path: Path) -> None:
    """A blur that leaves no fine structure, but the person: only the recogniser sees that."""
    blurred = clear_where(face, lambda f, t: t == 2, SIDE / 12)
    assert render(clip, tmp_path / "blind.mp4", blurred).covered == {}
    report = render(clip, tmp_path / "out.mp4", blurred, Likeness(Coarse()))
    assert report.covered == {KNOWN: FRAMES}
    assert report.faces == 2 * FRAMES


def spoilt_encoder(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[EncodedSegment, SegmentEncoder], EncodedSegment]
) -> None:
    encode = SegmentEncoder.encode

    def spoilt(self: SegmentEncoder, frames: Iterator[ProtectedFrame]) -> EncodedSegment:
        return change(encode(self, frames), self)

    monkeypatch.setattr(render_module.SegmentEncoder, "encode", spoilt)


def test_a_lost_picture_is_noticed(monkeypatch: pytest.MonkeyPatch, clip: Path, tmp_path: Path) -> None:
    spoilt_encoder(monkeypatch, lambda segment, encoder: replace(segment, packets=segment.packets[:-1]))
    with pytest.raises(VidanonError):
        render(clip, tmp_path / "out.mp4", Mask(load_config(None, {}).protect))
    assert list(tmp_path.iterdir()) == []


def test_pictures_one_frame_late_are_noticed(monkeypatch: pytest.MonkeyPatch, clip: Path, tmp_path: Path) -> None:
    def late(segment: EncodedSegment, encoder: SegmentEncoder) -> EncodedSegment:
        step = sorted(packet.pts for packet in segment.packets)
        return replace(segment, packets=tuple(replace(p, pts=p.pts + step[1] - step[0]) for p in segment.packets))

    spoilt_encoder(monkeypatch, late)
    with pytest.raises(LeakError):
        render(clip, tmp_path / "out.mp4", Mask(load_config(None, {}).protect))
    assert list(tmp_path.iterdir()) == []


STAGES = ["gather", "blend", "split", "decode_segment", "verify", "segments", "first_treatment", "face_luma"]


@pytest.mark.parametrize("stage", STAGES)
def test_a_fault_at_any_stage_leaves_nothing(
    stage: str, monkeypatch: pytest.MonkeyPatch, clip: Path, tmp_path: Path
) -> None:
    """The fault strikes in the middle of the run, after segments have been committed to the temporary file."""
    real = getattr(render_module, stage)
    calls = 0

    def faulty(*args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls > 1 or stage == "segments":
            raise OSError("injected")
        return real(*args, **kwargs)

    monkeypatch.setattr(render_module, stage, faulty)
    with pytest.raises((OSError, VidanonError)):
        render(clip, tmp_path / "out.mp4", Mask(load_config(None, {}).protect))
    assert list(tmp_path.iterdir()) == []


class Ways(Protector):
    """Shows a face in one way after the other, each time it is told that somebody still knows it."""

    name = "ways"

    def __init__(self, ways: Sequence[Protector]) -> None:
        self._ways = ways
        self.drawn: list[tuple[int, int, int]] = []  #: (frame, track, way)

    def __call__(self, batch: FaceBatch, states: TrackStates) -> tuple[Protected, TrackStates]:
        tried = [way(batch, {})[0] for way in self._ways]
        which = [states.get(track, 0) for track in batch.tracks]
        self.drawn += zip(batch.frames, batch.tracks, which, strict=True)
        patches, marks = (
            torch.stack([getattr(tried[w], name)[i] for i, w in enumerate(which)]) for name in ("patches", "masks")
        )
        return replace(tried[0], patches=patches, masks=marks), states

    def rejected(self, tracks: Sequence[int], states: TrackStates) -> tuple[frozenset[int], TrackStates]:
        again = frozenset(t for t in tracks if states.get(t, 0) + 1 < len(self._ways))
        return again, {**states, **{t: states.get(t, 0) + 1 for t in again}}


def test_a_track_goes_on_in_the_way_that_passed(clip: Path, face: np.ndarray, tmp_path: Path) -> None:
    blurred = clear_where(face, lambda f, t: True, SIDE / 12)
    protector = Ways([blurred, blurred, Mask(load_config(None, {}).protect)])
    report = render(clip, tmp_path / "out.mp4", protector, Likeness(Coarse()))
    assert report.covered == {}
    assert report.faces == 2 * FRAMES
    last = {(frame, track): way for frame, track, way in protector.drawn}
    assert last == {(frame, track): 2 for frame in range(FRAMES) for track in (1, 2)}
    assert clear_faces(tmp_path / "out.mp4", face) == 0
    later = [way for frame, _, way in protector.drawn if frame >= 40]
    assert set(later) <= {0, 2} and later.count(0) <= 2 * 20  # drawn ahead at most once before the change was known


def test_a_track_without_another_way_is_covered_in_every_segment(clip: Path, face: np.ndarray, tmp_path: Path) -> None:
    blurred = clear_where(face, lambda f, t: t == 2, SIDE / 12)
    report = render(clip, tmp_path / "out.mp4", Ways([blurred, blurred]), Likeness(Coarse()))
    assert report.covered == {KNOWN: FRAMES}
    assert report.faces == 2 * FRAMES
