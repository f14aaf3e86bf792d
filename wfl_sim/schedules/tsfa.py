"""TSFA stage 2: kept fraction and bandwidth of every client, each round, under a long-term latency budget.

Sees CSI, payload menus and virtual queues; what a kept fraction means is the codec's business.

Reconstruction of the online stage of Kim & Choi, arXiv:2505.00333 (two-stage federated algorithm): the
abstract says that sparsification ratio and bandwidth follow from Lyapunov optimisation under a long-term
latency constraint; the formulas below are our derivation.

With the virtual queue Q <- max(0, Q + tau / budget - 1), any policy keeps mean(tau) <= budget (1 + (Q_T - Q_0) / T).
Minimising the drift-plus-penalty bound of one round gives

    min over rho, b, tau   V sum_k u_k phi(rho_k) + Q tau / budget
    s.t.  ready_k + (D0_k + rho_k D_k) / R_k(b_k) <= tau,   sum b_k <= B,   rho_min <= rho_k <= 1

with u_k the clients' weights, phi the error surrogate, R_k(b) concave; `search` solves it.

With a queue for each client, Q_k <- max(0, Q_k + T_k / budget - 1) with its own T_k, the same holds client by client.
The drift of sum_k Q_k^2 / (2 K) is at most a constant plus the mean of Q_k (T_k / budget - 1), and as T_k <= tau the
mean of Q_k times tau / budget bounds the part that can be chosen: it takes the place of Q tau / budget. As all uploads
are planned to end together, nothing is lost by that bound but what the floor to the menu leaves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from channels.units import Fraction, NonNegative, Positive, Quantity
from wfl_sim.contracts import Air, Decision, Flight, FloatArray, Point, Request
from wfl_sim.schedules.allocation import Problem
from wfl_sim.schedules.base import WithCsi, end_together, ready_to_send, room, tell
from wfl_sim.schedules.menus import Menus, Surrogate
from wfl_sim.schedules.search import solve

_ROUNDING = 1e-9  # relative: a point that the plan fits to so much is one that fits


@dataclass(frozen=True, kw_only=True)
class TSFA(WithCsi):
    """Kept fraction and bandwidth by Lyapunov optimisation under a long-term latency budget.

    The plan is floored to the payload menu, so that the planned time is kept, and the bandwidths set so that all finish
    together. A client whose smallest point alone would take more than `patience` budgets is infeasible.

    Formula
    -------
    With a virtual queue Q, client weights u_k, kept fractions rho_k and the time tau of the round::

        minimise   V sum_k u_k phi(rho_k) + Q tau / budget    over rho, b, tau
        subject to every upload ending by tau,  sum_k b_k <= B,  kept_fraction_min <= rho_k <= 1
        after it   Q <- max(0, Q + tau / budget - 1)          with the time that the round really took

    phi is the `surrogate` of the error; u_k is the client's share of the data, times its `importance`, normalised to
    sum 1; with `queues` of clients, Q is the mean of those of who sends. The derivation stands in the module. B is what
    uploads in flight leave free; under an asynchronous protocol that part of it which falls to those who ask, if all
    places that are left get alike.
    Where that is less than a twentieth of an even share of the band, clients are deferred, the last ones first.

    Validity
    --------
    mean(tau) <= budget (1 + (Q_T - Q_0) / T) over T rounds, whatever the links do: the budget is met in the long run if
    the queue stays bounded. If even the smallest payloads take longer than the budget, the queue grows and in the end
    all send their least. Needs a codec with a menu: with ``dense`` only bandwidths are left to choose. With `queues` of
    clients the bound holds for each client's mean over the rounds in which it sent, not for that of the rounds, which
    last as long as the slowest. With ``csi: block``, fading that holds over the round, no loss and no interference, no
    upload ends after the planned time. Before a client has sent anything, or where the codec cannot tell, ``tail`` is
    ``contraction`` and the importance is the mean of those that are known.

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
        1 / rho - 1, which shuns small fractions, ``tail`` is the share of the energy of the client's last change that
        each point of its menu would have dropped, by its lower convex hull over the bits.
    importance : What the error of a client counts beside its share of the data: ``equal`` the same for all, ``energy``
        in proportion to the energy of its last change.
    queues : Whose time has a queue: ``round`` the longest of each round, ``client`` each client's own.
    patience : How many budgets a client may take alone, with the whole band, before it is infeasible. Larger: slow
        clients are waited for more often.
    infeasible : What becomes of such a client: ``defer`` it is asked again in the next round; ``drop`` it is told to
        skip, as if it had had its turn; ``cap`` it sends its smallest point in an even share of the band, the others
        plan with the rest as if it were not there, and the round waits for it (until ``radio.timeout`` or the
        protocol's deadline).
    """

    kind: Literal["tsfa"] = "tsfa"
    latency_budget_s: Annotated[float, Quantity("s", ge=1e-6, le=1e9, example="1.5 s")]
    v: Positive = 1.0
    kept_fraction_min: Fraction = 0.1
    queue_start: NonNegative = 0.0
    surrogate: Surrogate = "contraction"
    importance: Literal["equal", "energy"] = "equal"
    queues: Literal["round", "client"] = "round"
    patience: Annotated[float, Quantity("1", ge=1, le=1e6)] = 4.0
    infeasible: Literal["defer", "drop", "cap"] = "defer"

    @property
    def latency_budget(self) -> float | None:
        return self.latency_budget_s

    @property
    def measures(self) -> bool:
        return self.surrogate == "tail" or self.importance == "energy"

    def start(self) -> dict[str, Any]:
        """One queue; those of clients begin as it does."""
        return {"queue": self.queue_start} | ({"clients": {}} if self.queues == "client" else {})

    def observe(self, round_s: float, state: dict[str, Any]) -> dict[str, Any]:
        """The queue of rounds."""
        if self.queues == "client":
            return state
        return {"queue": max(0.0, state["queue"] + round_s / self.latency_budget_s - 1.0)}

    def observe_clients(self, latencies: Sequence[tuple[int, float]], state: dict[str, Any]) -> dict[str, Any]:
        """The queues of clients; that of the trace is their mean, over those that have ever ended."""
        if self.queues == "round" or not latencies:
            return state
        queues = dict(state["clients"])  # JSON has names alone
        for client, time_s in latencies:
            before = queues.get(str(client), self.queue_start)
            queues[str(client)] = max(0.0, before + time_s / self.latency_budget_s - 1.0)
        return {"queue": math.fsum(queues.values()) / len(queues), "clients": queues}

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
            return self._tell(requests, (), (), ()), state
        asking, beside = requests[:served], replace(air, bandwidth_hz=band_hz)
        menus = Menus(air, [request.menu for request in asking], self.kept_fraction_min)
        snr_hz = np.array([request.snr_hz for request in asking])
        feasible = self._alone_s(beside, asking, snr_hz, menus) <= self.patience * self.latency_budget_s
        place, bandwidth = np.zeros(served, dtype=np.int64), np.zeros(served)
        if self.infeasible == "cap":
            bandwidth[~feasible] = band_hz / served
            beside = replace(air, bandwidth_hz=band_hz * (np.count_nonzero(feasible) / served))
        chosen = np.flatnonzero(feasible)
        if chosen.size:
            place[chosen], bandwidth[chosen] = self._plan(
                beside, [asking[at] for at in chosen.tolist()], menus.of(chosen), state
            )
        if self.infeasible == "cap":
            chosen = np.arange(served)
        points = menus.of(chosen).points(place[chosen])
        return self._tell(requests, chosen.tolist(), bandwidth[chosen].tolist(), points), state

    def _tell(
        self, requests: Sequence[Request], chosen: Sequence[int], bandwidth_hz: Sequence[float], points: Sequence[Point]
    ) -> list[Decision]:
        others: Literal["defer", "skip"] = "skip" if self.infeasible == "drop" else "defer"
        return tell(requests, chosen, bandwidth_hz, points, others, self.kept_fraction_min)

    def _plan(
        self, air: Air, requests: Sequence[Request], menus: Menus, state: dict[str, Any]
    ) -> tuple[NDArray[np.int64], FloatArray]:
        """Places in the menus, and bandwidths, of those who send [clients]."""
        problem = self._problem(air, requests, menus)
        plan = solve(
            problem,
            v=self.v,
            queue=self._queue(requests, state),
            budget_s=self.latency_budget_s,
            surrogate=self.surrogate,
        )
        place = menus.largest(plan.bits * (1 + _ROUNDING))
        _, bandwidth = end_together(air, problem.snr_hz, problem.ready_s, menus.at(place)[0])
        return place, bandwidth

    def _queue(self, requests: Sequence[Request], state: dict[str, Any]) -> float:
        if self.queues == "round":
            return float(state["queue"])
        queues = state["clients"]
        return math.fsum(queues.get(str(r.client), self.queue_start) for r in requests) / len(requests)

    def _alone_s(self, air: Air, requests: Sequence[Request], snr_hz: FloatArray, menus: Menus) -> FloatArray:
        """The earliest ends of their smallest uploads if each had all the band that is there for those who ask."""
        before_s = np.array([request.downlink_s + request.ready_s for request in requests])
        return np.asarray(
            before_s + menus.wire_bits[:, 0] / air.rate_bps(np.full_like(snr_hz, air.bandwidth_hz), snr_hz)
        )

    def _problem(self, air: Air, requests: Sequence[Request], menus: Menus | None = None) -> Problem:
        """What is planned: menus as straight lines between the ends of what may be sent, or as curves."""
        if menus is None:
            menus = Menus(air, [request.menu for request in requests], self.kept_fraction_min)
        weight = np.array([request.weight for request in requests])
        if self.importance == "energy":
            weight = weight * _importance(requests)
        return Problem(
            air,
            np.array([request.snr_hz for request in requests]),
            ready_to_send(requests),
            *menus.lines(),
            weight / weight.sum(),
            menus.kept[:, 0],
            menus.vertices() if self.surrogate == "tail" else None,
        )


def _importance(requests: Sequence[Request]) -> FloatArray:
    """What clients count [clients], 1 in the mean: of who is unknown, as much as the mean of the others."""
    energy = np.array([request.importance for request in requests])
    known = np.isfinite(energy)
    mean = float(energy[known].mean()) if known.any() else 0.0
    if not 0.0 < mean < math.inf:
        return np.ones_like(energy)
    return np.where(known, energy, mean) / mean
