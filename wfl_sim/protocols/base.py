"""What a protocol is given and what it must do.

Knows SimPy and the contracts; payloads are opaque to it. An implementer's contract:

1. `run` is a SimPy process; all that it must remember stands in the state it is given, so that a run can resume.
2. It asks the schedule at every event that can change the air, and obeys it.
3. It calls `World.commit` once a round, with everything that happened since the last call (`wfl_sim.protocols.log`).
4. Where it ends before the last round it says why to `World.stop`.
5. Where `run` goes on from any state in which nobody is busy, at `state.now_s`, the class that defines it says so by
   ``rests = True``: a run that was killed then goes on from the last such state, and need not be played again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any
from typing import Protocol as Contract

import numpy as np
import simpy
from numpy.typing import NDArray

from channels.streams import Stream
from wfl_sim.contracts import Air, AnyPayload, Decision, Flight, FloatArray, Point, Request, Schedule, Work
from wfl_sim.devices import Compute
from wfl_sim.presence import Presence
from wfl_sim.radio.medium import Medium
from wfl_sim.trace import AnyRow, Row

Commit = Callable[[Row, Sequence[AnyRow], Sequence[AnyRow]], None]
Ids = NDArray[np.int64]


@dataclass(slots=True)
class Call:
    """A client that was called and has not ended yet, as far as the base station knows: plain data."""

    client: int
    round: int
    version: int  # of the model that it was sent, in server updates
    bandwidth_hz: float
    point: Point
    leaves_s: float
    compute_s: float
    payload: AnyPayload | None = None  # what it sends, once it has trained
    called_s: float = 0.0


@dataclass
class ProtocolState:
    """All that a protocol remembers between events: plain data."""

    now_s: float = 0.0
    round: int = 0
    uplink_bits: int = 0
    downlink_bits: int = 0
    energy_j: float = 0.0
    schedule: dict[str, Any] = field(default_factory=dict)
    version: int = 0  # server updates so far
    busy: dict[int, Call] = field(default_factory=dict)  # by client
    buffer: dict[int, Call] = field(default_factory=dict)  # arrived, not merged yet; by client
    ask_again_s: dict[int, float] = field(default_factory=dict)  # by client: not to be asked before
    draws: int = 0  # of clients to be asked
    failed: int = 0  # calls and requests since the last arrival or row that led to nothing
    gone_s: float | None = None  # when the last round began, if nobody is there any more, nor ever will be

    def rest(self) -> dict[str, Any] | None:
        """All of it as plain data; None while anybody is busy or waits."""
        if self.busy or self.buffer or self.ask_again_s:
            return None
        return {name: value for name, value in vars(self).items() if name not in ("busy", "buffer", "ask_again_s")}


@dataclass(slots=True)
class Spent:
    """How long a schedule took to decide, in seconds of the computer, and how often it did."""

    seconds: float = 0.0
    decisions: int = 0


@dataclass(frozen=True)
class World:
    """What a protocol acts on."""

    env: simpy.Environment
    medium: Medium
    work: Work
    schedule: Schedule
    compute: Compute
    stream: Stream
    clients: int
    rounds: int
    commit: Commit
    presence: Presence = Presence()
    stop: Callable[[str], None] = lambda reason: None
    spent: Spent = field(default_factory=Spent)

    def compute_s(self, clients: Ids, round_: int) -> FloatArray:
        """Times [clients] that they take for a round's training."""
        return np.asarray(self.compute.seconds(self.stream.child("compute"), clients, round_))

    def drawn(self, clients: Ids, count: int, what: str, index: int) -> list[int]:
        """`count` of `clients`, uniformly without replacement, in rising order; keyed by the `index` of the draw.

        Whether a client is drawn depends on who else could be, but its own lot does not.
        """
        if count < clients.size:
            lots = self.stream.child(what).uniform(clients, index)
            clients = np.sort(clients[np.argpartition(lots, count - 1)[:count]])
        return [int(client) for client in clients.tolist()]

    def requests(self, round_: int, clients: Sequence[int], places: int = 0) -> list[Request]:
        """What each client would like, with the CSI that the schedule may see; `places` as in `Air`."""
        schedule, medium, ids = self.schedule, self.medium, np.asarray(clients, dtype=np.int64)
        known, then_s = schedule.csi != "large_scale", self.env.now - schedule.csi_delay_s
        snr_hz = medium.snr_hz(clients, then_s, known, places=places)
        down_hz = medium.snr_hz(clients, then_s, known, "down")
        if schedule.csi_error_db > 0:
            error = self.stream.child("csi").normal(ids, round_)
            factor = 10 ** (schedule.csi_error_db * error / 10)  # both directions are seen alike
            snr_hz, down_hz = snr_hz * factor, down_hz * factor
        work = self.work
        down_bits = [work.downlink([client]).bits for client in clients]  # what an absent one needs burdens no other
        down_s = medium.downlink_estimate_s(down_hz, down_bits, known)
        latency_s = medium.radio.latency_s
        ready_s = self.compute.medians_s(self.stream.child("compute"), ids) + latency_s
        if medium.radio.downlink.access == "unicast":  # each waits for its own copy, in its share of the downlink
            ready_s, down_s = ready_s + (down_s - latency_s) * ids.size + latency_s, np.zeros(ids.size)
        menus, weights = [work.menu(client) for client in clients], [work.weight(client) for client in clients]
        parts = [clients, snr_hz.tolist(), menus, ready_s.tolist(), weights, down_s.tolist()]
        if getattr(work, "menus_change", False):
            parts.append([work.importance(client) for client in clients])  # type: ignore[attr-defined]
        return list(map(Request, *parts))

    def decide(
        self, air: Air, requests: Sequence[Request], in_flight: Sequence[Flight], state: dict[str, Any]
    ) -> tuple[list[Decision], dict[str, Any]]:
        """Ask the schedule now; how long it takes is noted."""
        began_s = time.perf_counter()
        try:
            return self.schedule.decide(self.env.now, air, requests, in_flight, state)
        finally:
            self.spent.seconds += time.perf_counter() - began_s
            self.spent.decisions += 1

    def observe(self, round_s: float, latencies: Sequence[tuple[int, float]], state: dict[str, Any]) -> dict[str, Any]:
        """Tell the schedule how long a round took, and how long each of those took that have ended in it."""
        told = getattr(self.schedule, "observe_clients", None)
        return self.schedule.observe(round_s, state if told is None else told(latencies, state))


class Protocol(Contract):
    """See the module docstring."""

    def run(self, world: World, state: ProtocolState) -> Generator[simpy.Event, Any, None]: ...
