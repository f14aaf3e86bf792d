from __future__ import annotations

import numpy as np
import pytest

from channels.fading import NoFading, Rayleigh
from channels.linkadaptation import Shannon
from channels.ratecurve import RateCurve
from wfl_sim.contracts import Air, PayloadMenu, Point, Request

CURVES = {"known": RateCurve.of(NoFading(), Shannon()), "ergodic": RateCurve.of(Rayleigh(), Shannon())}


@pytest.fixture(scope="session")
def make_air():
    """The air of a 10 MHz uplink; `csi` is ``known`` (gain known: Shannon) or ``ergodic`` (mean over Rayleigh)."""

    def make(csi="known", **changes):
        return Air(**({"bandwidth_hz": 10e6, "curve": CURVES[csi], "overhead": 0.08} | changes))

    return make


@pytest.fixture(scope="session")
def mean_snr_hz():
    """P h / N0 at distances in km: 20 dBm, -174 dBm/Hz, PL = 128.1 + 37.6 lg d_km dB."""

    def snr_hz(distance_km):
        return 10 ** ((20 + 174 - 128.1 - 37.6 * np.log10(distance_km)) / 10)

    return snr_hz


@pytest.fixture(scope="session")
def make_menu():
    """`number` points of equal steps in kept fraction, up to a dense update of `dense_bits` and a fixed part."""

    def make(dense_bits=18_900_000, number=50, fixed_bits=0):
        return PayloadMenu(
            tuple(Point(n / number, fixed_bits + round(dense_bits * n / number), 1 - n / number)
                  for n in range(1, number + 1))
        )  # fmt: skip

    return make


@pytest.fixture(scope="session")
def make_requests(make_menu):
    """Requests of clients 0, 1, ... with given SNR-bandwidth products."""

    def make(snr_hz, ready_s=None, menus=None, weights=None):
        number = len(snr_hz)
        ready_s = np.zeros(number) if ready_s is None else ready_s
        menus = [make_menu()] * number if menus is None else menus
        weights = np.full(number, 1 / number) if weights is None else weights
        return [Request(k, float(snr_hz[k]), menus[k], float(ready_s[k]), float(weights[k])) for k in range(number)]

    return make


@pytest.fixture(scope="session")
def ends_s():
    """When the uploads of decisions are planned to end, by the definition: ready + bits on the air / rate."""

    def ends(air, requests, decisions):
        return np.array([
            r.ready_s + air.wire_bits(d.point.bits)
            / float(air.rate_bps(np.array([d.bandwidth_hz]), np.array([r.snr_hz]))[0])
            for r, d in zip(requests, decisions, strict=True) if d.action == "send"
        ])  # fmt: skip

    return ends
