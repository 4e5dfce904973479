from __future__ import annotations

import numpy as np
import pytest

from vidanon.media import colour as colours
from vidanon.media.formats import SUPPORTED
from vidanon.types import Colour


def rgb_of(name: str, matrix: int, full: bool, codes: tuple[int, int, int]) -> np.ndarray:
    maps = colours.conversion(SUPPORTED[name], matrix, full)
    return colours.affine(np.array([[codes]], np.float32), maps.to_rgb)[0, 0]


@pytest.mark.parametrize(
    ("name", "matrix", "full", "codes", "rgb"),
    [
        ("yuv420p", 1, False, (235, 128, 128), (1, 1, 1)),
        ("yuv420p", 1, False, (16, 128, 128), (0, 0, 0)),
        ("yuv420p", 6, False, (81.4850, 90.2026, 240), (1, 0, 0)),  # BT.601 red, from the recommendation's weights
        ("yuv420p", 1, False, (62.5594, 102.3362, 240), (1, 0, 0)),  # BT.709 red
        ("yuv420p", 1, True, (255, 128, 128), (1, 1, 1)),
        ("yuv420p10le", 9, False, (940, 512, 512), (1, 1, 1)),
        ("yuv420p12le", 9, False, (256, 2048, 2048), (0, 0, 0)),
        ("gbrp", 0, True, (255, 0, 128), (128 / 255, 1, 0)),
        ("yuv444p", 8, True, (127.5, 255.5, 128), (0, 1, 0)),  # YCgCo green
    ],
)
def test_known_codes(name, matrix, full, codes, rgb):
    matrix = colours.resolve_matrix(Colour(matrix), 64, 64)
    assert rgb_of(name, matrix, full, codes) == pytest.approx(rgb, abs=2e-4)


@pytest.mark.parametrize("matrix", [1, 4, 5, 6, 7, 8, 9])
def test_grey_has_no_chroma_in_any_matrix(matrix):
    maps = colours.conversion(SUPPORTED["yuv444p"], matrix, False)
    codes = colours.affine(np.full((1, 1, 3), 0.5, np.float32), maps.to_codes)[0, 0]
    assert codes == pytest.approx([125.5, 128, 128], abs=1e-3)


def test_unspecified_matrix_is_guessed_by_size_as_players_do():
    assert colours.resolve_matrix(Colour(), 640, 480) == 6
    assert colours.resolve_matrix(Colour(), 1280, 720) == 1
    assert colours.resolve_matrix(Colour(primaries=9), 640, 480) == 9
    assert colours.resolve_matrix(Colour(matrix=6), 3840, 2160) == 6


@pytest.mark.parametrize("transfer", [colours.PQ, colours.HLG])
def test_tone_curve_rises_from_black_to_white(transfer):
    signal = np.linspace(-0.5, 1.5, 2001)
    values = colours.curve(signal, transfer)
    assert np.all(np.diff(values) > 0)
    assert colours.curve(np.array([0.0, 1.0]), transfer) == pytest.approx([0, 1], abs=1e-6)


def test_tone_curve_puts_faces_where_sdr_has_them():
    # PQ codes of 50, 100 and 203 cd/m2 (ST 2084); HLG reference white 0.75 is 203 cd/m2 on a 1000 cd/m2 display.
    skin, bright_skin, white = colours.curve(np.array([0.4403, 0.5081, 0.5807]), colours.PQ)
    assert 0.55 < skin < bright_skin < white < 0.9
    assert colours.curve(np.array([0.75]), colours.HLG)[0] == pytest.approx(white, abs=0.03)


@pytest.mark.parametrize("transfer", [colours.PQ, colours.HLG, 1])
def test_tone_map_and_back_within_half_a_code_of_twelve_bits(transfer):
    signal = np.random.default_rng(3).uniform(-0.8, 1.9, (200, 50, 3)).astype(np.float32)
    back = colours.tone_unmap(colours.tone_map(signal, transfer), transfer)
    assert np.abs(back - signal).max() < 0.5 / 4095


def test_tables_follow_the_exact_curve():
    signal = np.linspace(0, 1, 999, dtype=np.float32).reshape(3, 333, 1).repeat(3, axis=2)
    exact = colours.curve(signal.astype(np.float64), colours.PQ)
    assert np.abs(colours.tone_map(signal, colours.PQ) - exact).max() < 1e-5
