"""When clients can be reached as a file says: from when until when each of them is there.

Knows no other availability and draws nothing. The file is read when it is asked, and again only where it has changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Bools, Floats, Ints, clients_array, non_negative
from channels.files import File, FileError, mark, read_table
from channels.mobility.base import last_before
from channels.options import Options
from channels.streams import Stream
from channels.units import Quantity

COLUMNS = ("client", "from_s", "until_s")
_LATEST_S = 1e9


@dataclass(frozen=True)
class Table:
    """What a file of visits holds: the times [R] in s at which clients come and go by turns, ascending for each.

    Those of client k are from ``first[k]`` up to, not with, ``first[k + 1]``. Before the first of them the client is
    there where ``begins[k]``. `share` is the share of the time for which the clients of the file are there, up to the
    period or else to the last time; `highest_line` is the first line of the highest client.
    """

    times_s: Floats
    first: Ints
    begins: Bools
    share: float
    highest_line: int

    @property
    def clients(self) -> int:
        """One more than the highest client of the file."""
        return self.begins.size


@dataclass(frozen=True, kw_only=True)
class Visits(Options):
    """Clients are there as a CSV file says, once or again and again.

    The file has the columns ``client,from_s,until_s``, a line for each visit of a client, in any order. Clients are
    numbered from 0; one without a line is never there. Lines that begin with # are skipped.

    Formula
    -------
    A client is there at t where one of its lines has from_s <= t < until_s; with `repeat`, t is the time since the
    period began.

    Validity
    --------
    Recorded comings and goings, such as charging logs of phones. Visits of one client must not overlap; those that
    touch are one. Without `repeat` nobody is there after the last line.

    Source
    ------
    own: a lookup.

    Options
    -------
    file : The CSV file, beside the scenario or in the working directory.
    repeat_s : Period after which the file begins anew, at least its last time; left out, it is used once.
    """

    kind: Literal["trace"] = "trace"
    file: Annotated[str, File("visits of clients", example="visits.csv")]
    repeat_s: Annotated[float, Quantity("s", ge=1e-6, le=1e9, example="24 h")] | None = None

    @property
    def mean_share(self) -> float:
        """Of the clients that the file names, up to the period or else to its last time; FileError as `load`."""
        return self.load().share

    def load(self) -> Table:
        """The visits of the file; FileError where it cannot be read or a line is wrong."""
        return _read(self.file, mark(self.file), self.repeat_s)

    def available(self, stream: Stream, clients: ArrayLike, time_s: ArrayLike) -> Bools:
        """Whether each client has a line for the time."""
        table, rows, times = self.load(), clients_array(clients), non_negative("a time in s", time_s)
        there = (rows < table.clients) & table.begins[np.minimum(rows, table.clients - 1)]
        known, number, times = _known(table, rows, times)
        there[known], _ = self._at(table, number, times)
        return there

    def change_s(self, stream: Stream, clients: ArrayLike, time_s: ArrayLike) -> Floats:
        """The next time in the lines of each client; inf if there is none."""
        table, rows, times = self.load(), clients_array(clients), non_negative("a time in s", time_s)
        change = np.full(rows.size, np.inf)
        known, number, times = _known(table, rows, times)
        _, change[known] = self._at(table, number, times)
        return change

    def _at(self, table: Table, clients: Ints, times_s: Floats) -> tuple[Bools, Floats]:
        """Whether clients [K] that have times in the table are there, and when that next changes."""
        begin, end = table.first[clients], table.first[clients + 1]
        period_s, turn = self.repeat_s or 0.0, np.zeros(clients.size)
        if period_s:
            turn = np.floor(times_s / period_s)
            turn -= times_s < turn * period_s  # what rounding has moved across an edge
            turn += times_s >= (turn + 1.0) * period_s

        def edge_s(index: Ints) -> Floats:
            return np.asarray(table.times_s[np.minimum(index, end - 1)] + turn * period_s)

        after = last_before(table.times_s, times_s - turn * period_s, begin, end).copy()
        after -= (after > begin) & (edge_s(after) > times_s)  # rounding again
        after += edge_s(after) <= times_s
        after += (after < end) & (edge_s(after) <= times_s)
        there = table.begins[clients] ^ ((after - begin) % 2 == 1)
        again = table.times_s[begin] + (turn + 1.0) * period_s if period_s else np.full(clients.size, np.inf)
        return there, np.where(after < end, edge_s(after), again)


def _known(table: Table, clients: Ints, times_s: Floats) -> tuple[Ints, Ints, Floats]:
    """Which of the clients [K] have times in the table, their numbers, and the times that are asked for."""
    if times_s.ndim > 1 or (times_s.ndim == 1 and times_s.size not in (1, clients.size)):
        raise ValueError(f"there must be one time, or one for each of {clients.size} clients; got {times_s.shape}")
    inside = np.minimum(clients, table.clients - 1)
    known = np.flatnonzero((clients < table.clients) & (table.first[inside] < table.first[inside + 1]))
    return known, clients[known], np.broadcast_to(times_s, clients.shape)[known]


@lru_cache(maxsize=4)
def _read(name: str, state: tuple[int, ...], repeat_s: float | None) -> Table:
    """The file; `state` tells it from what it was before a change, or in another folder."""
    columns, lines = read_table(name, COLUMNS)
    client, since, until = (columns[column] for column in COLUMNS)
    wrong = (client < 0.0) | (client != np.floor(client)) | (client >= 10**6)
    _refuse(name, lines, wrong, "client must be a whole number from 0 to 999999", client)
    _refuse(name, lines, (since < 0.0) | (since > _LATEST_S), f"from_s must be from 0 to {_LATEST_S:g}", since)
    if (short := until <= since).any():
        row = int(np.argmax(short))
        raise FileError(f"{name}:{lines[row]}: until_s must be above from_s, {since[row]:g}; got {until[row]:g}")
    latest_s, whose = (_LATEST_S, "") if repeat_s is None else (repeat_s, ", the period of repeat")
    _refuse(name, lines, until > latest_s, f"until_s must be at most {latest_s:g}{whose}", until)
    number = client.astype(np.int64)
    order = np.lexsort((since, number))
    line, number, since, until = np.array(lines)[order], number[order], since[order], until[order]
    same = np.diff(number) == 0
    if (early := same & (since[1:] < until[:-1])).any():
        row = int(np.argmax(early)) + 1
        raise FileError(
            f"{name}:{max(line[row], line[row - 1])}: overlaps with line {min(line[row], line[row - 1])}: client "
            f"{number[row]} is there from {since[row - 1]:g} until {until[row - 1]:g}, and from {since[row]:g} on"
        )
    share = float((until - since).sum()) / (np.unique(number).size * (repeat_s or float(until.max())))
    times, owner = np.stack([since, until], axis=1).ravel(), np.repeat(number, 2)
    begins = np.zeros(number[-1] + 1, dtype=np.bool_)
    if repeat_s is not None:  # a visit up to the end of the period goes on, or ends, where the next begins
        wraps = times == repeat_s
        begins[owner[wraps]] = True
        times = np.where(wraps, 0.0, times)
        order = np.lexsort((times, owner))
        times, owner = times[order], owner[order]
    touch = np.flatnonzero((np.diff(owner) == 0) & (np.diff(times) == 0.0))  # two changes at once are none
    keep = np.ones(times.size, dtype=np.bool_)
    keep[touch] = keep[touch + 1] = False
    times, owner = times[keep], owner[keep]
    first = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=begins.size))])
    return Table(times, first, begins, share, int(line[number == number[-1]].min()))


def _refuse(name: str, lines: list[int], wrong: np.ndarray, rule: str, got: Floats) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise FileError(f"{name}:{lines[row]}: {rule}; got {got[row]:g}")
