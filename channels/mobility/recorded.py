"""Clients that move as a file says: recorded or drawn paths, straight from each place to the next.

Knows no radio. The file is read when paths are asked for, and again only where it has changed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, Ints, times_array
from channels.files import File, FileError, read_table
from channels.mobility.base import Placed, Trajectory, chosen_rows, last_at_most
from channels.mobility.placement import Placement, checked_clients
from channels.options import OptionError, Options
from channels.streams import Stream

_FURTHEST_M = 1e8
_LATEST_S = 1e9


@dataclass(frozen=True)
class Paths:
    """What a file of waypoints holds: times [N, M] in s, places [N, M, 2] in m and ways up to them [N, M] in m.

    The M rows of a client that has fewer are filled with its last place, at times of infinity.
    """

    times_s: Floats
    places_m: Floats
    ways_m: Floats

    @property
    def clients(self) -> int:
        """N: they are numbered from 0."""
        return len(self.times_s)


@dataclass(frozen=True, kw_only=True)
class Waypoints(Options):
    """Clients move as a CSV file says: straight and evenly from each place to the next.

    The file has the columns ``time_s,client,x_m,y_m``, a line for each place of a client, the times of a client
    ascending. Clients are numbered from 0, the base station is at x = y = 0. Lines that begin with # are skipped.

    Formula
    -------
    Between the rows (t, p) and (t', p') of a client::

        position(s) = p + (p' - p) (s - t) / (t' - t)

    Before its first and after its last row a client stands.

    Validity
    --------
    Any path whose turns are further apart than its rows. The placement has no effect. The Doppler shift of a client
    takes its mean speed over the time in which it moves. The file must have a path for every client of the scenario;
    those beyond are left out.

    Source
    ------
    own: linear interpolation.

    Options
    -------
    file : The CSV file, beside the scenario or in the working directory.
    """

    kind: Literal["waypoints"] = "waypoints"
    brings_places: ClassVar[bool] = True
    file: Annotated[str, File("times and places of clients", example="paths.csv")]

    @property
    def is_still(self) -> bool:
        """Never: where nobody moves in the file, ``static`` would do."""
        return False

    def load(self) -> Paths:
        """The paths of the file; FileError where it cannot be read or a line is wrong."""
        try:
            found = os.stat(self.file)
        except (OSError, ValueError):
            return _read(self.file)  # which says why
        return _read(self.file, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)

    def most_clients(self) -> int:
        """How many clients the file has paths for; FileError as `load`."""
        return self.load().clients

    def trajectory(self, stream: Stream, placement: Placement, clients: ArrayLike, count: int) -> Trajectory:
        """The paths; OptionError for a client that the file has none for."""
        rows, paths = checked_clients(clients, count), self.load()
        if rows.size and rows.max() >= paths.clients:
            message = f"{self.file} has paths for {paths.clients} clients, numbered from 0; got client {rows.max()}"
            raise OptionError("Waypoints", "file", message)
        return _Recorded(paths, rows)


class _Recorded(Placed):
    """Paths from a table, some of its clients."""

    def __init__(self, paths: Paths, clients: Ints) -> None:
        self._times, self._places, self._ways = (
            part[clients] for part in (paths.times_s, paths.places_m, paths.ways_m)
        )
        step = np.diff(np.where(np.isfinite(self._times), self._times, 0.0), axis=1)
        moving_s = np.where(np.diff(self._ways, axis=1) > 0.0, step, 0.0).sum(axis=1)
        self.speed_mps = self._ways[:, -1] / np.where(moving_s > 0.0, moving_s, 1.0)

    def _between(self, table: Floats, times_s: ArrayLike, rows: ArrayLike | None) -> Floats:
        """A column of the table [K, M, ...] at some times, linear between its rows, [K, T, ...]."""
        chosen, times = chosen_rows(rows, len(self._times)), times_array(times_s)
        row = np.broadcast_to(chosen[:, None], (chosen.size, times.size))
        time = np.broadcast_to(times, row.shape)
        here = last_at_most(self._times, row, time)
        there = np.minimum(here + 1, self._times.shape[1] - 1)
        begin, end = self._times[row, here], self._times[row, there]
        moving = (time > begin) & np.isfinite(end) & (end > begin)
        share = np.zeros(row.shape)
        np.divide(time - begin, end - begin, out=share, where=moving)
        share = share.reshape(*share.shape, *[1] * (table.ndim - 2))
        return np.asarray((1.0 - share) * table[row, here] + share * table[row, there])

    def position_m(self, times_s: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        return self._between(self._places, times_s, rows)

    def travelled_m(self, times_s: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        return self._between(self._ways, times_s, rows)


@lru_cache(maxsize=4)
def _read(name: str, *mark: int) -> Paths:
    """The file; `mark` tells it from what it was before a change, or in another folder."""
    columns, lines = read_table(name, ("time_s", "client", "x_m", "y_m"))
    time, client = columns["time_s"], columns["client"]
    place = np.stack([columns["x_m"], columns["y_m"]], axis=-1)
    _refuse(name, lines, (time < 0.0) | (time > _LATEST_S), f"time_s must be from 0 to {_LATEST_S:g}", time)
    wrong = (client < 0.0) | (client != np.floor(client)) | (client >= 10**6)
    _refuse(name, lines, wrong, "client must be a whole number from 0 to 999999", client)
    for axis in (0, 1):
        far = np.abs(place[:, axis]) > _FURTHEST_M
        _refuse(name, lines, far, f"{'xy'[axis]}_m must be from -{_FURTHEST_M:g} to {_FURTHEST_M:g}", place[:, axis])
    number = client.astype(np.int64)
    order = np.argsort(number, kind="stable")
    number, time, place = number[order], time[order], place[order]
    late = np.r_[False, (np.diff(number) == 0) & (np.diff(time) <= 0.0)]
    if late.any():
        first = int(np.flatnonzero(late)[np.argmin(order[late])])
        raise FileError(
            f"{name}:{lines[order[first]]}: time_s must be after that of the row before of client {number[first]} "
            f"({time[first - 1]:g}, line {lines[order[first - 1]]}); got {time[first]:g}"
        )
    count = np.bincount(number)
    if not count.all():
        missing = int(np.argmin(count))
        raise FileError(f"{name}: client {missing} has no row; clients are numbered from 0, here up to {number[-1]}")
    column = np.arange(number.size) - np.repeat(np.cumsum(count) - count, count)
    last = np.minimum(np.arange(count.max()), count[:, None] - 1) + (np.cumsum(count) - count)[:, None]
    times, places = np.full(last.shape, np.inf), place[last]
    times[number, column] = time
    step = np.diff(places, axis=1)
    ways = np.add.accumulate(np.hypot(step[..., 0], step[..., 1]), axis=1)
    return Paths(times, places, np.concatenate([np.zeros((len(times), 1)), ways], axis=1))


def _refuse(name: str, lines: list[int], wrong: np.ndarray, rule: str, got: Floats) -> None:
    if wrong.any():
        first = int(np.argmax(wrong))
        raise FileError(f"{name}:{lines[first]}: {rule}; got {got[first]:g}")
