"""Synchronous rounds: broadcast, compute, upload, wait for all, aggregate.

Knows who talks when; neither formulas nor tensors.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal

import simpy

from channels.options import Options
from channels.units import Seconds
from wfl_sim.contracts import AnyPayload, Decision
from wfl_sim.protocols.base import ProtocolState, RoundLog, World


@dataclass(frozen=True)
class Sync(Options):
    """Synchronous rounds: all are asked, and the round ends when the last upload has ended.

    A round is broadcast, local training, upload, aggregation. A client that the schedule defers does not train and is
    asked again in the next round.

    Formula
    -------
    With the latency l of a transfer, and the clients k that the broadcast reached::

        T = T_broadcast + l + max_k (T_compute,k + T_upload,k + l)

    T_upload,k runs to the end of the upload, delivered or dropped. If the broadcast reached nobody, T = T_broadcast +
    l; if all are deferred, T = retry.

    Validity
    --------
    Every round waits for its slowest client, up to the timeout of the radio. Aggregation takes no simulated time.

    Source
    ------
    The rounds of McMahan et al. 2017, arXiv:1602.05629, with all clients taking part; own: the times.

    Options
    -------
    retry_s : How long a round lasts in which all are deferred. Larger: more time for the links to change before all are
        asked again.
    """

    kind: Literal["sync"] = "sync"
    retry_s: Seconds = 1.0

    def run(self, world: World, state: ProtocolState) -> Generator[simpy.Event, Any, None]:
        """Play the rounds that are left."""
        env, work, schedule = world.env, world.work, world.schedule
        state.schedule = state.schedule or schedule.start()
        while state.round < world.rounds:
            start_s, log = env.now, RoundLog(world, state)
            requests = world.requests(state.round + 1, range(world.clients))
            air = world.medium.air(known_gain=schedule.csi != "large_scale")
            decisions, state.schedule = schedule.decide(env.now, air, requests, (), state.schedule)
            log.decided(requests, decisions)
            called = [decision for decision in decisions if decision.action == "send"]
            arrivals: dict[int, AnyPayload] = {}
            if called:
                yield from self._round(world, state.round + 1, called, log, arrivals)
            else:
                yield env.timeout(self.retry_s)
            work.aggregate(arrivals)
            state.schedule = schedule.observe(env.now - start_s, state.schedule)
            log.commit(delivered=len(arrivals), dropped=len(called) - len(arrivals))
            state.round, state.now_s = state.round + 1, env.now

    def _round(
        self, world: World, round_: int, called: list[Decision], log: RoundLog, arrivals: dict[int, AnyPayload]
    ) -> Generator[simpy.Event, Any, None]:
        members = [decision.client for decision in called]
        (sending,) = world.medium.downlink(members, world.work.downlink(members).bits)
        down = yield sending
        yield world.env.timeout(world.medium.radio.latency_s)
        log.transmitted(down, 1.0)
        reached = [decision for decision in called if decision.client in down.reached]
        world.work.received([decision.client for decision in reached])
        world.work.train(round_, [decision.client for decision in reached])
        yield world.env.all_of(
            [world.env.process(self._client(world, round_, decision, log, arrivals)) for decision in reached]
        )

    def _client(
        self, world: World, round_: int, decision: Decision, log: RoundLog, arrivals: dict[int, AnyPayload]
    ) -> Generator[simpy.Event, Any, None]:
        client = decision.client
        seconds = world.compute_s(client, round_)
        yield world.env.timeout(seconds)
        log.computed(client, seconds)
        payload = world.work.encode(client, decision.point)
        up = yield world.medium.uplink(client, payload.bits, decision.bandwidth_hz)
        yield world.env.timeout(world.medium.radio.latency_s)
        log.transmitted(up, payload.kept_fraction)
        if up.outcome == "delivered":
            arrivals[client] = payload
        else:
            world.work.lost(client)
