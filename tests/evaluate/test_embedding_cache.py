"""Embeddings are computed once, kept privately, and never taken for another's."""

from __future__ import annotations

import stat

import numpy as np
import pytest
from evalkit import MARKS, Pixels, people, write

from vidanon.errors import InputError, OutputError
from vidanon.evaluate.cache import VectorCache, digest
from vidanon.evaluate.embed import BATCH, embed_photos
from vidanon.evaluate.photos import key, open_photos


@pytest.fixture
def world(tmp_path):
    photos = open_photos(write(tmp_path / "photos", people(9, 8)))
    return photos, {key(name): MARKS for name in photos.names}


def test_embedded_once_whatever_the_order(world, tmp_path):
    photos, marks = world
    recogniser, told = Pixels(), []
    first = embed_photos(recogniser, photos, photos.names, marks, folder=tmp_path / "e", workers=2,
                         progress=lambda done, total: told.append((done, total)))  # fmt: skip
    assert recogniser.asked == 72 and told == [(BATCH, 72), (2 * BATCH, 72), (72, 72)]
    again = embed_photos(recogniser, photos, photos.names[::-1], marks, folder=tmp_path / "e")
    assert recogniser.asked == 72
    np.testing.assert_array_equal(again[::-1], first)
    np.testing.assert_allclose(first, embed_photos(Pixels(), photos, photos.names, marks), atol=1e-6)


def test_an_interrupted_run_goes_on(world, tmp_path):
    photos, marks = world

    class Stop(Exception):
        pass

    def stop(done, total):
        if done >= BATCH:
            raise Stop

    with pytest.raises(Stop):
        embed_photos(Pixels(), photos, photos.names, marks, folder=tmp_path / "e", progress=stop)
    (file,) = (tmp_path / "e").iterdir()
    with file.open("ab") as stream:
        stream.write(b"half a record")
    recogniser, told = Pixels(), []
    found = embed_photos(recogniser, photos, photos.names, marks, folder=tmp_path / "e",
                         progress=lambda done, total: told.append((done, total)))  # fmt: skip
    assert recogniser.asked == 72 - BATCH and told[-1] == (72 - BATCH, 72 - BATCH)
    np.testing.assert_allclose(found, embed_photos(Pixels(), photos, photos.names, marks), atol=1e-6)


def test_another_model_crop_or_photo_is_another_embedding(world, tmp_path):
    photos, marks = world
    names, folder = photos.names[:5], tmp_path / "e"
    embed_photos(Pixels(), photos, names, marks, folder=folder)
    for other in (Pixels(sha256="cd" * 32), Pixels(metric="l2")):
        embed_photos(other, photos, names, marks, folder=folder)
        assert other.asked == 5
    moved = Pixels()
    embed_photos(moved, photos, names, {**marks, key(names[2]): MARKS + 1}, folder=folder)
    assert moved.asked == 1
    nameless = Pixels(sha256="")
    for _ in range(2):
        embed_photos(nameless, photos, names, marks, folder=folder)
    assert nameless.asked == 10


def test_only_the_owner_may_read(world, tmp_path):
    photos, marks = world
    embed_photos(Pixels(), photos, photos.names[:1], marks, folder=tmp_path / "e")
    (file,) = (tmp_path / "e").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE((tmp_path / "e").stat().st_mode) == 0o700


def test_a_bad_photo_is_named(world, tmp_path):
    photos, marks = world
    (tmp_path / "photos" / photos.names[40]).write_bytes(b"no picture")
    with pytest.raises(InputError, match=photos.names[40]):
        embed_photos(Pixels(), photos, photos.names, marks, workers=2)


def test_two_caches_on_one_file(tmp_path):
    path = tmp_path / "v"
    a, b = VectorCache(path, 3), VectorCache(path, 3)
    a.add({digest(b"1"): np.ones(3, np.float32)})
    b.add({digest(b"2"): np.full(3, 2, np.float32)})
    whole = VectorCache(path, 3)
    assert len(whole) == 2 and whole.get(digest(b"2")).tolist() == [2, 2, 2] and whole.get(digest(b"3")) is None
    assert digest(b"ab", b"c") != digest(b"a", b"bc")
    with pytest.raises(OutputError, match="--out"):
        VectorCache(path / "below", 3)
