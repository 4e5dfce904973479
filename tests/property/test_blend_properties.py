"""What must hold for every face, shape, strength and layout: no more and no less than the face is rewritten."""

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faces.facekit import FORMATS, noise, row, touched
from vidanon.config import ProtectSettings
from vidanon.faces.align import invert
from vidanon.faces.blend import blend, split
from vidanon.faces.gather import gather
from vidanon.protect.obscure import Blur, Mask, Pixelate

PROTECTORS = {"mask": Mask, "pixelate": Pixelate, "blur": Blur}


@st.composite
def boxes(draw: st.DrawFn) -> tuple[float, float, float, float]:
    """Anything from 4 px to larger than the picture, inside it, across its edges or beyond."""
    side = draw(st.sampled_from([4.0, 8.0, 20.0, 60.0, 150.0, 900.0]))
    width = side * draw(st.floats(0.6, 1.0))
    height = side * draw(st.floats(0.6, 1.0))
    x = draw(st.floats(-width, 131))
    y = draw(st.floats(-height, 97))
    return (x, y, x + width, y + height)


protects = st.builds(
    ProtectSettings,
    mode=st.sampled_from(sorted(PROTECTORS)),
    shape=st.sampled_from(["solid", "ellipse", "hull"]),
    mask_scale=st.sampled_from([1.0, 1.3, 2.0]),
    feather=st.sampled_from([0.0, 0.08, 0.5]),
    colour=st.just((40, 200, 90)),
)


def drawn(frame, rows, protect):
    parts = []
    for batch in gather([frame], rows, protect, "cpu"):
        parts += split(batch, PROTECTORS[protect.mode](protect)(batch, {})[0])
    assert all(part.ok for part in parts)
    return blend(frame, parts, [], protect).frame, parts


@settings(max_examples=60, deadline=None)
@given(boxes(), protects, st.sampled_from(FORMATS), st.sampled_from([(131, 97), (128, 96)]))
def test_every_sample_the_shape_touches_comes_from_the_patch(box, protect, fmt, size):
    """Blended over two sources, the same parts give the same codes wherever the shape is."""
    first, second = noise(fmt, size, 1), noise(fmt, size, 2)
    out, parts = drawn(first, [row(box)], protect)
    again = blend(second, parts, [], protect).frame
    hits = touched(first, box, protect.mask_scale, protect.shape)
    for a, b, hit in zip(out.planes, again.planes, hits, strict=True):
        assert (a[hit] == b[hit]).all()


@settings(max_examples=60, deadline=None)
@given(boxes(), protects, st.sampled_from(FORMATS), st.sampled_from([(131, 97), (128, 96)]))
def test_every_sample_without_mask_keeps_its_code(box, protect, fmt, size):
    frame = noise(fmt, size)
    out, (part,) = drawn(frame, [row(box)], protect)
    # The mask at the frame's resolution, by an independent and generous rule: any mask within two patch pixels.
    near = cv2.dilate((part.mask > 0).astype(np.uint8), np.ones((5, 5)))
    ys, xs = np.mgrid[: size[1], : size[0]] + 0.5
    patch_x, patch_y = np.einsum("ij,jhw->ihw", invert(part.to_frame).astype(np.float64), [xs, ys, np.ones_like(xs)])
    side = near.shape[0]
    inside = (patch_x >= 0) & (patch_y >= 0) & (patch_x < side) & (patch_y < side)
    reached = np.zeros((size[1], size[0]), bool)
    reached[inside] = near[patch_y[inside].astype(int), patch_x[inside].astype(int)] > 0
    for plane, source in zip(out.planes, frame.planes, strict=True):
        step_y, step_x = -(-size[1] // plane.shape[0]), -(-size[0] // plane.shape[1])
        padded = np.zeros((plane.shape[0] * step_y, plane.shape[1] * step_x), bool)
        padded[: size[1], : size[0]] = reached
        block = padded.reshape(plane.shape[0], step_y, plane.shape[1], step_x).any(axis=(1, 3))
        assert (plane[~block] == source[~block]).all()
        # And the mask is no larger than shape, soft edge and guard ask for.
    scale = protect.mask_scale + 2 * protect.feather
    longest = max(box[2] - box[0], box[3] - box[1])
    slack = 2 * float(part.to_frame[0, 0]) * 2 + 3
    far = (np.abs(xs - (box[0] + box[2]) / 2) > longest * scale / 2 + slack) | (
        np.abs(ys - (box[1] + box[3]) / 2) > longest * scale / 2 + slack
    )
    assert (out.planes[0][far] == frame.planes[0][far]).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(boxes(), min_size=1, max_size=4), protects, st.sampled_from(FORMATS))
def test_several_faces_are_all_covered_whatever_their_overlap(faces, protect, fmt):
    first, second = noise(fmt, (131, 97), 1), noise(fmt, (131, 97), 2)
    out, parts = drawn(first, [row(box, track=t) for t, box in enumerate(faces)], protect)
    again = blend(second, parts, [], protect).frame
    for box in faces:
        hits = touched(first, box, protect.mask_scale, protect.shape)
        for a, b, hit in zip(out.planes, again.planes, hits, strict=True):
            assert (a[hit] == b[hit]).all()
