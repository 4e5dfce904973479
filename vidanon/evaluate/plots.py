"""Results as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vidanon.errors import OutputError
from vidanon.evaluate.extras import need
from vidanon.evaluate.protection import Withstood
from vidanon.evaluate.verification import Verification


def plot_verification(path: Path, results: Sequence[Verification]) -> None:
    """True accepts over false accepts, one line per recogniser. Raises UsageError, OutputError."""
    figure = _figure(6, 4.5)
    axis = figure.subplots()
    least = 1e-4
    for r in results:
        points = [(f, t) for f, t in zip(r.curve["far"], r.curve["tar"], strict=True) if f >= least]
        label = f"{r.recogniser}: {100 * r.accuracy:.2f} %, EER {100 * r.eer.value:.2f} %"
        axis.step(*zip(*points, strict=True), where="post", label=label)
    axis.set(xscale="log", xlim=(least, 1), ylim=(0, 1.01), xlabel="false accept rate", ylabel="true accept rate")
    axis.grid(True, alpha=0.3)
    axis.legend(loc="lower right", fontsize=8)
    _save(figure, path)


def plot_protection(path: Path, results: Sequence[Withstood]) -> None:
    """Attack success of every recogniser, with intervals. Raises UsageError, OutputError."""
    bars: list[tuple[str, str, Any]] = []
    for r in results:
        bars += [(r.recogniser, f"verification, {100 * v.far:g} % FAR", v.success) for v in r.verification]
        bars += [(r.recogniser, f"rank {n} untargeted", found) for n, found in r.untargeted.items()]
        if r.identification is not None:
            bars.append((r.recogniser, "identification (SVM)", r.identification.misclassified))
    kinds = list(dict.fromkeys(kind for _, kind, _ in bars))
    names = [r.recogniser for r in results]
    figure = _figure(max(5.0, 1.6 * len(kinds)), 4)
    axis = figure.subplots()
    width = 0.8 / max(1, len(names))
    for i, name in enumerate(names):
        own = [(kinds.index(kind), found) for who, kind, found in bars if who == name]
        places = [place + (i - (len(names) - 1) / 2) * width for place, _ in own]
        values = [found.value for _, found in own]
        low = [max(0.0, found.value - found.low) for _, found in own]
        high = [max(0.0, found.high - found.value) for _, found in own]
        axis.bar(places, values, width, yerr=(low, high), capsize=2, label=name)
    axis.set(xticks=range(len(kinds)), ylim=(0, 1.02), ylabel="share of photos that escape")
    axis.set_xticklabels([kind.replace(", ", ",\n") for kind in kinds], fontsize=8)
    axis.legend(fontsize=8)
    _save(figure, path)


def _figure(width: float, height: float) -> Any:
    """Not through pyplot: that keeps a global list and picks a window system."""
    return need("matplotlib.figure", "matplotlib").Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}; give a folder that can be written with --out") from error
