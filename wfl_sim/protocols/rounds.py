"""Rounds: who is there is asked, all who are called get the model at once, and the model is updated once.

Knows who talks when; neither formulas nor tensors. How long a round waits is that of the kinds of protocol.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import simpy

from channels.options import Count, Options
from channels.units import Seconds
from wfl_sim.contracts import Request
from wfl_sim.protocols.base import Call, Ids, ProtocolState, World
from wfl_sim.protocols.calls import Calls
from wfl_sim.protocols.log import Log

GONE = "nobody is there any more, nor ever will be"


@dataclass(frozen=True, kw_only=True)
class Rounds(Options):
    """Options of every protocol with rounds: who is asked.

    Options
    -------
    cohort : How many of those who are there are asked, drawn anew for each round, all alike likely; left out, all are.
        Smaller: a round takes less air time, and each client takes part less often.
    retry_s : How long a round lasts in which nobody is there, or all are deferred. Larger: more time for the links to
        change before anyone is asked again.
    """

    rests: ClassVar[bool] = True

    cohort: Count | None = None
    retry_s: Seconds = 1.0

    @property
    def limit_s(self) -> float:
        """How long a round lasts at most."""
        return math.inf

    @property
    def carries(self) -> bool:
        """Whether who is late goes on."""
        return False

    def factors(self, ages: Mapping[int, int]) -> dict[int, float] | None:
        """What the changes of clients count, by their ages in versions; None: all in full."""
        return None

    def senders(self, clients: int) -> int:
        """How many send side by side, at most."""
        return clients if self.cohort is None else min(self.cohort, clients)

    def calls(self, world: World, state: ProtocolState, log: Log) -> Calls:
        """What carries a call from its downlink to its end."""
        return Calls(world, state, log)

    def requests(self, world: World, number: int, clients: Sequence[int]) -> list[Request]:
        """What the clients that are asked in a round would like."""
        return world.requests(number, clients)

    def run(self, world: World, state: ProtocolState) -> Generator[simpy.Event, Any, None]:
        """Play the rounds that are left."""
        env, schedule = world.env, world.schedule
        state.schedule = state.schedule or schedule.start()
        log = Log(world, state)
        calls = self.calls(world, state, log)
        everyone = np.arange(world.clients)
        while state.round < world.rounds and state.gone_s is None:
            start_s, there = env.now, world.presence.present(everyone, env.now)
            log.begin(away=int(world.clients - np.count_nonzero(there)))
            before = len(state.busy)
            called = self._call(world, state, calls, log, everyone[there])
            if called:
                end_s = yield from self._wait(calls, start_s, state.round + 1)
            else:
                end_s = start_s + self.retry_s
            if end_s > env.now:
                yield env.timeout(end_s - env.now)
            outcomes = [*calls.take(env.now)]
            late = len(state.busy) + sum(ended.outcome == "late" for ended in outcomes)
            ages = self._merge(world, state, [ended.call for ended in outcomes if ended.outcome == "delivered"])
            latencies = [ended.latency for ended in outcomes]
            state.schedule = world.observe(env.now - start_s, latencies, state.schedule)
            gone = not (called or before or there.any())
            gone = gone and not np.isfinite(world.presence.change_s(everyone, start_s)).any()
            state.gone_s = start_s if gone else None
            log.commit(ages, dropped=before + called - len(ages) - late, late=late, last=gone)
        if state.gone_s is not None and state.round < world.rounds:
            world.stop(f"after round {state.round}, at {state.gone_s:g} s, {GONE}")

    def _call(self, world: World, state: ProtocolState, calls: Calls, log: Log, there: Ids) -> int:
        """Ask the schedule, and call whom it lets send; says how many."""
        number, now_s = state.round + 1, world.env.now
        idle = np.setdiff1d(there, list(state.busy), assume_unique=True) if state.busy else there
        if not idle.size:
            return 0
        clients = world.drawn(idle, self.senders(world.clients), "cohort", number)
        requests = self.requests(world, number, clients)
        air = world.medium.air(known_gain=world.schedule.csi != "large_scale")
        decisions, state.schedule = world.decide(air, requests, calls.flights(), state.schedule)
        log.decided(requests, decisions)
        called = [decision for decision in decisions if decision.action == "send"]
        if called:
            calls.start(called, now_s + self.limit_s - world.medium.radio.latency_s, self.carries)
        return len(called)

    def _wait(self, calls: Calls, start_s: float, number: int) -> Generator[simpy.Event, Any, float]:
        """Wait until all who were called have ended, or the deadline is sure to be missed; says when the round ends."""
        yield calls.wake(start_s + self.limit_s - calls.latency_s if self.carries else math.inf)
        if calls.outstanding:
            return start_s + self.limit_s
        return max(ended.known_s for ended in calls.ended if ended.call.round == number)

    def _merge(self, world: World, state: ProtocolState, arrived: list[Call]) -> list[int]:
        """Update the model by what arrived; the ages of that."""
        ages = {call.client: state.version - call.version for call in arrived}
        payloads = {call.client: call.payload for call in arrived if call.payload is not None}  # which all have
        world.work.aggregate(payloads, self.factors(ages))
        state.version += bool(payloads)
        return [*ages.values()]
