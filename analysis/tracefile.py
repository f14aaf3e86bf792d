"""The trace of a run as columns: as it lies, finished, interrupted, killed inside a commit, or being written.

Knows SQLite and the tables of a trace; does not know the other files of a run, nor what the numbers mean.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from analysis.pages import Unusual, table_columns
from wfl_sim.errors import WflError
from wfl_sim.trace import TABLES, TRACE_FORMAT, Column

OLDEST_FORMAT = 2
"""The first trace format that is still read: what later ones added is NaN."""

BUSY_TIMEOUT_S = 10.0
"""How long to wait for a run that is committing a round just now."""

ROWS_AT_ONCE = 20_000
"""Rows turned into columns at once: as Python objects they take many times the memory."""

COPIES, PAUSE_S = 5, 0.2
"""How often to copy a trace that someone else changes meanwhile, and how long to wait before the next time."""

AGAIN = "`wfl-sim run` of its scenario with --force runs it again"

_DTYPES: dict[str, type] = {"INTEGER": np.int64, "REAL": np.float64, "TEXT": object}
_HELD: dict[str, tuple[type, ...]] = {"INTEGER": (int,), "REAL": (float, int), "TEXT": (str,)}
_UNREADABLE_WITHOUT_WRITING = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

Units = dict[tuple[str, str], str]
Columns = dict[str, np.ndarray]
"""A table, column by column: int64, float64, or strings as objects."""


class TraceError(WflError):
    """There is no run where one was looked for, or its files cannot be read."""

    exit_code = 2


class NothingYet(TraceError):
    """A run that has only just been begun, or whose files are just being removed."""


class _Damaged(Exception):
    """A trace holds what no run writes."""


def read_trace(file: Path, tables: Collection[str]) -> tuple[dict[str, Columns], Units]:
    """The tables of a trace, those that are not asked for without rows, and the unit of each column.

    Raises
    ------
    NothingYet
        If there is no file any more.
    TraceError
        If it cannot be read.
    """
    try:
        for attempt in range(COPIES):
            time.sleep(PAUSE_S if attempt else 0)
            try:
                return _query(file, "ro", tables)
            except sqlite3.OperationalError as error:
                journal = file.with_name(file.name + "-journal")
                if _code(error) not in _UNREADABLE_WITHOUT_WRITING or not file.exists():
                    raise
                if not journal.exists() and attempt == COPIES - 1:
                    raise
            # A run that was killed inside a commit left half a round and the journal that undoes it. SQLite
            # undoes it by writing; reading must not change a run, so it happens in a copy.
            with tempfile.TemporaryDirectory() as scratch:
                if _copied((file, journal), Path(scratch)):
                    return _query(Path(scratch, file.name), "rw", tables)
        raise TraceError(f"{file}: is just being changed by another session; try again")
    except sqlite3.Error as error:
        if not file.exists():
            raise NothingYet(f"{file}: is just being removed; run its scenario again") from error
        remedy = f"; {AGAIN}" if _code(error) in _DAMAGED else ""
        raise TraceError(f"{file}: cannot be read as a trace: {error}{remedy}") from error
    except _Damaged as error:
        raise TraceError(f"{file}: cannot be read as a trace: {error}; {AGAIN}") from error


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _copied(files: Sequence[Path], folder: Path) -> bool:
    """Copy files that belong together, writable ones whatever these are; False if one was changed or went meanwhile.

    A session that goes on with the run undoes the half round, and its journal is gone or is another one: an old
    journal must not be played into a database that has gone on.
    """
    try:
        before = [_marks(file) for file in files]
        for file in files:
            shutil.copyfile(file, folder / file.name)
        return before == [_marks(file) for file in files]
    except FileNotFoundError:
        return False


def _marks(file: Path) -> tuple[int, ...]:
    """What changes when a file is written or replaced."""
    about = file.stat()
    return about.st_mtime_ns, about.st_size, about.st_ino


def _query(file: Path, mode: str, tables: Collection[str]) -> tuple[dict[str, Columns], Units]:
    # as_uri, because a folder may have ? or # in its name.
    uri = f"{file.resolve().as_uri()}?mode={mode}"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S)
    try:
        # One read transaction, so that all tables end with the same round while the run goes on writing. It keeps the
        # run from writing, so of tables of many rows it takes an image, which is decoded afterwards.
        db.execute("BEGIN")
        present = dict(db.execute("SELECT name, rootpage FROM sqlite_master WHERE type = 'table'").fetchall())
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if present and not OLDEST_FORMAT <= version <= TRACE_FORMAT:
            known = f"{OLDEST_FORMAT} to {TRACE_FORMAT}"
            raise TraceError(f"{file}: trace format {version}; this version reads formats {known}")
        columns = {table: _empty(table) for table in TABLES}
        wanted = [table for table in TABLES if table in present and (table in tables or table == "rounds")]
        types = {table: _types(db, table) for table in wanted}
        for table in wanted if not hasattr(db, "serialize") else wanted[:1]:
            columns[table] = _selected(db, table, types[table])
        image = db.serialize() if len(wanted) > 1 and hasattr(db, "serialize") else b""
        units = db.execute('SELECT "table", name, unit FROM columns').fetchall() if "columns" in present else []
    finally:
        db.close()
    if image:
        columns |= {table: _decoded(image, table, present[table], types[table]) for table in wanted[1:]}
    added = {(table, column.name): column.unit for table in wanted for column in _completed(columns[table], table)}
    return columns, {(table, name): unit for table, name, unit in units if table in TABLES} | added


def _completed(columns: Columns, table: str) -> list[Column]:
    """Add the columns that an older format has not, which hold NaN; says which."""
    added = [column for column in TABLES[table] if column.name not in columns and column.type == "REAL"]
    rows = len(next(iter(columns.values())))
    columns.update({column.name: np.full(rows, np.nan) for column in added})
    return added


def _empty(table: str) -> Columns:
    """Of a run that has only just begun, or where nobody asks."""
    return {column.name: np.empty(0, _DTYPES[column.type]) for column in TABLES[table]}


def _decoded(image: bytes, table: str, root: int, types: dict[str, tuple[str, bool]]) -> Columns:
    """A table of a database that begins at page `root`."""
    try:
        if not all(plain for _, plain in types.values()):
            raise Unusual("a key, or a column of another type")
        columns = table_columns(image, root, [type_ for type_, _ in types.values()])
        return dict(zip(types, columns, strict=True))
    except Unusual:
        with closing(sqlite3.connect(":memory:")) as db:
            db.deserialize(image)
            return _selected(db, table, types)


def _types(db: sqlite3.Connection, table: str) -> dict[str, tuple[str, bool]]:
    """The columns of a table, the type of each, and whether it is one of ours and stored where it stands."""
    info = db.execute(f"PRAGMA table_info({table})").fetchall()
    return {name: (type_, type_ in _DTYPES and not key) for _, name, type_, _, _, key in info}


def _selected(db: sqlite3.Connection, table: str, types: dict[str, tuple[str, bool]]) -> Columns:
    """What `table_columns` gives, read row by row, without columns of types that no trace has."""
    known = {name: type_ for name, (type_, _) in types.items() if type_ in _DTYPES}
    names = ", ".join(f'"{name}"' for name in known)
    cursor = db.execute(f"SELECT {names} FROM {table} ORDER BY rowid")
    parts = [{name: _typed((), type_) for name, type_ in known.items()}]
    while rows := cursor.fetchmany(ROWS_AT_ONCE):
        values = zip(*rows, strict=True)
        parts.append({name: _typed(own, known[name]) for name, own in zip(known, values, strict=True)})
    return {name: np.concatenate([part[name] for part in parts]) for name in known}


def _typed(values: tuple[Any, ...], type_: str) -> np.ndarray:
    # SQLite keeps what it is given, whatever the type of the column: 1.5 must not become 1.
    wrong = next((value for value in values if value is not None and not isinstance(value, _HELD[type_])), None)
    if wrong is not None:
        raise _Damaged(f"a column of type {type_} holds {wrong!r:.40}")
    # Where a whole number is missing, the column has to hold NaN.
    gaps = type_ == "INTEGER" and None in values
    return np.array(values, dtype=_DTYPES["REAL" if gaps else type_])
