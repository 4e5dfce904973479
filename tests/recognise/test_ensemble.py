"""Several recognisers as one, and words that name recognisers."""

from __future__ import annotations

import numpy as np
import pytest
from recognisekit import describe, patches, script

from vidanon.errors import ModelError, UsageError
from vidanon.recognise.assemble import make_recogniser
from vidanon.recognise.base import ARCFACE_112, DLIB_150, Description, similarities
from vidanon.recognise.crop import crop
from vidanon.recognise.ensemble import Ensemble
from vidanon.runtime.device import choose_runtime


class Pixels:
    """Embeds a patch as its own pixels, averaged over blocks of a fifteenth."""

    def __init__(self, name, size, template, metric, threshold):
        thresholds = {0.01: threshold} if threshold is not None else {}
        self.description = Description(name, size, template, metric=metric, thresholds=thresholds, sha256=name * 8)

    def embed(self, batch):
        side = self.description.size // 15
        blocks = batch[:, : side * 15, : side * 15].reshape(-1, 15, side, 15, side, 3).mean((2, 4))
        out = (blocks / 255 - 0.5).reshape(len(batch), -1).astype(np.float32)
        return out / np.linalg.norm(out, axis=1, keepdims=True) if self.description.metric == "cosine" else out


@pytest.fixture
def members():
    return [Pixels("a", 112, ARCFACE_112, "cosine", 0.5), Pixels("b", 150, DLIB_150, "l2", -4.0)]


def photo(seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:250, 0:250] / 250
    waves = [np.sin(rng.uniform(3, 14) * x + rng.uniform(3, 14) * y + rng.uniform(0, 6)) for _ in range(3)]
    return (127 + 120 * np.stack(waves, axis=2)).astype(np.uint8)


MARKS = np.array([[100, 110], [150, 112], [126, 140], [104, 162], [147, 163]], np.float32)


def test_every_member_sees_its_own_crop(members):
    both = Ensemble(members)
    found = both.embed(crop(photo(), MARKS, both.description)[None])[0]
    for member, part in zip(members, np.split(found, [675]), strict=True):
        own = member.embed(crop(photo(), MARKS, member.description)[None])[0]
        cosine = part @ own / np.linalg.norm(part) / np.linalg.norm(own)
        assert cosine > 0.998


def test_distances_are_in_units_of_each_threshold(members):
    both = Ensemble(members)
    crops = [[crop(photo(i), MARKS, m.description)[None] for i in (1, 2)] for m in (both, *members)]
    whole = similarities(both.description, *map(both.embed, crops[0]))[0, 0]
    a = np.linalg.norm(np.subtract(*map(members[0].embed, crops[1]))) / 1.0  # cosine .5 is a distance of 1
    b = np.linalg.norm(np.subtract(*map(members[1].embed, crops[2]))) / 4.0
    assert whole == pytest.approx(-np.sqrt((a**2 + b**2) / 2), rel=0.02)


def test_what_it_says_of_itself(members):
    about = Ensemble(members).description
    assert about.name == "a+b" and about.metric == "l2" and about.thresholds == {}
    assert about.sha256 != Ensemble(members[::-1]).description.sha256
    with pytest.raises(ValueError, match="two"):
        Ensemble(members[:1])
    with pytest.raises(KeyError):
        Ensemble([members[0], Pixels("c", 112, ARCFACE_112, "l2", None)])
    with pytest.raises(ValueError, match="expected"):
        Ensemble(members).embed(patches(1, 32))


def test_words_name_recognisers(tmp_path):
    runtime = choose_runtime("cpu", 1)
    first, second = script(tmp_path / "one.pt"), script(tmp_path / "two.pt")
    describe(first, name="one")
    describe(second, name="two", thresholds={})
    assert make_recogniser(str(first), runtime).description.name == "one"
    assert make_recogniser(f"{first}+{first}", runtime).description.name == "one+one"
    with pytest.raises(ModelError, match="two has no threshold"):
        make_recogniser(f"{first}+{second}", runtime)
    for word in ("arcface", "facenet:nowhere.pt", str(tmp_path / "none.onnx"), str(tmp_path)):
        with pytest.raises(UsageError, match="unknown recogniser"):
            make_recogniser(word, runtime)
