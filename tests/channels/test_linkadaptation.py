from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import exp1

from channels.fading import NoFading, Rayleigh
from channels.linkadaptation import LINK_ADAPTATION, Shannon, TruncatedShannon, peak_rate_bps
from channels.options import OptionError
from channels.ratecurve import CappedCurve, Plan, RateCurve, planning_curve
from channels.vectors import CAPACITY, CAPACITY_SNR_DB, PEAK_RATES, TRUNCATED_SHANNON, TRUNCATED_SNR_DB

ROUND_TRIP = 1e-11  # Newton ends at a few ulp of ln u, and ln u is up to 90
SPLINE = 1e-9  # relative error promised for the splines
DIFFERENCE = 1e-5  # relative error of a central difference of width 1e-4 on splines good to 1e-10
TABLE = 1e-4  # the ergodic values have four decimals
CURVES = {
    "known": RateCurve.of(NoFading(), Shannon()),
    "rayleigh": RateCurve.of(Rayleigh(), Shannon()),
    "capacity": RateCurve.of(Rayleigh(), Shannon(gap_db=0.0)),
    "outage": RateCurve([0.0, 0.5, 1.5], [0.2, 0.4, 0.4], gap=2.0),
}
curves = pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
BANDWIDTHS_HZ = st.floats(-2, 9).map(lambda e: 10.0**e)
SNRS_HZ = st.floats(-2, 12).map(lambda e: 10.0**e)


def test_shannon_with_gap():
    # gap 3 dB is 1.995262: log2(1 + 10 / 1.995262) = log2(6.011872) = 2.587815
    assert Shannon().efficiency(10.0) == pytest.approx(2.587815, abs=1e-6)
    assert Shannon(gap_db=0.0).efficiency([0.0, 1.0, 3.0]).tolist() == pytest.approx([0.0, 1.0, 2.0], abs=1e-15)
    assert Shannon().efficiency(1e-12) == pytest.approx(1e-12 / Shannon().gap / np.log(2), rel=1e-11)
    for bad in (np.nan, np.inf, -1.0):
        with pytest.raises(ValueError, match="SNR"):
            Shannon().efficiency(bad)


@pytest.mark.parametrize(("model", "expected"), CAPACITY)
def test_ergodic_capacity(model, expected):
    curve = RateCurve.of(model, Shannon(gap_db=0.0))
    snr = 10.0 ** (np.array(CAPACITY_SNR_DB) / 10.0)
    np.testing.assert_allclose(curve.efficiency(snr), expected, rtol=0, atol=TABLE)


@pytest.mark.parametrize("snr", [1.0, 3.2, 10.0, 100.0])
def test_ergodic_capacity_of_rayleigh_fading(snr):
    exact = np.exp(1 / snr) * exp1(1 / snr) / np.log(2)  # Alouini and Goldsmith 1999
    assert CURVES["capacity"].efficiency(snr) == pytest.approx(exact, rel=SPLINE)


def test_known_gain_is_shannon_itself():
    bandwidth, snr = np.geomspace(1.0, 1e8, 60)[:, None], np.geomspace(1e2, 1e11, 50)
    expected = bandwidth * Shannon().efficiency(snr / bandwidth)
    np.testing.assert_allclose(CURVES["known"].rate(bandwidth, snr), expected, rtol=ROUND_TRIP)


@pytest.mark.parametrize("name", ["rayleigh", "outage"])
def test_splines_keep_their_promise(name):
    gains, weights = Rayleigh().quadrature() if name == "rayleigh" else (np.array([0.0, 0.5, 1.5]), [0.2, 0.4, 0.4])
    gap = Shannon().gap if name == "rayleigh" else 2.0
    snr = np.exp(np.linspace(np.log(1e-14), np.log(1e14), 3001))  # off the knots, and below the table's end
    signal = snr[:, None] * gains / gap
    expected = np.log1p(signal) @ np.asarray(weights) / np.log(2)
    np.testing.assert_allclose(CURVES[name].efficiency(snr), expected, rtol=SPLINE)
    safe = snr > 1e-3  # log1p(t) - t / (1 + t) cancels below
    slope = (np.log1p(signal) - signal / (1 + signal)) @ np.asarray(weights) / np.log(2)
    np.testing.assert_allclose(CURVES[name].slope(1.0, snr)[safe], slope[safe], rtol=SPLINE)


@curves
def test_slope_is_the_derivative_of_the_rate(curve):
    bandwidth, snr = np.geomspace(1e3, 1e8, 40)[:, None], np.geomspace(1e4, 1e11, 40)
    up, down = curve.rate(bandwidth * (1 + 1e-4), snr), curve.rate(bandwidth * (1 - 1e-4), snr)
    difference = (up - down) / (2e-4 * bandwidth)
    # where the rate has all but reached its limit the difference is lost in rounding
    clear = curve.slope(bandwidth, snr) * bandwidth > 1e-4 * curve.rate(bandwidth, snr)
    assert clear.mean() > 0.5
    np.testing.assert_allclose(curve.slope(bandwidth, snr)[clear], difference[clear], rtol=DIFFERENCE)


@curves
def test_rate_is_increasing_concave_and_below_its_limit(curve):
    snr = 1e7
    bandwidth = np.geomspace(1.0, 1e13, 20_000)
    rate, slope = curve.rate(bandwidth, snr), curve.slope(bandwidth, snr)
    assert np.all(np.diff(slope) < 0.0) and np.all(slope > 0.0)
    assert np.all(np.diff(rate) > -1e-14 * rate[1:])  # flat to rounding at the end
    assert np.all(rate <= curve.limit(snr))
    # the deficit is u E[X^2] / (2 E[X]) relative, u = 1e-6 / gap at the end
    assert rate[-1] == pytest.approx(float(curve.limit(snr)), rel=2e-6)


@curves
@given(BANDWIDTHS_HZ, SNRS_HZ)
def test_inverses_undo_rate_and_slope(curve, bandwidth, snr):
    rate, slope = curve.rate(bandwidth, snr), curve.slope(bandwidth, snr)
    back = curve.bandwidth_for_rate(rate, snr)
    if np.isfinite(back):
        assert curve.rate(back, snr) == pytest.approx(float(rate), rel=ROUND_TRIP)
    else:
        assert rate >= curve.limit(snr) * (1 - 1e-15)
    if snr / bandwidth > 1e-3:  # further out the rate hardly depends on the bandwidth, and rounding decides
        assert back == pytest.approx(bandwidth, rel=1e-9)
    assert curve.bandwidth_for_slope(slope, snr) == pytest.approx(bandwidth, rel=ROUND_TRIP)


@curves
@given(st.floats(-30, 0), SNRS_HZ)
def test_any_rate_below_the_limit_has_a_bandwidth(curve, exponent, snr):
    rate = float(curve.limit(snr)) * 10.0**exponent * 0.999
    bandwidth = curve.bandwidth_for_rate(rate, snr)
    assert 0.0 < bandwidth < np.inf
    assert curve.rate(bandwidth, snr) == pytest.approx(rate, rel=ROUND_TRIP)


@curves
@given(st.floats(-30, 3), SNRS_HZ)
def test_any_slope_has_a_bandwidth(curve, exponent, snr):
    slope = 10.0**exponent
    bandwidth = curve.bandwidth_for_slope(slope, snr)
    if 1e-280 < bandwidth < np.inf:
        assert curve.slope(bandwidth, snr) == pytest.approx(slope, rel=ROUND_TRIP)
    else:  # a slope of hundreds of bit/s/Hz asks for less bandwidth than a float can hold
        assert slope > 300.0


@curves
def test_rate_scales_with_bandwidth_and_snr_together(curve):
    np.testing.assert_allclose(curve.rate(2e6, 6e7), 2e6 * curve.efficiency(30.0), rtol=1e-13)
    np.testing.assert_allclose(curve.bandwidth_for_rate(1e6, 1e7), 10 * curve.bandwidth_for_rate(1e5, 1e6), rtol=1e-13)


def test_fading_costs_rate_at_equal_mean_snr():
    snr = np.geomspace(1e-3, 1e6, 50)
    assert np.all(CURVES["rayleigh"].efficiency(snr) < CURVES["known"].efficiency(snr))


@curves
def test_limits(curve):
    limit = float(curve.limit(1e6))
    assert curve.rate([0.0, 0.0, 5.0], [0.0, 1e6, 0.0]).tolist() == [0.0, 0.0, 0.0]
    assert curve.slope([0.0, 5.0], [1e6, 0.0]).tolist() == [np.inf, 0.0]
    wanted = [0.0, 0.0, 1.0, limit, 2 * limit]
    assert curve.bandwidth_for_rate(wanted, [1e6, 0.0, 0.0, 1e6, 1e6]).tolist() == [0.0, 0.0, np.inf, np.inf, np.inf]
    assert curve.bandwidth_for_slope([0.0, 1.0], [1e6, 0.0]).tolist() == [np.inf, 0.0]


def test_limit_is_mean_gain_over_gap_and_ln_2():
    assert CURVES["capacity"].limit(1e6) == pytest.approx(1e6 / np.log(2), rel=1e-12)
    assert CURVES["outage"].limit(1e6) == pytest.approx(1e6 * 0.8 / 2 / np.log(2), rel=1e-12)


@curves
def test_wrong_arguments_are_refused(curve):
    for bad in (np.nan, np.inf, -1.0):
        for question in (curve.rate, curve.slope, curve.bandwidth_for_rate, curve.bandwidth_for_slope):
            with pytest.raises(ValueError, match="must be finite and at least 0"):
                question(bad, 1.0)
            with pytest.raises(ValueError, match="must be finite and at least 0"):
                question(1.0, bad)


@pytest.mark.parametrize(
    ("gains", "weights", "gap", "message"),
    [
        ([1.0], [0.5], 1.0, "sum to 1"),
        ([0.0], [1.0], 1.0, "a gain above 0"),
        ([1.0, 2.0], [1.0], 1.0, "one length"),
        ([-1.0], [1.0], 1.0, "fading gain"),
        ([1.0], [1.0], 0.5, "gap"),
        ([1.0], [1.0], np.nan, "gap"),
    ],
)
def test_a_law_that_is_none_is_refused(gains, weights, gap, message):
    with pytest.raises(ValueError, match=message):
        RateCurve(gains, weights, gap)


def test_options_are_checked():
    with pytest.raises(OptionError, match="gap_db: must be at least 0 dB"):
        Shannon(gap_db=-1.0)
    assert {kind: model.kind for kind, model in LINK_ADAPTATION.items()} == {kind: kind for kind in LINK_ADAPTATION}


@pytest.mark.parametrize(("direction", "rates"), TRUNCATED_SHANNON.items())
def test_truncated_shannon(direction, rates):
    model = TruncatedShannon()
    assert model.efficiency(10.0 ** (np.array(TRUNCATED_SNR_DB) / 10.0), direction) == pytest.approx(
        rates, abs=TABLE / 2
    )
    assert model.efficiency([0.0, 0.0999, 0.1001], direction)[:2].tolist() == [0.0, 0.0]
    alpha = model.plan(direction).scale
    assert model.efficiency(0.1001, direction) == pytest.approx(alpha * np.log2(1.1001), rel=1e-12)
    for bad in (np.nan, np.inf, -1.0):
        with pytest.raises(ValueError, match="SNR"):
            model.efficiency(bad, direction)


@pytest.mark.parametrize("model", [Shannon(), Shannon(gap_db=0.0), TruncatedShannon(floor_db=-60.0)], ids=str)
@pytest.mark.parametrize("direction", ["up", "down"])
def test_snr_for_is_the_inverse(model, direction):
    wanted = np.array([0.0, 1e-4, 0.3, 1.99])
    np.testing.assert_allclose(model.efficiency(model.snr_for(wanted, direction), direction), wanted, rtol=1e-12)
    for bad in (np.nan, -1.0):
        with pytest.raises(ValueError, match="an efficiency"):
            model.snr_for(bad, direction)


def test_what_no_snr_carries_takes_an_infinite_one():
    model = TruncatedShannon()
    assert model.snr_for([2.0, 2.001]).tolist()[1] == np.inf and np.isfinite(model.snr_for(2.001, "down"))
    assert model.efficiency(model.snr_for(2.0)) == 2.0
    assert model.snr_for([1e-9, 0.05]) == pytest.approx([0.1, 0.1])  # at least the floor
    assert Shannon().snr_for(5000.0) == np.inf


@pytest.mark.parametrize(("arguments", "mbps"), [(row[:-1], row[-1]) for row in PEAK_RATES])
def test_peak_rate(arguments, mbps):
    assert peak_rate_bps(*arguments) / 1e6 == pytest.approx(mbps, abs=0.0051)
    assert peak_rate_bps(*arguments, scaling=0.4) == pytest.approx(0.4 * peak_rate_bps(*arguments))


@pytest.mark.parametrize("arguments", [
    (0, 8, 1, 273, 0.1), (4, 11, 1, 273, 0.1), (4, 8, 7, 273, 0.1), (4, 8, 1, 276, 0.1), (4, 8, 1, 273, 1.0),
    (4, 8, 1, 273, np.nan), (1.5, 6, 1, 273, 0.1), (1, 6, 1.5, 273, 0.1), (np.nan, 6, 1, 273, 0.1),
])  # fmt: skip
def test_peak_rate_out_of_range(arguments):
    with pytest.raises(ValueError, match="must be"):
        peak_rate_bps(*arguments)


CAPPED = {
    "known": planning_curve(NoFading(), Plan(0.4, 1.0, 2.0)),
    "rayleigh": planning_curve(Rayleigh(), Plan(0.8, 1.4, 5.0)),
}
capped_curves = pytest.mark.parametrize("curve", CAPPED.values(), ids=CAPPED)


def test_a_plan_without_cap_is_the_curve_itself():
    plain = planning_curve(Rayleigh(), Shannon().plan())
    assert isinstance(plain, RateCurve)
    bandwidth, snr = np.geomspace(1.0, 1e8, 60)[:, None], np.geomspace(1e2, 1e11, 50)
    np.testing.assert_array_equal(plain.rate(bandwidth, snr), CURVES["rayleigh"].rate(bandwidth, snr))


def test_a_capped_curve_is_truncated_shannon_where_the_gain_is_known():
    model = TruncatedShannon(floor_db=-60.0)
    for direction in ("up", "down"):
        curve = planning_curve(NoFading(), model.plan(direction))
        bandwidth, snr = np.geomspace(1.0, 1e6, 60)[:, None], np.geomspace(1e2, 1e11, 50)
        expected = bandwidth * model.efficiency(snr / bandwidth, direction)
        np.testing.assert_allclose(curve.rate(bandwidth, snr), expected, rtol=1e-10)


@capped_curves
def test_a_capped_curve_is_concave_and_bounds_the_mean_of_the_capped(curve):
    snr, bandwidth = 1e7, np.geomspace(1.0, 1e12, 20_000)
    rate, slope = curve.rate(bandwidth, snr), curve.slope(bandwidth, snr)
    assert np.all(np.diff(slope) < 0.0) and np.all(slope > 0.0)
    assert np.all(np.diff(rate) > -1e-14 * rate[1:]) and np.all(rate <= curve.limit(snr))
    if curve is CAPPED["rayleigh"]:
        gains, weights = Rayleigh().quadrature()
        mean = np.minimum(0.8 * np.log2(1 + snr / bandwidth[:, None] * gains / 1.4), 5.0) @ weights * bandwidth
        assert np.all(rate >= mean * (1 - 1e-9))
        far = (snr / bandwidth > 1e4) | (snr / bandwidth < 1.0)
        np.testing.assert_allclose(rate[far], mean[far], rtol=0.01)


@capped_curves
@given(BANDWIDTHS_HZ, SNRS_HZ)
def test_inverses_of_a_capped_curve(curve, bandwidth, snr):
    rate, slope = curve.rate(bandwidth, snr), curve.slope(bandwidth, snr)
    back = curve.bandwidth_for_rate(rate, snr)
    if np.isfinite(back):
        assert curve.rate(back, snr) == pytest.approx(float(rate), rel=ROUND_TRIP)
    # while the cap binds, up to about c, the slope falls by 1e-6 of itself in all
    assert curve.bandwidth_for_slope(slope, snr) == pytest.approx(bandwidth, rel=1e-8, abs=1e-9 * snr)


@capped_curves
def test_ends_of_a_capped_curve(curve):
    assert curve.rate([0.0, 5.0], [1e6, 0.0]).tolist() == [0.0, 0.0]
    cap = float(curve.slope(0.0, 1e6))
    assert cap == pytest.approx(
        {"known": 2.0, "rayleigh": 5.0}[next(k for k, v in CAPPED.items() if v is curve)], rel=1e-6
    )
    assert curve.slope(5.0, 0.0) == 0.0
    assert curve.bandwidth_for_slope([2 * cap, 0.0, 1.0], [1e6, 1e6, 0.0]).tolist() == [0.0, np.inf, 0.0]
    knee = float(curve.bandwidth_for_slope(cap * (1 - 1e-5), 1e6))  # between the slopes on both sides of the knee
    assert curve.rate(knee, 1e6) == pytest.approx(cap * knee, rel=1e-5)
    assert curve.bandwidth_for_rate([0.0, 1.0], [1e6, 0.0]).tolist() == [0.0, np.inf]
    for bad in (np.nan, np.inf, -1.0):
        for question in (curve.rate, curve.slope, curve.bandwidth_for_rate, curve.bandwidth_for_slope):
            with pytest.raises(ValueError, match="must be finite and at least 0"):
                question(bad, 1.0)


@pytest.mark.parametrize(("scale", "cap"), [(0.0, 1.0), (1.0, np.inf), (np.nan, 1.0), (1.0, -1.0)])
def test_a_cap_that_is_none_is_refused(scale, cap):
    with pytest.raises(ValueError, match="scale and cap must be finite and above 0"):
        CappedCurve(CURVES["known"], scale, cap)
