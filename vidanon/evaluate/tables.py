"""Results as lines to read, and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from vidanon.errors import OutputError
from vidanon.evaluate.bootstrap import Interval
from vidanon.evaluate.pictures import PictureMetrics
from vidanon.evaluate.protection import Withstood
from vidanon.evaluate.verification import Verification


def verification_lines(results: Sequence[Verification]) -> Iterator[str]:
    """One row per recogniser, then the thresholds from all cross pairs."""
    rows: list[tuple[str, ...]]
    rows = [("recogniser", "pairs", "accuracy", "EER", "TAR at 1 % FAR", "threshold", "TAR at .1 %", "threshold")]
    for r in results:
        cells = [r.recogniser, f"{r.pairs}", f"{100 * r.accuracy:.2f} +- {100 * r.accuracy_error:.2f}", share(r.eer)]
        for accept in r.from_pairs:
            cells += [share(accept.tar), f"{accept.threshold:.3f}"]
        rows.append(tuple(cells))
    yield from columns(rows)
    yield ""
    rows = [("all cross pairs", "pairs", "FAR", "threshold", "TAR")]
    for r in results:
        for accept in r.from_cross:
            rows.append(
                (r.recogniser, f"{accept.impostors}", far(accept.far), f"{accept.threshold:.4f}", share(accept.tar))
            )
    if len(rows) > 1:
        yield from columns(rows)
    else:
        yield "too few pairs of different people for thresholds from all of them"


def protection_lines(results: Sequence[Withstood], pictures: PictureMetrics) -> Iterator[str]:
    """One row per recogniser and rate, then ranks, identification and the pictures."""
    head = ("recogniser", "FAR", "attack success", "of those known", "clean match", "match with own source", "pairs")
    rows: list[tuple[str, ...]] = [head]
    for r in results:
        for v in r.verification:
            known = "-" if v.success_if_known is None else share(v.success_if_known)
            rows.append(
                (r.recogniser, far(v.far), share(v.success), known, f"{100 * v.clean_match:.1f}",
                 share(v.own_source_match), f"{v.pairs}")
            )  # fmt: skip
    yield from columns(rows)
    yield ""
    rows = [("recogniser", "R1-UT (clean)", "R5-UT (clean)", "R1-T", "R5-T", "SVM misclassifies", "of clean right")]
    for r in results:
        cells = [r.recogniser]
        for n in (1, 5):
            has = n in r.untargeted
            cells.append(f"{share(r.untargeted[n])} ({100 * r.untargeted_clean[n]:.1f})" if has else "-")
        cells += [share(r.targeted[n]) if n in r.targeted else "-" for n in (1, 5)]
        found = r.identification
        cells += ["-", "-"] if found is None else [share(found.misclassified), f"{100 * found.clean_accuracy:.1f}"]
        rows.append(tuple(cells))
    yield from columns(rows)
    yield ""
    yield from picture_lines(pictures)
    for r in results:
        for note in r.notes:
            yield f"{r.recogniser}: {note}"


def picture_lines(p: PictureMetrics) -> Iterator[str]:
    yield f"pictures: {p.photos} compared, {p.unchanged} unchanged, {p.other_size} of another size"
    if p.ssim is not None and p.mssim is not None and p.l2 is not None:
        noise = "-" if p.psnr is None else f"{p.psnr.value:.2f} dB"
        yield (
            f"SSIM {p.ssim.value:.4f}, MSSIM {p.mssim.value:.4f}, PSNR {noise}, L2 {p.l2.value:.3f}, "
            f"MMD^2 of the faces {p.mmd:.4f}"
        )


def share(interval: Interval) -> str:
    """Percent with its interval: ``98.9 [98.5, 99.3]``."""
    return f"{100 * interval.value:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def far(rate: float) -> str:
    return f"{100 * rate:g} %"


def columns(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Rows of cells, the first left-aligned, the others right-aligned."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        first, *rest = row
        cells = [first.ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(rest, widths[1:], strict=True))]
        yield "  ".join(cells)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Whole or not at all; what is no number (NaN, infinity) is null. Raises OutputError."""
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(_plain(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OutputError(f"{path}: {error.strerror}; give a folder that can be written with --out") from error


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
