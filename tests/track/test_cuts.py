import cv2
import numpy as np
import pytest
import trackkit

from vidanon.track.cuts import Cut, CutDetector, Thumb, change, thumb_of
from vidanon.track.flow import luma_of
from vidanon.track.looks import looks


def thumb(luma: np.ndarray) -> Thumb:
    frame = trackkit.frame(luma, 0)
    return thumb_of(frame, luma_of(frame).image)


def judged(pictures: list[np.ndarray]) -> list[Cut]:
    thumbs = [thumb(p) for p in pictures]
    judge = CutDetector()
    return [judge.judge(a, b, c) for a, b, c in zip(thumbs[:-1], thumbs[1:], [*thumbs[2:], None], strict=True)]


SCENES = [trackkit.texture(s, 320, 180, 12) for s in range(6)]


def test_hard_cuts_are_found_and_nothing_else() -> None:
    pictures = [SCENES[i // 5] for i in range(30)]
    cuts = judged(pictures)
    assert [i + 1 for i, c in enumerate(cuts) if c == Cut.CUT] == [5, 10, 15, 20, 25]
    assert sum(c != Cut.NONE for c in cuts) == 5


def test_a_cut_at_the_last_frame() -> None:
    assert judged([SCENES[0], SCENES[0], SCENES[1]])[-1] == Cut.CUT


def test_a_flash_is_no_cut() -> None:
    flash = np.clip(SCENES[0].astype(int) + 120, 0, 255).astype(np.uint8)
    cuts = judged([SCENES[0]] * 5 + [flash] + [SCENES[0]] * 5)
    assert Cut.CUT not in cuts


def test_a_white_frame_is_no_cut() -> None:
    cuts = judged([SCENES[0]] * 5 + [np.full_like(SCENES[0], 250)] + [SCENES[0]] * 5)
    assert cuts.count(Cut.CUT) == 0
    assert Cut.DOUBT in cuts


def test_fade_to_black_and_back() -> None:
    gains = [1 - i / 20 for i in range(20)] + [i / 20 for i in range(21)]
    assert Cut.CUT not in judged([(SCENES[0] * g).astype(np.uint8) for g in gains])


def test_a_steady_pan_costs_no_endless_looks() -> None:
    wide = trackkit.texture(9, 2000, 180, 60)
    cuts = judged([np.ascontiguousarray(wide[:, 12 * i : 12 * i + 320]) for i in range(100)])
    assert Cut.CUT not in cuts
    assert sum(c == Cut.DOUBT for c in cuts) <= 5


def test_a_moving_face_is_no_cut() -> None:
    clip = trackkit.Clip(20, {1: trackkit.straight(20, 20, 8, 2, 100)})
    assert set(judged([f.planes[0] for f in clip.frames()])) == {Cut.NONE}


def test_another_size_is_a_cut() -> None:
    small = cv2.resize(SCENES[0], (160, 90))
    assert change(thumb(SCENES[0]), thumb(small)) == float("inf")


@pytest.mark.parametrize(("fps", "every"), [(10, 3), (25, 7), (30, 8), (50, 14), (60, 16), (120, 16)])
def test_how_often_frames_are_searched(fps: int, every: int) -> None:
    clip = trackkit.Clip(61, {}, fps=fps)
    found = [look.frame.index for look in looks(clip.frames(), None)]
    assert found == sorted({*range(0, 61, every), 60})


def test_looks_hold_every_frame_once_and_both_sides_of_cuts() -> None:
    clip = trackkit.Clip(43, {}, cuts=(7, 8, 30))
    clip.damaged = {12}
    made = list(looks(clip.frames(), 5))
    assert [luma.index for look in made for luma in look.lumas] == list(range(43))
    assert all(look.lumas[-1].index == look.frame.index for look in made)
    assert {0, 6, 7, 8, 29, 30, 42} <= {look.frame.index for look in made}
    assert [look.lumas[0].index for look in made if look.new_scene] == [7, 8, 30]
    assert [look.damaged for look in made if look.damaged] == [(12,)]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_short_streams(count: int) -> None:
    made = list(looks(trackkit.Clip(count, {}).frames(), 5))
    assert [luma.index for look in made for luma in look.lumas] == list(range(count))
    if count:
        assert made[0].frame.index == 0 and made[-1].frame.index == count - 1


def test_start_in_the_middle_of_a_stream() -> None:
    made = list(looks(trackkit.Clip(40, {}).frames(start=23), 5))
    assert [look.frame.index for look in made] == [23, 28, 33, 38, 39]
