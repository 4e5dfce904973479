"""Photos in folders and tar files, LFW's pairs, landmark tables."""

from __future__ import annotations

import tarfile

import cv2
import numpy as np
import pytest
from evalkit import MARKS, name, people, photo, table, write

from vidanon.errors import InputError, ResourceLimitError
from vidanon.evaluate import photos as module
from vidanon.evaluate.landmarks import find_landmarks, read_landmarks
from vidanon.evaluate.lfw import Pair, read_pairs, spread
from vidanon.evaluate.photos import decode, key, open_photos, person
from vidanon.types import Detection


def test_a_folder_and_a_tar_of_it_are_the_same_photos(tmp_path):
    folder = write(tmp_path / "lfw", people(3, 2))
    (folder / "README.txt").write_text("no photo")
    with tarfile.open(tmp_path / "lfw.tar", "w") as tar:
        tar.add(folder, "some/lfw")
    a, b = open_photos(folder), open_photos(tmp_path / "lfw.tar")
    assert a.names == b.names == sorted(name(who, i) for who in range(3) for i in (1, 2))
    for each in a.names:
        assert a.read(each) == b.read(each)
    np.testing.assert_array_equal(decode(a.read(name(1, 2)), "x"), photo(1, 2))


def test_photos_without_folders(tmp_path):
    photos = open_photos(write(tmp_path, {"Ann_0001.png": photo(0, 0), "Ann_0002.png": photo(0, 1)}))
    assert photos.names == ["Ann_0001.png", "Ann_0002.png"] and person("Ann_0001.png") == "Ann"
    assert person("Ann_Lee/x_0001.jpg") == "Ann_Lee" and key("Ann/a.b.png") == "Ann/a.b"


def test_two_photos_of_one_name_are_refused(tmp_path):
    write(tmp_path, {"a/P/P_0001.png": photo(0, 0), "b/P/P_0001.png": photo(0, 1)})
    with pytest.raises(InputError, match="two photos are called P/P_0001.png"):
        open_photos(tmp_path)


def test_what_holds_no_photos_is_refused(tmp_path):
    (tmp_path / "file.tar").write_bytes(b"no tar")
    (tmp_path / "empty").mkdir()
    for path, text in (("none", "no such"), ("file.tar", "not a readable tar"), ("empty", "no photo in it")):
        with pytest.raises(InputError, match=text):
            open_photos(tmp_path / path)


def test_undecodable_photos_are_refused(monkeypatch):
    for data in (b"", b"not a picture"):
        with pytest.raises(InputError, match="Ann.png"):
            decode(data, "Ann.png")
    monkeypatch.setattr(module, "MAX_PIXELS", 100)
    with pytest.raises(ResourceLimitError, match="too large"):
        decode(cv2.imencode(".png", photo(0, 0))[1].tobytes(), "Ann.png")


def test_pairs(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text("2\t1\nAnn Lee\t1\t4\nAnn Lee\t1\tBob\t2\nBob\t1\t2\nBob\t3\tCy\t1\n")
    assert read_pairs(path) == [
        Pair("Ann Lee/Ann Lee_0001.jpg", "Ann Lee/Ann Lee_0004.jpg", True, 0),
        Pair("Ann Lee/Ann Lee_0001.jpg", "Bob/Bob_0002.jpg", False, 0),
        Pair("Bob/Bob_0001.jpg", "Bob/Bob_0002.jpg", True, 1),
        Pair("Bob/Bob_0003.jpg", "Cy/Cy_0001.jpg", False, 1),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1"),
        ("x\n", "line 1"),
        ("1\nAnn\t1\n", "line 2"),
        ("1\nAnn\tone\t2\n", "line 2"),
        ("1\nAnn\t1\t2\n", "1 pairs, its first line says 2"),
    ],
)
def test_broken_pairs_files(tmp_path, text, said):
    path = tmp_path / "pairs.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_pairs(path)


def test_fewer_pairs_are_spread_evenly():
    pairs = [Pair(f"{i}", "b", i % 2 == 0, i // 60) for i in range(600)]
    few = spread(pairs, 60)
    assert len(few) == 60 and spread(pairs, None) == pairs == spread(pairs, 600)
    for fold in range(10):
        for same in (True, False):
            assert sum(p.fold == fold and p.same is same for p in few) == 3


def test_tables_count_from_pixel_centres(tmp_path):
    found = read_landmarks(table(tmp_path / "marks.csv", ["P/P_0001.png"]))
    np.testing.assert_allclose(found["P/P_0001"], MARKS)
    for text in ("path,rex\na,1\n", "path,x\n", ""):
        (tmp_path / "bad.csv").write_text(text or "path\nx\n")
        if text == "path,x\n":
            assert read_landmarks(tmp_path / "bad.csv") == {}
        else:
            with pytest.raises(InputError, match="not a table"):
                read_landmarks(tmp_path / "bad.csv")
    with pytest.raises(InputError, match="cannot be read"):
        read_landmarks(tmp_path / "none.csv")


class Finder:
    """Finds a face at MARKS, and a smaller one in the corner; none on dark photos."""

    name = "finder"

    def __init__(self):
        self.seen = 0

    def detect(self, images):
        self.seen += len(images)
        box = np.array([34, 30, 94, 110], np.float32)
        faces = [Detection(box / 4, 0.99, MARKS / 4, "finder"), Detection(box, 0.9, MARKS, "finder")]
        return [faces if image.mean() > 20 else [] for image in images]


def test_faces_are_found_once(tmp_path):
    pictures = {**people(2, 5), "Dark/Dark_0001.png": np.zeros((128, 128, 3), np.uint8)}
    photos, where, finder = open_photos(write(tmp_path / "p", pictures)), tmp_path / "marks.csv", Finder()
    told = []
    found = find_landmarks(photos, photos.names[:4], finder, where, lambda done, total: told.append((done, total)))
    assert len(found) == 3 and told == [(4, 4)]  # Dark/ comes first
    found = find_landmarks(photos, photos.names, finder, where)
    assert finder.seen == len(photos.names) == 11 and len(found) == 10
    for points in found.values():
        np.testing.assert_allclose(points, MARKS, atol=0.01)
    assert read_landmarks_of_faces(where).keys() == found.keys()


def read_landmarks_of_faces(where):
    """The same table, given as --landmarks, without the rows of photos that show no face."""
    lines = [line for line in where.read_text().splitlines() if not line.endswith(",,")]
    where.write_text("\n".join(lines) + "\n")
    return read_landmarks(where)
