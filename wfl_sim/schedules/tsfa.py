"""TSFA stage 2: kept fraction and bandwidth of every client, each round, under a long-term latency budget.

Sees CSI, payload menus and a virtual queue; what a kept fraction means is the codec's business.

Reconstruction of the online stage of Kim & Choi, arXiv:2505.00333 (two-stage federated algorithm): the
abstract says that sparsification ratio and bandwidth follow from Lyapunov optimisation under a long-term
latency constraint; the formulas below are our derivation.

With the virtual queue Q <- max(0, Q + tau / budget - 1), any policy keeps mean(tau) <= budget (1 + (Q_T - Q_0) / T).
Minimising the drift-plus-penalty bound of one round gives

    min over rho, b, tau   V sum_k u_k phi(rho_k) + Q tau / budget
    s.t.  ready_k + (D0_k + rho_k D_k) / R_k(b_k) <= tau,   sum b_k <= B,   rho_min <= rho_k <= 1

with u_k the clients' weights, phi the error surrogate, R_k(b) concave. For a given tau the kept fraction that a
bandwidth carries, rho_k(b) = (s_k R_k(b) - D0_k) / D_k with the slack s_k = tau - ready_k, is concave in b: the
inner problem is solved by its one dual variable, and tau by a grid that is refined around its best point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np

from channels.options import OptionError
from channels.units import Fraction, NonNegative, Positive, Quantity
from wfl_sim.contracts import Air, Decision, Flight, FloatArray, Point, Request
from wfl_sim.schedules.allocation import Problem, allocate, surrogate_error
from wfl_sim.schedules.base import WithCsi, finish_together, ready_to_send, room, tell

_GRID, _REFINED, _REFINEMENTS = 48, 33, 11  # at most: the last leaves tau within the resolution of floats
_FLAT = 1e-10  # relative: when the values beside the best are this near, no better tau is left to find


class Solution(NamedTuple):
    """The planned time of the round, and kept fractions and bandwidths [clients]."""

    tau_s: float
    kept_fraction: FloatArray
    bandwidth_hz: FloatArray
    objective: float


def solve(problem: Problem, *, v: float, queue: float, budget_s: float, surrogate: str = "contraction") -> Solution:
    """Solve one round's drift-plus-penalty problem (module docstring).

    Parameters
    ----------
    problem : Problem
    v : float
        Weight of the error against the queue, > 0.
    queue : float
        Virtual queue in budgets, >= 0. At 0 time costs nothing: all send everything.
    budget_s : float
        Latency budget in seconds.
    surrogate : {"contraction", "variance"}
    """
    air = problem.air

    def wire(kept: float | FloatArray) -> FloatArray:
        return problem.fixed_bits + kept * problem.scaled_bits

    flat = Air(air.bandwidth_hz, air.curve, air.overhead, air.loss)  # headers are in the bits already
    dense_s, dense_hz = finish_together(flat, problem.snr_hz, problem.ready_s, list(wire(1.0)))
    ones = np.ones_like(problem.snr_hz)
    if queue <= 0 or np.min(problem.kept_fraction_min) >= 1:
        return Solution(dense_s, ones, dense_hz, queue * dense_s / budget_s)
    least_s, least_hz = finish_together(flat, problem.snr_hz, problem.ready_s, list(wire(problem.kept_fraction_min)))

    taus = np.linspace(least_s, dense_s, _GRID)
    best, spread = _best(problem, taus, v, queue, budget_s, surrogate)
    for _ in range(_REFINEMENTS):
        if spread <= _FLAT * best.objective:
            break
        step = taus[1] - taus[0]
        taus = np.linspace(max(least_s, best.tau_s - step), min(dense_s, best.tau_s + step), _REFINED)
        refined, spread = _best(problem, taus, v, queue, budget_s, surrogate)
        best = min(best, refined, key=lambda s: s.objective)
    ends = (
        Solution(dense_s, ones, dense_hz, queue * dense_s / budget_s),
        Solution(least_s, ones * problem.kept_fraction_min, least_hz,
                 _objective(problem, np.array([least_s]), ones[None] * problem.kept_fraction_min,
                            v, queue, budget_s, surrogate)[0]),
    )  # fmt: skip
    return min((best, *ends), key=lambda s: s.objective)


def _objective(
    problem: Problem, taus: FloatArray, kept: FloatArray, v: float, queue: float, budget_s: float, surrogate: str
) -> FloatArray:
    return np.asarray(v * surrogate_error(surrogate, kept) @ problem.weight + queue * taus / budget_s)


def _best(
    problem: Problem, taus: FloatArray, v: float, queue: float, budget_s: float, surrogate: str
) -> tuple[Solution, float]:
    """The best of some times, and how much worse its neighbours are at most."""
    kept, bandwidth = allocate(problem, taus, surrogate)
    value = _objective(problem, taus, kept, v, queue, budget_s, surrogate)
    value = np.where(bandwidth.sum(axis=1) <= problem.air.bandwidth_hz * (1 + 1e-9), value, np.inf)
    i = int(np.argmin(value))
    spread = float(value[max(0, i - 1) : i + 2].max() - value[i])
    return Solution(float(taus[i]), kept[i], bandwidth[i], float(value[i])), spread


@dataclass(frozen=True, kw_only=True)
class TSFA(WithCsi):
    """Kept fraction and bandwidth by Lyapunov optimisation under a long-term latency budget.

    The kept fractions of the plan are floored to the payload menu, so that the planned time is kept, and the bandwidths
    set so that all finish together. A client whose smallest point alone would take more than `patience` budgets is
    deferred: it is asked again in the next round.

    Formula
    -------
    With a virtual queue Q, client weights u_k, kept fractions rho_k and the time tau of the round::

        minimise   V sum_k u_k phi(rho_k) + Q tau / budget    over rho, b, tau
        subject to every upload ending by tau,  sum_k b_k <= B,  kept_fraction_min <= rho_k <= 1
        after it   Q <- max(0, Q + tau / budget - 1)          with the time that the round really took

    phi is the `surrogate` of the error; the derivation stands in the module. B is what uploads in flight leave free;
    under an asynchronous protocol that part of it which falls to those who ask, if all places that are left get alike.
    Where that is less than a twentieth of an even share of the band, clients are deferred, the last ones first.

    Validity
    --------
    mean(tau) <= budget (1 + (Q_T - Q_0) / T) over T rounds, whatever the links do: the budget is met in the long run if
    the queue stays bounded. If even the smallest payloads take longer than the budget, the queue grows and in the end
    all send their least. Needs a codec with a menu: with ``dense`` only bandwidths are left to choose.

    Source
    ------
    A reconstruction of the online stage of Kim and Choi, arXiv:2505.00333: the abstract says that sparsification ratio
    and bandwidth follow from Lyapunov optimisation under a long-term latency constraint; the formulas are our
    derivation.

    Options
    -------
    latency_budget_s : Mean time of a round that is to be kept in the long run. Smaller: sparser updates.
    v : Weight of the error against the queue. Larger: denser updates, and longer until the budget is kept.
    kept_fraction_min : Smallest share of an update that may be sent. Larger: safer for learning, but less room to keep
        the budget.
    queue_start : The queue before the first round, in budgets. At 0 time costs nothing yet, so the first round is
        dense; above 0 avoids that.
    surrogate : How the error is taken to depend on the kept fraction: ``contraction`` is 1 - rho, ``variance`` is
        1 / rho - 1, which shuns small fractions.
    patience : How many budgets a client may take alone, with the whole band, before it is deferred. Larger: slow
        clients are waited for more often.
    """

    kind: Literal["tsfa"] = "tsfa"
    latency_budget_s: Annotated[float, Quantity("s", ge=1e-6, le=1e9, example="1.5 s")]
    v: Positive = 10.0
    kept_fraction_min: Fraction = 0.1
    queue_start: NonNegative = 0.0
    surrogate: Literal["contraction", "variance"] = "contraction"
    patience: Positive = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.patience < 1:
            raise OptionError("TSFA", "patience", f"must be at least 1 budget; got {self.patience}")

    @property
    def latency_budget(self) -> float | None:
        return self.latency_budget_s

    def start(self) -> dict[str, Any]:
        return {"queue": self.queue_start}

    def observe(self, round_s: float, state: dict[str, Any]) -> dict[str, Any]:
        return {"queue": max(0.0, state["queue"] + round_s / self.latency_budget_s - 1.0)}

    def decide(
        self,
        now_s: float,
        air: Air,
        requests: Sequence[Request],
        in_flight: Sequence[Flight],
        state: dict[str, Any],
    ) -> tuple[list[Decision], dict[str, Any]]:
        requests = [replace(r, menu=r.menu.at_least(self.kept_fraction_min)) for r in requests]
        served, band_hz, _ = room(air, in_flight, len(requests))
        air = replace(air, bandwidth_hz=band_hz)
        longest_s = self.patience * self.latency_budget_s
        chosen = [i for i in range(served) if self._alone_s(air, requests[i]) <= longest_s]
        bandwidth, points = np.zeros(0), list[Point]()
        if chosen:
            sending = [requests[i] for i in chosen]
            snr = np.array([r.snr_hz for r in sending])
            ready = ready_to_send(sending)
            plan = solve(
                self._problem(air, sending),
                v=self.v,
                queue=state["queue"],
                budget_s=self.latency_budget_s,
                surrogate=self.surrogate,
            )
            for i, request in enumerate(sending):
                rate = float(air.rate_bps(plan.bandwidth_hz[i : i + 1], snr[i : i + 1])[0])
                slack = plan.tau_s - float(ready[i])
                fits = [p for p in request.menu.points if air.wire_bits(p.bits) <= rate * slack * (1 + 1e-9)]
                points.append(fits[-1] if fits else request.menu.points[0])
            _, bandwidth = finish_together(air, snr, ready, [point.bits for point in points])
        return tell(requests, chosen, bandwidth.tolist(), points), state

    def _alone_s(self, air: Air, request: Request) -> float:
        """The earliest end of the client's smallest upload if it had all the band that is there for those who ask."""
        rate = air.rate_bps(np.array([air.bandwidth_hz]), np.array([request.snr_hz]))
        return request.downlink_s + request.ready_s + air.wire_bits(request.menu.points[0].bits) / float(rate[0])

    def _problem(self, air: Air, requests: Sequence[Request]) -> Problem:
        """Menus as straight lines between the ends of what may be sent: bits = fixed + rho x scaled."""
        menus = [r.menu.at_least(self.kept_fraction_min) for r in requests]
        ends = [(menu.points[0], menu.points[-1]) for menu in menus]
        per_kept = np.array([
            (air.wire_bits(b.bits) - air.wire_bits(a.bits)) / (b.kept_fraction - a.kept_fraction)
            if b.kept_fraction > a.kept_fraction else 1.0
            for a, b in ends
        ])  # fmt: skip
        fixed = np.array([air.wire_bits(b.bits) for _, b in ends]) - per_kept
        weight = np.array([r.weight for r in requests])
        return Problem(
            air,
            np.array([r.snr_hz for r in requests]),
            ready_to_send(requests),
            fixed,
            per_kept,
            weight / weight.sum(),
            max(self.kept_fraction_min, max(a.kept_fraction for a, _ in ends)),
        )
