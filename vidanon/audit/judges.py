"""Which recognisers may judge a run: those that took no part in it, however they are called.

A run's report names every model it used with its SHA-256. A recogniser is refused as judge when its file is among
them, when it goes by one of their names, when one of them taught it, and when it taught one of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vidanon.errors import UsageError
from vidanon.recognise.base import Description, Recogniser

FARS = (0.01, 0.001)  #: shares of false accepts every judge is asked at


@dataclass(frozen=True)
class RunFacts:
    """What an audit takes from a run's report."""

    mode: str
    models: Mapping[str, str]  #: name -> SHA-256
    detectors: tuple[str, ...] = ()
    encoder: str = ""
    seed: int = 0
    frames: int = 0
    kept: int = 0  #: face-frames left clear by the user's word
    settings: Mapping[str, Any] = field(default_factory=dict)


def read_report(path: Path, output: Path) -> RunFacts:
    """The entry of ``output`` in a run's report (``--report``), of one file or of a batch. Raises UsageError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"report {path}: {error.strerror}; give the file that the run wrote with --report") from error
    except ValueError as error:
        raise UsageError(f"report {path}: not a JSON file ({error}); give the run's own report") from error
    entries = [content]
    if isinstance(content, dict) and isinstance(content.get("files"), list):
        entries = [e for e in content["files"] if isinstance(e, dict) and e.get("output") == output.name]
        if len(entries) != 1:
            raise UsageError(f"report {path}: says nothing of {output.name}; give the report of the run that made it")
    entry = entries[0]
    if not isinstance(entry, dict) or not isinstance(entry.get("models"), dict):
        raise UsageError(f"report {path}: names no models, so nobody can tell who took part; give the run's own report")
    if entry.get("exit_code", 0) != 0:
        raise UsageError(f"report {path}: that run failed; audit the output of one that did not")
    return RunFacts(
        mode=str(entry.get("mode", "")),
        models={str(name): str(digest) for name, digest in entry["models"].items()},
        detectors=tuple(map(str, entry.get("detectors", ()))),
        encoder=str(entry.get("encoder", "")),
        seed=int(entry.get("seed", 0)),
        frames=int(entry.get("frames", 0)),
        kept=int(entry.get("kept", 0)),
    )


def objection(judge: Description, models: Mapping[str, str], known: Iterable[Description] = ()) -> str:
    """Why ``judge`` may not judge a run that used ``models`` (name -> SHA-256); "" where it may.

    Without thresholds it can judge nothing.

    ``known``: recognisers whose teachers are known; those among ``models`` say whom they learned from.
    """
    missing = [f"{100 * far:g} %" for far in FARS if far not in judge.thresholds]
    if missing:
        return f"its description has no threshold at {' and '.join(missing)} false accepts"
    if models and not judge.sha256:
        return "nobody knows the SHA-256 of its file, so whether the run used it cannot be told"
    names = {_plain(name): name for name in models}
    digests = {digest.lower(): name for name, digest in models.items()}
    if judge.sha256 and judge.sha256.lower() in digests:
        return f"the run itself used it, as {digests[judge.sha256.lower()]}"
    if _plain(judge.name) in names:
        return f"the run itself used a recogniser of its name, {names[_plain(judge.name)]}"
    for teacher in judge.teachers:
        if _plain(teacher) in names:
            return f"it was taught by {teacher}, which the run used"
    for other in known:
        used = (other.sha256 and other.sha256.lower() in digests) or _plain(other.name) in names
        if used and _plain(judge.name) in {_plain(teacher) for teacher in other.teachers}:
            return f"it taught {other.name}, which the run used"
    return ""


def check_judges(
    judges: Sequence[Recogniser], facts: RunFacts | None, known: Iterable[Description] = ()
) -> list[Recogniser]:
    """The judges, each of which may judge. Raises UsageError for one that may not, or for none at all."""
    if not judges:
        raise UsageError("no recogniser to judge with; name one with --recogniser (see 'vidanon models')")
    descriptions = [*known, *(judge.description for judge in judges)]
    seen: set[str] = set()
    for judge in judges:
        about = judge.description
        reason = objection(about, {} if facts is None else facts.models, descriptions)
        if reason:
            raise UsageError(f"{about.name} cannot judge this output: {reason}; name another --recogniser")
        if about.name in seen:
            raise UsageError(f"two recognisers are called {about.name}; name each once")
        seen.add(about.name)
    return list(judges)


def _plain(name: str) -> str:
    """mobileface-v2, MobileFace_V2 and mobileface_v2.onnx are one."""
    base = name.rsplit("/", 1)[-1].lower()
    for suffix in (".onnx", ".torchscript.pt", ".pt", ".pth", ".safetensors"):
        base = base.removesuffix(suffix)
    return "".join(c for c in base if c.isalnum())
