"""Draw a donor over a face in one patch: outline, shape, light, merge. The parts are in the modules named like them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from vidanon.faces.mesh import MeshFinder
from vidanon.faces.mesh_points import OVAL, eye_distance
from vidanon.faces.mesh_pose import Floats
from vidanon.swap.base import Donor, Glasses, Retouch
from vidanon.swap.eye_lids import fit_lids
from vidanon.swap.eyes import Eyeballs, draw_eyes, prepare
from vidanon.swap.glasses import worn
from vidanon.swap.light import Look, Over, edge, look, low_band, luma, matched, relit, smoothed, to_rgb
from vidanon.swap.merge import coloured, inner, merged, rims
from vidanon.swap.outline import Outline
from vidanon.swap.shape import Shapes
from vidanon.swap.skin import skin
from vidanon.swap.warp import Portrait, portrait_map, retouch_at
from vidanon.types import FloatArray, Layer

_SOFT = 0.05  #: of the eye distance: how softly a part that the portrait does not show begins
_LEAST = 1.0  #: px between the eyes, below which there is nothing to draw
#: of the source's: skin that is a little darker is another person's to recognisers, without the unrest that contrast
#: brings; darker still, the rim shows
_BRIGHTNESS = 0.9
_INSIDE = np.array((0.34, 0.2, 0.2), np.float32)  #: of the light on a face, that comes out of an open mouth
_MARGIN = 0.18  #: of the eye distance around the oval that is worked on


class Actor:
    """A donor that can be drawn; what that takes is made when it is first asked for: most of them never are."""

    def __init__(self, donor: Donor, shapes: Shapes) -> None:
        self.donor = donor
        self._shapes = shapes

    @cached_property
    def fitted(self) -> Donor:
        """The donor, its mesh's lids where the portrait's are."""
        return replace(self.donor, points=fit_lids(self.donor.image, self.donor.points))

    @cached_property
    def shape(self) -> Floats:
        """(468, 3) in the common frame."""
        return np.asarray(self._shapes.common(self.fitted.points[None])[0], np.float64)

    @cached_property
    def unit(self) -> float:
        """px between the eyes."""
        return float(eye_distance(self.donor.points))

    @cached_property
    def portrait(self) -> Portrait:
        return Portrait(self.donor.image, skin(self.fitted))

    @cached_property
    def eyeballs(self) -> Eyeballs | None:
        """None where the portrait does not show its eyes: such a donor is not used."""
        try:
            return prepare(self.fitted)
        except ValueError:
            return None


@dataclass(frozen=True)
class Drawn:
    """A face as it was drawn."""

    patch: FloatArray  #: (S, S, 3) R'G'B' in [0, 1]: the source, moved outward a little, outside the face
    mask: FloatArray  #: (S, S) in [0, 1]: where the patch is to replace the frame
    layer: Layer  #: the new face alone

    def mirrored(self) -> Drawn:
        patch, mask = self.patch[:, ::-1], self.mask[:, ::-1]
        layer = self.layer
        return Drawn(patch, mask, Layer(*(each[:, ::-1].copy() for each in (layer.luma, layer.inside, layer.face))))


class Composer:
    """Draws actors over faces."""

    def __init__(self, finder: MeshFinder) -> None:
        self.shapes = Shapes(finder.mean)
        self.triangles = finder.triangles

    def actors(self, donors: Sequence[Donor]) -> list[Actor]:
        return [Actor(donor, self.shapes) for donor in donors]

    def measure(self, patch: FloatArray, mesh: FloatArray) -> Look:
        """How the footage shows the face under ``mesh`` (468, 3) px of ``patch`` (S, S, 3)."""
        unit = float(eye_distance(mesh))
        at = rims(mesh, unit, patch.shape[0])
        return replace(look(patch, inner(at), unit), edge=edge(patch, unit))

    def trace(
        self,
        mesh: FloatArray,
        size: int,
        offset: Floats,
        actor: Actor,
        outline: float,
        glasses: Glasses | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Where each pixel of a (size, size) patch comes from in the actor's portrait, (size, size, 2) as a
        :class:`PortraitMap` has it, and the share (size, size) that the new face has of it, without ``glasses``."""
        mesh = Outline(mesh, outline).mesh(mesh)
        at = rims(mesh, float(eye_distance(mesh)), size)
        target = self.shapes.placed(mesh[None], offset)[0]
        share = at.middle * (1 - at.mouth)
        if glasses is not None:
            share *= 1 - worn(glasses, target, self.shapes.average, size)
        return portrait_map(target, actor.fitted.points, self.triangles, size).where, share

    def draw(
        self,
        patch: FloatArray,
        mesh: FloatArray,
        offset: Floats,
        actor: Actor,
        wanted: Look | None,
        rng: np.random.Generator,
        gaze: tuple[float, float] = (float("nan"), float("nan")),
        retouch: Retouch | None = None,
        outline: float = 0.0,
        others: FloatArray | None = None,
        mouth_covered: bool = False,
    ) -> Drawn:
        """patch (S, S, 3); mesh (468, 3) the source's, patch px; offset as :meth:`Shapes.offset` gives it.

        wanted: contrast and sharpness to meet, None: those of this very patch. gaze: as
        :func:`vidanon.swap.iris.gaze` gives it; the donor's own where it is NaN. retouch: of the donor's portrait, as
        :class:`vidanon.swap.retouch.Retoucher` gives it. outline, others: how far it is moved outward, and where
        somebody else is, as :class:`vidanon.swap.outline.Outline` takes them. mouth_covered: the inside of its mouth is
        dark, and not the source's: somebody else's cover would show there.
        """
        mask = np.zeros(patch.shape[:2], np.float32)
        unit = float(eye_distance(mesh))
        around = mask
        if outline <= 0 or unit < _LEAST:
            out = patch.copy()
        else:
            wider = Outline(mesh, outline)
            patch, around = wider.picture(patch, others)
            out, mesh = patch, wider.mesh(mesh)
        oval = mesh[list(OVAL), :2]
        margin = _MARGIN * unit + 2
        x0, y0 = (max(0, int(v)) for v in np.floor(oval.min(0) - margin))
        x1, y1 = (min(patch.shape[0], int(v)) for v in np.ceil(oval.max(0) + margin))
        if unit < _LEAST or x1 <= x0 or y1 <= y0:  # no face to be seen, or beside the patch
            return Drawn(out, around, Layer(*(np.zeros_like(mask) for _ in range(3))))
        side = max(x1 - x0, y1 - y0)
        x0, y0 = max(0, min(x0, patch.shape[0] - side)), max(0, min(y0, patch.shape[0] - side))
        here = (slice(y0, y0 + side), slice(x0, x0 + side))
        local = mesh - np.array([x0, y0, 0], np.float32)
        source = np.ascontiguousarray(patch[here])
        at = rims(local, unit, side)
        face = at.region * (1 - at.mouth)
        target = self.shapes.placed(local[None], offset)[0]
        found = portrait_map(target, actor.fitted.points, self.triangles, side)
        donor, clean = actor.portrait.sample(found.where, actor.unit / unit)
        if actor.eyeballs is None:
            raise ValueError(f"donor {actor.donor.name}: its eyes are not seen")
        donor = draw_eyes(donor, target, actor.eyeballs, np.array(gaze, np.float32))
        if retouch is not None:
            gain = 1 + retouch_at(retouch.gain, found.where, actor.donor.image.shape[0])
            donor = np.clip(donor * to_rgb(gain), 0, 1)
        shown = smoothed(found.shown, _SOFT * unit) * found.shown * clean
        source_low = low_band(source, face, unit) * np.float32(_BRIGHTNESS)
        donor_low = low_band(donor, face * shown, unit)
        donor = donor_low + (donor - donor_low) * to_rgb(shown)  # what the portrait does not show is plain skin
        donor = relit(donor, donor_low, source_low, face, coloured(target, unit, side))
        wanted = wanted or replace(look(source, inner(at), unit), edge=edge(source, unit))
        over = None
        if retouch is not None and retouch.glasses is not None:
            rim = worn(retouch.glasses, target, self.shapes.average, side)
            over = Over(retouch.glasses.colour, rim)
        bold = None if retouch is None else retouch.contrast
        donor = matched(donor, source_low, inner(at), unit, wanted, rng, bold, over)
        if mouth_covered:
            donor += to_rgb(at.mouth) * (source_low * _INSIDE - donor)
            at = replace(at, mouth=np.zeros_like(at.mouth))
        out[here] = merged(source, donor, at, unit)
        mask[here] = at.region
        grey, inside = np.zeros_like(mask), np.zeros_like(mask)
        grey[here] = luma(donor)
        inside[here] = (at.fine >= 1) * (1 - at.mouth) * at.region
        return Drawn(out, np.maximum(mask, around), Layer(grey, inside, mask))
