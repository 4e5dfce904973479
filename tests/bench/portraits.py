"""Head cut-outs with a known face ellipse, made from portraits.

A cut-out is an RGBA patch of one head (hair, neck and a little of the shoulders, soft at its rim)
and the ellipse of the *inner face*: brow to chin and ear to ear. Sources are the AI portraits and
the openly licensed faces of the test data, LFW, or any folder of portraits. The ellipse comes from
YuNet's box and landmarks at the portrait's full size, where every detector agrees; this is the only
place where a detector has a say in the ground truth.
"""

from __future__ import annotations

import csv
import hashlib
import io
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
CUT_VERSION = 4  #: part of the cache key: raise it when the cut-outs change
CORE = 0.8  #: share of the ellipse that is the head for certain
DARK = 60  #: median luma of the face below which a portrait is left out: black fill on it would be invisible
MAX_FACE = 220  #: px: a cut-out's inner face is stored no larger than this
TURNED = (0.2, 1.1)  #: |yaw_ratio| of the faces taken as turned; above it the column is landmark noise
#: eye distance over eye-mouth distance below which a face counts as a profile: about 60 degrees. It is .9 to 1 from
#: the front. yaw_ratio alone cannot tell: it is .4 for many a full profile, as the far eye's landmark is a guess.
PROFILE = 0.58


@dataclass(frozen=True)
class Portrait:
    """One head. Patch coordinates: x right, y down, pixel centres at +0.5."""

    name: str
    source: str  #: "donor", "turned", "lfw" or "folder"
    rgba: Bytes  #: (h, w, 4) uint8, R first, straight alpha
    centre: tuple[float, float]  #: of the inner face ellipse, px
    axes: tuple[float, float]  #: half axes across and along the face, px
    roll: float  #: degrees clockwise from upright

    @property
    def size(self) -> float:
        """Longer side of the inner face, px."""
        return 2 * max(self.axes)


def read_rgb(data: bytes) -> Bytes | None:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return None if picture is None else np.ascontiguousarray(picture[..., ::-1])


def face_ellipse(face: npt.NDArray[np.float32]) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Inner face from one row of YuNet (x, y, w, h, five landmarks, score).

    Along the face: from .4 above the eyes to .72 below the mouth, in units of the eye-mouth distance
    (upper rim of the brows, tip of the chin). Across: the box's own width, which ends at the ears.
    """
    points = face[4:14].reshape(5, 2).astype(np.float64)
    eyes, mouth = points[:2].mean(0), points[3:5].mean(0)
    across = points[1] - points[0]
    down = mouth - eyes
    length = float(np.hypot(*down))
    upright = np.array([-across[1], across[0]]) / (np.hypot(*across) + 1e-6)  # the eye line, turned by 90 degrees
    axis = upright + down / max(length, 1e-6)
    axis /= np.hypot(*axis)
    along = (eyes + mouth) / 2 + axis * length * (0.72 - 0.40) / 2
    side = np.array([axis[1], -axis[0]])  # to the right of an upright face
    middle = np.array([face[0] + face[2] / 2, face[1] + face[3] / 2])
    centre = along + side * float((middle - along) @ side)
    half = (0.5 * float(face[2]), 0.5 * length * (1 + 0.40 + 0.72))
    return (float(centre[0]), float(centre[1])), half, float(np.degrees(np.arctan2(-axis[0], axis[1])))


def eye_ratio(face: npt.NDArray[np.float32]) -> float:
    """Distance of the eyes over the distance from eyes to mouth: the smaller, the more turned."""
    points = face[4:14].reshape(5, 2).astype(np.float64)
    length = np.hypot(*(points[3:5].mean(0) - points[:2].mean(0)))
    return float(np.hypot(*(points[1] - points[0])) / max(length, 1e-6))


def cut_out(rgb: Bytes, face: npt.NDArray[np.float32], name: str, source: str) -> Portrait | None:
    """Head of one face as a patch, or None where the face is too near the picture's rim."""
    (cx, cy), (a, b), roll = face_ellipse(face)
    size = 2 * max(a, b)
    scale = min(1.0, MAX_FACE / size)
    if scale < 1:
        rgb = np.asarray(cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    cx, cy, a, b, size = cx * scale, cy * scale, a * scale, b * scale, size * scale
    height, width = rgb.shape[:2]
    if cx - a < 2 or cy - b < 2 or cx + a > width - 2 or cy + b > height - 2:
        return None
    luma = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)[int(cy - b) : int(cy + b), int(cx - a) : int(cx + a)]
    if float(np.median(luma)) < DARK:
        return None
    x0, x1 = max(0, int(cx - 1.25 * size)), min(width, int(cx + 1.25 * size))
    y0, y1 = max(0, int(cy - 1.25 * size)), min(height, int(cy + 1.35 * size))
    patch = np.ascontiguousarray(rgb[y0:y1, x0:x1])
    centre = (cx - x0, cy - y0)
    alpha = head_alpha(patch, centre, (a, b), size)
    return Portrait(name, source, np.dstack([patch, alpha]), centre, (a, b), roll)


def head_alpha(patch: Bytes, centre: tuple[float, float], axes: tuple[float, float], size: float) -> Bytes:
    """Head against its own background (graph cut), faded out towards the shoulders and the patch's rim."""
    h, w = patch.shape[:2]
    small = min(1.0, 160 / max(h, w))
    view = cv2.resize(patch, None, fx=small, fy=small, interpolation=cv2.INTER_AREA)
    yy, xx = np.mgrid[0 : view.shape[0], 0 : view.shape[1]].astype(np.float32)
    u = (xx - centre[0] * small) / (size * small / 2)
    v = (yy - centre[1] * small) / (size * small / 2)
    labels = np.full(view.shape[:2], cv2.GC_BGD, np.uint8)
    hair = (u / 1.75) ** 2 + ((v + 0.25) / 1.85) ** 2 < 1
    bust = (v > 0.6) & (np.abs(u) < 0.7 + 0.9 * v)
    labels[hair | bust] = cv2.GC_PR_BGD
    labels[(u / 1.25) ** 2 + ((v + 0.3) / 1.35) ** 2 < 1] = cv2.GC_PR_FGD
    labels[(u < 0.55) & (u > -0.55) & (v > 0)] = cv2.GC_PR_FGD
    inner = (u * size / (2 * axes[0])) ** 2 + (v * size / (2 * axes[1])) ** 2
    labels[inner < 1] = cv2.GC_PR_FGD  # beside a turned face a little of its background lies inside the ellipse
    labels[inner < CORE**2] = cv2.GC_FGD
    labels[(u / 0.7) ** 2 + ((v + 0.35) / 1.1) ** 2 < 1] = cv2.GC_FGD  # forehead and the hair above it
    cv2.setRNGSeed(1)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(np.ascontiguousarray(view), labels, (0, 0, 0, 0), models[0], models[1], 3, cv2.GC_INIT_WITH_MASK)
    found = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    found = np.asarray(cv2.morphologyEx(found, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)), np.uint8)
    count, parts = cv2.connectedComponents(found)
    if count > 2:
        found = (parts == parts[int(centre[1] * small), int(centre[0] * small)]).astype(np.uint8)
    soft = cv2.GaussianBlur(cv2.resize(found.astype(np.float32), (w, h)), (0, 0), max(0.8, size / 60))
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    rim = np.minimum.reduce([xx, yy, w - 1 - xx, h - 1 - yy]) / (0.08 * size)
    neck = (centre[1] + 1.3 * size - yy) / (0.45 * size)  # gone 1.3 face heights below the face's middle
    inside = ((xx - centre[0]) / axes[0]) ** 2 + ((yy - centre[1]) / axes[1]) ** 2 < CORE**2
    soft = soft * np.clip(rim, 0, 1) * np.clip(neck, 0, 1)
    soft[inside] = 1.0  # the middle of the face is never see-through
    return np.asarray(np.round(soft * 255), np.uint8)


def _tar_pictures(path: Path, wanted: Sequence[str] | None, limit: int) -> Iterator[tuple[str, bytes]]:
    """Pictures of a tar by name; ``wanted`` names them, otherwise every one, at most ``limit``."""
    names = None if wanted is None else set(wanted)
    with tarfile.open(path) as archive:
        for member in archive:
            if limit <= 0:
                return
            if not member.isfile() or (names is not None and Path(member.name).name not in names):
                continue
            handle = archive.extractfile(member)
            if handle is not None:
                limit -= 1
                yield Path(member.name).name, handle.read()


def _turned_names(table: Path, count: int) -> list[str]:
    """Turned AI faces of the openly licensed set, most turned first; profiles among them are dropped later."""
    with table.open(newline="", encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle) if row["set"] == "sfhq_t2i" and row["yaw_ratio"]]
    rows = [row for row in rows if TURNED[0] <= abs(float(row["yaw_ratio"])) <= TURNED[1]]
    rows.sort(key=lambda row: (-abs(float(row["yaw_ratio"])), row["file"]))
    return [row["file"] for row in rows[:count]]


def _pictures(data: Path | None, folder: Path | None) -> Iterator[tuple[str, str, bytes]]:
    """(source, name, file content) of every portrait to look at."""
    if folder is not None:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"}:
                yield "folder", path.name, path.read_bytes()
        return
    if data is None:
        raise SystemExit("no portraits: set VIDANON_TEST_DATA or give --faces FOLDER with portraits")
    faces = data / "faces"
    for name, content in _tar_pictures(faces / "donors384.tar", None, 200):
        yield "donor", name, content
    for name, content in _tar_pictures(faces / "open128.tar", _turned_names(faces / "open128.csv", 220), 220):
        yield "turned", name, content
    for name, content in _tar_pictures(faces / "lfw-deepfunneled.tar", None, 120):
        yield "lfw", name, content


class YuNet:
    """YuNet over one picture at a time, letterboxed to 320 px, where it is surest on portraits."""

    SIDE = 320

    def __init__(self, model: Path) -> None:
        self._detector: Any = cv2.FaceDetectorYN.create(str(model), "", (self.SIDE, self.SIDE), 0.6, 0.3, 50)

    def faces(self, rgb: Bytes) -> npt.NDArray[np.float32]:
        """(n, 15) float32: x, y, w, h, five landmarks, score, in the picture's pixels."""
        scale = self.SIDE / max(rgb.shape[:2])
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        view = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=method)[: self.SIDE, : self.SIDE]
        square = np.zeros((self.SIDE, self.SIDE, 3), np.uint8)
        square[: view.shape[0], : view.shape[1]] = view[..., ::-1]
        _, found = self._detector.detect(square)
        if found is None:
            return np.zeros((0, 15), np.float32)
        faces = np.array(found, np.float32)
        faces[:, :14] /= scale
        return faces


def load_portraits(
    data: Path | None, cache: Path, folder: Path | None = None, yunet: Path | None = None
) -> list[Portrait]:
    """Every usable head, from the cache where it is there. Raises SystemExit where nothing can be found."""
    model = yunet or (data / "detectors" / "yunet_n_dynamic.onnx" if data else None)
    if model is None or not model.is_file():
        raise SystemExit("YuNet is needed to place the face ellipses: set VIDANON_TEST_DATA or give --yunet FILE")
    key = hashlib.sha256(f"{CUT_VERSION}|{folder or data}".encode()).hexdigest()[:12]
    stored = cache / f"heads-{key}.npz"
    if stored.is_file():
        return _read(stored)
    detector = YuNet(model)
    portraits = []
    for source, name, content in _pictures(data, folder):
        rgb = read_rgb(content)
        if rgb is None:
            continue
        faces = detector.faces(rgb)
        if source == "turned" and len(faces) == 1 and eye_ratio(faces[0]) < PROFILE:
            continue
        if len(faces) != 1:  # two people in one picture: the second would be a face without ground truth
            continue
        portrait = cut_out(rgb, faces[0], name, source)
        if portrait is not None:
            portraits.append(portrait)
    if not portraits:
        raise SystemExit("no usable portrait: each picture must show one face, well inside its frame")
    cache.mkdir(parents=True, exist_ok=True)
    _write(stored, portraits)
    return portraits


def _write(path: Path, portraits: Sequence[Portrait]) -> None:
    blobs = [cv2.imencode(".png", p.rgba, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].reshape(-1) for p in portraits]
    numbers = np.array([[*p.centre, *p.axes, p.roll] for p in portraits], np.float64)
    names = np.array([f"{p.source}\t{p.name}" for p in portraits])
    buffer = io.BytesIO()
    np.savez(buffer, names=names, numbers=numbers, ends=np.cumsum([len(b) for b in blobs]), data=np.concatenate(blobs))
    temporary = path.with_suffix(".part")
    temporary.write_bytes(buffer.getvalue())
    temporary.replace(path)


def _read(path: Path) -> list[Portrait]:
    with np.load(path) as stored:
        names, numbers, ends, data = stored["names"], stored["numbers"], stored["ends"], stored["data"]
    portraits = []
    for i, label in enumerate(names):
        source, name = str(label).split("\t")
        rgba = np.asarray(cv2.imdecode(data[ends[i - 1] if i else 0 : ends[i]], cv2.IMREAD_UNCHANGED), np.uint8)
        cx, cy, a, b, roll = (float(v) for v in numbers[i])
        portraits.append(Portrait(name, source, rgba, (cx, cy), (a, b), roll))
    return portraits
