"""What the medium asks of a way to use a band, and what it tells it.

Knows neither a clock nor a way of sharing.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import simpy

from wfl_sim.contracts import FloatArray
from wfl_sim.radio.flows import DELIVERED, GIVEN_UP, Flows, Sizes
from wfl_sim.radio.ledger import Direction
from wfl_sim.radio.transmission import Reason, Transmission


@dataclass(eq=False, slots=True)
class Job:
    """A transfer that was asked for: to one client, or a broadcast to several."""

    clients: tuple[int, ...]
    payload_bits: int
    bandwidth_hz: float
    t_request_s: float
    begin_s: float
    until_s: float
    reason: Reason
    client: int  # or what stands for a broadcast
    done: simpy.Event
    size: Callable[[], int] | None = None  # what tells `payload_bits`, if they are not known yet

    def sized(self) -> bool:
        """Whether there is anything to send, now that it has to be known."""
        if self.size is not None:
            self.payload_bits, self.size = self.size(), None
        return self.payload_bits > 0

    def give_up_s(self, timeout_s: float) -> float:
        """When it is given up at the latest."""
        return min(self.begin_s + timeout_s, self.until_s)

    def why(self, attempts_used_up: bool, end_s: float) -> Reason:
        """Why it ended without being through."""
        if attempts_used_up:
            return "attempts"
        return self.reason if end_s >= self.until_s else "timeout"


Ended = tuple[Job, Transmission]
Rest = dict[str, Any]  # for JSON


class Planned(Protocol):
    """A way to use a band in which transfers do not change each other's course, so that each is known when asked for.

    1. `plan` takes jobs that may begin later, and returns all of them with what will become of each, in the order of
       time and then of clients.
    2. `held_hz(now_s)` is the sum of the grants of those that have not ended by then.
    3. `rest()` is what it remembers when nothing is under way, as plain data; `resume` goes on from that.
    """

    def plan(self, jobs: Sequence[Job]) -> list[Ended]: ...
    def held_hz(self, now_s: float) -> float: ...
    def rest(self) -> Rest: ...
    def resume(self, rest: Rest) -> None: ...


class Shared(Protocol):
    """A way to share a band in which every transfer that begins or ends may change the course of the others.

    1. `add` takes jobs that begin now; `settle` has been called for the same instant before.
    2. `settle(now_s)` carries all transfers on to `now_s` and returns those that have ended by then, with the time of
       their end, in the order of time and then of clients.
    3. `next_s()` is when to settle next: none ends before it. It may be early.
    4. `hold(held, now_s)` stops all sending at `now_s`, or lets it go on; `settle` has been called before.
    5. How often it is settled, and when, changes no result but for last bits.
    6. `held_hz(now_s)` is the sum of the grants of those that have not ended.
    7. `rest()` is what it remembers when nothing is under way, as plain data; `resume` goes on from that.
    """

    def add(self, jobs: Sequence[Job]) -> None: ...
    def settle(self, now_s: float) -> list[Ended]: ...
    def next_s(self) -> float: ...
    def hold(self, held: bool, now_s: float) -> None: ...
    def held_hz(self, now_s: float) -> float: ...
    def rest(self) -> Rest: ...
    def resume(self, rest: Rest) -> None: ...


class Held:
    """The bandwidths that planned transfers hold until they end."""

    def __init__(self) -> None:
        self._ends: list[tuple[float, float]] = []

    def until_ends(self, planned: list[Ended]) -> list[Ended]:
        """Note what new transfers hold; they are returned as they are."""
        new = sorted((transmission.t_end_s, job.bandwidth_hz) for job, transmission in planned)
        self._ends = list(heapq.merge(self._ends, new))
        return planned

    def hz(self, now_s: float) -> float:
        """Sum of the bandwidths of those that have not ended."""
        self._ends = self._ends[bisect_right(self._ends, (now_s, math.inf)) :]
        return math.fsum(hz for _, hz in self._ends)


@dataclass(frozen=True)
class Supply:
    """What sending takes from a client's battery: transmitted power over the amplifier's efficiency, and the rest."""

    amplifier_efficiency: float = 1.0
    circuit_power_w: float = 0.0

    def energy_j(self, transmitted_j: FloatArray, air_s: FloatArray) -> FloatArray:
        """(P / efficiency + circuit power) x air time, with the transmitted energy P x air time."""
        return np.asarray(transmitted_j / self.amplifier_efficiency + self.circuit_power_w * air_s)


NO_SUPPLY = Supply(math.inf, 0.0)


def reports(jobs: Sequence[Job], flows: Flows, sizes: Sizes, supply: Supply, direction: Direction) -> list[Ended]:
    """What became of jobs whose flows have ended, in the order of time and then of clients."""
    delivered, through = flows.delivered_bits(sizes), flows.state == DELIVERED
    asked_hz = np.array([job.bandwidth_hz for job in jobs])
    with np.errstate(divide="ignore", invalid="ignore"):
        snr_db, hz = flows.snr_db_s / flows.air_s, flows.hz_s / flows.air_s
    columns = {
        "client": flows.client,
        "t_end_s": flows.now_s,
        "payload_bits": flows.payload_bits,
        "delivered_bits": delivered,
        "sent_bits": np.rint(flows.sent_bits).astype(np.int64),
        "packets": flows.sent,
        "lost": flows.lost,
        "retransmissions": flows.sent - flows.served - (flows.tries > 0),
        "air_s": flows.air_s,
        "snr_mean_db": snr_db,
        "snr_min_db": np.where(flows.air_s > 0, flows.snr_min_db, math.nan),
        "bandwidth_hz": np.where(flows.air_s > 0, hz, asked_hz),
        "outcome": np.where(through, "delivered", np.where(delivered > 0, "partial", "dropped")),
        "energy_j": supply.energy_j(flows.tx_j, flows.air_s),
        "reached": through,
    }
    values = {name: column.tolist() for name, column in columns.items()}
    clients, given_up = values["client"], (flows.state == GIVEN_UP).tolist()
    values["direction"] = [direction] * len(jobs)
    values["t_request_s"] = [job.t_request_s for job in jobs]
    values["t_start_s"] = [job.begin_s for job in jobs]
    values["reason"] = [
        "" if done else job.why(tried, end_s)
        for job, done, tried, end_s in zip(jobs, values["reached"], given_up, values["t_end_s"], strict=True)
    ]
    values["reached"] = [(c,) if done else () for c, done in zip(clients, values["reached"], strict=True)]
    rows = zip(*(values[name] for name in Transmission._fields), strict=True)
    ended = list(zip(jobs, map(Transmission._make, rows), strict=True))
    ended.sort(key=lambda pair: (pair[1].t_end_s, pair[1].client))
    return ended
