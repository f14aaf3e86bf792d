"""What links carry of an update of each rank."""

from __future__ import annotations

import math

import numpy as np
import pytest
from stage1cases import MANY, ONE, scenario_of

from wfl_sim.stage1.choice import carried
from wfl_sim.stage1.links import Links, bits_of
from wfl_sim.stage1.plane import plane

ROUNDING = 1e-12  # relative: sums and products of a few floats
WHOLE_BITS = 1e-4  # of an update: payloads are whole bits, of some hundred thousand


def shannon_bps(bandwidth_hz: float, power_dbm: float, noise_figure_db: float) -> float:
    """The rate of `ONE` by hand: free space over 300 m at 1 GHz, noise of k T0."""
    distance_m = math.hypot(300.0, 0.0)
    loss_db = 20 * math.log10(4 * math.pi * distance_m * 1e9 / 299_792_458)
    noise_w = 1.380649e-23 * 290 * 10 ** (noise_figure_db / 10) * bandwidth_hz
    snr = 10 ** ((power_dbm - 30 - loss_db) / 10) / noise_w
    return bandwidth_hz * math.log2(1 + snr)


def test_the_kept_fraction_of_one_client_by_hand() -> None:
    scenario = scenario_of(ONE)
    air = Links(scenario, (4, 16, 64), 1.2)
    up, down = shannon_bps(200e3, 10.0, 5.0), shannon_bps(1e6, 30.0, 9.0)
    for size in air.sizes:
        fixed_s = size.dense_bits / down + 0.4 + 2 * 0.01  # a download of the whole change
        assert air.rate_bps(size) == pytest.approx(up, rel=1e-3)  # the heights of antennas are not in 300 m
        assert air.fixed_s(size) == pytest.approx(fixed_s, rel=1e-3)
        room = air.rate_bps(size) * (1.2 - air.fixed_s(size))
        expected = min(1.0, max(0.1, (room - size.fixed_bits) / (size.dense_bits - size.fixed_bits)))
        assert air.kept_fraction(size, 1.2, 0.1) == pytest.approx(expected, abs=WHOLE_BITS)
        # One client has the band for itself, so that the round takes what its rate says.
        assert air.round_s(size, 1e5) == pytest.approx(air.fixed_s(size) + 1e5 / air.rate_bps(size), rel=1e-9)
    assert 0.1 < air.kept_fraction(air.sizes[1], 1.2, 0.1) < 1.0, "a middle one, which is not held at a limit"


def test_the_latency_budget_of_a_kept_fraction_is_its_inverse() -> None:
    air = Links(scenario_of(MANY), (2, 4), 0.9)
    for size in air.sizes:
        for kept in (0.2, 0.5, 0.9):
            assert air.kept_fraction(size, air.budget_s(size, kept), 0.01) == pytest.approx(kept, abs=1e-3)


def test_a_size_is_a_line_through_what_the_codec_offers() -> None:
    for codec in ("components", "topk", "dense"):
        for size in Links(scenario_of(MANY, f"codec={{kind: {codec}}}"), (2, 4), 0.9).sizes:
            first, last = size.menu.points[0], size.menu.points[-1]
            assert bits_of(size, 1.0) == last.bits and size.fixed_bits > 0.0  # the head, at least
            if codec != "dense":
                assert bits_of(size, first.kept_fraction) == pytest.approx(first.bits, rel=ROUNDING)


def test_a_rank_over_the_budget_is_told_by_its_least() -> None:
    """In the table of a budget between the least rounds of two ranks, and in the plane that is drawn."""
    overrides = ["rank_selection.candidates=[2, 64]", "rank_selection.kept_fraction_min=0.27"]
    scenario = scenario_of(MANY, *overrides, "rank_selection.latency_budget=1 s")
    air = Links(scenario, (2, 64), 1.0)
    small, large = carried(scenario, air, 1.0)
    least = air.sizes[1].menu.smallest(0.27)
    assert small.fits and not large.fits
    assert (large.kept_fraction, large.bits, large.round_s) == (least.kept_fraction, least.bits, large.least_s)
    assert large.round_s == air.round_s(air.sizes[1], least.bits) > 1.0
    assert all(row.round_s >= row.least_s for row in (small, large))
    drawn = plane(scenario, air)
    longer = drawn.least_s > 1.0
    assert longer[drawn.ranks >= 64].all() and not longer[drawn.ranks <= 2].any()


def test_clients_that_move_are_looked_at_several_times() -> None:
    still = Links(scenario_of(MANY), (2,), 0.9)
    moving = Links(scenario_of(MANY, "clients.mobility={kind: random_waypoint, speed: 30 km/h}"), (2,), 0.9)
    assert still.times_s == [0.0]
    assert moving.times_s[0] == 0.0 and moving.times_s[-1] == pytest.approx(6 * 0.9) and len(moving.times_s) > 2
    rates = [snapshot.rate_bps for snapshot in moving.snapshots(moving.sizes[0])]
    assert moving.rate_bps(moving.sizes[0]) == pytest.approx(np.mean(rates))
    assert not np.allclose(rates[0], rates[-1])
