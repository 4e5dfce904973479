"""Did anything come to a place? What moves to where it was not changes the picture there.

A face that is lost from sight is covered where it is guessed to go. Where the picture has not changed since the face
was seen somewhere else, it cannot have come.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from vidanon.track.base import Box, grown
from vidanon.track.flow import Luma

_SIDE = 32.0  #: px, longer side of the face where pictures are compared
_CHANGE = (0.2, 4.0, 12.0)  #: of smoothed pictures: share of the level there, and grey levels at least and at most
_UNCHANGED = 0.08  #: share of the place that may change without anybody coming: noise, shadows
_VISIBLE = 0.5  #: of the face, whose coming would change the picture by so much
_AROUND = 0.3  #: of the face: what moves with it, and is no evidence where it was
_HEAD = 0.5  #: of another face, around which its own hair moves
_LARGER = 1.25  #: times the face is another one, at most, that cannot be seen while the face is in front of it
_LEAST = 0.1  #: of the place, that must be left to judge by: where a face would show beside the head that hides it

Grey = npt.NDArray[np.float32]


def nothing_came(then: Luma, now: Luma, face: Box, place: Box, others: Sequence[Box]) -> bool:
    """Whether the face that was at ``face`` (4,) ``then`` is surely not at ``place`` ``now``, coded px.

    others: faces seen ``now``; they hide what is behind them, and what changes there is theirs, but for those so large
    that the face may be in front of them. False where it cannot be told: the places overlap, the face would hardly be
    seen before what is there, too little of the place is left.
    """
    if (then.width, then.height) != (now.width, now.height):
        return False
    place = _within(place, then)
    around = grown(face, _AROUND)
    if (place[:2] < around[2:]).all() and (around[:2] < place[2:]).all():
        return False
    zoom = _SIDE / float((face[2:] - face[:2]).max())
    before, after, own = _cut(then, place, zoom), _cut(now, place, zoom), _cut(then, face, zoom)
    if before is None or after is None or own is None or before.shape != after.shape:
        return False
    if not _would_show(own, before):
        return False
    free = np.ones(before.shape, np.bool_)
    corner = np.maximum(place[:2], 0.0)
    for other in others:
        if float((other[2:] - other[:2]).max()) > _LARGER * float((face[2:] - face[:2]).max()):
            continue
        x0, y0, x1, y1 = (np.maximum((grown(other, _HEAD).reshape(2, 2) - corner) * zoom, 0.0)).astype(int).ravel()
        free[y0 : y1 + 1, x0 : x1 + 1] = False
    if free.mean() < _LEAST:
        return False
    return float(_differ(after, before)[free].mean()) <= _UNCHANGED


def _within(box: Box, luma: Luma) -> Box:
    """The box moved into the picture: what has left it may still be at its border."""
    over = np.maximum(box[2:] - (luma.width, luma.height), 0.0)
    return np.asarray(box + np.tile(np.maximum(-box[:2], 0.0) - over, 2))


def _would_show(face: Grey, place: Grey) -> bool:
    """Whether ``face`` would change ``place`` wherever in it it were."""
    h, w = min(face.shape[0], place.shape[0]), min(face.shape[1], place.shape[1])
    own = face[(face.shape[0] - h) // 2 :, (face.shape[1] - w) // 2 :][:h, :w]
    downs, rights = ({0, (whole - part) // 2, whole - part} for whole, part in zip(place.shape, (h, w), strict=True))
    return all(float(_differ(own, place[y : y + h, x : x + w]).mean()) >= _VISIBLE for y in downs for x in rights)


def _differ(a: Grey, b: Grey) -> npt.NDArray[np.bool_]:
    """Where a picture is another than ``b``: in the dark by less."""
    share, least, most = _CHANGE
    return np.asarray(np.abs(a - b) > np.clip(share * b, least, most))


def _cut(luma: Luma, box: Box, zoom: float) -> Grey | None:
    """What of ``box`` lies in the picture, smoothed, ``zoom`` px per coded px; None where that is next to nothing."""
    low = np.maximum(box[:2], 0.0)
    high = np.minimum(box[2:], (luma.width, luma.height))
    size = np.rint((high - low) * zoom).astype(int)
    x0, y0 = (int(v) for v in np.floor(low * luma.scale))
    x1, y1 = (int(v) for v in np.ceil(high * luma.scale))
    piece = luma.image[y0:y1, x0:x1]
    if min(*size, *piece.shape) < 4:
        return None
    small = cv2.resize(piece.astype(np.float32), (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), 0.8), np.float32)
