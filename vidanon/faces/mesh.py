"""Dense landmarks: 468 points in space of each face, with a confidence, by the project's own network.

A face is looked at in an upright 96 px crop, placed by its five landmarks, or by its box where it has none. The
shipped network is ``landmarks`` in the registry, its card ``models/landmarks.md``; ``vidanon.train.landmarks`` makes
such files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from vidanon.errors import ModelError
from vidanon.faces.align import MAX_COORDINATE, apply, invert, is_box, similarity
from vidanon.faces.gather import sample_rgb
from vidanon.faces.mesh_nets import fused, mesh_net
from vidanon.faces.mesh_points import POINTS, five
from vidanon.media.orientation import coded_from_upright
from vidanon.runtime.device import Runtime
from vidanon.types import ByteArray, FloatArray, Frame
from vidanon.zoo.fetch import resolve
from vidanon.zoo.load import load_state
from vidanon.zoo.save import save_tensors

NAME = "landmarks"
SIZE = 96  #: px, side of the crop
OFFSET, SCALE = 127.5, 128.0  #: of the network's input: (pixel - OFFSET) / SCALE, pixels 0..255
#: px of the crop, centres at +0.5: where the five landmarks of an average face lie
TEMPLATE = ((33.6, 35.0), (62.4, 35.0), (48.0, 52.0), (35.2, 63.5), (60.8, 63.5))
_BOX_SIDE = 1.35  # the crop's side over the root of a detector's box area (faces of the training set)
_BOX_DROP = 0.066  # how far below the box's middle the crop's lies, share of the same
_CHUNK = 32  # crops per call of the network: bounds memory


@dataclass(frozen=True)
class Meshes:
    """The meshes of N faces."""

    #: (N, 468, 3) px: x and y of the picture, z in the same unit (smaller is nearer); NaN where there was no face to
    #: look for
    points: FloatArray
    #: (N,) 0..1: exp(-(e / .1)^2) of the error e to expect, share of the eye distance, less where the face is hidden,
    #: cut off by the crop or none: .9 is an error of .03, .5 one of .08; 0 where points are NaN
    confidence: FloatArray

    def __len__(self) -> int:
        return len(self.points)


class MeshFinder:
    """Finds meshes. Thread-safe."""

    def __init__(self, path: Path, runtime: Runtime) -> None:
        """The network in ``path``, on the runtime's device, its trunk in the fast number type.

        Raises ModelError where the file holds something else.
        """
        try:
            net = fused(mesh_net(load_state(path)))
            self.mirror = net.mirror.numpy().copy()  #: (468,) where each point goes when the picture is mirrored
            self.triangles = net.triangles.numpy().copy()  #: (T, 3) a triangulation, frontal points counterclockwise
            self.mean: FloatArray = net.mean.numpy().copy()  #: (468, 3) the average face, shares of the crop
        except (KeyError, ValueError, RuntimeError, IndexError) as error:
            raise ModelError(f"{path}: not a landmark network (its tensors differ); get the original") from error
        self._device, self._dtype = runtime.device, runtime.fast_dtype
        self._net = net.to(self._device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._net.trunk_to(self._dtype)

    def on_crops(self, crops: torch.Tensor) -> Meshes:
        """(N, 3, 96, 96) RGB in [0, 1], placed as :func:`crop_transform` does -> meshes in crop pixels.

        Raises ValueError for another shape.
        """
        if crops.ndim != 4 or crops.shape[1:] != (3, SIZE, SIZE):
            raise ValueError(f"crops {tuple(crops.shape)}: (N, 3, {SIZE}, {SIZE}) wanted")
        points = np.empty((len(crops), POINTS, 3), np.float32)
        confidence = np.empty(len(crops), np.float32)
        with torch.inference_mode():
            for start in range(0, len(crops), _CHUNK):
                x = (crops[start : start + _CHUNK].to(self._device) * 255 - OFFSET) / SCALE
                x = x.to(self._dtype).contiguous(memory_format=torch.channels_last)
                out = self._net(x)
                part = slice(start, start + len(x))
                points[part] = (out[:, :-1] * SIZE).cpu().numpy().reshape(-1, POINTS, 3)
                confidence[part] = torch.sigmoid(out[:, -1]).cpu().numpy()
        return Meshes(points, confidence)

    def detect(
        self, frame: Frame, boxes: FloatArray, landmarks: FloatArray | None = None, *, looks: int | None = None
    ) -> Meshes:
        """The meshes of the faces of one frame, in coded pixels.

        boxes: (N, 4); landmarks: (N, 5, 2), NaN where unknown, or None; both coded pixels. ``looks``: how often each
        face is looked at, from the second time in the crop that its mesh asks for: 1 where a face has landmarks and 2
        where it has only a box, unless told. A face without landmarks whose box is none gets NaN. z is scaled by the
        root of the area's scale; in a frame shown mirrored, the mesh is a mirror image too.
        """
        return self.detect_each([frame] * len(boxes), boxes, landmarks, looks=looks)

    def detect_each(
        self,
        frames: Sequence[Frame],
        boxes: FloatArray,
        landmarks: FloatArray | None = None,
        *,
        looks: int | None = None,
    ) -> Meshes:
        """As :meth:`detect`, of N faces in N frames: many at once take two thirds of the time."""
        cuts, uprights = [], []
        for frame in frames:
            cuts.append(_cut_of(frame))
            uprights.append(_upright_to_coded(frame))
        return self._detect(cuts, uprights, boxes, landmarks, looks)

    def detect_picture(
        self, rgb: ByteArray, boxes: FloatArray, landmarks: FloatArray | None = None, *, looks: int | None = None
    ) -> Meshes:
        """As :meth:`detect`, of an upright picture with square pixels: (h, w, 3) uint8 RGB."""

        def cut(to_picture: FloatArray) -> FloatArray:
            return np.asarray(cut_crop(rgb, to_picture).transpose(2, 0, 1) / np.float32(255), np.float32)

        count = len(boxes)
        return self._detect([cut] * count, [np.eye(2, 3, dtype=np.float32)] * count, boxes, landmarks, looks)

    def _detect(
        self,
        cuts: Sequence[Callable[[FloatArray], FloatArray]],
        uprights: Sequence[FloatArray],
        boxes: FloatArray,
        landmarks: FloatArray | None,
        looks: int | None,
    ) -> Meshes:
        """For each face, ``cuts`` give the (3, 96, 96) crop under a (2, 3) crop to picture; ``uprights``: upright to
        picture."""
        count = len(boxes)
        out = Meshes(np.full((count, POINTS, 3), np.nan, np.float32), np.zeros(count, np.float32))
        places: dict[int, FloatArray] = {}  # face -> (2, 3) crop to upright
        left: dict[int, int] = {}
        for i in range(count):
            to_upright = invert(uprights[i])
            marks = None if landmarks is None else landmarks[i]
            place = _place(None if marks is None else apply(to_upright, marks), _moved_box(to_upright, boxes[i]))
            if place is not None:
                places[i] = place[0]
                left[i] = looks if looks is not None else 1 if place[1] else 2
        while todo := [i for i in places if left[i] > 0]:
            crops = np.stack([cuts[i](_compose(uprights[i], places[i])) for i in todo])
            found = self.on_crops(torch.from_numpy(crops))
            for i, points, confidence in zip(todo, found.points, found.confidence, strict=True):
                whole = _compose(uprights[i], places[i])
                out.points[i, :, :2] = apply(whole, points[:, :2])
                out.points[i, :, 2] = points[:, 2] * _scale(whole)
                out.confidence[i] = confidence
                left[i] -= 1
                again = crop_transform(apply(places[i], five(points)[:, :2])) if left[i] > 0 else None
                if again is not None:
                    places[i] = again
        return out


def _cut_of(frame: Frame) -> Callable[[FloatArray], FloatArray]:
    """(2, 3) crop to coded -> the (3, 96, 96) crop of a frame."""

    def cut(to_coded: FloatArray) -> FloatArray:
        out = np.empty((3, SIZE, SIZE), np.float32)
        sample_rgb(frame, to_coded, out)
        return out

    return cut


def load_mesh(runtime: Runtime, path: Path | None = None) -> MeshFinder:
    """The network in ``path``, or the shipped one (its hash is checked). Raises ModelError, ModelUnavailable."""
    return MeshFinder(path or resolve(NAME, offline=True), runtime)


def write_mesh(path: Path, state: Mapping[str, torch.Tensor]) -> None:
    """Write a network: weights of two dimensions and more as float16, indices as int16, the rest as it is.

    The mean shape and the last layer stay float32. The file takes its name only once it is whole. Raises OSError.
    """
    tensors = {}
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            tensor = tensor.to(torch.int16 if name in ("mirror", "triangles") else tensor.dtype)
        elif tensor.ndim > 1 and name != "mean":
            tensor = tensor.half()
        tensors[name] = tensor.detach().cpu().contiguous()
    save_tensors(path, tensors)


def crop_transform(landmarks: FloatArray) -> FloatArray | None:
    """(5, 2) landmarks of an upright picture -> (2, 3) crop to picture; None where they are no face's."""
    if not np.isfinite(landmarks).all() or np.abs(landmarks).max() > MAX_COORDINATE:
        return None
    try:
        transform = invert(similarity(landmarks, np.array(TEMPLATE, np.float32)))
    except (ValueError, ZeroDivisionError):
        return None
    return transform if np.isfinite(transform).all() and 0 < _scale(transform) < MAX_COORDINATE else None


def cut_crop(rgb: npt.NDArray[Any], to_picture: FloatArray, size: int = SIZE) -> npt.NDArray[Any]:
    """(h, w, C) picture -> (size, size, C) under ``to_picture`` (2, 3), crop to picture; its edge is repeated outside.

    Where the crop is much smaller than what it shows, pixels are averaged.
    """
    matrix = to_picture.astype(np.float64)
    step = _scale(to_picture)
    if step >= 2:
        less = 1 / int(step)
        height, width = (max(1, round(side * less)) for side in rgb.shape[:2])
        matrix *= np.array([[width / rgb.shape[1]], [height / rgb.shape[0]]])
        rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    matrix[:, 2] += matrix[:, :2].sum(1) / 2 - 0.5  # pixel centres at +0.5 here, at 0 in OpenCV
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(rgb, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _place(landmarks: FloatArray | None, box: FloatArray | None) -> tuple[FloatArray, bool] | None:
    """(2, 3) crop to upright picture, and whether landmarks gave it."""
    if landmarks is not None and (transform := crop_transform(landmarks)) is not None:
        return transform, True
    if box is None:
        return None
    root = float(np.sqrt((box[2] - box[0]) * (box[3] - box[1])))
    step = root * _BOX_SIDE / SIZE
    x = float(box[0] + box[2]) / 2 - step * SIZE / 2
    y = float(box[1] + box[3]) / 2 + root * _BOX_DROP - step * SIZE / 2
    return np.array([[step, 0, x], [0, step, y]], np.float32), False


def _moved_box(transform: FloatArray, box: FloatArray) -> FloatArray | None:
    """The box around ``box`` taken through a right-angled ``transform``; None where it is none."""
    if not is_box(box):
        return None
    corners = apply(transform, np.asarray(box, np.float32).reshape(2, 2))
    return np.concatenate([corners.min(0), corners.max(0)])


def _upright_to_coded(frame: Frame) -> FloatArray:
    """(2, 3): the picture as it is shown, with square pixels of the coded height -> coded pixels."""
    ratio = float(frame.sar) if frame.sar > 0 else 1.0
    transform = coded_from_upright(1, 1, frame.orientation)
    transform[:, 2] *= (frame.width * ratio, frame.height)
    transform[0] /= ratio
    return np.asarray(transform, np.float32)


def _compose(outer: FloatArray, inner: FloatArray) -> FloatArray:
    """(2, 3): first ``inner``, then ``outer``."""
    linear = outer[:, :2].astype(np.float64)
    whole = linear @ inner
    whole[:, 2] += outer[:, 2]
    return np.asarray(whole, np.float32)


def _scale(transform: FloatArray) -> float:
    """Root of the area's scale of a (2, 3) affine."""
    (a, b, _), (c, d, _) = transform.tolist()
    return float(abs(a * d - b * c) ** 0.5)
