import numpy as np
import pytest

from tests.faces.facekit import FORMATS, flat, noise, row
from vidanon.config import ProtectSettings
from vidanon.faces import gather as module
from vidanon.faces.align import apply
from vidanon.faces.gather import gather
from vidanon.media.colour import conversion
from vidanon.types import Colour

BLUR = ProtectSettings(mode="blur")


def test_every_row_comes_back_once_with_its_own_box_and_landmarks():
    frames = [noise(index=i, seed=i) for i in (3, 4, 5)]
    marks = [[20, 20], [30, 20], [25, 26], [21, 30], [29, 30]]
    boxes = [(10, 10, 18, 18), (15, 10, 40, 45), (-500, -600, 900, 800), (150, 110, 190, 160)]
    rows = [row(box, frame.index, t, marks) for frame in frames for t, box in enumerate(boxes)]
    seen = {}
    for batch in gather(frames, rows, BLUR, "cpu"):
        size = batch.patches.shape[-1]
        assert batch.patches.shape == (len(batch), 3, size, size)
        assert 0 <= float(batch.patches.min()) <= float(batch.patches.max()) <= 1
        for i in range(len(batch)):
            corners = apply(batch.to_frame[i], batch.boxes[i].reshape(2, 2)).reshape(-1)
            assert np.allclose(apply(batch.to_frame[i], batch.landmarks[i]), marks, atol=0.05)
            seen[(batch.frames[i], batch.tracks[i])] = corners
    assert len(seen) == len(rows)
    for wanted in rows:
        assert np.allclose(seen[(wanted.frame, wanted.track)], wanted.box, atol=0.05)


@pytest.mark.parametrize("fmt", FORMATS, ids=lambda f: f.name)
@pytest.mark.parametrize("box", [(60, 40, 100, 90), (-30, -20, 10, 25), (-400, -300, 700, 500), (1, 1, 9, 9)])
def test_flat_colour_comes_out_exact_wherever_the_window_lies(fmt, box):
    """Padding repeats the edge, so no darkening creeps in; the stream's own matrix and range are used."""
    rgb = np.array([0.7, 0.4, 0.3]) if fmt.planes == 3 else np.full(3, 0.4)
    codes = np.rint(conversion(fmt, 1, fmt.rgb).to_codes @ [*rgb, 1])[: fmt.planes].astype(int)
    frame = flat(tuple(codes), fmt)
    (batch,) = gather([frame], [row(box)], BLUR, "cpu")
    assert np.allclose(batch.patches.numpy(), rgb[None, :, None, None], atol=4 / (1 << fmt.depth))


def test_patch_shows_the_picture_where_it_says():
    """A ramp along x: the value at a patch pixel's centre is the value at the place it maps to."""
    frame = flat((0, 0, 0), FORMATS[4], (320, 240))
    ramp = np.broadcast_to(np.linspace(10, 200, 320), (240, 320)).astype(np.uint8)
    frame = type(frame)(**{**{f: getattr(frame, f) for f in frame.__dataclass_fields__}, "planes": (ramp,) * 3})
    for box in [(100, 80, 150, 140), (40, 20, 300, 220)]:
        (batch,) = gather([frame], [row(box)], BLUR, "cpu")
        size = batch.patches.shape[-1]
        centres = np.stack([np.arange(size) + 0.5, np.full(size, size / 2)], 1).astype(np.float32)
        x = apply(batch.to_frame[0], centres)[:, 0]
        wanted = np.interp(x, np.arange(320) + 0.5, ramp[0].astype(float)) / 255
        assert np.abs(batch.patches[0, 0, size // 2].numpy() - wanted).max() < 1.2 / 255


def test_large_windows_are_averaged_not_skipped():
    """One-pixel stripes at eight pixels a patch pixel must come out as their mean."""
    frame = flat((0, 0, 0), FORMATS[4], (4200, 600))
    stripes = np.tile(np.array([0, 200], np.uint8), (600, 2100))
    frame = type(frame)(**{**{f: getattr(frame, f) for f in frame.__dataclass_fields__}, "planes": (stripes,) * 3})
    (batch,) = gather([frame], [row((500, -1500, 3500, 2000))], BLUR, "cpu")
    middle = batch.patches[0, 0, 250:260, 200:300].numpy()
    assert np.abs(middle - 100 / 255).max() < 0.08


def test_hdr_is_tone_mapped():
    frame = noise(FORMATS[5], colour=Colour(9, 9, 16))
    plain = noise(FORMATS[5], colour=Colour(9, 9, 14))
    (a,), (b,) = (list(gather([f], [row((60, 40, 100, 90))], BLUR, "cpu")) for f in (frame, plain))
    assert np.isfinite(a.patches.numpy()).all()
    assert np.abs(a.patches.numpy() - b.patches.numpy()).max() > 0.05


def test_batches_are_bounded(monkeypatch):
    monkeypatch.setitem(module.BATCH_BYTES, "cpu", 3 * 3 * 4 * 64 * 64)
    rows = [row((10, 10, 30, 35), track=t) for t in range(10)]
    batches = list(gather([noise()], rows, BLUR, "cpu"))
    assert [len(b) for b in batches] == [3, 3, 3, 1]
    assert [t for b in batches for t in b.tracks] == list(range(10))


def test_mask_mode_reads_nothing():
    frame = noise()
    (batch,) = gather([frame], [row((60, 40, 100, 90))], ProtectSettings(mode="mask"), "cpu")
    assert float(batch.patches.abs().max()) == 0


@pytest.mark.parametrize("bad", [(np.nan, 0, 5, 5), (0, 0, np.inf, 5), (9, 9, 3, 3), (5, 5, 5, 9)])
def test_a_row_that_is_no_box_is_marked(bad):
    good = row((60, 40, 100, 90), track=2)
    batches = list(gather([noise()], [row(bad), good], BLUR, "cpu"))
    places = {t: b.to_frame[i] for b in batches for i, t in enumerate(b.tracks)}
    assert np.isnan(places[1]).all()
    assert np.isfinite(places[2]).all()


def test_a_row_of_a_frame_that_was_not_given_is_an_error():
    with pytest.raises(ValueError, match="frame 7"):
        list(gather([noise()], [row((60, 40, 100, 90), frame=7)], BLUR, "cpu"))
