"""What a protocol is given and what it must do.

Knows SimPy and the contracts; payloads are opaque to it. An implementer's contract:

1. `run` is a SimPy process; all that it must remember stands in the state it is given, so that a run can resume.
2. It asks the schedule at every event that can change the air, and obeys it.
3. It calls `World.commit` once a round, with everything that happened since the last call.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any
from typing import Protocol as Contract

import numpy as np
import simpy

from channels.streams import Stream
from wfl_sim.contracts import Decision, Request, Schedule, Work
from wfl_sim.devices import Compute
from wfl_sim.presence import Presence
from wfl_sim.radio.medium import Medium
from wfl_sim.radio.transmission import Transmission
from wfl_sim.trace import Row

Commit = Callable[[Row, Sequence[Row], Sequence[Row]], None]


@dataclass
class ProtocolState:
    """All that a protocol remembers between events: plain data."""

    now_s: float = 0.0
    round: int = 0
    uplink_bits: int = 0
    downlink_bits: int = 0
    energy_j: float = 0.0
    schedule: dict[str, Any] = field(default_factory=dict)


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

    def compute_s(self, client: int, round_: int) -> float:
        """Time that a client takes for a round's training."""
        return float(self.compute.seconds(self.stream.child("compute"), client, round_))

    def requests(self, round_: int, clients: Sequence[int]) -> list[Request]:
        """What each client would like, with the CSI that the schedule may see."""
        schedule, now_s = self.schedule, self.env.now
        known = schedule.csi != "large_scale"
        snr_hz = self.medium.snr_hz(clients, now_s - schedule.csi_delay_s, known)
        down_hz = self.medium.snr_hz(clients, now_s - schedule.csi_delay_s, known, "down")
        if schedule.csi_error_db > 0:
            error = self.stream.child("csi").normal(np.asarray(clients), round_)
            factor = 10 ** (schedule.csi_error_db * error / 10)  # both directions are seen alike
            snr_hz, down_hz = snr_hz * factor, down_hz * factor
        down_bits = [
            self.work.downlink([client]).bits for client in clients
        ]  # what an absent one needs burdens no other
        down_s = self.medium.downlink_estimate_s(down_hz, down_bits, known)
        ready_s = self.compute.medians_s(self.stream.child("compute"), clients) + self.medium.radio.latency_s
        return [
            Request(client, float(snr), self.work.menu(client), float(ready), self.work.weight(client), float(down))
            for client, snr, down, ready in zip(clients, snr_hz, down_s, ready_s, strict=True)
        ]


class RoundLog:
    """Collects what happens in a round and hands it to the trace in one piece."""

    def __init__(self, world: World, state: ProtocolState) -> None:
        self._world, self._state = world, state
        self._start_s = world.env.now
        self._round = state.round + 1
        self._decisions: dict[int, dict[str, Any]] = {}
        self._transmissions: list[Row] = []
        self._kept: list[float] = []

    def decided(self, requests: Sequence[Request], decisions: Sequence[Decision]) -> None:
        """The schedule has spoken."""
        band_hz = self._world.medium.radio.uplink.bandwidth_hz
        called = [request for request, decision in zip(requests, decisions, strict=True) if decision.action == "send"]
        broadcast_s = max((request.downlink_s for request in called), default=0.0)
        for request, decision in zip(requests, decisions, strict=True):
            self._decisions[decision.client] = {
                "round": self._round,
                "client": decision.client,
                "t_s": self._world.env.now,
                "action": decision.action,
                "bandwidth_hz": decision.bandwidth_hz,
                "kept_fraction": decision.point.kept_fraction,
                "menu_bits": decision.point.bits,
                "csi_snr_db": 10 * np.log10(max(request.snr_hz / band_hz, 1e-30)),
                "ready_s": max(broadcast_s, request.downlink_s) + request.ready_s,
                "compute_start_s": None,
                "compute_s": 0.0,
                "compute_energy_j": 0.0,
            }

    def computed(self, client: int, seconds: float) -> None:
        """A client computed."""
        energy_j = float(self._world.compute.energy_j(seconds))
        start_s = self._world.env.now - seconds
        self._decisions[client] |= {"compute_start_s": start_s, "compute_s": seconds, "compute_energy_j": energy_j}
        self._state.energy_j += energy_j

    def transmitted(self, transmission: Transmission, kept_fraction: float) -> None:
        """A transfer ended, one way or the other."""
        row = transmission._asdict()
        del row["reached"]
        self._transmissions.append({**row, "round": self._round, "kept_fraction": kept_fraction})
        self._state.energy_j += transmission.energy_j
        if transmission.direction == "up":
            self._state.uplink_bits += transmission.sent_bits
            self._kept.append(kept_fraction)
        else:
            self._state.downlink_bits += transmission.sent_bits

    def commit(self, delivered: int, dropped: int) -> None:
        """The round is over and the model updated: evaluate it and write everything down."""
        world, state = self._world, self._state
        world.commit(
            {
                "round": self._round,
                "t_start_s": self._start_s,
                "t_end_s": world.env.now,
                "uplink_bits": state.uplink_bits,
                "downlink_bits": state.downlink_bits,
                "delivered": delivered,
                "dropped": dropped,
                "deferred": sum(row["action"] != "send" for row in self._decisions.values()),
                "away": 0,
                "late": 0,
                "staleness_mean": 0.0 if delivered else None,
                "energy_j": state.energy_j,
                "kept_fraction_mean": float(np.mean(self._kept)) if self._kept else None,
                "queue": state.schedule.get("queue", 0.0),
                **world.work.evaluate(),
                **world.work.diagnostics(),
            },
            self._transmissions,
            [self._decisions[client] for client in sorted(self._decisions)],
        )


class Protocol(Contract):
    """See the module docstring."""

    def run(self, world: World, state: ProtocolState) -> Generator[simpy.Event, Any, None]: ...
