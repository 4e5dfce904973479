"""Who moves how: seeded poses of every head and every occluder, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tests.bench.portraits import Portrait

Floats = npt.NDArray[np.float64]
BUCKETS = ((16, 24), (24, 32), (32, 48), (48, 80), (80, 130), (130, 200))  #: px, longer side of the inner face
SIZE_RANGE = (16.0, 200.0)
PATHS = ("linear", "sine", "accelerate", "sudden", "enter", "leave")


@dataclass
class Actor:
    """One head in one shot. Arrays have one value per frame of the shot."""

    portrait: Portrait
    x: Floats  #: centre of the inner face, px
    y: Floats
    size: Floats  #: longer side of the inner face when seen from the front, px
    roll: Floats  #: degrees clockwise, on top of the portrait's own
    yaw: Floats  #: degrees; 0 is the portrait as it is
    defocus: Floats  #: Gaussian sigma, px
    gain: Floats  #: brightness factor
    shutter: float  #: exposure as a share of the frame time: motion blur is speed x shutter
    events: list[str] = field(default_factory=list)  #: what is hard about it, for the failure sheet


@dataclass
class Occluder:
    """Something opaque in front of the heads."""

    rgba: npt.NDArray[np.float32]  #: (h, w, 4) premultiplied, RGB 0-255, alpha 0-1
    x: Floats
    y: Floats
    angle: Floats


def _path(
    rng: np.random.Generator, kind: str, n: int, size: float, start: tuple[float, float], width: int, height: int
) -> tuple[Floats, Floats]:
    """Positions of one path. Speeds go with the face: a quarter of its size per frame at most."""
    t = np.arange(n, dtype=np.float64)
    x0, y0 = start
    to_right = 1.0 if x0 < width / 2 else -1.0
    heading = np.array([to_right, rng.uniform(-0.35, 0.35)])
    slow, fast = rng.uniform(0.01, 0.05) * size, rng.uniform(0.08, 0.22) * size
    if kind == "sine":
        swing, rate = rng.uniform(0.3, 1.2) * size, 2 * np.pi / rng.uniform(25, 90)
        way = 0.4 * slow * t
        return x0 + to_right * way + swing * np.sin(rate * t), y0 + 0.5 * swing * np.sin(0.7 * rate * t + 1)
    if kind == "accelerate":
        pull = fast / max(40.0, 0.6 * n)
        speed = np.minimum(pull * t, fast)
        way = np.cumsum(speed)
    elif kind == "sudden":
        begin, end = int(rng.uniform(0.15, 0.4) * n), int(rng.uniform(0.6, 0.9) * n)
        way = fast * np.clip(t - begin, 0, end - begin)
    elif kind == "enter":
        x0 = -0.9 * size if to_right > 0 else width + 0.9 * size
        way = np.cumsum(np.linspace(fast, slow, n))
    elif kind == "leave":
        heading[0] = -to_right
        way = np.cumsum(np.linspace(0.2 * slow, max(fast, 2.2 * (min(x0, width - x0) + size) / n), n))
    else:
        way = rng.uniform(0.3, 1.6) * slow * t
    return x0 + heading[0] * way, y0 + heading[1] * way


def _swing(rng: np.random.Generator, n: int, limit: float) -> Floats:
    """An angle over time: mostly small and still, sometimes large, sometimes turning to and fro."""
    t = np.arange(n)
    draw = rng.random()
    if draw < 0.45:
        return np.full(n, rng.uniform(-0.2, 0.2) * limit)
    if draw < 0.65:
        return np.full(n, rng.uniform(-1, 1) * limit)
    phase, rate = rng.uniform(0, 6.28), 2 * np.pi / rng.uniform(40, 140)
    return np.asarray(rng.uniform(0.4, 1) * limit * np.sin(rate * t + phase), np.float64)


def _bump(n: int, begin: float, end: float, ramp: float) -> Floats:
    """0, rising to 1 between ``begin`` and ``end`` (shares of n), and back."""
    t = np.arange(n) / max(1, n - 1)
    return np.clip(np.minimum((t - begin) / ramp, (end - t) / ramp), 0, 1)


def actor(
    rng: np.random.Generator,
    portrait: Portrait,
    bucket: tuple[int, int],
    n: int,
    cell: tuple[float, float],
    width: int,
    height: int,
) -> Actor:
    """A head of a size bucket with a path that starts in ``cell`` (shares of the frame)."""
    size0 = float(np.exp(rng.uniform(np.log(bucket[0] + 1), np.log(bucket[1]))))
    growth = float(np.exp(rng.uniform(-0.5, 0.5))) if rng.random() < 0.4 else 1.0
    size = np.clip(size0 * growth ** np.linspace(0, 1, n), *SIZE_RANGE)
    events = ["scale"] if growth != 1 else []
    kind = str(rng.choice(PATHS, p=[0.22, 0.22, 0.16, 0.16, 0.12, 0.12]))
    margin = 0.75 * size0
    start = (
        float(np.clip(cell[0] * width, margin, width - margin)),
        float(np.clip(cell[1] * height, margin, height - margin)),
    )
    x, y = _path(rng, kind, n, size0, start, width, height)
    events.append(kind)
    turned = portrait.source == "turned"
    roll = _swing(rng, n, 20.0 if turned else 40.0)
    yaw = np.zeros(n) if turned or rng.random() < 0.4 else _swing(rng, n, 55.0)
    defocus = np.zeros(n)
    if rng.random() < 0.3:
        begin = rng.uniform(0, 0.6)
        defocus = rng.uniform(0.015, 0.045) * size * _bump(n, begin, begin + 0.4, 0.08)
        events.append("defocus")
    gain = np.ones(n)
    if rng.random() < 0.35:
        begin = rng.uniform(0, 0.6)
        gain = 1 + (rng.choice([-0.42, 0.4])) * _bump(n, begin, begin + 0.4, float(rng.choice([0.01, 0.15])))
        events.append("light")
    if turned:
        events.append("turned")
    if np.abs(yaw).max() > 30:
        events.append("yaw")
    if np.abs(roll).max() > 25:
        events.append("roll")
    return Actor(portrait, x, y, size, roll, yaw, defocus, gain, float(rng.uniform(0.2, 0.6)), events)


def sitter(rng: np.random.Generator, portrait: Portrait, size: float, n: int, place: tuple[float, float]) -> Actor:
    """A head that stays, swaying a little: for clips in which every face is there all the time."""
    t = np.arange(n, dtype=np.float64)
    rate, phase = 2 * np.pi / rng.uniform(80, 160), rng.uniform(0, 6.28)
    x = place[0] + 0.8 * size * np.sin(rate * t + phase)
    y = place[1] + 0.2 * size * np.sin(1.7 * rate * t)
    roll, yaw = 8 * np.sin(0.8 * rate * t + phase), 12 * np.sin(0.6 * rate * t)
    return Actor(portrait, x, y, np.full(n, size), roll, yaw, np.zeros(n), np.ones(n), 0.3, ["sitter"])


def _premultiplied(rgb: npt.NDArray[np.uint8], alpha: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    return np.dstack([rgb.astype(np.float32) * alpha[..., None], alpha]).astype(np.float32)


def _shaded(rng: np.random.Generator, h: int, w: int, colour: Floats) -> npt.NDArray[np.uint8]:
    """A flat colour with soft light and dark over it."""
    clouds = cv2.resize(rng.normal(0, 1, (4, 4)).astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
    grain = rng.normal(0, 3, (h, w)).astype(np.float32)
    return np.asarray(np.clip(colour[None, None] + 10 * clouds[..., None] + grain[..., None], 0, 255), np.uint8)


def hand(rng: np.random.Generator, size: float) -> npt.NDArray[np.float32]:
    """A hand-like blob: a palm with four fingers and an arm, skin coloured; about as wide as ``size``."""
    side = max(24, int(size * 1.6))
    alpha = np.zeros((side * 2, side), np.uint8)
    palm = (int(side * 0.5), int(side * 0.95))
    cv2.ellipse(alpha, palm, (int(side * 0.3), int(side * 0.36)), 0, 0, 360, 255, -1, cv2.LINE_AA)
    for k in range(4):
        tip = (int(side * (0.2 + 0.19 * k + rng.uniform(-0.03, 0.03))), int(side * rng.uniform(0.2, 0.4)))
        root = (int(side * (0.3 + 0.13 * k)), int(side * 0.85))
        cv2.line(alpha, tip, root, 255, max(2, int(side * 0.12)), cv2.LINE_AA)
    cv2.rectangle(alpha, (int(side * 0.33), int(side * 1.1)), (int(side * 0.67), side * 2), 255, -1)
    colour = np.array([198.0, 150.0, 125.0]) * rng.uniform(0.5, 1.1)
    soft = cv2.GaussianBlur(alpha, (0, 0), 0.8).astype(np.float32) / 255
    return _premultiplied(_shaded(rng, side * 2, side, colour), soft)


def slab(rng: np.random.Generator, w: float, h: float) -> npt.NDArray[np.float32]:
    """A bar or a panel: an opaque rectangle with a soft rim."""
    alpha = np.zeros((max(6, int(h)) + 4, max(6, int(w)) + 4), np.float32)
    alpha[2:-2, 2:-2] = 1
    alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), 0.7), np.float32)
    return _premultiplied(_shaded(rng, *alpha.shape, colour=rng.uniform(50, 210, 3)), alpha)


def occluders(rng: np.random.Generator, who: Actor, height: int) -> list[Occluder]:
    """What passes in front of one head: nothing (most often), a hand, a bar, or a panel it comes out from behind."""
    n = len(who.x)
    draw = rng.random()
    middle = int(rng.uniform(0.25, 0.75) * n)
    size = float(who.size[middle])
    t = np.arange(n, dtype=np.float64)
    if draw < 0.16:
        who.events.append("hand")
        stay = _bump(n, middle / n - 0.08, middle / n + 0.08, 0.05)
        away = (1 - stay) * 2.6 * size
        cover = rng.uniform(0.25, 0.75) * size
        lift = 0.35 * size  # the palm is not in the middle of the patch
        x = who.x + rng.uniform(-0.3, 0.3) * size
        return [Occluder(hand(rng, size), x, who.y + cover + away + lift, np.full(n, rng.uniform(-25, 25)))]
    if draw < 0.30:
        who.events.append("bar")
        bar = slab(rng, rng.uniform(0.25, 0.6) * size, height * 1.2)
        speed = rng.choice([-1, 1]) * rng.uniform(0.05, 0.15) * size
        return [
            Occluder(bar, who.x[middle] + speed * (t - middle), np.full(n, height / 2), np.full(n, rng.uniform(-8, 8)))
        ]
    if draw < 0.42 and np.ptp(who.x) > 2 * size:
        who.events.append("behind")
        panel = slab(rng, rng.uniform(1.6, 2.4) * size, rng.uniform(2.5, 4) * size)
        at = int(rng.uniform(0, 0.5) * n)
        return [Occluder(panel, np.full(n, who.x[at]), np.full(n, who.y[at] + 0.3 * size), np.zeros(n))]
    return []


def cross(front: Actor, back: Actor) -> None:
    """Moves the front head's path so that it passes before the other one in the middle of the shot."""
    k = len(front.x) // 2
    front.x += back.x[k] - front.x[k]
    front.y += back.y[k] - front.y[k] + 0.2 * back.size[k]
    front.events.append("crosses")
    back.events.append("crossed")
