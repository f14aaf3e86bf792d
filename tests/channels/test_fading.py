from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import exp1, j0

from channels.fading import FADING, BlockRayleigh, NoFading, Rayleigh, exponential_quadrature
from channels.options import OptionError
from channels.streams import Stream

STREAM = Stream.root(11).child("fading")
CLIENTS = 100_000
KS_CRITICAL = 0.0062  # Kolmogorov-Smirnov at n = 1e5 and level 0.1 %: 1.95 / sqrt(n)
ACF_TOLERANCE = 0.02  # acceptance limit; four standard errors of 1e5 products of unit variance are 0.013
# The power of a sum of N = 32 sinusoids is less variable than exponential by at most 3 / (4 N) = 0.023; on top four
# standard errors of a correlation of 1e5 pairs, 0.013
POWER_ACF_TOLERANCE = 0.037
CROSSING_TOLERANCE = 0.03  # acceptance limit for level crossing rate and fade duration
OUTAGE_TOLERANCE = 0.005  # acceptance limit
QUADRATURE = 1e-11  # relative; the trapezoid rule is good to 1e-12
SINGLE_PRECISION = 1e-6  # promised error of an amplitude, whose root mean square is 0.7
DOPPLER_HZ = 10.0
MODELS = [NoFading(), BlockRayleigh(block_s=0.25), Rayleigh(), Rayleigh(doppler_hz=70.0)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("model", [Rayleigh(), BlockRayleigh()])
def test_gain_is_exponential_at_any_time(model, seed):
    stream = Stream.root(seed)
    for time_s in (0.0, 12.34):
        gain = model.power_gain(stream, np.arange(CLIENTS), [time_s], DOPPLER_HZ)[:, 0]
        assert stats.kstest(gain, "expon").statistic < KS_CRITICAL


def test_outage_follows_the_closed_form():
    gain = Rayleigh().power_gain(STREAM, np.arange(CLIENTS), [1.0], DOPPLER_HZ)
    for threshold_db, outage in ((-10, 0.0952), (-5, 0.2711), (0, 0.6321)):  # 1 - exp(-x)
        assert np.mean(gain < 10 ** (threshold_db / 10)) == pytest.approx(outage, abs=OUTAGE_TOLERANCE)


def test_amplitudes_have_the_clarke_autocorrelation():
    lags = np.array([0.01, 0.05, 0.1, 0.2, 0.3827, 0.5])
    times = 3.0 + np.concatenate([[0.0], lags]) / DOPPLER_HZ
    in_phase, quadrature = Rayleigh().amplitudes(STREAM, np.arange(CLIENTS), times, DOPPLER_HZ)
    measured = np.mean(in_phase[:, :1] * in_phase[:, 1:] + quadrature[:, :1] * quadrature[:, 1:], axis=0)
    expected = [0.9990, 0.9755, 0.9037, 0.6425, 0.0001, -0.3042]  # J0(2 pi fd tau)
    np.testing.assert_allclose(measured, expected, rtol=0, atol=ACF_TOLERANCE)
    np.testing.assert_allclose(expected, j0(2 * np.pi * lags), rtol=0, atol=6e-5)  # four decimals
    across = np.mean(in_phase[:, :1] * quadrature, axis=0)
    np.testing.assert_allclose(across, 0.0, rtol=0, atol=ACF_TOLERANCE)


def test_power_has_the_squared_autocorrelation():
    lags = np.array([0.05, 0.1, 0.2, 0.3827, 0.5, 0.6098])
    gain = Rayleigh().power_gain(STREAM, np.arange(CLIENTS), np.concatenate([[0.0], lags]) / DOPPLER_HZ, DOPPLER_HZ)
    measured = np.corrcoef(gain.T)[0, 1:]
    np.testing.assert_allclose(measured, j0(2 * np.pi * lags) ** 2, rtol=0, atol=POWER_ACF_TOLERANCE)


@pytest.mark.parametrize(
    ("rho", "step", "rate", "duration"),
    # step = fd Ts; at rho = 0.1 a fade lasts 0.04 / fd, so 0.01 / fd would step over short ones
    [(0.1, 0.002, 0.2482, 0.0401), (0.5, 0.01, 0.9761, 0.2266), (1.0, 0.01, 0.9221, 0.6855)],
)
def test_level_crossings_and_fade_durations(rho, step, rate, duration):
    clients, samples = 1500, 1500
    gain = Rayleigh().power_gain(STREAM, np.arange(clients), np.arange(samples) * step / DOPPLER_HZ, DOPPLER_HZ)
    below = gain < rho**2
    upward = np.count_nonzero(below[:, :-1] & ~below[:, 1:])
    span = clients * (samples - 1) * step  # in units of 1 / fd
    assert upward / span == pytest.approx(rate, rel=CROSSING_TOLERANCE)
    assert np.count_nonzero(below[:, 1:]) * step / upward == pytest.approx(duration, rel=CROSSING_TOLERANCE)


def test_clients_fade_independently():
    gain = Rayleigh().power_gain(STREAM, np.arange(2000), np.arange(400) / DOPPLER_HZ, DOPPLER_HZ)
    pairs = np.mean((gain[:-1] - 1.0) * (gain[1:] - 1.0))
    # Samples a Doppler period apart are nearly independent (J0^2 = 0.05): four standard errors of 8e5 products,
    # doubled for what correlation is left
    assert abs(pairs) < 8.0 / np.sqrt(gain.size)


@pytest.mark.parametrize("model", MODELS)
@given(
    st.lists(st.integers(0, 2**40), min_size=1, max_size=9, unique=True),
    st.lists(st.floats(0, 1e5), min_size=1, max_size=37),
    st.data(),
)
def test_random_access_gives_the_same_bits(model, clients, times, data):
    doppler = np.array([5.0 + client % 97 for client in clients])
    whole = model.power_gain(STREAM, clients, times, doppler)
    rows = np.array(data.draw(st.lists(st.integers(0, len(clients) - 1), min_size=1, max_size=12)))
    columns = np.array(data.draw(st.lists(st.integers(0, len(times) - 1), min_size=1, max_size=12)))
    part = model.power_gain(STREAM, np.array(clients)[rows], np.array(times)[columns], doppler[rows])
    np.testing.assert_array_equal(part, whole[np.ix_(rows, columns)])
    k, t = int(rows[0]), int(columns[0])
    assert model.power_gain(STREAM, clients[k], times[t], doppler[k]) == whole[k, t]


@pytest.mark.parametrize("shape", [(3, 40_000), (20_000, 3), (200, 300)])
def test_pieces_of_a_long_call_leave_no_seam(shape):
    clients, times = np.arange(shape[0]), np.arange(shape[1]) * 1e-3
    whole = Rayleigh().power_gain(STREAM, clients, times, 30.0)
    for row, column in ((0, 0), (shape[0] - 1, shape[1] - 1), (shape[0] // 2, shape[1] // 3)):
        assert whole[row, column] == Rayleigh().power_gain(STREAM, row, times[column], 30.0)
    np.testing.assert_array_equal(whole[1:, 1:], Rayleigh().power_gain(STREAM, clients[1:], times[1:], 30.0))


def test_doppler_option_replaces_that_of_the_movement():
    asked = ([4, 9], np.arange(20) * 1e-2)
    fixed = Rayleigh(doppler_hz=25.0)
    np.testing.assert_array_equal(fixed.power_gain(STREAM, *asked, 3.0), Rayleigh().power_gain(STREAM, *asked, 25.0))
    assert not np.array_equal(fixed.power_gain(STREAM, *asked, 3.0), Rayleigh().power_gain(STREAM, *asked, 3.0))


def test_without_doppler_a_gain_is_frozen():
    gain = Rayleigh().power_gain(STREAM, np.arange(5), [0.0, 1.0, 1e4], 0.0)
    assert np.ptp(gain, axis=1).max() == 0.0
    assert np.ptp(gain[:, 0]) > 0.0


def test_a_block_holds_one_gain_and_the_next_another():
    times = np.arange(40) * 0.1
    gain = BlockRayleigh(block_s=0.1).power_gain(STREAM, [1, 2], times, 0.0)
    assert all(np.unique(row).size == times.size for row in gain)  # also at 0.3 and 0.7, which divide badly
    inside = BlockRayleigh(block_s=0.1).power_gain(STREAM, [1, 2], times + 0.099, 0.0)
    np.testing.assert_array_equal(inside, gain)


def test_quadrature_describes_the_law_of_the_gain():
    gain, weight = exponential_quadrature()
    assert gain.size >= 64
    assert weight.sum() == pytest.approx(1.0, rel=QUADRATURE)
    assert weight @ gain == pytest.approx(1.0, rel=QUADRATURE)
    assert weight @ gain**2 == pytest.approx(2.0, rel=QUADRATURE)
    for snr in (1e-2, 1.0, 1e3, 1e6):  # E[ln(1 + g X)] = exp(1/g) E1(1/g), Alouini and Goldsmith 1999
        exact = np.exp(1.0 / snr) * exp1(1.0 / snr)
        assert weight @ np.log1p(snr * gain) == pytest.approx(exact, rel=QUADRATURE)
    for model in (Rayleigh(), BlockRayleigh()):
        np.testing.assert_array_equal(model.quadrature()[0], gain)
    assert [part.tolist() for part in NoFading().quadrature()] == [[1.0], [1.0]]


@pytest.mark.parametrize("model", MODELS)
def test_wrong_arguments_are_refused(model):
    for bad in (np.nan, np.inf, -1e-9):
        with pytest.raises(ValueError, match="time"):
            model.power_gain(STREAM, [0], [0.0, bad], 1.0)
        with pytest.raises(ValueError, match="Doppler"):
            model.power_gain(STREAM, [0], [0.0], bad)
    with pytest.raises(ValueError, match="at least 0"):
        model.power_gain(STREAM, [-1], [0.0], 1.0)
    with pytest.raises(ValueError, match="integers"):
        model.power_gain(STREAM, [0.5], [0.0], 1.0)
    with pytest.raises(ValueError, match="one-dimensional"):
        model.power_gain(STREAM, [0], [[0.0]], 1.0)
    assert model.power_gain(STREAM, [], [1.0, 2.0], 1.0).shape == (0, 2)
    assert model.power_gain(STREAM, [1, 2], [], 1.0).shape == (2, 0)


def test_options_are_checked():
    with pytest.raises(OptionError, match="doppler_hz: must be above 0 Hz"):
        Rayleigh(doppler_hz=0.0)
    with pytest.raises(OptionError, match="block_s: must be above 0 s"):
        BlockRayleigh(block_s=-1.0)
    assert {kind: model.kind for kind, model in FADING.items()} == {k: k for k in ("none", "block", "rayleigh")}


@pytest.mark.parametrize(
    "times", [np.arange(500) * 1e-3 + 40.0, np.sqrt(np.arange(40.0)) * 37.0], ids=["grid", "loose"]
)
def test_amplitudes_are_the_stated_sum(times):
    # The formula of the docstring, written out in double precision for one client
    client, doppler, count = 5, 80.0, 32
    theta = 2 * np.pi * float(STREAM.uniform(client, 0)) - np.pi
    angle = (2 * np.pi * np.arange(1, count + 1) - np.pi + theta) / (4 * count)
    phase = 2 * np.pi * STREAM.uniform(client, 1 + np.arange(2 * count)).reshape(2, count)
    moments = np.rint(times * 1e9)[:, None] / 1e9
    measured = Rayleigh().amplitudes(STREAM, [client], times, doppler)
    for part, direction in enumerate((np.cos(angle), np.sin(angle))):
        expected = np.cos(2 * np.pi * doppler * moments * direction + phase[part]).sum(axis=1) / np.sqrt(count)
        np.testing.assert_allclose(measured[part][0], expected, rtol=0, atol=SINGLE_PRECISION)
