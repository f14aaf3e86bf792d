"""One run directory to columns: its manifest, and its trace as it lies, finished, interrupted or being written.

Knows the files of one run; does not know other runs, nor what the numbers mean.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from analysis.pages import Unusual, table_columns
from wfl_sim.errors import WflError
from wfl_sim.quality import ACCURACY, QUALITIES
from wfl_sim.trace import TABLES, TRACE_FORMAT

TRACE_FILE = "trace.sqlite"
MANIFEST_FILE = "manifest.json"
DISCARDED = "discarded"
"""Status of a run that is being removed, as in `wfl_sim.rundirectory`, which is not imported as it loads SimPy."""
BUSY_TIMEOUT_S = 10.0
"""How long to wait for a run that is committing a round just now."""

ROWS_AT_ONCE = 20_000
"""Rows turned into columns at once: as Python objects they take many times the memory."""

_DTYPES: dict[str, type] = {"INTEGER": np.int64, "REAL": np.float64, "TEXT": object}
COPIES, PAUSE_S = 5, 0.2
"""How often to copy a trace that someone else changes meanwhile, and how long to wait before the next time."""

AGAIN = "`wfl-sim run` of its scenario with --force runs it again"

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


class Holdings(NamedTuple):
    """Who holds what: the names of the classes, and how many examples of each a client has [clients, classes]."""

    classes: tuple[str, ...]
    counts: np.ndarray


class Coordinate(NamedTuple):
    """The value of one key of a grid: as it was written, and as a number in an SI unit where it is one."""

    key: str
    text: str
    value: float | None
    unit: str


@dataclass(frozen=True)
class Run:
    """What the files of one run directory say."""

    directory: Path
    study: str
    arm: str
    arm_order: float
    group: str
    point: tuple[Coordinate, ...]
    seed: int
    status: str
    targets: tuple[float, ...]
    latency_budget_s: float
    deadline_s: float
    clients: float
    in_flight_bits: float
    metric: str
    holdings: Holdings | None
    tables: dict[str, Columns]
    units: Units

    @classmethod
    def read(cls, directory: Path, tables: Collection[str]) -> Run:
        """Read one run, with these tables besides ``rounds``.

        Raises
        ------
        NothingYet
            For a run that is just being begun or removed.
        TraceError
            For what cannot be read.
        """
        file, trace = directory / MANIFEST_FILE, directory / TRACE_FILE
        try:
            manifest = _manifest(file)
            columns, units = _read_trace(trace, tables)
            if manifest["status"] == "finished" and not units:
                raise TraceError(f"{trace}: is empty, though the run has finished; {AGAIN}")
            index = manifest.get("arm_index")
            return cls(
                directory=directory,
                study=str(manifest["name"]),
                arm=str(manifest["arm"]),
                arm_order=float("inf") if index is None else float(index),
                group=str(manifest.get("group") or manifest["arm"]),
                point=tuple(_coordinate(one) for one in manifest.get("point") or ()),
                seed=int(manifest["seed"]),
                status=str(manifest["status"]),
                targets=tuple(float(target) for target in manifest.get("targets") or ()),
                latency_budget_s=_number(manifest, "latency_budget_s"),
                deadline_s=_number(manifest, "deadline_s"),
                clients=_number(manifest, "clients"),
                in_flight_bits=_number(manifest.get("ledger") or {}, "in_flight_up_bits"),
                metric=_metric(manifest),
                holdings=_holdings(manifest),
                tables=columns,
                units=units,
            )
        except KeyError as error:
            raise TraceError(f"{file}: has no key {error.args[0]!r}") from error
        except (TypeError, ValueError) as error:
            raise TraceError(f"{file}: is not the manifest of a run: {error}") from error

    def row(self) -> dict[str, Any]:
        """The row of ``Traces.cells``, without the columns of a grid."""
        return {
            "arm": self.arm,
            "seed": self.seed,
            "status": self.status,
            "rounds": self.rows("rounds"),
            "targets": self.targets,
            "latency_budget_s": self.latency_budget_s,
            "deadline_s": self.deadline_s,
            "clients": self.clients,
            "in_flight_bits": self.in_flight_bits,
            "study": self.study,
            "directory": self.directory.name,
            "metric": self.metric,
            "group": self.group,
        }

    @property
    def begun(self) -> bool:
        """Whether its trace has been made."""
        return bool(self.units)

    def rows(self, table: str) -> int:
        """How many rows a table has."""
        return len(next(iter(self.tables[table].values())))


def _manifest(file: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        # Of a run, it is the first file that is written and the last one that is removed.
        kind = (
            NothingYet if isinstance(error, FileNotFoundError) and _is_empty(file.with_name(TRACE_FILE)) else TraceError
        )
        raise kind(f"{file}: cannot be read ({error.strerror}); a run directory holds one") from error
    if not isinstance(manifest, dict):
        raise TypeError(f"got a {type(manifest).__name__}, not keys and values")
    if manifest.get("status") == DISCARDED:
        raise NothingYet(f"{file.parent}: is just being removed, or was left so; run its scenario again")
    return manifest


def _is_empty(trace: Path) -> bool:
    try:
        return trace.stat().st_size == 0
    except FileNotFoundError:
        return True


def _number(manifest: dict[str, Any], key: str) -> float:
    value = manifest.get(key)
    return float("nan") if value is None else float(value)


def _coordinate(said: dict[str, Any]) -> Coordinate:
    value = said["value"]
    number = None if value is None or isinstance(value, bool) else float(value)
    return Coordinate(str(said["key"]), str(said["text"]), number, str(said.get("unit") or ""))


def _metric(manifest: dict[str, Any]) -> str:
    """The name of the measure; a run that does not say was judged by accuracy, as all once were."""
    name = (manifest.get("quality") or {"metric": ACCURACY.metric})["metric"]
    if name not in QUALITIES:
        raise ValueError(f"quality.metric is {name!r}; this version knows {', '.join(QUALITIES)}")
    return str(name)


def _holdings(manifest: dict[str, Any]) -> Holdings | None:
    held = (manifest.get("data") or {}).get("holdings")
    if held is None:
        return None
    classes, counts = tuple(map(str, held["classes"])), np.array(held["counts"], dtype=np.int64)
    if counts.ndim != 2 or counts.shape[1] != len(classes) or counts.min() < 0:
        raise ValueError(f"data.holdings.counts is no table of clients by {len(classes)} classes")
    return Holdings(classes, counts)


def _read_trace(file: Path, tables: Collection[str]) -> tuple[dict[str, Columns], Units]:
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
        if present and version != TRACE_FORMAT:
            raise TraceError(f"{file}: trace format {version}; this version reads format {TRACE_FORMAT}")
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
    return columns, {(table, name): unit for table, name, unit in units if table in TABLES}


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
