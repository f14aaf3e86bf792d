"""The course of those who are called: downlink, training and computing, upload, and what became of it.

Knows the medium and the learning side; who is called when, and what is done with what arrives, is the protocol's.

No client has a SimPy process. A downlink that ends starts the training of all that it reached and asks for their
uploads, each from the time at which it will have computed, and an upload that ends leaves a note in `Calls.ended`, to
be taken once its latency is over. What training gave is waited for when the air needs the size of the upload, so that
simulated time goes on while clients train, unless the work knows all payloads at once.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal, NamedTuple, cast

import numpy as np
import simpy

from wfl_sim.contracts import Decision, Flight
from wfl_sim.protocols.base import Call, ProtocolState, World
from wfl_sim.protocols.log import Log
from wfl_sim.radio.transmission import Reason, Transmission

Outcome = Literal["delivered", "dropped", "late"]

_LEFT: Reason = "left"
_DEADLINE: Reason = "deadline"
NOW = 1e-12  # relative: times this near are one, however their sums were rounded


class Ended(NamedTuple):
    """What became of a call, and from when on the base station knows it."""

    known_s: float
    call: Call
    outcome: Outcome

    @property
    def latency(self) -> tuple[int, float]:
        """The client, and how long its call took."""
        return self.call.client, self.known_s - self.call.called_s


class Calls:
    """Starts calls and notes how they end.

    Parameters
    ----------
    world : World
    state : ProtocolState
        `state.busy` holds whoever was called until the protocol has taken its end.
    log : Log
    each : bool
        Whether whoever waits is woken by each call that ends, or by the last of those called together.
    """

    def __init__(self, world: World, state: ProtocolState, log: Log, *, each: bool = False) -> None:
        self._world, self._state, self._log, self._each = world, state, log, each
        self.latency_s = world.medium.radio.latency_s
        self._wake: simpy.Event | None = None
        self._cut_s, self._carry = math.inf, False
        self._flights: dict[int, Flight] = {}  # of the busy, made when they are asked for
        self.ended: deque[Ended] = deque()  # in the order in which the base station learns of them
        self.outstanding = 0  # of those whom the last `start` called

    def flights(self) -> tuple[Flight, ...]:
        """Who holds band."""
        flights, busy = self._flights, self._state.busy
        for client in busy.keys() - flights.keys():
            call = busy[client]
            flights[client] = Flight(client, call.bandwidth_hz, call.point.bits)
        return tuple([flights[client] for client in busy])

    def start(self, called: Sequence[Decision], cut_s: float = math.inf, carry: bool = False) -> None:
        """Call clients: who is not through by `cut_s` is late; with `carry` it goes on nevertheless.

        The deadline is a latency after `cut_s`, when the base station knows what it got.
        """
        world, state, clients = self._world, self._state, [decision.client for decision in called]
        self._cut_s, self._carry, self.outstanding = cut_s, carry, len(called)
        number, ids = state.round + 1, np.array(clients, dtype=np.int64)
        now_s = world.env.now
        leaves_s = world.presence.change_s(ids, now_s).tolist()
        seconds = world.compute_s(ids, number).tolist()
        version, busy = state.version, state.busy
        for decision, leaves, takes in zip(called, leaves_s, seconds, strict=True):
            client = decision.client
            busy[client] = Call(client, number, version, decision.bandwidth_hz, decision.point, leaves, takes,
                                called_s=now_s)  # fmt: skip
        medium, work = world.medium, world.work
        if medium.radio.downlink.access == "unicast":
            bits: int | list[int] = [work.downlink([client]).bits for client in clients]
            groups = [[client] for client in clients]
        else:
            bits, groups = work.downlink(clients).bits, [clients]
        for event, group in zip(medium.downlink(clients, bits, until_s=cut_s), groups, strict=True):
            assert event.callbacks is not None  # it has just been made
            event.callbacks.append(partial(self._down, group))

    def take(self, until_s: float) -> Iterator[Ended]:
        """What the base station has learnt by now, one after the other; whose end is taken is no longer busy."""
        limit_s = until_s * (1 + NOW)
        while self.ended and self.ended[0].known_s <= limit_s:
            ended = self.ended.popleft()
            del self._state.busy[ended.call.client]
            self._flights.pop(ended.call.client, None)
            yield ended

    def wake(self, until_s: float = math.inf) -> simpy.Event:
        """What a process waits for: a call that ends, or a time."""
        env = self._world.env
        self._wake = env.event()
        return self._wake if until_s == math.inf else self._wake | env.timeout(max(0.0, until_s - env.now))

    def _down(self, clients: Sequence[int], event: simpy.Event) -> None:
        if not event.ok:
            return  # an error, which the environment raises
        down = cast(Transmission, event.value)
        self._log.transmitted(down, 1.0)
        busy, world = self._state.busy, self._world
        arrival_s, reached, got = down.t_end_s + self.latency_s, set(down.reached), list[Call]()
        for client in clients:
            call = busy[client]
            if client in reached and call.leaves_s > arrival_s:
                got.append(call)
                continue
            self._log.never_computes(client)
            late = down.reason == "deadline" and call.leaves_s > arrival_s
            self._end(arrival_s, call, "late" if late else "dropped")
        if got:
            reached_ids = [call.client for call in got]
            world.work.received(reached_ids)
            world.work.train(got[0].round, reached_ids)
            self._compute(got, arrival_s)

    def _compute(self, calls: Sequence[Call], start_s: float) -> None:
        """Clients have the model: they compute, and then send."""
        uplink, up, at_once = self._world.medium.uplink, self._up, self._world.work.known_at_once
        cut_s = math.inf if self._carry else self._cut_s
        computed: list[float] = []
        for call in calls:
            begin_s, leaves_s = start_s + call.compute_s, call.leaves_s
            if leaves_s <= begin_s and leaves_s <= cut_s:
                self._give_up(call, leaves_s, "dropped")
                computed.append(leaves_s - start_s)
                continue
            if begin_s >= cut_s:
                self._give_up(call, cut_s, "late")
                # it hears of the deadline when all do, a latency after the last upload that was in time
                computed.append(min(call.compute_s, max(0.0, cut_s + self.latency_s - start_s)))
                continue
            computed.append(call.compute_s)
            bits = self._encode(call, begin_s) if at_once else partial(self._encode, call, begin_s)
            if bits == 0:
                continue
            until_s, reason = (leaves_s, _LEFT) if leaves_s <= cut_s else (cut_s, _DEADLINE)
            event = uplink(call.client, bits, call.bandwidth_hz, begin_s=begin_s, until_s=until_s, reason=reason)
            assert event.callbacks is not None  # it has just been made
            event.callbacks.append(up)
        self._log.compute([call.client for call in calls], start_s, computed)

    def _encode(self, call: Call, begin_s: float) -> int:
        """The size of an upload that begins at `begin_s`; 0 if there is none, which ends the call then."""
        call.payload = payload = self._world.work.encode(call.client, call.point)
        if payload is not None:
            return payload.bits
        self._at(begin_s, lambda: self._diverged(call, begin_s))
        return 0

    def _diverged(self, call: Call, now_s: float) -> None:
        self._log.diverged(call.client, now_s, call.bandwidth_hz)
        self._end(now_s + self.latency_s, call, "dropped")

    def _give_up(self, call: Call, end_s: float, outcome: Outcome) -> None:
        """It is gone, or the round is over, before it has computed."""
        self._world.work.stopped(call.client)
        self._at(end_s, lambda: self._end(end_s + self.latency_s, call, outcome))

    def _at(self, time_s: float, act: Callable[[], None]) -> None:
        event = self._world.env.timeout(max(0.0, time_s - self._world.env.now))
        assert event.callbacks is not None  # it has just been made
        event.callbacks.append(lambda _: act())

    def _up(self, event: simpy.Event) -> None:
        if not event.ok:
            return  # an error, which the environment raises
        up = cast(Transmission, event.value)
        call = self._state.busy[up.client]
        assert call.payload is not None  # it has been sent
        self._log.transmitted(up, call.payload.kept_fraction)
        if up.outcome == "delivered":
            outcome: Outcome = "delivered"
        else:
            self._world.work.lost(up.client)
            outcome = "late" if up.reason == "deadline" else "dropped"
        self._end(up.t_end_s + self.latency_s, call, outcome)

    def _end(self, known_s: float, call: Call, outcome: Outcome) -> None:
        self.ended.append(Ended(known_s, call, outcome))
        if call.round == self._state.round + 1:
            self.outstanding -= 1
        if self._wake is not None and not self._wake.triggered and (self._each or self.outstanding == 0):
            self._wake.succeed()
