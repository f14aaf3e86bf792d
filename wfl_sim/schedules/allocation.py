"""Kept fractions and bandwidths that cost the least error, if all uploads are to end by a given time.

Sees numbers on the air; neither what a kept fraction means nor who chose the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wfl_sim.contracts import Air, FloatArray, PayloadMenu
from wfl_sim.schedules.base import falling_root


class Menus:
    """The menus of some clients, as arrays [clients, points]: bits on the air and kept fractions.

    Shorter menus are filled up with points of infinite bits; `points` holds the menus themselves.
    """

    def __init__(self, air: Air, menus: Sequence[PayloadMenu], kept_fraction_min: float) -> None:
        rows: dict[int, int] = {}  # by identity: clients mostly share a menu
        distinct: list[PayloadMenu] = []
        for menu in menus:
            if id(menu) not in rows:
                rows[id(menu)] = len(distinct)
                distinct.append(menu.at_least(kept_fraction_min))
        row = np.array([rows[id(menu)] for menu in menus])
        most = max(len(menu.points) for menu in distinct)
        wire, kept = np.full((len(distinct), most), np.inf), np.ones((len(distinct), most))
        for i, menu in enumerate(distinct):
            wire[i, : len(menu.points)] = [air.wire_bits(point.bits) for point in menu.points]
            kept[i, : len(menu.points)] = [point.kept_fraction for point in menu.points]
        self.points = [distinct[i].points for i in row]
        self.wire_bits, self.kept = wire[row], kept[row]
        self.last = np.isfinite(self.wire_bits).sum(axis=1) - 1

    def of(self, chosen: NDArray[np.int64]) -> Menus:
        """Those of some of the clients."""
        part = copy(self)
        part.points = [self.points[place] for place in chosen]
        part.wire_bits, part.kept, part.last = self.wire_bits[chosen], self.kept[chosen], self.last[chosen]
        return part

    def as_lines(self, air: Air, snr_hz: FloatArray, ready_s: FloatArray, weight: FloatArray) -> Problem:
        """The menus as straight lines between their ends: bits = fixed + rho x scaled."""
        rows = np.arange(self.last.size)
        first, last = self.kept[:, 0], self.kept[rows, self.last]
        rise = self.wire_bits[rows, self.last] - self.wire_bits[:, 0]
        scaled = np.where(last > first, rise / np.where(last > first, last - first, 1.0), 1.0)
        fixed = self.wire_bits[:, 0] - first * scaled
        return Problem(air, snr_hz, ready_s, fixed, scaled, weight, first)

    def largest(self, wire_bits: FloatArray) -> NDArray[np.int64]:
        """The place of the largest point that needs no more than so many bits, client by client; 0 if none does."""
        fitting = (self.wire_bits <= wire_bits[:, None]).sum(axis=1, dtype=np.int64)
        return np.asarray(np.maximum(fitting - 1, 0))

    def at(self, place: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        """Bits on the air and kept fractions of one point a client; infinite bits behind the last point."""
        rows, held = np.arange(place.size), np.minimum(place, self.last)
        return np.where(place > self.last, np.inf, self.wire_bits[rows, held]), self.kept[rows, held]


class Problem(NamedTuple):
    """One round's data; arrays [clients]. `fixed` + rho `scaled` bits are on the air, headers included."""

    air: Air
    snr_hz: FloatArray
    ready_s: FloatArray
    fixed_bits: FloatArray
    scaled_bits: FloatArray
    weight: FloatArray
    kept_fraction_min: float | FloatArray


def surrogate_error(kind: str, kept: FloatArray) -> FloatArray:
    """phi(rho): 0 at rho = 1. ``contraction``: 1 - rho. ``variance``: 1 / rho - 1."""
    return 1.0 - kept if kind == "contraction" else 1.0 / kept - 1.0


def allocate(problem: Problem, taus: FloatArray, surrogate: str) -> tuple[FloatArray, FloatArray]:
    """Kept fractions and bandwidths [taus, clients] that minimise the error at each given time."""
    air, scaled, fixed = problem.air, problem.scaled_bits, problem.fixed_bits
    slack = np.maximum(taus[:, None] - problem.ready_s, 1e-300)
    snr = np.broadcast_to(problem.snr_hz, slack.shape)

    def bandwidth_for(kept: float | FloatArray) -> FloatArray:
        return np.asarray(air.curve.bandwidth_for_rate((fixed + kept * scaled) / slack / air.goodput, snr))

    least, most = bandwidth_for(problem.kept_fraction_min), bandwidth_for(1.0)
    most = np.minimum(most, air.bandwidth_hz)
    least = np.minimum(least, most)

    def kept_by(bandwidth: FloatArray) -> FloatArray:
        kept = (slack * air.rate_bps(bandwidth, snr) - fixed) / scaled
        return np.clip(kept, problem.kept_fraction_min, 1.0)

    def gain(bandwidth: FloatArray) -> FloatArray:
        """How much error one more hertz saves: falls in the bandwidth."""
        slope = problem.weight * slack / scaled * air.goodput * air.curve.slope(bandwidth, snr)
        return np.asarray(slope if surrogate == "contraction" else slope / kept_by(bandwidth) ** 2)

    def spend(log_price: FloatArray) -> FloatArray:
        """Bandwidths [taus, clients] that clients take when a hertz costs e^log_price [taus]."""
        price = log_price[:, None]
        if surrogate == "contraction":
            slope = np.exp(price) * scaled / (problem.weight * slack * air.goodput)
            return np.clip(air.curve.bandwidth_for_slope(slope, snr), least, most)
        log_band = falling_root(lambda x: np.log(gain(np.exp(x))) - price, np.log(least), np.log(most))
        return np.clip(np.exp(log_band), least, most)

    low = np.log(np.maximum(gain(most).min(axis=1), 1e-290)) - 1
    high = np.log(np.maximum(gain(least).max(axis=1), 1e-290)) + 1
    log_price = falling_root(lambda x: spend(x).sum(axis=1) / air.bandwidth_hz - 1, low, high)
    bandwidth = spend(log_price)
    # what the root leaves over the band is taken off; a time at which `least` does not fit is left over the band
    over = bandwidth.sum(axis=1) / air.bandwidth_hz
    bandwidth = bandwidth / np.where(least.sum(axis=1) > air.bandwidth_hz, 1.0, np.maximum(over, 1.0))[:, None]
    return kept_by(bandwidth), bandwidth
