from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import exp1

from channels.fading import NoFading, Rayleigh
from channels.linkadaptation import LINK_ADAPTATION, RateCurve, Shannon
from channels.options import OptionError
from channels.vectors import CAPACITY, CAPACITY_SNR_DB

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
