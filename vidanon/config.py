"""Every setting of a run, its default and its bounds. Defaults live here and nowhere else.

A config file (YAML, ``--config``) holds the same names; the command line wins over it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from vidanon.errors import UsageError


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Limits(Settings):
    """What an input may cost before a byte of it is decoded."""

    max_pixels: int = Field(8192 * 8192, gt=0, description="pixels of one frame")
    max_seconds: float = Field(7 * 24 * 3600.0, gt=0, description="declared duration")
    max_streams: int = Field(64, gt=0)


class DetectSettings(Settings):
    detector: Literal["all", "mtcnn", "yunet"] = "all"
    min_face: int = Field(16, ge=8, le=512, description="smallest face looked for, px on its longer side")
    thresh: float | None = Field(None, gt=0, lt=1, description="lowest score of a detection; None: each detector's own")
    max_side: int = Field(1920, ge=160, description="a larger view is tiled, not only scaled down")
    every: int | None = Field(None, ge=1, le=60, description="frames between full detections; None: by time")


class TrackSettings(Settings):
    birth: float = Field(0.85, gt=0, le=1, description="one hit of this score starts a track")
    birth_pair: float = Field(0.6, gt=0, le=1, description="or two hits of this score within birth_window frames")
    birth_window: int = Field(5, ge=1)
    high: float = Field(0.6, gt=0, le=1, description="first association")
    low: float = Field(0.1, gt=0, le=1, description="second association, live tracks only")
    coast: int = Field(15, ge=0, description="frames a track is covered after its last hit")
    coast_growth: float = Field(0.03, ge=0, description="growth of a coasting box per frame")
    backfill: int = Field(50, ge=0, description="frames a track is carried back at most before its first hit")
    bridge: int = Field(50, ge=0, description="longest gap, in frames, bridged from both ends")


class ProtectSettings(Settings):
    mode: Literal["swap", "mask", "pixelate", "blur"] = "swap"
    shape: Literal["solid", "ellipse", "hull"] = "ellipse"
    mask_scale: float = Field(1.3, ge=1.0, le=4.0, description="covered region over the face box, about its centre")
    cells: int = Field(10, ge=1, le=64, description="pixelate: cells across the face box's longer side")
    blur: float = Field(
        0.3, gt=0, le=2.0, description="blur, and pixelate below its cells: Gaussian sigma, share of the longer side"
    )
    texture: float = Field(
        0.13, ge=0, le=0.5, description="blur and pixelate: deviation of the luma noise tied to each track"
    )
    feather: float = Field(
        0.08, ge=0, le=1.0, description="soft edge outside the covered region, share of the face box"
    )
    colour: tuple[int, int, int] = Field((0, 0, 0), description="mask: RGB 0-255")


class SwapSettings(Settings):
    """Mode swap: which faces are swapped (the others are pixelated), and for whom."""

    min_eyes: float = Field(20.0, ge=12, description="least px between the eyes")
    max_yaw: float = Field(35.0, gt=0, le=60, description="degrees a face may be turned to the side")
    min_confidence: float = Field(0.5, ge=0, le=1, description="of the dense landmarks")
    donors: Path | None = Field(None, description="folder of your own synthetic portraits; None: those shipped")
    glasses: bool = Field(True, description="whether new faces wear glasses where their sources would be known")
    project_key: SecretStr | None = Field(
        None,
        min_length=8,
        description="secret under which a person gets the same new face in every clip; None: new in each run",
    )


class EncodeSettings(Settings):
    encoder: str = Field("libx264", description="libx264, libx265, libsvtav1, libvpx-vp9, h264_nvenc ...")
    quality: float | None = Field(
        None, ge=0, le=63, description="constant quality (CRF/CQ); None: the encoder's default here"
    )
    preset: str | None = None
    segment_seconds: float = Field(10.0, gt=0, le=60)
    segment_bytes: int = Field(128 * 2**20, gt=0, description="decoded bytes a segment may hold")
    audio: bool = True


class AuditSettings(Settings):
    """What an audit counts, and the limits it has to keep. A limit of null is reported and not asked for.

    A share of matches passes at its limit, and above it only where a solid fill of the same faces lies above it too and
    matches as often (``margin``, or a difference that may be chance): then what lies beside the face is what matches.
    """

    min_eyes: float = Field(24.0, gt=0, description="px between the eyes below which recognisers say nothing")
    max_turn: float = Field(0.45, gt=0, description="nose off the middle of the eyes, share of their distance")
    every: int = Field(1, ge=1, description="frames between two that recognisers judge; all are looked at for detail")
    look_every: int = Field(5, ge=1, description="frames between two looks of the detectors and picture measures")
    distractors: int = Field(200, ge=0, description="faces used of the distractors given")
    min_faces: int = Field(20, ge=1, description="fewer face-frames than these that count: nothing can be said")
    match: float | None = Field(0.05, ge=0, le=1, description="share of face-frames matched at 1 % and at .1 % FAR")
    any_frame: float | None = Field(0.15, ge=0, le=1, description="share of tracks matched in any frame, 1 % and .1 %")
    average: float | None = Field(0.05, ge=0, le=1, description="share of 30-frame averages matched at 1 % FAR")
    rank1: float | None = Field(None, ge=0, le=1, description="share found first in the gallery")
    rank5: float | None = Field(None, ge=0, le=1, description="share found among the first five")
    parrot: float | None = Field(None, ge=0, le=1, description="share found first in a gallery protected alike")
    margin: float = Field(0.02, ge=0, le=1, description="above the solid fill that still passes")
    blind: float = Field(
        0.5,
        ge=0,
        le=1,
        description="a recogniser that matches more solid fills, or fewer clean faces, tells nobody apart",
    )
    clear_faces: int | None = Field(0, ge=0, description="face-frames that show the original's detail")
    missed_faces: int | None = Field(0, ge=0, description="clear faces a detector finds outside every track")
    flicker: float | None = Field(None, ge=0, description="change of the disguise from frame to frame")
    warp: float | None = Field(None, ge=0, description="warp error of the output over the original's")
    same_person: float | None = Field(
        None, ge=0, le=1, description="mean cosine of two frames of a track in the output, at least; where faces show"
    )
    off_face_psnr: float | None = Field(28.0, ge=0, description="dB outside the faces, at least")


class RunConfig(Settings):
    """One run over one input."""

    detect: DetectSettings = DetectSettings()
    track: TrackSettings = TrackSettings()
    protect: ProtectSettings = ProtectSettings()
    swap: SwapSettings = SwapSettings()
    encode: EncodeSettings = EncodeSettings()
    limits: Limits = Limits()
    audit: AuditSettings = AuditSettings()
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    threads: int | None = Field(None, ge=1, description="worker threads; None: one per core this process may use")
    seed: int = Field(0, ge=0)
    verify: Literal["full", "fast", "off"] = "fast"
    start_time: float | None = Field(None, ge=0, description="seconds from the first frame; nothing before is kept")
    end_time: float | None = Field(None, gt=0)
    keep: frozenset[int] = Field(frozenset(), description="track ids left clear")
    redact: frozenset[int] | None = Field(None, description="only these track ids are protected; None: all")
    salvage: bool = Field(False, description="go on past damaged input, with a warning")


def load_config(path: Path | None, overrides: dict[str, Any]) -> RunConfig:
    """File, then ``overrides`` ({"detect.min_face": 20}); every error is reported, in one line each.

    Raises UsageError.
    """
    data: dict[str, Any] = {}
    if path is not None:
        try:
            data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except OSError as error:
            raise UsageError(f"config {path}: {error.strerror}; give a readable YAML file") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UsageError(f"config {path}: not valid YAML ({' '.join(str(error).split())})") from error
        if not isinstance(data, dict):
            raise UsageError(f"config {path}: expected a mapping of settings at the top")
    for name, value in overrides.items():
        node = data
        *groups, leaf = name.split(".")
        for group in groups:
            node = node.setdefault(group, {})
            if not isinstance(node, dict):
                raise UsageError(f"config {path}: '{group}' is a group of settings, not a value")
        node[leaf] = value
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'config'}: {e['msg']}" for e in error.errors())
        raise UsageError(f"{problems}; see 'vidanon --help' for names and bounds") from error
