from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import vidanon
from tests.faces.facekit import FORMATS, noise, row, touched
from vidanon.config import ProtectSettings
from vidanon.faces.blend import NO_BOX, NOT_FINITE, OPEN, blend, spared, split
from vidanon.faces.cover import cover_whole
from vidanon.faces.gather import gather
from vidanon.protect.obscure import Blur, Mask, Pixelate
from vidanon.types import Layer

PROTECTORS = {"mask": Mask, "pixelate": Pixelate, "blur": Blur}
BOX = (50, 30, 90, 80)


def run(frame, rows, settings, spoil=None, covered=()):
    parts = []
    for batch in gather([frame], rows, settings, "cpu"):
        protected, _ = PROTECTORS[settings.mode](settings)(batch, {})
        if spoil:
            protected = spoil(batch, protected)
        parts += split(batch, protected)
    return blend(frame, parts, covered, settings).frame, parts


def same(a, b):
    return all((x == y).all() for x, y in zip(a.planes, b.planes, strict=True))


def test_a_frame_without_faces_keeps_its_planes():
    frame = noise()
    out = blend(frame, [], [], ProtectSettings(mode="mask")).frame
    assert all(a is b for a, b in zip(out.planes, frame.planes, strict=True))


@pytest.mark.parametrize("mode", PROTECTORS)
def test_source_is_never_written_to_and_tags_stay(mode):
    frame = replace(noise(FORMATS[5]), pts=917, interlaced=True)
    before = [p.copy() for p in frame.planes]
    out, _ = run(frame, [row(BOX)], ProtectSettings(mode=mode))
    assert all((a == b).all() for a, b in zip(before, frame.planes, strict=True))
    assert replace(out, planes=frame.planes) == frame
    assert not same(out, frame)


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
@pytest.mark.parametrize("mode", ["pixelate", "blur"])
def test_no_colour_shift(fmt, mode):
    """A face of one colour stays that colour, to a code of eight bits, through both conversions."""
    frame = noise(fmt)
    codes = [0.5, 0.45, 0.6]
    planes = tuple(
        np.full_like(p, round(c * ((1 << fmt.depth) - 1))) for p, c in zip(frame.planes, codes, strict=False)
    )
    frame = replace(frame, planes=planes)
    out, _ = run(frame, [row(BOX)], ProtectSettings(mode=mode, texture=0))
    for a, b in zip(out.planes, frame.planes, strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1 << (fmt.depth - 8)


def test_mask_paints_the_colour_asked_for():
    frame = noise(FORMATS[4])
    out, _ = run(frame, [row(BOX)], ProtectSettings(mode="mask", colour=(200, 30, 90)))
    assert [int(p[55, 70]) for p in out.planes] == [30, 90, 200]  # G, B, R


def test_soft_edge_lies_between_source_and_patch():
    frame = noise(FORMATS[3])
    frame = replace(frame, planes=(np.full_like(frame.planes[0], 200),))
    line = run(frame, [row(BOX)], ProtectSettings(mode="mask", feather=0.2))[0].planes[0][55].astype(int)
    right = line[70:]
    assert right[0] == 16 and right[-1] == 200
    assert (np.diff(right) >= 0).all()
    assert ((right > 16) & (right < 200)).sum() >= 8


@pytest.mark.parametrize("fmt", [FORMATS[0], FORMATS[3]], ids=lambda f: f.name)
def test_bands_leave_no_seam(fmt, monkeypatch):
    frame = noise(fmt, (301, 203))
    rows = [row((40, -30, 280, 260))]
    whole, _ = run(frame, rows, ProtectSettings(mode="blur"))
    monkeypatch.setattr("vidanon.faces.blend.BAND", 16)
    banded, _ = run(frame, rows, ProtectSettings(mode="blur"))
    for a, b in zip(whole.planes, banded.planes, strict=True):
        assert np.abs(a.astype(int) - b).max() <= 1


# Fail closed ---------------------------------------------------------------------------------------------


def not_ok(batch, protected):
    return replace(protected, ok=np.zeros(len(batch), bool), reasons=("too small",) * len(batch))


def silent(batch, protected):
    return replace(protected, ok=np.zeros(len(batch), bool))


def nan_patch(batch, protected):
    patches = protected.patches.clone()
    patches[:, 1, 5, 5] = torch.nan
    return replace(protected, patches=patches)


def inf_mask(batch, protected):
    masks = protected.masks.clone()
    masks[:, 0, 0, 0] = torch.inf
    return replace(protected, masks=masks)


def no_mask(batch, protected):
    return replace(protected, masks=torch.zeros_like(protected.masks))


def faint_mask(batch, protected):
    return replace(protected, masks=protected.masks * 0.9)


@pytest.mark.parametrize("mode", PROTECTORS)
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (not_ok, "too small"),
        (silent, "not protected"),
        (nan_patch, NOT_FINITE),
        (inf_mask, NOT_FINITE),
        (no_mask, OPEN),
        (faint_mask, OPEN),
    ],
)
def test_what_a_protector_gets_wrong_is_covered(mode, spoil, reason):
    settings = ProtectSettings(mode=mode, colour=(10, 200, 10))
    results = []
    for seed in (1, 2):
        frame = noise(seed=seed)
        out, parts = run(frame, [row(BOX)], settings, spoil)
        assert [part.reason for part in parts] == [reason]
        results.append(out)
    for a, b, hit in zip(*(r.planes for r in results), touched(results[0], BOX, 1.3, "solid"), strict=True):
        assert (a[hit] == b[hit]).all()  # nothing of the source
        assert len(np.unique(a[hit])) == 1


def test_an_answer_of_another_shape_stops_the_run():
    with pytest.raises(ValueError, match="answered"):
        run(noise(), [row(BOX)], ProtectSettings(mode="mask"), lambda b, p: replace(p, masks=p.masks[:, :, ::2]))
    with pytest.raises(ValueError, match="answered"):
        run(noise(), [row(BOX)], ProtectSettings(mode="mask"), lambda b, p: replace(p, ok=p.ok[:0]))


@pytest.mark.parametrize("mode", PROTECTORS)
@pytest.mark.parametrize("bad", [(np.nan, 0, 5, 5), (0, -np.inf, 5, 5), (9, 9, 3, 3)])
def test_a_box_that_is_no_box_covers_the_whole_frame(mode, bad):
    frame = noise()
    out, parts = run(frame, [row(BOX), row(bad, track=2)], ProtectSettings(mode=mode))
    assert sorted(p.reason for p in parts) == ["", NO_BOX]
    assert same(out, cover_whole(frame).frame)
    out, _ = run(frame, [row(BOX)], ProtectSettings(mode=mode), covered=[row(bad)])
    assert same(out, cover_whole(frame).frame)


def test_a_damaged_frame_is_covered_whole():
    frame = noise(damaged=True)
    assert same(blend(frame, [], [], ProtectSettings(mode="mask")).frame, cover_whole(frame).frame)


def test_faces_of_another_frame_are_an_error():
    settings = ProtectSettings(mode="mask")
    _, parts = run(noise(index=1), [row(BOX, frame=1)], settings)
    with pytest.raises(ValueError, match="another frame"):
        blend(noise(index=2), parts, [], settings)
    with pytest.raises(ValueError, match="another frame"):
        blend(noise(index=2), [], [row(BOX, frame=1)], settings)


# Overlaps ------------------------------------------------------------------------------------------------


def test_overlapping_faces_leave_no_source_in_either():
    """Painted with flat colours, the union of two shapes is the same whatever lay below."""
    boxes = [(40, 30, 80, 80), (65, 45, 110, 100)]
    results = []
    for seed in (1, 2):
        settings = ProtectSettings(mode="mask", feather=0.3)
        frame = noise(seed=seed)
        out, _ = run(frame, [row(box, track=t) for t, box in enumerate(boxes)], settings)
        results.append(out)
    for box in boxes:
        for a, b, hit in zip(*(r.planes for r in results), touched(results[0], box, 1.3), strict=True):
            assert (a[hit] == b[hit]).all()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_small_face_inside_a_large_one_does_not_sharpen_it(order):
    """A second, small hit on a large face (its mouth, say) must not let that spot through with a finer mosaic."""
    large, small = (20, 10, 120, 110), (60, 60, 76, 76)
    settings = ProtectSettings(mode="pixelate")
    frame = noise()
    alone, _ = run(frame, [row(large)], settings)
    rows = [row(large, track=1), row(small, track=2)]
    both, _ = run(frame, [rows[i] for i in order], settings)
    for a, b, hit in zip(alone.planes, both.planes, touched(frame, large, 1.3), strict=True):
        assert (a[hit] == b[hit]).all()


def drawn_and_covered(seed, cover, inside=None):
    """A drawn face of 60 px, the source in its rim, beside a flat cover: source and output, and both parts.

    inside: where the drawn face claims to be alone, px about its middle; None: where it is.
    """
    settings = ProtectSettings(mode="mask", colour=(255, 0, 0), feather=0.0)
    frame = noise(FORMATS[4], (200, 160), seed=seed)
    (own, *_), (other, *_) = (
        [p for b in gather([frame], [row(box, track=t)], settings, "cpu") for p in split(b, Mask(settings)(b, {})[0])]
        for t, box in enumerate([(40, 40, 100, 100), cover], 1)
    )
    (batch,) = gather([frame], [row((40, 40, 100, 100))], settings, "cpu")
    source = batch.patches[0].numpy()
    x, y = (batch.boxes[0, :2] + batch.boxes[0, 2:]) / 2
    ys, xs = np.mgrid[0 : source.shape[1], 0 : source.shape[2]] + 0.5
    away = np.hypot(xs - x, ys - y) / np.ptp(batch.boxes[0, ::2]) * 60
    patch = np.where(away < 20, np.float32(0.5), source).astype(np.float32)
    alone = (away < (20 if inside is None else inside)).astype(np.float32)
    layer = Layer(patch.mean(0), alone, (away < 30).astype(np.float32))
    drawn = replace(own, patch=patch, mask=(away < 30).astype(np.float32), layer=layer)
    return frame, blend(frame, [drawn, other], [], settings).frame, drawn, other


def test_a_cover_leaves_a_drawn_face_where_it_is_alone_and_shows_nothing_of_the_source():
    cover = (75, 45, 130, 105)
    outs = [drawn_and_covered(seed, cover) for seed in (1, 2)]
    hit = touched(outs[0][0], cover, 1.3)[0]
    for a, b in zip(outs[0][1].planes, outs[1][1].planes, strict=True):
        assert (a[hit] == b[hit]).all()  # whatever the source is
    ys, xs = np.mgrid[0:160, 0:200] + 0.5
    middle = np.hypot(xs - 70, ys - 70) < 18
    assert (hit & middle).sum() > 100
    assert np.abs(outs[0][1].planes[0][middle].astype(int) - 128).max() <= 1
    assert set(np.unique(outs[0][1].planes[2][hit & (np.hypot(xs - 70, ys - 70) > 22)])) == {255}


def test_the_source_shows_where_a_drawn_face_says_falsely_that_it_is_alone():
    cover = (75, 45, 130, 105)
    outs = [drawn_and_covered(seed, cover, inside=29) for seed in (1, 2)]
    hit = touched(outs[0][0], cover, 1.3)[0]
    assert (outs[0][1].planes[0][hit] != outs[1][1].planes[0][hit]).any()


def test_a_much_smaller_face_s_cover_lies_over_a_drawn_one():
    cover = (60, 60, 80, 80)
    _, out, drawn, other = drawn_and_covered(1, cover)
    hit = touched(out, cover, 1.3)[0]
    assert spared(other, [drawn]) == [] and set(np.unique(out.planes[2][hit])) == {255}
    _, _, drawn, other = drawn_and_covered(1, (60, 60, 100, 100))
    assert spared(other, [drawn, other]) == [drawn] and spared(drawn, [drawn, other]) == []


def test_a_solid_cover_is_never_painted_over():
    settings = ProtectSettings(mode="blur", colour=(255, 0, 0))
    frame = noise(FORMATS[4])
    covered = row((60, 40, 80, 60), track=2)
    out, _ = run(frame, [row((30, 10, 120, 110))], settings, covered=[covered])
    hit = touched(frame, (60, 40, 80, 60), 1.3, "solid")[0]
    assert [set(np.unique(p[hit])) for p in out.planes] == [{0}, {0}, {255}]


def test_general_transforms_are_placed_as_they_say():
    """A patch turned by 30 degrees about the face's centre: a marked patch pixel lands where to_frame takes it."""
    frame = noise(FORMATS[4], (200, 160))
    settings = ProtectSettings(mode="blur", shape="solid")
    (batch,) = gather([frame], [row(BOX)], settings, "cpu")
    turn = np.deg2rad(30)
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * 0.9
    to_frame = np.hstack([linear, np.array([[95.0], [40.0]])]).astype(np.float32)[None]
    batch = replace(batch, to_frame=to_frame)
    protected, _ = Blur(settings)(batch, {})
    patch = torch.zeros_like(batch.patches)
    patch[:, :, 30:36, 40:46] = 1
    (part,) = split(batch, replace(protected, patches=patch, masks=torch.ones_like(protected.masks)))
    out = blend(frame, [part], [], settings).frame.planes[0]
    x, y = to_frame[0] @ [43, 33, 1]
    ys, xs = np.nonzero((out > 250) & touched(frame, (x - 6, y - 6, x + 6, y + 6), 1, "solid")[0])
    assert xs.mean() + 0.5 == pytest.approx(x, abs=0.5)
    assert ys.mean() + 0.5 == pytest.approx(y, abs=0.5)


def test_only_blend_and_cover_make_protected_frames():
    package = Path(vidanon.__file__).parent
    names = {
        str(path.relative_to(package)) for path in package.rglob("*.py") if "PROTECTION_KEY" in path.read_text("utf-8")
    }
    assert names == {"types.py", "faces/blend.py", "faces/cover.py"}
