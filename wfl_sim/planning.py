"""Rounds as the schedule of an arm plans them, one after the other, until they are at rest.

Knows no tensor, no fading draw and no loss of a packet: times are those that the schedule plans with, over the real
medium. How clients move once a plan is at rest does not count, nor the jitter of their computing. The time that this
takes hardly grows with rounds or clients: a plan is held, and of many clients some stand for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import simpy

from channels.streams import Stream
from wfl_sim.contracts import Air, Decision, FloatArray, PayloadMenu, Request, Work
from wfl_sim.protocols.base import World
from wfl_sim.radio.medium import Medium
from wfl_sim.scenario import Scenario

PLANNED_ROUNDS = 20  # at most
LONGEST_HOLD = 256  # rounds that a plan is held for while the schedule's state still drifts
PLANNED_CLIENTS = 100  # at most; more are planned for by as many of them, from the weakest to the strongest link
FARTHEST = 100  # widths of their region that clients move in the plan
CLOCK_S = 1e9  # at which the plan's clock stops: fading has no later times
AT_REST = 0.1  # relative: with a round this near the latency budget a virtual queue hardly moves
REPEATED = 0.15  # relative: times this near each other count as a plan that goes on; clients' movement makes 0.1
TIED = 1e-6  # of the longest time: far above the 1e-13 to which schedules let uploads end together


@dataclass(frozen=True)
class Size:
    """A payload of which nothing matters but its size."""

    bits: int


class Sizes:
    """The learning side as planning needs it: equal weights, the codec's menu, a broadcast of the dense change.

    What changed is what any client sent: nearly everything, with more than a few of them.
    """

    def __init__(self, menu: PayloadMenu, clients: int) -> None:
        self._menu, self._weight = menu, 1.0 / clients
        self._change = Size(menu.points[-1].bits)

    def weight(self, client: int) -> float:
        """The same for all."""
        return self._weight

    def menu(self, client: int) -> PayloadMenu:
        """What the client could send."""
        return self._menu

    def downlink(self, clients: Sequence[int]) -> Size:
        """The whole change, whoever asks."""
        return self._change


@dataclass(frozen=True)
class PlannedRound:
    """A round that is planned once and lasts for `held` rounds; arrays and tuples [clients that are called].

    Each of these clients stands for `share` of them, itself included. None is called in a round that cannot be planned,
    because a link carries no rate that a float can hold.
    """

    held: int
    share: float
    seconds: float
    requests: tuple[Request, ...]
    decisions: tuple[Decision, ...]
    broadcast_s: float
    air_s: FloatArray

    @property
    def called(self) -> float:
        """How many clients are called."""
        return self.share * len(self.decisions)

    @property
    def choice(self) -> tuple[Any, ...]:
        """Who sends what: arms that agree in this train alike."""
        return tuple((d.client, d.point.bits) for d in self.decisions)


def plan(scenario: Scenario, medium: Medium, menu: PayloadMenu) -> list[PlannedRound]:
    """Plan all rounds of a scenario's first seed, as few as will do.

    A round is at rest when it leaves the schedule's state as it was, or takes the latency budget to within `AT_REST`;
    it is then taken to last to the end, as is the last of `PLANNED_ROUNDS`. A plan that repeats itself (in what is
    sent, or in time to within `REPEATED`) while the state still drifts is held for twice as many rounds each time, up
    to `LONGEST_HOLD`. Clients beyond `PLANNED_CLIENTS` are left out, and the band is narrower in proportion.

    Parameters
    ----------
    scenario : Scenario
    medium : Medium
        That of the scenario; its clock is not used.
    menu : PayloadMenu
        What every client could send.

    Returns
    -------
    list of PlannedRound
        Their `held` sum to the scenario's rounds.
    """
    schedule, stream = scenario.schedule, Stream.root(scenario.seeds[0]).child("protocol")
    work = cast(Work, Sizes(menu, scenario.clients.count))
    world = World(simpy.Environment(), medium, work, schedule, scenario.clients.compute, stream, scenario.clients.count,
                  scenario.rounds, lambda *rows: None)  # fmt: skip
    clients, last_s = _chosen(medium, scenario.clients.count), _last_s(scenario, medium)
    share = scenario.clients.count / len(clients)
    air = medium.air(known_gain=schedule.csi != "large_scale")
    air = replace(air, bandwidth_hz=air.bandwidth_hz / share)
    state, budget_s = schedule.start(), schedule.latency_budget
    rounds: list[PlannedRound] = []
    left, held, now_s = scenario.rounds, 1, 0.0
    while left:
        world = replace(world, env=simpy.Environment(min(now_s, last_s)))
        requests = world.requests(scenario.rounds - left + 1, clients)
        decisions, asked, before = list[Decision](), state, state
        if _carries(air, requests):
            decisions, before = schedule.decide(world.env.now, air, requests, (), state)
        planned = replace(_round(scenario, air, requests, decisions), share=share)
        state = schedule.observe(planned.seconds, before)
        at_rest = state == asked or (budget_s and abs(planned.seconds / budget_s - 1) <= AT_REST)
        again = bool(rounds) and (
            planned.choice == rounds[-1].choice
            or abs(planned.seconds - rounds[-1].seconds) <= REPEATED * rounds[-1].seconds
        )
        held = min(2 * held, LONGEST_HOLD) if again else 1
        held = left if at_rest or len(rounds) == PLANNED_ROUNDS - 1 else min(held, left)
        for _ in range(held - 1 if held < left else 0):  # nobody asks for the state at the end
            state = schedule.observe(planned.seconds, state)
        rounds.append(replace(planned, held=held))
        left -= held
        now_s += held * planned.seconds
    return rounds


def _chosen(medium: Medium, count: int) -> list[int]:
    """The clients that are planned for: all, or some that are evenly spread over the order of their links."""
    if count <= PLANNED_CLIENTS:
        return list(range(count))
    order = np.argsort(medium.snr_hz(range(count), 0.0, known_gain=False), kind="stable")
    return sorted(order[np.linspace(0, count - 1, PLANNED_CLIENTS).round().astype(int)].tolist())


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
    broadcast_s = np.array([r.downlink_s for r in requests])
    return bool(np.isfinite(rate).all() and (rate > 0).all() and np.isfinite(broadcast_s).all())


def _round(scenario: Scenario, air: Air, requests: Sequence[Request], decisions: Sequence[Decision]) -> PlannedRound:
    idle = PlannedRound(1, 1.0, getattr(scenario.protocol, "retry_s", 1.0), (), (), 0.0, np.zeros(0))
    called = [(r, d) for r, d in zip(requests, decisions, strict=bool(decisions)) if d.action == "send"]
    if not called:
        return idle
    timeout_s = scenario.radio.timeout_s  # then the medium drops a transfer
    broadcast_s = min(max(r.downlink_s for r, _ in called), timeout_s + scenario.radio.latency_s)
    snr_hz = np.array([r.snr_hz for r, _ in called])
    wire_bits = np.array([air.wire_bits(d.point.bits) for _, d in called])
    granted_hz = np.array([d.bandwidth_hz for _, d in called])
    if not ((granted_hz > 0) & np.isfinite(granted_hz)).all():
        return idle
    air_s = upload_s(air, wire_bits, granted_hz, snr_hz, scenario.radio.uplink.work_conserving)
    if not np.isfinite(air_s).all():
        return idle
    air_s = np.minimum(air_s, timeout_s)
    seconds = broadcast_s + max(r.ready_s for r, _ in called) + float(air_s.max())
    requests, decisions = zip(*called, strict=True)
    return PlannedRound(1, 1.0, seconds, requests, decisions, broadcast_s, air_s)


def upload_s(
    air: Air, wire_bits: FloatArray, granted_hz: FloatArray, snr_hz: FloatArray, work_conserving: bool
) -> FloatArray:
    """How long uploads [clients] that begin together are planned to take.

    At the planning rate of what was granted; with a work-conserving uplink those that still send share the whole band
    in proportion to their grants. Infinite for uploads that have no rate.
    """
    if not work_conserving:
        return np.asarray(wire_bits / air.rate_bps(granted_hz, snr_hz))
    left, ends_s, now_s = wire_bits.copy(), np.zeros(wire_bits.size), 0.0
    sending = np.arange(wire_bits.size)
    while sending.size:
        share_hz = granted_hz[sending] * (air.bandwidth_hz / granted_hz[sending].sum())
        rate = air.rate_bps(share_hz, snr_hz[sending])
        need_s = left[sending] / rate
        step_s = float(need_s.min())
        if not np.isfinite(step_s):
            ends_s[sending] = np.inf
            break
        done = need_s <= step_s * (1 + TIED)
        left[sending] -= rate * step_s
        now_s += step_s
        ends_s[sending[done]] = now_s
        sending = sending[~done]
    return ends_s
