"""MTCNN: batching, refinement, odd pictures, threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from detectkit import astronaut, composite, found_at, make_mtcnn

from vidanon.detect.mtcnn import pyramid
from vidanon.detect.mtcnn_nets import load_net
from vidanon.detect.mtcnn_sample import CvPicture, TorchPicture
from vidanon.detect.nms import overlaps
from vidanon.errors import ModelError
from vidanon.zoo import resolve

FACE = np.array([[180, 62, 267, 172]], np.float32)  # the astronaut's


@pytest.fixture(scope="module")
def mtcnn():
    return make_mtcnn()


def same(a, b):
    return len(a) == len(b) and all(
        np.array_equal(p.box, q.box) and p.score == q.score and np.array_equal(p.landmarks, q.landmarks)
        for p, q in zip(a, b, strict=True)
    )


def close(a, b):
    return len(a) == len(b) and all(np.abs(p.box - q.box).max() < 0.5 for p, q in zip(a, b, strict=True))


def test_one_face_with_landmarks_in_order(mtcnn):
    (face,) = mtcnn.detect([astronaut()])[0]
    assert overlaps(face.box[None], FACE)[0, 0] > 0.9
    assert face.score > 0.99 and face.detector == "mtcnn"
    left, right, nose, mouth_left, mouth_right = face.landmarks
    assert left[0] < nose[0] < right[0] and mouth_left[0] < mouth_right[0]
    assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])


def test_a_batch_answers_as_its_pictures_do_alone(mtcnn):
    pictures = [
        astronaut(),
        astronaut()[:300, :400].copy(),
        np.zeros((40, 60, 3), np.uint8),
        astronaut()[:, ::-1].copy(),
    ]
    together = mtcnn.detect(pictures)
    assert [sum(d.score > 0.9 for d in found) for found in together] == [1, 1, 0, 1]
    for picture, found in zip(pictures, together, strict=True):
        assert close(mtcnn.detect([picture])[0], found)


@pytest.mark.parametrize("size", [(1, 1), (5, 3000), (2000, 7), (12, 12), (19, 21), (20, 20), (33, 4001)])
def test_odd_sizes(mtcnn, size):
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert all(np.isfinite(d.box).all() for d in mtcnn.detect([noise])[0])
    assert (
        len(mtcnn.refine([noise], [np.array([[-50, -50, 9, 9], [0, 0, 0, 0], [1e9, 1e9, 2e9, 2e9]], np.float32)])[0])
        == 3
    )


def test_nothing_in_nothing_out(mtcnn):
    assert mtcnn.detect([]) == []
    assert mtcnn.refine([], []) == []
    assert mtcnn.refine([astronaut()], [np.zeros((0, 4), np.float32)]) == [[]]


def test_all_sure_faces_of_a_composite_are_found(mtcnn):
    picture, centres = composite(40)
    boxes = np.stack([d.box for d in mtcnn.detect([picture])[0] if d.score > 0.6])
    assert found_at(boxes, centres, 20) >= len(centres) - 1


def test_candidate_caps_keep_the_best(mtcnn):
    picture, centres = composite(40)
    capped = make_mtcnn(max_windows=200, max_faces=40).detect([picture])[0]
    assert len(capped) <= 40
    assert found_at(np.stack([d.box for d in capped]), centres, 20) >= 0.75 * len(centres)


@pytest.mark.parametrize("amount", [0.0, 0.1, 0.2])
def test_refine_comes_back_to_the_face(mtcnn, amount):
    rng = np.random.default_rng(1)
    side = FACE[0, 3] - FACE[0, 1]
    boxes = np.concatenate([FACE + np.tile(rng.uniform(-amount, amount, 2) * side, 2) for _ in range(8)]).astype(
        np.float32
    )
    empty = np.array([[420, 20, 480, 90]], np.float32)
    first, second = mtcnn.refine([astronaut(), astronaut()], [boxes, np.concatenate((empty, boxes[:1]))])
    assert second[0] is None
    for face in [*first, second[1]]:
        assert face is not None and overlaps(face.box[None], FACE)[0, 0] > 0.8
        assert np.abs(face.landmarks - mtcnn.detect([astronaut()])[0][0].landmarks).max() < 0.06 * side


def test_both_samplers_show_the_same():
    image = astronaut()
    boxes = np.array([[100, 50, 340, 290], [180, 61, 268, 149], [-40, 300, 90, 420], [500, 500, 530, 530]], np.float32)
    a, b = CvPicture(image), TorchPicture(image, torch.device("cpu"))
    for size in (24, 48):
        difference = a.crops(boxes, size).float() - b.crops(boxes, size)
        assert difference.abs().mean() < 4
    sizes = pyramid(512, 512, 20, 0.709)
    for x, y in zip(a.levels(sizes), b.levels(sizes), strict=True):
        assert x.shape == y.shape
        correlation = np.corrcoef(x.float().flatten().numpy(), y.flatten().numpy())[0, 1]
        assert correlation > 0.97


def test_crops_are_area_averages():
    image = np.random.default_rng(0).integers(0, 256, (90, 110, 3), np.uint8)
    boxes = np.array([[3, 5, 99, 85], [10, 10, 30, 25], [0, 0, 110, 90]], np.float32)
    crops = TorchPicture(image, torch.device("cpu")).crops(boxes, 24)
    whole = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    for crop, (x0, y0, x1, y1) in zip(crops, boxes.astype(int), strict=True):
        expected = torch.nn.functional.adaptive_avg_pool2d(whole[:, :, y0:y1, x0:x1], 24)[0]
        torch.testing.assert_close(crop, expected, atol=1e-3, rtol=0)


def test_sums_that_wrap_average_right():
    """3000 x 3000 white pixels sum to more than 2^31."""
    white = np.full((3000, 3000, 3), 255, np.uint8)
    crops = TorchPicture(white, torch.device("cpu")).crops(np.array([[2500, 2600, 2990, 2999]], np.float32), 24)
    assert (crops == 255).all()


def test_smallest_level_and_pyramid_step():
    sizes = pyramid(720, 1280, 20, 0.709)
    assert sizes[0] == (433, 769)
    assert min(min(size) for size in sizes) >= 12
    ratios = [b[0] / a[0] for a, b in zip(sizes, sizes[1:], strict=False)]
    assert all(0.65 < ratio < 0.75 for ratio in ratios)
    assert pyramid(10, 500, 20, 0.709) == []


def test_bfloat16_finds_what_float32_finds():
    picture, centres = composite(24, seed=2, most=30)
    exact, fast = (make_mtcnn(dtype=dtype).detect([picture])[0] for dtype in (torch.float32, torch.bfloat16))
    counts = [found_at(np.stack([d.box for d in found]), centres, 12) for found in (exact, fast)]
    assert counts[0] >= 0.9 * len(centres)
    assert abs(counts[0] - counts[1]) <= 1
    overlap = overlaps(np.stack([d.box for d in exact if d.score > 0.9]), np.stack([d.box for d in fast]))
    assert overlap.max(1).min() > 0.85


def test_threads_share_one_detector(mtcnn):
    pictures = [astronaut(), astronaut()[:, ::-1].copy(), np.zeros((100, 100, 3), np.uint8)] * 4
    alone = [mtcnn.detect([picture])[0] for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        threaded = list(pool.map(lambda picture: mtcnn.detect([picture])[0], pictures))
    assert all(same(a, b) for a, b in zip(alone, threaded, strict=True))


def test_other_weights_are_refused():
    with pytest.raises(ModelError, match="not the onet"):
        load_net(resolve("mtcnn-rnet"), "onet", torch.device("cpu"))


@pytest.mark.parametrize("options", [{"factor": 1.0}, {"thresholds": (0.5, 1.0, 0.3)}, {"min_face": 1}])
def test_options_out_of_range(options):
    with pytest.raises(ValueError):
        make_mtcnn(**options)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_finds_what_the_cpu_finds(mtcnn):
    picture, _ = composite(40)
    found = make_mtcnn(device="cuda").detect([picture, astronaut()])
    for a, b in zip(mtcnn.detect([picture, astronaut()]), found, strict=True):
        sure = np.stack([d.box for d in a if d.score > 0.95])
        assert overlaps(sure, np.stack([d.box for d in b])).max(1).min() > 0.75
