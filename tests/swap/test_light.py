"""The source's light on a donor's face: brightness, colour, contrast, sharpness and grain."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.swap import swapkit
from vidanon.faces.mesh_points import eye_distance
from vidanon.swap.light import LUMA, Look, Over, edge, look, low_band, matched, relit, smoothed

SIZE = 128
PAIRS = [(0, 20), (20, 0), (9, 33), (41, 2)]


def both(donor: int, source: int):
    """Two faces in one place (the second's picture under the first's mesh), the region and the unit."""
    picture, mesh = swapkit.face(donor, SIZE)
    other, _ = swapkit.face(source, SIZE)
    region = swapkit.oval(mesh, SIZE).astype(np.float32)
    return picture, other, region, float(eye_distance(mesh))


def put(donor, source, region, unit, own=1.0):
    low = low_band(donor, region, unit), low_band(source, region, unit)
    return relit(donor, *low, region, np.full_like(region, own))


def noise(seed: int = 0, strength: float = 0.05, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, strength, (size, size, 1)).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.3, 2.0, 5.9, 6.1, 17.0, 30.0])
def test_smoothing_at_a_fraction_shows_no_difference(sigma):
    picture, _ = swapkit.face(3, SIZE)
    plain = cv2.GaussianBlur(picture, (0, 0), max(sigma, 0.1), borderType=cv2.BORDER_REPLICATE)
    assert np.abs(smoothed(picture, sigma) - plain).mean() < 0.03
    assert np.abs(smoothed(picture, sigma) - plain).max() < 0.12


@pytest.mark.parametrize("sigma", [0.0, 0.3, 6.1, 40.0, 3000.0])
def test_smoothing_leaves_a_flat_picture(sigma):
    flat = np.full((50, 70, 3), 0.3, np.float32)
    assert np.abs(smoothed(flat, sigma) - 0.3).max() < 1e-5


def test_the_low_band_is_of_the_region_alone():
    picture, other, region, unit = both(0, 20)
    mixed = np.where(region[..., None] > 0, picture, other)
    np.testing.assert_allclose(low_band(mixed, region, unit), low_band(picture, region, unit), atol=1e-5)
    flat = np.full_like(picture, (0.2, 0.5, 0.7))
    inside = region > 0
    assert np.abs(low_band(flat, region, unit)[inside] - flat[inside]).max() < 1e-3


def test_a_region_without_a_pixel_has_a_finite_low_band():
    picture, _ = swapkit.face(0, SIZE)
    assert np.isfinite(low_band(picture, np.zeros((SIZE, SIZE), np.float32), 30.0)).all()


@pytest.mark.parametrize("pair", PAIRS)
def test_a_relit_face_has_the_sources_low_band(pair):
    donor, source, region, unit = both(*pair)
    before = np.abs(low_band(donor, region, unit) - low_band(source, region, unit))
    after = np.abs(low_band(put(donor, source, region, unit), region, unit) - low_band(source, region, unit))
    inside = region > 0
    assert after[inside].mean() < 0.1
    assert after[inside].mean() < 0.75 * before[inside].mean()
    assert np.percentile((after @ LUMA)[inside], 95) < 0.15


@pytest.mark.parametrize("light", [0.25, 0.6])
@pytest.mark.parametrize("colour", [(1.0, 1.0, 1.0), (1.0, 0.75, 0.5), (0.7, 0.9, 1.0)])
def test_a_darker_or_tinted_source_makes_a_darker_or_tinted_face(light, colour):
    donor, source, region, unit = both(0, 20)
    source = source * np.float32(light) * np.array(colour, np.float32)
    out = put(donor, source, region, unit)
    inside = region > 0
    assert out[inside].mean(0) == pytest.approx(source[inside].mean(0), abs=0.06)


def test_light_from_one_side_comes_from_that_side():
    donor, _, region, unit = both(0, 20)
    ramp = np.linspace(0.1, 1.0, SIZE, dtype=np.float32)[None, :, None]
    skin = np.broadcast_to(np.array([0.9, 0.7, 0.6], np.float32), donor.shape)
    differences = []
    for way in (1, -1):
        out = put(donor, skin * ramp[:, ::way], region, unit) @ LUMA
        columns = np.nonzero(region.any(0))[0]
        middle = int(columns.mean())
        left, right = region.copy(), region.copy()
        left[:, middle:], right[:, :middle] = 0, 0
        differences.append(float(out[right > 0].mean() - out[left > 0].mean()))
    assert differences[0] - differences[1] > 0.04  # the rest is the light in the donor's own detail


def test_a_grey_source_gives_a_nearly_grey_face():
    donor, source, region, unit = both(0, 20)
    grey = np.repeat((source @ LUMA)[..., None], 3, 2)
    inside = region > 0
    strong = np.abs(put(donor, source, region, unit) - (put(donor, source, region, unit) @ LUMA)[..., None])
    weak = np.abs(put(donor, grey, region, unit) - (put(donor, grey, region, unit) @ LUMA)[..., None])
    assert weak[inside].mean() < 0.02
    assert weak[inside].mean() < 0.25 * strong[inside].mean()


@pytest.mark.parametrize("pair", PAIRS)
def test_skin_keeps_less_of_the_donors_colour_and_all_of_its_light(pair):
    """A donor's red cheeks would be smears on a pale face."""
    donor, source, region, unit = both(*pair)
    vivid, pale = (put(donor, source, region, unit, own) for own in (1.0, 0.0))
    free = (region > 0) & (np.minimum(vivid, pale).min(2) > 0.02) & (np.maximum(vivid, pale).max(2) < 0.98)
    assert free.mean() > 0.1
    np.testing.assert_allclose((vivid @ LUMA)[free], (pale @ LUMA)[free], atol=2e-3)
    low = low_band(source, region, unit)
    low = low - (low @ LUMA)[..., None]
    spread = [np.abs(each - (each @ LUMA)[..., None] - low)[free].mean() for each in (vivid, pale)]
    assert spread[1] < 0.6 * spread[0]


def test_the_donors_detail_stays():
    donor, source, region, unit = both(9, 33)
    out = put(donor, source, region, unit) @ LUMA
    inside = region > 0

    def detail(picture):
        return (picture - smoothed(picture, 0.15 * unit))[inside]

    assert np.corrcoef(detail(out), detail(donor @ LUMA))[0, 1] > 0.9
    assert np.corrcoef(detail(out), detail(source @ LUMA))[0, 1] < 0.8


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
@pytest.mark.parametrize("which", ["source", "donor", "both"])
def test_flat_black_and_white_pictures(value, which):
    donor, source, region, unit = both(0, 20)
    flat = np.full_like(donor, value)
    donor, source = (flat if which in ("donor", "both") else donor), (flat if which in ("source", "both") else source)
    out = put(donor, source, region, unit)
    low = low_band(source, region, unit)
    wanted = look(source, region, unit)
    done = matched(out, low, region, unit, wanted, np.random.default_rng(0))
    for picture in (out, done):
        assert np.isfinite(picture).all() and picture.min() >= 0 and picture.max() <= 1
    if which == "both":
        assert np.abs(done[region > 0] - value).max() < 0.05
    elif which == "source" and value == 0.0:
        assert done[region > 0].mean() < 0.1


def test_a_look_tells_contrast_and_sharpness():
    picture, _, region, unit = both(0, 20)
    plain = look(picture, region, unit)
    soft = look(cv2.GaussianBlur(picture, (0, 0), 1.5), region, unit)
    faded = look(0.5 + 0.5 * (picture - 0.5), region, unit)
    assert 0 < soft.fine < 0.5 * plain.fine
    assert faded.contrast == pytest.approx(0.5 * plain.contrast, rel=0.02)
    assert faded.fine == pytest.approx(0.5 * plain.fine, rel=0.02)
    flat = look(np.full_like(picture, 0.4), region, unit)
    assert flat.contrast == pytest.approx(0, abs=1e-4) and flat.fine == pytest.approx(0, abs=1e-4)


def test_too_small_a_region_has_no_look():
    picture, _, region, unit = both(0, 20)
    region = np.zeros_like(region)
    region[60, 60:70] = 1
    assert not np.isfinite([look(picture, region, unit).contrast, look(picture, region, unit).fine]).any()
    unknown = Look(float("nan"), float("nan"))
    np.testing.assert_array_equal(matched(picture, picture, region, unit, unknown, np.random.default_rng(0)), picture)


def test_sharpness_follows_that_of_the_source():
    donor, source, region, unit = both(9, 33)
    out, low = put(donor, source, region, unit), low_band(source, region, unit)
    reached, wanted = [], []
    for sigma in (0.5, 0.8, 1.1, 1.5, 2.0, 2.8):
        asked = look(cv2.GaussianBlur(source, (0, 0), sigma), region, unit)
        has = look(matched(out, low, region, unit, asked, np.random.default_rng(0)), region, unit)
        wanted.append(asked.fine)
        reached.append(has.fine)
    assert reached == sorted(reached, reverse=True)
    assert reached == pytest.approx(wanted, rel=0.35)
    assert reached[-1] < 0.3 * reached[0]


def test_grain_is_added_where_the_source_has_more():
    donor, source, region, unit = both(9, 33)
    soft = cv2.GaussianBlur(put(donor, source, region, unit), (0, 0), 2.0)
    low = low_band(source, region, unit)
    quiet = look(soft, region, unit)
    for share in (1.2, 1.6):
        asked = Look(quiet.contrast, quiet.fine * share)
        grainy = matched(soft, low, region, unit, asked, np.random.default_rng(0))
        assert look(grainy, region, unit).fine == pytest.approx(asked.fine, rel=0.1)
        clear = ((grainy > 0) & (grainy < 1)).all(2)
        added = (grainy - soft)[clear]
        assert np.abs(added - added.mean(1, keepdims=True)).max() < 1e-5  # grey, as of film
    again = matched(soft, low, region, unit, asked, np.random.default_rng(0))
    np.testing.assert_array_equal(again, grainy)
    assert (matched(soft, low, region, unit, asked, np.random.default_rng(1)) != grainy).any()


def test_contrast_follows_that_of_the_source():
    donor, source, region, unit = both(9, 33)
    out, low = put(donor, source, region, unit), low_band(source, region, unit)
    has = look(out, region, unit)
    for gain in (0.7, 1.15):
        asked = Look(has.contrast * gain, float("nan"))
        done = matched(out, low, region, unit, asked, np.random.default_rng(0))
        assert look(done, region, unit).contrast == pytest.approx(asked.contrast, rel=0.05)


def test_a_bold_face_has_more_contrast_than_the_source_and_no_more_than_its_portrait():
    donor, source, region, unit = both(9, 33)
    out, low = put(donor, source, region, unit), low_band(source, region, unit)
    has = look(out, region, unit)
    asked = Look(has.contrast * 0.7, float("nan"))
    found = [
        look(matched(out, low, region, unit, asked, np.random.default_rng(0), bold), region, unit).contrast
        for bold in (1.0, 1.2, 1.4, 2.0, 4.0)
    ]
    assert found == pytest.approx([has.contrast * gain for gain in (0.7, 0.84, 0.98, 1, 1)], rel=0.05)
    # where footage has more than the portrait, it is met as ever
    asked = Look(has.contrast * 1.15, float("nan"))
    plain, bold = (matched(out, low, region, unit, asked, np.random.default_rng(0), b) for b in (None, 2.0))
    np.testing.assert_array_equal(plain, bold)


def test_a_retouched_face_is_softer():
    donor, source, region, unit = both(9, 33)
    out, low = put(donor, source, region, unit), low_band(source, region, unit)
    asked = Look(float("nan"), look(cv2.GaussianBlur(source, (0, 0), 1.1), region, unit).fine)
    plain, soft = (
        look(matched(out, low, region, unit, asked, np.random.default_rng(0), bold), region, unit).fine
        for bold in (None, 1.0)
    )
    assert soft < 0.7 * plain


@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_the_width_of_an_edge_is_measured(sigma: float, noise: float):
    step = np.zeros((160, 160), np.float32)
    step[:, 70:] = 0.6
    picture = np.repeat(cv2.GaussianBlur(step, (0, 0), sigma)[..., None], 3, 2)
    picture += np.random.default_rng(0).normal(0, noise, picture.shape).astype(np.float32)
    assert edge(picture, 80.0) == pytest.approx(sigma, abs=0.12 + 0.1 * sigma)


def test_a_picture_without_edges_has_no_width():
    assert np.isnan(edge(np.full((40, 40, 3), 0.5, np.float32), 20.0))


def test_what_lies_on_a_face_has_the_light_and_the_sharpness_of_what_is_around():
    donor, source, region, unit = both(9, 33)
    out, low = put(donor, source, region, unit), low_band(source, region, unit)
    share = np.zeros(region.shape, np.float32)
    share[60:64, 40:100] = 1
    for width in (0.0, 2.0):
        asked = Look(float("nan"), float("nan"), width)
        bare, worn = (
            matched(out, low, region, unit, asked, np.random.default_rng(0), None, over)
            for over in (None, Over((0.2, 0.3, 0.4), share))
        )
        change = np.abs(worn - bare).max(2)
        assert change[:45].max() == 0 and change[80:].max() == 0
        assert (change[57] > 0.01).any() == (width > 0)
        if width == 0:
            np.testing.assert_allclose(worn[62, 50:90], low[62, 50:90] * (0.2, 0.3, 0.4), atol=0.02)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 1e-4, 0.02, 0.5, 3.0]),
    st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    st.floats(1.0, 400.0),
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.sampled_from([float("nan"), 0.0, 1.5, 1e6])),
)
def test_any_pictures_at_all(seed, strength, level, unit, wanted):
    rng = np.random.default_rng(seed)
    donor, source = (np.clip(rng.normal(level, strength, (48, 48, 3)), 0, 1).astype(np.float32) for _ in range(2))
    region = (rng.random((48, 48)) < rng.random()).astype(np.float32)
    out = put(donor, source, region, unit)
    over = Over((0.1, 0.2, 0.3), (rng.random((48, 48)) < rng.random()).astype(np.float32))
    done = matched(out, low_band(source, region, unit), region, unit, Look(*wanted), rng, None, over)
    assert np.isfinite(done).all() and done.min() >= 0 and done.max() <= 1
    assert done.dtype == np.float32
    assert np.isnan(found := edge(source, unit)) or found >= 0
