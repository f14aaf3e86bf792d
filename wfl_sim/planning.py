"""Rounds as the schedule of an arm plans them, one after the other, until they are at rest.

Knows no tensor, no fading draw and no loss of a packet: times are those that the schedule plans with, over the real
medium. How clients move once a plan is at rest does not count, nor the jitter of their computing, nor that some are not
there. The time that this takes hardly grows with rounds or clients: a plan is held, and of many clients some stand for
all.

A protocol without rounds (buffered) is planned in its steady state: with C clients under way and a mean time from one
download to the next of T, an update arrives every T / C. Under a scheduler (ofdma, unicast) all have equal shares.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import simpy

from channels.streams import Stream
from wfl_sim import airtime, learningwork
from wfl_sim.contracts import Air, Decision, FloatArray, Request, Work
from wfl_sim.networkonly import StagedSizes
from wfl_sim.pace import Pace, pace_of
from wfl_sim.protocols.base import World
from wfl_sim.radio.bands import bands
from wfl_sim.radio.medium import Medium
from wfl_sim.scenario import Scenario

PLANNED_ROUNDS = 20  # at most
LONGEST_HOLD = 256  # rounds that a plan is held for while the schedule's state still drifts
PLANNED_CLIENTS = 100  # at most; more are planned for by as many of them, from the weakest to the strongest link
FARTHEST = 100  # widths of their region that clients move in the plan
CLOCK_S = 1e9  # at which the plan's clock stops: fading has no later times
AT_REST = 0.1  # relative: with a round this near the latency budget a virtual queue hardly moves
REPEATED = 0.15  # relative: times this near each other count as a plan that goes on; clients' movement makes 0.1


@dataclass(frozen=True)
class PlannedRound:
    """A round that is planned once and lasts for `held` rounds; arrays and tuples [clients that are called].

    Each of these clients stands for `share` of them, itself included. None is called in a round that cannot be planned,
    because a link carries no rate that a float can hold. `download_s` runs from when the sending to all begins, and
    has the latency in it.
    """

    held: int
    share: float
    seconds: float
    requests: tuple[Request, ...]
    decisions: tuple[Decision, ...]
    download_s: FloatArray
    compute_s: FloatArray
    air_s: FloatArray
    late: float = 0.0
    """Share of the uploads that a deadline cuts off."""

    @property
    def called(self) -> float:
        """How many clients are called."""
        return self.share * len(self.decisions)

    @property
    def latencies(self) -> list[tuple[int, float]]:
        """Clients, and how long each takes from the call to its end, but for the latency of the last way."""
        seconds = self.download_s + self.compute_s + self.air_s
        return [(d.client, time_s) for d, time_s in zip(self.decisions, seconds.tolist(), strict=True)]

    @property
    def choice(self) -> tuple[Any, ...]:
        """Who sends what: arms that agree in this train alike."""
        return tuple((d.client, d.point.bits) for d in self.decisions)


def plan(scenario: Scenario, medium: Medium, work: Work) -> list[PlannedRound]:
    """Plan all rounds of a scenario's first seed, as few as will do.

    A round is at rest when it leaves the schedule's state as it was, or takes the latency budget to within `AT_REST`;
    it is then taken to last to the end, as is the last of `PLANNED_ROUNDS`. A plan that repeats itself (in what is
    sent, or in time to within `REPEATED`) while the state still drifts is held for twice as many rounds each time, up
    to `LONGEST_HOLD`. Where what is sent changes from round to round, all of them are planned, or evenly many in turn.
    Clients beyond `PLANNED_CLIENTS` are left out, and the band is narrower in proportion.

    Parameters
    ----------
    scenario : Scenario
    medium : Medium
        That of the scenario; its clock is not used.
    work : Work
        What clients could send, and what they download.

    Returns
    -------
    list of PlannedRound
        Their `held` sum to the scenario's rounds.
    """
    schedule, root, pace = scenario.schedule, Stream.root(scenario.seeds[0]), pace_of(scenario)
    world = World(
        env=simpy.Environment(),
        medium=medium,
        work=work,
        schedule=schedule,
        compute=learningwork.compute_of(scenario),
        stream=root.child("protocol"),
        clients=scenario.clients.count,
        rounds=scenario.rounds,
        commit=lambda *rows: None,
    )
    clients, last_s = chosen(medium, scenario.clients.count, pace.asked), _last_s(scenario, medium)
    share = pace.asked / len(clients)
    air = medium.air(known_gain=schedule.csi != "large_scale")
    air = replace(air, bandwidth_hz=air.bandwidth_hz / share)
    state, budget_s = schedule.start(), schedule.latency_budget
    rounds: list[PlannedRound] = []
    left, held, now_s = scenario.rounds, 1, 0.0
    staged = isinstance(work, StagedSizes)
    while left:
        world, number = replace(world, env=simpy.Environment(min(now_s, last_s))), scenario.rounds - left + 1
        if isinstance(work, StagedSizes):
            work.begin(number)
        requests = getattr(scenario.protocol, "requests", World.requests)(world, number, clients)
        decisions, asked, before = list[Decision](), state, state
        if _carries(air, requests):
            decisions, before = world.decide(air, requests, (), state)
        planned = _round(scenario, pace, share, world, air, requests, decisions)
        state = world.observe(planned.seconds, planned.latencies, before)
        at_rest = state == asked or (budget_s and abs(planned.seconds / budget_s - 1) <= AT_REST)
        again = bool(rounds) and (
            planned.choice == rounds[-1].choice
            or abs(planned.seconds - rounds[-1].seconds) <= REPEATED * rounds[-1].seconds
        )
        held = min(2 * held, LONGEST_HOLD) if again else 1
        held = left if at_rest or len(rounds) == PLANNED_ROUNDS - 1 else min(held, left)
        if staged:  # it goes on with what the next rounds send
            held = min(math.ceil(scenario.rounds / PLANNED_ROUNDS), left)
        for _ in range(held - 1 if held < left else 0):  # nobody asks for the state at the end
            state = world.observe(planned.seconds, planned.latencies, state)
        rounds.append(replace(planned, held=held))
        left -= held
        now_s += held * planned.seconds
    return rounds


def chosen(medium: Medium, count: int, asked: int) -> list[int]:
    """The clients that are planned for: all, or some that are evenly spread over the order of their links."""
    wanted = min(asked, PLANNED_CLIENTS)
    if count == wanted:
        return list(range(count))
    order = np.argsort(medium.snr_hz(range(count), 0.0, known_gain=False), kind="stable")
    ranks = np.linspace(0, count - 1, wanted) if wanted > 1 else np.array([count // 2])
    return sorted(order[ranks.round().astype(int)].tolist())


def _last_s(scenario: Scenario, medium: Medium) -> float:
    """When the plan's clock stops: a path of very many legs takes long to lay, and leads nowhere new."""
    placement, speed_mps = scenario.clients.placement, float(np.max(medium.links.trajectory.speed_mps, initial=0.0))
    near, far = (placement.point_m(np.array(u), np.array(u)) for u in (0.25, 0.75))
    width_m = float(np.hypot(*(far - near))) or FARTHEST
    return min(CLOCK_S, FARTHEST * width_m / speed_mps) if speed_mps else CLOCK_S


def _carries(air: Air, requests: Sequence[Request]) -> bool:
    """Whether every link carries a rate in the whole band, and the broadcast ends."""
    snr_hz = np.array([r.snr_hz for r in requests])
    if not np.isfinite(snr_hz).all():
        return False
    rate = air.rate_bps(np.full_like(snr_hz, air.bandwidth_hz), snr_hz)
    before_s = np.array([r.downlink_s + r.ready_s for r in requests])
    return bool(np.isfinite(rate).all() and (rate > 0).all() and np.isfinite(before_s).all())


def _round(
    scenario: Scenario,
    pace: Pace,
    share: float,
    world: World,
    air: Air,
    requests: Sequence[Request],
    decisions: Sequence[Decision],
) -> PlannedRound:
    radio, nobody = scenario.radio, np.zeros(0)
    idle = PlannedRound(1, share, getattr(scenario.protocol, "retry_s", 1.0), (), (), nobody, nobody, nobody)
    called = [(r, d) for r, d in zip(requests, decisions, strict=bool(decisions)) if d.action == "send"]
    if not called:
        return idle
    timeout_s = radio.timeout_s  # then the medium drops a transfer
    alone_s = _alone_s(world, [r.client for r, _ in called])
    begun_s = airtime.download_s(radio.downlink, alone_s, share) if pace.in_rounds else alone_s
    reached = np.isfinite(begun_s)
    called = [both for both, has in zip(called, reached, strict=True) if has]
    begun_s = np.minimum(begun_s[reached], timeout_s + radio.latency_s)
    granted_hz = np.array([d.bandwidth_hz for _, d in called])
    if not ((granted_hz > 0) & np.isfinite(granted_hz)).all():
        return idle
    snr_hz = np.array([r.snr_hz for r, _ in called])
    wire_bits = np.array([air.wire_bits(d.point.bits) for _, d in called])
    shares_hz, conserving, least_hz = airtime.sharing(radio.uplink, granted_hz)
    clients = [r.client for r, _ in called]
    ceiling, compute_s = _ceiling(scenario, world.medium, clients), _compute_s(scenario, world, clients)
    air_s = airtime.upload_s(air, wire_bits, shares_hz, snr_hz, conserving, least_hz, ceiling)
    if not np.isfinite(air_s).all():
        return idle
    air_s = np.minimum(air_s, timeout_s)
    ends_s = begun_s + compute_s + air_s + radio.latency_s
    requests, decisions = zip(*called, strict=True)
    planned = PlannedRound(1, share, float(ends_s.max()), requests, decisions, begun_s, compute_s, air_s)
    if pace.arrivals is not None:  # so many under way, one after the other at each place
        apart_s = max(float(ends_s.mean()) / pace.asked, float(alone_s.mean()))  # the downlink may be what is full
        return replace(planned, share=pace.arrivals / len(decisions), seconds=pace.arrivals * apart_s)
    late = float(np.mean(ends_s > pace.deadline_s))
    return replace(planned, seconds=min(planned.seconds, pace.deadline_s), late=late)


def _alone_s(world: World, clients: Sequence[int]) -> FloatArray:
    """How long each one's download is planned to take by itself, latency included."""
    schedule, medium = world.schedule, world.medium
    known, bits = schedule.csi != "large_scale", [world.work.downlink([client]).bits for client in clients]
    snr_hz = medium.snr_hz(clients, world.env.now - schedule.csi_delay_s, known, "down")
    return medium.downlink_estimate_s(snr_hz, bits, known)


def _compute_s(scenario: Scenario, world: World, clients: Sequence[int]) -> FloatArray:
    """How long each computes, without jitter; in split rounds, all but download and uploads."""
    exchange_s = getattr(scenario.protocol, "exchange_s", None)
    if exchange_s is not None:
        return np.asarray(exchange_s(world, clients))
    medians_s = getattr(world.compute, "medians_s", None)
    if medians_s is None:
        return np.full(len(clients), world.compute.median_s)
    return np.asarray(medians_s(world.stream.child("compute"), np.asarray(clients, dtype=np.int64)))


def _ceiling(scenario: Scenario, medium: Medium, clients: Sequence[int]) -> FloatArray | float:
    """The SNR that power control holds each client to."""
    uplink, up = scenario.radio.uplink, bands(scenario.radio, scenario.clients.tx_power_dbm)["up"]
    if uplink.power_control is None:
        return np.inf
    full_hz = medium.snr_hz(clients, 0.0, known_gain=False)
    return airtime.power_ceiling(uplink.power_control, uplink.resource_block_hz, up.power_w, up.noise_w_per_hz, full_hz)
