"""The course of a split round: steps of forward, upload, service, gradient and backward, then the adapters' upload.

Knows the medium, the order of service and the learning side as payloads with sizes; as in `wfl_sim.protocols.calls`,
whose beginning and end it shares, no client has a SimPy process.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import simpy

from wfl_sim.contracts import AnyPayload, Decision, FloatArray
from wfl_sim.protocols.base import Call, ProtocolState, World
from wfl_sim.protocols.calls import Calls, Outcome
from wfl_sim.protocols.log import Log
from wfl_sim.radio.clock import LAST, act_at
from wfl_sim.radio.transmission import Transmission
from wfl_sim.serving import Job, Order, OrderKind
from wfl_sim.splitwork import SplitWork


@dataclass(slots=True)
class _Member:
    """A client in a round, and what a step takes it."""

    call: Call
    forward_s: float
    backward_s: float
    job: Job  # as expected; the release counts from the step's beginning
    done: int = 0  # steps that are over for it
    served: int = 0
    begun_s: float | None = None  # when it began to compute
    computed_s: float = 0.0
    sent: AnyPayload | None = None  # of this step, last


class Exchanges(Calls):
    """Calls that go through steps.

    Parameters
    ----------
    world, state, log
        As of `Calls`; the world's work is a `SplitWork`.
    order : OrderKind
    server_speed : float
        In times that of a client of speed 1.
    """

    def __init__(self, world: World, state: ProtocolState, log: Log, order: OrderKind, server_speed: float) -> None:
        super().__init__(world, state, log)
        self._work, self._kind, self._speed = cast(SplitWork, world.work), order, server_speed
        self._members: dict[int, _Member] = {}  # those who go on
        self._open: set[int] = set()  # those for whom this step is not over
        self._awaited: set[int] = set()  # those whose activations may still arrive in this step
        self._arrived: dict[int, float] = {}  # those who wait to be served, and since when
        self._serving = False
        self._order: Order | None = None
        self._expected: dict[int, Job] = {}  # what it was made for

    # -- the beginning ------------------------------------------------------------------------------

    def start(self, called: Sequence[Decision], cut_s: float = math.inf, carry: bool = False) -> None:
        super().start(called, cut_s, carry)
        self._members = self._planned([decision.client for decision in called])
        self._step_begins()

    def _planned(self, clients: Sequence[int]) -> dict[int, _Member]:
        """What each step is expected to take the clients."""
        world, work, calls = self._world, self._work, [self._state.busy[client] for client in clients]
        bits = [work.transfer_bits(call.client, call.point) for call in calls]
        tails_s, up_s = downlink_s(world, clients, bits), [0.0] * len(calls)
        if self._kind == "exact":  # the only one for which the releases count
            up_s = self._uplink_s(calls, bits)
        found = {}
        for call, tail_s, sends_s in zip(calls, tails_s.tolist(), up_s, strict=True):
            parts, step_s = work.parts(call.client), call.compute_s / work.steps
            forward_s, backward_s = parts.forward * step_s, parts.backward * step_s
            service_s = parts.server * world.compute.stated_s / work.steps / self._speed
            job = Job(forward_s + sends_s + self.latency_s, service_s, tail_s + backward_s)
            found[call.client] = _Member(call, forward_s, backward_s, job)
        return found

    def _uplink_s(self, calls: Sequence[Call], bits: Sequence[int]) -> list[float]:
        """How long activations are expected to be on the air, in the bandwidths granted."""
        medium, known = self._world.medium, self._world.schedule.csi != "large_scale"
        air, clients = medium.air(known), [call.client for call in calls]
        snr_hz = medium.snr_hz(clients, self._world.env.now - self._world.schedule.csi_delay_s, known)
        rates_bps = air.rate_bps(np.array([call.bandwidth_hz for call in calls]), snr_hz)
        times_s: list[float] = (np.array([air.wire_bits(size) for size in bits]) / rates_bps).tolist()
        return times_s

    def _step_begins(self) -> None:
        """All who go on have this step before them."""
        jobs = {client: member.job for client, member in self._members.items()}
        lots: dict[int, float] = {}
        if self._kind == "random":
            step = max(member.done for member in self._members.values())
            clients, index = np.array([*jobs], dtype=np.int64), self._state.round * self._work.steps + step
            lots = dict(zip(jobs, self._world.stream.child("order").uniform(clients, index).tolist(), strict=True))
        if lots or jobs != self._expected:  # the best order of many takes a while
            self._order, self._expected = Order(self._kind, jobs, lots), jobs
        self._open, self._awaited = set(jobs), set(jobs)

    def _compute(self, calls: Sequence[Call], start_s: float) -> None:
        """Clients have the model: their first step begins."""
        for call in calls:
            self._forward(self._members[call.client], start_s)

    # -- a step -------------------------------------------------------------------------------------

    def _forward(self, member: _Member, start_s: float) -> None:
        if member.begun_s is None:
            member.begun_s = start_s
        self._computes(member, start_s, member.forward_s, partial(self._send, member))

    def _computes(self, member: _Member, start_s: float, takes_s: float, then: Callable[[], None]) -> None:
        """A client computes, unless it leaves before it is through, and then acts."""
        leaves_s, ends_s = member.call.leaves_s, start_s + takes_s
        if leaves_s <= ends_s:
            member.computed_s += max(0.0, leaves_s - start_s)
            self._at(leaves_s, partial(self._leaves, member))
        else:
            member.computed_s += takes_s
            self._at(ends_s, then)

    def _send(self, member: _Member) -> None:
        call = member.call
        if call.leaves_s <= self._world.env.now:  # by what floats lose on the way here
            self._leaves(member)
            return
        member.sent = payload = self._work.forward(call.client, call.point)
        if payload is None:
            self._nothing(member)
            return
        self._heard(self._world.medium.uplink(call.client, payload.bits, call.bandwidth_hz, until_s=call.leaves_s,
                                              reason="left"), partial(self._came, member))  # fmt: skip

    def _came(self, member: _Member, up: Transmission) -> None:
        """Activations arrived, or never will."""
        known_s = up.t_end_s + self.latency_s
        if up.outcome == "delivered":
            self._at(known_s, partial(self._waits, member))
        else:
            self._lost(member, up, known_s)

    def _waits(self, member: _Member) -> None:
        client, env = member.call.client, self._world.env
        self._awaited.discard(client)
        self._arrived[client] = env.now
        act_at(env, env.now, self._serve, LAST)  # behind all that arrive at this instant

    def _serve(self) -> None:
        """The server takes the next, if it is free and has one."""
        if self._serving or self._order is None:
            return
        client = self._order.next(self._arrived, self._awaited)
        if client is not None:
            del self._arrived[client]
            member, self._serving = self._members[client], True
            self._at(self._world.env.now + member.job.service_s, partial(self._served, member))

    def _served(self, member: _Member) -> None:
        call, env = member.call, self._world.env
        self._serving = False
        member.sent = payload = self._work.serve(call.client)
        act_at(env, env.now, self._serve, LAST)
        if payload is None:
            self._nothing(member)
            return
        member.served += 1
        if call.leaves_s <= env.now:
            self._leaves(member)
            return
        self._heard(self._world.medium.to_one(call.client, payload.bits, until_s=call.leaves_s, reason="left"),
                    partial(self._got, member))  # fmt: skip

    def _got(self, member: _Member, down: Transmission) -> None:
        """A gradient arrived, or never will."""
        arrival_s = down.t_end_s + self.latency_s
        if down.outcome == "delivered":
            self._computes(member, arrival_s, member.backward_s, partial(self._backward, member))
        else:
            self._lost(member, down, arrival_s)

    def _backward(self, member: _Member) -> None:
        self._work.backward(member.call.client)
        self._over(member)

    def _heard(self, event: simpy.Event, then: Callable[[Transmission], None]) -> None:
        """Note a transfer of a step when it ends, and go on."""

        def ended(event: simpy.Event) -> None:
            if event.ok:  # else an error, which the environment raises
                done = cast(Transmission, event.value)
                member = self._members[done.client]
                assert member.sent is not None  # it was on the air
                self._log.transmitted(done, member.sent.kept_fraction, member.done + 1)
                then(done)

        assert event.callbacks is not None  # it has just been made
        event.callbacks.append(ended)

    def _lost(self, member: _Member, done: Transmission, known_s: float) -> None:
        """What a step needed did not arrive: the client is gone, or misses the step."""
        if done.reason == "left":
            self._leaves(member)
            return
        self._work.missed(member.call.client)
        self._at(known_s, partial(self._over, member))

    def _over(self, member: _Member) -> None:
        """The step is over for a client."""
        member.done += 1
        if member.done == self._work.steps:
            self._adapters(member)
        self._out(member.call.client)

    def _out(self, client: int) -> None:
        """This step does not wait for a client, or not any more; who was last begins the next."""
        self._open.discard(client)
        self._awaited.discard(client)
        if self._open:
            act_at(self._world.env, self._world.env.now, self._serve, LAST)  # it may have waited for this one
            return
        on = [member for member in self._members.values() if member.done < self._work.steps]
        if on:
            self._step_begins()
            for member in on:
                self._forward(member, self._world.env.now)

    # -- the end ------------------------------------------------------------------------------------

    def _adapters(self, member: _Member) -> None:
        """All steps are over for a client: it sends its adapters, if it has learnt anything."""
        call, env = member.call, self._world.env
        if not member.served or call.leaves_s <= env.now:
            self._leaves(member)
            return
        if bits := self._encode(call, env.now):
            event = self._world.medium.uplink(
                call.client, bits, call.bandwidth_hz, until_s=call.leaves_s, reason="left"
            )
            assert event.callbacks is not None  # it has just been made
            event.callbacks.append(self._up)

    def _leaves(self, member: _Member) -> None:
        """It is gone, or has nothing to send: nothing more comes of its round."""
        self._work.stopped(member.call.client)
        self._end(self._world.env.now + self.latency_s, member.call, "dropped")

    def _nothing(self, member: _Member) -> None:
        """Its training diverged."""
        self._diverged(member.call, self._world.env.now)

    def _end(self, known_s: float, call: Call, outcome: Outcome) -> None:
        member = self._members.pop(call.client)
        if member.begun_s is not None:
            self._log.compute([call.client], member.begun_s, [member.computed_s])
        super()._end(known_s, call, outcome)
        if call.client in self._open:
            self._at(known_s, partial(self._out, call.client))


def downlink_s(world: World, clients: Sequence[int], bits: Sequence[int]) -> FloatArray:
    """How long a gradient is expected to take to each client alone, latency included."""
    medium, known = world.medium, world.schedule.csi != "large_scale"
    snr_hz = medium.snr_hz(clients, world.env.now - world.schedule.csi_delay_s, known, "down")
    return np.asarray(medium.downlink_estimate_s(snr_hz, bits, known))
