"""Where the eyes of a source face look, measured in the frame itself."""

from __future__ import annotations

import numpy as np

from vidanon.faces.gather import sample_rgb
from vidanon.faces.mesh_points import eye_distance, five
from vidanon.swap.iris import find_irises, gaze
from vidanon.swap.patches import to_patch, unmirrored
from vidanon.types import FloatArray, Frame

_SIDE = 2.0  #: of the crop that is looked at, eye distances
_SIZES = (48, 128)  #: px of it


def looking(frame: Frame, mesh: FloatArray) -> tuple[FloatArray, float]:
    """(468, 3) coded px -> the gaze (2,) as :func:`vidanon.swap.iris.gaze` gives it, NaN where the eyes do not tell,
    and how sure it is, 0..1."""
    unknown = np.full(2, np.nan, np.float32), 0.0
    if not np.isfinite(mesh).all():
        return unknown
    side = _SIDE * float(eye_distance(mesh))
    if not 8 < side < 8192:
        return unknown
    size = int(np.clip(side, *_SIZES))
    centre = five(mesh)[:2, :2].mean(0)
    step = side / size
    to_frame = np.array([[step, 0, centre[0] - side / 2], [0, step, centre[1] - side / 2]], np.float32)
    crop = np.empty((3, size, size), np.float32)
    sample_rgb(frame, to_frame, crop)
    seen, local = unmirrored(np.ascontiguousarray(crop.transpose(1, 2, 0)), to_patch(to_frame, mesh))
    irises = find_irises(seen, local)
    found = gaze(irises, local)
    return found, float(irises.confidence.max()) if np.isfinite(found).all() else 0.0
