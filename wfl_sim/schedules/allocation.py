"""Bits and bandwidths that cost the least error, if all uploads are to end by a given time.

Sees numbers on the air; neither what a kept fraction means nor who chose the time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from wfl_sim.contracts import Air, FloatArray
from wfl_sim.schedules.menus import Surrogate, Vertices
from wfl_sim.schedules.roots import NEAR, falling_root
from wfl_sim.schedules.roughcurve import rough

_TINY = 1e-290
_STEPS = 60  # of Newton's method, at most, which halves what is left where the curve has a corner
_MORE = 2.0  # bands: who can take all of it is not at an end of what it can take, and its price is what it would pay
_REFRESHES = 8  # of what is near a solution; three lead from tables to it
_QUADRATIC = 1e-8  # of a logarithm: a step of Newton's method so small, with the tables' bend, leaves 1e-11


class Problem(NamedTuple):
    """One round's data; arrays [clients]. `fixed` + rho `scaled` bits are on the air, headers included.

    `weight` is what a client's error counts. `vertices` are given where the error is a measured curve (``tail``).
    """

    air: Air
    snr_hz: FloatArray
    ready_s: FloatArray
    fixed_bits: FloatArray
    scaled_bits: FloatArray
    weight: FloatArray
    kept_fraction_min: float | FloatArray
    vertices: Vertices | None = None

    def among(self, surrogate: Surrogate) -> Vertices | None:
        """Points between which the error is a straight line in the bits; None where it is none (``variance``)."""
        if surrogate == "variance":
            return None
        if surrogate == "tail" and self.vertices is not None:
            return self.vertices
        least = np.broadcast_to(np.asarray(self.kept_fraction_min, dtype=np.float64), self.snr_hz.shape)
        kept = np.stack([least, np.ones_like(least)], axis=1)
        return Vertices(self.fixed_bits[:, None] + kept * self.scaled_bits[:, None], 1.0 - kept)

    def kept(self, bits: FloatArray) -> FloatArray:
        """Kept fractions, as bits on the air [..., clients] have them by the straight line."""
        return np.asarray(np.clip((bits - self.fixed_bits) / self.scaled_bits, self.kept_fraction_min, 1.0))

    def errors(self, bits: FloatArray, surrogate: Surrogate) -> FloatArray:
        """phi of bits on the air [..., clients]."""
        if surrogate == "tail" and self.vertices is not None:
            return self.vertices.errors(bits)
        return surrogate_error(surrogate, self.kept(bits))

    def ends(self, surrogate: Surrogate) -> tuple[FloatArray, FloatArray]:
        """The fewest and the most bits [clients] that each can have on the air."""
        if surrogate == "tail" and self.vertices is not None:
            return self.vertices.bits[:, 0], self.vertices.bits[:, -1]
        return self.fixed_bits + self.kept_fraction_min * self.scaled_bits, self.fixed_bits + self.scaled_bits


class Allocation(NamedTuple):
    """What is sent at each of some times: bits on the air and bandwidths [taus, clients].

    `log_price` [taus] is the logarithm of the error that one more hertz would save; `saved` [taus] is the error that
    one more second would.
    """

    bits: FloatArray
    bandwidth_hz: FloatArray
    log_price: FloatArray
    saved: FloatArray


def surrogate_error(kind: Surrogate, kept: FloatArray) -> FloatArray:
    """phi(rho): 0 at rho = 1. ``contraction``: 1 - rho. ``variance``: 1 / rho - 1."""
    return 1.0 / kept - 1.0 if kind == "variance" else 1.0 - kept


def allocate(
    problem: Problem,
    taus: FloatArray,
    surrogate: Surrogate,
    *,
    near: float = NEAR,
    like: Allocation | None = None,
    saved: bool = True,
) -> Allocation:
    """Bits and bandwidths that minimise the error at each given time.

    All clients that are at no end of what they can send pay one price for a hertz, the error that it saves: the price
    at which all of them together take the band is found, and in it what each takes.

    Parameters
    ----------
    problem : Problem
    taus : array
        Times in seconds.
    surrogate : {"contraction", "variance", "tail"}
    near : float
        How exactly logarithms of prices and bandwidths are found.
    like : Allocation, optional
        What is near the solution.
    saved : bool
        Whether `Allocation.saved` is asked for; else it is nan.

    Returns
    -------
    Allocation
        Where not even the least fits, it has more than the band.
    """
    air = problem.air
    vertices = problem.among(surrogate)
    slack = np.maximum(taus[:, None] - problem.ready_s, 1e-300)
    market: _Market = _Smooth(problem, slack, near, like) if vertices is None else _Broken(problem, slack, vertices)

    def over(log_price: FloatArray) -> FloatArray:
        return np.asarray(np.log(market.spend(log_price).sum(axis=1) / air.bandwidth_hz))

    found = None if like is None else _nearby(market, like, air.bandwidth_hz)
    if found is None:
        log_price = falling_root(over, *market.prices(), near=near)
        found = log_price, market.spend(log_price)
    log_price, bandwidth = found
    worth = market.worth(bandwidth, log_price) if saved else np.nan
    # what the root leaves is shared out, so that a rough price costs its square; a time at which the least does not fit
    # is left over the band
    total = bandwidth.sum(axis=1) / air.bandwidth_hz
    bandwidth = bandwidth / np.where(market.needed > air.bandwidth_hz, 1.0, total)[:, None]
    rate = air.rate_bps(bandwidth, problem.snr_hz)
    bits = np.clip(slack * rate, *problem.ends(surrogate))
    return Allocation(bits, bandwidth, log_price, (worth * rate).sum(axis=1))


class _Market(Protocol):
    """What clients buy. All methods take and give arrays [taus, ...]."""

    needed: FloatArray

    def prices(self) -> tuple[FloatArray, FloatArray]:
        """Logarithms of prices [taus] between which that of the band must be."""

    def spend(self, log_price: FloatArray) -> FloatArray:
        """Bandwidths [taus, clients] that clients take when a hertz costs e^log_price [taus]."""

    def worth(self, bandwidth: FloatArray, log_price: FloatArray) -> FloatArray:
        """How much error one more bit would save, or, at an end, the price of the bandwidth that a bit needs there."""

    def about(self, bandwidth: FloatArray) -> _Demand:
        """`spend` by straight lines of logarithms through these bandwidths: one question to the curve."""


_Demand = Callable[[FloatArray], tuple[FloatArray, FloatArray]]  # bandwidths, and what they change by with log_price


def _nearby(market: _Market, like: Allocation, band_hz: float) -> tuple[FloatArray, FloatArray] | None:
    """Price and bandwidths from such as are near; None if they do not converge, as beside a corner of the curve.

    Newton's method on all logarithms at once: the lines about the last bandwidths give the next ones. Their own
    price costs no question to the curve.
    """
    log_price, bandwidth = like.log_price, like.bandwidth_hz
    with np.errstate(all="ignore"):  # what fails is not finite
        for _ in range(_REFRESHES):
            demand = market.about(bandwidth)
            for _ in range(_REFRESHES):
                new, change = demand(log_price)
                step = (band_hz - new.sum(axis=1)) / change.sum(axis=1)
                if not np.isfinite(step).all():
                    return None
                if (np.abs(step) <= NEAR * np.maximum(np.abs(log_price), 1.0)).all():
                    break
                log_price = log_price + step
            else:
                return None
            moved = np.abs(np.log(new / bandwidth)).max()
            bandwidth = new
            if moved <= _QUADRATIC:
                return log_price, bandwidth
    return None


class _Broken:
    """Clients whose error is a straight line in the bits between some points.

    Between two points a client takes what its error falls by there; at a point it stays for a range of prices, since
    the next part falls less.
    """

    def __init__(self, problem: Problem, slack: FloatArray, vertices: Vertices) -> None:
        air = problem.air
        self._curve, self._snr = air.curve, np.broadcast_to(problem.snr_hz, slack.shape)
        self._rough = rough(air.curve)
        self._carried = slack * air.goodput  # bits by each bit/s of the channel
        self._falls = problem.weight[:, None] * vertices.falls()
        needed = air.curve.bandwidth_for_rate(vertices.bits / self._carried[..., None], self._snr[..., None])
        self.needed = needed[..., 0].sum(axis=1)
        self._at = np.minimum(needed, _MORE * air.bandwidth_hz)

    @cached_property
    def _turns(self) -> FloatArray:
        """Prices [taus, clients, 2 parts] at which clients begin and end with the parts of their curves, falling."""
        slope = self._carried[..., None] * self._curve.slope(self._at, self._snr[..., None])
        turns = np.empty((*slope.shape[:2], self._falls.shape[1], 2))
        np.multiply(self._falls, slope[..., :-1], out=turns[..., 0])
        np.multiply(self._falls, slope[..., 1:], out=turns[..., 1])
        return turns.reshape(*slope.shape[:2], -1)

    def prices(self) -> tuple[FloatArray, FloatArray]:
        dearest, before = self._turns[..., ::2].max(axis=(1, 2)), self._turns[..., 1::2]
        cheapest = np.minimum(np.where(before > 0, before, np.inf).min(axis=(1, 2)), dearest)
        return np.log(np.maximum(cheapest, _TINY)) - 1, np.log(np.maximum(dearest, _TINY)) + 1

    def about(self, bandwidth: FloatArray) -> _Demand:
        log_band, bend = np.log(bandwidth), self._rough.bend(bandwidth, self._snr)
        log_slope = np.log(self._carried * self._curve.slope(bandwidth, self._snr))

        def demand(log_price: FloatArray) -> tuple[FloatArray, FloatArray]:
            fall, low, high = self._part(np.exp(log_price)[:, None])
            free = np.exp(log_band + (log_price[:, None] - np.log(fall) - log_slope) / bend)
            taken = np.where(fall > 0, np.clip(free, low, high), low)
            return taken, np.where(taken == free, taken / bend, 0.0)

        return demand

    def _part(self, price: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The part of its curve [taus, clients] in which each is at a price; see `_of`."""
        if self._falls.shape[1] == 1:
            return np.broadcast_to(self._falls[:, 0], self._snr.shape), self._at[..., 0], self._at[..., 1]
        return self._of((self._turns > price[..., None]).sum(axis=-1))  # odd between points, even at one

    def spend(self, log_price: FloatArray) -> FloatArray:
        """Bandwidths [taus, clients] that clients take when a hertz costs e^log_price [taus]."""
        price = np.exp(log_price)[:, None]
        fall, low, high = self._part(price)
        slope = price / (np.where(fall > 0, fall, 1.0) * self._carried)
        free = np.clip(self._curve.bandwidth_for_slope(slope, self._snr), low, high)
        return np.asarray(np.where(fall > 0, free, low))

    def _of(self, passed: NDArray[np.int64]) -> tuple[FloatArray, FloatArray, FloatArray]:
        """How the error falls, and between which bandwidths: of one point twice where a client stays at it."""
        first = (passed // 2)[..., None]
        low = np.take_along_axis(self._at, first, axis=-1)[..., 0]
        second = np.take_along_axis(self._at, ((passed + 1) // 2)[..., None], axis=-1)[..., 0]
        part = np.minimum(first[..., 0], self._falls.shape[1] - 1)
        return self._falls[np.arange(part.shape[1]), part], low, second

    def worth(self, bandwidth: FloatArray, log_price: FloatArray) -> FloatArray:
        """How much error one more bit would save, or, at a point, the price of the bandwidth that a bit needs there."""
        price = np.exp(log_price)[:, None]
        paid = price / (self._carried * self._curve.slope(bandwidth, self._snr))
        if self._falls.shape[1] == 1:
            fall = self._falls[:, 0]
            paid = np.where(bandwidth <= self._at[..., 0], np.maximum(paid, fall), np.minimum(paid, fall))
            between = (bandwidth > self._at[..., 0]) & (bandwidth < self._at[..., 1])
            return np.asarray(np.where(between, fall, paid))
        passed = (self._turns > price[..., None]).sum(axis=-1)
        padded = np.pad(self._falls, ((0, 0), (1, 1)), constant_values=((0, 0), (np.inf, 0.0)))
        rows = np.arange(passed.shape[1])
        return np.asarray(np.clip(paid, padded[rows, (passed + 2) // 2], padded[rows, (passed + 1) // 2]))


class _Smooth:
    """Clients whose error is 1 / rho - 1, of which the bits are a straight line in rho."""

    def __init__(self, problem: Problem, slack: FloatArray, near: float, like: Allocation | None) -> None:
        air, self._problem, self._near = problem.air, problem, near
        self._curve, self._snr = air.curve, np.broadcast_to(problem.snr_hz, slack.shape)
        self._carried = slack * air.goodput
        fewest, most = problem.ends("variance")
        needed = air.curve.bandwidth_for_rate(fewest / self._carried, self._snr)
        self.needed = needed.sum(axis=1)
        self._most = np.minimum(air.curve.bandwidth_for_rate(most / self._carried, self._snr), _MORE * air.bandwidth_hz)
        self._least = np.minimum(needed, self._most)
        start = self._most if like is None else np.clip(like.bandwidth_hz, self._least, self._most)
        self._log_band, self._rough = np.log(start), rough(air.curve)
        self._last, self._first = self._gain(self._most), self._gain(self._least)  # prices at both ends

    def prices(self) -> tuple[FloatArray, FloatArray]:
        return (
            np.log(np.maximum(self._last.min(axis=1), _TINY)) - 1,
            np.log(np.maximum(self._first.max(axis=1), _TINY)) + 1,
        )

    def about(self, bandwidth: FloatArray) -> _Demand:
        log_band, (log_gain, bend) = np.log(bandwidth), self._log_gain(bandwidth)

        def demand(log_price: FloatArray) -> tuple[FloatArray, FloatArray]:
            free = np.exp(log_band + (log_price[:, None] - log_gain) / bend)
            taken = np.clip(free, self._least, self._most)
            return taken, np.where(taken == free, taken / bend, 0.0)

        return demand

    def _log_gain(self, band: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The logarithm of what one more hertz saves, and how that falls with the logarithm of the bandwidth."""
        problem = self._problem
        slope = self._carried * self._curve.slope(band, self._snr)
        by_bits = problem.scaled_bits * problem.kept(self._carried * self._curve.rate(band, self._snr))
        gain = np.log(np.maximum(problem.weight * problem.scaled_bits * slope / by_bits**2, _TINY))
        return gain, np.minimum(self._rough.bend(band, self._snr) - 2 * slope * band / by_bits, -1e-9)

    def _fall(self, bandwidth: FloatArray) -> FloatArray:
        """How much error a bit saves."""
        problem = self._problem
        kept = problem.kept(self._carried * self._curve.rate(bandwidth, self._snr))
        return np.asarray(problem.weight / (problem.scaled_bits * kept**2))

    def _gain(self, bandwidth: FloatArray) -> FloatArray:
        """How much error one more hertz saves: falls in the bandwidth."""
        return np.asarray(self._fall(bandwidth) * self._carried * self._curve.slope(bandwidth, self._snr))

    def spend(self, log_price: FloatArray) -> FloatArray:
        """Bandwidths [taus, clients] that clients take when a hertz costs e^log_price [taus].

        Newton's method on logarithms, with the bend of the tables, from where the last price led; halves what is left
        where that goes beyond it.
        """
        price = np.exp(log_price)[:, None]
        between = (price < self._first) & (price > self._last)
        low, high = np.log(self._least), np.log(self._most)
        at = np.where(between, np.clip(self._log_band, low, high), np.where(price >= self._first, low, high))
        for _ in range(_STEPS):
            log_gain, bend = self._log_gain(np.exp(at))
            off = log_gain - log_price[:, None]
            low, high = np.where(off > 0, at, low), np.where(off > 0, high, at)
            new = at - off / bend
            new = np.where((new < low) | (new > high), 0.5 * (low + high), new)
            moved = np.abs(new - at).max(where=between, initial=0.0)
            at = np.where(between, new, at)
            if moved <= self._near:
                break
        self._log_band = at
        return np.clip(np.exp(at), self._least, self._most)

    def worth(self, bandwidth: FloatArray, log_price: FloatArray) -> FloatArray:
        """How much error one more bit would save, or, at an end, the price of the bandwidth that a bit needs there."""
        paid = np.exp(log_price)[:, None] / (self._carried * self._curve.slope(bandwidth, self._snr))
        at_end = (bandwidth <= self._least) | (bandwidth >= self._most)
        return np.asarray(np.where(at_end, paid, self._fall(bandwidth)))
