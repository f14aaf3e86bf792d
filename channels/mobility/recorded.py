"""Clients that move as a file says: recorded or drawn paths, straight from each place to the next.

Knows no radio. The file is read when paths are asked for, and again only where it has changed.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Floats, Ints, times_array
from channels.files import File, FileError, mark, read_table
from channels.mobility.base import Placed, Trajectory, chosen_rows, last_before
from channels.mobility.placement import Placement, checked_clients
from channels.options import OptionError, Options
from channels.streams import Stream

_FURTHEST_M = 1e8
_LATEST_S = 1e9


@dataclass(frozen=True)
class Paths:
    """What a file of waypoints holds: times [R] in s, places [R, 2] in m and ways up to them [R] in m, row by row.

    The rows of client k are those from ``first[k]`` up to, not with, ``first[k + 1]``, in order of time.
    """

    times_s: Floats
    places_m: Floats
    ways_m: Floats
    first: Ints

    @property
    def clients(self) -> int:
        """N: they are numbered from 0."""
        return len(self.first) - 1


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
    Any path whose turns are further apart than its rows. A scenario has to state a placement all the same; clients are
    where the file says. The Doppler shift of a client takes its mean speed over the time in which it moves. The file
    must have a path for every client of the scenario; those beyond are left out.

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
        return _read(self.file, mark(self.file))

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
        self._paths, self._begin, self._end = paths, paths.first[clients], paths.first[clients + 1]
        # from the last row of a client to the first of the next, ways do not grow
        step = np.where(np.diff(paths.ways_m) > 0.0, np.diff(paths.times_s), 0.0)
        moving_s = np.add.reduceat(np.append(step, 0.0), paths.first[:-1])[clients]
        self.speed_mps = paths.ways_m[self._end - 1] / np.where(moving_s > 0.0, moving_s, 1.0)

    def _between(self, table: Floats, times_s: ArrayLike, rows: ArrayLike | None) -> Floats:
        """A column of the table [R, ...] at some times, linear between the rows of a client, [K, T, ...]."""
        chosen, times = chosen_rows(rows, self._begin.size), times_array(times_s)
        time = np.broadcast_to(times, (chosen.size, times.size))
        begin, end = self._begin[chosen, None], self._end[chosen, None]
        here = last_before(self._paths.times_s, time, begin, end)
        there = np.minimum(here + 1, end - 1)
        since, until = self._paths.times_s[here], self._paths.times_s[there]
        share = np.zeros(time.shape)
        np.divide(time - since, until - since, out=share, where=(time > since) & (until > since))
        share = share.reshape(*share.shape, *[1] * (table.ndim - 1))
        return np.asarray((1.0 - share) * table[here] + share * table[there])

    def position_m(self, times_s: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        return self._between(self._paths.places_m, times_s, rows)

    def travelled_m(self, times_s: ArrayLike, rows: ArrayLike | None = None) -> Floats:
        return self._between(self._paths.ways_m, times_s, rows)


@lru_cache(maxsize=4)
def _read(name: str, state: tuple[int, ...]) -> Paths:
    """The file; `state` tells it from what it was before a change, or in another folder."""
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
    begin = np.concatenate([[0], np.cumsum(count)])
    step = np.diff(place, axis=0)
    length = np.concatenate([[0.0], np.hypot(step[:, 0], step[:, 1])])
    length[begin[:-1]] = 0.0
    ways = np.empty(length.size)
    for low, high in itertools.pairwise(begin):  # each sum by itself: no rounding of what others went
        np.add.accumulate(length[low:high], out=ways[low:high])
    return Paths(time, place, ways, begin)


def _refuse(name: str, lines: list[int], wrong: np.ndarray, rule: str, got: Floats) -> None:
    if wrong.any():
        first = int(np.argmax(wrong))
        raise FileError(f"{name}:{lines[first]}: {rule}; got {got[first]:g}")
