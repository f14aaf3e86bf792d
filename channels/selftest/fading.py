"""Checks of fast fading: the law of the gain, its memory, how often it crosses a level, and the capacity it leaves.

Knows the closed forms of `channels.measures` and the figures of `channels.vectors`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from channels import measures
from channels.arrays import Floats
from channels.fading import BlockRayleigh, Fading, Nakagami, Rayleigh, Rician
from channels.selftest.check import KS_DISTANCE, Check, Tolerance, largest_deviation
from channels.streams import Stream
from channels.vectors import (
    CAPACITY,
    CAPACITY_SNR_DB,
    CLARKE_CORRELATION,
    CROSSINGS,
    OUTAGE,
    OUTAGE_LEVELS_DB,
)

_STREAM = Stream.root(11).child("fading")
_SAMPLES = 100_000
_GROUP = 100  # clients whose amplitudes are in memory at once
_LEVELS = tuple(10.0 ** (level_db / 10.0) for level_db in OUTAGE_LEVELS_DB)
_SNR = 10.0 ** (np.array(CAPACITY_SNR_DB) / 10.0)
_OUTAGE = Tolerance(0.005)  # acceptance limits, these four
_CORRELATION = Tolerance(0.02)
_CROSSINGS = Tolerance(0.03, relative=True)
_CAPACITY = Tolerance(0.005)


_LAGS = (1, 5, 10, 20, 38)  # hundredths of a Doppler period, up to the first zero of J0, at 0.3827
_CORRELATIONS = (*CLARKE_CORRELATION[:4], 0.0090)  # J0 there; 0.38 is no lag of the vectors


class _Walk(NamedTuple):
    """So many clients at so many times, a fixed share of a Doppler period apart."""

    clients: int
    samples: int
    step: float
    levels: tuple[float, ...]
    lags: tuple[int, ...]


_DOPPLER_HZ = 1.25  # the steps are then 8 and 1.6 ms, which divide the 64 ms windows of the sum: five times as fast
# The acceptance's 1000 clients for 100 s at fd Ts = 0.01, which are 125 000 Doppler periods
_LONG = _Walk(1000, 12_500, 0.01, (*_LEVELS, 0.5**2), _LAGS)
# At rho = 0.1 a fade lasts 0.04 periods: steps of 0.01 would miss short ones. 25 000 periods, 6000 crossings
_FINE = _Walk(2500, 5000, 0.002, (0.1**2,), ())


class _Figures(NamedTuple):
    """Of a walk: shares below and crossings a period by level, and the autocorrelation of the amplitude by lag."""

    below: dict[float, float]
    crossings: dict[float, float]
    correlation: Floats


@functools.cache
def _walk(walk: _Walk) -> _Figures:
    """The figures of Rayleigh fading, as means over groups of clients; times are in Doppler periods."""
    times, groups = np.arange(walk.samples) * (walk.step / _DOPPLER_HZ), walk.clients // _GROUP
    below, crossings = dict.fromkeys(walk.levels, 0.0), dict.fromkeys(walk.levels, 0.0)
    correlation = np.zeros(len(walk.lags))
    for group in range(groups):
        amplitudes = np.stack(Rayleigh().amplitudes(_STREAM, np.arange(_GROUP) + group * _GROUP, times, _DOPPLER_HZ))
        correlation += measures.autocorrelation(amplitudes, np.array(walk.lags, int)) / groups
        gains = np.sum(amplitudes**2, axis=0)
        for level in walk.levels:
            below[level] += measures.outage(gains, level) / groups
            crossings[level] += measures.level_crossing_rate(gains, walk.step, level) / groups
    return _Figures(below, crossings, correlation)


def _outage(level: float) -> float:
    return _walk(_LONG).below[level]


def _correlation(lag: int) -> float:
    return float(_walk(_LONG).correlation[lag])


def _crossing_rate(walk: _Walk, rho: float) -> float:
    return _walk(walk).crossings[rho**2]


def _fade_duration(walk: _Walk, rho: float) -> float:
    return _walk(walk).below[rho**2] / _walk(walk).crossings[rho**2]


def _crossings_of(model: Fading) -> float:
    """Crossings a Doppler period of the mean gain: 1000 clients for 20 periods in steps of 0.01."""
    gains = model.power_gain(_STREAM, np.arange(1000), np.arange(2000) * (0.01 / _DOPPLER_HZ), _DOPPLER_HZ)
    return measures.level_crossing_rate(gains, 0.01, 1.0)


def _rician_rate(k_db: float) -> float:
    """Theory at the mean gain: the mean over the angle of the direct path, which is uniform over a turn."""
    direct_hz = np.cos(2.0 * np.pi * (np.arange(256) + 0.5) / 256)
    return float(np.mean(measures.rician_crossing_rate(1.0, 10.0 ** (k_db / 10.0), 1.0, direct_hz)))


_kept: dict[Fading, Floats] = {}


def _draws(model: Fading) -> Floats:
    """Gains [1e5 clients, 2 times], computed once; at one time they are independent."""
    if model not in _kept:
        _kept[model] = model.power_gain(_STREAM, np.arange(_SAMPLES), [1.0, 7.0], 10.0)
    return _kept[model]


def _ks(model: Fading, law: Callable[[Floats], ArrayLike]) -> float:
    return measures.ks_distance(_draws(model)[:, 0], law)


def _outage_deviation(model: Fading, expected: tuple[float, ...]) -> float:
    return largest_deviation([measures.outage(_draws(model)[:, 0], level) for level in _LEVELS], expected)


def _capacity_deviation(model: Fading, expected: tuple[float, ...]) -> float:
    """Of simulated capacities, relative, over the mean SNR values of the vectors."""
    means = [float(np.mean(measures.awgn_capacity(snr * _draws(model)))) for snr in _SNR]
    return largest_deviation(means, expected, relative=True)


def _quadrature_deviation() -> float:
    """Of the capacities that a schedule plans with, relative, over all laws and SNR values of the vectors."""
    found = []
    for model, expected in CAPACITY:
        gain, weight = model.quadrature()
        found.append(largest_deviation(np.log2(1.0 + _SNR[:, None] * gain) @ weight, expected, relative=True))
    return max(found)


def _name(model: Fading) -> str:
    """``rician.k3`` of a K factor of 3 dB, ``nakagami.m0.5``: the last dot is part of the number."""
    if isinstance(model, Rician):
        return f"rician.k{model.k_db:g}"
    return f"nakagami.m{model.m:g}" if isinstance(model, Nakagami) else model.kind


_LAWS: tuple[tuple[Fading, Callable[[Floats], ArrayLike]], ...] = (
    (Rayleigh(), measures.rayleigh_outage),
    (BlockRayleigh(), measures.rayleigh_outage),
    *((Rician(k_db=k), functools.partial(measures.rician_outage, k=10.0 ** (k / 10.0))) for k in (0.0, 3.0, 10.0)),
    *(
        (Nakagami(m=m), functools.partial(measures.nakagami_outage, m=m)) for m in (0.5, 4.0)
    ),  # m = 1 is Rayleigh, bit for bit
)
_WALK_WHY = "1000 clients for 100 s at fd Ts = 0.01; acceptance limit"

CHECKS: tuple[Check, ...] = (
    *(
        Check(f"fading.rayleigh.outage.{level_db:g}dB", functools.partial(_outage, level), expected, _OUTAGE,
              f"share of time below the level over the mean, 1 - exp(-x); {_WALK_WHY}")
        for level_db, level, expected in zip(OUTAGE_LEVELS_DB, _LEVELS, OUTAGE[0].expected, strict=True)
    ),
    *(
        Check(f"fading.rayleigh.autocorrelation.{lag}", functools.partial(_correlation, n), expected, _CORRELATION,
              f"J0(2 pi fd tau), Clarke 1968, at fd tau = {lag / 100:g}; {_WALK_WHY}")
        for n, (lag, expected) in enumerate(zip(_LAGS, _CORRELATIONS, strict=True))
    ),
    *(
        Check(f"fading.rayleigh.{figure}.rho{rho:g}", functools.partial(measure, walk, rho), expected, _CROSSINGS,
              f"{formula}, Jakes 1974; {why}")
        for walk, why, rhos in ((_LONG, _WALK_WHY, (0.5, 1.0)),
                                (_FINE, "2500 clients for 10 periods at fd Ts = 0.002, since fades are short", (0.1,)))
        for rho, rate, duration in CROSSINGS if rho in rhos
        for figure, measure, expected, formula in (
            ("crossings", _crossing_rate, rate, "crossings a Doppler period, sqrt(2 pi) rho exp(-rho^2)"),
            ("fade", _fade_duration, duration, "fade duration in periods, (exp(rho^2) - 1) / (rho sqrt(2 pi))"),
        )
    ),
    Check("fading.rician.crossings", lambda: _crossings_of(Rician(k_db=3.0)), _rician_rate(3.0), _CROSSINGS,
          "crossings of the mean gain a Doppler period at K = 3 dB, Rice 1948, over all angles of the direct path"),
    Check("fading.nakagami.crossings", lambda: _crossings_of(Nakagami(m=2.0)),
          float(measures.nakagami_crossing_rate(1.0, 2.0, 1.0)), _CROSSINGS,
          "crossings of the mean gain a Doppler period at m = 2, Yacoub, Bautista and Guedes 1999"),
    *(
        Check(f"fading.{_name(model)}.ks", functools.partial(_ks, model, law), 0.0, KS_DISTANCE,
              "Kolmogorov-Smirnov distance of 1e5 clients at one time from the law; critical at 0.1 %")
        for model, law in _LAWS
    ),
    *(
        Check(f"fading.{_name(model)}.outage", functools.partial(_outage_deviation, model, expected), 0.0, _OUTAGE,
              "largest deviation from the closed form at -10, -5 and 0 dB, 1e5 clients at one time; acceptance limit")
        for model, expected in OUTAGE[1:]
    ),
    *(
        Check(f"fading.{_name(model)}.capacity", functools.partial(_capacity_deviation, model, expected), 0.0,
              _CAPACITY,
              "largest relative deviation of the simulated mean at 0, 5, 10 and 20 dB, 2e5 gains; acceptance limit")
        for model, expected in CAPACITY
    ),
    Check("fading.capacity.planned", _quadrature_deviation, 0.0, Tolerance(1e-3),
          "the same by the quadratures of all laws; the vectors have four decimals"),
)  # fmt: skip
