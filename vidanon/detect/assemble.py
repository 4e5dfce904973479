"""Which detectors a run uses: all that can be had, by name, with what it costs where one cannot."""

from __future__ import annotations

from dataclasses import dataclass

from vidanon.config import DetectSettings
from vidanon.detect.base import Detector
from vidanon.detect.mtcnn import Mtcnn
from vidanon.detect.tiles import TiledDetector
from vidanon.detect.union import UnionDetector, UnionRefiner
from vidanon.detect.yunet import YuNet
from vidanon.errors import ModelUnavailable
from vidanon.runtime.device import Runtime
from vidanon.zoo.fetch import resolve
from vidanon.zoo.registry import find

MTCNN_MODELS = ("mtcnn-pnet", "mtcnn-rnet", "mtcnn-onet")
# The first may be .7: it finds what .5 finds (blurred, dark, soft and clean faces of 20 to 48 px) with half the windows
# for R-Net to look at; .8 and a higher second one lose faces.
MTCNN_THRESHOLDS = (0.7, 0.55, 0.35)
GATE_MIN_FACE = 24  #: px in the view of the leak gate's light pass
# MTCNN's smallest face over min_face where YuNet looks too. Its cost grows with the square of the inverse, and below
# 24 px it adds nothing: of blurred, dark or soft faces of 16 to 24 px YuNet finds 94-100 %, MTCNN 14-88 %, both
# together as many with this share as with 1.
BESIDE_YUNET = 1.5
IN_A_RUN = 4.0  #: seconds that a run waits for a network that does not answer
TILE_FACES = 8  # tiles are at least so many of the smallest faces wide
WITHOUT_YUNET = "faces that are small, turned or half hidden are missed more often"


@dataclass(frozen=True)
class Detectors:
    """What :func:`make_detectors` put together."""

    finder: Detector  #: the full search
    refiner: UnionRefiner  #: looks again at known faces, many at once
    gate: Detector  #: a light one, for a second look at the output
    names: tuple[str, ...]
    fallbacks: tuple[str, ...]  #: what could not be had, why, and what that costs
    models: dict[str, str]  #: model name -> SHA-256
    runtime: str  #: what computes them, as "mtcnn: torch cpu bfloat16; yunet: onnxruntime/CPU"


def make_detectors(settings: DetectSettings, runtime: Runtime, *, offline: bool = False) -> Detectors:
    """Detectors for ``settings.detector``: all (default), mtcnn or yunet.

    ``all`` goes on with MTCNN where YuNet's file cannot be had, and says what that costs. A detector asked for by name
    that cannot be had raises ModelUnavailable; a file that is not what the registry says raises ModelError.
    """
    fallbacks: list[str] = []
    yunet: YuNet | None = None
    if settings.detector in ("all", "yunet"):
        try:
            yunet_file = resolve("yunet", offline=offline, timeout=IN_A_RUN)
            yunet = YuNet(yunet_file, runtime, settings.min_face)
            fallbacks += yunet.notes
        except ModelUnavailable as error:
            if settings.detector == "yunet":
                raise
            fallbacks.append(f"MTCNN alone: {error}; {WITHOUT_YUNET}")
    mtcnn: Mtcnn | None = None
    if settings.detector in ("all", "mtcnn"):
        share = 1.0 if yunet is None else BESIDE_YUNET
        mtcnn = _mtcnn(round(share * settings.min_face), settings.thresh, runtime)
    models: dict[str, str] = {}
    backends: list[str] = []
    if mtcnn is not None:
        models.update({name: find(name).sha256 for name in MTCNN_MODELS})
        backends.append(f"mtcnn: torch {runtime.device} {str(mtcnn.dtype).removeprefix('torch.')}")
    if yunet is not None:
        models["yunet"] = find("yunet").sha256
        backends.append(f"yunet: {yunet.backend}")
    found = [d for d in (mtcnn, yunet) if d is not None]
    gate: Detector = (
        _mtcnn(GATE_MIN_FACE, None, runtime) if yunet is None else YuNet(yunet_file, runtime, GATE_MIN_FACE)
    )
    union = UnionDetector(found, settings.thresh or 0.0, "yunet" if mtcnn is not None and yunet is not None else None)
    return Detectors(
        finder=TiledDetector(union, max(settings.max_side, TILE_FACES * settings.min_face), settings.min_face),
        refiner=UnionRefiner([d for d in (yunet, mtcnn) if d is not None]),  # the surer one places the crop
        gate=gate,
        names=tuple(d.name for d in found),
        fallbacks=tuple(fallbacks),
        models=models,
        runtime="; ".join(backends),
    )


def _mtcnn(min_face: int, thresh: float | None, runtime: Runtime) -> Mtcnn:
    pnet, rnet, onet = (resolve(name) for name in MTCNN_MODELS)
    p, r, o = MTCNN_THRESHOLDS
    return Mtcnn(
        min_face,
        (p, r, o if thresh is None else min(o, thresh)),
        device=runtime.device,
        weights=(pnet, rnet, onet),
        dtype=runtime.fast_dtype,
    )
