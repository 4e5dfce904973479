"""The analyse pass as a whole, with a detector that knows the truth."""

import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vidanon.analyse import analyse
from vidanon.config import RunConfig
from vidanon.errors import ModelError, VidanonError
from vidanon.track.plan import Plan
from vidanon.types import ByteArray, Detection, Frame, Orientation, PlanRow

sys.path.insert(0, str(Path(__file__).parent / "track"))
import trackkit  # noqa: E402

CONFIG = RunConfig.model_validate({"seed": 5, "detect": {"every": 5}})


@pytest.fixture
def plan() -> Iterator[Plan]:
    with Plan(seed=5) as made:
        yield made


def all_rows(plan: Plan) -> list[PlanRow]:
    return plan.rows(0, 1 << 40)


class Failing(trackkit.Oracle):
    """Raises in the frames that ``when`` names."""

    def __init__(self, clip: trackkit.Clip, when: Callable[[int], bool], error: Exception) -> None:
        super().__init__(clip)
        self._when, self._error = when, error

    def at(self, index: int) -> list[Detection]:
        if self._when(index):
            raise self._error
        return super().at(index)


CLIP = trackkit.Clip(
    60,
    {1: trackkit.straight(20, 20, 3, 0.5), 2: lambda i: trackkit.straight(240, 110, -2, 0, 28)(i) if i >= 37 else None},
    cuts=(37,),
)


def test_plan_of_a_clip(plan: Plan) -> None:
    done: list[int] = []
    stats = analyse(CLIP.frames(), trackkit.Oracle(CLIP), None, CONFIG, plan, workers=2, progress=done.append)
    assert (stats.frames, stats.scenes, stats.tracks, stats.unknown) == (60, 2, 2, 0)  # face 1 stays over the cut
    assert stats.rows == plan.counts()["rows"]
    assert done == sorted(done) and done[-1] == 60
    info = plan.info
    assert (info.width, info.height, info.frames, info.first_frame) == (320, 180, 60, 0)
    assert (info.seed, info.detectors, info.mode) == (5, ("oracle",), "swap")
    assert [t.id for t in plan.tracks()] == [1, 2]
    for index in range(60):
        for box in CLIP.truth(index).values():
            assert any(trackkit.covered(box, r.box) >= 0.95 for r in plan.rows(index, index + 1))


@pytest.mark.parametrize("workers", [1, 4])
def test_the_plan_does_not_depend_on_threads(plan: Plan, workers: int) -> None:
    class Jittery(trackkit.Oracle):
        def at(self, index: int) -> list[Detection]:
            time.sleep((index * 7919 % 13) / 2000)
            return super().at(index)

    analyse(CLIP.frames(), trackkit.Oracle(CLIP), None, CONFIG, plan, workers=1)
    with Plan(seed=5) as other:
        analyse(CLIP.frames(), Jittery(CLIP), None, CONFIG, other, workers=workers)
        assert plan.tracks() == other.tracks()
        for a, b in zip(all_rows(plan), all_rows(other), strict=True):
            assert (a.frame, a.track, a.state, a.confidence) == (b.frame, b.track, b.state, b.confidence)
            np.testing.assert_array_equal(a.box, b.box)


def test_turned_pictures_are_searched_upright_and_boxes_are_coded(plan: Plan) -> None:
    """A detector that marks the upper left corner of what it sees marks another corner of the coded picture."""

    class Corner(trackkit.Oracle):
        def detect(self, images: Sequence[ByteArray]) -> list[list[Detection]]:
            assert all(i.shape[:2] == (320, 180) for i in images)
            marks = np.array([[1, 2]] * 5, np.float32)
            return [[Detection(np.array([0, 0, 30, 40], np.float32), 0.9, marks, "oracle")] for _ in images]

    frames = (replace(f, orientation=Orientation(90)) for f in CLIP.frames())
    analyse(frames, Corner(CLIP), None, CONFIG, plan, workers=1)
    (row,) = plan.rows(0, 1)
    # Turned clockwise by 90 degrees, the upper left corner of the shown picture is the lower left of the coded one.
    np.testing.assert_allclose(row.box, [0, 150, 40, 180], atol=2.0)
    assert row.landmarks is not None
    np.testing.assert_allclose(row.landmarks[0], [2, 179], atol=1e-3)


def test_a_failed_look_makes_its_frames_unknown(plan: Plan) -> None:
    stats = analyse(
        CLIP.frames(), Failing(CLIP, lambda i: i == 20, RuntimeError("boom\nbang")), None, CONFIG, plan, workers=2
    )
    assert plan.unknown(0, 60) == set(range(16, 25))
    assert stats.unknown == 9
    assert (stats.failed, stats.failures) == (1, ["frame 20: boom bang"])


def test_many_failures_are_counted_and_the_first_told(plan: Plan) -> None:
    clip = trackkit.Clip(250, {})
    failing = Failing(clip, lambda i: i % 10 == 5, RuntimeError("boom"))
    stats = analyse(clip.frames(), failing, None, CONFIG, plan, workers=2)
    assert stats.failed == 25 and len(stats.failures) == 20
    # Of every ten frames only the one is known in which the detector succeeds.
    assert plan.unknown(0, 250) == set(range(250)) - {*range(0, 250, 10), 249}


def test_too_many_failures_stop_the_run(plan: Plan) -> None:
    before = threading.active_count()
    with pytest.raises(VidanonError, match="6 times in a row, last at frame 25: boom"):
        analyse(CLIP.frames(), Failing(CLIP, lambda i: True, ValueError("boom")), None, CONFIG, plan, workers=3)
    assert threading.active_count() == before


@pytest.mark.parametrize("error", [ModelError("altered"), MemoryError()])
def test_errors_that_say_what_they_are_stop_at_once(plan: Plan, error: Exception) -> None:
    with pytest.raises(type(error)):
        analyse(CLIP.frames(), Failing(CLIP, lambda i: i == 10, error), None, CONFIG, plan, workers=2)


def test_an_error_of_the_source_ends_the_threads(plan: Plan) -> None:
    def broken() -> Iterator[Frame]:
        yield from list(CLIP.frames())[:23]
        raise OSError("gone")

    before = threading.active_count()
    with pytest.raises(OSError, match="gone"):
        analyse(broken(), trackkit.Oracle(CLIP), None, CONFIG, plan, workers=2)
    assert threading.active_count() == before


def test_damaged_frames_are_unknown(plan: Plan) -> None:
    clip = trackkit.Clip(40, {1: trackkit.straight(20, 20, 3, 0.5)})
    clip.damaged = {7, 8, 20}
    stats = analyse(clip.frames(), trackkit.Oracle(clip), None, CONFIG, plan, workers=2)
    assert plan.unknown(0, 40) == {7, 8, 20}
    assert stats.unknown == 3
    assert len(plan.tracks()) == 1


def test_size_changes_inside_a_stream(plan: Plan) -> None:
    def frames() -> Iterator[Frame]:
        for i in range(40):
            size = (320, 180) if i < 18 else (200, 260)
            luma = trackkit.texture(int(i >= 18), *size, 20)
            box = np.array([40, 40, 80, 90]) if i < 18 else np.array([100, 120, 140, 170])
            trackkit.draw(luma, list(box), trackkit.texture(50, 64, 80, 7))
            yield trackkit.frame(luma, i)

    class Two(trackkit.Oracle):
        def at(self, index: int) -> list[Detection]:
            box = [40, 40, 80, 90] if index < 18 else [100, 120, 140, 170]
            return [Detection(np.array(box, np.float32), 0.99, None, "oracle")]

    stats = analyse(frames(), Two(CLIP), None, CONFIG, plan, workers=2)
    assert stats.scenes == 2
    assert [(t.first, t.last) for t in plan.tracks()] == [(0, 17), (18, 39)]


def test_no_frames_at_all(plan: Plan) -> None:
    stats = analyse(iter(()), trackkit.Oracle(CLIP), None, CONFIG, plan, workers=2)
    assert (stats.frames, plan.info.frames, all_rows(plan)) == (0, 0, [])


def test_a_stream_that_starts_later(plan: Plan) -> None:
    analyse(CLIP.frames(start=11), trackkit.Oracle(CLIP), None, CONFIG, plan, workers=2)
    assert plan.info.first_frame == 11 and plan.info.frames == 49
    assert min(r.frame for r in all_rows(plan)) == 11


def test_memory_does_not_grow_with_the_stream(plan: Plan) -> None:
    """Peak of what Python and NumPy hold, after 150 and after 450 frames with faces coming and going."""
    base = list(trackkit.Clip(60, {1: trackkit.straight(10, 40, 4, 0)}).frames())

    class Loop(trackkit.Oracle):
        def at(self, index: int) -> list[Detection]:
            box = np.array(trackkit.straight(10, 40, 4, 0)(index % 60), np.float32)
            return [Detection(box, 0.9, None, "oracle")]

    def peak(count: int) -> int:
        frames = (replace(base[i % 60], index=i, pts=i) for i in range(count))
        tracemalloc.start()
        with Plan(seed=1) as own:
            analyse(frames, Loop(CLIP), None, CONFIG, own, workers=2)
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return high

    assert peak(450) < 1.1 * peak(150) + 500_000


def test_the_refiner_is_asked_in_the_pixels_of_the_view(plan: Plan) -> None:
    """A face that the search loses is found again at its place, in a picture that is shown turned."""
    clip = trackkit.Clip(40, {1: trackkit.straight(100, 60, 1, 0)})
    turned = [replace(f, orientation=Orientation(180)) for f in clip.frames()]

    def shown(index: int) -> np.ndarray:
        x0, y0, x1, y1 = clip.truth(index)[1]
        return np.array([320 - x1, 180 - y1, 320 - x0, 180 - y0], np.float32)

    class Once(trackkit.Oracle):
        def detect(self, images: Sequence[ByteArray]) -> list[list[Detection]]:
            # The index marks of the upright clip are at the upper right here, upside down.
            found = [trackkit.index_of(np.ascontiguousarray(i[::-1, ::-1])) for i in images]
            return [[Detection(shown(i), 0.99, None, "oracle")] if i < 8 else [] for i in found]

    class Refiner:
        asked = 0

        def refine(self, images: Sequence[ByteArray], boxes: Sequence[np.ndarray]) -> list[list[Detection | None]]:
            answers: list[list[Detection | None]] = []
            for image, places in zip(images, boxes, strict=True):
                box = shown(trackkit.index_of(np.ascontiguousarray(image[::-1, ::-1])))
                assert np.abs(places - box).max() < 4.0
                self.asked += len(places)
                answers.append([Detection(box, 0.8, None, "refiner")])
            return answers

    refiner = Refiner()
    analyse(iter(turned), Once(clip), refiner, CONFIG, plan, workers=2)
    assert refiner.asked == 7
    for index in range(40):
        (row,) = plan.rows(index, index + 1)
        assert trackkit.covered(clip.truth(index)[1], row.box) >= 0.95
