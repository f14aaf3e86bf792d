"""Rounds as the schedule of an arm plans them, one after the other, until they are at rest.

Knows no tensor, no fading draw and no loss of a packet: times are those that the schedule plans with, over the real
medium. How clients move once a plan is at rest does not count, nor the jitter of their computing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import simpy

from channels.streams import Stream
from wfl_sim.contracts import Air, Decision, FloatArray, Payload, PayloadMenu, Request, Work
from wfl_sim.protocols.base import World
from wfl_sim.radio.medium import Medium
from wfl_sim.scenario import Scenario

PLANNED_ROUNDS = 20  # at most
AT_REST = 0.1  # relative: with a round this near the latency budget a virtual queue hardly moves
REPEATED = 0.15  # relative: times this near each other count as a plan that goes on; clients' movement makes 0.1
TIED = 1e-6  # of the longest time: far above the 1e-13 to which schedules let uploads end together


class Sizes:
    """The learning side as planning needs it: equal weights, the codec's menu, a broadcast of the dense change.

    What changed is what any client sent: nearly everything, with more than a few of them.
    """

    def __init__(self, menu: PayloadMenu, clients: int) -> None:
        self._menu, self._weight = menu, 1.0 / clients
        self._change = Payload(bytes(menu.points[-1].bits // 8), 1.0)

    def weight(self, client: int) -> float:
        """The same for all."""
        return self._weight

    def menu(self, client: int) -> PayloadMenu:
        """What the client could send."""
        return self._menu

    def downlink(self, clients: Sequence[int]) -> Payload:
        """The whole change, whoever asks."""
        return self._change


@dataclass(frozen=True)
class PlannedRound:
    """A round that is planned once and lasts for `held` rounds; arrays and tuples [clients that are called]."""

    held: int
    seconds: float
    requests: tuple[Request, ...]
    decisions: tuple[Decision, ...]
    broadcast_s: float
    air_s: FloatArray

    @property
    def choice(self) -> tuple[Any, ...]:
        """Who sends what: arms that agree in this train alike."""
        return tuple((d.client, d.point.bits) for d in self.decisions)


def plan(scenario: Scenario, medium: Medium, menu: PayloadMenu) -> list[PlannedRound]:
    """Plan all rounds of a scenario's first seed, as few as will do.

    A round is at rest when it leaves the schedule's state as it was, or takes the latency budget to within `AT_REST`;
    it is then taken to last to the end, as is the last of `PLANNED_ROUNDS`. A plan that repeats itself (in what is
    sent, or in time to within `REPEATED`) while the state still drifts is held for twice as many rounds each time.

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
    schedule, clients, env = scenario.schedule, scenario.clients.count, simpy.Environment()
    work, stream = cast(Work, Sizes(menu, clients)), Stream.root(scenario.seeds[0]).child("protocol")
    world = World(env, medium, work, schedule, scenario.clients.compute, stream, clients,
                  scenario.rounds, lambda *rows: None)  # fmt: skip
    air = medium.air(known_gain=schedule.csi != "large_scale")
    state, budget_s = schedule.start(), schedule.latency_budget
    rounds: list[PlannedRound] = []
    left, held = scenario.rounds, 1
    while left:
        requests = world.requests(scenario.rounds - left + 1, range(clients))
        decisions, before = schedule.decide(env.now, air, requests, state)
        planned = _round(scenario, air, requests, decisions)
        state = schedule.observe(planned.seconds, before)
        at_rest = state == before or (budget_s and abs(planned.seconds / budget_s - 1) <= AT_REST)
        again = bool(rounds) and (
            planned.choice == rounds[-1].choice
            or abs(planned.seconds - rounds[-1].seconds) <= REPEATED * rounds[-1].seconds
        )
        held = 2 * held if again else 1
        held = left if at_rest or len(rounds) == PLANNED_ROUNDS - 1 else min(held, left)
        for _ in range(held - 1):
            state = schedule.observe(planned.seconds, state)
        rounds.append(replace(planned, held=held))
        left -= held
        env.run(until=env.now + held * planned.seconds)
    return rounds


def _round(scenario: Scenario, air: Air, requests: Sequence[Request], decisions: Sequence[Decision]) -> PlannedRound:
    called = [(r, d) for r, d in zip(requests, decisions, strict=True) if d.action == "send"]
    if not called:
        return PlannedRound(1, getattr(scenario.protocol, "retry_s", 1.0), (), (), 0.0, np.zeros(0))
    broadcast_s = max(r.downlink_s for r, _ in called)
    snr_hz = np.array([r.snr_hz for r, _ in called])
    wire_bits = np.array([air.wire_bits(d.point.bits) for _, d in called])
    granted_hz = np.array([d.bandwidth_hz for _, d in called])
    air_s = upload_s(air, wire_bits, granted_hz, snr_hz, scenario.radio.uplink.work_conserving)
    air_s = np.minimum(air_s, scenario.radio.timeout_s)  # then the medium drops it
    seconds = broadcast_s + max(r.ready_s for r, _ in called) + float(air_s.max())
    return PlannedRound(1, seconds, tuple(r for r, _ in called), tuple(d for _, d in called), broadcast_s, air_s)


def upload_s(
    air: Air, wire_bits: FloatArray, granted_hz: FloatArray, snr_hz: FloatArray, work_conserving: bool
) -> FloatArray:
    """How long uploads [clients] that begin together are planned to take.

    At the planning rate of what was granted; with a work-conserving uplink those that still send share the whole band
    in proportion to their grants.
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
        done = need_s <= step_s * (1 + TIED)
        left[sending] -= rate * step_s
        now_s += step_s
        ends_s[sending[done]] = now_s
        sending = sending[~done]
    return ends_s
