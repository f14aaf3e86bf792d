"""What the medium asks of a way to share a band, and what it tells it.

Knows neither a clock nor a way of sharing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import simpy

from wfl_sim.contracts import FloatArray
from wfl_sim.radio.flows import DELIVERED, GIVEN_UP, Flows, Sizes
from wfl_sim.radio.ledger import Direction
from wfl_sim.radio.transmission import BROADCAST, Reason, Transmission


@dataclass(eq=False)
class Job:
    """A transfer that was asked for: to one client, or a broadcast to several."""

    clients: tuple[int, ...]
    payload_bits: int
    bandwidth_hz: float
    t_request_s: float
    begin_s: float
    until_s: float
    reason: Reason
    broadcast: bool
    done: simpy.Event

    @property
    def client(self) -> int:
        """The client, or what stands for a broadcast."""
        return BROADCAST if self.broadcast else self.clients[0]

    def give_up_s(self, timeout_s: float) -> float:
        """When it is given up at the latest."""
        return min(self.begin_s + timeout_s, self.until_s)

    def why(self, attempts_used_up: bool, end_s: float) -> Reason:
        """Why it ended without being through."""
        if attempts_used_up:
            return "attempts"
        return self.reason if end_s >= self.until_s else "timeout"


Ended = tuple[Job, Transmission]


class Access(Protocol):
    """A way to share a band among transfers.

    1. `add` takes jobs; `settle` has been called for the same instant before. A job may begin later than that only
       where `plans_ahead` says so.
    2. `settle(now_s)` carries all transfers on to `now_s` and returns those that have ended by then, with the time of
       their end, in the order of time and then of clients.
    3. `next_s()` is when to settle next: none ends before it. It may be early.
    4. `hold(held, now_s)` stops all sending at `now_s`, or lets it go on; `settle` has been called before.
    5. How often it is settled, and when, changes no result but for last bits.
    """

    plans_ahead: bool

    def add(self, jobs: Sequence[Job]) -> None: ...
    def settle(self, now_s: float) -> list[Ended]: ...
    def next_s(self) -> float: ...
    def hold(self, held: bool, now_s: float) -> None: ...
    def held_hz(self) -> float: ...


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
    delivered = flows.delivered_bits(sizes)
    with np.errstate(divide="ignore", invalid="ignore"):
        snr_db, hz = flows.snr_db_s / flows.air_s, flows.hz_s / flows.air_s
    repeats = flows.sent - flows.served - (flows.tries > 0)
    columns = (
        flows.client, flows.now_s, flows.payload_bits, delivered, np.rint(flows.sent_bits).astype(np.int64),
        flows.sent, flows.lost, repeats, flows.air_s, snr_db, flows.snr_min_db, hz,
        supply.energy_j(flows.tx_j, flows.air_s), flows.state,
    )  # fmt: skip
    ended: list[Ended] = []
    for job, *values in zip(jobs, *(column.tolist() for column in columns), strict=True):
        client, end_s, payload, arrived, sent_bits, sent, lost, again, air_s, mean_db, min_db, band_hz, energy, state = values
        through = state == DELIVERED
        transmission = Transmission(
            client, direction, job.t_request_s, job.begin_s, end_s, payload, arrived, sent_bits, sent, lost, again, air_s,
            mean_db, min_db, band_hz if air_s > 0 else job.bandwidth_hz,
            "delivered" if through else "partial" if arrived else "dropped",
            "" if through else job.why(state == GIVEN_UP, end_s),
            energy, (client,) if through else (),
        )  # fmt: skip
        ended.append((job, transmission))
    ended.sort(key=lambda pair: (pair[1].t_end_s, pair[1].client))
    return ended
