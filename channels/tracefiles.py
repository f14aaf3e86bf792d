"""Files of recorded links: mahimahi traces and CSV, read with the line of whatever is wrong, and written.

Knows no client and no rate model. What a trace carries stands in `channels.replay`.

A mahimahi trace holds one whole number of milliseconds a line and nothing else (see `channels.replay.Packets`).

A CSV has a header line, a column ``time_s`` that rises, and at least one of ``rate_bps`` and ``snr_db``, which serve
both directions, and ``up_bps`` and ``down_bps``, which go before them in theirs. A value holds until the next row, and
that of the last row as long as that of the row before; then the trace begins again. Times count from the first row. A
single row holds for ever. Lines that are empty or begin with ``#`` do not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from channels.arrays import Bools, Floats
from channels.files import FileError, mark, read_lines, read_table
from channels.replay import LATEST_MS, Packets, Rates
from channels.units import shown

RATES = ("rate_bps", "up_bps", "down_bps")
COLUMNS = (*RATES, "snr_db")
_HIGHEST_RATE_BPS, _HIGHEST_SNR_DB, _LATEST_S = 1e15, 200.0, 1e12
_OF_DIRECTION: Mapping[str, tuple[str, ...]] = {
    "up": ("up_bps", "rate_bps", "snr_db"),
    "down": ("down_bps", "rate_bps", "snr_db"),
}


@dataclass(frozen=True, eq=False)
class Table:
    """What a CSV holds: times [n] in s, and columns [n] by name, in the order of the file."""

    times_s: Floats
    columns: Mapping[str, Floats]

    def column(self, direction: Literal["up", "down"]) -> str:
        """The name of the column that serves a direction; ValueError where there is none."""
        for name in _OF_DIRECTION[direction]:
            if name in self.columns:
                return name
        raise ValueError(
            f"has no column for the {direction}link, which is one of {', '.join(_OF_DIRECTION[direction])}"
        )

    def rates(self, column: str) -> Rates:
        """The link that a column of rates describes."""
        return Rates(self.times_s, self.columns[column])


Trace = Packets | Table


def read_trace(name: str | Path) -> Trace:
    """A trace of either format: a CSV if its first line names columns, else mahimahi. Read once while it is unchanged.

    Raises
    ------
    FileError
        A file that is neither; and see `read_mahimahi` and `read_csv`.
    """
    return _read(str(name), mark(name))


@lru_cache(maxsize=64)
def _read(name: str, state: tuple[int, ...]) -> Trace:
    number, first = next(
        ((n, line.strip()) for n, line in enumerate(read_lines(name), 1) if line.strip() and not line.startswith("#")),
        (0, ""),
    )
    if "," in first or first in ("time_s", *COLUMNS):
        return read_csv(name)
    if any(character.isalpha() or character == ";" for character in first):
        what = "is neither a mahimahi trace (whole milliseconds) nor a CSV whose header names columns between commas"
        raise FileError(f"{name}:{number}: {what}; got {shown(first)}")
    return read_mahimahi(name)


def read_mahimahi(name: str | Path) -> Packets:
    """A mahimahi trace.

    Raises
    ------
    FileError
        An empty file or line, a line that is no whole number of at least 0, one below the line before, only zeros (a
        trace of no duration); with the number of the line. mahimahi itself refuses the same.
    """
    stamps: list[int] = []
    for line, text in enumerate(read_lines(name), 1):
        word = text.strip()
        if not (word.isascii() and word.isdecimal() and len(word) <= len(str(LATEST_MS))):
            raise FileError(
                f"{name}:{line}: must be a whole number of milliseconds from 0 to {LATEST_MS}; got {shown(word)}"
            )
        stamp = int(word)
        if stamps and stamp < stamps[-1]:
            raise FileError(f"{name}:{line}: stamps must not fall; got {stamp} after {stamps[-1]}")
        stamps.append(stamp)
    if not stamps:
        raise FileError(f"{name}: is empty; each line of a mahimahi trace is a whole number of milliseconds")
    if stamps[-1] == 0:
        raise FileError(f"{name}: holds only zeros; the last stamp is the duration, which must be above 0 ms")
    if stamps[-1] > LATEST_MS:
        raise FileError(f"{name}:{len(stamps)}: must be at most {LATEST_MS} ms; got {stamps[-1]}")
    return Packets(np.array(stamps, dtype=np.int64))


def mahimahi_text(trace: Packets) -> str:
    """The trace as `read_mahimahi` reads it back, one number a line, as mahimahi's own traces are written."""
    return "".join(f"{stamp}\n" for stamp in trace.stamps_ms.tolist())


def read_csv(name: str | Path) -> Table:
    """A CSV of rates in bit/s or SNR in dB against time (see the module).

    Raises
    ------
    FileError
        What `channels.files.read_table` refuses, a time below 0, above 1e12 s or not above the one before, a rate
        below 0 or above 1e15 bit/s, an SNR beyond +-200 dB, with the number of the line; a column of rates that are
        all 0, a file without rate and SNR.
    """
    columns, lines = read_table(name, ("time_s",), COLUMNS)
    times = columns.pop("time_s")
    _hold(name, lines, (times >= 0.0) & (times <= _LATEST_S), times, f"time_s must be from 0 to {_LATEST_S:g}")
    falls = np.flatnonzero(np.diff(times) <= 0.0)
    if falls.size:
        row = int(falls[0]) + 1
        raise FileError(f"{name}:{lines[row]}: time_s must rise; got {times[row]:.17g} after {times[row - 1]:.17g}")
    if not columns:
        raise FileError(f"{name}: has times alone; it needs at least one of {', '.join(COLUMNS)}")
    for column, values in columns.items():
        if column == "snr_db":
            _hold(name, lines, np.abs(values) <= _HIGHEST_SNR_DB, values, "snr_db must be from -200 to 200")
            continue
        fits = (values >= 0.0) & (values <= _HIGHEST_RATE_BPS)
        _hold(name, lines, fits, values, f"{column} must be from 0 to {_HIGHEST_RATE_BPS:g}")
        if not values.any():
            raise FileError(f"{name}: {column} is 0 in every row")
    return Table(times, columns)


def csv_text(table: Table) -> str:
    """The table as `read_csv` reads it back to the last bit."""
    rows = zip(table.times_s.tolist(), *(values.tolist() for values in table.columns.values()), strict=True)
    lines = [",".join(["time_s", *table.columns]), *(",".join(map(repr, row)) for row in rows)]
    return "\n".join([*lines, ""])


def _hold(name: str | Path, lines: Sequence[int], fits: Bools, values: Floats, rule: str) -> None:
    if not fits.all():
        row = int(np.argmin(fits))
        raise FileError(f"{name}:{lines[row]}: {rule}; got {float(values[row])!r}")
