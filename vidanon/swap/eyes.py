"""Eyes drawn anew: the donor's own irises, looking where they are told to, between lids as open as the target's.

A warp alone moves neither: it squeezes the donor's eye into the opening. So an eyeball is made once from what the
donor's portrait shows of it, and painted into every opening, with the lids' shadow and the lash line over it. Nothing
of the footage's own eyes is looked at.

Pictures are (H, W, 3) float32 R'G'B' in [0, 1]; places are px with pixel centres at +0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vidanon.faces.mesh_points import eye_distance
from vidanon.swap.base import Donor
from vidanon.swap.eye_texture import LUMA, RINGS, SPOKES, Eyeball, Lids, eyeball, lids, shading, skin_around
from vidanon.swap.iris import EYES, TRUSTED, EyeFrame, eye_frame, find_irises, gaze
from vidanon.types import FloatArray

Array = npt.NDArray[Any]

_FINE = 8.0  # px that an iris' radius is drawn with at least, before it is averaged down
_FINEST = 4  # but not more than so many times the size
_EDGE = 0.8  # px over which an opening's rim fades
_LIMBUS = 0.2  # radii over which an iris goes over into the sclera
_LASH = (0.022, 0.030)  # half the lash line's thickness at the inner and the outer corner, the same
_LASH_ALPHA = 0.9
_WET, _WET_AT = 0.3, 0.025  # the lower lid's light rim: how light, how far up
_RIM = (0.03, 0.07)  # the skin drawn under the lower lid: as far down it is solid, and where it ends
_THINNEST = 0.45  # px: a lash line is not thinner
_GLINT, _GLINT_AT = 0.15, (-0.28, -0.3)  # the catch light: its radius and place, radii of the iris
_SHUT, _OPEN = 0.25, 0.6  # radii: an opening less high shows no eyeball; one higher shows all of it
_GAIN = (0.05, 4.0)
_FARTHEST = 0.34  # shares of the eye's width: an iris does not go beyond


@dataclass(frozen=True)
class Eyeballs:
    """A donor's eyes."""

    balls: tuple[Eyeball, Eyeball]  #: the one on the picture's left first
    radius: float  #: of the irises, share of the eye distance
    gaze: FloatArray  #: (2,) where the donor looks, as :func:`vidanon.swap.iris.gaze` gives it


def prepare(donor: Donor) -> Eyeballs:
    """Make a donor's eyeballs. Raises ValueError where its eyes are not seen: choose another donor."""
    picture = donor.image.astype(np.float32) / np.float32(255)
    irises = find_irises(donor.image, donor.points, sized=True)
    looks = gaze(irises, donor.points)
    if not np.isfinite(looks).all():
        raise ValueError(f"donor {donor.name}: its irises are not seen")
    balls = []
    for which, eye in enumerate(EYES):
        centre = irises.centre[which]
        if irises.confidence[which] < TRUSTED:  # the other eye knows better where both look
            centre = eye_frame(donor.points, eye).to_picture(looks)
        balls.append(eyeball(picture, donor.points, which, centre, float(irises.radius[which])))
    # small pictures show little of it: each eye's own sclera counts half, and half what both show beside their skin
    ratio = np.sqrt(np.prod([float(ball.sclera @ LUMA) / max(float(ball.skin @ LUMA), 0.02) for ball in balls]))
    first, second = (_with_sclera(ball, ratio) for ball in balls)
    unit = float(eye_distance(donor.points))
    return Eyeballs((first, second), float(irises.radius.mean()) / unit, looks)


def _with_sclera(ball: Eyeball, ratio: float) -> Eyeball:
    own = max(float(ball.sclera @ LUMA), 1e-3)
    gain = np.sqrt(max(ratio * float(ball.skin @ LUMA), 1e-3) / own)
    return replace(ball, sclera=np.asarray(np.clip(ball.sclera * gain, 0, 1), np.float32))


def draw_eyes(patch: FloatArray, points: FloatArray, balls: Eyeballs, looks: FloatArray) -> FloatArray:
    """patch: the donor's face as it was warped onto ``points`` (468, 2 or 3) px -> the same with its eyes drawn.

    looks: (2,) the gaze wanted, as :func:`vidanon.swap.iris.gaze` gives it; the donor's own where it is NaN. The
    openings are those of the mesh. Light comes from the skin around the eyes of ``patch``. ValueError for another
    shape.
    """
    if patch.ndim != 3 or patch.shape[2] != 3 or points.shape not in ((468, 2), (468, 3)):
        raise ValueError(f"patch {patch.shape}, points {points.shape}: (H, W, 3) and (468, 2 or 3) wanted")
    out = patch.copy()
    if not np.isfinite(points).all():
        return out
    radius = balls.radius * float(eye_distance(points))
    wanted = np.where(np.isfinite(looks), looks, balls.gaze).clip(-_FARTHEST, _FARTHEST)
    places = []
    for which, ball in enumerate(balls.balls):
        skin = skin_around(patch, points, which)
        if np.isfinite(skin).all():
            frame = eye_frame(points, EYES[which])
            lit = np.clip(skin / np.maximum(ball.skin, 0.02), *_GAIN).astype(np.float32)
            place = _Place(frame, lids(points, EYES[which], frame), which, ball, lit)
            window = place.window(out.shape[1], out.shape[0])
            if window is not None:
                places.append((place, window))
    if places:
        _draw(out, [place for place, _ in places], np.array([window for _, window in places]), radius, wanted)
    return out


@dataclass(frozen=True)
class _Place:
    """Where an eye is to be drawn, which, and in what light."""

    frame: EyeFrame
    curves: Lids
    which: int  #: 0: the eye on the picture's left
    ball: Eyeball
    lit: FloatArray  #: (3,) how much more light there is than in the portrait

    @property
    def wide(self) -> float:
        """px: the eye's width in space."""
        return float(np.linalg.norm(self.frame.down))

    @property
    def long(self) -> float:
        """px: its width in the picture."""
        return float(np.linalg.norm(self.frame.along))

    def window(self, width: int, height: int) -> tuple[int, int, int, int] | None:
        """x0, y0, x1, y1: the pixels of a picture that it may touch; None where there are none."""
        rim = self.frame.to_picture(np.stack([self.curves.x, self.curves.y], -1).reshape(-1, 2))
        margin = max(3 * _LASH[1], _RIM[1]) * self.wide + 1
        x0, y0 = (max(0, int(v)) for v in np.floor(rim.min(0) - margin))
        x1, y1 = (min(side, int(v)) for side, v in zip((width, height), np.ceil(rim.max(0) + margin), strict=True))
        return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None


def _draw(out: FloatArray, places: Sequence[_Place], windows: Array, radius: float, looks: Array) -> None:
    """Paint N eyes into ``out``, all at once: what they take is many steps, each on few pixels.

    windows: (N, 4) x0, y0, x1, y1; radius: of the irises, px; looks: (2,).
    """
    width, height = (windows[:, 2:] - windows[:, :2]).max(0).tolist()
    corners = np.minimum(windows[:, :2], np.array(out.shape[1::-1]) - (width, height))  # windows of one size
    fine = int(np.clip(np.ceil(_FINE / max(radius, 0.1)), 1, _FINEST))
    px, py = (
        (np.arange(side * fine, dtype=np.float32) + np.float32(0.5)) / np.float32(fine)
        + np.stack([corner - place.frame.middle for corner, place in zip(corners, places, strict=True)])[:, axis, None]
        for axis, side in enumerate((width, height))
    )
    layers = _layers(px[:, None, :].astype(np.float32), py[:, :, None].astype(np.float32), places, radius, looks)
    for (x0, y0), place, planes in zip(corners.tolist(), places, layers.swapaxes(0, 1), strict=True):
        red, green, blue, alpha, margin = (
            planes if fine == 1 else [cv2.resize(p, (width, height), interpolation=cv2.INTER_AREA) for p in planes]
        )
        part = out[y0 : y0 + height, x0 : x0 + width]
        # what the portrait's own eye leaves under the lower lid goes: skin from a little below comes up
        shift = place.frame.down * np.float32(_RIM[1])
        move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        skin = cv2.warpAffine(part, move, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        part += (skin - part) * cv2.merge([margin] * 3)
        part *= cv2.merge([1 - alpha] * 3)
        part += cv2.merge([red, green, blue])


def _layers(px: Array, py: Array, places: Sequence[_Place], radius: float, looks: Array) -> FloatArray:
    """(5, N, h, w): three colours times alpha, alpha, and the lower lids' rims. px (N, 1, w), py (N, h, 1) from the
    eyes' middles. By plane: numpy is slow where a colour lies beside each pixel."""
    wide, long = _each([place.wide for place in places]), _each([place.long for place in places])
    right, below_it = (_each([place.frame.along[axis] / place.long for place in places]) for axis in (0, 1))
    # px in the eyes' directions, then shares of their widths
    across = right * px + below_it * py
    down = right * py - below_it * px
    u = across / long
    upper, lower = (
        np.stack([
            np.interp(of.ravel(), place.curves.x[k], place.curves.y[k]).reshape(of.shape)
            for of, place in zip(u, places, strict=True)
        ]).astype(np.float32)
        for k in (0, 1)
    )  # fmt: skip
    below = down - upper * wide  # px under the upper lids
    above = lower * wide - down  # px over the lower ones
    first, last = (_each([place.curves.x[:, end].mean() for place in places]) for end in (0, -1))
    beside = np.minimum(u - first, last - u) * long
    alpha = _step(below, _EDGE) * _step(above, _EDGE) * _step(beside, _EDGE)

    x = across - np.float32(looks[0]) * long
    y = down - np.float32(looks[1]) * wide
    colour = _balls(u, x, y, places, radius)
    colour *= shading(u, below / wide)
    wet = np.float32(_WET) * np.exp(
        -np.square((above - np.float32(_WET_AT) * wide) / (np.float32(0.6 * _WET_AT) * wide))
    )
    pale = _colours([0.5 * place.ball.sclera + 0.5 * place.ball.skin for place in places])
    colour += (pale - colour) * wet
    opened = [
        float(np.clip((place.curves.height * place.wide / radius - _SHUT) / (_OPEN - _SHUT), 0, 1)) for place in places
    ]
    if min(opened) < 1:
        share = _each(opened)
        colour = colour * share + _colours([place.ball.lid for place in places]) * (1 - share)

    side = _each([-1 if place.which == 0 else 1 for place in places])
    outer = (np.float32(0.5) + side * u).clip(0, 1)
    thick = np.maximum((np.float32(_LASH[0]) + np.float32(_LASH[1] - _LASH[0]) * outer) * wide, np.float32(_THINNEST))
    taper = np.clip(beside / (np.float32(0.08) * wide) + np.float32(0.5), 0, 1)
    lash = np.float32(_LASH_ALPHA) * np.exp(-np.square((below + np.float32(0.3) * thick) / thick)) * taper
    shown = alpha * (1 - lash)
    out = np.empty((5, *u.shape), np.float32)
    np.add(shown, lash, out=out[3])
    lit = _colours([place.lit for place in places])
    out[:3] = (colour * shown + _colours([place.ball.lash for place in places]) * lash) * lit
    np.minimum(out[:3], out[3], out=out[:3])
    fade = np.float32(_RIM[1] - _RIM[0]) * wide
    out[4] = np.clip((np.float32(_RIM[1]) * wide + above) / fade, 0, 1) * _step(-above, _EDGE) * taper
    return out


def _balls(u: Array, x: Array, y: Array, places: Sequence[_Place], radius: float) -> FloatArray:
    """(3, N, h, w) eyeballs without lids; u in shares of an eye's width, x and y px from its iris' centre."""
    balls = [place.ball for place in places]
    colour = np.broadcast_to(_colours([ball.sclera for ball in balls]), (3, *u.shape)).copy()
    inner = _each([1 if place.which == 0 else -1 for place in places]) * u - np.float32(0.36)
    flesh = np.clip(inner / np.float32(0.1) + np.float32(0.5), 0, 1) * np.float32(0.75)
    red = _colours([np.array([1.0, 0.72, 0.68], np.float32) * float(ball.skin @ LUMA) for ball in balls])
    colour += (red - colour) * flesh
    x, y = x / np.float32(radius), y / np.float32(radius)
    far, angle = np.hypot(x, y), np.arctan2(y, x)
    angle += (angle < 0) * np.float32(2 * np.pi)
    angle *= np.float32(SPOKES / (2 * np.pi))
    ring = np.minimum(far * np.float32(RINGS) - np.float32(0.5), RINGS - 1)
    seen = np.stack([
        cv2.remap(texture, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for texture, at in zip(
            [np.concatenate([ball.iris, ball.iris[:, :1]], 1) for ball in balls],
            zip(angle, ring, strict=True), strict=True,
        )
    ])  # fmt: skip
    colour += (seen.transpose(3, 0, 1, 2) - colour) * _step(1 - far, _LIMBUS)
    glint = np.hypot(x - np.float32(_GLINT_AT[0]), y - np.float32(_GLINT_AT[1]))
    bright = np.clip(np.float32(1.4) - glint / np.float32(_GLINT), 0, 1) * np.float32(0.8)
    white = _colours([np.full(3, min(1.0, 1.3 * float(ball.sclera @ LUMA)), np.float32) for ball in balls])
    colour += (white - colour) * bright
    return np.asarray(colour, np.float32)


def _each(values: Sequence[Any]) -> FloatArray:
    """(N, 1, 1): a number for each eye."""
    return np.array(values, np.float32)[:, None, None]


def _colours(values: Sequence[FloatArray]) -> FloatArray:
    """(3, N, 1, 1): a colour for each eye."""
    return np.stack(values, 1).astype(np.float32)[..., None, None]


def _step(value: Array, soft: float) -> Array:
    """0 below 0, 1 above it, going over within ``soft``."""
    return np.clip(value / np.float32(max(soft, 1e-3)) + np.float32(0.5), 0, 1)
