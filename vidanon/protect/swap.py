"""Swap: every face becomes a synthetic person's, the same through its track; what cannot be swapped is pixelated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from vidanon.config import SwapSettings
from vidanon.faces.align import invert, is_box, move_box
from vidanon.faces.mesh import MeshFinder
from vidanon.faces.mesh_pose import Floats
from vidanon.protect.base import Protector, TrackStates
from vidanon.protect.obscure import Pixelate
from vidanon.swap.cast import Role
from vidanon.swap.composite import Actor, Composer
from vidanon.swap.crowding import crowded, near
from vidanon.swap.eye_motion import smooth_gaze
from vidanon.swap.gate import NO_DONOR, NO_MESH, UNCAST, Gated, gate
from vidanon.swap.light import LUMA, Look
from vidanon.swap.looking import looking
from vidanon.swap.outline import WIDER, eased
from vidanon.swap.patches import mirrored, to_patch, unmirrored
from vidanon.swap.poses import Seen, find_meshes, steadied, tail_of
from vidanon.types import BLANK, FaceBatch, FacePose, FloatArray, Frame, Layer, PlanRow, Protected

_NOWHERE = (np.full(2, np.nan, np.float32), 0.0)
_TINY = 1e-6
_WIDENS = 0.5  #: s in which an outline is moved outward
_EDGE = 1.15  #: reach of a cover with its soft edge, over its own
_MEASURED = 4  #: frames between two that are measured for it
_MEMORY = 0.7  #: how much of what a face looked like so far counts in the next measured frame


@dataclass(frozen=True)
class TrackFace:
    """What is kept of a track from batch to batch and from segment to segment."""

    turn: int = 0  #: which of the role's donors it is drawn with
    tail: Seen | None = None
    share: float = 0.0  #: in the last frame prepared
    room: float = 1.0  #: around it, there
    look: Look | None = None
    offset: Floats | None = None  #: as :meth:`Shapes.offset` gives it, of the donor whose turn it is
    blank: bool = False  #: under its cover


class Swap(Protector):
    name = "swap"

    def __init__(
        self,
        settings: SwapSettings,
        cover: Pixelate,
        finder: MeshFinder,
        composer: Composer,
        actors: Sequence[Actor],
        roles: Mapping[int, Role],
        seed: int,
        reach: float,
        workers: int = 1,
    ) -> None:
        """cover: what protects the faces that are not swapped. roles: by track, who plays it; tracks without one are
        not swapped. seed: of the grain. reach: of the cover's mask, box sizes. workers: threads that look at faces."""
        self._settings = settings
        self._cover = cover
        self._finder = finder
        self._composer = composer
        self._actors = actors
        self._roles = roles
        self._seed = seed
        self._reach = reach
        self._workers = workers

    def prepare(
        self, frames: Sequence[Frame], rows: Sequence[PlanRow], states: TrackStates
    ) -> tuple[list[PlanRow], TrackStates]:
        kept = dict(states)
        poses: dict[tuple[int, int], FacePose] = {}
        rate = _rate(frames)
        by_index = {frame.index: frame for frame in frames}
        acted = [row for row in rows if self._is_played(row.track, kept)]
        faces = find_meshes(self._finder, frames, acted, self._workers)
        steady = {track: steadied(seen, kept.get(track, TrackFace()).tail, rate) for track, seen in faces.items()}
        gates = {
            track: self._gate(seen, steady[track], [False] * len(seen), rate, kept.get(track, TrackFace()))
            for track, seen in faces.items()
        }
        shares = {track: gated.share for track, gated in gates.items()}
        beside = crowded(faces, steady, shares, self._reach)
        others = near(faces, steady, shares, rows, _EDGE * self._reach)
        for track, seen in faces.items():
            meshes, gated, state = steady[track], gates[track], kept.get(track, TrackFace())
            if any(beside[track]):
                gated = self._gate(seen, meshes, beside[track], rate, state)
            # beside a face that goes over, its patch is to hold nothing of the source
            free = (gated.share >= 1) & ~np.array([each.drawn for each in others[track]])
            room = eased(free.astype(np.float32), state.room, max(1, round(_WIDENS * rate)))
            looks = [
                looking(by_index[frame], mesh) if share > 0 else _NOWHERE
                for frame, mesh, share in zip(seen.frames, meshes, gated.share, strict=True)
            ]
            gazes = smooth_gaze(np.stack([each for each, _ in looks]), np.array([sure for _, sure in looks]), rate)
            for i, frame in enumerate(seen.frames):
                where = (float(gazes[i, 0]), float(gazes[i, 1]))
                share, beside_it = float(gated.share[i]), others[track][i]
                poses[frame, track] = FacePose(
                    meshes[i], share, gated.reasons[i], where, float(room[i]), beside_it.places, beside_it.mouth_covered
                )
            kept[track] = replace(state, tail=tail_of(seen), share=float(gated.share[-1]), room=float(room[-1]))
        return [replace(row, pose=poses.get((row.frame, row.track))) for row in rows], kept

    def _gate(self, seen: Seen, meshes: FloatArray, beside: Sequence[bool], rate: float, state: TrackFace) -> Gated:
        goes_on = state.tail is not None and seen.frames[0] == state.tail.frames[-1] + 1
        before = state.share if goes_on else 0.0
        return gate(seen, meshes, beside, rate, self._settings, fresh=not goes_on, before=before)

    def rejected(self, tracks: Sequence[int], states: TrackStates) -> tuple[frozenset[int], TrackStates]:
        """The next donor of the role, then the cover, then a blank one."""
        kept = dict(states)
        again = set()
        for track in tracks:
            state: TrackFace = kept.get(track, TrackFace())
            if self._is_played(track, kept):
                kept[track] = replace(state, turn=state.turn + 1, look=None, offset=None)
            elif not state.blank:
                kept[track] = replace(state, blank=True)
            else:
                continue
            again.add(track)
        return frozenset(again), kept

    def __call__(self, batch: FaceBatch, states: TrackStates) -> tuple[Protected, TrackStates]:
        n = len(batch)
        kept = dict(states)
        shares = np.zeros(n, np.float32)
        reasons = [""] * n
        for i, track in enumerate(batch.tracks):
            pose = batch.poses[i] if batch.poses else None
            if not self._is_played(track, kept):
                blank = kept.get(track, TrackFace()).blank
                reasons[i] = BLANK if blank else NO_DONOR if track in self._roles else UNCAST
            elif pose is None or not np.isfinite(pose.mesh).all() or not np.isfinite(batch.to_frame[i]).all():
                reasons[i] = NO_MESH
            else:
                shares[i] = pose.share
                reasons[i] = pose.reason if pose.share == 0 else ""
        out = batch.patches.cpu().numpy().copy()
        masks = np.zeros((n, 1, *out.shape[2:]), np.float32)
        layers: list[Layer | None] = [None] * n
        covered = np.flatnonzero(shares < 1)
        if len(covered):
            cover, _ = self._cover(_some(batch, covered), {t: kept[t].blank for t in batch.tracks if t in kept})
            under, around = cover.patches.cpu().numpy(), cover.masks.cpu().numpy()
        for i in np.flatnonzero(shares > 0).tolist():
            track, pose = batch.tracks[i], batch.poses[i]
            state, role = kept.get(track, TrackFace()), self._roles[track]
            assert pose is not None
            donor, retouch = role.part(state.turn)
            actor = self._actors[donor]
            mesh = to_patch(batch.to_frame[i], pose.mesh)
            turn = mirrored(mesh)
            others = _occupied(pose.near, batch.to_frame[i], out.shape[-1])
            patch, mesh = unmirrored(np.ascontiguousarray(out[i].transpose(1, 2, 0)), mesh)
            look = state.look
            if look is None or batch.frames[i] % _MEASURED == 0:
                look = _mixed(look, self._composer.measure(patch, mesh))
            rng = np.random.default_rng((self._seed, track, batch.frames[i]))
            offset = self._composer.shapes.offset(actor.shape, role.shape) if state.offset is None else state.offset
            outline = WIDER * pose.room * (pose.share >= 1)
            others = np.ascontiguousarray(others[:, ::-1]) if turn else others
            drawn = self._composer.draw(
                patch, mesh, offset, actor, look, rng, pose.gaze, retouch, outline, others, pose.mouth_covered
            )
            if turn:
                drawn = drawn.mirrored()
            out[i], masks[i, 0] = drawn.patch.transpose(2, 0, 1), drawn.mask
            layers[i] = drawn.layer
            kept[track] = replace(state, look=look, offset=offset)
        for k, i in enumerate(covered.tolist()):
            # Each through its own mask, and nothing of the source: where another face lies beside the new one, a patch
            # that holds the source would bring it back.
            share = shares[i]
            both = share * masks[i] + (1 - share) * around[k]
            out[i] = under[k] + share * masks[i] / np.maximum(both, _TINY) * (out[i] - under[k])
            masks[i] = np.maximum(masks[i], both)
            layer = layers[i]
            if layer is not None:
                mixed = share * layer.luma + (1 - share) * np.tensordot(LUMA, under[k], 1)
                layers[i] = replace(layer, luma=mixed, face=masks[i, 0])
        device = batch.patches.device
        answer = Protected(
            torch.from_numpy(out).to(device),
            torch.from_numpy(masks).to(device),
            np.ones(n, np.bool_),
            ("",) * n,
            tuple(reasons),
            tuple(layers),
            np.array([reason == BLANK for reason in reasons], np.bool_),
        )
        return answer, kept

    def _is_played(self, track: int, states: TrackStates) -> bool:
        """Whether there is a donor left for it."""
        role = self._roles.get(track)
        return role is not None and states.get(track, TrackFace()).turn < len(role.donors)


def _mixed(before: Look | None, now: Look) -> Look:
    if before is None or not np.isfinite(before.fine):
        return now
    if not np.isfinite(now.fine):
        return before
    keep = _MEMORY
    edge = now.edge if np.isnan(before.edge) else before.edge if np.isnan(now.edge) else None
    return Look(
        keep * before.contrast + (1 - keep) * now.contrast,
        keep * before.fine + (1 - keep) * now.fine,
        keep * before.edge + (1 - keep) * now.edge if edge is None else edge,
    )


def _occupied(places: Sequence[FloatArray], to_frame: FloatArray, size: int) -> FloatArray:
    """(4,) boxes, coded px -> (size, size) of a patch, 1 in any of them; a box that is none fills it."""
    out = np.zeros((size, size), np.float32)
    for place in places:
        if not is_box(place):
            out[:] = 1
            continue
        x0, y0, x1, y1 = move_box(invert(to_frame), place)
        left, top = (int(np.clip(np.floor(v), 0, size)) for v in (x0, y0))
        right, bottom = (int(np.clip(np.ceil(v), 0, size)) for v in (x1, y1))
        out[top:bottom, left:right] = 1
    return out


def _rate(frames: Sequence[Frame]) -> float:
    """Frames a second, 25 where it cannot be told."""
    seconds = frames[-1].seconds - frames[0].seconds
    return float(np.clip((len(frames) - 1) / seconds, 1, 240)) if seconds > 0 else 25.0


def _some(batch: FaceBatch, rows: np.ndarray) -> FaceBatch:
    return FaceBatch(
        patches=batch.patches[torch.from_numpy(rows)],
        to_frame=batch.to_frame[rows],
        boxes=batch.boxes[rows],
        landmarks=batch.landmarks[rows],
        tracks=tuple(batch.tracks[i] for i in rows),
        frames=tuple(batch.frames[i] for i in rows),
    )
