"""The trace: one SQLite file a run, one transaction a round, every column with its unit and meaning.

Knows rows, not who makes them. Wall-clock time never enters: it belongs under ``measured`` in the manifest.
"""

from __future__ import annotations

import csv
import io
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from wfl_sim import wholefile
from wfl_sim.errors import AGAIN, RunFailed

TRACE_FORMAT = 4
PATIENCE_S = 600.0
"""How long a run waits for a reader that holds its trace: nobody who looks at a run should end it."""


class Column(NamedTuple):
    """One column of a table; the ``columns`` table of a trace holds these rows."""

    name: str
    type: str
    unit: str
    meaning: str


Row = Mapping[str, Any]
AnyRow = Row | tuple[Any, ...]
"""By name, or in the order of the columns, which is much cheaper where rows are many."""

TABLES: dict[str, tuple[Column, ...]] = {
    "rounds": (
        Column("round", "INTEGER", "", "number of the round, from 1"),
        Column("t_start_s", "REAL", "s", "simulated time at which the round began"),
        Column("t_end_s", "REAL", "s", "simulated time at which the global model was updated"),
        Column("accuracy", "REAL", "1", "share of held-out examples, in a language task of next tokens, that is right"),
        Column("loss", "REAL", "nat", "mean cross-entropy on held-out examples, in a language task of next tokens"),
        Column("uplink_bits", "INTEGER", "bit", "bits sent by clients since the start, headers and repeats included"),
        Column("downlink_bits", "INTEGER", "bit", "bits sent to clients since the start; a broadcast counts once"),
        Column("delivered", "INTEGER", "clients", "updates that arrived and were aggregated"),
        Column("dropped", "INTEGER", "clients", "clients called whose update was given up or lost, late ones apart"),
        Column("deferred", "INTEGER", "clients", "clients that the schedule did not ask to train"),
        Column("away", "INTEGER", "clients", "clients that were not there to be asked when the round began"),
        Column("late", "INTEGER", "clients", "clients called that were still busy when the round ended"),
        Column("staleness_mean", "REAL", "versions", "mean age of the updates aggregated; empty if none was"),
        Column("energy_j", "REAL", "J", "clients' energy since the start: transmission and computation"),
        Column("kept_fraction_mean", "REAL", "1", "mean kept fraction of the updates sent; empty if none was"),
        Column("rank", "INTEGER", "1", "rank of the global adapters after the round; 0 without any"),
        Column("queue", "REAL", "1", "virtual latency queue after the round, in latency budgets; 0 without one"),
        Column("coherence_a", "REAL", "1", "largest |cosine| between two rows of a global A; empty without adapters"),
        Column("coherence_b", "REAL", "1", "largest |cosine| between two columns of a global B; empty without any"),
        Column("e_cov", "REAL", "1", "|sum_k w_k (B_k - Bbar)(A_k - Abar)|_F^2; empty where products are merged"),
        Column("e_sp", "REAL", "1", "weighted energy |B'A' - B_s A_s|_F^2 of what the codec did not send"),
        Column("e_sp_score", "REAL", "1", "the same component by component: the sum of dropped |b'a' - b a|_F^2"),
        Column("e_q", "REAL", "1", "weighted energy of what quantisation changed in what the codec sent"),
        Column("client_memory_bytes", "REAL", "B", "split: computed peak of the client with most; else empty"),
        Column("server_memory_bytes", "REAL", "B", "split: the same of a server with one model; else empty"),
        Column("server_each_memory_bytes", "REAL", "B", "split: and of one with a submodel a client; else empty"),
    ),
    "transmissions": (
        Column("round", "INTEGER", "", "number of the round"),
        Column("client", "INTEGER", "", "client, from 0; -1 for a broadcast to all who take part"),
        Column("direction", "TEXT", "", "up or down"),
        Column("t_request_s", "REAL", "s", "simulated time at which the bits were ready to send"),
        Column("t_start_s", "REAL", "s", "simulated time at which the first packet began"),
        Column("t_end_s", "REAL", "s", "simulated time at which it was delivered or dropped"),
        Column("payload_bits", "INTEGER", "bit", "bits offered: the serialised update"),
        Column("delivered_bits", "INTEGER", "bit", "payload bits of the packets that arrived; for a broadcast at any"),
        Column("sent_bits", "INTEGER", "bit", "bits on the air, headers and repeats included"),
        Column("packets", "INTEGER", "packets", "packets put on the air, repeats included"),
        Column("lost", "INTEGER", "packets", "packets lost on the air"),
        Column("retransmissions", "INTEGER", "packets", "packets sent that had been sent before"),
        Column("air_s", "REAL", "s", "time on the air, without the slots that others had"),
        Column("snr_mean_db", "REAL", "dB", "mean SNR in the granted band while sending"),
        Column("snr_min_db", "REAL", "dB", "lowest SNR of a slot while sending"),
        Column("bandwidth_hz", "REAL", "Hz", "time-averaged bandwidth held while sending"),
        Column("kept_fraction", "REAL", "1", "kept fraction of the update; 1 if dense; split: bits of a value over 32"),
        Column("outcome", "TEXT", "", "delivered, partial (some packets arrived, the update did not) or dropped"),
        Column("reason", "TEXT", "", "why not delivered: attempts, deadline, diverged, left or timeout; else empty"),
        Column("energy_j", "REAL", "J", "client's transmission energy; 0 for the downlink"),
        Column("step", "REAL", "steps", "split: step of activations (up) or their gradient (down), from 1; else empty"),
    ),
    "decisions": (
        Column("round", "INTEGER", "", "number of the round"),
        Column("client", "INTEGER", "", "client, from 0"),
        Column("t_s", "REAL", "s", "simulated time of the decision"),
        Column("action", "TEXT", "", "send, defer or skip"),
        Column("bandwidth_hz", "REAL", "Hz", "bandwidth granted"),
        Column("kept_fraction", "REAL", "1", "kept fraction chosen"),
        Column("menu_bits", "INTEGER", "bit", "largest size of the chosen point of the payload menu"),
        Column("csi_snr_db", "REAL", "dB", "SNR over the whole uplink band, as the schedule saw it"),
        Column("ready_s", "REAL", "s", "time that the schedule expected before the upload could start"),
        Column("compute_start_s", "REAL", "s", "simulated time at which the client began to compute; empty if never"),
        Column("compute_s", "REAL", "s", "time that the client then took to compute; 0 if it did not"),
        Column("compute_energy_j", "REAL", "J", "energy that the client then took to compute"),
    ),
    "groups": (
        Column("round", "INTEGER", "", "number of the round"),
        Column("name", "TEXT", "", "name of the group of clients; without groups the table is empty"),
        Column("task", "TEXT", "", "what the group learns: the name of its data"),
        Column("first_client", "INTEGER", "", "the lowest of its clients, which follow each other"),
        Column("clients", "INTEGER", "clients", "how many clients it has"),
        Column("share", "REAL", "1", "its part of all training examples: its weight in the means of the round"),
        Column("rank", "INTEGER", "1", "rank of its adapters; 0 without any"),
        Column("accuracy", "REAL", "1", "share of its task's held-out examples, or next tokens, that is right"),
        Column("loss", "REAL", "nat", "mean cross-entropy on its task's held-out examples, or next tokens"),
    ),
}  # fmt: skip


_RESUME = "resume (round INTEGER PRIMARY KEY, answers BLOB, state TEXT, rest TEXT)"


class Resume(NamedTuple):
    """What a trace keeps beside its tables while its run is not finished: what it takes to go on after a round.

    `answers` is what was asked of the learning side in the round (`wfl_sim.replay`), `state` is that of the learning
    side after it, and `rest` that of everything else, if nothing was under way: both as JSON. The round of a rest is
    never played again: its `answers` is what clients had told by then.
    """

    answers: bytes
    state: str | None
    rest: str | None


class TraceWriter:
    """Writes a trace, new or begun; `commit_round` is the only way rows get in: a reader sees whole rounds only.

    Raises
    ------
    RunFailed
        The file cannot be written, here and later, or is no trace of this format.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._told():
            self._db = sqlite3.connect(path, isolation_level=None, timeout=PATIENCE_S)
            # A rollback journal (not WAL) works on network file systems.
            self._db.execute("PRAGMA journal_mode = DELETE")
            if not self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
                self._make()
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version != TRACE_FORMAT:
            raise RunFailed(f"{path}: trace format {version}; this version writes format {TRACE_FORMAT}")

    def _make(self) -> None:
        with self._transaction():
            self._db.execute(f"PRAGMA user_version = {TRACE_FORMAT}")
            for table, columns in TABLES.items():
                self._db.execute(f"CREATE TABLE {table} ({', '.join(f'{c.name} {c.type}' for c in columns)})")
            self._db.execute('CREATE TABLE columns ("table" TEXT, name TEXT, unit TEXT, meaning TEXT)')
            self._db.executemany(
                "INSERT INTO columns VALUES (?, ?, ?, ?)",
                [(table, c.name, c.unit, c.meaning) for table, columns in TABLES.items() for c in columns],
            )

    def commit_round(
        self,
        round_row: Row,
        transmissions: Iterable[AnyRow],
        decisions: Iterable[AnyRow],
        resume: Resume | None = None,
    ) -> None:
        """Add one round and all that belongs to it, or nothing."""
        with self._told(), self._transaction():
            self._insert("rounds", [round_row])
            self._insert("transmissions", transmissions)
            self._insert("decisions", decisions)
            self._insert("groups", [{**row, "round": round_row["round"]} for row in round_row.get("groups", ())])
            if resume is not None:
                number = round_row["round"]
                self._db.execute(f"CREATE TABLE IF NOT EXISTS {_RESUME}")
                if resume.rest is not None:  # what was before it is needed no more
                    self._db.execute("DELETE FROM resume")
                self._db.execute("UPDATE resume SET state = NULL WHERE round = ?", (number - 1,))
                self._db.execute("INSERT INTO resume VALUES (?, ?, ?, ?)", (number, *resume))

    def committed(self) -> Committed:
        """The rounds that are in it."""
        return Committed(self.path, self._db)

    def finish(self) -> None:
        """The run is over: nothing but the tables is needed any more."""
        with self._told(), self._transaction():
            self._db.execute("DROP TABLE IF EXISTS resume")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # some errors end it by themselves
                with suppress(sqlite3.Error):  # there is an error already; whoever opens the file next rolls back
                    self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.ProgrammingError:
            raise  # no trouble with the file
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise _damaged(self.path, error) from error
            raise RunFailed(f"{self.path} cannot be written: {error}") from error

    def _insert(self, table: str, rows: Iterable[AnyRow]) -> None:
        names = [column.name for column in TABLES[table]]
        marks = ", ".join("?" * len(names))
        cells = (row if isinstance(row, tuple) else tuple([row[n] for n in names]) for row in rows)
        self._db.executemany(f"INSERT INTO {table} VALUES ({marks})", cells)

    def close(self) -> None:
        """Close the file; what was committed stays."""
        self._db.close()


def _damaged(path: Path, error: Exception) -> RunFailed:
    return RunFailed(f"{path} cannot be read ({error}): {AGAIN}")


def is_unfinished(path: Path) -> bool:
    """Whether a trace still holds what it takes to go on; not so if it cannot be read."""
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            return db.execute("SELECT 1 FROM sqlite_master WHERE name = 'resume'").fetchone() is not None
        finally:
            db.close()
    except sqlite3.Error:
        return False


class Committed:
    """Rounds that a session before this one has committed, to be gone through once, in their order.

    Attributes
    ----------
    rounds : int
        How many there are.
    rested : int
        After which of them nothing was under way, so that a run can go on from there; 0 if that is not known of any.
    rest : str or None
        What was noted of the world then.
    """

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self._path, self._db = path, db
        with self._told():
            self._look()

    def _look(self) -> None:
        db = self._db
        (count,) = db.execute("SELECT count(*) FROM rounds").fetchone()
        self.rounds = int(count)
        self._resume = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'resume'").fetchone() is not None
        resting = "SELECT round, rest, answers FROM resume WHERE rest IS NOT NULL"
        rested = db.execute(resting).fetchone() if self._resume else None
        self.rested: int = rested[0] if rested else 0
        self.rest: str | None = rested[1] if rested else None
        self.told: bytes = rested[2] if rested else b""  # by clients, by then
        since = "WHERE round > ? ORDER BY rowid"
        read = ("rounds", "transmissions", "decisions")
        self._cursors = {table: db.execute(f"SELECT * FROM {table} {since}", (self.rested,)) for table in read}
        self._names = [column.name for column in TABLES["rounds"]]
        self._round: tuple[Any, ...] = ()

    def next(self) -> Row:
        """The next round, with the rows of its groups."""
        with self._told():
            self._round = self._cursors["rounds"].fetchone()
            groups = self._db.execute("SELECT * FROM groups WHERE round = ? ORDER BY rowid", self._round[:1]).fetchall()
        names = [column.name for column in TABLES["groups"]]
        rows = [dict(zip(names[1:], row[1:], strict=True)) for row in groups]
        return {**dict(zip(self._names, self._round, strict=True)), "groups": rows}

    def holds(self, round_row: Row, transmissions: Sequence[AnyRow], decisions: Sequence[AnyRow]) -> bool:
        """Whether what belongs to the round that `next` gave is just this."""
        if _stored("rounds", [round_row]) != [self._round]:
            return False
        asked = (("transmissions", transmissions), ("decisions", decisions))
        with self._told():
            return all(
                _stored(table, rows) == self._cursors[table].fetchmany(len(rows)) for table, rows in asked if rows
            )

    def answers(self) -> list[bytes]:
        """What was asked of the learning side in each round since then; of none, if there was nothing to learn."""
        asked = "SELECT answers FROM resume WHERE round > ? ORDER BY round"
        with self._told():
            return [answers for (answers,) in self._db.execute(asked, (self.rested,))] if self._resume else []

    def last(self) -> Row:
        """The last round."""
        with self._told():
            row = self._db.execute("SELECT * FROM rounds ORDER BY round DESC LIMIT 1").fetchone()
        return dict(zip(self._names, row, strict=True))

    def state(self) -> str | None:
        """What it takes to go on after the last round."""
        if not self._resume:
            return None
        with self._told():
            row = self._db.execute("SELECT state FROM resume WHERE round = ?", (self.rounds,)).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise _damaged(self._path, error) from error


def _stored(table: str, rows: Sequence[AnyRow]) -> list[tuple[Any, ...]]:
    """Rows as they come back from a trace, which has no place for a NaN."""
    names = [column.name for column in TABLES[table]]
    cells = (row if isinstance(row, tuple) else tuple([row[n] for n in names]) for row in rows)
    return [tuple([None if cell != cell else cell for cell in row]) for row in cells]


def named(table: str, row: AnyRow) -> dict[str, Any]:
    """A row of `table` by the names of its columns."""
    if isinstance(row, tuple):
        return {column.name: cell for column, cell in zip(TABLES[table], row, strict=True)}
    return dict(row)


def read_rows(path: Path, table: str) -> list[dict[str, Any]]:
    """All rows of one table, in the order in which they were written."""
    if table not in TABLES:
        raise ValueError(f"no table {table!r} in a trace; there are: {', '.join(TABLES)}")
    db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY rowid")]
    finally:
        db.close()


def dump(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """The ordered content of all tables: two traces are identical when their dumps are equal."""
    return {table: [tuple(row.values()) for row in read_rows(path, table)] for table in TABLES}


def write_csv(trace: Path, folder: Path) -> None:
    """Write ``rounds.csv`` and, in a run with groups of clients, ``groups.csv``: these tables. Raises RunFailed."""
    for table in ("rounds", "groups"):
        names: Sequence[str] = [column.name for column in TABLES[table]]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, fieldnames=names)
        writer.writeheader()
        try:
            rows = read_rows(trace, table)
        except sqlite3.Error as error:
            raise RunFailed(f"{trace} cannot be read: {error}") from error
        writer.writerows(rows)
        if rows or table == "rounds":
            wholefile.write(folder / f"{table}.csv", text.getvalue().encode())
