"""Checks of fading that differs within a band: law, correlation over frequency, and delays of the tapped delay lines.

Knows the tables of TR 38.901 by what they sum up to, and no link.
"""

from __future__ import annotations

import functools

import numpy as np

from channels import measures
from channels.arrays import Floats
from channels.selftest.check import Check, Tolerance, largest_deviation
from channels.streams import Stream
from channels.tdl import TDL

_STREAM = Stream.root(12).child("selective")
_CLIENTS = 10_000
_LAW = Tolerance(0.0195)  # Kolmogorov-Smirnov distance of 1e4 samples, critical at 0.1 %
_OFFSETS_HZ = np.array([2e5, 5e5, 1e6, 2e6, 3e6])  # over these the correlation of A falls from 0.97 to below 0.4
# 4.5 standard errors of 4e4 products of two gains less 1, of deviation sqrt(8) at most: 0.064, and 0.01 for 16 phasors
_COVARIANCE = Tolerance(0.075)
_K_DB = {"D": 9.0, "E": 9.3}  # to one decimal


def _model(profile: str) -> TDL:
    return TDL(profile=profile, delay_spread_s=100e-9)  # type: ignore[arg-type]


def _ks(profile: str, k: float) -> float:
    gain = _model(profile).power_gain(_STREAM, np.arange(_CLIENTS), [1.0], 10.0)
    return measures.ks_distance(gain, lambda x: measures.rician_outage(x, k))


def _covariance_deviation() -> float:
    """Of the gains at some offsets with those at the carrier, profile A, four times a thousand seconds apart."""
    model = _model("A")
    times = 1e3 * np.arange(4)
    gain = model.frequency_gain(_STREAM, np.arange(_CLIENTS), times, 10.0, np.concatenate([[0.0], _OFFSETS_HZ])) - 1.0
    _, delays_s, powers = model.taps()
    response = np.exp(-2j * np.pi * np.outer(_OFFSETS_HZ, delays_s)) @ powers
    return largest_deviation(np.mean(gain[..., 1:] * gain[..., :1], axis=(0, 1)), np.abs(response) ** 2)


def _delay_spread(profile: str) -> float:
    """Root mean square delay over the stated spread, with the direct path."""
    _, delays_s, powers = _model(profile).taps()
    return float(np.sqrt(powers @ delays_s**2 - (powers @ delays_s) ** 2) / 100e-9)


def _k_deviation_db() -> float:
    direct: Floats = np.array([_model(profile).taps()[0] for profile in ("D", "E")])
    return largest_deviation(10.0 * np.log10(direct / (1.0 - direct)), list(_K_DB.values()))


CHECKS: tuple[Check, ...] = (
    *(
        Check(f"fading.tdl.{profile}.ks", functools.partial(_ks, profile, k), 0.0, _LAW,
              f"Kolmogorov-Smirnov distance of the gain at the carrier from {law}, 1e4 clients; critical at 0.1 %")
        for profile, k, law in (("A", 0.0, "an exponential"), ("D", 10.0 ** 0.9, "the Rician law at K = 9.0 dB"))
    ),
    Check("fading.tdl.frequency", _covariance_deviation, 0.0, _COVARIANCE,
          "of the covariance of gains 0.2 to 3 MHz apart, profile A, from |sum P exp(-j 2 pi f d)|^2; "
          "4.5 standard errors of 4e4 gains, and 0.01 for the phasors"),
    *(
        Check(f"fading.tdl.{profile}.delay_spread", functools.partial(_delay_spread, profile), expected,
              Tolerance(5e-4), f"root mean square delay of TR 38.901 Table 7.7.2-{number}, stated as 1; three decimals")
        for number, (profile, expected) in enumerate(
            (("A", 1.0), ("B", 1.0), ("C", 1.0), ("D", 0.994), ("E", 1.0)), start=1)
    ),
    Check("fading.tdl.k", _k_deviation_db, 0.0, Tolerance(0.05, unit="dB"),
          "direct path over all else in D and E, 9.0 and 9.3 dB; TR 38.901 section 7.7.2 states them to one decimal"),
)  # fmt: skip
