"""The pool: what is in it, and that making it can be broken off."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vidanon.errors import UsageError
from vidanon.train import pool as pool_module
from vidanon.train.pool import make_pool

FACES = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)


class Teacher:
    """Answers with where the light is: a function of the pixels alone."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        assert pixels.dtype == np.float32 and pixels.shape[1:] == (3, 112, 112)
        assert pixels.min() >= 0 and pixels.max() <= 255
        self.asked += len(pixels)
        answer = pixels.reshape(len(pixels), 3, 4, 28, 112).mean((3, 4)).reshape(len(pixels), 12)
        return answer / np.linalg.norm(answer, axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(pool_module, "_BATCH", 4)
    monkeypatch.setattr(pool_module, "_SAVE", 2)


def test_faces_then_mirror_images_then_mixes(tmp_path):
    pool = make_pool(tmp_path, FACES, Teacher(), 30, 1, "t")
    assert len(pool) == 30 and pool.answers.shape == (30, 12)
    np.testing.assert_array_equal(pool.faces[:3], FACES)
    np.testing.assert_array_equal(pool.faces[3:6], FACES[:, :, ::-1])
    rest = np.array(pool.faces[6:])
    known = [f.tobytes() for f in (*FACES, *FACES[:, :, ::-1])]
    new = [f for f in rest if f.tobytes() not in known]
    assert len(new) > 15  # a few are left as they are (.2 x .2)
    assert len({f.tobytes() for f in new}) == len(new)
    np.testing.assert_allclose(
        pool.answers, Teacher()(np.array(pool.faces, np.float32).transpose(0, 3, 1, 2).copy()), atol=2e-3
    )


def test_broken_off_and_taken_up_again(tmp_path):
    whole = make_pool(tmp_path / "a", *_made(tmp_path / "a"))

    class Stop(Exception):
        pass

    def stop(done: int, size: int) -> None:
        if done == 20:
            raise Stop

    with pytest.raises(Stop):
        make_pool(tmp_path / "b", *_made(tmp_path / "b"), stop)
    assert json.loads((tmp_path / "b" / "pool.json").read_text())["done"] == 16
    teacher = Teacher()
    seen = []
    again = make_pool(tmp_path / "b", FACES, teacher, 30, 1, "t", lambda done, size: seen.append((done, size)))
    assert teacher.asked == 14 and seen[0] == (20, 30) and seen[-1] == (30, 30)
    np.testing.assert_array_equal(again.faces, whole.faces)
    np.testing.assert_array_equal(again.answers, whole.answers)
    assert again.made_from == whole.made_from
    last = Teacher()
    make_pool(tmp_path / "b", FACES, last, 30, 1, "t")
    assert last.asked == 0


def _made(folder):
    folder.mkdir(exist_ok=True)
    return FACES, Teacher(), 30, 1, "t"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"faces": FACES[:2]}, "faces"),
        ({"size": 31}, "size"),
        ({"seed": 2}, "seed"),
        ({"made_from": "u"}, "teacher"),
    ],
)
def test_a_pool_of_other_settings_is_not_used(tmp_path, changed, says):
    settings = {"faces": FACES, "teacher": Teacher(), "size": 30, "seed": 1, "made_from": "t"}
    make_pool(tmp_path, **settings)
    with pytest.raises(UsageError, match=rf"\({says}\).*--out"):
        make_pool(tmp_path, **{**settings, **changed})


def test_a_full_disk_is_an_error(tmp_path, monkeypatch):
    def full(descriptor: int, start: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pool_module.os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        make_pool(tmp_path, FACES, Teacher(), 30, 1, "t")
    monkeypatch.undo()
    assert len(make_pool(tmp_path, FACES, Teacher(), 30, 1, "t")) == 30  # nothing half-made is taken for a pool
