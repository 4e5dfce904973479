"""Tiles: every face of a large view once, at the borders too."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from detectkit import data_path, found_at, make_mtcnn, portraits
from hypothesis import given
from hypothesis import strategies as st

from vidanon.detect.base import Detector
from vidanon.detect.tiles import Seen, TiledDetector, drop_repeats, spans, touches
from vidanon.types import Detection


class Blobs(Detector):
    """Finds white ellipses of at least ``smallest`` px: what a face is to a detector, without one."""

    name = "blobs"

    def __init__(self, smallest: int) -> None:
        self.smallest = smallest
        self.sizes: list[tuple[int, int]] = []

    def detect(self, images):
        found = []
        for image in images:
            self.sizes.append(image.shape[:2])
            _, _, stats, _ = cv2.connectedComponentsWithStats((image[..., 0] > 128).astype(np.uint8))
            boxes = [(x, y, x + w, y + h) for x, y, w, h, _ in stats[1:].tolist() if h >= self.smallest]
            found.append([Detection(np.array(box, np.float32), 0.9, None, self.name) for box in boxes])
        return found


def picture(width, height, faces):
    image = np.zeros((height, width, 3), np.uint8)
    for x, y, side in faces:
        cv2.ellipse(image, (x, y), (round(side * 0.4), side // 2), 0, 0, 360, (255, 255, 255), -1)
    return image


@given(st.integers(1, 9000), st.integers(64, 2000), st.floats(0.01, 0.5))
def test_tiles_cover_their_side_and_share_the_overlap(length, tile, share):
    overlap = int(tile * share)
    found = spans(length, tile, overlap)
    assert found[0][0] == 0 and found[-1][1] == length
    assert all(0 < end - begin <= tile for begin, end in found)
    for (a0, a1), (b0, b1) in zip(found, found[1:], strict=False):
        assert b0 > a0 and b1 > a1 and a1 - b0 >= overlap
    assert sum(end - begin for begin, end in found) <= length + (len(found) - 1) * (overlap + 1) + len(found)


def test_a_small_view_goes_through_untouched_and_in_one_call():
    inner = Blobs(10)
    views = [picture(320, 200, [(100, 100, 30)]), picture(160, 320, [])]
    found = TiledDetector(inner, 320, 16).detect(views)
    assert inner.sizes == [(200, 320), (320, 160)]
    assert [len(f) for f in found] == [1, 0]


@pytest.mark.parametrize("side", [20, 28, 40, 60, 90, 200, 380])
def test_every_face_once_wherever_it_lies(side):
    """1600 x 900 in tiles of 480: faces of all sizes along a line that crosses every tile border."""
    inner = Blobs(16)
    tiled = TiledDetector(inner, 480, 16)
    for k in range(0, 480, 37):
        x, y = 200 + k * 2, 200 + k
        (found,) = tiled.detect([picture(1600, 900, [(x, y, side)])])
        assert len(found) == 1, (x, y)
        centre = (found[0].box[:2] + found[0].box[2:]) / 2
        assert np.abs(centre - [x, y]).max() <= 3
        assert abs((found[0].box[3] - found[0].box[1]) - side) <= 8


def test_views_of_mixed_sizes_keep_their_order():
    tiled = TiledDetector(Blobs(10), 320, 16)
    views = [
        picture(700, 400, [(600, 300, 40)]),
        picture(300, 200, []),
        picture(320, 900, [(50, 850, 40), (250, 30, 40)]),
    ]
    assert [len(found) for found in tiled.detect(views)] == [1, 0, 2]


def test_touching_counts_inside_the_picture_only():
    tile, size = (100, 0, 200, 100), (300, 100)
    assert touches(np.array([100, 20, 120, 50]), tile, size)
    assert touches(np.array([150, 20, 199, 50]), tile, size)
    assert not touches(np.array([150, 0, 180, 100]), tile, size)  # top and bottom are the picture's own


def test_a_cut_face_stays_where_nothing_else_shows_it():
    part = Detection(np.array([0, 0, 10, 20], np.float32), 0.9, None, "a")
    whole = Detection(np.array([0, 0, 24, 30], np.float32), 0.5, None, "a")
    assert drop_repeats([part], [Seen.CUT]) == [part]
    assert drop_repeats([part, whole], [Seen.CUT, Seen.FULL]) == [whole]
    assert drop_repeats([part, whole], [Seen.SMALL, Seen.FULL]) == [part, whole]


def test_the_sharper_box_and_the_better_score():
    sharp = Detection(np.array([0, 0, 20, 20], np.float32), 0.4, None, "a")
    small = Detection(np.array([0, 0, 22, 22], np.float32), 0.9, None, "a")
    (found,) = drop_repeats([small, sharp], [Seen.SMALL, Seen.FULL])
    assert found.box is sharp.box and found.score == 0.9


def test_real_faces_at_a_tile_border():
    data_path("faces/donors384.tar")
    view = np.full((700, 1500, 3), 120, np.uint8)
    centres = []
    for i, (x, y) in enumerate([(80, 80), (530, 90), (600, 400), (990, 330), (1330, 560), (480, 600)]):
        view[y : y + 72, x : x + 72] = cv2.resize(portraits()[i], (72, 72), interpolation=cv2.INTER_AREA)
        centres.append((x + 36, y + 29))
    found = TiledDetector(make_mtcnn(min_face=20), 640, 20).detect([view])[0]
    sure = np.stack([d.box for d in found if d.score > 0.9])
    assert found_at(sure, np.array(centres, np.float32), 15) == len(centres)
    middles = (sure[:, :2] + sure[:, 2:]) / 2
    for centre in centres:  # seen in the whole and in up to four tiles, answered once
        assert (np.abs(middles - centre).max(1) <= 15).sum() == 1


def test_tiles_smaller_than_faces_are_refused():
    with pytest.raises(ValueError, match="max_side"):
        TiledDetector(Blobs(10), 160, 64)
