"""One person out of several portraits: the mean of their shapes, and features of each, sharp.

An average of pictures is waxy. So every portrait is warped onto the common mesh, and each feature (eyes with brows,
nose, mouth) is taken from one of them; the fine bands are joined along narrow seams, the coarse ones along wide ones,
and the coarsest, light and colour, are averaged inside the face. Hair, neck and background are the first portrait's
alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from scipy.interpolate import LinearNDInterpolator

from vidanon.faces.align import invert
from vidanon.faces.mesh_points import LEFT_BROW, LEFT_EYE, LIPS_OUTER, NOSE, OVAL, RIGHT_BROW, RIGHT_EYE
from vidanon.swap.portraits import EYES, SIDE, Portrait, moved, to_canvas
from vidanon.types import FloatArray

#: points whose hull is a feature, and px that it is grown by
FEATURES = {
    "eyes": (((*RIGHT_EYE, *RIGHT_BROW, *LEFT_EYE, *LEFT_BROW),), 0.07),
    "nose": ((NOSE,), 0.03),
    "mouth": ((LIPS_OUTER,), 0.12),
}
_SIGMAS = (0.012, 0.025, 0.05, 0.1, 0.2)  # of the eye distance: blur between bands
_SEAM = 1.6  # of a band's sigma: blur of its seams
_LEAST_SEAM = 0.05  # of the eye distance
_INSIDE = 0.28  # of the eye distance: how far inside the oval the averaged light begins
_ANCHORS = 9  # on each side of the picture: points that keep their place
_OUTSIDE = 0.12  # of the side: how far outside the picture they lie

Image = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Mix:
    """Who gives what."""

    shape: tuple[float, ...]  #: weights of the parents' meshes, of sum 1
    light: tuple[float, ...]  #: weights of their coarse light inside the face, of sum 1
    features: dict[str, int]  #: feature -> parent; what is not named is the first parent's
    stronger: float = 1.0  #: the mean shape's difference from the usual one times this
    bent: FloatArray | None = None  #: (468, 3) px of the canvas, added to the shape


def on_canvas(portrait: Portrait) -> FloatArray:
    """(468, 3): a portrait's mesh in a donor's framing."""
    return moved(portrait.points, to_canvas(portrait.points))


def mix_shape(meshes: Sequence[FloatArray], mix: Mix, average: FloatArray) -> FloatArray:
    """(468, 3) px of the canvas: meshes on the canvas, mixed and taken away from ``average``, the usual mesh there."""
    mean = np.einsum("p,pnd->nd", np.array(mix.shape), np.stack(meshes))
    shape = average + (mean - average) * mix.stronger
    return np.asarray(shape if mix.bent is None else shape + mix.bent, np.float32)


def draw_bend(meshes: FloatArray, amount: float, generator: np.random.Generator) -> FloatArray:
    """(468, 3): a random difference as (N, 468, 3) ``meshes`` have from their mean, times ``amount``."""
    weights = generator.normal(size=len(meshes)) * amount / np.sqrt(max(1, len(meshes) - 1))
    return np.asarray(np.einsum("p,pnd->nd", weights, meshes - meshes.mean(0)), np.float32)


def morph(parents: Sequence[Portrait], mix: Mix, average: FloatArray) -> Portrait:
    """A new person, in a donor's framing. ``average``: (468, 3), the usual mesh on the canvas."""
    points = mix_shape([on_canvas(parent) for parent in parents], mix, average)
    warped = _warp_all(parents, points)
    oval = _hull(points, OVAL, 0.0)
    warped = [warped[0], *(_coloured(other, warped[0], oval) for other in warped[1:])]
    shares = _shares(points, mix, len(parents))
    out = np.zeros_like(warped[0])
    finer = warped
    for sigma in _SIGMAS:
        coarser = [_blur(image, sigma * EYES) for image in finer]
        seam = max(_LEAST_SEAM, sigma * _SEAM) * EYES
        for share, fine, coarse in zip(_blurred(shares, seam), finer, coarser, strict=True):
            out += share[..., None] * (fine - coarse)
        finer = coarser
    inside = _blur(np.asarray(cv2.erode(oval, _disc(_INSIDE * EYES)), np.float32), _INSIDE * EYES / 2)[..., None]
    mean = np.einsum("p,phwc->hwc", np.array(mix.light, np.float32), np.stack(finer))
    out += inside * mean + (1 - inside) * finer[0]
    return Portrait(out.clip(0, 255).round().astype(np.uint8), points)


def mirrored(portrait: Portrait, mirror: npt.NDArray[Any]) -> Portrait:
    """The mirror image; ``mirror``: (468,) where each point goes."""
    points = portrait.points[mirror] * np.array([-1, 1, 1], np.float32)
    points[:, 0] += portrait.image.shape[1]
    return Portrait(np.ascontiguousarray(portrait.image[:, ::-1]), points)


def _warp_all(parents: Sequence[Portrait], points: FloatArray) -> list[Image]:
    """Each parent's picture on the canvas, its mesh at ``points``: affine in each triangle, the border in place."""
    edge = np.linspace(-_OUTSIDE, 1 + _OUTSIDE, _ANCHORS) * SIDE
    ring = np.array([(x, y) for x in edge for y in edge if edge[0] in (x, y) or edge[-1] in (x, y)])
    sources = [np.concatenate([p.points[:, :2], _through(invert(to_canvas(p.points)), ring)]) for p in parents]
    where = LinearNDInterpolator(np.concatenate([points[:, :2], ring]), np.concatenate(sources, 1))
    every = np.arange(SIDE // 2) * 2 + 1.0  # every second pixel: looking up triangles is what takes long
    coarse = where(np.stack(np.meshgrid(every, every), -1)).astype(np.float32)
    maps = np.stack([cv2.resize(plane, (SIDE, SIDE)) for plane in np.moveaxis(coarse, 2, 0)], 2)
    maps -= np.float32(0.5)  # pixel centres at +0.5 here, at 0 in OpenCV
    return [
        cv2.remap(
            p.image, maps[..., 2 * i], maps[..., 2 * i + 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        ).astype(np.float32)
        for i, p in enumerate(parents)
    ]  # fmt: skip


def _through(transform: FloatArray, points: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return points @ transform[:, :2].T.astype(np.float64) + transform[:, 2]


def _coloured(image: Image, like: Image, where: Image) -> Image:
    """``image`` with the mean and spread of each channel that ``like`` has inside the face."""
    inside = where > 0.5
    own, other = image[inside], like[inside]
    gain = (other.std(0) / np.maximum(own.std(0), 1)).clip(0.75, 1.33)
    return np.asarray((image - own.mean(0)) * gain + other.mean(0), np.float32)


def _shares(points: FloatArray, mix: Mix, count: int) -> list[Image]:
    """For each parent, 0..1 where its detail is taken; they sum to 1."""
    shares = [np.zeros((SIDE, SIDE), np.float32) for _ in range(count)]
    shares[0] += 1
    for name, giver in mix.features.items():
        parts, grown = FEATURES[name]
        for part in parts:
            mask = _hull(points, part, grown)
            for i, share in enumerate(shares):
                shares[i] = share * (1 - mask) + (mask if i == giver else 0)
    return shares


def _hull(points: FloatArray, which: Sequence[int], grown: float) -> Image:
    """1 inside the hull of points, grown by a share of the eye distance."""
    mask = np.zeros((SIDE, SIDE), np.float32)
    hull = cv2.convexHull((points[list(which), :2] - 0.5).round().astype(np.int32))
    cv2.fillConvexPoly(mask, hull, 1.0)
    return np.asarray(cv2.dilate(mask, _disc(grown * EYES)), np.float32) if grown else mask


def _disc(radius: float) -> npt.NDArray[np.uint8]:
    side = 2 * round(radius) + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)), np.uint8)


def _blurred(shares: Sequence[Image], sigma: float) -> list[Image]:
    return [_blur(share, sigma) for share in shares]


def _blur(image: Image, sigma: float) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), np.float32)
