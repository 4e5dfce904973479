"""dlib's network through the adapter."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from recognisekit import patches

from vidanon.errors import ModelUnavailable
from vidanon.recognise import dlib_resnet
from vidanon.recognise.assemble import make_recogniser
from vidanon.runtime.device import choose_runtime
from vidanon.zoo.fetch import resolve

dlib = pytest.importorskip("dlib", reason="dlib is not installed (extra audit)")


@pytest.fixture(scope="module")
def recogniser():
    return make_recogniser("dlib", choose_runtime("cpu", 1))


def test_embeds_as_dlib_does(recogniser):
    batch = patches(2, 150)
    net = dlib.face_recognition_model_v1(str(resolve("dlib-resnet", offline=True)))
    wanted = np.array([np.array(net.compute_face_descriptor(patch)) for patch in batch])
    np.testing.assert_allclose(recogniser.embed(batch), wanted, atol=1e-5)
    assert recogniser.embed(batch[:0]).shape == (0, 128)


def test_what_it_says_of_itself(recogniser):
    about = recogniser.description
    assert about.metric == "l2" and about.sha256.startswith("55533b28") and about.licence == "CC0-1.0"
    assert -0.62 < about.thresholds[0.01] < about.thresholds[0.001] < -0.4
    assert "LFW" in about.measured_on


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    real = importlib.import_module

    def absent(name, *rest):
        if name == "dlib":
            raise ImportError("No module named 'dlib'")
        return real(name, *rest)

    monkeypatch.setattr(dlib_resnet.importlib, "import_module", absent)
    with pytest.raises(ModelUnavailable, match=r"vidanon\[audit\]"):
        make_recogniser("dlib", choose_runtime("cpu", 1))


def test_fetching_all_models_passes_by_what_an_extra_brings(monkeypatch, capsys):
    from vidanon import zoo
    from vidanon.cli import models
    from vidanon.zoo.registry import Model

    absent = Model("judge", "0" * 64, 1, "CC0-1.0", "judges", package="no_such_package", file="a.dat")
    monkeypatch.setattr(zoo, "load_registry", lambda: {"judge": absent})
    monkeypatch.setattr("vidanon.zoo.fetch.find", lambda *_: absent)
    models.fetch(None)
    assert capsys.readouterr().out == "judge: comes with no_such_package, which is not installed\n"
    with pytest.raises(ModelUnavailable):
        models.fetch(["judge"])
