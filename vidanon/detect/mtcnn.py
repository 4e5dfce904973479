"""MTCNN (Zhang et al., 2016): our own batched runtime on the weights that facenet-pytorch carries.

Stage 1 (P-Net) proposes 12 px windows over an image pyramid, stage 2 (R-Net) and stage 3 (O-Net) look at each window
again at 24 and 48 px, and regress the box and five landmarks. Windows of all scales and all pictures go through stages
2 and 3 in one batch. The thresholds are lower than the paper's: the score (O-Net's probability of "face") travels
with each detection, and the tracker decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from vidanon.detect.base import Detector
from vidanon.detect.mtcnn_nets import Weights, load_net, onet, pnet, rnet
from vidanon.detect.mtcnn_sample import Picture, Size, picture
from vidanon.detect.nms import nms_by_group, overlaps
from vidanon.types import ByteArray, Detection, FloatArray

_CELL, _STRIDE = 12, 2  # P-Net's window and step, px of a pyramid level
_BATCH = {"cpu": 64, "cuda": 4096}  # windows per forward pass of stages 2 and 3: what fits a cache, or the memory

_VOTES = 0.6  # least overlap with the best window of a face for another to count for its place


@dataclass(frozen=True)
class _Windows:
    """Square windows still in play, over all pictures of a call."""

    boxes: FloatArray  #: (n, 4) px of their picture
    scores: FloatArray  #: (n,) 0..1
    images: npt.NDArray[np.intp]  #: (n,) index of the picture

    def __getitem__(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> _Windows:
        return _Windows(self.boxes[index], self.scores[index], self.images[index])


class Mtcnn(Detector):
    """Faces by MTCNN. Thread-safe: holds weights and numbers only.

    min_face: smallest face looked for, px (P-Net's window at the first pyramid level).
    thresholds: least probability after P-, R- and O-Net.
    factor: step of the pyramid.
    dtype: number type of the networks. bfloat16 finds the same faces; against float32 it moves scores by .02 at most,
        boxes by .1 % and landmarks by .3 % of the face (mean).
    max_windows, max_faces: most windows per picture that reach R-Net and O-Net; the best by score stay.
    """

    name = "mtcnn"

    def __init__(
        self,
        min_face: int = 20,
        thresholds: tuple[float, float, float] = (0.5, 0.55, 0.35),
        factor: float = 0.709,
        device: torch.device | str = "cpu",
        max_windows: int = 3000,
        max_faces: int = 1000,
        *,
        weights: tuple[Path, Path, Path],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        if not 0 < factor < 1 or min_face < 4 or not all(0 < t < 1 for t in thresholds):
            raise ValueError(f"factor {factor} and thresholds {thresholds} must be in (0, 1), min_face {min_face} >= 4")
        self.min_face = min_face
        self.thresholds = thresholds
        self.factor = factor
        self.dtype = dtype
        self.device = torch.device(device)
        self.max_windows = max_windows
        self.max_faces = max_faces
        self._pnet, self._rnet, self._onet = (
            load_net(path, net, self.device, dtype) for path, net in zip(weights, ("pnet", "rnet", "onet"), strict=True)
        )

    def detect(self, images: Sequence[ByteArray]) -> list[list[Detection]]:
        found: list[list[Detection]] = [[] for _ in images]
        with torch.inference_mode():
            pictures = [picture(image, self.device) for image in images]
            windows = self._stage2(pictures, self._stage1(pictures))
            windows, landmarks = self._stage3(pictures, windows)
        for i, row in enumerate(windows.images.tolist()):
            found[row].append(Detection(windows.boxes[i], float(windows.scores[i]), landmarks[i], self.name))
        return found

    def refine(self, images: Sequence[ByteArray], boxes: Sequence[FloatArray]) -> list[list[Detection | None]]:
        """Look again at known faces: ``boxes[i]`` (k, 4) px, where picture i should show one each.

        All boxes of all pictures in one batch: R-Net centres the box (its score is not asked), O-Net judges, regresses
        and finds the landmarks. Answers per box the face, or None where O-Net's probability is not over the threshold.
        Boxes wrong by a quarter of their size in place and scale come back as well as exact ones; two rounds of O-Net
        are no better and cost nearly twice as much, one round is worse.
        """
        answer: list[list[Detection | None]] = [[None] * len(b) for b in boxes]
        where = [(i, k) for i, b in enumerate(boxes) for k in range(len(b))]
        if not where:
            return answer
        current = np.concatenate([np.asarray(b, np.float32).reshape(-1, 4) for b in boxes])
        index = np.array([i for i, _ in where], np.intp)
        with torch.inference_mode():
            pictures = [picture(image, self.device) for image in images]
            crops = _square(current)
            out = self._run(rnet, self._rnet, pictures, crops, index, 24)
            crops = _square(_regress(crops, out[:, 1:5]))
            out = self._run(onet, self._onet, pictures, crops, index, 48)
        found, scores = _regress(crops, out[:, 1:5]), _sigmoid(out[:, 0])
        landmarks = _landmarks(crops, out[:, 5:15])
        for (i, k), box, score, points in zip(where, found, scores, landmarks, strict=True):
            if score > self.thresholds[2]:
                answer[i][k] = Detection(box, float(score), points, self.name)
        return answer

    # the three stages

    def _stage1(self, pictures: Sequence[Picture]) -> _Windows:
        boxes: list[FloatArray] = []
        logits: list[FloatArray] = []
        images: list[npt.NDArray[np.intp]] = []
        for i, pic in enumerate(pictures):
            sizes = pyramid(pic.height, pic.width, self.min_face, self.factor)
            per_level = [
                self._proposals(level, pic.width / size[1], pic.height / size[0])
                for size, level in zip(sizes, pic.levels(sizes), strict=True)
            ]
            if not per_level:
                continue
            box = np.concatenate([b for b, _ in per_level])
            logit = np.concatenate([s for _, s in per_level])
            # between levels nothing can overlap by more than factor^2 < .7: the paper's second suppression never acts
            if len(box) > self.max_windows:
                best = np.argsort(-logit, kind="stable")[: self.max_windows]
                box, logit = box[best], logit[best]
            boxes.append(box)
            logits.append(logit)
            images.append(np.full(len(box), i, np.intp))
        if not boxes:
            return _Windows(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.intp))
        return _Windows(np.concatenate(boxes), _sigmoid(np.concatenate(logits)), np.concatenate(images))

    def _proposals(self, level: torch.Tensor, step_x: float, step_y: float) -> tuple[FloatArray, FloatArray]:
        """Regressed squares (n, 4) in picture px and their logits (n,) from one pyramid level (1, 3, h, w)."""
        out = pnet(level, self._pnet)[0]
        threshold = _logit(self.thresholds[0])
        if self.device.type == "cpu":
            maps = out.numpy()
            peaks = peaks_cv(maps[0], threshold)
            y, x = np.nonzero(peaks)
            logit, reg = maps[0, y, x], maps[1:5, y, x].T
        else:
            found = peaks_torch(out[0], threshold).nonzero()
            picked = out[:, found[:, 0], found[:, 1]].cpu().numpy()
            logit, reg = picked[0], picked[1:5].T
            y, x = found.cpu().numpy().T
        low = np.stack((x, y), 1).astype(np.float32) * _STRIDE
        cells = np.concatenate((low, low + _CELL), 1)
        boxes = _regress(cells, reg) * np.array([step_x, step_y, step_x, step_y], np.float32)
        return _square(boxes), np.ascontiguousarray(logit, np.float32)

    def _stage2(self, pictures: Sequence[Picture], windows: _Windows) -> _Windows:
        out = self._run(rnet, self._rnet, pictures, windows.boxes, windows.images, 24)
        scores = _sigmoid(out[:, 0])
        stay = np.flatnonzero(scores > self.thresholds[1])
        windows, out = _Windows(windows.boxes[stay], scores[stay], windows.images[stay]), out[stay]
        keep = nms_by_group(windows.boxes, windows.scores, windows.images, 0.7)
        keep = _best_per_group(keep, windows.images, self.max_faces)
        windows, out = windows[keep], out[keep]
        return _Windows(_square(_regress(windows.boxes, out[:, 1:5])), windows.scores, windows.images)

    def _stage3(self, pictures: Sequence[Picture], windows: _Windows) -> tuple[_Windows, FloatArray]:
        out = self._run(onet, self._onet, pictures, windows.boxes, windows.images, 48)
        scores = _sigmoid(out[:, 0])
        stay = np.flatnonzero(scores > self.thresholds[2])
        crops, out = windows.boxes[stay], out[stay]
        found = _Windows(_regress(crops, out[:, 1:5]), scores[stay], windows.images[stay])
        keep = nms_by_group(found.boxes, found.scores, found.images, 0.7, "min")
        boxes, landmarks = _vote(found, _landmarks(crops, out[:, 5:15]), keep)
        return _Windows(boxes, found.scores[keep], found.images[keep]), landmarks

    def _run(
        self,
        net: Callable[[torch.Tensor, Weights], torch.Tensor],
        weights: Weights,
        pictures: Sequence[Picture],
        boxes: FloatArray,
        images: npt.NDArray[np.intp],
        size: int,
    ) -> FloatArray:
        """Crops of every picture through R- or O-Net: (n, 5 or 15)."""
        crops = [pic.crops(boxes[images == i], size) for i, pic in enumerate(pictures) if (images == i).any()]
        if not crops:
            return np.zeros((0, 5 if net is rnet else 15), np.float32)
        batch = torch.cat(crops)
        # whole fours of windows: each new batch size costs oneDNN milliseconds and memory to prepare for
        batch = torch.cat((batch, batch.new_zeros(-len(batch) % 4, *batch.shape[1:])))
        parts = torch.split(batch, _BATCH.get(self.device.type, 1024))
        out = torch.cat([net(part, weights) for part in parts])[: len(boxes)].cpu().numpy()
        back = np.argsort(images, kind="stable")  # crops lie picture by picture
        answer = np.empty_like(out)
        answer[back] = out
        return answer


def pyramid(height: int, width: int, min_face: int, factor: float) -> list[Size]:
    """Level sizes, largest first: faces of ``min_face`` px fill P-Net's window in the first one."""
    sizes: list[Size] = []
    scale = _CELL / min_face
    while min(height, width) * scale >= _CELL:
        sizes.append((int(height * scale + 1), int(width * scale + 1)))
        scale *= factor
    return sizes


# Non-maximum suppression inside a level. Two windows of 12 px on a grid of 2 overlap by more than one half exactly
# where they are neighbours (diagonal ones too), so greedy suppression is: local maxima stay, their neighbours go,
# and again, until no window is left.


def peaks_cv(logits: FloatArray, threshold: float) -> npt.NDArray[np.bool_]:
    """(h, w) logits -> (h, w) bool, on the CPU."""
    alive = np.where(logits >= threshold, logits + _tie_break(*logits.shape), -np.inf).astype(np.float32)
    peaks = np.zeros(logits.shape, np.uint8)
    window = np.ones((3, 3), np.uint8)
    while True:
        top = (alive >= cv2.dilate(alive, window)) & (alive > -np.inf)
        if not top.any():
            return peaks.astype(bool)
        new = top.astype(np.uint8)
        peaks |= new
        alive[cv2.dilate(new, window) > 0] = -np.inf


def peaks_torch(logits: torch.Tensor, threshold: float) -> torch.Tensor:
    """The same on any device."""
    h, w = logits.shape
    ties = torch.from_numpy(_tie_break(h, w)).to(logits.device)
    alive = torch.where(logits >= threshold, logits + ties, -torch.inf)[None, None]
    peaks = torch.zeros_like(alive, dtype=torch.bool)
    while bool((alive > -torch.inf).any()):
        top = (alive >= F.max_pool2d(alive, 3, 1, 1)) & (alive > -torch.inf)
        peaks |= top
        alive = alive.masked_fill(F.max_pool2d(top.float(), 3, 1, 1) > 0, -torch.inf)
    return peaks[0, 0]


def _tie_break(h: int, w: int) -> FloatArray:
    """A different tiny number for each cell of a 3 x 3 neighbourhood: a flat region must not keep all its windows."""
    y, x = np.arange(h)[:, None] % 3, np.arange(w)[None, :] % 3
    return np.asarray((3 * y + x) * 1e-5, np.float32)


def _vote(found: _Windows, landmarks: FloatArray, keep: npt.NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
    """Boxes (k, 4) and landmarks (k, 5, 2) of the faces ``keep``, each the mean, weighted by score, of all windows that
    found it. Their scores are all nearly 1, so the best one is a lottery; the mean jitters half as much from frame to
    frame (.6 instead of 1.4 % of the face size at 40 px).
    """
    boxes, points = np.empty((len(keep), 4), np.float32), np.empty((len(keep), 5, 2), np.float32)
    for n, i in enumerate(keep.tolist()):
        alike = np.flatnonzero(found.images == found.images[i])
        alike = alike[overlaps(found.boxes[i : i + 1], found.boxes[alike])[0] >= _VOTES]
        weight = found.scores[alike] / found.scores[alike].sum()
        boxes[n] = np.tensordot(weight, found.boxes[alike], 1)
        points[n] = np.tensordot(weight, landmarks[alike], 1)
    return boxes, points


def _best_per_group(keep: npt.NDArray[np.intp], groups: npt.NDArray[np.intp], most: int) -> npt.NDArray[np.intp]:
    """The first ``most`` of each group; ``keep`` is sorted by group, best first."""
    if len(keep) <= most:
        return keep
    ids = groups[keep]
    rank = np.arange(len(keep)) - np.searchsorted(ids, ids, side="left")
    return keep[rank < most]


def _regress(boxes: FloatArray, shift: FloatArray) -> FloatArray:
    """Each corner moved by its share of the box side."""
    sides = boxes[:, 2:4] - boxes[:, 0:2]
    return np.asarray(boxes + shift * np.concatenate((sides, sides), 1), np.float32)


def _square(boxes: FloatArray, scale: float = 1.0) -> FloatArray:
    """Squares of the longer side times ``scale`` about the same centres."""
    centre = (boxes[:, :2] + boxes[:, 2:4]) / 2
    half = (boxes[:, 2:4] - boxes[:, :2]).max(1, keepdims=True) / 2 * scale
    return np.asarray(np.concatenate((centre - half, centre + half), 1), np.float32)


def _landmarks(crops: FloatArray, shares: FloatArray) -> FloatArray:
    """(n, 10) shares of the crop, all x then all y -> (n, 5, 2) px."""
    sides = crops[:, None, 2:4] - crops[:, None, :2]
    return np.asarray(crops[:, None, :2] + sides * shares.reshape(-1, 2, 5).transpose(0, 2, 1), np.float32)


def _sigmoid(logits: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), np.float32)


def _logit(probability: float) -> float:
    return math.log(probability / (1 - probability))
