"""Pictures of the results: leakage by face size, and a sheet of the faces that leaked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from tests.bench.composites import Clip
from tests.bench.coverage import Measured, decoded
from tests.bench.truth import FaceTruth

Bytes = npt.NDArray[np.uint8]
TILE = 150  #: px, one crop on the sheet


def plot_leaks(path: Path, sizes: Sequence[str], rates: dict[str, list[float]], title: str) -> None:
    """Bars of leakage (%) by face size, one colour per tool; NaN where there was no face of that size."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 4.5), dpi=120)
    at = np.arange(len(sizes))
    width = 0.8 / max(1, len(rates))
    for k, (label, values) in enumerate(rates.items()):
        known = ~np.isnan(np.array(values, np.float64))
        percent = 100 * np.nan_to_num(np.array(values, np.float64))
        bars = axes.bar(at + (k - (len(rates) - 1) / 2) * width, percent, width, label=label)
        axes.bar_label(
            bars,
            labels=[f"{v:.1f}" if there else "" for v, there in zip(percent, known, strict=True)],
            fontsize=6,
            padding=1,
        )
    axes.set_xticks(at, sizes)
    axes.set_xlabel("longer side of the inner face, px")
    axes.set_ylabel("face-frames that leak, %")
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


@dataclass(frozen=True)
class Run:
    """Leaking frames in a row of one track."""

    clip: int
    track: int
    rows: tuple[Measured, ...]

    @property
    def worst(self) -> Measured:
        return min(self.rows, key=lambda r: r.share)


def runs_of(rows: Sequence[Measured]) -> list[Run]:
    """Leaking face-frames grouped into runs (a gap of one frame ends a run), longest first."""
    found: list[Run] = []
    current: list[Measured] = []
    leaking = (r for r in rows if r.leaks)
    for row in sorted(leaking, key=lambda r: (r.clip, r.truth.track, r.truth.frame)):
        if current and (row.clip, row.truth.track, row.truth.frame) != (
            current[-1].clip,
            current[-1].truth.track,
            current[-1].truth.frame + 1,
        ):
            found.append(Run(current[0].clip, current[0].truth.track, tuple(current)))
            current = []
        current.append(row)
    if current:
        found.append(Run(current[0].clip, current[0].truth.track, tuple(current)))
    return sorted(found, key=lambda r: -len(r.rows))


def events_of(clip: Clip, track: int) -> str:
    """What is hard about a track, as the generator wrote it down."""
    entry: dict[str, Any] = next(t for t in clip.about["tracks"] if t["id"] == track)
    return " ".join([entry["source"], *entry["events"]])


def contact_sheet(
    path: Path, clips: dict[int, Clip], outputs: dict[int, Path], runs: Sequence[Run], columns: int = 4
) -> None:
    """Source crop (ellipse drawn) beside output crop for the worst frame of each run."""
    wanted: dict[int, list[Measured]] = {}
    for run in runs:
        wanted.setdefault(run.clip, []).append(run.worst)
    crops: dict[tuple[int, int, int], Bytes] = {}
    for number, rows in wanted.items():
        frames = {row.truth.frame for row in rows}
        for index, (before, after) in enumerate(
            zip(decoded(clips[number].video), decoded(outputs[number]), strict=False)
        ):
            if index not in frames:
                continue
            source, made = before.to_ndarray(format="bgr24"), after.to_ndarray(format="bgr24")
            for row in rows:
                if row.truth.frame == index:
                    crops[number, row.truth.track, index] = np.hstack(
                        [_crop(source, row.truth, True), _crop(made, row.truth, False)]
                    )
    tiles = []
    for run in runs:
        row = run.worst
        first, last = run.rows[0].truth.frame, run.rows[-1].truth.frame
        lines = (
            f"clip {run.clip} track {run.track} frames {first}-{last}",
            f"{row.truth.size:.0f}px seen {row.truth.visible:.2f} covered {row.share:.2f} {row.truth.speed:.0f}px/f",
            events_of(clips[run.clip], run.track),
        )
        text = np.full((42, 2 * TILE, 3), 255, np.uint8)
        for k, line in enumerate(lines):
            cv2.putText(text, line[:52], (3, 12 + 13 * k), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (0, 0, 0), 1, cv2.LINE_AA)
        tiles.append(np.vstack([text, crops[run.clip, run.track, row.truth.frame]]))
    if not tiles:
        return
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % columns)
    cv2.imwrite(str(path), np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]))


def beside_sheet(
    path: Path, clips: dict[int, Clip], outputs: dict[int, Path], worst: dict[int, tuple[int, float]]
) -> None:
    """Each clip's frame in which most was covered away from every face; clips below 1 % are left out."""
    tiles = []
    for number, (frame, share) in sorted(worst.items(), key=lambda item: -item[1][1]):
        if share < 0.01:
            break
        pair = []
        for video in (clips[number].video, outputs[number]):
            picture = next(f for i, f in enumerate(decoded(video)) if i == frame).to_ndarray(format="bgr24")
            pair.append(np.asarray(cv2.resize(picture, (480, 270), interpolation=cv2.INTER_AREA), np.uint8))
        tile = np.hstack(pair)
        text = f"clip {number} frame {frame}: {100 * share:.1f} % of the picture"
        cv2.putText(tile, text, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 255, 255), 1, cv2.LINE_AA)
        tiles.append(tile)
    if tiles:
        cv2.imwrite(str(path), np.vstack(tiles))


def _crop(picture: Bytes, truth: FaceTruth, draw: bool) -> Bytes:
    """A square around one face, scaled to a tile."""
    half = max(24.0, 1.4 * truth.size)
    scale = TILE / (2 * half)
    move = np.array(
        [[scale, 0, (half - truth.centre[0]) * scale], [0, scale, (half - truth.centre[1]) * scale]], np.float64
    )
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    tile = cv2.warpAffine(picture, move, (TILE, TILE), flags=method, borderValue=(200, 200, 200))
    if draw:
        axes = (max(1.0, 2 * truth.axes[0] * scale), max(1.0, 2 * truth.axes[1] * scale))
        cv2.ellipse(tile, ((TILE / 2, TILE / 2), axes, truth.angle), (0, 255, 0), 1, cv2.LINE_AA)
    return np.asarray(tile, np.uint8)
