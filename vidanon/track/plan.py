"""Where the plan of a run is kept: a small private database on disk, so that a day of video costs no memory."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

import numpy as np

from vidanon.errors import OutputError, UsageError
from vidanon.types import Action, FloatArray, PlanInfo, PlanRow, RowState, TrackInfo

_SCHEMA = """
CREATE TABLE rows (frame INTEGER, track INTEGER, box BLOB NOT NULL, landmarks BLOB, state INTEGER NOT NULL,
                   confidence REAL NOT NULL, PRIMARY KEY (frame, track)) WITHOUT ROWID;
CREATE TABLE tracks (id INTEGER PRIMARY KEY, first INTEGER, last INTEGER, seed INTEGER, action TEXT NOT NULL,
                     hits INTEGER NOT NULL, score REAL NOT NULL);
CREATE TABLE unknown (frame INTEGER PRIMARY KEY);
"""
_CACHE_KIB = 4096


def track_seed(seed: int, track: int) -> int:
    """63-bit seed of one track of a run: stable for the same run seed and track id, unrelated between tracks."""
    key = hashlib.blake2b(str(seed).encode(), digest_size=32).digest()
    digest = hashlib.blake2b(track.to_bytes(8, "big"), key=key, digest_size=8, person=b"vidanon track").digest()
    return int.from_bytes(digest, "big") >> 1


class Plan:
    """Rows (one track in one frame), tracks, and the frames of which nothing is known.

    Safe to use from several threads. ``close`` (or leaving the ``with`` block) deletes the file.
    """

    def __init__(self, seed: int = 0, folder: Path | None = None) -> None:
        """``folder``: an existing private folder to work in; None: a new one, removed by ``close``.

        Raises OutputError where nothing can be written there.
        """
        self._lock = threading.RLock()
        self._seed = seed
        self._info: PlanInfo | None = None
        self._own: Path | None = None
        try:
            if folder is None:
                folder = self._own = Path(tempfile.mkdtemp(prefix="vidanon-plan-"))
            handle, name = tempfile.mkstemp(prefix=".plan-", suffix=".sqlite3", dir=folder)  # made with mode 0600
            os.close(handle)
            self.path = Path(name)
            self._db = sqlite3.connect(name, check_same_thread=False, isolation_level=None)
            # The file is scratch: after a crash it is made anew, so neither journal nor fsync earns its time.
            for pragma in ("journal_mode=OFF", "synchronous=OFF", "temp_store=MEMORY", f"cache_size=-{_CACHE_KIB}"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            if self._own is not None:
                shutil.rmtree(self._own, ignore_errors=True)
            raise OutputError(f"plan: cannot write in {folder} ({error}); free space or set TMPDIR") from error

    # -- writing ---------------------------------------------------------------------------------------------------

    def add(self, rows: Iterable[PlanRow]) -> None:
        """Add rows in any order; a row of the same frame and track is replaced.

        Raises ValueError for a box that is not finite or has no area: such a row would cover nothing.
        """
        with self._lock, self._writing():
            for row in rows:
                self._add(row)

    def _add(self, row: PlanRow) -> None:
        box = np.asarray(row.box, np.float32)
        if box.shape != (4,) or not np.isfinite(box).all() or box[2] <= box[0] or box[3] <= box[1]:
            raise ValueError(f"frame {row.frame}, track {row.track}: box {row.box} has no area")
        marks = None
        if row.landmarks is not None and np.isfinite(row.landmarks).all():
            marks = np.ascontiguousarray(row.landmarks, np.float32).tobytes()
        hit = int(row.state == RowState.DETECTED)
        before = self._db.execute("SELECT state FROM rows WHERE frame=? AND track=?", (row.frame, row.track)).fetchone()
        if before is not None:
            hit -= int(before[0] == RowState.DETECTED)
        score = row.confidence if row.state == RowState.DETECTED else 0.0
        self._db.execute(
            "INSERT OR REPLACE INTO rows VALUES (?,?,?,?,?,?)",
            (row.frame, row.track, box.tobytes(), marks, int(row.state), float(row.confidence)),
        )
        self._db.execute(
            "INSERT INTO tracks VALUES (?,?,?,?,?,?,?) ON CONFLICT(id) DO UPDATE SET "
            "first=min(coalesce(first, excluded.first), excluded.first), "
            "last=max(coalesce(last, excluded.last), excluded.last), "
            "hits=hits + excluded.hits, score=max(score, excluded.score)",
            (row.track, row.frame, row.frame, track_seed(self._seed, row.track), str(Action.PROTECT), hit, score),
        )

    def add_unknown(self, frames: Iterable[int]) -> None:
        """Frames of which nothing is known (the detector failed, the data is damaged): covered whole."""
        with self._lock, self._writing():
            self._db.executemany("INSERT OR IGNORE INTO unknown VALUES (?)", ((int(f),) for f in frames))

    def set_action(self, track: int, action: Action) -> None:
        """Raises UsageError for a track that is not in the plan."""
        with self._lock, self._writing():
            if not self._db.execute("UPDATE tracks SET action=? WHERE id=?", (str(action), track)).rowcount:
                raise UsageError(f"track {track} is not in the plan; its tracks are listed by --tracks")

    def set_seed(self, track: int, seed: int) -> None:
        """Keep the seed an imported plan was made with. Raises UsageError for a track that is not in the plan."""
        with self._lock, self._writing():
            if not self._db.execute("UPDATE tracks SET seed=? WHERE id=?", (seed, track)).rowcount:
                raise UsageError(f"track {track} is not in the plan")

    def finish(self, info: PlanInfo) -> None:
        """The plan is complete as far as the analysis goes; the leak gate may still add rows."""
        self._info = info

    # -- reading ---------------------------------------------------------------------------------------------------

    @property
    def info(self) -> PlanInfo:
        """Raises ValueError before ``finish``."""
        if self._info is None:
            raise ValueError("the plan is not finished")
        return self._info

    def rows(self, first: int, last: int) -> list[PlanRow]:
        """The rows of the frames ``first <= frame < last``, sorted by frame, then track."""
        with self._lock:
            found = self._db.execute(
                "SELECT frame, track, box, landmarks, state, confidence FROM rows "
                "WHERE frame >= ? AND frame < ? ORDER BY frame, track",
                (first, last),
            ).fetchall()
        return [_row(*values) for values in found]

    def iter_rows(self, step: int = 1000) -> Iterator[PlanRow]:
        """Every row in order, ``step`` frames in memory at a time."""
        with self._lock:
            low, high = self._db.execute("SELECT min(frame), max(frame) FROM rows").fetchone()
        if low is None:
            return
        for first in range(low, high + 1, step):
            yield from self.rows(first, first + step)

    def tracks(self) -> list[TrackInfo]:
        """Every track that has a row, by id."""
        with self._lock:
            found = self._db.execute(f"SELECT {_TRACK} FROM tracks ORDER BY id").fetchall()
        return [_track(*values) for values in found]

    def track(self, track: int) -> TrackInfo:
        """Raises KeyError for a track that is not in the plan."""
        with self._lock:
            found = self._db.execute(f"SELECT {_TRACK} FROM tracks WHERE id=?", (track,)).fetchone()
        if found is None:
            raise KeyError(track)
        return _track(*found)

    def unknown(self, first: int, last: int) -> set[int]:
        """The frames ``first <= frame < last`` to be covered whole."""
        with self._lock:
            found = self._db.execute("SELECT frame FROM unknown WHERE frame >= ? AND frame < ?", (first, last))
            return {frame for (frame,) in found}

    def counts(self) -> dict[str, int]:
        """Number of rows, tracks and unknown frames."""
        with self._lock:
            return {
                table: int(self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
                for table in ("rows", "tracks", "unknown")
            }

    # -- life ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Delete the file. May be called twice."""
        with self._lock:
            self._db.close()
            self.path.unlink(missing_ok=True)
            if self._own is not None:
                shutil.rmtree(self._own, ignore_errors=True)

    def __enter__(self) -> Plan:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _writing(self) -> _Transaction:
        return _Transaction(self._db)


_TRACK = "id, first, last, seed, action, hits, score"


class _Transaction:
    """One transaction; a full disk becomes an OutputError."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Without a journal nothing can be rolled back: what was added stays, the caller's error ends the run.
        try:
            self._db.execute("COMMIT")
        except sqlite3.Error as failed:
            if error is None:
                raise OutputError(f"plan: cannot be written ({failed}); free space or set TMPDIR") from failed
        if isinstance(error, sqlite3.Error):
            raise OutputError(f"plan: cannot be written ({error}); free space or set TMPDIR") from error


def _row(frame: int, track: int, box: bytes, marks: bytes | None, state: int, confidence: float) -> PlanRow:
    landmarks: FloatArray | None = None
    if marks is not None:
        landmarks = np.frombuffer(marks, np.float32).reshape(5, 2)
    return PlanRow(frame, track, np.frombuffer(box, np.float32), landmarks, RowState(state), confidence)


def _track(track: int, first: int, last: int, seed: int, action: str, hits: int, score: float) -> TrackInfo:
    return TrackInfo(track, first, last, seed, Action(action), hits, score)
