"""Buffered asynchronous training: clients come and go, and the model moves on whenever enough updates have arrived.

Knows who talks when; neither formulas nor tensors.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import simpy

from channels.options import Count, OneOf, Options
from channels.units import Positive, Seconds
from wfl_sim.contracts import Work
from wfl_sim.protocols.base import Ids, ProtocolState, World
from wfl_sim.protocols.calls import NOW, Calls
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
    concurrency : How many clients are active at once, if there are so many. Larger: more updates a second, older ones,
        and less band for each.
    server_lr : Step of the server. Smaller: each update moves the model less; with a buffer of 1 it is the mixing
        weight of FedAsync.
    weights : How the changes in a buffer count against each other: all alike, or by the clients' numbers of examples.
    staleness : What an old update is worth.
    retry_s : How long a client that was deferred is left alone. Larger: more time for its link to change.
    """

    kind: Literal["buffered"] = "buffered"
    buffer: Count
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
        state.schedule = state.schedule or world.schedule.start()
        cycle = _Cycle(self, world, state)
        while state.round < world.rounds:
            cycle.take()
            next_s = cycle.fill()
            if state.round >= world.rounds:
                return
            if not state.busy and next_s == math.inf:
                cycle.row([], last=True)
                if state.round < world.rounds:
                    waiting = f"{len(state.buffer)} updates wait in a buffer that nobody is left to fill"
                    world.stop(
                        f"after round {state.round}, at {world.env.now:g} s, {waiting if state.buffer else GONE}"
                    )
                return
            yield cycle.calls.wake(min([next_s, *(ended.known_s for ended in cycle.calls.ended)]))

    def factors(self, ages: Mapping[int, int], work: Work) -> dict[int, float]:
        """What the changes of clients count, by their ages, beside the shares that `Work.aggregate` gives them."""
        factors = {client: self.server_lr * self.staleness.weight(age) for client, age in ages.items()}
        if self.weights == "examples":
            return factors
        weight = {client: work.weight(client) for client in factors}
        mean = sum(weight.values()) / len(weight)
        return {client: factor * mean / weight[client] for client, factor in factors.items()}


class _Cycle:
    """One run: takes what has arrived, merges it, and calls clients in place of those that ended."""

    def __init__(self, options: Buffered, world: World, state: ProtocolState) -> None:
        self._options, self._world, self._state = options, world, state
        self._log = Log(world, state)
        self.calls = Calls(world, state, self._log, each=True)
        self._places = options.senders(world.clients)
        self._idle = np.ones(world.clients, dtype=np.bool_)  # neither busy, nor in the buffer, nor left alone
        self._idle[[*state.busy, *state.buffer, *state.ask_again_s]] = False
        self._begin()

    def _begin(self) -> None:
        there = self._world.presence.present(np.arange(self._world.clients), self._world.env.now)
        self._log.begin(away=int(there.size - np.count_nonzero(there)))
        self._dropped, self._latencies = 0, list[tuple[int, float]]()  # of calls that ended

    def row(self, ages: Sequence[int], last: bool = False) -> None:
        """Close the round, with arrivals of these ages merged."""
        world, state = self._world, self._state
        state.schedule = world.observe(world.env.now - self._log.start_s, self._latencies, state.schedule)
        self._log.commit(ages, dropped=self._dropped, late=len(state.busy) + len(state.buffer), last=last)
        state.failed = 0
        self._begin()

    def take(self) -> None:
        """Take what has ended, and merge the buffer whenever it is full."""
        state, world = self._state, self._world
        for ended in self.calls.take(world.env.now):
            client = ended.call.client
            self._latencies.append(ended.latency)
            if ended.outcome != "delivered":
                self._idle[client] = True
                self._dropped, state.failed = self._dropped + 1, state.failed + 1
                continue
            state.buffer[client], state.failed = ended.call, 0
            if len(state.buffer) == self._options.buffer:
                self._merge()
                if state.round == world.rounds:
                    return

    def _merge(self) -> None:
        state, work = self._state, self._world.work
        ages = {client: state.version - call.version for client, call in state.buffer.items()}
        payloads = {c: call.payload for c, call in state.buffer.items() if call.payload is not None}  # which all have
        work.aggregate(payloads, self._options.factors(ages, work))
        state.version += 1
        self._idle[[*state.buffer]] = True
        state.buffer.clear()
        self.row([*ages.values()])

    def fill(self) -> float:
        """Call clients until enough are active; if there are not enough, says when to look again."""
        world, state = self._world, self._state
        if world.rounds <= state.round or len(state.busy) >= self._places:
            return math.inf
        now_s = world.env.now
        if back := [client for client, time_s in state.ask_again_s.items() if time_s <= now_s * (1 + NOW)]:
            self._idle[back] = True
            for client in back:
                del state.ask_again_s[client]
        idle = _Lots(np.flatnonzero(self._idle), world)
        absent: list[Ids] = []
        here, batch = np.empty(0, np.int64), 0
        while (free := self._places - len(state.busy)) and (here.size or idle.left):
            if not here.size:
                state.draws += 1
                drawn = idle.draw(max(free, batch), state.draws)
                batch = 2 * drawn.size  # where few are there, a question about many costs little more
                there = world.presence.present(drawn, now_s)
                here = drawn[there]
                if not there.all():
                    absent.append(drawn[~there])
                continue
            chosen, here = here[:free], here[free:]
            if state.failed >= world.clients:
                self.row([])
                if state.round >= world.rounds:
                    return math.inf
            self._ask(np.sort(chosen).tolist())
        if not free:
            return math.inf
        # Whoever waits in the buffer waits for others: a place that is free has nobody to take it before.
        changes_s = world.presence.change_s(np.concatenate(absent), now_s) if absent else np.zeros(0)
        return min([float(changes_s.min(initial=math.inf)), *state.ask_again_s.values()])

    def _ask(self, clients: list[int]) -> None:
        """Ask the schedule about `clients`, and call whom it lets send."""
        world, state, schedule = self._world, self._state, self._world.schedule
        requests = world.requests(state.round + 1, clients, self._places)
        air = replace(world.medium.air(known_gain=schedule.csi != "large_scale"), places=self._places)
        decisions, state.schedule = world.decide(air, requests, self.calls.flights(), state.schedule)
        self._log.decided(requests, decisions)
        self._idle[clients] = False
        called = [decision for decision in decisions if decision.action == "send"]
        again_s = world.env.now + self._options.retry_s
        state.ask_again_s |= {d.client: again_s for d in decisions if d.action != "send"}
        state.failed += len(decisions) - len(called)
        if called:
            self.calls.start(called)


class _Lots:
    """Draws without replacement, as many at a time as are wanted: the beginning of a random permutation.

    Only as far as it is needed, so that a draw costs as much as it draws.
    """

    def __init__(self, clients: Ids, world: World) -> None:
        self._clients, self._stream, self.left = clients, world.stream.child("concurrency"), int(clients.size)

    def draw(self, count: int, index: int) -> Ids:
        """The next `count` clients, or all that are left; keyed by the `index` of the draw."""
        clients, count = self._clients, min(count, self.left)
        for lot in self._stream.uniform(np.arange(count), index).tolist():
            at, last = int(lot * self.left), self.left - 1
            clients[at], clients[last] = clients[last], clients[at]
            self.left = last
        return clients[self.left : self.left + count]
