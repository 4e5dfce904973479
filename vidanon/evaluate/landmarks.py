"""Where the faces of photos are: from a table, or found by the program's own detectors.

In a table pixel centres lie at integers, as OpenCV and most others count; everywhere else in the program at +0.5.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from vidanon.detect.base import Detector
from vidanon.errors import InputError
from vidanon.evaluate.photos import Photos, decode, key
from vidanon.types import FloatArray

POINTS = (
    "re",
    "le",
    "n",
    "rm",
    "lm",
)  #: the subject's right eye (on the picture's left), left eye, nose, mouth corners
_FIELDS = [f"{point}{axis}" for point in POINTS for axis in "xy"]
_AT_ONCE = 8  # pictures per call of the detector

Landmarks = Mapping[str, FloatArray]  #: name without suffix (``photos.key``) -> (5, 2) px


def read_landmarks(path: Path) -> dict[str, FloatArray]:
    """A CSV with the columns path, rex, rey, lex, ley, nx, ny, rmx, rmy, lmx, lmy. Raises InputError."""
    found = {}
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            for line in csv.DictReader(stream):
                values = [float(line[field]) for field in _FIELDS]
                found[key(line["path"])] = np.array(values, np.float32).reshape(5, 2) + np.float32(0.5)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); give a table of landmarks") from error
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a table of path, {', '.join(_FIELDS)} ({error}); correct it") from error
    return found


def find_landmarks(
    photos: Photos,
    names: Sequence[str],
    detector: Detector,
    table: Path,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, FloatArray]:
    """The face of each photo that lies nearest its middle for its size; photos without a face are left out.

    Rows go to ``table`` as they are found (a row without numbers: no face), so an interrupted search goes on.
    """
    found: dict[str, FloatArray] = {}
    done: set[str] = set()
    if table.is_file():
        with table.open(newline="", encoding="utf-8") as stream:
            for line in csv.DictReader(stream):
                if line["path"] is None or None in line.values():
                    continue  # the row that an interruption cut short
                done.add(line["path"])
                if line["rex"]:
                    values = [float(line[f]) for f in _FIELDS]
                    found[key(line["path"])] = np.array(values, np.float32).reshape(5, 2) + np.float32(0.5)
    todo = [name for name in names if name not in done]
    fresh = not table.is_file()
    with table.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        if fresh:
            writer.writerow(["path", *_FIELDS])
        for start in range(0, len(todo), _AT_ONCE):
            part = todo[start : start + _AT_ONCE]
            pictures = [decode(photos.read(name), name) for name in part]
            for name, picture, faces in zip(part, pictures, detector.detect(pictures), strict=True):
                marked = [face for face in faces if face.landmarks is not None]
                middle = np.array([picture.shape[1] / 2, picture.shape[0] / 2], np.float32)
                best = max(marked, key=lambda face: _prominence(face.box, middle), default=None)
                if best is None or best.landmarks is None:
                    writer.writerow([name, *[""] * 10])
                    continue
                found[key(name)] = best.landmarks
                writer.writerow([name, *(f"{v - 0.5:.2f}" for v in best.landmarks.ravel())])
            stream.flush()
            if progress is not None:
                progress(min(len(todo), start + _AT_ONCE), len(todo))
    wanted = {key(name) for name in names}
    return {name: points for name, points in found.items() if name in wanted}


def _prominence(box: FloatArray, middle: FloatArray) -> float:
    """A face's side less half its distance from the picture's middle, px."""
    centre = (box[:2] + box[2:]) / 2
    return float(np.sqrt((box[2] - box[0]) * (box[3] - box[1])) - np.linalg.norm(centre - middle) / 2)
