"""The finder's geometry, its file, and its answers' form, with a network that reads bright spots off the crop."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch
from facekit import YUV420, noise
from meshkit import MIRROR_PAIRS, face, rotation

from vidanon.errors import ModelError
from vidanon.faces import mesh_points
from vidanon.faces.align import apply, invert, similarity
from vidanon.faces.mesh import SIZE, TEMPLATE, MeshFinder, crop_transform, cut_crop, write_mesh
from vidanon.faces.mesh_nets import MeshNet, fused, mesh_net
from vidanon.faces.mesh_points import eye_distance, five, openness, yaw
from vidanon.runtime.device import choose_runtime
from vidanon.types import Colour, Frame, Orientation

MARKS = np.array(TEMPLATE, np.float32)
RUNTIME = choose_runtime("cpu", 1)


def lively(net: MeshNet) -> MeshNet:
    """``net`` with normalisations that do something, and a face to begin with."""
    generator = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
            module.weight.data.uniform_(0.5, 2, generator=generator)
            module.bias.data.normal_(0, 0.3, generator=generator)
    points = face()
    place = similarity(five(points)[:, :2], MARKS)
    scale = np.hypot(place[0, 0], place[1, 0])
    mean = np.concatenate([apply(place, points[:, :2].astype(np.float32)), points[:, 2:] * scale], 1) / SIZE
    net.mean.copy_(torch.from_numpy(mean.astype(np.float32)))
    return net.eval()


@pytest.fixture(scope="module")
def finder(tmp_path_factory) -> MeshFinder:
    """A small network, its first weights drawn: it answers the mean face, a little moved by what it sees."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("mesh") / "m.safetensors"
    write_mesh(path, lively(MeshNet((8, 8, 16), (1, 1, 1), stem=8, neck=4, modes=6, triangles=5)).state_dict())
    return MeshFinder(path, RUNTIME)


def grey_frame(orientation: Orientation, sar: Fraction = Fraction(1), seed: int = 0) -> Frame:
    """Smooth noise, 4:2:0, 240 x 200 coded."""
    rng = np.random.default_rng(seed)
    luma = cv2.resize(rng.integers(40, 220, (20, 24)).astype(np.uint8), (240, 200), interpolation=cv2.INTER_CUBIC)
    chroma = np.full((100, 120), 128, np.uint8)
    base = noise(size=(240, 200))
    return replace(base, planes=(luma, chroma, chroma), format=YUV420, colour=Colour(1, 1, 1), orientation=orientation,
                   sar=sar)  # fmt: skip


def test_a_network_is_read_from_its_tensors_and_folding_changes_nothing():
    torch.manual_seed(0)
    net = lively(MeshNet((8, 12, 16), (2, 1, 2), stem=8, neck=6, modes=10, triangles=3))
    again = mesh_net(net.state_dict())
    x = torch.randn(2, 3, SIZE, SIZE)
    with torch.inference_mode():
        want = net(x)
        torch.testing.assert_close(again(x), want)
        torch.testing.assert_close(fused(again)(x), want, atol=1e-4, rtol=1e-4)
    assert want.shape == (2, 468 * 3 + 1) and want.dtype == torch.float32
    assert not [m for m in again.modules() if isinstance(m, torch.nn.BatchNorm2d)]


def test_the_head_stays_exact():
    net = lively(MeshNet())
    net.trunk_to(torch.bfloat16)
    with torch.inference_mode():
        assert net(torch.zeros(1, 3, SIZE, SIZE, dtype=torch.bfloat16)).dtype == torch.float32
    assert net.shape.weight.dtype == torch.float32


def test_the_size_the_card_tells():
    assert sum(p.numel() for p in MeshNet().parameters()) == 1_237_549


def test_other_files_are_refused(tmp_path):
    plain, text = tmp_path / "plain.safetensors", tmp_path / "text.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(3)}, plain)
    text.write_text("no tensors")
    for path in (plain, text):
        with pytest.raises(ModelError, match=path.name) as caught:
            MeshFinder(path, RUNTIME)
        assert "\n" not in str(caught.value)


def test_a_file_is_small_and_exact_where_it_matters(tmp_path):
    net = lively(MeshNet(triangles=7))
    write_mesh(tmp_path / "m.safetensors", net.state_dict())
    state = safetensors.torch.load_file(tmp_path / "m.safetensors")
    assert state["mean"].dtype == torch.float32 and state["mirror"].dtype == torch.int16
    assert state["shape.weight"].dtype == torch.float16
    assert (tmp_path / "m.safetensors").stat().st_size < 3_000_000
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_what_is_read_off_a_mesh():
    points = face(opening=0.2)
    assert eye_distance(points) == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(
        five(points)[:, :2], [(-0.5, 0), (0.5, 0), (0, 0.65), (-0.45, 1.1), (0.45, 1.1)], atol=0.03
    )
    for degrees in (-30, 0, 30):
        turned = points @ rotation(degrees).T
        assert yaw(turned) == pytest.approx(degrees, abs=1)
        assert eye_distance(turned) == pytest.approx(eye_distance(points), rel=1e-5)
    assert openness(face(0.2), mesh_points.RIGHT_LIDS) > 1.8 * openness(face(0.1), mesh_points.RIGHT_LIDS)
    for one, other in MIRROR_PAIRS:
        np.testing.assert_allclose(points[list(one)] * (-1, 1, 1), points[list(other)], atol=1e-9)


@pytest.mark.parametrize("angle", [0.0, 30.0, 170.0])
def test_the_crop_puts_landmarks_on_the_template(angle):
    turn, scale = np.radians(angle), 1.7
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    marks = (MARKS @ linear.T + (300, 200)).astype(np.float32)
    place = crop_transform(marks)
    np.testing.assert_allclose(apply(place, MARKS), marks, atol=1e-3)


@pytest.mark.parametrize("marks", [np.full((5, 2), np.nan), np.zeros((5, 2)), np.full((5, 2), 1e9), MARKS * np.inf])
def test_landmarks_of_no_face(marks):
    with np.errstate(invalid="ignore"):
        assert crop_transform(np.asarray(marks, np.float32)) is None


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.7, 5.3])
def test_a_crop_shows_what_it_should(scale):
    """A smooth ramp, sampled at any scale, has the value of the place."""
    y, x = np.mgrid[0:900, 0:900].astype(np.float32) + 0.5
    picture = np.stack([x, y, x + y], 2)
    place = np.array([[scale, 0, 120], [0, scale, 150]], np.float32)
    crop = cut_crop(picture, place)
    want = apply(place, np.stack(np.meshgrid(np.arange(SIZE) + 0.5, np.arange(SIZE) + 0.5), 2).astype(np.float32))
    np.testing.assert_allclose(crop[4:-4, 4:-4, :2], want[4:-4, 4:-4], atol=0.2 + 0.1 * scale)


def test_meshes_lie_where_the_landmarks_are(finder):
    frame = grey_frame(Orientation())
    boxes = np.array([(60, 40, 130, 140), (0, 0, 10, 10), (5, 5, 1, 9)], np.float32)
    marks = np.full((3, 5, 2), np.nan, np.float32)
    marks[0] = (MARKS - 48) * 0.9 + (95, 95)
    meshes = finder.detect(frame, boxes, marks)
    assert meshes.points.shape == (3, 468, 3) and len(meshes) == 3
    assert np.isfinite(meshes.points[:2]).all() and np.isnan(meshes.points[2]).all()
    assert meshes.confidence[2] == 0 and ((meshes.confidence[:2] > 0) & (meshes.confidence[:2] < 1)).all()
    np.testing.assert_allclose(five(meshes.points[0])[:, :2], marks[0], atol=6)
    assert eye_distance(meshes.points[0]) == pytest.approx(28.8 * 0.9, rel=0.2)
    none = finder.detect(frame, boxes[:0])
    assert none.points.shape == (0, 468, 3)
    boxed = five(finder.detect(frame, boxes[:1]).points[0])[:, :2].mean(0)
    assert 60 < boxed[0] < 130 and 60 < boxed[1] < 120


@pytest.mark.parametrize("rotation_", [0, 90, 180, 270])
@pytest.mark.parametrize("hflip", [False, True])
def test_a_stored_picture_may_lie_on_its_side(finder, rotation_, hflip):
    """The same picture, as it is shown, gives the same mesh, as it is shown, however it is stored."""
    rng = np.random.default_rng(5)
    shown = cv2.resize(rng.integers(0, 255, (16, 16)).astype(np.uint8), (200, 200), interpolation=cv2.INTER_CUBIC)
    marks = (MARKS - 48) * 1.1 + (100, 110)
    want = finder.detect_picture(np.repeat(shown[..., None], 3, 2), np.zeros((1, 4), np.float32), marks[None])
    stored = np.rot90(shown, rotation_ // 90)
    if hflip:
        stored = stored[:, ::-1]
    frame = replace(
        noise(size=(200, 200)), planes=(np.ascontiguousarray(stored),), colour=Colour(1, 1, 1, full_range=True),
        format=replace(YUV420, name="gray", planes=1, chroma_shift_x=0, chroma_shift_y=0),
        orientation=Orientation(rotation_, hflip),
    )  # fmt: skip
    from vidanon.media.orientation import coded_from_upright

    coded = coded_from_upright(200, 200, frame.orientation).astype(np.float32)
    got = finder.detect(frame, np.zeros((1, 4), np.float32), apply(coded, marks)[None])
    np.testing.assert_allclose(apply(invert(coded), got.points[0, :, :2]), want.points[0, :, :2], atol=0.3)
    np.testing.assert_allclose(got.points[0, :, 2], want.points[0, :, 2], atol=0.3)


def test_pixels_that_are_not_square(finder):
    """A frame twice as wide as shown: the mesh is twice as wide in coded pixels."""
    square = grey_frame(Orientation())
    halves = (cv2.resize(p, (p.shape[1] // 2, p.shape[0]), interpolation=cv2.INTER_AREA) for p in square.planes)
    thin = replace(square, planes=tuple(halves), sar=Fraction(2))
    marks = (MARKS - 48) * 1.2 + (120, 100)
    want = finder.detect(square, np.zeros((1, 4), np.float32), marks[None])
    got = finder.detect(thin, np.zeros((1, 4), np.float32), (marks * (0.5, 1)).astype(np.float32)[None])
    np.testing.assert_allclose(got.points[0, :, :2] * (2, 1), want.points[0, :, :2], atol=0.5)


def test_batches_and_looks(finder):
    rng = np.random.default_rng(0)
    crops = torch.from_numpy(rng.uniform(0, 1, (40, 3, SIZE, SIZE)).astype(np.float32))
    many = finder.on_crops(crops)
    one = finder.on_crops(crops[37:38])
    np.testing.assert_allclose(many.points[37], one.points[0], atol=0.5)
    with pytest.raises(ValueError, match="wanted"):
        finder.on_crops(crops[:, :, :90])
    picture = rng.integers(0, 255, (200, 200, 3)).astype(np.uint8)
    box, marks = np.zeros((1, 4), np.float32), ((MARKS - 48) * 1.1 + (100, 100))[None].astype(np.float32)
    once = finder.detect_picture(picture, box, marks).points[0]
    twice = finder.detect_picture(picture, box, marks, looks=2).points[0]
    again = finder.detect_picture(picture, box, five(once)[None, :, :2]).points[0]
    np.testing.assert_allclose(twice, again, atol=1e-3)
