"""Mode swap through the whole program: offline, the same under one key, in every kind of clip, and nowhere else."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.e2e.test_variants import turned
from tests.swap import swapkit
from vidanon.cli.main import main
from vidanon.recognise.base import threshold
from vidanon.recognise.crop import crop

FRAMES, WIDTH, HEIGHT, SIDE = 12, 320, 240, 200
KEY = "a secret of this project"
SOURCE = 20  #: the donor that is filmed here
STORED = {
    "plain": "yuv420p",
    "10 bit": "yuv420p10le",
    "444": "yuv444p",
    "gray": "gray",
    "rotated": "yuv420p",
    "flipped": "yuv420p",
}


def place(frame: int) -> tuple[int, int]:
    return 40 + 3 * frame, 20 + frame


def scenes() -> Iterator[np.ndarray]:
    """(HEIGHT, WIDTH, 3) uint8 each: a portrait drifting over clouds."""
    portrait = cv2.resize(swapkit.donor_at(SOURCE).image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    clouds = np.random.default_rng(0).integers(60, 190, (12, 16, 3), np.uint8)
    background = cv2.resize(clouds, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    for index in range(FRAMES):
        picture = background.copy()
        x, y = place(index)
        picture[y : y + SIDE, x : x + SIDE] = portrait
        yield picture


def mesh(frame: int) -> np.ndarray:
    return np.asarray(swapkit.face(SOURCE, SIDE)[1] + np.array([*place(frame), 0]), np.float32)


def write(path: Path, kind: str) -> Path:
    with av.open(str(path), "w") as out:
        codec = ("ffv1", {}) if kind == "gray" else ("libx264", {"crf": "10", "preset": "ultrafast"})
        stream = out.add_stream(codec[0], rate=25, options=codec[1])
        sideways = kind == "rotated"
        stream.width, stream.height = (HEIGHT, WIDTH) if sideways else (WIDTH, HEIGHT)
        stream.pix_fmt, stream.time_base = STORED[kind], Fraction(1, 25)
        for index, picture in enumerate(scenes()):
            stored = np.rot90(picture) if sideways else picture[:, ::-1] if kind == "flipped" else picture
            stored = np.ascontiguousarray(stored)
            frame = av.VideoFrame.from_ndarray(stored, "rgb24").reformat(format=STORED[kind])
            frame.pts = index
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    if kind in ("rotated", "flipped"):
        turned(path, 90 if sideways else 0, kind == "flipped")
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return {
        kind: write(folder / f"clip.{'mkv' if kind == 'gray' else kind.replace(' ', '') + '.mp4'}", kind)
        for kind in STORED
    }


@pytest.fixture(scope="module", autouse=True)
def offline() -> Iterator[None]:
    """Whoever looks for the network fails."""

    def refuse(*asked: Any, **named: Any) -> None:
        raise AssertionError(f"the network was looked for: {asked}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        yield


def swap(source: Path, output: Path, *words: str, key: str = KEY, mode: str = "swap") -> dict[str, Any]:
    """Run the program; its report."""
    report = output.with_suffix(".json")
    named = ["--project-key", key] if mode == "swap" else []
    call = [str(source), str(output), "--mode", mode, *named, "--report", str(report), "--detector", "mtcnn"]
    assert main([*call, *words]) == 0
    return dict(json.loads(report.read_text()))


@pytest.fixture(scope="module")
def swapped(clips: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    output = tmp_path_factory.mktemp("swapped") / "out.mp4"
    return output, swap(clips["plain"], output)


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def pictures(path: Path) -> list[np.ndarray]:
    """(HEIGHT, WIDTH, 3) uint8 each, upright, as they are to be shown."""
    flip = slice(None, None, -1 if "flipped" in path.stem else 1)
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        shown = [frame.to_ndarray(format="rgb24") for frame in frames]
    return [np.ascontiguousarray(np.rot90(p, -1) if p.shape[0] > p.shape[1] else p[:, flip]) for p in shown]


def embedding(picture: np.ndarray, frame: int) -> np.ndarray:
    marks = swapkit.five(mesh(frame))[:, :2]
    student = swapkit.student()
    return student.embed(crop(picture, marks, student.description)[None])[0]


def alike(before: Path, after: Path) -> float:
    """Mean similarity of the face before and after."""
    pairs = zip(pictures(before), pictures(after), strict=True)
    return float(np.mean([embedding(a, i) @ embedding(b, i) for i, (a, b) in enumerate(pairs)]))


def test_every_frame_shows_somebody_else(clips: dict[str, Path], swapped: tuple[Path, dict[str, Any]]) -> None:
    output, report = swapped
    assert (report["mode"], report["frames"], report["faces"], report["tracks"]) == ("swap", FRAMES, FRAMES, 1)
    assert report["covered"] == {} and report["fallback_faces"] == {}
    assert {"student", "surrogate"} <= report["models"].keys()
    assert alike(clips["plain"], clips["plain"]) > 0.95
    least = threshold(swapkit.student().description, 0.01)
    for index, (before, after) in enumerate(zip(pictures(clips["plain"]), pictures(output), strict=True)):
        assert embedding(before, index) @ embedding(after, index) < least
        inside = np.zeros((HEIGHT, WIDTH), np.uint8)
        cv2.fillPoly(inside, [np.rint(mesh(index)[list(swapkit.OVAL), :2]).astype(np.int32)], 1)
        face = cv2.erode(inside, np.ones((9, 9))) > 0
        assert np.abs(after.astype(float) - before)[face].mean() > 4
        assert after[face].std() > 15  # a face, and no mosaic or fill


def test_what_was_swapped_is_said_and_the_key_is_not(
    clips: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.mp4"
    swap(clips["plain"], output)
    said = capsys.readouterr()
    assert f"{FRAMES} faces of 1 track in {FRAMES} of {FRAMES} frames, mode swap" in said.out
    assert "pixelated" not in said.out and "by a solid shape" not in said.out
    for text in (said.out, said.err, output.with_suffix(".json").read_text()):
        assert KEY not in text
    assert KEY.encode() not in output.read_bytes()


def test_the_same_key_and_seed_give_the_same_file_another_key_another_face(
    clips: dict[str, Path], swapped: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    first, _ = swapped
    again = tmp_path / "again.mp4"
    swap(clips["plain"], again)
    assert packets(again) == packets(first)

    def differs(key: str) -> bool:
        other = tmp_path / f"{key}.mp4"
        swap(clips["plain"], other, key=key)
        return alike(first, other) < 0.5  # hair and light are the same

    assert any(differs(f"another key {number}") for number in range(4))  # one is enough; two may choose alike


def test_around_the_face_nothing_more_is_touched_than_by_a_mask(
    clips: dict[str, Path], swapped: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    masked = tmp_path / "masked.mp4"
    swap(clips["plain"], masked, mode="mask")
    for index, (before, mask, new) in enumerate(
        zip(pictures(clips["plain"]), pictures(masked), pictures(swapped[0]), strict=True)
    ):
        box = swapkit.box_of(mesh(index))
        middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) * 0.85
        around = np.ones((HEIGHT, WIDTH), bool)
        (x0, y0), (x1, y1) = (middle - half).clip(0).astype(int), (middle + half).astype(int)
        around[y0:y1, x0:x1] = False
        assert around.mean() > 0.4
        by_mask, by_swap = (swapkit.psnr(p[around] / 255, before[around] / 255) for p in (mask, new))
        assert by_swap > 30 and by_swap > by_mask - 1.5


@pytest.mark.parametrize("kind", [kind for kind in STORED if kind != "plain"])
def test_every_kind_of_clip_runs(kind: str, clips: dict[str, Path], tmp_path: Path) -> None:
    output = tmp_path / f"out-{clips[kind].name}"
    report = swap(clips[kind], output)
    assert (report["frames"], report["faces"], report["frames_with_faces"]) == (FRAMES, FRAMES, FRAMES)
    told = sum(report["covered"].values()) + sum(report["fallback_faces"].values())
    assert told == 0, (report["covered"], report["fallback_faces"])
    with av.open(str(output)) as container:
        depth = 10 if kind == "10 bit" else 8
        assert {component.bits for frame in container.decode(video=0) for component in frame.format.components} == {
            depth
        }
    assert alike(clips[kind], output) < threshold(swapkit.student().description, 0.01)
    if kind == "gray":
        for picture in pictures(output):
            assert np.ptp(picture.astype(int), axis=2).max() <= 2
