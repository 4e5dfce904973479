"""LFW's pairs file: ``Name 1 4`` is a pair of one person, ``Name 1 Other 2`` of two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vidanon.errors import InputError


@dataclass(frozen=True)
class Pair:
    first: str  #: name of a photo, as ``Name/Name_0001.jpg``
    second: str
    same: bool
    fold: int  #: from 0


def read_pairs(path: Path) -> list[Pair]:
    """The pairs of a file that begins with "folds, pairs per fold and kind" or, for one fold, the latter alone.

    Raises InputError that names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a readable pairs file ({error}); give LFW's pairs.txt") from error
    head = lines[0].split() if lines else []
    if not 1 <= len(head) <= 2 or not all(word.isdecimal() for word in head):
        raise InputError(f"{path}: line 1 is not 'folds pairs'; give LFW's pairs.txt")
    per_fold = 2 * int(head[-1])
    pairs: list[Pair] = []
    for number, line in enumerate(lines[1:], start=2):
        words = line.split("\t") if "\t" in line else line.split()
        if not line.strip():
            continue
        if len(words) not in (3, 4) or not all(w.isdecimal() for w in (words[1], words[-1])):
            raise InputError(f"{path}: line {number} is no pair ('Name 1 4' or 'Name 1 Other 2'); correct it")
        fold = len(pairs) // per_fold if per_fold else 0
        other = words[0] if len(words) == 3 else words[2]
        pairs.append(Pair(photo(words[0], int(words[1])), photo(other, int(words[-1])), len(words) == 3, fold))
    folds = int(head[0]) if len(head) == 2 else 1
    if len(pairs) != folds * per_fold or not pairs:
        raise InputError(f"{path}: {len(pairs)} pairs, its first line says {folds * per_fold}; get the original")
    return pairs


def photo(name: str, number: int) -> str:
    """LFW's file name of a person's photo."""
    return f"{name}/{name}_{number:04d}.jpg"


def spread(pairs: Sequence[Pair], limit: int | None) -> list[Pair]:
    """At most ``limit`` pairs, evenly over folds and both kinds."""
    if limit is None or limit >= len(pairs):
        return list(pairs)
    groups: dict[tuple[int, bool], list[Pair]] = {}
    for pair in pairs:
        groups.setdefault((pair.fold, pair.same), []).append(pair)
    share = max(1, limit // len(groups))
    chosen = {id(g[i * len(g) // share]) for g in groups.values() for i in range(min(share, len(g)))}
    return [pair for pair in pairs if id(pair) in chosen]
