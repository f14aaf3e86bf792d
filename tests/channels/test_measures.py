from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import exp1, i0e

from channels import measures
from channels.gainlaws import exponential_quadrature

FOUR_DECIMALS = 6e-5  # the vectors have four decimals
EXACT = 1e-10  # relative; closed forms and quadratures in double precision
LEVELS = 10.0 ** (np.array([-10.0, -5.0, 0.0]) / 10.0)
SNR = 10.0 ** (np.array([0.0, 5.0, 10.0, 20.0]) / 10.0)
K3, K10 = 10.0**0.3, 10.0
# Outage at -10, -5 and 0 dB, computed apart from this project
OUTAGE = [
    (lambda x: measures.rayleigh_outage(x), (0.0952, 0.2711, 0.6321)),
    (lambda x: measures.rician_outage(x, 0.0), (0.0952, 0.2711, 0.6321)),
    (lambda x: measures.rician_outage(x, 1.0), (0.0733, 0.2264, 0.6057)),
    (lambda x: measures.rician_outage(x, K3), (0.0462, 0.1720, 0.5854)),
    (lambda x: measures.rician_outage(x, K10), (0.0007, 0.0238, 0.5431)),
    (lambda x: measures.nakagami_outage(x, 0.5), (0.2482, 0.4261, 0.6827)),
    (lambda x: measures.nakagami_outage(x, 2.0), (0.0175, 0.1327, 0.5940)),
    (lambda x: measures.nakagami_outage(x, 4.0), (0.0008, 0.0397, 0.5665)),
]
# Capacity in bit/s/Hz at 0, 5, 10 and 20 dB, computed apart from this project
CAPACITY = [
    (measures.awgn_capacity, (1.0000, 2.0574, 3.4594, 6.6582)),
    (measures.rayleigh_capacity, (0.8603, 1.7160, 2.9065, 5.8840)),
    (lambda g: measures.rician_capacity(g, K3), (0.9103, 1.8351, 3.1030, 6.1731)),
    (lambda g: measures.rician_capacity(g, K10), (0.9695, 1.9844, 3.3503, 6.5242)),
    (lambda g: measures.nakagami_capacity(g, 2.0), (0.9214, 1.8678, 3.1663, 6.2815)),
    (lambda g: measures.nakagami_capacity(g, 4.0), (0.9580, 1.9577, 3.3105, 6.4751)),
]


@pytest.mark.parametrize(("formula", "expected"), OUTAGE)
def test_outage_vectors(formula, expected):
    np.testing.assert_allclose(formula(LEVELS), expected, rtol=0, atol=FOUR_DECIMALS)


@pytest.mark.parametrize(("formula", "expected"), CAPACITY)
def test_capacity_vectors(formula, expected):
    np.testing.assert_allclose(formula(SNR), expected, rtol=0, atol=FOUR_DECIMALS)


def test_rayleigh_capacity_is_the_closed_form():
    snr = np.array([0.01, 1.0, 1e4])
    exact = np.exp(1.0 / snr) * exp1(1.0 / snr) / math.log(2.0)
    np.testing.assert_allclose(measures.rayleigh_capacity(snr), exact, rtol=EXACT)
    assert measures.rayleigh_capacity(1e-6) == pytest.approx(1e-6 / math.log(2.0), rel=1e-5)  # where exp(1/g) is inf


def test_crossing_and_autocorrelation_vectors():
    rho = np.array([0.1, 0.5, 1.0])
    rate = measures.rayleigh_crossing_rate(rho**2, 1.0)
    np.testing.assert_allclose(rate, [0.2482, 0.9761, 0.9221], rtol=0, atol=FOUR_DECIMALS)
    duration = measures.rayleigh_outage(rho**2) / rate
    np.testing.assert_allclose(duration, [0.0401, 0.2266, 0.6855], rtol=0, atol=FOUR_DECIMALS)
    # the closed form of the duration, (exp(rho^2) - 1) / (rho fd sqrt(2 pi))
    np.testing.assert_allclose(duration, np.expm1(rho**2) / (rho * math.sqrt(2.0 * math.pi)), rtol=EXACT)
    lags = np.array([0.01, 0.05, 0.1, 0.2, 0.3827, 0.5]) / 25.0
    expected = [0.9990, 0.9755, 0.9037, 0.6425, 0.0001, -0.3042]
    np.testing.assert_allclose(measures.clarke_autocorrelation(lags, 25.0), expected, rtol=0, atol=FOUR_DECIMALS)


def test_laws_meet_where_they_are_the_same():
    levels = np.array([0.0, 1e-3, 0.3, 1.0, 4.0])
    for rician, nakagami, rayleigh in (
        (measures.rician_outage(levels, 0.0), measures.nakagami_outage(levels, 1.0), measures.rayleigh_outage(levels)),
        (
            measures.rician_crossing_rate(levels, 0.0, 30.0),
            measures.nakagami_crossing_rate(levels, 1.0, 30.0),
            measures.rayleigh_crossing_rate(levels, 30.0),
        ),
        (
            measures.rician_capacity(levels, 0.0),
            measures.nakagami_capacity(levels, 1.0),
            measures.rayleigh_capacity(levels),
        ),
    ):
        np.testing.assert_allclose(rician, rayleigh, rtol=EXACT, atol=EXACT)
        np.testing.assert_allclose(nakagami, rayleigh, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("k", [0.5, K3, K10, 1000.0])
def test_crossings_of_a_steady_direct_path_have_a_closed_form(k):
    level = np.array([0.5, 0.9, 1.0, 1.2])
    root = 2.0 * np.sqrt(k * (1.0 + k) * level)
    exact = np.sqrt(2.0 * np.pi * (1.0 + k) * level) * 7.0 * np.exp(-k - (1.0 + k) * level + root) * i0e(root)
    np.testing.assert_allclose(measures.rician_crossing_rate(level, k, 7.0), exact, rtol=EXACT)


def test_crossings_of_a_moving_direct_path():
    # By the other form of the integral (Stueber, section 2.1.4), with alpha = sqrt(2) direct / fd * sqrt(K):
    # int_0^pi cosh(2 sqrt(K (1 + K)) rho cos t) [exp(-(a sin t)^2) + sqrt(pi) a sin t erf(a sin t)] dt
    k, doppler, direct, level = 2.0, 10.0, 7.0, 0.6
    t = (np.arange(20000) + 0.5) / 20000 * np.pi
    a = math.sqrt(2.0 * k) * direct / doppler * np.sin(t)
    bracket = np.exp(-(a**2)) + math.sqrt(math.pi) * a * np.array([math.erf(value) for value in a])
    waves = np.cosh(2.0 * math.sqrt(k * (1.0 + k) * level) * np.cos(t))
    scale = math.sqrt(2.0 * math.pi * (1.0 + k) * level) * doppler * math.exp(-k - (1.0 + k) * level)
    assert measures.rician_crossing_rate(level, k, doppler, direct) == pytest.approx(
        scale * np.mean(waves * bracket), rel=1e-8
    )
    both = measures.rician_crossing_rate(level, k, doppler, [direct, -direct])
    assert both[0] == pytest.approx(both[1], rel=EXACT)


def test_one_sided_gaussian_crosses_any_low_level():
    # m = 1/2: |G| of a Gaussian process crosses 0 at twice the rate of G through 0 upwards, fd / sqrt(2), by Rice's
    # formula: sqrt(2 pi) fd m^0 / Gamma(1/2) = sqrt(2) fd
    assert measures.nakagami_crossing_rate(0.0, 0.5, 10.0) == pytest.approx(10.0 * math.sqrt(2.0), rel=EXACT)
    assert measures.nakagami_crossing_rate(0.0, 2.0, 10.0) == 0.0


def test_measured_on_a_wave_whose_crossings_are_known():
    # 1 - cos has period 1 s here and lies below 1 for half of it; 101 whole periods and one sample
    step = 1.0 / 128
    gain = 1.0 - np.cos(2.0 * np.pi * (np.arange(101 * 128 + 1) * step + 0.3))
    assert measures.level_crossing_rate(gain, step, 1.0) == pytest.approx(1.0, rel=EXACT)
    assert measures.average_fade_duration(gain, step, 1.0) == pytest.approx(0.5, rel=0.01)
    assert measures.outage(gain, 1.0) == pytest.approx(0.5, rel=0.01)
    both = np.stack([gain, np.full(gain.size, 3.0)])  # the second never falls: half the crossings and half the outage
    assert measures.level_crossing_rate(both, step, 1.0) == pytest.approx(0.5, rel=EXACT)
    assert measures.average_fade_duration(both, step, 1.0) == pytest.approx(0.5, rel=0.01)
    wave = np.exp(2j * np.pi * np.arange(1000) / 16)
    measured = measures.autocorrelation(wave, [0, 2, 4, 8])
    np.testing.assert_allclose(measured, [1.0, math.sqrt(0.5), 0.0, -1.0], rtol=0, atol=EXACT)
    alternating = np.resize([3.0, -1.0], 1000)
    np.testing.assert_allclose(measures.autocorrelation(alternating, [0, 1], mean=1.0), [1.0, -1.0], rtol=EXACT)


def test_the_distance_of_kolmogorov_and_smirnov():
    samples = np.array([[0.1, 2.0], [0.7, 0.3]])
    expected = stats.kstest(samples.ravel(), "expon").statistic
    assert measures.ks_distance(samples, measures.rayleigh_outage) == pytest.approx(expected, rel=EXACT)
    assert measures.ks_critical(100_000) == pytest.approx(0.0062, abs=5e-5)
    assert measures.ks_critical(100_000) == pytest.approx(stats.kstwo.isf(0.001, 100_000), rel=0.005)
    gain, weight = exponential_quadrature()
    far = np.repeat(gain, np.rint(1e4 * weight).astype(int)) * 1.2  # a mean of 1.2 is no mean of 1
    assert measures.ks_distance(far, measures.rayleigh_outage) > measures.ks_critical(10_000)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: measures.outage([], 1.0), "a gain: there is none to measure"),
        (lambda: measures.outage([1.0, np.nan], 1.0), "a gain must be finite and at least 0; got nan"),
        (lambda: measures.outage([1.0], -1.0), r"a level must be finite and at least 0; got -1\.0"),
        (lambda: measures.level_crossing_rate([1.0], 1.0, 1.0), r"two or more times; got shape \(1,\)"),
        (lambda: measures.level_crossing_rate(1.0, 1.0, 1.0), r"two or more times; got shape \(\)"),
        (lambda: measures.level_crossing_rate([1.0, 2.0], 0.0, 1.0), r"step_s must be finite and above 0; got 0\.0"),
        (lambda: measures.average_fade_duration([3.0, 2.0], 1.0, 1.0), r"no gain rises through the level 1\.0"),
        (lambda: measures.autocorrelation([1.0, 2.0], [2]), r"lags must be .* from 0 to 1; got \[2\]"),
        (lambda: measures.autocorrelation([1.0, 2.0], [0.5]), r"lags must be .* from 0 to 1; got \[0\.5\]"),
        (lambda: measures.autocorrelation(1.0, [0]), "from 0 to -1"),
        (lambda: measures.autocorrelation([1.0, 1.0], [0], mean=1.0), "not all equal to their mean"),
        (lambda: measures.autocorrelation([1.0, np.inf], [0]), "values must be finite"),
        (lambda: measures.ks_distance([], measures.rayleigh_outage), "a sample: there is none to measure"),
        (lambda: measures.ks_critical(0), "got 0 and 0.001"),
        (lambda: measures.rician_outage(1.0, -0.1), r"a K factor must be finite and at least 0; got -0\.1"),
        (lambda: measures.nakagami_outage(1.0, 0.4), r"m must be finite and at least 0\.5; got 0\.4"),
        (lambda: measures.rayleigh_crossing_rate(1.0, 0.0), "doppler_hz must be finite and above 0; got 0.0"),
        (lambda: measures.rician_crossing_rate(1.0, 1.0, 1.0, np.nan), "direct_hz must be finite; got nan"),
        (lambda: measures.awgn_capacity(-1.0), r"a linear SNR must be finite and at least 0; got -1\.0"),
    ],
)
def test_wrong_numbers_are_refused(ask, says):
    with pytest.raises(ValueError, match=says):
        ask()
