"""The analyse pass with the real detector on real footage."""

import os
from pathlib import Path

import numpy as np
import pytest

from vidanon.analyse import analyse
from vidanon.config import RunConfig
from vidanon.detect.assemble import make_detectors
from vidanon.media.source import open_source
from vidanon.runtime.device import choose_runtime
from vidanon.track.plan import Plan


@pytest.fixture(scope="module")
def videos() -> Path:
    data = os.environ.get("VIDANON_TEST_DATA")
    if not data:
        pytest.skip("VIDANON_TEST_DATA is not set")
    folder = Path(data) / "videos"
    assert folder.is_dir(), f"{folder} is missing"
    return folder


@pytest.mark.parametrize(("name", "faces"), [("head-pose-face-detection-male.gif", 1), ("classroom.gif", 4)])
def test_people_keep_one_id_each_in_every_frame(videos: Path, name: str, faces: int) -> None:
    config = RunConfig.model_validate({"detect": {"detector": "mtcnn"}, "device": "cpu"})
    detectors = make_detectors(config.detect, choose_runtime("cpu", 1), offline=True)
    with Plan(seed=0) as plan, open_source(videos / name, config.limits) as source:
        stats = analyse(source.frames(), detectors.finder, detectors.refiner, config, plan, workers=2)
        whole = [t for t in plan.tracks() if (t.first, t.last) == (0, stats.frames - 1)]
        assert len(whole) == faces
        assert stats.frames == plan.info.frames and stats.failed == 0
        for track in whole:
            boxes = np.stack([r.box for r in plan.rows(0, stats.frames) if r.track == track.id])
            assert len(boxes) == stats.frames
            centres = (boxes[:, :2] + boxes[:, 2:]) / 2
            size = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)).mean()
            assert np.abs(np.diff(centres, axis=0)).max() < 0.25 * size  # nothing jumps
