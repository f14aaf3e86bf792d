"""The log of a run: collects what happens in a round and hands it to the trace in one piece.

Knows the columns of the trace (`wfl_sim.trace.TABLES`) and their order; decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from wfl_sim.contracts import Decision, Request
from wfl_sim.protocols.base import ProtocolState, World
from wfl_sim.radio.transmission import Transmission

_NO_MEMORY = dict.fromkeys(("client_memory_bytes", "server_memory_bytes", "server_each_memory_bytes"))  # but of split
_COMPUTE = slice(9, 12)  # where the row of a decision holds what its client computed


class Log:
    """Rows of the round under way. A decision whose client has not begun to compute waits for that."""

    def __init__(self, world: World, state: ProtocolState) -> None:
        self._world, self._state = world, state
        self._band_hz = world.medium.radio.uplink.bandwidth_hz
        self._open: dict[int, list[Any]] = {}  # by client: decisions on those who have not begun to compute
        self.begin(0)

    def begin(self, away: int) -> None:
        """A round begins."""
        self.start_s, self._away, self._deferred = self._world.env.now, away, set[int]()
        self._decisions: list[list[Any]] = [*self._open.values()]
        self._transmissions: list[tuple[Any, ...]] = []
        self._kept: list[float] = []

    def decided(self, requests: Sequence[Request], decisions: Sequence[Decision]) -> None:
        """The schedule has spoken."""
        number, now_s = self._state.round + 1, self._world.env.now
        sends = [decision.action == "send" for decision in decisions]
        broadcast_s = max((r.downlink_s for r, send in zip(requests, sends, strict=True) if send), default=0.0)
        seen = np.array([request.snr_hz for request in requests]) / self._band_hz
        for request, decision, send, snr_db in zip(
            requests, decisions, sends, (10 * np.log10(np.maximum(seen, 1e-30))).tolist(), strict=True
        ):
            client, point = decision.client, decision.point
            ready_s = max(broadcast_s, request.downlink_s) + request.ready_s
            row = [number, client, now_s, decision.action, decision.bandwidth_hz, point.kept_fraction, point.bits,
                   snr_db, ready_s, None, 0.0, 0.0]  # fmt: skip
            self._decisions.append(row)
            if send:
                self._open[client] = row
            else:
                self._deferred.add(client)

    def compute(self, clients: Sequence[int], start_s: float, seconds: Sequence[float]) -> None:
        """Clients compute from `start_s` on."""
        energies_j = np.asarray(self._world.compute.energy_j(np.array(seconds))).tolist()
        for client, time_s, energy_j in zip(clients, seconds, energies_j, strict=True):
            self._open.pop(client)[_COMPUTE] = (start_s, time_s, energy_j)
        self._state.energy_j += sum(energies_j)

    def never_computes(self, client: int) -> None:
        """The model did not get to a client that was called."""
        del self._open[client]

    def transmitted(self, done: Transmission, kept_fraction: float, step: int | None = None) -> None:
        """A transfer ended, one way or the other: that of a model or an update, or in a `step` of split training."""
        state = self._state
        self._transmissions.append((state.round + 1, *done[:15], kept_fraction, *done[15:18], step))
        state.energy_j += done.energy_j
        if done.direction == "up":
            state.uplink_bits += done.sent_bits
            self._kept.append(kept_fraction)
        else:
            state.downlink_bits += done.sent_bits

    def diverged(self, client: int, now_s: float, bandwidth_hz: float) -> None:
        """A client that was to send now has nothing to send, since its training diverged."""
        nothing = Transmission(client, "up", now_s, now_s, now_s, 0, 0, 0, 0, 0, 0, 0.0, math.nan, math.nan,
                               bandwidth_hz, "dropped", "diverged", 0.0, ())  # fmt: skip
        self._transmissions.append((self._state.round + 1, *nothing[:15], 0.0, *nothing[15:18], None))

    def commit(self, ages: Sequence[int], *, dropped: int, late: int, last: bool = False) -> None:
        """The round is over and the model updated, with arrivals of these `ages`: evaluate it, write it all down.

        Of the `last` one the decisions that still wait are written too; so it is of the last that the world wants.
        """
        world, state = self._world, self._state
        row = {
            "round": state.round + 1,
            "t_start_s": self.start_s,
            "t_end_s": world.env.now,
            "uplink_bits": state.uplink_bits,
            "downlink_bits": state.downlink_bits,
            "delivered": len(ages),
            "dropped": dropped,
            "deferred": len(self._deferred),
            "away": self._away,
            "late": late,
            "staleness_mean": sum(ages) / len(ages) if ages else None,
            "energy_j": state.energy_j,
            "kept_fraction_mean": float(np.mean(self._kept)) if self._kept else None,
            "queue": state.schedule.get("queue", 0.0),
            **_NO_MEMORY,
            **world.work.evaluate(),
            **world.work.diagnostics(),
        }
        state.round, state.now_s = state.round + 1, world.env.now
        if last or state.round == world.rounds:
            self._open.clear()  # nobody comes back to them
        ready = self._decisions
        if self._open:
            waiting = {id(waits) for waits in self._open.values()}
            ready = [decision for decision in ready if id(decision) not in waiting]
        world.commit(row, self._transmissions, list(map(tuple, ready)))
