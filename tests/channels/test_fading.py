from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import exp1, gammainc, gammaincc, j0

from channels.fading import FADING, BlockRayleigh, Nakagami, NoFading, Rayleigh, Rician
from channels.gainlaws import exponential_quadrature, gamma_map
from channels.measures import level_crossing_rate, nakagami_crossing_rate, outage, rician_crossing_rate, rician_outage
from channels.options import OptionError
from channels.streams import Stream
from channels.vectors import (
    CAPACITY,
    CAPACITY_SNR_DB,
    CLARKE_CORRELATION,
    CLARKE_LAGS,
    CROSSINGS,
    OUTAGE,
    OUTAGE_LEVELS_DB,
)

STREAM = Stream.root(11).child("fading")
CLIENTS = 100_000
KS_CRITICAL = 0.0062  # Kolmogorov-Smirnov at n = 1e5 and level 0.1 %: 1.95 / sqrt(n)
ACF_TOLERANCE = 0.02  # acceptance limit; four standard errors of 1e5 products of unit variance are 0.013
# The power of a sum of N = 40 sinusoids is less variable than exponential by at most 3 / (4 N) = 0.019; on top four
# standard errors of a correlation of 1e5 pairs, 0.013
POWER_ACF_TOLERANCE = 0.037
CROSSING_TOLERANCE = 0.03  # acceptance limit for level crossing rate and fade duration
MAP = 1e-9  # relative, of a probability: the image is good to 1e-11, and a tail multiplies that by up to 60
OUTAGE_TOLERANCE = 0.005  # acceptance limit
QUADRATURE = 1e-11  # relative; the trapezoid rule is good to 1e-12
SINGLE_PRECISION = 1e-6  # promised error of an amplitude, whose root mean square is 0.7
DOPPLER_HZ = 10.0
CAPACITY_TOLERANCE = 0.005  # acceptance limit, relative
PLANNED_CAPACITY = 1e-3  # relative; the tables have four decimals, of which 0.77 keeps that much
MODELS = [
    NoFading(), BlockRayleigh(block_s=0.25), Rayleigh(), Rayleigh(doppler_hz=70.0), Rayleigh(fast=True),
    Rician(k_db=3.0), Nakagami(m=0.5), Nakagami(m=1.3), Nakagami(m=2.0),
]  # fmt: skip
SNR = 10.0 ** (np.array(CAPACITY_SNR_DB) / 10.0)
LEVELS = 10.0 ** (np.array(OUTAGE_LEVELS_DB) / 10.0)
RAYLEIGH_OUTAGE, RAYLEIGH_CAPACITY = (
    next(row.expected for row in table if row.model == Rayleigh()) for table in (OUTAGE, CAPACITY)
)


def law(model):
    """The distribution function of the gain."""
    if isinstance(model, Rician):
        return lambda x: stats.ncx2.cdf(2.0 * (1.0 + model.k) * x, 2, 2.0 * model.k)
    m = getattr(model, "m", 1.0)
    return lambda x: gammainc(m, m * np.asarray(x))


@pytest.mark.slow  # the self-test holds the same law in the fast tests
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("model", [Rayleigh(), BlockRayleigh()])
def test_gain_is_exponential_at_any_time(model, seed):
    stream = Stream.root(seed)
    for time_s in (0.0, 12.34):
        gain = model.power_gain(stream, np.arange(CLIENTS), [time_s], DOPPLER_HZ)[:, 0]
        assert stats.kstest(gain, "expon").statistic < KS_CRITICAL


@pytest.mark.slow  # the self-test holds the same law in the fast tests
@pytest.mark.parametrize(
    "model",
    [
        *(Rician(k_db=k) for k in (0.0, 3.0, 10.0)),
        *(Nakagami(m=m) for m in (0.5, 1.0, 4.0, 1.3, 0.8)),
        pytest.param(Nakagami(m=20.0), marks=pytest.mark.slow),
    ],
)
def test_gain_has_its_law_at_any_time(model):
    for time_s in (0.0, 12.34):
        gain = model.power_gain(STREAM, np.arange(CLIENTS), [time_s], DOPPLER_HZ)[:, 0]
        assert stats.kstest(gain, law(model)).statistic < KS_CRITICAL


def test_the_fast_sum_is_near_its_law_and_no_nearer():
    gain = Rayleigh(fast=True).power_gain(STREAM, np.arange(CLIENTS), [1.0], DOPPLER_HZ)[:, 0]
    distance = stats.kstest(gain, "expon").statistic
    # 16 phasors have a variance of the gain of 1 - 1/16, the sum of 2 x 40 cosines 1 - 3/160: 3.3 times the deviation
    assert KS_CRITICAL < distance < 3.3 * KS_CRITICAL


@pytest.mark.slow  # the self-test holds the same law in the fast tests
@pytest.mark.parametrize(("model", "expected"), OUTAGE)
def test_outage_follows_the_closed_form(model, expected):
    np.testing.assert_allclose(law(model)(LEVELS), expected, rtol=0, atol=6e-5)  # four decimals
    gain = model.power_gain(STREAM, np.arange(CLIENTS), [1.0], DOPPLER_HZ)[:, 0]
    measured = [np.mean(gain < x) for x in LEVELS]
    np.testing.assert_allclose(measured, expected, rtol=0, atol=OUTAGE_TOLERANCE)


@pytest.mark.slow  # the self-test holds the same law in the fast tests
@pytest.mark.parametrize(("model", "expected"), CAPACITY)
def test_ergodic_capacity(model, expected):
    gain, weight = model.quadrature()
    np.testing.assert_allclose(np.log2(1.0 + SNR[:, None] * gain) @ weight, expected, rtol=PLANNED_CAPACITY)
    draws = model.power_gain(STREAM, np.arange(CLIENTS), [1.0, 7.0], DOPPLER_HZ)
    measured = [np.log2(1.0 + snr * draws).mean() for snr in SNR]
    np.testing.assert_allclose(measured, expected, rtol=CAPACITY_TOLERANCE)


@pytest.mark.parametrize("model", [m for m, _ in CAPACITY] + [Rician(k_db=k) for k in (-40.0, 0.0, 14.0, 40.0)]
                         + [Nakagami(m=m) for m in (0.5, 0.7, 9.0, 100.0)])  # fmt: skip
def test_quadrature_has_the_moments_of_the_law(model):
    gain, weight = model.quadrature()
    # E[X^2]: gamma 1 + 1/m; Rician (2 + 4 K + K^2) / (1 + K)^2; no fading 1
    second = 1.0 if isinstance(model, NoFading) else 1.0 + 1.0 / getattr(model, "m", 1.0)
    if isinstance(model, Rician):
        second = (2.0 + 4.0 * model.k + model.k**2) / (1.0 + model.k) ** 2
    assert weight.sum() == pytest.approx(1.0, rel=QUADRATURE)
    assert weight @ gain == pytest.approx(1.0, rel=QUADRATURE)
    assert weight @ gain**2 == pytest.approx(second, rel=QUADRATURE)


@pytest.mark.slow
def test_rayleigh_at_the_size_of_the_acceptance():
    """1000 clients x 100 s at fd Ts = 0.01, in groups of 50 clients: outage, autocorrelation, crossings, capacity."""
    doppler, samples, clients, group = 10.0, 100_000, 1000, 50
    times = np.arange(samples) * 1e-3
    lags = np.array([1, 5, 10, 20, 38])
    outage, capacity, acf, crossings, below = np.zeros(3), np.zeros(4), np.zeros(5), np.zeros(2), np.zeros(2)
    groups = clients // group
    for first in range(0, clients, group):
        x, y = Rayleigh().amplitudes(STREAM, np.arange(first, first + group), times, doppler)
        acf += [np.mean(x[:, lag:] * x[:, :-lag]) + np.mean(y[:, lag:] * y[:, :-lag]) for lag in lags]
        gain = x**2 + y**2
        outage += [np.mean(gain < level) for level in LEVELS]
        capacity += [np.log2(1.0 + snr * gain).mean() for snr in SNR]
        for i, (rho, _, _) in enumerate(CROSSINGS[1:]):
            low = gain < rho**2
            crossings[i] += np.count_nonzero(low[:, :-1] & ~low[:, 1:])
            below[i] += np.count_nonzero(low)
    np.testing.assert_allclose(outage / groups, RAYLEIGH_OUTAGE, rtol=0, atol=OUTAGE_TOLERANCE)
    np.testing.assert_allclose(acf / groups, j0(0.02 * np.pi * lags), rtol=0, atol=ACF_TOLERANCE)
    np.testing.assert_allclose(capacity / groups, RAYLEIGH_CAPACITY, rtol=CAPACITY_TOLERANCE)
    rate = crossings / (clients * 100.0 * doppler)
    _, rates, durations = zip(*CROSSINGS[1:], strict=True)
    np.testing.assert_allclose(rate, rates, rtol=CROSSING_TOLERANCE)
    np.testing.assert_allclose(below / crossings * 0.01, durations, rtol=CROSSING_TOLERANCE)


def test_amplitudes_have_the_clarke_autocorrelation():
    lags = np.array(CLARKE_LAGS)
    times = 3.0 + np.concatenate([[0.0], lags]) / DOPPLER_HZ
    in_phase, quadrature = Rayleigh().amplitudes(STREAM, np.arange(CLIENTS), times, DOPPLER_HZ)
    measured = np.mean(in_phase[:, :1] * in_phase[:, 1:] + quadrature[:, :1] * quadrature[:, 1:], axis=0)
    np.testing.assert_allclose(measured, CLARKE_CORRELATION, rtol=0, atol=ACF_TOLERANCE)
    np.testing.assert_allclose(CLARKE_CORRELATION, j0(2 * np.pi * lags), rtol=0, atol=6e-5)  # four decimals
    across = np.mean(in_phase[:, :1] * quadrature, axis=0)
    np.testing.assert_allclose(across, 0.0, rtol=0, atol=ACF_TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("model", [Rayleigh(fast=True), Rician(k_db=3.0)])
def test_other_amplitudes_have_it_too(model):
    lags = np.array(CLARKE_LAGS)
    times = 3.0 + np.concatenate([[0.0], lags]) / DOPPLER_HZ
    x, y = model.amplitudes(STREAM, np.arange(CLIENTS), times, DOPPLER_HZ)
    measured = np.mean(x[:, :1] * x[:, 1:] + y[:, :1] * y[:, 1:], axis=0)
    # The direct path of a client turns by cos(angle); over all angles that is J0 again.
    np.testing.assert_allclose(measured, j0(2 * np.pi * lags), rtol=0, atol=ACF_TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        Rayleigh(),
        *(Nakagami(m=m) for m in (0.5, 0.8, 2.0)),
        *(pytest.param(Nakagami(m=m), marks=pytest.mark.slow) for m in (4.0, 20.0)),
    ],
)
def test_power_has_the_squared_autocorrelation(model):
    lags = np.array([0.05, 0.1, 0.2, 0.3827, 0.5, 0.6098])
    gain = model.power_gain(STREAM, np.arange(CLIENTS), np.concatenate([[0.0], lags]) / DOPPLER_HZ, DOPPLER_HZ)
    measured = np.corrcoef(gain.T)[0, 1:]
    np.testing.assert_allclose(measured, j0(2 * np.pi * lags) ** 2, rtol=0, atol=POWER_ACF_TOLERANCE)


def measured_crossings(model, rho, step, groups):
    """Crossings and fade duration in units of fd and 1 / fd, of `groups` times 1500 clients x 1500 steps."""
    rates, shares = [], []
    for group in range(groups):
        clients, times = np.arange(1500) + 1500 * group, np.arange(1500) * step / DOPPLER_HZ
        gain = model.power_gain(STREAM, clients, times, DOPPLER_HZ)
        rates.append(level_crossing_rate(gain, step, rho**2))
        shares.append(outage(gain, rho**2))
    return np.mean(rates), np.mean(shares) / np.mean(rates)


# Groups are as many as make 10 000 crossings, of which 3 % are three standard errors
@pytest.mark.parametrize(
    ("m", "rho", "groups"),
    [
        (1.0, 0.5, 1),
        (1.0, 1.0, 1),
        (2.0, 1.0, 1),
        *(pytest.param(m, rho, 6, marks=pytest.mark.slow) for m, rho in ((2.0, 0.5), (4.0, 0.5), (4.0, 1.0))),
    ],
)
def test_level_crossings_of_nakagami_fading(m, rho, groups):
    rate = nakagami_crossing_rate(rho**2, m, 1.0)
    measured, duration = measured_crossings(Nakagami(m=m), rho, 0.005, groups)
    assert measured == pytest.approx(rate, rel=CROSSING_TOLERANCE)
    assert duration == pytest.approx(gammainc(m, m * rho**2) / rate, rel=CROSSING_TOLERANCE)


@pytest.mark.parametrize(
    ("rho", "step", "rate", "duration", "groups"),
    # step = fd Ts; at rho = 0.1 a fade lasts 0.04 / fd, so 0.01 / fd would step over short ones
    [
        pytest.param(0.1, 0.002, 0.2482, 0.0401, 9, marks=pytest.mark.slow),
        (0.5, 0.01, 0.9761, 0.2266, 1),
        (1.0, 0.01, 0.9221, 0.6855, 1),
    ],
)
def test_level_crossings_and_fade_durations(rho, step, rate, duration, groups):
    measured = measured_crossings(Rayleigh(), rho, step, groups)
    np.testing.assert_allclose(measured, [rate, duration], rtol=CROSSING_TOLERANCE)


@pytest.mark.slow
def test_level_crossings_of_rician_fading():
    # The direct path of a client comes at an angle of its own: the mean of the rate over all angles
    k, shift = 10.0**0.3, np.cos(2.0 * np.pi * (np.arange(64) + 0.5) / 64)
    rate = np.mean(rician_crossing_rate(0.25, k, 1.0, shift))
    measured, duration = measured_crossings(Rician(k_db=3.0), 0.5, 0.005, 3)
    assert measured == pytest.approx(rate, rel=CROSSING_TOLERANCE)
    assert duration == pytest.approx(rician_outage(0.25, k) / rate, rel=CROSSING_TOLERANCE)


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
    with pytest.raises(OptionError, match=r"m: must be at least 0\.5 and at most 100"):
        Nakagami(m=0.4)
    with pytest.raises(OptionError, match="k_db: must be at least -40 dB and at most 40 dB"):
        Rician(k_db=41.0)
    names = ("none", "block", "rayleigh", "rician", "nakagami", "tdl")
    assert {kind: model.kind for kind, model in FADING.items()} == {k: k for k in names}


def test_nakagami_one_is_rayleigh_and_a_weak_direct_path_nearly_is():
    asked = (STREAM, np.arange(40), np.arange(60) * 1e-2, 30.0)
    rayleigh = Rayleigh().power_gain(*asked)
    np.testing.assert_array_equal(Nakagami(m=1.0).power_gain(*asked), rayleigh)
    # at K = -40 dB the direct path has a hundredth of the amplitude, 0.04 of the gain where that is 4
    np.testing.assert_allclose(Rician(k_db=-40.0).power_gain(*asked), rayleigh, rtol=0, atol=0.1)


@pytest.mark.parametrize("m", [0.6, 1.3, 3.3, 30.0])
def test_the_map_of_ranks_keeps_the_rank(m):
    squares = min(max(1, round(2 * m)), 16) / 2
    gain = np.exp(np.linspace(-15.0, 4.0, 500))
    image = gamma_map(squares, m)(gain)
    assert np.all(np.diff(image) > 0)
    low = gain < 1.0
    np.testing.assert_allclose(gammainc(m, m * image[low]), gammainc(squares, squares * gain[low]), rtol=MAP)
    upper, wanted = gammaincc(m, m * image[~low]), gammaincc(squares, squares * gain[~low])
    np.testing.assert_allclose(upper, wanted, rtol=MAP)
    far = gamma_map(squares, m)(np.array([0.0, np.exp(-30.0)]))
    assert far[0] == 0.0 and 0.0 < far[1] < image[0]


def test_how_rows_lie_in_memory_changes_no_bit():
    # 127 clients are 254 rows, which lie together; one client is not enough for that
    for model in (Rayleigh(), Rayleigh(fast=True), Rician(k_db=3.0)):
        clients, times = np.arange(260), np.arange(300) * 1e-3
        whole = model.power_gain(STREAM, clients, times, 50.0)
        for client in (0, 127, 128, 259):
            np.testing.assert_array_equal(model.power_gain(STREAM, client, times, 50.0)[0], whole[client])
        np.testing.assert_array_equal(model.power_gain(STREAM, clients[::-1], times[::-3], 50.0), whole[::-1, ::-3])


@pytest.mark.parametrize(
    "times", [np.arange(500) * 1e-3 + 40.0, np.sqrt(np.arange(40.0)) * 37.0], ids=["grid", "loose"]
)
def test_amplitudes_are_the_stated_sum(times):
    # The formula of the docstring, written out in double precision for one client
    client, doppler, count = 5, 80.0, 40
    theta = 2 * np.pi * float(STREAM.uniform(client, 0)) - np.pi
    angle = (2 * np.pi * np.arange(1, count + 1) - np.pi + theta) / (4 * count)
    phase = 2 * np.pi * STREAM.uniform(client, 1 + np.arange(2 * count)).reshape(2, count)
    moments = np.rint(times * 1e9)[:, None] / 1e9
    measured = Rayleigh().amplitudes(STREAM, [client], times, doppler)
    for part, direction in enumerate((np.cos(angle), np.sin(angle))):
        expected = np.cos(2 * np.pi * doppler * moments * direction + phase[part]).sum(axis=1) / np.sqrt(count)
        np.testing.assert_allclose(measured[part][0], expected, rtol=0, atol=SINGLE_PRECISION)


def test_the_fast_amplitudes_are_the_stated_sum():
    client, doppler, count, times = 5, 80.0, 16, np.arange(500) * 1e-3 + 40.0
    theta = 2 * np.pi * float(STREAM.uniform(client, 0)) - np.pi
    angle = (2 * np.pi * np.arange(1, count + 1) - np.pi + theta) / count
    phase = 2 * np.pi * STREAM.uniform(client, 1 + np.arange(count))
    expected = np.exp(1j * (2 * np.pi * doppler * times[:, None] * np.cos(angle) + phase)).sum(axis=1) / 4.0
    x, y = Rayleigh(fast=True).amplitudes(STREAM, [client], times, doppler)
    np.testing.assert_allclose(x[0] + 1j * y[0], expected, rtol=0, atol=SINGLE_PRECISION)


def test_rician_amplitudes_are_the_stated_sum():
    client, doppler, times, model = 5, 80.0, np.arange(500) * 1e-3 + 40.0, Rician(k_db=3.0)
    angle, phase = 2 * np.pi * STREAM.child("direct").uniform(client, [0, 1])
    direct = np.exp(1j * (2 * np.pi * doppler * times * np.cos(angle) + phase))
    x, y = Rayleigh().amplitudes(STREAM, [client], times, doppler)
    expected = (x[0] + 1j * y[0] + np.sqrt(model.k) * direct) / np.sqrt(1 + model.k)
    x, y = model.amplitudes(STREAM, [client], times, doppler)
    np.testing.assert_allclose(x[0] + 1j * y[0], expected, rtol=0, atol=SINGLE_PRECISION)
