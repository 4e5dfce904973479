"""Descriptions of recognisers as files: TOML or JSON beside a model, and the table of those the product knows.

name = "mobileface_v2"
sha256 = "abcd..."            # of the model file, or a list: the same network as TorchScript and as ONNX
size = 112
template = "arcface"          # or "dlib", or five [x, y] in the crop (see vidanon.recognise.base)
metric = "cosine"             # or "l2"
channels = "rgb"              # or "bgr"
offset = 0.0                  # the network takes (pixel - offset) / scale
scale = 1.0
thresholds = { "0.01" = 0.226, "0.001" = 0.31 }  # false accepts -> least similarity (a distance negated)
measured_on = "LFW, all cross pairs"
licence = "MIT"
teachers = []
"""

from __future__ import annotations

import json
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidanon.errors import ModelError
from vidanon.recognise.base import ARCFACE_112, DLIB_150, Description
from vidanon.zoo.registry import models_dir

TABLE = "recognisers.toml"
_TEMPLATES = {"arcface": (112, ARCFACE_112), "dlib": (150, DLIB_150)}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEYS = {
    "name", "sha256", "size", "template", "metric", "channels", "offset", "scale", "thresholds", "measured_on",
    "licence", "teachers",
}  # fmt: skip


def description_of(model: Path, sha256: str) -> Description:
    """The description of the file ``model`` whose hash is ``sha256``: the one beside it, else the product's own.

    Beside it means ``NAME.toml`` or ``NAME.json``, NAME being the file's name with or without its suffixes.
    Raises ModelError where there is none, or where it is of another file.
    """
    beside = _beside(model)
    if beside is None:
        if (known := known_recognisers().get(sha256)) is not None:
            return known
        raise ModelError(
            f"{model}: nothing says how to use this recogniser (SHA-256 {sha256}); write {model.stem}.toml beside it, "
            "as docs/evaluation.md shows"
        )
    for description in _parse(_read(beside), str(beside)):
        if description.sha256 == sha256:
            return description
    raise ModelError(f"{beside}: describes another file than {model.name}, whose SHA-256 is {sha256}; correct it")


def known_recognisers(path: Path | None = None) -> dict[str, Description]:
    """SHA-256 -> description, of every recogniser the product can describe. Raises ModelError for a broken table."""
    path = path or models_dir() / TABLE
    found: dict[str, Description] = {}
    for name, row in _read(path).items():
        if not isinstance(row, dict):
            raise ModelError(f"{path}: {name}: a table expected")
        found.update((d.sha256, d) for d in _parse({"name": name, **row}, f"{path}: {name}"))
    return found


def _beside(model: Path) -> Path | None:
    bare = model.name[: -len("".join(model.suffixes))] if model.suffixes else model.name
    for name in dict.fromkeys((model.name, model.stem, bare)):
        for suffix in (".toml", ".json"):
            if (candidate := model.with_name(name + suffix)).is_file() and candidate != model:
                return candidate
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); check path and permissions") from error
    except ValueError as error:  # of the JSON and TOML readers and of UTF-8
        raise ModelError(f"{path}: not a readable description ({error}); correct it") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: a description is a table of keys and values; correct it")
    return content


def _parse(row: Mapping[str, Any], where: str) -> list[Description]:
    """One description per SHA-256 of ``row``. Raises ModelError that names the key that is wrong."""

    def need(right: object, key: str, wanted: str) -> None:
        if not right:
            raise ModelError(f"{where}: {key} must be {wanted}, not {row.get(key)!r}")

    if unknown := sorted(row.keys() - _KEYS):
        raise ModelError(f"{where}: unknown key {unknown[0]}; there are {', '.join(sorted(_KEYS))}")
    name, size = row.get("name"), row.get("size")
    need(isinstance(name, str) and name, "name", "a name")
    need(type(size) is int and 16 <= size <= 1024, "size", "the crop's side, 16 to 1024 px")
    digests = row.get("sha256")
    digests = [digests] if isinstance(digests, str) else digests
    need(
        isinstance(digests, list) and digests and all(isinstance(d, str) and _SHA256.fullmatch(d) for d in digests),
        "sha256", "64 lower-case hex digits, or a list of such",
    )  # fmt: skip
    metric, channels = row.get("metric", "cosine"), row.get("channels", "rgb")
    need(metric in ("cosine", "l2"), "metric", "cosine or l2")
    need(channels in ("rgb", "bgr"), "channels", "rgb or bgr")
    offset, scale = row.get("offset", 0.0), row.get("scale", 1.0)
    need(_number(offset), "offset", "a number")
    need(_number(scale) and scale > 0, "scale", "a number above 0")
    thresholds = row.get("thresholds", {})
    try:
        limits = {float(far): float(value) for far, value in thresholds.items()}
    except (AttributeError, TypeError, ValueError):
        limits = {-1.0: 0.0}
    need(
        all(0 < far < 1 and math.isfinite(value) for far, value in limits.items()),
        "thresholds", "a table of false accept rates, as 0.01, and similarities",
    )  # fmt: skip
    teachers = row.get("teachers", [])
    need(isinstance(teachers, list) and all(isinstance(t, str) for t in teachers), "teachers", "a list of names")
    for key in ("measured_on", "licence"):
        need(isinstance(row.get(key, ""), str), key, "text")
    return [
        Description(
            name=str(name),
            size=int(size or 0),
            template=_template(row.get("template"), int(size or 0), where),
            channels=channels,
            offset=float(offset),
            scale=float(scale),
            metric=metric,
            thresholds=limits,
            measured_on=row.get("measured_on", ""),
            licence=row.get("licence", ""),
            sha256=digest,
            teachers=tuple(teachers),
        )
        for digest in digests or ()
    ]


def _template(value: Any, size: int, where: str) -> tuple[tuple[float, float], ...]:
    """Five points of a name at its own or another size, or of a list."""
    if isinstance(value, str) and value in _TEMPLATES:
        side, points = _TEMPLATES[value]
        # Pixel centres are at integers: the crop's edge lies at -.5.
        return tuple(((x + 0.5) * size / side - 0.5, (y + 0.5) * size / side - 0.5) for x, y in points)
    if (
        isinstance(value, list)
        and len(value) == 5
        and all(isinstance(p, list) and len(p) == 2 and all(_number(v) for v in p) for p in value)
    ):
        return tuple((float(x), float(y)) for x, y in value)
    raise ModelError(f"{where}: template must be {', '.join(_TEMPLATES)} or five [x, y], not {value!r}")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
