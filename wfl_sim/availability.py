"""When a client can be reached: always, by turns, at its time of the day, or as a file says.

Knows no radio and no protocol: a state is a function of time that can be asked in any order, of any clients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Bools, Floats, Ints, clients_array, non_negative
from channels.options import OptionError, Options
from channels.streams import Stream
from channels.units import Delay, Quantity, render
from wfl_sim.visits import Visits

_MOST_BLOCKS = 2.0**53
_EVENTS_A_BLOCK = 3.0  # in the mean: few blocks are empty, and few instants of a block are drawn in vain
_DRAWN_AT_ONCE = 6  # instants of a block; one block in 30 has more
_DRAWS_A_BLOCK = 64  # of a block's key: as many instants in one block come once in 1e62


class Availability(Protocol):
    """What a model of availability must do.

    1. It is a frozen dataclass derived from `Options`; its first field is ``kind``.
    2. ``available(stream, clients, time_s)`` says for each client [K] whether it is there at a time, or each at a time
       of its own [K].
    3. ``change_s(stream, clients, time_s)`` is for each the first time after `time_s` at which that differs; inf where
       it never does.
    4. Both are functions of (stream, client, time): the same answer, whatever else and whoever else was asked.
    5. ``mean_share`` is the share of its time for which a client is there, in (0, 1].
    6. A time that is NaN, infinite or negative raises ValueError. 7. It stands in `AVAILABILITY` under its kind.
    """

    @property
    def kind(self) -> str:
        """The name that a scenario uses."""
        ...

    @property
    def mean_share(self) -> float:
        """Share of its time for which a client is there."""
        ...

    def available(self, stream: Stream, clients: ArrayLike, time_s: ArrayLike) -> Bools:
        """Whether each client is there."""
        ...

    def change_s(self, stream: Stream, clients: ArrayLike, time_s: ArrayLike) -> Floats:
        """When that next changes."""
        ...


@dataclass(frozen=True)
class Always(Options):
    """Every client is there all the time.

    Formula
    -------
    P(there at t) = 1.

    Validity
    --------
    Devices with mains power that do nothing else. Phones that train only while they charge are there for some hours a
    day.

    Source
    ------
    own: the reference case.
    """

    kind: Literal["always"] = "always"

    @property
    def mean_share(self) -> float:
        """1."""
        return 1.0

    def available(self, stream: Stream, clients: ArrayLike, time_s: ArrayLike) -> Bools:
        """True for each client."""
        rows, _ = asked(clients, time_s)
        return np.ones(rows.size, dtype=np.bool_)

    def change_s(self, stream: Stream, clients: ArrayLike, time_s: ArrayLike) -> Floats:
        """Never."""
        rows, _ = asked(clients, time_s)
        return np.full(rows.size, np.inf)


@dataclass(frozen=True, kw_only=True)
class OnOff(Options):
    """Clients come and go by themselves, with stays of random length.

    Formula
    -------
    A client is there for a time with an exponential law of mean `on`, then away for one of mean `off`, and so on; all
    stays are independent. At time 0 it has gone on so for ever::

        P(there at t) = on / (on + off) = p
        P(there at t + s | there at t) = p + (1 - p) exp(-s (1 / on + 1 / off))

    Validity
    --------
    Clients whose comings and goings are not tied to each other or to the time of the day, and whose stays have no
    memory. Stays should be long beside the 2^-52 part of the time that a clock tells apart.

    Source
    ------
    The alternating renewal process: Cox 1962, Renewal Theory, chapter 7; with exponential stays it is the on-off source
    of Anick, Mitra and Sondhi 1982, doi:10.1002/j.1538-7305.1982.tb03089.x. The access at any time is own: two Poisson
    processes, one of the calls to come and one of the calls to go, of which the last one counts.

    Options
    -------
    on_s : Mean time for which a client is there. Longer: more clients at a time, and fewer that leave in a round.
    off_s : Mean time for which it is away. Longer: fewer clients at a time.
    """

    kind: Literal["on_off"] = "on_off"
    on_s: Annotated[float, Quantity("s", ge=1e-6, le=1e9, example="30 min")]
    off_s: Annotated[float, Quantity("s", ge=1e-6, le=1e9, example="2 h")]

    @property
    def mean_share(self) -> float:
        """on / (on + off)."""
        return self.on_s / (self.on_s + self.off_s)

    def available(self, stream: Stream, clients: ArrayLike, time_s: ArrayLike) -> Bools:
        """Whether the last call was one to come."""
        rows, times = asked(clients, time_s)
        return self._there(stream, rows, times)

    def change_s(self, stream: Stream, clients: ArrayLike, time_s: ArrayLike) -> Floats:
        """The next call to go for those who are there, and to come for the others."""
        rows, times = asked(clients, time_s)
        there = self._there(stream, rows, times)
        change = np.empty(rows.size)
        for state, name, mean_s in ((True, "go", self.on_s), (False, "come", self.off_s)):
            chosen = there == state
            change[chosen] = _instants(stream.child(name), rows[chosen], times[chosen], mean_s)[1]
        return change

    def _there(self, stream: Stream, clients: Ints, times_s: Floats) -> Bools:
        came_s = _instants(stream.child("come"), clients, times_s, self.off_s, before=True)[0]
        went_s = _instants(stream.child("go"), clients, times_s, self.on_s, before=True)[0]
        return np.asarray(came_s > went_s)


@dataclass(frozen=True, kw_only=True)
class Diurnal(Options):
    """Clients are there at their time of the day, as phones that train while they charge at night.

    Formula
    -------
    Client k is there in a window of every day n, unless it skips that day. With U uniform in (0, 1), drawn once for
    each client, V for each client and day::

        begin(k, n) = centre - share period / 2 + spread (U_k - 1/2) + n period
        there in [begin, begin + share period) unless V_kn < skip
        mean share = share (1 - skip)

    How many are there at a time is the overlap of a window and the spread: where `spread` is the longer one of the two,
    it is (1 - skip) share period / spread at most, where it is the shorter, all but those who skip are there at once.

    Validity
    --------
    One window a day, equally long for all and at the same time every day; time zones and habits seldom spread evenly.
    Bonawitz et al. report four times as many devices at the peak as at the lowest point of a day, where most are of one
    country. Here nobody is there at the lowest point, unless window and `spread` together are longer than a day.

    Source
    ------
    own; for the pattern see Bonawitz et al. 2019, Towards federated learning at scale, arXiv:1902.01046, section 9.

    Options
    -------
    period_s : Length of a day.
    share : Share of a day for which a client is there. Larger: more clients at a time.
    spread_s : How far apart the middles of the clients' windows are, at most a day. 0: all come and go together; a
        whole day: nearly as many are there at any time.
    centre_s : When the middle of the mean window is, from the beginning of the run. 0: the run begins when most are
        there; half a day: when fewest are.
    skip : Probability that a client stays away for a whole day. Larger: fewer clients at a time.
    """

    kind: Literal["diurnal"] = "diurnal"
    period_s: Annotated[float, Quantity("s", ge=1e-3, le=1e9, example="24 h")] = 86_400.0
    share: Annotated[float, Quantity("1", ge=1e-4, le=0.999)] = 0.35
    spread_s: Delay = 21_600.0
    centre_s: Delay = 0.0
    skip: Annotated[float, Quantity("1", ge=0, le=0.99)] = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.spread_s > self.period_s:
            message = f"must be at most the period, {render(self.period_s, 's')}; got {render(self.spread_s, 's')}"
            raise OptionError("Diurnal", "spread_s", message)

    @property
    def mean_share(self) -> float:
        """share (1 - skip)."""
        return self.share * (1.0 - self.skip)

    def available(self, stream: Stream, clients: ArrayLike, time_s: ArrayLike) -> Bools:
        """Whether each client is in its window of a day that it does not skip."""
        rows, times = asked(clients, time_s)
        first, day = self._day(stream, rows, times)
        return np.asarray((times < self._end_s(first, day)) & ~self._skipped(stream, rows, day))

    def change_s(self, stream: Stream, clients: ArrayLike, time_s: ArrayLike) -> Floats:
        """The end of the window that a client is in, or the beginning of its next."""
        rows, times = asked(clients, time_s)
        first, day = self._day(stream, rows, times)
        change = self._end_s(first, day)
        left = np.flatnonzero((times >= change) | self._skipped(stream, rows, day))
        while left.size:
            day[left] += 1
            change[left] = self._begin_s(first[left], day[left])
            left = left[self._skipped(stream, rows[left], day[left])]
        return change

    def _day(self, stream: Stream, clients: Ints, times_s: Floats) -> tuple[Floats, Ints]:
        """When the windows of day 0 begin, and the day whose window was the last to begin."""
        middle_s = self.centre_s + self.spread_s * (stream.child("zone").uniform(clients, 0) - 0.5)
        first = middle_s - 0.5 * self.share * self.period_s
        day = np.floor((times_s - first) / self.period_s)
        day -= times_s < self._begin_s(first, day)  # what rounding has moved across an edge
        day += times_s >= self._begin_s(first, day + 1.0)
        return first, day.astype(np.int64)

    def _begin_s(self, first_s: Floats, day: ArrayLike) -> Floats:
        return np.asarray(first_s + np.asarray(day) * self.period_s)

    def _end_s(self, first_s: Floats, day: ArrayLike) -> Floats:
        return np.asarray(self._begin_s(first_s, day) + self.share * self.period_s)

    def _skipped(self, stream: Stream, clients: Ints, day: Ints) -> Bools:
        return np.asarray(stream.child("skip").uniform(clients, day) < self.skip)


def asked(clients: ArrayLike, time_s: ArrayLike) -> tuple[Ints, Floats]:
    """Client numbers [K], and a time for each [K]; ValueError for other shapes and for times below 0."""
    rows, times = clients_array(clients), non_negative("a time in s", time_s)
    if times.ndim > 1 or (times.ndim == 1 and times.size not in (1, rows.size)):
        raise ValueError(f"there must be one time, or one for each of {rows.size} clients; got shape {times.shape}")
    return rows, np.broadcast_to(times, rows.shape)


def _instants(
    stream: Stream, clients: Ints, times_s: Floats, mean_s: float, *, before: bool = False
) -> tuple[Floats, Floats]:
    """Instants of a Poisson process of each client [K], on average `mean_s` apart: the last one up to a time, and the
    next one after it. What is wanted may lie in another block than the time: it is sought backwards where `before`,
    else forwards; the other answer need not be the right one.

    Time is cut into blocks. The instants of a block are drawn from its own key, as sums of exponential gaps; as those
    have no memory, blocks need not know of each other.
    """
    length_s = _EVENTS_A_BLOCK * mean_s
    block = np.floor(times_s / length_s)
    if block.size and block.max() >= _MOST_BLOCKS:
        raise ValueError(f"a time of {times_s.max()} s is too late for stays of {mean_s} s")
    block = block.astype(np.int64)
    last, following = _in_block(stream, clients, block, times_s, length_s)
    answer = last if before else following
    left = np.flatnonzero(~np.isfinite(answer))
    while left.size:
        block[left] += -1 if before else 1
        until_s = np.full(left.size, np.inf) if before else times_s[left]
        around = _in_block(stream, clients[left], block[left], until_s, length_s)
        answer[left] = around[0 if before else 1]
        left = left[~np.isfinite(answer[left])]
    return last, following


def _in_block(stream: Stream, clients: Ints, block: Ints, until_s: Floats, length_s: float) -> tuple[Floats, Floats]:
    """The last instant of a block up to a time, -inf if there is none, and the first after it, inf if there is none."""
    last, following = np.full(clients.size, -np.inf), np.full(clients.size, np.inf)
    left, begin, draw = np.arange(clients.size), np.zeros(clients.size), np.arange(_DRAWN_AT_ONCE)
    while left.size:
        number = block[left, None]
        gaps = stream.exponential(clients[left, None], number * _DRAWS_A_BLOCK + draw) / _EVENTS_A_BLOCK
        place = begin[left, None] + np.cumsum(gaps, axis=1)
        instant_s = np.where(place < 1.0, (number + place) * length_s, np.inf)
        passed = ((place < 1.0) & (instant_s <= until_s[left, None])).sum(axis=1)
        row = np.arange(left.size)
        last[left] = np.where(passed > 0, instant_s[row, passed - 1], last[left])
        following[left] = instant_s[row, np.minimum(passed, _DRAWN_AT_ONCE - 1)]
        begin[left] = place[:, -1]
        left, draw = left[passed == _DRAWN_AT_ONCE], draw + _DRAWN_AT_ONCE
    return last, following


AVAILABILITY: dict[str, type[Always] | type[OnOff] | type[Diurnal] | type[Visits]] = {
    "always": Always,
    "on_off": OnOff,
    "diurnal": Diurnal,
    "trace": Visits,
}
