"""Eyes drawn anew: the donor's own irises, looking where they are told to, between lids as open as the target's.

A warp alone moves neither: it squeezes the donor's eye into the opening. So an eyeball is made once from what the
donor's portrait shows of it, and painted into every opening, with the lids' shadow and the lash line over it. Nothing
of the footage's own eyes is looked at.

Pictures are (H, W, 3) float32 R'G'B' in [0, 1]; places are px with pixel centres at +0.5.
"""

from __future__ import annotations

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
    for which, ball in enumerate(balls.balls):
        skin = skin_around(patch, points, which)
        if np.isfinite(skin).all():
            frame = eye_frame(points, EYES[which])
            lit = np.clip(skin / np.maximum(ball.skin, 0.02), *_GAIN).astype(np.float32)
            _draw(out, _Place(frame, lids(points, EYES[which], frame), radius, wanted, which), ball, lit)
    return out


@dataclass(frozen=True)
class _Place:
    """Where an eye is to be drawn."""

    frame: EyeFrame
    curves: Lids
    radius: float  #: px, of the iris
    looks: Array  #: (2,)
    which: int  #: 0: the eye on the picture's left

    @property
    def wide(self) -> float:
        """px: the eye's width in space."""
        return float(np.linalg.norm(self.frame.down))


def _draw(out: FloatArray, place: _Place, ball: Eyeball, lit: FloatArray) -> None:
    """Paint one eye into ``out``; ``lit`` (3,): how much more light there is than in the portrait."""
    wide = place.wide
    rim = place.frame.to_picture(np.stack([place.curves.x, place.curves.y], -1).reshape(-1, 2))
    margin = max(3 * _LASH[1], _RIM[1]) * wide + 1
    x0, y0 = (max(0, int(v)) for v in np.floor(rim.min(0) - margin))
    x1, y1 = (min(side, int(v)) for side, v in zip(out.shape[1::-1], np.ceil(rim.max(0) + margin), strict=True))
    if x1 <= x0 or y1 <= y0:
        return
    fine = int(np.clip(np.ceil(_FINE / max(place.radius, 0.1)), 1, _FINEST))
    px = (np.arange((x1 - x0) * fine, dtype=np.float32) + np.float32(0.5)) / np.float32(fine) + np.float32(x0)
    py = (np.arange((y1 - y0) * fine, dtype=np.float32) + np.float32(0.5)) / np.float32(fine) + np.float32(y0)
    layer, margin_alpha = _layer(px - place.frame.middle[0], py - place.frame.middle[1], place, ball, lit)
    if fine > 1:
        size = (x1 - x0, y1 - y0)
        layer = np.asarray(cv2.resize(layer, size, interpolation=cv2.INTER_AREA), np.float32)
        margin_alpha = np.asarray(cv2.resize(margin_alpha, size, interpolation=cv2.INTER_AREA), np.float32)
    part = out[y0:y1, x0:x1]
    # what the portrait's own eye leaves under the lower lid goes: skin from a little below comes up
    shift = place.frame.down * np.float32(_RIM[1])
    move = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    skin = cv2.warpAffine(part, move, (x1 - x0, y1 - y0), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    part += (skin - part) * margin_alpha[..., None]
    part *= 1 - layer[..., 3:]
    part += layer[..., :3]


def _layer(px: Array, py: Array, place: _Place, ball: Eyeball, lit: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(h, w, 4) colours times alpha, and alpha; (h, w) the lower lid's rim. px (w,), py (h,) from the eye's middle."""
    curves, radius = place.curves, place.radius
    wide, long = place.wide, float(np.linalg.norm(place.frame.along))
    ex, ey = (place.frame.along / long).tolist()
    # px in the eye's directions, then shares of its width
    across = np.float32(ex) * px[None] + np.float32(ey) * py[:, None]
    down = np.float32(-ey) * px[None] + np.float32(ex) * py[:, None]
    u = across / np.float32(long)
    upper, lower = (np.interp(u.ravel(), curves.x[k], curves.y[k]).reshape(u.shape).astype(np.float32) for k in (0, 1))
    below = down - upper * np.float32(wide)  # px under the upper lid
    above = lower * np.float32(wide) - down  # px over the lower one
    ends = float(curves.x[:, 0].mean()), float(curves.x[:, -1].mean())
    beside = np.minimum(u - np.float32(ends[0]), np.float32(ends[1]) - u) * np.float32(long)
    alpha = _step(below, _EDGE) * _step(above, _EDGE) * _step(beside, _EDGE)

    x = across - np.float32(place.looks[0] * long)
    y = down - np.float32(place.looks[1] * wide)
    colour = _ball(u, x, y, ball, radius, place.which)
    colour *= shading(u, below / np.float32(wide))[..., None]
    wet = np.float32(_WET) * np.exp(-np.square((above - _WET_AT * wide) / np.float32(0.6 * _WET_AT * wide)))
    pale = 0.5 * ball.sclera + 0.5 * ball.skin
    colour += (pale - colour) * wet[..., None]
    opened = float(np.clip((curves.height * wide / radius - _SHUT) / (_OPEN - _SHUT), 0, 1))
    if opened < 1:
        colour = colour * np.float32(opened) + ball.lid * np.float32(1 - opened)

    outer = (np.float32(0.5) - u if place.which == 0 else u + np.float32(0.5)).clip(0, 1)
    thick = np.maximum((np.float32(_LASH[0]) + np.float32(_LASH[1] - _LASH[0]) * outer) * np.float32(wide), _THINNEST)
    taper = _step(beside, 0.08 * wide)
    lash = (np.float32(_LASH_ALPHA) * np.exp(-np.square((below + 0.3 * thick) / thick)) * taper)[..., None]
    layer = np.empty((*u.shape, 4), np.float32)
    layer[..., 3:] = alpha[..., None] * (1 - lash) + lash
    layer[..., :3] = (colour * alpha[..., None] * (1 - lash) + ball.lash * lash) * lit
    np.minimum(layer[..., :3], layer[..., 3:], out=layer[..., :3])
    fade = _RIM[1] - _RIM[0]
    margin = (
        np.clip((np.float32(_RIM[1] * wide) + above) / np.float32(fade * wide), 0, 1) * _step(-above, _EDGE) * taper
    )
    return layer, margin


def _ball(u: Array, x: Array, y: Array, ball: Eyeball, radius: float, which: int) -> FloatArray:
    """(h, w, 3) the eyeball without lids; u in shares of the eye's width, x and y px from the iris' centre."""
    colour = np.broadcast_to(ball.sclera, (*u.shape, 3)).copy()
    inner = (u if which == 0 else -u) - np.float32(0.36)
    flesh = np.clip(inner / np.float32(0.1) + np.float32(0.5), 0, 1)[..., None] * np.float32(0.75)
    red = np.array([1.0, 0.72, 0.68], np.float32) * float(ball.skin @ LUMA)
    colour += (red - colour) * flesh
    far, angle = cv2.cartToPolar(x, y)
    far /= np.float32(radius)
    texture = np.concatenate([ball.iris, ball.iris[:, :1]], 1)
    seen = cv2.remap(
        texture,
        angle * np.float32(SPOKES / (2 * np.pi)),
        np.minimum(far * np.float32(RINGS) - np.float32(0.5), RINGS - 1),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    colour += (seen - colour) * _step(1 - far, _LIMBUS)[..., None]
    glint = np.hypot(
        x / np.float32(radius) - np.float32(_GLINT_AT[0]), y / np.float32(radius) - np.float32(_GLINT_AT[1])
    )
    bright = np.clip(np.float32(1.4) - glint / np.float32(_GLINT), 0, 1)[..., None] * np.float32(0.8)
    white = np.full(3, min(1.0, 1.3 * float(ball.sclera @ LUMA)), np.float32)
    colour += (white - colour) * bright
    return np.asarray(colour, np.float32)


def _step(value: Array, soft: float) -> Array:
    """0 below 0, 1 above it, going over within ``soft``."""
    return np.clip(value / np.float32(max(soft, 1e-3)) + np.float32(0.5), 0, 1)
