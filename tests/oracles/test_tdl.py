"""Tapped delay lines against Sionna: the numbers of the taps, and the statistics of what is drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from channels.streams import Stream
from channels.tdl import TDL

pytestmark = pytest.mark.oracle

Floats = NDArray[np.float64]

PROFILES = ("A", "B", "C", "D", "E")
# Powers and delays of the same printed table, normalised on both sides.
TAP_TOLERANCE = 1e-9
LINKS, SEED = 40_000, 7
DOPPLER_HZ, STEP_S, TIMES = 100.0, 1e-3, 4
DELAY_SPREAD_S = 100e-9
OFFSETS_HZ = (0.0, 0.5e6, 2e6, 10e6)
# Both sides are estimates from 40,000 links, and 4 standard deviations of their difference are allowed: each sqrt(2 /
# 40,000) for a mean gain of variance 1, at most half of it for an outage, and about twice for a correlation of skewed
# values.
MEAN_TOLERANCE, OUTAGE_TOLERANCE, CORRELATION_TOLERANCE = 0.028, 0.014, 0.056


@pytest.fixture(scope="module")
def answers(ask: Callable[..., list[Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Taps and drawn gains of each profile, from one process."""
    taps: list[dict[str, Any]] = [{"job": "taps", "profile": profile} for profile in PROFILES]
    asked = {"job": "drawn", "seed": SEED, "links": LINKS, "times": TIMES, "step_s": STEP_S, "doppler_hz": DOPPLER_HZ}
    asked |= {"delay_spread_s": DELAY_SPREAD_S, "offsets_hz": OFFSETS_HZ}
    found = ask("sionna", taps + [{**asked, "profile": profile} for profile in PROFILES])
    half = len(PROFILES)
    return dict(zip(PROFILES, found[:half], strict=True)), dict(zip(PROFILES, found[half:], strict=True))


@pytest.mark.parametrize("profile", PROFILES)
def test_taps(profile: str, answers: tuple[dict[str, Any], dict[str, Any]], compare: Callable[..., None]) -> None:
    theirs = answers[0][profile]
    direct, delays, powers = TDL(profile=profile, delay_spread_s=1e-6).taps()
    k_factor = direct / powers[0] if direct else 0.0
    powers = powers + direct * (np.arange(powers.size) == 0)
    ours = np.concatenate([in_order(delays / 1e-6, powers), [k_factor]])
    other = np.concatenate([in_order(np.array(theirs["delay"]), np.array(theirs["power"])), [theirs["k_factor"]]])
    # K is a ratio of some hundreds at most; what is printed is relative to 1 or to it.
    scale = np.maximum(np.abs(other), 1.0)
    row = "TDL-A to E: delays, powers, K"
    compare(row, "sionna", ours / scale, other / scale, TAP_TOLERANCE, "", detail=f"TDL-{profile}")


@pytest.mark.parametrize("profile", PROFILES)
def test_drawn(profile: str, answers: tuple[dict[str, Any], dict[str, Any]], compare: Callable[..., None]) -> None:
    theirs = np.array(answers[1][profile]).reshape(LINKS, TIMES, len(OFFSETS_HZ))
    model, times_s = TDL(profile=profile, delay_spread_s=DELAY_SPREAD_S), STEP_S * np.arange(TIMES)
    ours = model.frequency_gain(Stream.root(SEED).child("fading"), np.arange(LINKS), times_s, DOPPLER_HZ, OFFSETS_HZ)
    for what, statistic, tolerance in (
        ("mean gain", means, MEAN_TOLERANCE),
        ("outage at -10, -5, 0 dB", outages, OUTAGE_TOLERANCE),
        ("correlation over f and t", correlations, CORRELATION_TOLERANCE),
    ):
        row = f"TDL-A to E, {LINKS:,} links: {what}"
        compare(row, "sionna", statistic(ours), statistic(theirs), tolerance, detail=f"TDL-{profile} {what}")


def in_order(delays: Floats, powers: Floats) -> Floats:
    rows = np.lexsort((powers, delays))
    return np.concatenate([delays[rows], powers[rows]])


def means(gains: Floats) -> Floats:
    """Mean gain at each frequency."""
    return gains.mean(axis=(0, 1))


def outages(gains: Floats) -> Floats:
    """Share of gains below each level, at each frequency."""
    return np.array([(gains < 10.0 ** (level_db / 10.0)).mean(axis=(0, 1)) for level_db in (-10.0, -5.0, 0.0)])


def correlations(gains: Floats) -> Floats:
    """Of the gain at the first frequency with those at the others, and at the first time with those at the others."""
    over_f = [
        np.corrcoef(gains[:, :, 0].ravel(), gains[:, :, place].ravel())[0, 1] for place in range(1, gains.shape[2])
    ]
    over_t = [np.corrcoef(gains[:, 0].ravel(), gains[:, place].ravel())[0, 1] for place in range(1, gains.shape[1])]
    return np.array(over_f + over_t)
