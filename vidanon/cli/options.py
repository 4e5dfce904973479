"""From words on the command line to settings: names, bounds and defaults come from ``vidanon.config``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from vidanon.config import ProtectSettings, RunConfig, load_config
from vidanon.errors import UsageError

MODE_ALIASES = {"solid": "mask", "mosaic": "pixelate"}
PROVIDERS = {"cuda": "cuda", "cpu": "cpu", "auto": "auto"}

#: option -> the setting it stands for; what is not given on the command line stays as the config has it
SETTINGS = {
    "--mode": "protect.mode",
    "--shape": "protect.shape",
    "--mask-scale": "protect.mask_scale",
    "--cells": "protect.cells",
    "--blur": "protect.blur",
    "--texture": "protect.texture",
    "--donors": "swap.donors",
    "--project-key": "swap.project_key",
    "--detector": "detect.detector",
    "--min-face": "detect.min_face",
    "--thresh": "detect.thresh",
    "--max-side": "detect.max_side",
    "--every": "detect.every",
    "--keep": "keep",
    "--redact": "redact",
    "--start-time": "start_time",
    "--end-time": "end_time",
    "--no-audio": "encode.audio",
    "--encoder": "encode.encoder",
    "--quality": "encode.quality",
    "--preset": "encode.preset",
    "--verify": "verify",
    "--salvage": "salvage",
    "--seed": "seed",
    "--device": "device",
    "--threads": "threads",
}


def field_of(name: str) -> Any:
    """The pydantic field of a dotted setting name."""
    model: type[BaseModel] = RunConfig
    *groups, leaf = name.split(".")
    for group in groups:
        annotation = model.model_fields[group].annotation
        assert isinstance(annotation, type) and issubclass(annotation, BaseModel)
        model = annotation
    return model.model_fields[leaf]


def modes() -> tuple[str, ...]:
    return get_args(ProtectSettings.model_fields["mode"].annotation)


def choices(flag: str) -> tuple[str, ...]:
    """The words an option may take (for completion)."""
    return get_args(field_of(SETTINGS[flag]).annotation)


def make_config(path: Path | None, given: Mapping[str, Any]) -> RunConfig:
    """The config file, then what was given: option -> value as parsed, None where not given.

    Raises UsageError, naming options rather than settings.
    """
    overrides = {SETTINGS[flag]: value for flag, value in given.items() if value is not None}
    if "protect.mode" in overrides:
        overrides["protect.mode"] = mode(str(overrides["protect.mode"]))
    try:
        config = load_config(path, overrides)
    except UsageError as error:
        message = str(error)
        for flag, name in SETTINGS.items():
            if name in overrides:
                message = re.sub(rf"(?<![\w.]){re.escape(name)}(\.\d+)?: ", f"{flag}: ", message)
        raise UsageError(message) from error
    if config.end_time is not None and config.end_time <= (config.start_time or 0.0):
        raise UsageError(
            f"--end-time ({config.end_time:g} s) must lie after --start-time ({config.start_time or 0:g} s)"
        )
    if config.keep and config.redact is not None and (both := config.keep & config.redact):
        raise UsageError(f"track {min(both)} is in both --keep and --redact; name it in one")
    return config


def mode(word: str) -> str:
    """A mode by its name or by the name other tools give it."""
    name = MODE_ALIASES.get(word.lower(), word.lower())
    if name not in modes():
        aliases = {target: alias for alias, target in MODE_ALIASES.items()}
        known = ", ".join(f"{m} (or {aliases[m]})" if m in aliases else m for m in modes())
        raise UsageError(f"unknown mode '{word}'; choose one of: {known}")
    return name


def seconds(text: str | None, flag: str) -> float | None:
    """``90``, ``1:30`` or ``00:01:30.000`` as seconds."""
    if text is None:
        return None
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d*)?|\.\d+)", text.strip())
    value = math.nan
    if match:
        hours, minutes, rest = match.groups()
        if minutes is None or (float(rest) < 60 and (hours is None or int(minutes) < 60)):
            value = int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(rest)
    if not math.isfinite(value):
        raise UsageError(f"{flag}: '{text}' is not a time; write seconds (90.5) or HH:MM:SS.mmm (00:01:30.500)")
    return value


def track_ids(text: str | None, flag: str) -> frozenset[int] | None:
    """``1,4,7`` as track ids."""
    if text is None:
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch(r"[1-9]\d{0,8}", word) for word in words):
        raise UsageError(f"{flag}: '{text}' is not a list of track ids; write numbers from 1 up, with commas: 1,4,7")
    return frozenset(map(int, words))


def secret(text: str | None, flag: str) -> str | None:
    """The secret itself, or what the file of ``@FILE`` holds, without white space around it."""
    if text is None or not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UsageError(f"{flag}: {text[1:]}: {error.strerror}; give a file that holds the secret") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{flag}: {text[1:]} is not a text file; give one that holds the secret") from error


def side(text: str | None) -> int | None:
    """``1280`` or ``1280x720`` as the longer side."""
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,6}(x\d{1,6})?", text.lower()):
        raise UsageError(
            f"--max-side: '{text}' is not a size; write the longer side in pixels (1280) or WxH (1280x720)"
        )
    return max(int(part) for part in text.lower().split("x"))


def device(name: str | None, provider: str | None) -> str | None:
    """``--device``, or the device that ``--execution-provider`` means."""
    if provider is None:
        return name
    word = provider.lower().removesuffix("executionprovider")
    if word not in PROVIDERS:
        raise UsageError(f"--execution-provider: '{provider}' is not known here; use cpu or cuda, or --device")
    if name is not None and name.split(":")[0] != PROVIDERS[word]:
        raise UsageError(f"--device {name} and --execution-provider {provider} disagree; give one")
    return name or PROVIDERS[word]
