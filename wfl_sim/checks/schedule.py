"""Checks of schedules: decisions, the band, and a state that is plain data.

Know the contract and no schedule.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from channels.fading import NoFading, Rayleigh
from channels.linkadaptation import Shannon
from channels.ratecurve import RateCurve
from wfl_sim.checks.contract import Contract
from wfl_sim.contracts import Air, Decision, Flight, PayloadMenu, Point, Request, Schedule

# Places (0: a protocol that lets all send who ask), and the shares of the band that uploads in flight hold by then.
IN_FLIGHT: tuple[tuple[int, tuple[float, ...]], ...] = (
    (0, ()),
    (0, (0.25, 0.5)),
    (12, (1 / 12, 1 / 12)),
    (4, (0.001, 0.6, 0.1)),
    (3, (0.5, 0.5)),
)


def check_schedule(schedule: Schedule) -> None:
    """Hold a schedule against `wfl_sim.contracts.Schedule`: one, two and nine clients, beside uploads and without."""
    contract = Contract(schedule, "wfl_sim.contracts.Schedule")
    contract.options(5)
    words = ("large_scale", "block", "instantaneous")
    contract.holds(5, schedule.csi in words, f"csi is {schedule.csi!r}, not one of {', '.join(words)}")
    late = schedule.csi_delay_s >= 0 and schedule.csi_error_db >= 0
    contract.holds(5, late, "csi_delay_s or csi_error_db is below 0")
    budget = schedule.latency_budget
    contract.holds(5, budget is None or budget > 0, f"latency_budget is {budget}, neither None nor above 0")
    fading = Rayleigh() if schedule.csi == "large_scale" else NoFading()
    air = Air(2e6, RateCurve.of(fading, Shannon()), overhead=0.08, loss=0.01, packet_bits=12_000.0, header_bits=320.0)
    for clients in (1, 2, 9):
        state = contract.ask(2, "start()", schedule.start)
        for round_ in range(2 * len(IN_FLIGHT)):
            _plain(contract, state, "start()" if round_ == 0 else "observe()")
            requests = _requests(clients, round_)
            places, flights = IN_FLIGHT[round_ % len(IN_FLIGHT)]
            beside = replace(air, places=places)
            state = _check_round(contract, schedule, 10.0 * round_, beside, requests, _flights(air, flights), state)
    contract.card(5)
    contract.unread(7)


def _requests(clients: int, round_: int) -> list[Request]:
    """Links from 1 Hz to 100 GHz of SNR times bandwidth, menus of one point and of many."""
    random = np.random.default_rng([clients, round_])
    menus = [
        PayloadMenu(tuple(Point(n / parts, 20_000 + 400_000 * n // parts, 1 - n / parts) for n in range(1, parts + 1)))
        for parts in (1, 16, 33)
    ]
    numbers = np.sort(random.permutation(3 * clients)[:clients])
    return [
        Request(
            int(k), float(10 ** random.uniform(0, 11)), menus[i % 3], float(random.uniform(0, 2)), 1 / clients, 0.01
        )
        for i, k in enumerate(numbers)
    ]


def _flights(air: Air, shares: Sequence[float]) -> tuple[Flight, ...]:
    """Uploads of clients that are not among those who ask."""
    return tuple(Flight(1000 + k, share * air.bandwidth_hz, 100_000) for k, share in enumerate(shares))


def _plain(contract: Contract, state: Any, what: str) -> None:
    try:
        back = json.loads(json.dumps(state))
    except (TypeError, ValueError) as error:
        raise contract.broken(2, f"the state from {what} is no plain data: {error}") from error
    contract.holds(
        2, isinstance(state, dict) and back == state, f"the state from {what} is no plain dict: {state!r:.60}"
    )


def _check_round(
    contract: Contract,
    schedule: Schedule,
    now_s: float,
    air: Air,
    requests: Sequence[Request],
    in_flight: Sequence[Flight],
    state: Any,
) -> Any:
    before = copy.deepcopy(state)
    decisions, after = contract.ask(
        1, "decide()", lambda: schedule.decide(now_s, air, tuple(requests), in_flight, state)
    )
    contract.holds(2, state == before, "decide() changes the state that it is given in place")
    _plain(contract, after, "decide()")
    asked, told = [r.client for r in requests], [d.client for d in decisions]
    contract.holds(1, told == asked, f"decisions for clients {told}, but requests of clients {asked}")
    band = 0.0
    for request, decision in zip(requests, decisions, strict=True):
        _check_decision(contract, request, decision)
        band += decision.bandwidth_hz if decision.action == "send" else 0.0
    held = sum(flight.bandwidth_hz for flight in in_flight)
    beside = f" beside {held:.8g} Hz in flight," if in_flight else ""
    fits = band + held <= air.bandwidth_hz * (1 + 1e-9) or not band
    contract.holds(1, fits, f"{band:.8g} Hz are granted{beside} of a band of {air.bandwidth_hz:.8g} Hz")
    stranger = replace(schedule)  # type: ignore[type-var]  # a schedule is a dataclass; the protocol cannot say so
    for who, other in (("", schedule), ("an equal schedule, ", stranger)):
        again = other.decide(now_s, air, tuple(requests), in_flight, copy.deepcopy(before))
        same = again == (decisions, after)
        contract.holds(4, same, f"asked again with the same state, {who}decide() decides otherwise")
    kept = copy.deepcopy(after)
    observed = contract.ask(3, "observe()", lambda: schedule.observe(1.7, after))
    contract.holds(2, after == kept, "observe() changes the state that it is given in place")
    contract.holds(3, isinstance(observed, dict), f"observe() gives {observed!r:.60}, not the new state")
    contract.holds(4, schedule.observe(1.7, kept) == observed, "the same time observed twice gives two states")
    return observed


def _check_decision(contract: Contract, request: Request, decision: Decision) -> None:
    who = f"client {request.client}"
    known = decision.action in ("send", "defer", "skip")
    contract.holds(1, known, f"{who} is told to {decision.action!r}, not to send, defer or skip")
    contract.holds(1, decision.point in request.menu.points, f"{who} is told a point that is not of its menu")
    if decision.action == "send":
        fine = math.isfinite(decision.bandwidth_hz) and decision.bandwidth_hz > 0
        contract.holds(1, fine, f"{who} is to send in {decision.bandwidth_hz} Hz")
