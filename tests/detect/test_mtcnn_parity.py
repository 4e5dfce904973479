"""Our batched MTCNN against facenet-pytorch's own, at the same thresholds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from detectkit import astronaut, composite, make_mtcnn, reference_mtcnn

from vidanon.detect import mtcnn as mtcnn_module
from vidanon.detect.mtcnn_nets import load_net, onet, pnet, rnet
from vidanon.detect.mtcnn_sample import CvPicture, TorchPicture
from vidanon.detect.nms import overlaps
from vidanon.zoo import resolve

THRESHOLDS = (0.5, 0.55, 0.35)
SAMPLERS = {"opencv": CvPicture, "torch": lambda image: TorchPicture(image, torch.device("cpu"))}


@pytest.fixture(scope="module")
def reference():
    with reference_mtcnn(20, THRESHOLDS) as model:
        yield model


@pytest.mark.parametrize(("name", "run", "side"), [("pnet", pnet, 50), ("rnet", rnet, 24), ("onet", onet, 48)])
def test_networks_answer_alike(reference, name, run, side):
    pixels = torch.randint(0, 256, (3, 3, side, side), generator=torch.Generator().manual_seed(0)).float()
    with torch.inference_mode():
        *theirs, probability = getattr(reference, name)((pixels - 127.5) / 128)
        ours = run(pixels, load_net(resolve(f"mtcnn-{name}"), name, torch.device("cpu")))
    torch.testing.assert_close(ours[:, 0].sigmoid(), probability[:, 1], atol=1e-4, rtol=0)
    torch.testing.assert_close(ours[:, 1:], torch.cat(theirs, 1), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("picture", ["astronaut", "faces of 40 px", "faces of 70 px", "faces of 90 px"])
def test_same_faces_same_boxes_same_scores(reference, monkeypatch, sampler, picture):
    """Faces facenet-pytorch is sure of: each is ours too, and the other way round.

    Of dozens of windows with a score of nearly 1, the reference keeps the best one's box and we keep their mean, so
    the boxes may differ by what its own choice is worth: 2 px or 8 % of the face.
    """
    image = astronaut() if picture == "astronaut" else composite(int(picture.split()[2]), 960, 540, seed=3)[0]
    monkeypatch.setattr(mtcnn_module, "picture", lambda image, device: SAMPLERS[sampler](image))
    found = make_mtcnn(thresholds=THRESHOLDS).detect([image])[0]
    boxes, scores, landmarks = reference.detect(image, landmarks=True)
    theirs = np.asarray(boxes, np.float32) - [1, 1, 0, 0]  # it counts pixels from 1, ends included
    ours = np.stack([d.box for d in found])
    sure = np.asarray(scores, float) > 0.95
    assert sure.sum() >= (1 if picture == "astronaut" else 6)
    overlap = overlaps(theirs.astype(np.float32), ours)
    for i in np.flatnonzero(sure):
        j = int(overlap[i].argmax())
        side = (theirs[i, 2:] - theirs[i, :2]).max()
        allowed = max(2.0, 0.08 * side)
        assert np.abs(ours[j] - theirs[i]).max() <= allowed, (theirs[i], ours[j])
        assert np.abs(found[j].landmarks - np.asarray(landmarks[i])).max() <= max(1.5, 0.06 * side)
        assert abs(found[j].score - scores[i]) <= 1e-2
    assert all(overlap[:, j].max() > 0.5 for j, d in enumerate(found) if d.score > 0.99)
