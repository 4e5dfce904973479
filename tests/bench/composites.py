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
from tests.bench.heads import Head, paste, soften
from tests.bench.motion import BUCKETS, Actor, Occluder, actor, cross, occluders, sitter
from tests.bench.portraits import Portrait, load_portraits
from tests.bench.truth import FaceTruth, Mask, save_truth

VERSION = 2  #: part of the clips' names: raise it when the same seed draws another clip
WIDTH, HEIGHT = 1280, 720
Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


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
        depth = np.zeros(picture.shape[:2], np.uint8)  # number of the nearest opaque layer
        faces: list[dict[str, Any]] = []
        for number, (who, head) in enumerate(zip(self.actors, self.heads, strict=True), start=1):
            before, after = max(0, index - 1), min(self.frames - 1, index + 1)
            span = max(1, after - before)
            vx, vy = (who.x[after] - who.x[before]) / span, (who.y[after] - who.y[before]) / span
            layer, inner, origin, centre, axes, angle = head.draw(
                who.x[index], who.y[index], who.size[index], who.roll[index], who.yaw[index]
            )
            opaque = layer[..., 3] > 0.5
            layer = soften(layer, float(who.defocus[index]), vx * who.shutter, vy * who.shutter)
            layer[..., :3] *= float(who.gain[index])
            place = paste(picture, layer, origin)
            if place is None:
                continue
            depth[place[0], place[1]][opaque[place[2], place[3]]] = number
            faces.append(
                {
                    "number": number,
                    "inner": inner,
                    "origin": origin,
                    "centre": centre,
                    "axes": axes,
                    "angle": angle,
                    "place": place,
                    "size": float(who.size[index]),
                    "speed": float(np.hypot(vx, vy)),
                }
            )
        for thing in self.occluders:
            layer, origin = _placed(thing, index)
            place = paste(picture, layer, origin)
            if place is not None:
                depth[place[0], place[1]][layer[place[2], place[3], 3] > 0.5] = 255
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
        return FaceTruth(
            self.first_track + face["number"] - 1,
            frame,
            face["centre"],
            face["axes"],
            face["angle"],
            face["size"],
            float(seen.sum()) / total,
            face["speed"],
            (int(columns.start + xs[0]), int(rows.start + ys[0])),
            mask,
        )


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


def stage(
    rng: np.random.Generator, portraits: list[Portrait], data: Path | None, frames: int, faces: int
) -> list[Shot]:
    """The shots of one clip: three out of ten have a cut, with other people and another place after it."""
    cut = int(frames * rng.uniform(0.35, 0.65)) if rng.random() < 0.3 else frames
    lengths = [cut] if cut == frames else [cut, frames - cut]
    shares = [faces] if len(lengths) == 1 else [faces - faces // 2, faces // 2]
    order = [BUCKETS[i] for i in rng.permutation(len(BUCKETS))]
    shots, track = [], 1
    for length, share in zip(lengths, shares, strict=True):
        cells = rng.permutation(6)[:share]
        people: list[Actor] = []
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
        shots.append(
            Shot(ground, people, things, length, _light(rng, length), track, [Head(who.portrait) for who in people])
        )
        track += len(people)
    return shots


def calm_stage(
    rng: np.random.Generator, portraits: list[Portrait], data: Path | None, frames: int, faces: int
) -> list[Shot]:
    """One shot in which every face is there from the first frame to the last: for measuring speed."""
    people = []
    for k in range(faces):
        size = float(rng.uniform(60, 140))
        portrait = _fitting(rng, [p for p in portraits if p.source != "turned"], (0, int(size)))
        place = (WIDTH * (k + 0.5) / faces, HEIGHT * float(rng.uniform(0.4, 0.6)))
        people.append(sitter(rng, portrait, size, frames, place))
    ground = backgrounds.choose(rng, data, WIDTH, HEIGHT)
    return [Shot(ground, people, [], frames, np.ones(frames), 1, [Head(who.portrait) for who in people])]


@dataclass(frozen=True)
class Clip:
    """A finished clip on disk."""

    video: Path
    truth: Path
    about: dict[str, Any]


def make_clip(
    portraits: list[Portrait],
    data: Path | None,
    folder: Path,
    seed: int,
    number: int,
    *,
    frames: int | None = None,
    faces: int | None = None,
    audio: bool = False,
    calm: bool = False,
) -> Clip:
    """Draws clip ``number`` of ``seed``, or finds it where it was drawn before."""
    tag = (
        f"v{VERSION}-s{seed}-{number:03d}"
        + (f"-n{frames}" if frames else "")
        + (f"-f{faces}" if faces else "")
        + ("-a" if audio else "")
        + ("-calm" if calm else "")
    )
    video, truth, table = (folder / f"clip-{tag}{end}" for end in (".mp4", ".npz", ".json"))
    if table.is_file() and video.is_file() and truth.is_file():
        return Clip(video, truth, json.loads(table.read_text(encoding="utf-8")))
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([VERSION, seed, number])
    fps = int(rng.choice([25, 30]))
    total = frames or int(rng.uniform(6, 9) * fps)
    shots = (calm_stage if calm else stage)(rng, portraits, data, total, faces or int(rng.integers(3, 6)))
    crf = int(rng.integers(23, 29))
    grain = rng.integers(0, 5, (HEIGHT + 64, WIDTH + 64, 3), np.uint8)
    rows: list[FaceTruth] = []
    part = video.with_suffix(".part.mp4")
    with av.open(str(part), "w") as container:
        stream: Any = container.add_stream(
            "libx264", rate=fps, options={"crf": str(crf), "preset": "veryfast", "threads": "2"}
        )
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
    save_truth(truth, rows)
    about = {
        "version": VERSION,
        "seed": seed,
        "clip": number,
        "frames": total,
        "fps": fps,
        "crf": crf,
        "width": WIDTH,
        "height": HEIGHT,
        "cuts": [s.frames for s in shots[:-1]],
        "backgrounds": [s.background.label for s in shots],
        "tracks": [
            {
                "id": s.first_track + i,
                "portrait": who.portrait.name,
                "source": who.portrait.source,
                "events": who.events,
                "size": [round(float(who.size[0]), 1), round(float(who.size[-1]), 1)],
            }
            for s in shots
            for i, who in enumerate(s.actors)
        ],
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
