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
from typing import Annotated, Any, Literal

import numpy as np

from channels.options import OptionError
from channels.units import Fraction, NonNegative, Positive, Quantity
from wfl_sim.contracts import Air, Decision, Flight, FloatArray, Request
from wfl_sim.schedules.allocation import Problem
from wfl_sim.schedules.base import WithCsi, end_together, ready_to_send, room, tell
from wfl_sim.schedules.menus import Menus, Surrogate
from wfl_sim.schedules.search import solve

_ROUNDING = 1e-9  # relative: a point that the plan fits to so much is one that fits


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
    surrogate: Surrogate = "contraction"
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
        served, band_hz, _ = room(air, in_flight, len(requests))
        if not served:
            return tell(requests, (), (), ()), state
        air = replace(air, bandwidth_hz=band_hz)
        asking = requests[:served]
        menus = Menus(air, [request.menu for request in asking], self.kept_fraction_min)
        snr_hz = np.array([request.snr_hz for request in asking])
        alone_s = self._alone_s(air, asking, snr_hz, menus)
        chosen = np.flatnonzero(alone_s <= self.patience * self.latency_budget_s)
        if not chosen.size:
            return tell(requests, (), (), ()), state
        sending, menus = [asking[place] for place in chosen], menus.of(chosen)
        problem = self._problem(air, sending, menus)
        plan = solve(
            problem, v=self.v, queue=state["queue"], budget_s=self.latency_budget_s, surrogate=self.surrogate
        )
        place = menus.largest(plan.bits * (1 + _ROUNDING))
        _, bandwidth = end_together(air, problem.snr_hz, problem.ready_s, menus.at(place)[0])
        return tell(requests, chosen.tolist(), bandwidth.tolist(), menus.points(place)), state

    def _alone_s(self, air: Air, requests: Sequence[Request], snr_hz: FloatArray, menus: Menus) -> FloatArray:
        """The earliest ends of their smallest uploads if each had all the band that is there for those who ask."""
        before_s = np.array([request.downlink_s + request.ready_s for request in requests])
        return np.asarray(before_s + menus.wire_bits[:, 0] / air.rate_bps(np.full_like(snr_hz, air.bandwidth_hz), snr_hz))

    def _problem(self, air: Air, requests: Sequence[Request], menus: Menus | None = None) -> Problem:
        """What is planned: menus as straight lines between the ends of what may be sent, or as curves."""
        if menus is None:
            menus = Menus(air, [request.menu for request in requests], self.kept_fraction_min)
        weight = np.array([request.weight for request in requests])
        return Problem(
            air,
            np.array([request.snr_hz for request in requests]),
            ready_to_send(requests),
            *menus.lines(),
            weight / weight.sum(),
            menus.kept[:, 0],
            menus.vertices() if self.surrogate == "tail" else None,
        )
