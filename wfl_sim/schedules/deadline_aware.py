"""Deadline-aware: as many clients as can end by a deadline, each with as much as fits.

Sees CSI and payload menus; what a kept fraction means is the codec's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from channels.units import Fraction, Quantity
from wfl_sim.contracts import Air, Decision, Flight, FloatArray, Request
from wfl_sim.schedules.allocation import Problem, allocate, surrogate_error
from wfl_sim.schedules.base import WithCsi, room, tell
from wfl_sim.schedules.menus import Menus, Surrogate

_BROADCASTS = 8  # lengths of the broadcast that are tried, at most
_STEPS_UP = 4  # times that the band which whole points leave is given away
_SPARE = 1e-9  # of the band: kept back for rounding while planning, so that the deadline holds in floats too


@dataclass(frozen=True, kw_only=True)
class DeadlineAware(WithCsi):
    """As many clients as can end by the deadline, with kept fractions and bandwidths of the least error.

    Formula
    -------
    An upload has s_k = (1 - margin) deadline - broadcast - ready_k seconds. With b_k(L) the bandwidth that carries L
    bits, headers included, in that time, by R_k(b_k) s_k = L:

    1. Who sends: as many as possible, so the cheapest first, by b_k of the smallest point, while these sum to B at
       most. The broadcast takes as long as for the slowest receiver of them; of up to eight lengths of it, the one
       with which most can send, the shortest of these.
    2. What: with client weights u_k and the surrogate phi of the error::

        minimise sum_k u_k phi(rho_k)   over   sum_k b_k <= B,    kept_fraction_min <= rho_k <= 1

    3. The kept fractions are taken down to the menu, and steps up to the next point are made where they save the most
       error a hertz, while they fit. What then is left of B is shared in proportion, so that all end a little earlier.

    All others are deferred. B is what uploads in flight leave free; under an asynchronous protocol, where the deadline
    counts from the decision, that part of it which falls to those who ask, if all places that are left get alike.

    Validity
    --------
    By the planning rates nobody is late. What really happens is as good as the CSI: fading, losses and jitter of
    computing are what `margin` is for. Clients whose links carry the smallest point at a high price are always the
    first to be left out. Step 2 takes a menu as a straight line between its ends; with one point only bandwidths are
    chosen. The number of clients is the largest for a given length of the broadcast.

    Source
    ------
    own. To call as many clients as can finish by a deadline is the aim of FedCS, Nishio and Yonetani 2018,
    arXiv:1804.08333, where uploads follow one another and kept fractions are fixed.

    Options
    -------
    deadline_s : Time for broadcast, computing and upload, from the decision on. Larger: more clients, denser updates.
    margin : Share of the deadline that the plan leaves free. Larger: fewer are late, and updates are sparser.
    kept_fraction_min : Smallest share of an update that is worth sending. Larger: fewer clients, denser updates.
    surrogate : How the error is taken to depend on the kept fraction: ``contraction`` is 1 - rho, ``variance`` is
        1 / rho - 1, which shuns small fractions, ``tail`` is the share of the energy of the client's last change that
        each point of its menu would have dropped (1 - rho before it has sent anything).
    """

    kind: Literal["deadline_aware"] = "deadline_aware"
    deadline_s: Annotated[float, Quantity("s", ge=1e-6, le=1e9, example="2 s")]
    margin: Annotated[float, Quantity("1", ge=0, lt=1)] = 0.1
    kept_fraction_min: Fraction = 0.1
    surrogate: Surrogate = "contraction"

    @property
    def measures(self) -> bool:
        return self.surrogate == "tail"

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
        asking = requests[:served]
        menus = Menus(air, [request.menu for request in asking], self.kept_fraction_min)
        air = replace(air, bandwidth_hz=band_hz * (1 - _SPARE))
        snr_hz = np.array([request.snr_hz for request in asking])
        end_s = self.deadline_s * (1 - self.margin)
        chosen, slack_s = self._who(air, asking, snr_hz, menus.wire_bits[:, 0], end_s)
        if not chosen.size:
            return tell(requests, (), (), ()), state
        weight = np.array([asking[place].weight for place in chosen])
        menus, snr_hz = menus.of(chosen), snr_hz[chosen]
        points, bandwidth = self._what(air, menus, snr_hz, slack_s, weight / weight.sum())
        bandwidth *= band_hz / bandwidth.sum()
        return tell(requests, chosen.tolist(), bandwidth.tolist(), menus.points(points)), state

    def _who(
        self, air: Air, requests: Sequence[Request], snr_hz: FloatArray, wire_bits: FloatArray, end_s: float
    ) -> tuple[NDArray[np.int64], FloatArray]:
        """The places of those who send, and the time [those] that their uploads have."""
        downlink_s = np.array([request.downlink_s for request in requests])
        ready_s = np.array([request.ready_s for request in requests])
        numbers = np.array([request.client for request in requests])
        alone = np.flatnonzero(_needed(air, wire_bits, end_s - downlink_s - ready_s, snr_hz) <= air.bandwidth_hz)
        lengths_s = np.unique(downlink_s[alone])
        if lengths_s.size > _BROADCASTS:
            lengths_s = lengths_s[np.linspace(0, lengths_s.size - 1, _BROADCASTS).round().astype(int)]
        best, best_slack = alone[:0], snr_hz[:0]
        for broadcast_s in lengths_s:
            able = alone[downlink_s[alone] <= broadcast_s]
            slack_s = end_s - broadcast_s - ready_s[able]
            needed_hz = _needed(air, wire_bits[able], slack_s, snr_hz[able])
            order = np.lexsort((numbers[able], needed_hz))
            sending = np.sort(order[np.cumsum(needed_hz[order]) <= air.bandwidth_hz])
            if sending.size > best.size:
                best, best_slack = able[sending], slack_s[sending]
        return best, best_slack

    def _what(
        self, air: Air, menus: Menus, snr_hz: FloatArray, slack_s: FloatArray, weight: FloatArray
    ) -> tuple[NDArray[np.int64], FloatArray]:
        """Places in the menus, and the least bandwidths with which they end in time."""
        place = np.zeros(snr_hz.size, dtype=np.int64)
        needed_hz = _needed(air, menus.at(place)[0], slack_s, snr_hz)
        if not menus.last.any():
            return place, needed_hz
        vertices = menus.vertices() if self.surrogate == "tail" else None
        ready_s = -slack_s  # so long before the time 0
        problem = Problem(air, snr_hz, ready_s, *menus.lines(), weight, menus.kept[:, 0], vertices)
        place = menus.largest(allocate(problem, np.zeros(1), self.surrogate).bits[0])
        needed_hz = _needed(air, menus.at(place)[0], slack_s, snr_hz)
        for _ in range(_STEPS_UP):
            wire_bits = menus.at(place + 1)[0]
            more_hz = _needed(air, wire_bits, slack_s, snr_hz) - needed_hz
            gain = self._error(menus, place) - self._error(menus, place + 1)
            fits = np.flatnonzero(more_hz <= air.bandwidth_hz - needed_hz.sum())
            order = fits[np.argsort(-(weight * gain)[fits] / np.maximum(more_hz[fits], 1e-300), kind="stable")]
            raised = order[np.cumsum(more_hz[order]) <= air.bandwidth_hz - needed_hz.sum()]
            if not raised.size:
                break
            place[raised] += 1
            needed_hz[raised] += more_hz[raised]
        return place, needed_hz

    def _error(self, menus: Menus, place: NDArray[np.int64]) -> FloatArray:
        _, kept, error = menus.at(place)
        return error if self.surrogate == "tail" else surrogate_error(self.surrogate, kept)


def _needed(air: Air, wire_bits: FloatArray, slack_s: FloatArray, snr_hz: FloatArray) -> FloatArray:
    """The bandwidths that carry so many bits in so many seconds; infinite where none does."""
    rate = np.where(slack_s > 0, wire_bits, np.inf) / np.where(slack_s > 0, slack_s, 1.0) / air.goodput
    possible = np.isfinite(rate)
    return np.where(possible, air.curve.bandwidth_for_rate(np.where(possible, rate, 0.0), snr_hz), np.inf)
