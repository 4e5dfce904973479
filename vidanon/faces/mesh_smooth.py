"""A track's mesh, steadied over time, looking both ways: nothing lags, and a blink stays a blink.

A mesh is taken apart into where the head is (rotation, scale, place in space) and the shape that is left. Where the
head is gets a local parabola, symmetric in time, so that it keeps up with motion that speeds up or slows down; a mesh
that is sure stays near where it was found, for heads (and clocks of cameras) also jerk. The shape
gets a mean over time that leaves out moments at which the region (an eye, the mouth, the rest) looked otherwise by
more than the network's own noise, which is estimated from the parts of the face that do not move.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from vidanon.faces.mesh_points import (
    LEFT_EYE,
    LIPS_INNER,
    LIPS_OUTER,
    POINTS,
    RIGHT_EYE,
    eye_distance,
    five,
)
from vidanon.faces.mesh_pose import STIFF, Floats, fit_pose
from vidanon.types import FloatArray

_LEAST_SEEN = 3  # meshes: fewer have no motion to speak of
_EYE, _MOUTH = 0.45, 0.8  # radii of the regions, share of the eye distance
_STRAY = 0.15  # share of the eye distance: a head this far from where its neighbours put it counts half
_NOISE = 0.003  # share of the eye distance: never taken for less


@dataclass(frozen=True)
class Smoothing:
    """How far to look."""

    pose: float = 0.03  #: s: standard deviation of the weights around a moment, for where the head is
    own: float = 0.7  #: how much of what a sure mesh stands off from that is the head's own motion
    shape: float = 0.08  #: s, for the shape
    alike: float = 1.2  #: times the noise: shapes farther apart than noise makes them by that are not averaged
    gap: float = 0.2  #: s: the longest time without a mesh that is filled


def smooth(
    points: FloatArray, confidence: FloatArray | None = None, rate: float = 25.0, settings: Smoothing | None = None
) -> FloatArray:
    """(T, 468, 3) px, one mesh a frame of one track without a cut -> the same, steadied.

    confidence: (T,) 0..1, how much each counts (1 where not given); rows of NaN or of confidence 0 are not looked at,
    and filled from those around where they are seen again soon, else NaN. rate: frames a second. Fewer than three
    meshes come back as they are. ValueError for another shape.
    """
    if points.ndim != 3 or points.shape[1:] != (POINTS, 3):
        raise ValueError(f"points {points.shape}: (T, {POINTS}, 3) wanted")
    settings = settings or Smoothing()
    weight = np.ones(len(points)) if confidence is None else np.asarray(confidence, np.float64).copy()
    if weight.shape != (len(points),):
        raise ValueError(f"confidence {weight.shape}: ({len(points)},) wanted")
    seen = np.isfinite(points).all((1, 2)) & (weight > 0)
    weight[~seen] = 0
    if seen.sum() < _LEAST_SEEN:
        return np.asarray(np.where(seen[:, None, None], points, np.nan), np.float32)
    meshes = points.astype(np.float64)
    meshes[~seen] = meshes[seen][0]  # of weight 0: any numbers do
    reference = _reference(meshes[seen], weight[seen])
    rotation, scale, place = fit_pose(reference, meshes)
    shape = np.einsum("tji,tpj->tpi", rotation, meshes - place[:, None]) / scale[:, None, None] - reference
    mean_rotation = _nearest_rotation((rotation * weight[:, None, None]).sum(0))
    turn = _log(np.einsum("ij,tjk->tik", mean_rotation.T, rotation))
    pose = np.concatenate([turn, np.log(scale)[:, None], place], 1)
    sigma = max(settings.pose * rate, 0.3)
    for _ in range(2):  # a mesh far from where its neighbours put the head is of something else
        off = np.linalg.norm((pose - _parabola(pose, weight, sigma))[:, 4:6], axis=1) / float(eye_distance(reference))
        weight = weight / (1 + (off / max(_STRAY, 4 * float(np.median(off[seen])))) ** 4)
    calm = _parabola(pose, weight, sigma)
    pose = calm + (settings.own * np.minimum(weight, 1))[:, None] * (pose - calm)
    shape = _alike_mean(shape, reference, weight, max(settings.shape * rate, 0.3), settings.alike)
    rotation = np.einsum("ij,tjk->tik", mean_rotation, _exp(pose[:, :3]))
    out = np.einsum("tij,tpj->tpi", rotation, reference + shape) * np.exp(pose[:, 3])[:, None, None]
    out += pose[:, None, 4:]
    out[~_reached(seen, round(settings.gap * rate))] = np.nan
    return np.asarray(out, np.float32)


def _reference(meshes: Floats, weight: Floats) -> Floats:
    """The mean shape (468, 3), centred, of the size and in the pose of the surest mesh."""
    reference = meshes[int(weight.argmax())]
    reference = reference - reference[list(STIFF)].mean(0)
    for _ in range(2):
        rotation, scale, place = fit_pose(reference, meshes)
        brought = np.einsum("tji,tpj->tpi", rotation, meshes - place[:, None]) / scale[:, None, None]
        reference = np.average(brought, 0, weight)
    return np.asarray(reference, np.float64)


def _parabola(values: Floats, weight: Floats, sigma: float) -> Floats:
    """(T, D): at every moment, the value there of the parabola that fits the weighted values around it best.

    Where too few are seen around a moment for a parabola, the lower terms are held near 0.
    """
    count = len(values)
    reach = int(np.ceil(3 * sigma))
    moments = np.arange(count)
    at = moments[:, None] + np.arange(-reach, reach + 1)
    inside = (at >= 0) & (at < count)
    at = at.clip(0, count - 1)
    steps = (np.arange(-reach, reach + 1) / sigma)[None]
    w = np.where(inside, weight[at], 0) * np.exp(-(steps**2) / 2)
    w = w / np.maximum(w.sum(1, keepdims=True), 1e-12)
    terms = np.stack([np.ones_like(w), steps + 0 * w, steps**2 + 0 * w], 2)  # (T, R, 3)
    normal = np.einsum("tr,tri,trj->tij", w, terms, terms) + np.diag([1e-9, 1e-4, 1e-3])
    right = np.einsum("tr,tri,trd->tid", w, terms, values[at])
    return np.asarray(np.linalg.solve(normal, right)[:, 0], np.float64)


def _alike_mean(shape: Floats, reference: Floats, weight: Floats, sigma: float, alike: float) -> Floats:
    """(T, 468, 3): mean over time of each region's shape, of the moments at which it looked much the same."""
    regions = _regions(reference)
    unit = float(eye_distance(reference))
    still = regions[-1][1]
    change = _rms(shape[1:, still] - shape[:-1, still])[(weight[1:] > 0) & (weight[:-1] > 0)]
    noise = max(float(np.median(change)) / np.sqrt(2) if len(change) else 0.0, _NOISE * unit)
    total, share = np.zeros_like(shape), np.zeros(shape.shape[:2])
    count = len(shape)
    # points by region: parts of an array are read in a fraction of the time that places in it are
    order = np.concatenate([region for region, _ in regions])
    ordered = np.ascontiguousarray(shape[:, order])
    ends = np.cumsum([0, *(len(region) for region, _ in regions)])
    for step in range(-int(np.ceil(2.5 * sigma)), int(np.ceil(2.5 * sigma)) + 1):
        here = slice(max(0, -step), min(count, count - step))
        if here.start >= here.stop:
            continue
        there = slice(here.start + step, here.stop + step)
        near = weight[there] * np.exp(-((step / sigma) ** 2) / 2)
        for (_, telling), first, last in zip(regions, ends, ends[1:], strict=False):
            apart = np.maximum(_rms(shape[there, telling] - shape[here, telling]) ** 2 - 2 * noise**2, 0)
            apart[weight[here] == 0] = 0  # what is not seen is like anything
            part = near * np.exp(-apart / (alike * noise) ** 2 / 2)
            total[here, first:last] += part[:, None, None] * ordered[there, first:last]
            share[here, first:last] += part[:, None]
    out = np.empty_like(shape)
    out[:, order] = total / np.maximum(share, 1e-12)[..., None]
    return np.asarray(out, np.float64)


def _regions(reference: Floats) -> tuple[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]], ...]:
    """Of the eye on the picture's left, the other eye, the mouth and chin, and the rest: all points, and those that
    tell whether it looks otherwise."""
    unit = float(eye_distance(reference))
    eyes = five(reference)[:2].astype(np.float64)
    mouth = reference[list(LIPS_OUTER)].mean(0)
    down = mouth - eyes.mean(0)
    down /= np.linalg.norm(down)
    masks = [np.linalg.norm(reference - eye, axis=1) < _EYE * unit for eye in eyes]
    below = (reference - mouth) @ down > -0.25 * unit
    masks.append((np.linalg.norm(reference - mouth, axis=1) < _MOUTH * unit) & below & ~masks[0] & ~masks[1])
    masks[1] &= ~masks[0]
    masks.append(~(masks[0] | masks[1] | masks[2]))
    whole = [np.flatnonzero(mask) for mask in masks]
    telling = [np.array(points) for points in (RIGHT_EYE, LEFT_EYE, (*LIPS_INNER, *LIPS_OUTER))]
    return tuple(zip(whole, [*telling, whole[-1]], strict=True))


def _rms(away: Floats) -> Any:
    """(T, P, 3) -> (T,): root of the mean squared distance."""
    return np.sqrt((away**2).sum(2).mean(1))


def _reached(seen: npt.NDArray[np.bool_], gap: int) -> npt.NDArray[np.bool_]:
    """(T,): seen, or between two seen ones with ``gap`` unseen ones at most."""
    moments = np.arange(len(seen))
    last = np.maximum.accumulate(np.where(seen, moments, -(10**9)))
    following = np.minimum.accumulate(np.where(seen, moments, 10**9)[::-1])[::-1]
    return np.asarray(seen | (following - last - 1 <= gap))


def _nearest_rotation(matrix: Floats) -> Floats:
    u, _, vt = np.linalg.svd(matrix)
    return np.asarray((u * (1, 1, np.sign(np.linalg.det(u @ vt)))) @ vt, np.float64)


def _log(rotation: Floats) -> Floats:
    """(T, 3, 3) -> (T, 3) axis times angle, angle under 180 degrees."""
    cosine = ((np.trace(rotation, axis1=1, axis2=2) - 1) / 2).clip(-1, 1)
    angle = np.arccos(cosine)
    axis = np.stack(
        [
            rotation[:, 2, 1] - rotation[:, 1, 2],
            rotation[:, 0, 2] - rotation[:, 2, 0],
            rotation[:, 1, 0] - rotation[:, 0, 1],
        ],
        1,
    )
    sine = np.sin(angle)
    factor = np.where(sine > 1e-6, angle / np.maximum(2 * sine, 1e-6), 0.5)
    return np.asarray(axis * factor[:, None], np.float64)


def _exp(vector: Floats) -> Floats:
    """The inverse of :func:`_log` (Rodrigues)."""
    angle = np.linalg.norm(vector, axis=1)
    axis = vector / np.maximum(angle, 1e-12)[:, None]
    cross = np.zeros((len(vector), 3, 3))
    cross[:, 0, 1], cross[:, 0, 2], cross[:, 1, 2] = -axis[:, 2], axis[:, 1], -axis[:, 0]
    cross -= cross.transpose(0, 2, 1)
    sine, cosine = np.sin(angle)[:, None, None], np.cos(angle)[:, None, None]
    return np.asarray(np.eye(3) + sine * cross + (1 - cosine) * (cross @ cross), np.float64)
