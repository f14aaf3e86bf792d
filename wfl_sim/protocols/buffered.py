"""Buffered asynchronous training: clients come and go, and the model moves on whenever enough updates have arrived.

Knows who talks when; neither formulas nor tensors.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import simpy

from channels.options import Count, OneOf, Options
from channels.units import Positive, Seconds
from wfl_sim.contracts import Decision
from wfl_sim.protocols.base import Call, ProtocolState, World
from wfl_sim.protocols.calls import Calls
from wfl_sim.protocols.log import Log
from wfl_sim.protocols.rounds import GONE
from wfl_sim.protocols.staleness import Constant, Hinge, Polynomial


@dataclass(frozen=True, kw_only=True)
class Buffered(Options):
    """Asynchronous training with a buffer (FedBuff): the model moves on whenever K updates have arrived.

    So many clients are active at once as `concurrency` says: whenever one ends, another one is drawn among those who
    are there, fetches the model as it is then, trains, and sends. With `buffer: 1` this is FedAsync.

    Formula
    -------
    With the arrivals k in a full buffer of K, and the age tau_k of each, the number of versions that the model has
    moved on since the client fetched it::

        x <- x + server_lr (1 / K) sum_k s(tau_k) change_k             weights: uniform
        x <- x + server_lr sum_k w_k s(tau_k) change_k                 weights: examples

    s is the weight of `staleness`, and w_k the client's share of the data among the K. FedAsync mixes the models
    themselves, x <- (1 - a) x + a x_k with a = alpha s(tau); as x_k is the model that client k fetched plus its change,
    that is the rule above with K = 1 and server_lr = alpha wherever tau = 0. An older client's change is added here to
    the model as it is now, while FedAsync also pulls that back towards the one that was fetched.

    Validity
    --------
    A round is one update of the model. An update waits in the buffer, and its client is not called again before it is
    merged, so that a client counts once in a buffer. Who drops out, on the air or by leaving, is replaced at once. A
    round in which as many calls and requests in a row as there are clients lead to nothing is a row without an update.
    A run ends early if nobody is left to call, nor ever comes again. Computing times and batches are drawn for each
    client and round.

    Source
    ------
    Nguyen et al. 2022 (FedBuff), AISTATS, arXiv:2106.06639; K = 1: Xie, Koyejo and Gupta 2019 (FedAsync),
    arXiv:1903.03934, without its proximal term. A reconstruction: that the buffer is averaged with equal weights, and
    each change multiplied with s, is how we know FedBuff; own: who waits, and who is called again.

    Options
    -------
    buffer : How many updates the model waits for. Larger: rarer and steadier updates; 1 is FedAsync.
    concurrency : How many clients are active at once: called, and not ended. Larger: more updates a second, older ones,
        and less band for each.
    server_lr : Step of the server. Smaller: each update moves the model less; with a buffer of 1 it is the mixing
        weight of FedAsync.
    weights : How the changes in a buffer count against each other: all alike, or by the clients' numbers of examples.
    staleness : What an old update is worth.
    retry_s : How long a client that was deferred is left alone. Larger: more time for its link to change.
    """

    kind: Literal["buffered"] = "buffered"
    buffer: Count = 10
    concurrency: Count = 20
    server_lr: Positive = 1.0
    weights: Literal["uniform", "examples"] = "uniform"
    staleness: Annotated[Constant | Polynomial | Hinge, OneOf()] = Polynomial()
    retry_s: Seconds = 1.0

    def senders(self, clients: int) -> int:
        """How many send side by side, at most."""
        return min(self.concurrency, clients)

    def run(self, world: World, state: ProtocolState) -> Generator[simpy.Event, Any, None]:
        """Play the rounds that are left."""
        env = world.env
        state.schedule = state.schedule or world.schedule.start()
        log = Log(world, state)
        calls = Calls(world, state, log, each=True)
        tally = _Tally(world, state, log)
        while state.round < world.rounds:
            for ended in calls.take(env.now):
                if ended.outcome == "delivered":
                    state.buffer[ended.call.client], state.failed = ended.call, 0
                    if len(state.buffer) == self.buffer:
                        tally.row(self._update(world, state))
                        if state.round == world.rounds:
                            return
                else:
                    tally.dropped, state.failed = tally.dropped + 1, state.failed + 1
            next_s = self._fill(world, state, calls, log, tally)
            if state.round == world.rounds:
                return
            next_s = min([next_s, *(ended.known_s for ended in calls.ended)])
            if not state.busy and next_s == math.inf:
                tally.row([], last=True)
                if state.round < world.rounds:
                    world.stop(f"after round {state.round}, at {env.now:g} s, {GONE}")
                return
            yield calls.wake(next_s)

    def _fill(self, world: World, state: ProtocolState, calls: Calls, log: Log, tally: _Tally) -> float:
        """Call clients until enough are active; if there are not enough, says when to look again."""
        now_s, everyone = world.env.now, np.arange(world.clients)
        state.ask_again_s = {client: time_s for client, time_s in state.ask_again_s.items() if time_s > now_s}
        free = self.senders(world.clients) - len(state.busy)
        if free <= 0:
            return math.inf
        idle = np.setdiff1d(everyone, [*state.busy, *state.buffer, *state.ask_again_s], assume_unique=True)
        there = world.presence.present(idle, now_s)
        absent, idle = idle[~there], idle[there]
        while free and idle.size:
            if state.failed >= world.clients:
                tally.row([])
                if state.round == world.rounds:
                    return math.inf
            state.draws += 1
            asked = world.drawn(idle, free, "concurrency", state.draws)
            called = self._ask(world, state, calls, log, asked)
            idle = np.setdiff1d(idle, asked, assume_unique=True)
            free -= len(called)
        if not free:
            return math.inf
        # whoever waits in the buffer waits for others: a place that is free has nobody to take it before
        changes_s = world.presence.change_s(absent, now_s) if absent.size else np.zeros(0)
        return min([float(changes_s.min(initial=math.inf)), *state.ask_again_s.values()])

    def _ask(self, world: World, state: ProtocolState, calls: Calls, log: Log, clients: list[int]) -> list[Decision]:
        """Ask the schedule about `clients`, and call whom it lets send."""
        requests = world.requests(state.round + 1, clients)
        air = world.medium.air(known_gain=world.schedule.csi != "large_scale")
        air = replace(air, places=self.senders(world.clients))
        now_s = world.env.now
        decisions, state.schedule = world.schedule.decide(now_s, air, requests, calls.flights(), state.schedule)
        log.decided(requests, decisions)
        called = [decision for decision in decisions if decision.action == "send"]
        again_s = now_s + self.retry_s
        state.ask_again_s |= {d.client: again_s for d in decisions if d.action != "send"}
        state.failed += len(decisions) - len(called)
        if called:
            calls.start(called)
        return called

    def _update(self, world: World, state: ProtocolState) -> list[int]:
        """Merge the buffer; the ages of what was in it."""
        arrived = [*state.buffer.values()]
        ages = [state.version - call.version for call in arrived]
        payloads = {call.client: call.payload for call in arrived if call.payload is not None}  # which all have
        world.work.aggregate(payloads, self._factors(world, arrived, ages))
        state.version += 1
        state.buffer.clear()
        return ages

    def _factors(self, world: World, arrived: list[Call], ages: list[int]) -> dict[int, float]:
        """What changes count beside their clients' shares of the data, which `Work.aggregate` weighs them with."""
        factors = {
            call.client: self.server_lr * self.staleness.weight(age) for call, age in zip(arrived, ages, strict=True)
        }
        if self.weights == "examples":
            return factors
        weight = {client: world.work.weight(client) for client in factors}
        mean = sum(weight.values()) / len(weight)
        return {client: factor * mean / weight[client] for client, factor in factors.items()}


class _Tally:
    """Counts what the row of a round says, and closes it."""

    def __init__(self, world: World, state: ProtocolState, log: Log) -> None:
        self._world, self._state, self._log, self.dropped = world, state, log, 0
        self._begin()

    def _begin(self) -> None:
        there = self._world.presence.present(np.arange(self._world.clients), self._world.env.now)
        self._log.begin(away=int(there.size - np.count_nonzero(there)))
        self.dropped = 0

    def row(self, ages: list[int], last: bool = False) -> None:
        """Close the round, with arrivals of these ages merged."""
        world, state = self._world, self._state
        state.schedule = world.schedule.observe(world.env.now - self._log.start_s, state.schedule)
        late = len(state.busy) + len(state.buffer)
        self._log.commit(ages, dropped=self.dropped, late=late, last=last)
        state.failed = 0
        self._begin()
