"""Who is there: clients that can be reached, among those that have joined and not left for good.

Knows no radio and no protocol; protocols ask it for the clients and times that they are about.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from channels.arrays import Bools, Floats, Ints
from channels.options import Options
from channels.streams import Stream
from channels.units import Delay, Probability, Seconds
from wfl_sim.availability import Always, Availability, asked


@dataclass(frozen=True, kw_only=True)
class Churn(Options):
    """Clients that join and that leave for good, whatever their availability in between.

    Formula
    -------
    With U and V uniform in (0, 1) and E exponential with mean 1, drawn once for each client::

        joins = 0 if V < at_start, else join U;    leaves = joins + stay E

    A client can be there from `joins` on, up to, not with, `leaves`; then it never comes back.

    Validity
    --------
    Clients that join by themselves, at a steady rate over `join`: of a Poisson process that has had so many arrivals up
    to then, each is uniform. Stays have no memory. Nobody joins after `join`, so with a `stay` a run ends alone.

    Source
    ------
    own: Poisson arrivals, given their number (Kingman 1993, Poisson Processes, section 2.4), and exponential stays.

    Options
    -------
    join_s : Time over which clients join; 0: all are in from the beginning.
    at_start : Share of the clients, in the mean, that are in from the beginning; the others join over `join`.
    stay_s : Mean time from joining to leaving for good. Shorter: fewer are left at the end; left out, nobody leaves.
    """

    join_s: Delay = 0.0
    at_start: Probability = 0.0
    stay_s: Seconds | None = None

    def joins_s(self, stream: Stream, clients: ArrayLike) -> Floats:
        """When each client [K] joins."""
        first = stream.child("first").uniform(clients, 0) < self.at_start
        return np.asarray(np.where(first, 0.0, self.join_s * stream.child("join").uniform(clients, 0)))

    def leaves_s(self, stream: Stream, clients: ArrayLike) -> Floats:
        """When each client [K] leaves for good; inf if never."""
        joins_s = self.joins_s(stream, clients)
        if self.stay_s is None:
            return np.full(joins_s.shape, np.inf)
        return np.asarray(joins_s + self.stay_s * stream.child("stay").exponential(clients, 0))


@dataclass(frozen=True)
class Presence:
    """Which clients are there, and when that changes: a function of (stream, client, time) in any order.

    `clients` is a list of client numbers [K] or one of them, `time_s` one time or one for each client [K]; answers are
    arrays [K]. Everyone is always there by default.
    """

    stream: Stream = Stream(0)
    availability: Availability = Always()
    churn: Churn | None = None

    @property
    def is_constant(self) -> bool:
        """Whether everyone is there all the time, so that there is nothing to ask."""
        return isinstance(self.availability, Always) and self.churn is None

    def present(self, clients: ArrayLike, time_s: ArrayLike) -> Bools:
        """Whether each client is there."""
        rows, times = asked(clients, time_s)
        there = self.availability.available(self.stream.child("availability"), rows, times)
        if self.churn is None:
            return there
        joins_s, leaves_s = self._life_s(rows)
        return np.asarray(there & (joins_s <= times) & (times < leaves_s))

    def change_s(self, clients: ArrayLike, time_s: ArrayLike) -> Floats:
        """The first time after `time_s` at which it is otherwise with each client; inf if it stays so for ever."""
        rows, times = asked(clients, time_s)
        stream = self.stream.child("availability")
        if self.churn is None:
            return self.availability.change_s(stream, rows, times)
        joins_s, leaves_s = self._life_s(rows)
        early = times < joins_s
        since = np.maximum(times, joins_s)
        there = self.availability.available(stream, rows, since)
        change = np.asarray(self.availability.change_s(stream, rows, since))
        change = np.where(early & there, joins_s, change)
        last = np.where(there & ~early & (times < leaves_s), leaves_s, np.inf)  # those who are there have yet to leave
        return np.where(change < leaves_s, change, last)

    def gone_s(self, clients: ArrayLike) -> Floats:
        """When each client leaves for good; inf if never."""
        return self._life_s(asked(clients, 0.0)[0])[1]

    def _life_s(self, clients: Ints) -> tuple[Floats, Floats]:
        if self.churn is None:
            return np.zeros(clients.size), np.full(clients.size, np.inf)
        stream = self.stream.child("churn")
        return self.churn.joins_s(stream, clients), self.churn.leaves_s(stream, clients)
