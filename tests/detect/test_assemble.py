"""Which detectors a run gets, and what it says where one is missing."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest
from detectkit import astronaut, data_path

from vidanon.config import DetectSettings
from vidanon.detect.assemble import make_detectors
from vidanon.detect.yunet import YuNet
from vidanon.errors import ModelError, ModelUnavailable
from vidanon.runtime.device import Runtime, choose_runtime
from vidanon.zoo.registry import find


@pytest.fixture(autouse=True)
def no_models(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDANON_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VIDANON_MODELS", raising=False)


@pytest.fixture
def with_yunet(monkeypatch):
    monkeypatch.setenv("VIDANON_MODELS", str(data_path("detectors")))


def make(**settings):
    return make_detectors(DetectSettings(**settings), choose_runtime("cpu", 1), offline=True)


def test_all_that_are_there(with_yunet):
    detectors = make()
    assert detectors.names == ("mtcnn", "yunet")
    assert detectors.finder.name == "mtcnn+yunet"
    assert not [line for line in detectors.fallbacks if "MTCNN alone" in line]
    assert detectors.models["yunet"] == find("yunet").sha256 and len(detectors.models) == 4
    assert "mtcnn: torch cpu" in detectors.runtime and "yunet:" in detectors.runtime
    assert isinstance(detectors.gate, YuNet)
    (face,) = (d for d in detectors.finder.detect([astronaut()])[0] if d.score > 0.9)
    assert face.detector == "mtcnn+yunet"
    assert detectors.gate.detect([astronaut()])[0][0].score > 0.85
    again, nothing = detectors.refiner.refine([astronaut()], [np.stack([face.box + 9, face.box + [250, 0, 250, 0]])])[0]
    assert again is not None and again.detector == "yunet+mtcnn" and np.abs(again.box - face.box).max() < 6
    assert nothing is None


def test_offline_goes_on_with_mtcnn_and_says_what_that_costs():
    detectors = make()
    assert detectors.names == ("mtcnn",)
    assert len(detectors.fallbacks) == 1
    assert "MTCNN alone" in detectors.fallbacks[0] and "missed more often" in detectors.fallbacks[0]
    assert detectors.gate.detect([astronaut()])[0][0].score > 0.85
    assert set(detectors.models) == {"mtcnn-pnet", "mtcnn-rnet", "mtcnn-onet"}


def test_a_detector_asked_for_by_name_must_be_there():
    with pytest.raises(ModelUnavailable):
        make(detector="yunet")


def test_one_by_name(with_yunet):
    assert make(detector="mtcnn").names == ("mtcnn",)
    detectors = make(detector="yunet")
    assert detectors.names == ("yunet",)
    (found,) = detectors.refiner.refine([astronaut()], [np.array([[190, 70, 270, 170]], np.float32)])[0]
    assert found is not None and found.detector == "yunet"


def test_an_altered_file_stops_the_run_whatever_else_is_there(tmp_path, with_yunet, monkeypatch):
    content = bytearray((data_path("detectors") / "yunet_n_dynamic.onnx").read_bytes())
    content[1000] ^= 1
    monkeypatch.delenv("VIDANON_MODELS")
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / f"yunet-{find('yunet').sha256[:16]}.onnx").write_bytes(content)
    with pytest.raises(ModelError) as caught:
        make()
    assert caught.value.exit_code == 8 and not isinstance(caught.value, ModelUnavailable)


def test_threshold_drops_and_lowers(with_yunet):
    picture = astronaut()[:, ::-1].copy()
    low, default, high = (make(thresh=t).finder.detect([picture])[0] for t in (0.05, None, 0.9))
    assert len(low) >= len(default) >= len(high) == 1
    assert all(d.score >= 0.9 for d in high)


def test_without_onnxruntime_the_slow_engine_is_named(with_yunet):
    class Bare(Runtime):
        has_onnxruntime = False

    runtime = choose_runtime("cpu", 1)
    detectors = make_detectors(DetectSettings(), Bare(runtime.device, runtime.workers), offline=True)
    assert detectors.names == ("mtcnn", "yunet")
    assert any("slower" in line for line in detectors.fallbacks)


@pytest.mark.parametrize("settings", [{"min_face": 512}, {"min_face": 8, "max_side": 160}, {"max_side": 160}])
def test_any_setting_within_bounds_works(with_yunet, settings):
    detectors = make(**settings)
    picture = np.asarray(cv2.resize(astronaut(), (400, 400)), np.uint8)
    assert bool(detectors.finder.detect([picture])[0]) == (settings.get("min_face") != 512)


def test_nothing_is_fetched_offline(tmp_path):
    make()
    assert not os.path.exists(tmp_path / "cache")
