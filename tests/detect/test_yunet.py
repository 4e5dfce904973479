"""YuNet: both engines, sizes, thresholds, threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from detectkit import astronaut, composite, data_path, found_at, make_mtcnn

from vidanon.detect import yunet as yunet_module
from vidanon.detect.nms import overlaps
from vidanon.detect.yunet import SCORES, YuNet
from vidanon.errors import ModelError
from vidanon.runtime.device import Runtime, choose_runtime


class WithoutOnnxruntime(Runtime):
    has_onnxruntime = False


@pytest.fixture(scope="module")
def model():
    return data_path("detectors/yunet_n_dynamic.onnx")


@pytest.fixture(scope="module")
def opencv_runtime():
    runtime = choose_runtime("cpu", 1)
    return WithoutOnnxruntime(runtime.device, runtime.workers)


@pytest.fixture(scope="module", params=["onnxruntime", "opencv"])
def yunet(request, model, opencv_runtime):
    if request.param == "onnxruntime":
        pytest.importorskip("onnxruntime", reason="onnxruntime is an optional extra")
        return YuNet(model, choose_runtime("cpu", 1))
    return YuNet(model, opencv_runtime)


def test_face_box_and_landmarks_are_those_of_mtcnn(yunet):
    (face,) = (d for d in yunet.detect([astronaut()])[0] if d.score > 0.6)
    (other,) = make_mtcnn().detect([astronaut()])[0]
    assert overlaps(face.box[None], other.box[None])[0, 0] > 0.8
    side = (other.box[2:] - other.box[:2]).max()
    assert np.abs(face.landmarks - other.landmarks).max() < 0.1 * side
    assert face.detector == "yunet"


def test_engine_is_named_and_the_slow_one_says_so(yunet):
    assert yunet.backend in ("onnxruntime/CPU", "opencv")
    assert bool(yunet.notes) == (yunet.backend == "opencv")


@pytest.mark.parametrize("size", [(360, 640), (123, 457), (31, 33), (200, 64)])
def test_engines_agree(model, opencv_runtime, size):
    pytest.importorskip("onnxruntime", reason="onnxruntime is an optional extra")
    picture = astronaut()[: size[0], : size[1]]
    picture = np.pad(picture, ((0, size[0] - picture.shape[0]), (0, size[1] - picture.shape[1]), (0, 0)))
    a, b = (YuNet(model, rt).detect([picture])[0] for rt in (choose_runtime("cpu", 1), opencv_runtime))
    assert len(a) == len(b)
    for p, q in zip(a, b, strict=True):
        assert np.abs(p.box - q.box).max() < 0.1 and abs(p.score - q.score) < 1e-3
        assert np.abs(p.landmarks - q.landmarks).max() < 0.1


@pytest.mark.parametrize(("face", "share"), [(16, 0.8), (24, 0.9), (60, 1.0)])
def test_finds_faces_from_16_px_on(model, face, share):
    picture, centres = composite(face, seed=1)
    found = YuNet(model, choose_runtime("cpu", 1), min_face=16).detect([picture])[0]
    assert found_at(np.stack([d.box for d in found]), centres, face / 2) >= share * len(centres)


def test_a_larger_min_face_shrinks_the_picture_and_still_answers_in_its_pixels(model):
    picture, centres = composite(80, 960, 540, seed=1)
    detector = YuNet(model, choose_runtime("cpu", 1), min_face=40)
    assert detector.scale == pytest.approx(0.4)
    boxes = np.stack([d.box for d in detector.detect([picture])[0] if d.score > 0.6])
    assert found_at(boxes, centres, 20) == len(centres)


def test_a_smaller_min_face_enlarges_the_picture(model):
    picture, centres = composite(10, 400, 240, seed=1)
    counts = []
    for min_face in (8, 16):
        found = [d.box for d in YuNet(model, choose_runtime("cpu", 1), min_face).detect([picture])[0] if d.score > 0.6]
        counts.append(found_at(np.array(found, np.float32).reshape(-1, 4), centres, 5))
    assert counts[0] > counts[1] and counts[0] >= 0.75 * len(centres)


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (700, 5)])
def test_odd_sizes(yunet, size):
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    assert all(np.isfinite(d.box).all() for d in yunet.detect([noise])[0])


def test_scores_map_upwards_onto_the_shared_scale():
    own, shared = np.array(SCORES).T
    assert (np.diff(own) > 0).all() and (np.diff(shared) >= 0).all()
    assert own[0] == shared[0] == 0 and own[-1] == shared[-1] == 1


def test_threads_share_one_detector(yunet):
    pictures = [astronaut()[: 300 + 20 * i, : 400 + 10 * i].copy() for i in range(6)]
    alone = [yunet.detect([picture])[0] for picture in pictures]
    with ThreadPoolExecutor(3) as pool:
        threaded = list(pool.map(lambda picture: yunet.detect([picture])[0], pictures))
    for a, b in zip(alone, threaded, strict=True):
        assert len(a) == len(b) and all(np.array_equal(p.box, q.box) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("engine", ["onnxruntime", "opencv"])
def test_a_file_that_is_no_model(tmp_path, opencv_runtime, engine):
    file = tmp_path / "yunet.onnx"
    file.write_bytes(b"not a model at all")
    if engine == "onnxruntime":
        pytest.importorskip("onnxruntime", reason="onnxruntime is an optional extra")
    runtime = opencv_runtime if engine == "opencv" else choose_runtime("cpu", 1)
    with pytest.raises(ModelError) as caught:
        YuNet(file, runtime)
    assert "\n" not in str(caught.value)


def test_another_model_is_refused():
    pytest.importorskip("onnxruntime", reason="onnxruntime is an optional extra")
    with pytest.raises(ModelError, match="not a YuNet"):
        YuNet(data_path("recognisers/mobileface_v3.onnx"), choose_runtime("cpu", 1))


def test_decode_of_one_cell():
    empty = [np.zeros((n, k), np.float32) for n in (16, 4, 1) for k in (1, 1, 4, 10)]  # a 32 x 32 input
    outputs = [out.copy() for out in empty]
    outputs[0][6], outputs[1][6] = 0.81, 1.0  # stride 8, column 2, row 1
    outputs[2][6] = [0.5, 0.25, np.log(2), np.log(3)]
    outputs[3][6] = [1, 0.5] * 5
    (row,) = yunet_module.decode(outputs, 32, 0.5)
    assert row[14] == pytest.approx(0.9)
    assert row[:4] == pytest.approx([20 - 8, 10 - 12, 20 + 8, 10 + 12], abs=1e-4)
    assert row[4:6] == pytest.approx([24, 12])
    assert yunet_module.decode(empty, 32, 0.5).shape == (0, 15)


def test_detection_order_is_by_score(yunet):
    picture, _ = composite(40)
    scores = [d.score for d in yunet.detect([picture])[0]]
    assert scores == sorted(scores, reverse=True) and len(scores) > 5


@pytest.mark.parametrize("grow", [0.2, 1.0, 4.0])
@pytest.mark.parametrize("amount", [0.0, 0.2])
def test_refine_comes_back_to_the_face(yunet, grow, amount):
    """Faces of about 22, 110 and 440 px, expected a fifth of their size beside where they are."""
    side = round(512 * grow)
    picture = np.asarray(cv2.resize(astronaut(), (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    (face,) = (d for d in YuNet.detect(yunet, [astronaut()])[0] if d.score > 0.6)
    truth = face.box * grow
    size = truth[3] - truth[1]
    places = np.stack([truth + size * amount * np.array([x, y, x, y]) for x, y in ((1, 0), (-1, 0), (0.7, 0.7))])
    empty = np.array([[0.8, 0.02, 0.95, 0.2]], np.float32) * side
    found = yunet.refine([picture, picture], [places.astype(np.float32), empty])
    assert found[1] == [None]
    for d in found[0]:
        assert d is not None and overlaps(d.box[None], truth[None].astype(np.float32))[0, 0] > 0.75
        assert d.score > 0.6
        assert np.abs(d.landmarks - face.landmarks * grow).max() < 0.16 * size


def test_refine_of_wild_boxes(yunet):
    boxes = np.array([[0, 0, 0, 0], [-500, -500, -400, -400], [1e9, 1e9, 2e9, 2e9], [np.nan, 0, 1, 1], [9, 9, 3, 3]])
    (found,) = yunet.refine([astronaut()], [boxes.astype(np.float32)])
    assert len(found) == 5
    assert yunet.refine([], []) == [] and yunet.refine([astronaut()], [np.zeros((0, 4), np.float32)]) == [[]]
