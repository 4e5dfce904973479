"""How far a stage is: what anything that takes long tells whoever watches. Imports nothing, so that a command may."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    stage: str  #: "analyse", "render", ...
    done: int  #: units
    total: int | None  #: units, where known
    seconds: float  #: since the stage began
    unit: str = "frames"
