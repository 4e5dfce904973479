"""Test clips with exactly known face paths: real heads pasted onto face-free backgrounds, then the codec.

For every face and frame the ground truth holds the inner face ellipse and *which of its pixels are
visible*: inside the frame, on the head's own cut-out and not behind an occluder or another head.
A clip is a file ``clip-SSSS-NNN.mp4`` with ``.npz`` (ground truth) and ``.json`` (what was drawn) beside it.

    python -m tests.bench.composites --clips 2 --out DIR
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from tests.bench import backgrounds
from tests.bench.motion import BUCKETS, SIZE_RANGE, Actor, Occluder, actor, cross, occluders
from tests.bench.portraits import Portrait, load_portraits

VERSION = 1  #: part of the clips' names: raise it when the same seed draws another clip
WIDTH, HEIGHT = 1280, 720
COUNTED = 0.4  #: visible share below which a face-frame is not counted
Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FaceTruth:
    """One face in one frame."""

    track: int
    frame: int
    centre: tuple[float, float]  #: px
    axes: tuple[float, float]  #: half axes across and along the face, px
    angle: float  #: degrees clockwise
    size: float  #: longer side of the inner face, px
    visible: float  #: visible share of the inner face
    speed: float  #: px per frame
    origin: tuple[int, int]  #: x, y of the mask's corner in the frame
    mask: Mask  #: (h, w) visible pixels of the inner face


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
            self._levels[step] = np.asarray(cv2.resize(self._levels[0], None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.float32)
        return self._levels[step], 2 ** (-step / 3)

    def draw(self, x: float, y: float, size: float, roll: float, yaw: float) -> tuple[Floats, Mask, tuple[int, int], tuple[float, float], tuple[float, float], float]:
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
        shift = np.array([[cos, -sin, x - low[0] - cos * centre[0] + sin * centre[1]], [sin, cos, y - low[1] - sin * centre[0] - cos * centre[1]]])
        # pixel centres lie at +.5: the matrix is for continuous coordinates, warpAffine for pixel indices
        shift[:, 2] += shift[:, :2] @ (0.5, 0.5) - 0.5
        canvas = np.asarray(cv2.warpAffine(patch, shift, (int(high[0] - low[0]), int(high[1] - low[1])), flags=cv2.INTER_LINEAR), np.float32)
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
    """The head turned by ``yaw`` degrees, as a picture wrapped around a cylinder: far side squeezed, near side stretched.

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
            for jx, jy, share in ((0, 0, (1 - fx) * (1 - fy)), (1, 0, fx * (1 - fy)), (0, 1, (1 - fx) * fy), (1, 1, fx * fy)):
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


@dataclass
class Shot:
    """What stands between two cuts. Later actors are nearer to the camera, occluders nearer still."""

    background: backgrounds.Background
    actors: list[Actor]
    occluders: list[Occluder]
    frames: int
    light: npt.NDArray[np.float64]  #: brightness of the whole picture, per frame
    first_track: int
    heads: list[Head]

    def render(self, index: int, first_frame: int, grain: Bytes) -> tuple[Bytes, list[FaceTruth]]:
        """Frame ``index`` of the shot and the faces in it."""
        picture = self.background.frame(index)
        drawn: list[tuple[int, Mask, Mask, int, FaceTruth]] = []
        depth = np.zeros(picture.shape[:2], np.uint8)  # number of the nearest opaque layer
        faces: list[dict[str, Any]] = []
        for number, (who, head) in enumerate(zip(self.actors, self.heads, strict=True), start=1):
            before, after = max(0, index - 1), min(self.frames - 1, index + 1)
            span = max(1, after - before)
            vx, vy = (who.x[after] - who.x[before]) / span, (who.y[after] - who.y[before]) / span
            layer, inner, origin, centre, axes, angle = head.draw(who.x[index], who.y[index], who.size[index], who.roll[index], who.yaw[index])
            opaque = layer[..., 3] > 0.5
            layer = soften(layer, float(who.defocus[index]), vx * who.shutter, vy * who.shutter)
            layer[..., :3] *= float(who.gain[index])
            place = paste(picture, layer, origin)
            if place is None:
                continue
            depth[place[0], place[1]][opaque[place[2], place[3]]] = number
            faces.append({"number": number, "inner": inner, "origin": origin, "centre": centre, "axes": axes, "angle": angle, "place": place,
                          "size": float(who.size[index]), "speed": float(np.hypot(vx, vy))})
        for thing in self.occluders:
            layer, origin = _placed(thing, index)
            place = paste(picture, layer, origin)
            if place is not None:
                depth[place[0], place[1]][layer[place[2], place[3], 3] > 0.5] = 255
        del drawn
        table = np.clip(np.arange(256) * self.light[index], 0, 255).astype(np.uint8)
        picture = np.asarray(cv2.LUT(cv2.add(picture, grain), table), np.uint8)
        return picture, [t for f in faces if (t := self._truth(f, depth, first_frame + index)) is not None]

    def _truth(self, face: dict[str, Any], depth: Bytes, frame: int) -> FaceTruth | None:
        rows, columns, own_rows, own_columns = face["place"]
        inner: Mask = face["inner"]
        seen = inner[own_rows, own_columns] & (depth[rows, columns] == face["number"])
        total = int(inner.sum())
        if total == 0 or not seen.any():
            return None
        ys, xs = np.flatnonzero(seen.any(1)), np.flatnonzero(seen.any(0))
        mask = seen[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
        return FaceTruth(self.first_track + face["number"] - 1, frame, face["centre"], face["axes"], face["angle"], face["size"],
                         float(seen.sum()) / total, face["speed"], (int(columns.start + xs[0]), int(rows.start + ys[0])), mask)


def _placed(thing: Occluder, index: int) -> tuple[Floats, tuple[int, int]]:
    """An occluder turned and placed: its layer and corner."""
    h, w = thing.rgba.shape[:2]
    reach = int(np.ceil(np.hypot(h, w) / 2)) + 1 if abs(thing.angle[index]) > 0.1 else 0
    x, y = float(thing.x[index]), float(thing.y[index])
    if not reach:
        return thing.rgba, (int(round(x - w / 2)), int(round(y - h / 2)))
    matrix = cv2.getRotationMatrix2D((w / 2, h / 2), -float(thing.angle[index]), 1)
    corners = np.array([[0, 0, 1], [w, 0, 1], [0, h, 1], [w, h, 1]], np.float64) @ matrix.T
    low, high = np.floor(corners.min(0)), np.ceil(corners.max(0))
    matrix[:, 2] -= low
    layer = cv2.warpAffine(thing.rgba, matrix, (int(high[0] - low[0]), int(high[1] - low[1])), flags=cv2.INTER_LINEAR)
    return np.asarray(layer, np.float32), (int(round(x - w / 2 + low[0])), int(round(y - h / 2 + low[1])))


def _fitting(rng: np.random.Generator, portraits: list[Portrait], bucket: tuple[int, int]) -> Portrait:
    """A portrait that has the pixels for a size; one in five is a turned face where sizes allow it."""
    large = [p for p in portraits if p.size * 1.45 >= bucket[1]]
    turned = [p for p in large if p.source == "turned"]
    plain = [p for p in large if p.source != "turned"] or portraits
    pool = turned if turned and rng.random() < 0.2 else plain
    return pool[int(rng.integers(len(pool)))]


def _light(rng: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
    """Brightness of a shot: steady, slowly changing, or a sudden step."""
    draw, level = rng.random(), rng.uniform(0.75, 1.1)
    if draw < 0.6:
        return np.full(n, level)
    if draw < 0.8:
        return np.asarray(np.linspace(level, rng.uniform(0.6, 1.25), n))
    step = np.full(n, level)
    step[int(n * rng.uniform(0.3, 0.7)) :] *= rng.choice([0.7, 1.35])
    return step


def stage(rng: np.random.Generator, portraits: list[Portrait], data: Path | None, frames: int, faces: int) -> list[Shot]:
    """The shots of one clip: three out of ten have a cut, with other people and another place after it."""
    cut = int(frames * rng.uniform(0.35, 0.65)) if rng.random() < 0.3 else frames
    lengths = [cut] if cut == frames else [cut, frames - cut]
    shares = [faces] if len(lengths) == 1 else [faces - faces // 2, faces // 2]
    order = [BUCKETS[i] for i in rng.permutation(len(BUCKETS))]
    shots, track = [], 1
    for length, share in zip(lengths, shares, strict=True):
        cells = rng.permutation(6)[:share]
        people = []
        for cell in cells:
            bucket = order[(track + len(people) - 1) % len(order)]
            at = ((cell % 3 + 0.5 + rng.uniform(-0.3, 0.3)) / 3, (cell // 3 + 0.5 + rng.uniform(-0.3, 0.3)) / 2)
            people.append(actor(rng, _fitting(rng, portraits, bucket), bucket, length, at, WIDTH, HEIGHT))
        people.sort(key=lambda who: float(who.size[0]))  # the nearer ones are larger
        if len(people) > 1 and rng.random() < 0.35:
            back, front = sorted(rng.choice(len(people), 2, replace=False))
            cross(people[int(front)], people[int(back)])
        things = [thing for who in people for thing in occluders(rng, who, HEIGHT)]
        ground = backgrounds.choose(rng, data, WIDTH, HEIGHT)
        shots.append(Shot(ground, people, things, length, _light(rng, length), track, [Head(who.portrait) for who in people]))
        track += len(people)
    return shots


@dataclass(frozen=True)
class Clip:
    """A finished clip on disk."""

    video: Path
    truth: Path
    about: dict[str, Any]


def make_clip(portraits: list[Portrait], data: Path | None, folder: Path, seed: int, number: int, *,
              frames: int | None = None, faces: int | None = None, audio: bool = False) -> Clip:
    """Draws clip ``number`` of ``seed``, or finds it where it was drawn before."""
    tag = f"v{VERSION}-s{seed}-{number:03d}" + (f"-n{frames}" if frames else "") + (f"-f{faces}" if faces else "") + ("-a" if audio else "")
    video, truth, table = (folder / f"clip-{tag}{end}" for end in (".mp4", ".npz", ".json"))
    if table.is_file() and video.is_file() and truth.is_file():
        return Clip(video, truth, json.loads(table.read_text(encoding="utf-8")))
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([VERSION, seed, number])
    fps = int(rng.choice([25, 30]))
    total = frames or int(rng.uniform(6, 9) * fps)
    shots = stage(rng, portraits, data, total, faces or int(rng.integers(3, 6)))
    crf = int(rng.integers(23, 29))
    grain = rng.integers(0, 5, (HEIGHT + 64, WIDTH + 64, 3), np.uint8)
    rows: list[FaceTruth] = []
    part = video.with_suffix(".part.mp4")
    with av.open(str(part), "w") as container:
        stream: Any = container.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": "veryfast", "threads": "2"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        voice: Any = container.add_stream("aac", rate=48000) if audio else None
        first = 0
        for shot in shots:
            for index in range(shot.frames):
                dx, dy = rng.integers(0, 64, 2)
                picture, faces_here = shot.render(index, first, grain[dy : dy + HEIGHT, dx : dx + WIDTH])
                rows.extend(faces_here)
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                frame.pts, frame.time_base = first + index, Fraction(1, fps)
                container.mux(stream.encode(frame))
            first += shot.frames
        container.mux(stream.encode(None))
        if voice is not None:
            _hum(container, voice, total / fps)
    _save(truth, rows)
    about = {
        "version": VERSION, "seed": seed, "clip": number, "frames": total, "fps": fps, "crf": crf, "width": WIDTH, "height": HEIGHT,
        "cuts": [s.frames for s in shots[:-1]], "backgrounds": [s.background.label for s in shots],
        "tracks": [{"id": s.first_track + i, "portrait": who.portrait.name, "source": who.portrait.source, "events": who.events,
                    "size": [round(float(who.size[0]), 1), round(float(who.size[-1]), 1)]} for s in shots for i, who in enumerate(s.actors)],
    }
    os.replace(part, video)
    table.write_text(json.dumps(about, indent=1), encoding="utf-8")
    return Clip(video, truth, about)


def _hum(container: Any, stream: Any, seconds: float) -> None:
    """An audio track: a slowly swelling tone."""
    t = np.arange(int(48000 * seconds)) / 48000
    wave = (0.2 * np.sin(2 * np.pi * 220 * t) * (0.6 + 0.4 * np.sin(2 * np.pi * 0.5 * t))).astype(np.float32)
    for start in range(0, len(wave) - 1023, 1024):
        block = av.AudioFrame.from_ndarray(np.stack([wave[start : start + 1024]] * 2), format="fltp", layout="stereo")
        block.sample_rate, block.pts, block.time_base = 48000, start, Fraction(1, 48000)
        container.mux(stream.encode(block))
    container.mux(stream.encode(None))


def _save(path: Path, rows: list[FaceTruth]) -> None:
    bits = [np.packbits(r.mask.reshape(-1)) for r in rows]
    numbers = np.array([[r.track, r.frame, *r.centre, *r.axes, r.angle, r.size, r.visible, r.speed, *r.origin, *r.mask.shape] for r in rows], np.float64)
    np.savez_compressed(path, rows=numbers.reshape(-1, 14), ends=np.cumsum([len(b) for b in bits], dtype=np.int64), bits=np.concatenate(bits or [np.zeros(0, np.uint8)]))


def load_truth(path: Path) -> list[FaceTruth]:
    """Every face-frame of a clip, in order of frames."""
    with np.load(path) as stored:
        numbers, ends, bits = stored["rows"], stored["ends"], stored["bits"]
    rows = []
    for i, n in enumerate(numbers):
        h, w = int(n[12]), int(n[13])
        mask = np.unpackbits(bits[ends[i - 1] if i else 0 : ends[i]], count=h * w).astype(bool).reshape(h, w)
        rows.append(FaceTruth(int(n[0]), int(n[1]), (n[2], n[3]), (n[4], n[5]), n[6], n[7], n[8], n[9], (int(n[10]), int(n[11])), mask))
    return rows


def counted(row: FaceTruth) -> bool:
    """Whether a face-frame takes part in the measure."""
    return row.visible >= COUNTED and row.size >= SIZE_RANGE[0]


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw test clips with known face paths.")
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=os.environ.get("VIDANON_TEST_DATA"))
    parser.add_argument("--faces", type=Path, help="folder of portraits to use instead of the test data's")
    parser.add_argument("--yunet", type=Path)
    args = parser.parse_args()
    data = Path(args.data) if args.data else None
    portraits = load_portraits(data, args.out, args.faces, args.yunet)
    for number in range(args.clips):
        clip = make_clip(portraits, data, args.out, args.seed, number)
        print(clip.video, clip.about["frames"], "frames,", len(clip.about["tracks"]), "faces")


if __name__ == "__main__":
    main()
