"""The privacy bench measures what it says: on a few faces, with the recognisers where the test data is."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.bench import face_clips, privacy
from vidanon.config import ProtectSettings
from vidanon.recognise.base import similarities, threshold


@pytest.fixture(scope="module")
def data():
    folder = os.environ.get("VIDANON_TEST_DATA")
    if folder is None:
        pytest.skip("VIDANON_TEST_DATA is not set")
    return Path(folder)


@pytest.fixture(scope="module")
def clip(data):
    return face_clips.photos(data, 16, seed=1)


def test_the_bar_is_two_percent_or_a_point_above_the_floor():
    def result(rate):
        return {"match": {"all": {"a": 0.0, "b": rate}}}

    assert privacy.passes(result(0.02), result(0.0))
    assert not privacy.passes(result(0.021), result(0.005))
    assert privacy.passes(result(0.06), result(0.05))
    assert not privacy.passes(result(0.061), result(0.05))


def test_frames_come_back_from_the_encoder_in_order():
    rng = np.random.default_rng(0)
    frames = [face_clips.to_frame(np.full((96, 128, 3), 20 * i, np.uint8), i) for i in range(10)]
    frames.append(face_clips.to_frame(rng.integers(0, 255, (96, 128, 3), dtype=np.uint8), 10))
    pictures = privacy.through_x264(frames, 20)
    assert [round(float(p.mean()) / 20) for p in pictures[:10]] == list(range(10))


def test_a_crowd_keeps_every_face_where_its_row_says(clip):
    wall = face_clips.crowd(clip, 168, 1, (672, 336))
    assert len(wall.rows) == 8
    assert len(privacy.counted(wall)) >= 6
    big, small = face_clips.to_rgb(clip.frames[5]), face_clips.to_rgb(wall.frames[0])
    nose, there = clip.rows[5].landmarks[2].astype(int), wall.rows[5].landmarks[2].astype(int)
    a = big[nose[1] - 10 : nose[1] + 10, nose[0] - 10 : nose[0] + 10].mean((0, 1))
    b = small[there[1] - 6 : there[1] + 6, there[0] - 6 : there[0] + 6].mean((0, 1))
    assert np.abs(a - b).max() < 12


@pytest.mark.parametrize("name", privacy.JUDGES)
def test_defaults_hide_faces_that_a_recogniser_knows(data, clip, name):
    """Every face matches its own decoded source; none or one of sixteen its protected frame, in each mode."""
    judge = next(judge for judge in privacy.load_judges(data) if privacy.name_of(judge) == name)
    source = privacy.embed(judge, clip, [face_clips.to_rgb(f) for f in clip.frames])
    coded = privacy.embed(judge, clip, privacy.through_x264(clip.frames, 20))
    assert privacy.match_rate(judge, source, coded) == (16, 16)
    for mode in ("mask", "pixelate", "blur"):
        pictures = privacy.through_x264(privacy.protect(clip, ProtectSettings(mode=mode)), 20)
        assert privacy.match_rate(judge, source, privacy.embed(judge, clip, pictures))[0] <= 1
    impostors = similarities(judge.description, source[0::2], source[0::2])[~np.eye(8, dtype=bool)]
    assert (impostors >= threshold(judge.description, privacy.FAR)).mean() < 0.15
