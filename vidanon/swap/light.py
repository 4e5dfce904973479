"""Put a warped portrait into the light of the source: brightness and colour by ratio images, then contrast, sharpness
and grain.

All pictures are (S, S, 3) float32 R'G'B' in [0, 1]; ``region`` is (S, S) in [0, 1], where the face is. ``unit`` is the
eye distance in patch px.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vidanon.types import FloatArray

_BROAD = 0.7  #: sigma of the low band, share of the eye distance
_DARK = 0.02  #: below this a ratio says nothing
_RATIO = (0.2, 5.0)
_VIVID = (0.2, 1.3)
_PALE = 0.4  #: of a donor's colour where it is not that of lips or eyes: red cheeks would be smears in other light
_CONTRAST = (0.55, 1.25)
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_BLURS = (0.6, 1.0, 1.5, 2.2, 3.2)  #: px: what a donor is softened by to match the source
_GRAIN = 0.02  #: deviation of luma: no more grain than that
_CRISP = 0.55  #: times the footage's sharpness that a retouched face has: then it flickers no more than a plain one
_STEP = 0.15  #: of the eye distance: how far apart the two sides of an edge are looked for
_STRONG = 0.5  #: of the strongest edge, that others are asked
_SHARPEST = 5  #: percentile of their widths
_OWN = 0.55  #: px^2: what the filter that measures them adds
_WIDEST = 0.06  #: of the eye distance: what lies on a face is not blurred by more
_SHARP = 0.3  #: px: a blur so narrow changes nothing


@dataclass(frozen=True)
class Look:
    """What footage does to a face, as scalars that change slowly; NaN where not known."""

    contrast: float  #: deviation of luma between the fine and the low band
    fine: float  #: root mean square of the finest luma band (a Laplacian)
    edge: float = math.nan  #: px: how wide the edges around it are, as :func:`edge` measures it


@dataclass(frozen=True)
class Over:
    """Something on a face that is none of it."""

    colour: tuple[float, float, float]  #: of the light on the face, what comes back from it
    share: FloatArray  #: (S, S) in [0, 1], where it is


def luma(picture: FloatArray) -> FloatArray:
    """(H, W, 3) -> (H, W), by the weights of LUMA; a third of the time that a product takes."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.float32)


def to_rgb(plane: FloatArray) -> FloatArray:
    """(H, W) -> (H, W, 3): multiplied by it, a picture takes a fifth of the time that numpy takes to spread it."""
    return np.asarray(cv2.cvtColor(plane, cv2.COLOR_GRAY2RGB), np.float32)


def low_band(picture: FloatArray, region: FloatArray, unit: float) -> FloatArray:
    """The local mean over ``region`` (S, S, 3), as a Gaussian of _BROAD eye distances sees it."""
    height, width = region.shape
    sigma, less = _BROAD * unit, _shrink(_BROAD * unit)
    small = (max(1, width // less), max(1, height // less))
    area: FloatArray = np.asarray(cv2.resize(region, small, interpolation=cv2.INTER_AREA), np.float32)
    lit = cv2.resize(picture * to_rgb(region), small, interpolation=cv2.INTER_AREA)
    blurred = smoothed(np.dstack([lit, area]), sigma / less)
    low = blurred[..., :3] / np.maximum(blurred[..., 3:], 1e-3)
    return np.asarray(cv2.resize(low, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def relit(
    donor: FloatArray, donor_low: FloatArray, source_low: FloatArray, region: FloatArray, own: FloatArray
) -> FloatArray:
    """The donor's detail over the source's low band: luma by ratio images (Shashua and Riklin-Raviv 2001); chroma by
    difference, as strong as the source's own is where ``own`` (S, S) is 1, and weaker where it is 0."""
    had, wanted = luma(donor_low), luma(source_low)
    ratio = np.clip((wanted + _DARK) / (had + _DARK), *_RATIO)
    vivid = _vivid(source_low, wanted, region) / max(_vivid(donor_low, had, region), 1e-3)
    gain = np.float32(np.clip(vivid, *_VIVID)) * (np.float32(_PALE) + np.float32(1 - _PALE) * own)
    # ratio (luma + gain chroma) + low chroma - gain ratio (the donor's low chroma), in few passes
    out = (donor - donor_low) * to_rgb(gain * ratio)
    out += source_low
    out += to_rgb((1 - gain) * ratio * luma(donor) + gain * ratio * had - wanted)
    return np.asarray(np.clip(out, 0, 1, out=out), np.float32)


def _vivid(picture: FloatArray, grey: FloatArray, region: FloatArray) -> float:
    """Mean chroma over mean luma inside the region."""
    picture, grey, inside = picture[::4, ::4], grey[::4, ::4], region[::4, ::4] > 0.5  # smooth: a part of it will do
    if not inside.any():
        return 0.0
    away = np.linalg.norm(picture[inside] - grey[inside][:, None], axis=1)
    return float(away.mean() / max(float(grey[inside].mean()), _DARK))


def look(picture: FloatArray, region: FloatArray, unit: float) -> Look:
    """Measure a face's contrast and fine detail inside ``region``."""
    grey = luma(picture)
    inside = region > 0.5
    if inside.sum() < 16:
        return Look(float("nan"), float("nan"))
    middle = smoothed(grey, 0.04 * unit) - smoothed(grey, _BROAD * unit)
    return Look(float(middle[inside].std()), _fine(grey, inside))


def edge(picture: FloatArray, unit: float) -> float:
    """px: sigma of the Gaussian that the sharpest edges of a picture look blurred by; NaN where it has none.

    A step that is blurred rises by 1 / (sqrt(2 pi) sigma) of its height a pixel.
    """
    grey = luma(picture)
    reach = 2 * max(1, round(_STEP * unit / 2)) + 1
    kernel = np.ones((reach, reach), np.uint8)
    height = cv2.dilate(grey, kernel) - cv2.erode(grey, kernel)
    rise = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=1 / 8))
    strong = (height >= max(_STRONG * float(height.max()), _DARK)) & (rise > 0)
    if not strong.any():
        return math.nan
    sigmas = height[strong] / (np.float32(math.sqrt(2 * math.pi)) * rise[strong])
    return math.sqrt(max(float(np.percentile(sigmas, _SHARPEST)) ** 2 - _OWN, 0))


def matched(
    donor: FloatArray,
    donor_low: FloatArray,
    region: FloatArray,
    unit: float,
    wanted: Look,
    rng: np.random.Generator,
    bold: float | None = None,
    over: Over | None = None,
) -> FloatArray:
    """``donor`` (already relit; ``donor_low`` its low band) with the contrast, sharpness and grain of ``wanted``.

    bold: of a retouched face, times the contrast wanted, at least 1, that it may have, but no more than it has by
    itself; it is less sharp, then. over: lies on the face, as sharp as its
    surroundings are.
    """
    has = look(donor, region, unit)
    out, width = donor, 0.0
    if np.isfinite(wanted.contrast) and np.isfinite(has.contrast) and has.contrast > 1e-4:
        gain = float(np.clip(wanted.contrast / has.contrast, *_CONTRAST))
        gain = max(gain, min((bold or 1.0) * gain, 1.0))
        out = np.asarray(donor_low + (donor - donor_low) * np.float32(gain), np.float32)
        has = Look(has.contrast * gain, has.fine * gain)
    if np.isfinite(wanted.fine) and np.isfinite(has.fine):
        if has.fine > wanted.fine:
            crisp = wanted.fine * (1.0 if bold is None else _CRISP)
            if has.fine > crisp:
                width = _softness(out, region, crisp)
        elif wanted.fine > has.fine * 1.05:
            missing = float(np.sqrt(wanted.fine**2 - has.fine**2))
            # softened a little, as a codec leaves it
            noise = cv2.GaussianBlur(rng.standard_normal(donor.shape[:2], np.float32), (0, 0), 0.7)
            grain: FloatArray = np.asarray(noise / max(float(noise.std()), 1e-6), np.float32)
            strength = min(missing / max(_fine(grain, region > 0.5), 1e-6), _GRAIN)
            out = np.asarray(out + to_rgb(grain * np.float32(strength)), np.float32)
    if width >= _SHARP:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), width), np.float32)
    if over is not None and over.share.any():
        out = _overlaid(out, donor_low, over, float(np.clip(np.nan_to_num(wanted.edge), _SHARP, _WIDEST * unit)))
    return np.asarray(np.clip(out, 0, 1), np.float32)


def _overlaid(picture: FloatArray, light: FloatArray, over: Over, sigma: float) -> FloatArray:
    """``picture`` with what lies on it, its edges blurred by ``sigma`` px."""
    rows, margin = np.flatnonzero(over.share.any(1)), int(4 * sigma) + 1
    here = slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin)  # a few of all rows
    share = to_rgb(np.asarray(cv2.GaussianBlur(over.share[here], (0, 0), sigma), np.float32))
    out = picture.copy()
    out[here] += share * (light[here] * np.array(over.colour, np.float32) - out[here])
    return out


def _softness(picture: FloatArray, region: FloatArray, fine: float) -> float:
    """px: how wide a blur leaves the finest band of ``picture`` as weak as ``fine``."""
    inside = region > 0.5
    grey = luma(picture)
    before, width = _fine(grey, inside), 0.0
    for sigma in _BLURS:
        has = _fine(np.asarray(cv2.GaussianBlur(grey, (0, 0), sigma), np.float32), inside)
        if has <= fine:
            width += (sigma - width) * min(1.0, (before - fine) / max(before - has, 1e-9))
            break
        before, width = has, sigma
    return width


def _fine(grey: FloatArray, inside: npt.NDArray[np.bool_]) -> float:
    return float(np.sqrt((cv2.Laplacian(grey, cv2.CV_32F)[inside] ** 2).mean()))


def _shrink(sigma: float) -> int:
    """How much smaller a picture may be before a blur that wide."""
    factor = 1
    while sigma / factor >= 6 and factor < 16:
        factor *= 2
    return factor


def smoothed(picture: FloatArray, sigma: float) -> FloatArray:
    """Gaussian blur; a wide one at a fraction of the size, which shows no difference and costs a fraction."""
    factor = _shrink(sigma)
    if factor == 1:
        return np.asarray(
            cv2.GaussianBlur(picture, (0, 0), max(sigma, 0.1), borderType=cv2.BORDER_REPLICATE), np.float32
        )
    height, width = picture.shape[:2]
    small = cv2.resize(picture, (max(1, width // factor), max(1, height // factor)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
