"""Drawing heads: any size, roll, yaw and blur, with the inner face's pixels known exactly."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from tests.bench.portraits import Portrait
from tests.bench.truth import Mask

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class Head:
    """Draws one portrait at any size, roll and yaw."""

    def __init__(self, portrait: Portrait) -> None:
        self.portrait = portrait
        alpha = portrait.rgba[..., 3:].astype(np.float32) / 255
        self._levels: dict[int, Floats] = {0: np.dstack([portrait.rgba[..., :3] * alpha, alpha]).astype(np.float32)}

    def _level(self, scale: float) -> tuple[Floats, float]:
        """The patch shrunk by area averaging to at most 1.3 times what is needed, and its scale."""
        step = max(0, int(np.floor(-np.log2(max(scale, 1e-3)) * 3)))
        if step not in self._levels:
            factor = 2 ** (-step / 3)
            self._levels[step] = np.asarray(
                cv2.resize(self._levels[0], None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.float32
            )
        return self._levels[step], 2 ** (-step / 3)

    def draw(
        self, x: float, y: float, size: float, roll: float, yaw: float
    ) -> tuple[Floats, Mask, tuple[int, int], tuple[float, float], tuple[float, float], float]:
        """Premultiplied RGBA, the inner face's pixels, the patch's corner in the frame, centre, half axes, angle.

        ``x, y`` is where the middle of the unturned face goes; a turned face's ellipse lies beside it.
        """
        p = self.portrait
        scale = size / p.size
        patch, level = self._level(scale)
        centre = (p.centre[0] * level, p.centre[1] * level)
        half = (p.axes[0] * level, p.axes[1] * level)
        offset = 0.0
        if abs(yaw) > 1:
            patch, offset, across = turn(patch, centre[0], half[0], yaw)
            half = (across, half[1])
        fine = scale / level
        radians = np.radians(roll)
        cos, sin = float(np.cos(radians)) * fine, float(np.sin(radians)) * fine
        h, w = patch.shape[:2]
        corners = np.array([[0, 0], [w, 0], [0, h], [w, h]], np.float64) - centre
        spread = corners @ np.array([[cos, sin], [-sin, cos]])
        low = np.floor(spread.min(0) + (x, y)).astype(int) - 8
        high = np.ceil(spread.max(0) + (x, y)).astype(int) + 8
        shift = np.array(
            [
                [cos, -sin, x - low[0] - cos * centre[0] + sin * centre[1]],
                [sin, cos, y - low[1] - sin * centre[0] - cos * centre[1]],
            ]
        )
        # pixel centres lie at +.5: the matrix is for continuous coordinates, warpAffine for pixel indices
        shift[:, 2] += shift[:, :2] @ (0.5, 0.5) - 0.5
        canvas = np.asarray(
            cv2.warpAffine(patch, shift, (int(high[0] - low[0]), int(high[1] - low[1])), flags=cv2.INTER_LINEAR),
            np.float32,
        )
        # the face's own roll turns the ellipse, not the place where a yawed face's middle goes
        own = np.radians(p.roll + roll)
        where = (x + cos * offset, y + sin * offset)
        axes = (half[0] * fine, half[1] * fine)
        yy, xx = np.mgrid[0 : canvas.shape[0], 0 : canvas.shape[1]].astype(np.float32)
        dx, dy = xx + (0.5 + low[0] - where[0]), yy + (0.5 + low[1] - where[1])
        u = dx * np.cos(own) + dy * np.sin(own)
        v = -dx * np.sin(own) + dy * np.cos(own)
        inner = ((u / axes[0]) ** 2 + (v / axes[1]) ** 2 <= 1) & (canvas[..., 3] > 0.5)
        return canvas, inner, (int(low[0]), int(low[1])), where, axes, p.roll + roll


def turn(patch: Floats, middle: float, half: float, yaw: float) -> tuple[Floats, float, float]:
    """The head turned by ``yaw`` degrees, as a picture around a cylinder: far side squeezed, near side stretched.

    Returns the patch, how far the face's middle moves to the right, and its new half width, px.
    """
    radius = 1.04 * half
    psi = np.radians(yaw)
    edge = float(np.arcsin(half / radius))
    x = (np.arange(patch.shape[1], dtype=np.float64) + 0.5 - middle) / radius
    theta = np.arcsin(np.clip(x, -1, 1)) - psi
    source = np.where(np.abs(x) < 1, np.sin(np.clip(theta, -np.pi / 2, np.pi / 2)), x) * radius + middle - 0.5
    map_x = np.repeat(source[None].astype(np.float32), patch.shape[0], 0)
    map_y = np.repeat(np.arange(patch.shape[0], dtype=np.float32)[:, None], patch.shape[1], 1)
    turned = np.asarray(cv2.remap(patch, map_x, map_y, cv2.INTER_LINEAR), np.float32)
    left = np.sin(np.clip(-edge + psi, -np.pi / 2, np.pi / 2)) * radius
    right = np.sin(np.clip(edge + psi, -np.pi / 2, np.pi / 2)) * radius
    return turned, float(left + right) / 2, float(right - left) / 2


def soften(layer: Floats, sigma: float, vx: float, vy: float) -> Floats:
    """Defocus (Gaussian, px) and motion blur along (vx, vy) px."""
    if sigma > 0.3:
        layer = np.asarray(cv2.GaussianBlur(layer, (0, 0), sigma), np.float32)
    length = float(np.hypot(vx, vy))
    if length > 1.2:
        reach = int(np.ceil(length / 2)) + 1
        kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
        for s in np.linspace(-0.5, 0.5, 4 * reach + 1):
            px, py = reach + s * vx, reach + s * vy
            ix, iy = int(px), int(py)
            fx, fy = px - ix, py - iy
            for jx, jy, share in (
                (0, 0, (1 - fx) * (1 - fy)),
                (1, 0, fx * (1 - fy)),
                (0, 1, (1 - fx) * fy),
                (1, 1, fx * fy),
            ):
                if ix + jx < len(kernel) and iy + jy < len(kernel):
                    kernel[iy + jy, ix + jx] += share
        layer = np.asarray(cv2.filter2D(layer, -1, kernel / kernel.sum(), borderType=cv2.BORDER_CONSTANT), np.float32)
    return layer


def paste(picture: Bytes, layer: Floats, origin: tuple[int, int]) -> tuple[slice, slice, slice, slice] | None:
    """Blends a premultiplied layer into the picture; answers frame and layer slices, None where they do not meet."""
    h, w = layer.shape[:2]
    x0, y0 = max(0, origin[0]), max(0, origin[1])
    x1, y1 = min(picture.shape[1], origin[0] + w), min(picture.shape[0], origin[1] + h)
    if x0 >= x1 or y0 >= y1:
        return None
    part = layer[y0 - origin[1] : y1 - origin[1], x0 - origin[0] : x1 - origin[0]]
    below = picture[y0:y1, x0:x1]
    picture[y0:y1, x0:x1] = np.clip(below * (1 - part[..., 3:]) + part[..., :3] + 0.5, 0, 255).astype(np.uint8)
    return (slice(y0, y1), slice(x0, x1), slice(y0 - origin[1], y1 - origin[1]), slice(x0 - origin[0], x1 - origin[0]))
