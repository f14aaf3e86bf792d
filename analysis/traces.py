"""Run directories to pandas frames, whether a run has finished, was interrupted or is still being written.

Knows the layout of a run directory and its trace; does not know what the numbers mean, nor how they are
drawn.
"""

from __future__ import annotations

import difflib
import glob
import itertools
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from wfl_sim.errors import WflError
from wfl_sim.quality import ACCURACY, QUALITIES, Quality
from wfl_sim.trace import TABLES, TRACE_FORMAT

TRACE_FILE = "trace.sqlite"
MANIFEST_FILE = "manifest.json"
BUSY_TIMEOUT_S = 10.0
"""How long to wait for a run that is committing a round just now."""

ROWS_AT_ONCE = 20_000
"""Rows turned into a frame at once: as Python objects they take many times the memory."""

_Dtype = Literal["int64", "float64", "str"]
_DTYPES: dict[str, _Dtype] = {"INTEGER": "int64", "REAL": "float64", "TEXT": "str"}
_UNREADABLE_WITHOUT_WRITING = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}

Units = dict[tuple[str, str], str]


class TraceError(WflError):
    """There is no run where one was looked for, or its files cannot be read."""

    exit_code = 2


class Holdings(NamedTuple):
    """Who holds what: the names of the classes, and how many examples of each a client has [clients, classes]."""

    classes: tuple[str, ...]
    counts: np.ndarray


@dataclass(frozen=True)
class Traces:
    """The cells (arm and seed) of one or more studies.

    Every frame begins with the columns ``arm`` and ``seed``; arms stand in the order of the study, seeds
    ascend, and the rows of a cell keep the order in which they were written.

    Attributes
    ----------
    rounds, transmissions, decisions
        The tables of the traces; ``wfl_sim.trace.TABLES`` says what each column means.
    cells
        One row a cell: ``arm, seed, status, rounds, targets, latency_budget_s, deadline_s, clients, study,
        directory, metric``. ``rounds`` counts the finished ones, ``targets`` is a tuple of values of the ``metric``
        (accuracy or perplexity), ``latency_budget_s`` and ``deadline_s`` (of a round) are NaN where there is none,
        ``clients`` counts those of the scenario (NaN where a manifest does not say), ``directory`` is the name of the
        run directory.
    units
        Unit of a column: ``units["rounds", "t_end_s"] == "s"``; "" where it has none.
    holdings
        Who holds what, by (arm, seed); runs without learning, and those of older versions, have none.
    """

    rounds: pd.DataFrame
    transmissions: pd.DataFrame
    decisions: pd.DataFrame
    cells: pd.DataFrame
    units: Units
    holdings: Mapping[tuple[str, int], Holdings] = field(default_factory=dict)

    @property
    def arms(self) -> list[str]:
        """The arms, in the order of the study."""
        return [str(arm) for arm in self.cells["arm"].unique()]

    @property
    def learns(self) -> bool:
        """Whether any round was evaluated; a run of the network alone (``method: {kind: none}``) has no accuracy."""
        return bool(self.rounds["accuracy"].notna().any())

    @property
    def quality(self) -> Quality:
        """By what the runs are judged, and which way is better.

        Raises
        ------
        TraceError
            Some are judged by accuracy and some by perplexity, which no axis and no column can hold together.
        """
        evaluated = self.rounds.loc[self.rounds["accuracy"].notna(), ["arm", "seed"]].drop_duplicates()
        cells = self.cells.merge(evaluated) if len(evaluated) else self.cells
        arms = {str(metric): list(own.unique()) for metric, own in cells.groupby("metric")["arm"]}
        if len(arms) > 1:
            said = "; ".join(f"{metric}: {', '.join(own)}" for metric, own in arms.items())
            raise TraceError(f"these runs are judged by different measures, load them apart ({said})")
        return QUALITIES[next(iter(arms), ACCURACY.metric)]

    def seeds(self, arm: str) -> list[int]:
        """The seeds of an arm, ascending; raises `TraceError` for an arm that is not there."""
        if arm not in self.arms:
            raise TraceError(f"no arm {arm!r} in these traces; there are: {', '.join(self.arms)}")
        return [int(seed) for seed in self.cells.loc[self.cells["arm"] == arm, "seed"]]

    def select(self, arm: str, seed: int | None = None) -> Traces:
        """The traces of one cell; without `seed`, of the arm's first one."""
        seeds = self.seeds(arm)
        chosen = seeds[0] if seed is None else seed
        if chosen not in seeds:
            raise TraceError(f"arm {arm!r} has no seed {chosen}; there are: {', '.join(map(str, seeds))}")
        frames = {
            name: frame[(frame["arm"] == arm) & (frame["seed"] == chosen)].reset_index(drop=True)
            for name, frame in (*((t, getattr(self, t)) for t in TABLES), ("cells", self.cells))
        }
        held = {key: value for key, value in self.holdings.items() if key == (arm, chosen)}
        return replace(self, **frames, holdings=held)


def load(path: str | Path) -> Traces:
    """Read the traces of a run directory, of a study, or of all that match a pattern.

    A run that was interrupted, killed, or is being written gives all its finished rounds. When the runs come
    from several studies, an arm is called ``study/arm``.

    Parameters
    ----------
    path
        ``runs/<name>/<arm>-seed<k>``, ``runs/<name>``, or a pattern such as ``runs/quickstart/*-seed1``.

    Raises
    ------
    TraceError
        If there is no run, or a file of one cannot be read.
    """
    cells = [_Cell.read(directory) for directory in _run_directories(Path(path).expanduser())]
    if len({cell.study for cell in cells}) > 1:
        cells = [replace(cell, arm=f"{cell.study}/{cell.arm}") for cell in cells]
    cells.sort(key=lambda cell: (cell.study, cell.arm_order, cell.arm, cell.seed))
    for one, next_ in itertools.pairwise(cells):
        if (one.arm, one.seed) == (next_.arm, next_.seed):
            raise TraceError(
                f"{path}: two runs are arm {one.arm!r}, seed {one.seed}: {one.directory} and {next_.directory}"
            )
    units = {(table, column.name): column.unit for table in TABLES for column in TABLES[table]}
    for cell in cells:
        units.update(cell.units)
    tables = {
        table: pd.concat([cell.labelled(cell.tables[table]) for cell in cells], ignore_index=True) for table in TABLES
    }
    held = {(cell.arm, cell.seed): cell.holdings for cell in cells if cell.holdings is not None}
    return Traces(**tables, cells=pd.DataFrame([cell.row() for cell in cells]), units=units, holdings=held)


@dataclass(frozen=True)
class _Cell:
    directory: Path
    study: str
    arm: str
    arm_order: float
    seed: int
    status: str
    targets: tuple[float, ...]
    latency_budget_s: float
    deadline_s: float
    clients: float
    metric: str
    holdings: Holdings | None
    tables: dict[str, pd.DataFrame]
    units: Units

    @classmethod
    def read(cls, directory: Path) -> _Cell:
        file = directory / MANIFEST_FILE
        tables, units = _read_trace(directory / TRACE_FILE)
        try:
            manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(manifest, dict):
                raise TypeError(f"got a {type(manifest).__name__}, not keys and values")
            index = manifest.get("arm_index")
            return cls(
                directory=directory,
                study=str(manifest["name"]),
                arm=str(manifest["arm"]),
                arm_order=float("inf") if index is None else float(index),
                seed=int(manifest["seed"]),
                status=str(manifest["status"]),
                targets=tuple(float(target) for target in manifest.get("targets") or ()),
                latency_budget_s=_number(manifest, "latency_budget_s"),
                deadline_s=_number(manifest, "deadline_s"),
                clients=_number(manifest, "clients"),
                metric=_metric(manifest),
                holdings=_holdings(manifest),
                tables=tables,
                units=units,
            )
        except OSError as error:
            what = f"{file}: cannot be read ({error.strerror}); a run directory holds one"
            raise TraceError(what) from error
        except KeyError as error:
            raise TraceError(f"{file}: has no key {error.args[0]!r}") from error
        except (TypeError, ValueError) as error:
            raise TraceError(f"{file}: is not the manifest of a run: {error}") from error

    def row(self) -> dict[str, Any]:
        return {
            "arm": self.arm,
            "seed": self.seed,
            "status": self.status,
            "rounds": len(self.tables["rounds"]),
            "targets": self.targets,
            "latency_budget_s": self.latency_budget_s,
            "deadline_s": self.deadline_s,
            "clients": self.clients,
            "study": self.study,
            "directory": self.directory.name,
            "metric": self.metric,
        }

    def labelled(self, table: pd.DataFrame) -> pd.DataFrame:
        labels = pd.DataFrame({"arm": self.arm, "seed": self.seed}, index=table.index)
        return pd.concat([labels.astype({"arm": "str", "seed": "int64"}), table], axis=1)


def _number(manifest: dict[str, Any], key: str) -> float:
    value = manifest.get(key)
    return float("nan") if value is None else float(value)


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


def _run_directories(path: Path) -> list[Path]:
    # A folder whose name happens to hold a bracket is that folder, not a pattern.
    pattern = not path.is_dir() and glob.has_magic(str(path))
    if pattern:
        matches = sorted(glob.glob(str(path), recursive=True))
        roots = [Path(match) for match in matches if Path(match).is_dir()]
    elif path.is_dir():
        roots = [path]
    else:
        raise TraceError(f"{path}: no such directory{_nearest(path)}; {_WANTED}")
    found = {directory.resolve(): directory for root in roots for directory in _runs_in(root)}
    if not found:
        what = f"{len(roots)} directories match, none is or holds a run" if pattern else "no run in it"
        raise TraceError(f"{path}: {what}; {_WANTED}")
    return list(found.values())


_WANTED = (
    f"looked for a run (a directory with {TRACE_FILE}), a study (a directory of runs, such as "
    "runs/quickstart) or a pattern that matches some"
)


def _runs_in(root: Path) -> Iterator[Path]:
    if (root / TRACE_FILE).is_file():
        yield root
    else:
        yield from sorted(child for child in root.iterdir() if (child / TRACE_FILE).is_file())


def _nearest(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    siblings = [child.name for child in path.parent.iterdir() if child.is_dir()]
    close = difflib.get_close_matches(path.name, siblings, n=1)
    return f" (nearest: {path.parent / close[0]})" if close else ""


def _read_trace(file: Path) -> tuple[dict[str, pd.DataFrame], Units]:
    try:
        try:
            return _query(file, "ro")
        except sqlite3.OperationalError as error:
            journal = file.with_name(file.name + "-journal")
            if not (error.sqlite_errorcode & 0xFF in _UNREADABLE_WITHOUT_WRITING and journal.exists()):
                raise
            # A run that was killed inside a commit left half a round and the journal that undoes it. SQLite
            # undoes it by writing; reading must not change a run, so it happens in a copy.
            with tempfile.TemporaryDirectory() as scratch:
                copy = Path(scratch, file.name)
                shutil.copy(journal, copy.with_name(journal.name))
                shutil.copy(file, copy)
                return _query(copy, "rw")
    except sqlite3.Error as error:
        raise TraceError(f"{file}: cannot be read as a trace: {error}") from error


def _query(file: Path, mode: str) -> tuple[dict[str, pd.DataFrame], Units]:
    # as_uri, because a folder may have ? or # in its name.
    uri = f"{file.resolve().as_uri()}?mode={mode}"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S)
    try:
        # One read transaction, so that all tables end with the same round while the run goes on writing.
        db.execute("BEGIN")
        present = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if present and version != TRACE_FORMAT:
            raise TraceError(f"{file}: trace format {version}; this version reads format {TRACE_FORMAT}")
        tables = {table: _frame(db, table, present) for table in TABLES}
        if "columns" not in present:
            return tables, {}
        rows = db.execute('SELECT "table", name, unit FROM columns').fetchall()
        return tables, {(table, name): unit for table, name, unit in rows}
    finally:
        db.close()


def _frame(db: sqlite3.Connection, table: str, present: set[str]) -> pd.DataFrame:
    if table not in present:  # the run has only just begun
        return _typed([], [column.name for column in TABLES[table]], table)
    cursor = db.execute(f"SELECT * FROM {table} ORDER BY rowid")
    names = [name for name, *_ in cursor.description]
    parts = [_typed(cursor.fetchmany(ROWS_AT_ONCE), names, table)]
    while rows := cursor.fetchmany(ROWS_AT_ONCE):
        parts.append(_typed(rows, names, table))
    return pd.concat(parts, ignore_index=True)


def _typed(rows: list[tuple[Any, ...]], names: list[str], table: str) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=names)
    for column in TABLES[table]:
        if column.name in frame:
            # Where a whole number is missing in a round, the column has to hold NaN.
            gaps = column.type == "INTEGER" and bool(frame[column.name].isna().any())
            frame[column.name] = frame[column.name].astype(_DTYPES["REAL" if gaps else column.type])
    return frame
