from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.esm import effective_snr
from channels.measures import clarke_autocorrelation, ks_critical, ks_distance, rayleigh_outage, rician_outage
from channels.options import OptionError
from channels.streams import Stream
from channels.tdl import TDL

STREAM = Stream.root(11).child("fading")
CLIENTS = 100_000
DOPPLER_HZ = 10.0
SPREAD_S = 100e-9
ROUNDING = 1e-12  # relative, of sums in double precision
SINGLE_PRECISION = 2e-6  # of an amplitude of mean square 1: 24 taps, each good to 1e-6 of its own root mean square
TABLE_SPREAD = 1e-4  # delays have four decimals and powers one
# Four standard errors of the mean of 1e5 products of two gains less 1, whose standard deviation is 3, are 0.038
GAIN_TOLERANCE = 0.04
ACF_CLIENTS = 15_000
ACF_TOLERANCE = 0.02  # acceptance limit; three standard errors of 15 000 products of two quadratures
# Times between which a client's phases have turned thousands of times: its gains are as good as independent
FAR_APART_S = 1280.0 * np.arange(20)
PROFILES = "ABCDE"
DIRECT = "DE"


def tdl(profile="A", **options):
    return TDL(**{"profile": profile, "delay_spread_s": SPREAD_S, **options})


def spread(model):
    direct, delays, powers = model.taps()
    mean = powers @ delays  # the direct path comes at 0
    return math.sqrt(powers @ delays**2 - mean**2), direct + powers.sum()


@pytest.mark.parametrize(
    ("profile", "scattered", "expected"), [("A", 23, 1.0), ("B", 23, 1.0), ("C", 24, 1.0), ("D", 13, 0.99372),
                                           ("E", 14, 1.00024)]
)  # fmt: skip
def test_the_tables_have_the_delay_spread_that_they_are_said_to_have(profile, scattered, expected):
    # That of D, as printed in TR 38.901, is 0.994
    model = tdl(profile)
    measured, total = spread(model)
    assert total == pytest.approx(1.0, rel=ROUNDING)
    assert measured / SPREAD_S == pytest.approx(expected, abs=TABLE_SPREAD)
    assert len(model.taps()[1]) == len(model.taps()[2]) == scattered
    # all delays scale: TR 38.901, 7.7.3
    np.testing.assert_allclose(tdl(profile, delay_spread_s=3e-7).taps()[1], 3.0 * model.taps()[1], rtol=ROUNDING)


@pytest.mark.parametrize(("profile", "first_tap_db", "k_db"), [("D", 13.3, 8.985), ("E", 22.0, 9.271)])
def test_the_k_factor_is_the_tables(profile, first_tap_db, k_db):
    # TR 38.901 states the K factor of the first tap: 13.3 dB in D, 22 dB in E; k_db is over all taps
    direct, _, powers = tdl(profile).taps()
    assert 10 * math.log10(direct / powers[0]) == pytest.approx(first_tap_db, rel=1e-9)
    assert 10 * math.log10(direct / powers.sum()) == pytest.approx(k_db, abs=1e-3)


@pytest.mark.parametrize("k_db", [-40.0, 0.0, 7.0, 40.0])
@pytest.mark.parametrize("profile", DIRECT)
def test_a_stated_k_factor_keeps_the_delay_spread(profile, k_db):
    model = tdl(profile, k_db=k_db)
    direct, delays, powers = model.taps()
    measured, total = spread(model)
    assert total == pytest.approx(1.0, rel=ROUNDING)
    assert measured == pytest.approx(SPREAD_S, rel=1e-9)
    assert 10 * math.log10(direct / powers.sum()) == pytest.approx(k_db, abs=1e-9)
    _, old_delays, old_powers = tdl(profile).taps()
    np.testing.assert_allclose(powers / powers.sum(), old_powers / old_powers.sum(), rtol=ROUNDING)
    np.testing.assert_allclose(delays[1:] / delays[1], old_delays[1:] / old_delays[1], rtol=ROUNDING)


def k_factor(model):
    direct = model.taps()[0]
    return direct / (1.0 - direct)


@pytest.mark.parametrize("profile", PROFILES)
def test_gain_has_its_law_at_every_frequency(profile):
    model = tdl(profile)
    k = k_factor(model)
    assert (k == 0.0) == (profile not in DIRECT)
    gain = model.frequency_gain(STREAM, np.arange(CLIENTS // 20), FAR_APART_S, DOPPLER_HZ, [0.0, -7e6])
    for column in gain.reshape(CLIENTS, 2).T:
        assert ks_distance(column, lambda x: rician_outage(x, k)) < ks_critical(CLIENTS)
        assert column.mean() == pytest.approx(1.0, abs=4.0 / math.sqrt(CLIENTS))  # four standard errors of Exp(1)
    if profile in DIRECT:  # the law is not one that any law would pass for
        assert ks_distance(gain[..., 0], rayleigh_outage) > 10 * ks_critical(CLIENTS)


@pytest.mark.slow
@pytest.mark.parametrize("profile", "AD")
def test_gain_at_the_carrier_has_its_law_over_clients(profile):
    model = tdl(profile)
    gain = model.power_gain(STREAM, np.arange(CLIENTS), [1.0], DOPPLER_HZ)
    assert ks_distance(gain, lambda x: rician_outage(x, k_factor(model))) < ks_critical(CLIENTS)


def test_quadrature_is_the_law_of_the_gain():
    for profile, second in (("A", 2.0), ("D", None)):
        gain, weight = tdl(profile).quadrature()
        direct = tdl(profile).taps()[0]
        k = direct / (1.0 - direct)
        # E[X^2] = (2 + 4 K + K^2) / (1 + K)^2
        assert weight @ gain**2 == pytest.approx(second or (2 + 4 * k + k**2) / (1 + k) ** 2, rel=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("profile", "AC")
def test_amplitudes_have_the_clarke_autocorrelation(profile):
    lags = np.array([0.05, 0.1, 0.2, 0.3827, 0.5]) / DOPPLER_HZ
    times = 3.0 + np.concatenate([[0.0], lags])
    x, y = tdl(profile).amplitudes(STREAM, np.arange(ACF_CLIENTS), times, DOPPLER_HZ)
    measured = np.mean(x[:, :1] * x[:, 1:] + y[:, :1] * y[:, 1:], axis=0)
    np.testing.assert_allclose(measured, clarke_autocorrelation(lags, DOPPLER_HZ), rtol=0, atol=ACF_TOLERANCE)


@pytest.mark.parametrize("profile", DIRECT)
def test_the_direct_path_has_seven_tenths_of_the_doppler_shift(profile):
    # E[H(t + lag) H*(t)] = P_0 exp(j 2 pi 0.7 fd lag) + (1 - P_0) J0(2 pi fd lag): TR 38.901, 7.7.2
    model, lags = tdl(profile), np.array([0.1, 0.2, 0.5, 1.3]) / DOPPLER_HZ
    times = 3.0 + np.concatenate([[0.0], lags])
    x, y = model.amplitudes(STREAM, np.arange(ACF_CLIENTS), times, DOPPLER_HZ)
    h = x + 1j * y
    measured = np.mean(h[:, 1:] * h[:, :1].conj(), axis=0)
    direct = model.taps()[0]
    expected = direct * np.exp(1j * 2 * np.pi * 0.7 * DOPPLER_HZ * lags)
    expected += (1.0 - direct) * clarke_autocorrelation(lags, DOPPLER_HZ)
    np.testing.assert_allclose(measured, expected, rtol=0, atol=ACF_TOLERANCE)


@pytest.mark.parametrize("profile", "ABC")
def test_gains_are_correlated_over_frequency_as_the_delays_say(profile):
    # For complex Gaussian amplitudes the covariance of powers is |E[H(f) H*(0)]|^2 = |sum_n P_n exp(-j 2 pi f d_n)|^2;
    # for sums of 16 phasors a tap it is less by sum_n P_n^2 / 16 < 0.01.
    model, offsets = tdl(profile), np.array([0.0, 0.2e6, 0.5e6, 1e6, 2e6, 3e6, -1e6])
    gain = model.frequency_gain(STREAM, np.arange(CLIENTS // 20), FAR_APART_S, DOPPLER_HZ, offsets).reshape(CLIENTS, -1)
    _, delays, powers = model.taps()
    expected = np.abs(np.exp(-2j * np.pi * np.outer(offsets, delays)) @ powers) ** 2
    measured = np.mean((gain - 1.0) * (gain[:, :1] - 1.0), axis=0)
    np.testing.assert_allclose(measured, expected, rtol=0, atol=GAIN_TOLERANCE)
    assert expected[1] > 0.95 and expected[5] < 0.6  # the offsets span the fall


@pytest.mark.parametrize("profile", "CE")
def test_the_response_is_the_stated_sum(profile):
    # The formula of the card, written out in double precision for one client
    client, doppler, phasors = 5, 80.0, 16
    model, times, offsets = tdl(profile), np.arange(300) * 1e-3 + 40.0, np.array([-9e6, 0.0, 1.5e5, 9e6])
    direct, delays, powers = model.taps()
    draws = STREAM.child("taps")
    expected = np.zeros((times.size, offsets.size), dtype=complex)
    for n, (delay, strength) in enumerate(zip(delays, powers, strict=True)):
        theta, *phase = 2 * np.pi * draws.uniform(client, (1 + phasors) * n + np.arange(1 + phasors))
        angle = (2 * np.pi * np.arange(1, phasors + 1) - 2 * np.pi + theta) / phasors
        waves = np.exp(1j * (2 * np.pi * doppler * times[:, None] * np.cos(angle) + np.array(phase)))
        tap = waves.sum(axis=1) / math.sqrt(phasors)
        expected += math.sqrt(strength) * tap[:, None] * np.exp(-2j * np.pi * offsets * delay)
    if direct:
        turns = 0.7 * doppler * times + STREAM.child("direct").uniform(client, 1)
        expected += math.sqrt(direct) * np.exp(2j * np.pi * turns)[:, None]
    x, y = model.amplitudes(STREAM, client, times, doppler)
    np.testing.assert_allclose(x[0] + 1j * y[0], expected[:, 1], rtol=0, atol=SINGLE_PRECISION)
    gain = model.frequency_gain(STREAM, client, times, doppler, offsets)[0]
    # an error e of the amplitude is one of 2 |H| e of the gain, with |H| up to 4
    np.testing.assert_allclose(gain, np.abs(expected) ** 2, rtol=0, atol=8 * SINGLE_PRECISION)


@pytest.mark.parametrize("profile", "AD")
@given(
    st.lists(st.integers(0, 2**40), min_size=1, max_size=5, unique=True),
    st.lists(st.floats(0, 1e5), min_size=1, max_size=17),
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=6),
    st.data(),
)
def test_random_access_gives_the_same_bits(profile, clients, times, offsets, data):
    model, doppler = tdl(profile), np.array([5.0 + client % 97 for client in clients])
    whole = model.frequency_gain(STREAM, clients, times, doppler, offsets)
    assert whole.shape == (len(clients), len(times), len(offsets))
    rows, columns, places = (
        np.array(data.draw(st.lists(st.integers(0, len(of) - 1), min_size=1, max_size=8)))
        for of in (clients, times, offsets)
    )
    asked = np.array(clients)[rows], np.array(times)[columns], doppler[rows]
    part = model.frequency_gain(STREAM, *asked, np.array(offsets)[places])
    np.testing.assert_array_equal(part, whole[np.ix_(rows, columns, places)])
    at_carrier = model.frequency_gain(STREAM, *asked, [0.0, offsets[0]])[..., 0]
    np.testing.assert_array_equal(model.power_gain(STREAM, *asked), at_carrier)


@pytest.mark.parametrize("shape", [(2, 20_000), (9_000, 2), (150, 130)])
def test_pieces_of_a_long_call_leave_no_seam(shape):
    model, clients, times, offsets = tdl("E"), np.arange(shape[0]), np.arange(shape[1]) * 1e-3, [-1e6, 0.0, 1e6]
    whole = model.frequency_gain(STREAM, clients, times, 30.0, offsets)
    for row, column in ((0, 0), (shape[0] - 1, shape[1] - 1), (shape[0] // 2, shape[1] // 3)):
        alone = model.frequency_gain(STREAM, row, times[column], 30.0, offsets)
        np.testing.assert_array_equal(alone[0, 0], whole[row, column])
    np.testing.assert_array_equal(model.power_gain(STREAM, clients[1:], times[1:], 30.0), whole[1:, 1:, 1])


@pytest.mark.parametrize("profile", "ACD")
@pytest.mark.parametrize(("parts", "tolerance_db"), [(0.05, 0.2), (0.5, 0.2), (2.0, 0.2), (8.0, 0.35)])
def test_the_frequencies_of_a_band_stand_for_it(profile, parts, tolerance_db):
    # against frequencies twelve times as dense, at 15 dB with the beta of 16QAM
    model, bandwidth, snr = tdl(profile), parts / SPREAD_S, 10.0**1.5
    offsets = model.offsets_hz(bandwidth)
    count = 12 * len(offsets)
    dense = bandwidth / count * (np.arange(count) - 0.5 * (count - 1))
    asked = (STREAM, np.arange(400), [1.0], DOPPLER_HZ)
    few, many = (effective_snr(snr * model.frequency_gain(*asked, f), 5.16) for f in (offsets, dense))
    error_db = 10.0 * np.log10(few / many)
    assert math.sqrt(np.mean(error_db**2)) < tolerance_db


def test_how_many_frequencies_a_band_takes():
    model = tdl()  # a sixteenth of 1 / 100 ns is 625 kHz
    assert [len(model.offsets_hz(b)) for b in (1e3, 0.6e6, 0.7e6, 20e6, 100e6)] == [2, 2, 3, 33, 64]
    offsets = model.offsets_hz(20e6)
    np.testing.assert_allclose(offsets, -offsets[::-1], rtol=ROUNDING)
    np.testing.assert_allclose(np.diff(offsets), 20e6 / 33, rtol=1e-9)
    assert offsets[-1] == pytest.approx(10e6 - 10e6 / 33, rel=ROUNDING)
    assert offsets[16] == 0.0


def test_doppler_option_replaces_that_of_the_movement():
    asked = ([4, 9], np.arange(20) * 1e-2)
    fixed = tdl("D", doppler_hz=25.0)
    np.testing.assert_array_equal(fixed.power_gain(STREAM, *asked, 3.0), tdl("D").power_gain(STREAM, *asked, 25.0))
    assert not np.array_equal(fixed.power_gain(STREAM, *asked, 3.0), tdl("D").power_gain(STREAM, *asked, 3.0))


def test_empty_questions_have_empty_answers():
    for profile in "AD":
        assert tdl(profile).frequency_gain(STREAM, [], [1.0, 2.0], 1.0, [0.0]).shape == (0, 2, 1)
        assert tdl(profile).frequency_gain(STREAM, [1, 2], [], 1.0, [0.0]).shape == (2, 0, 1)
        assert tdl(profile).frequency_gain(STREAM, [1, 2], [1.0], 1.0, []).shape == (2, 1, 0)


def test_wrong_arguments_are_refused():
    for bad in (np.nan, np.inf, -1e-9):
        with pytest.raises(ValueError, match="time"):
            tdl().frequency_gain(STREAM, [0], [0.0, bad], 1.0, [0.0])
        with pytest.raises(ValueError, match="Doppler"):
            tdl().power_gain(STREAM, [0], [0.0], bad)
        with pytest.raises(ValueError, match="bandwidth_hz must be finite and above 0"):
            tdl().offsets_hz(bad)
    for bad in ([np.nan], [0.0, np.inf], 1.0, [[1.0]]):
        with pytest.raises(ValueError, match="offsets_hz must be a list of finite numbers; got"):
            tdl().frequency_gain(STREAM, [0], [0.0], 1.0, bad)
    with pytest.raises(OptionError, match=r"TDL.k_db: profile A has no direct path; those with one are D and E"):
        tdl("A", k_db=3.0)
    with pytest.raises(OptionError, match="profile: must be one of A, B, C, D, E; got 'F'"):
        tdl("F")
    with pytest.raises(OptionError, match="delay_spread_s: must be above 0 s"):
        tdl(delay_spread_s=0.0)
