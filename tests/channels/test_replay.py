from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.replay import OPPORTUNITY_BITS, Packets, Rates, Steps, md1_wait
from channels.streams import Stream

ROUNDING = 1e-12  # relative: sums of a few floats
# The mean of 1e5 waits in one busy queue scatters by 0.9 %, of 1e6 by 0.3 % (ten seeds); the project asks for these.
MD1_FAST, MD1_SLOW = 0.07, 0.02

stamps = st.lists(st.integers(0, 40), min_size=1, max_size=30).map(sorted).filter(lambda ms: ms[-1] > 0)
rows = st.lists(
    st.tuples(st.floats(1e-3, 5.0), st.sampled_from([0.0, 1.0, 250.0, 1e6])), min_size=1, max_size=8
).filter(lambda pairs: any(rate for _, rate in pairs))


def rates_of(pairs):
    lengths = np.array([length for length, _ in pairs])
    starts = np.concatenate(([0.0], np.cumsum(lengths)[:-1]))
    return Rates(starts, [rate for _, rate in pairs], float(starts[-1] + lengths[-1]))


# mahimahi


@given(stamps, st.integers(0, 5000), st.integers(1, 7))
def test_any_pass_delivers_exactly_the_bytes_of_the_file(ms, start_ms, passes):
    trace = Packets(ms)
    end_s = (start_ms + passes * ms[-1]) / 1e3
    bits = trace.bits_between(start_ms / 1e3, end_s)
    assert bits.dtype == np.int64
    assert bits == passes * len(ms) * 1500 * 8 == passes * trace.pass_bits


@given(stamps, st.lists(st.floats(0.0, 3.0), min_size=1, max_size=20).map(sorted))
def test_a_cut_loses_and_doubles_no_byte(ms, cuts_s):
    trace = Packets(ms)
    edges = np.array([0.0, *cuts_s, 3.0])
    assert trace.bits_between(edges[:-1], edges[1:]).sum() == trace.bits_between(0.0, 3.0)


@given(stamps, st.integers(0, 400))
def test_the_offer_is_what_stands_in_the_file_written_out(ms, at_ms):
    laid_out = [turn * ms[-1] + stamp for turn in range(at_ms // ms[-1] + 2) for stamp in ms]
    expected = sum(0 < stamp <= at_ms for stamp in laid_out) * OPPORTUNITY_BITS
    assert Packets(ms).bits_until(at_ms / 1e3) == expected
    assert Packets(ms).bits_until((at_ms + 0.999) / 1e3) == expected


@given(stamps, st.integers(1, 200))
def test_the_time_of_bits_is_the_first_at_which_they_are_there(ms, packets):
    trace = Packets(ms)
    for bits in (packets * OPPORTUNITY_BITS, packets * OPPORTUNITY_BITS - 1, float(packets * OPPORTUNITY_BITS)):
        at_s = float(trace.time_of(bits))
        assert trace.bits_until(at_s) >= bits > trace.bits_until(max(at_s - 1e-3, 0.0))
    assert trace.time_of(0) == 0.0


def test_stamps_of_zero_fall_on_the_end_of_the_pass_before():
    trace = Packets([0, 0, 1, 5, 5])
    at_ms = np.array([0, 1, 4, 5, 6, 10])
    np.testing.assert_array_equal(trace.bits_until(at_ms / 1e3) / OPPORTUNITY_BITS, [0, 1, 1, 5, 6, 10])
    assert trace.period_s == 0.005


def test_packets_queue_as_in_mahimahi():
    """By hand, with chances at 2, 2, 7 ms and 10 ms (the period)."""
    trace = Packets([2, 2, 7, 10])
    arrivals_ms = [0.0, 0.0, 0.0, 2.0, 2.5, 2.5, 7.0]
    sizes = np.array([700, 800, 1500, 1500, 100, 1500, 1500]) * 8
    # The first two share the first chance at 2 ms, the third takes the second. Those of 2 ms have missed both: 7 ms.
    # 100 bytes wait for 10 ms and leave 1400 of it to the next, whose last 100 bytes go at 12 ms, where 1400 are left
    # to the last packet, which ends with the second chance there.
    expected_ms = [2, 2, 2, 7, 10, 12, 12]
    np.testing.assert_allclose(trace.departures_s(np.array(arrivals_ms) / 1e3, sizes) * 1e3, expected_ms, rtol=ROUNDING)


def test_late_times_keep_their_millisecond():
    trace = Packets([1])
    at_s = np.array([0.057, 1.001, 123456.789, 9999999.999])  # whose product with 1000 is no whole number
    np.testing.assert_array_equal(trace.bits_until(at_s) // OPPORTUNITY_BITS, [57, 1001, 123456789, 9999999999])


@given(stamps, st.sampled_from([0.001, 0.003, 0.0123, 0.1, 7.0]))
def test_windows_keep_the_bits_of_a_pass(ms, window_s):
    trace = Packets(ms)
    windows = trace.rates(window_s)
    assert windows.period_s == trace.period_s
    assert windows.pass_bits == pytest.approx(trace.pass_bits, rel=ROUNDING)
    ends = np.append(windows.steps.starts_s[1:], trace.period_s)
    inner = (windows.bits_until(ends[:-1]), trace.bits_until(ends[:-1]))
    np.testing.assert_allclose(*inner, rtol=ROUNDING)


@pytest.mark.parametrize("bad", [[], [0], [0, 0], [-1, 3], [3, 2], [1.0, 2.0], [[1, 2]], [10**13]])
def test_wrong_stamps_are_refused(bad):
    with pytest.raises(ValueError, match="stamps must be"):
        Packets(bad)


def test_windows_must_be_few():
    with pytest.raises(ValueError, match="more than 10000000 parts"):
        Packets([10**12]).rates(1e-3)


# Rates


@given(rows, st.floats(0.0, 20.0), st.integers(1, 5))
def test_a_pass_of_rates_carries_the_same_from_any_start(pairs, start_s, passes):
    link = rates_of(pairs)
    expected = passes * sum(length * rate for length, rate in pairs)
    end_s = start_s + passes * link.period_s
    assert link.bits_between(start_s, end_s) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@given(rows, st.floats(0.0, 60.0))
def test_the_offer_is_the_integral_of_the_rate(pairs, end_s):
    link = rates_of(pairs)
    edges = np.unique(
        np.concatenate([link.steps.starts_s + turn * link.period_s for turn in range(int(60 / link.period_s) + 2)])
    )
    edges = np.append(edges[edges < end_s], end_s)
    middles = 0.5 * (edges[1:] + edges[:-1])
    integral = (link.steps.at(middles) * np.diff(edges)).sum() if edges.size > 1 else 0.0
    assert link.bits_until(end_s) == pytest.approx(integral, rel=1e-9, abs=1e-5)


@given(rows, st.floats(1e-3, 30.0))
def test_the_time_of_bits_inverts_the_offer_and_is_the_first(pairs, passes):
    link = rates_of(pairs)
    bits = passes * link.pass_bits
    at_s = float(link.time_of(bits))
    assert link.bits_until(at_s) == pytest.approx(bits, rel=1e-9)
    before = max(at_s - 1e-6, 0.0)
    assert link.bits_until(before) < bits * (1 - 1e-15) or before == 0.0


def test_a_silent_stretch_delays_what_it_meets():
    link = Rates([0.0, 1.0, 2.0], [100.0, 0.0, 50.0], 4.0)
    # 100 bit until 1 s, none until 2 s, 100 until 4 s, and again
    np.testing.assert_allclose(
        link.time_of([0.0, 100.0, 101.0, 200.0, 201.0]), [0.0, 1.0, 2.02, 4.0, 4.01], rtol=ROUNDING
    )
    np.testing.assert_allclose(link.departures_s([0.5, 0.6, 3.9], [60, 50, 10]), [2.2, 3.2, 4.05], rtol=ROUNDING)


def test_a_row_alone_holds_for_ever_and_the_last_as_long_as_the_one_before():
    assert Rates([5.0], [8.0]).bits_until(1e6) == 8e6
    steps = Steps([59.997, 59.998, 59.999], [1.0, 2.0, 3.0])
    assert steps.period_s == pytest.approx(0.003, rel=1e-9)
    np.testing.assert_array_equal(steps.at([0.0, 0.0015, 0.0025, 0.0035]), [1.0, 2.0, 3.0, 1.0])
    assert Steps(np.round(np.arange(60_000) * 1e-3, 9), np.ones(60_000)).period_s == 60.0


@given(st.lists(st.floats(0.0, 50.0), min_size=1, max_size=30).map(sorted), rows, st.data())
def test_departures_are_those_of_a_queue_served_packet_by_packet(arrivals, pairs, data):
    link = rates_of(pairs)
    sizes = data.draw(st.lists(st.integers(1, 5000), min_size=len(arrivals), max_size=len(arrivals)))
    free_s, expected = 0.0, []
    for at_s, size in zip(arrivals, sizes, strict=True):
        start_s = max(at_s, free_s)
        free_s = float(link.time_of(link.bits_until(start_s) + size))
        expected.append(free_s)
    # One bit of rounding at the lowest rate of 1 bit/s is a second; sums of 1e9 bits round by 1e-6 bits.
    np.testing.assert_allclose(link.departures_s(arrivals, sizes), expected, rtol=1e-6, atol=1e-4)


def test_no_packets_no_departures():
    assert Rates([0.0], [1.0]).departures_s([], 12_000).shape == (0,)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: Rates([0.0, 1.0], [0.0, 0.0]), "needs a rate above 0"),
        (lambda: Rates([0.0, 1.0], [1.0, -1.0]), "a rate in bit/s must be finite and at least 0; got -1.0"),
        (lambda: Rates([0.0], [np.nan]), "a rate in bit/s must be finite"),
        (lambda: Steps([], []), "lists of one length"),
        (lambda: Steps([0.0, 1.0], [1.0]), "lists of one length"),
        (lambda: Steps([0.0, np.inf], [1.0, 1.0]), "must be finite"),
        (lambda: Steps([0.0, 0.0], [1.0, 1.0]), "times must rise"),
        (lambda: Steps([0.0, 2.0], [1.0, 1.0], 2.0), "a period must be above the last time, 2.0 s; got 2.0 s"),
        (lambda: Rates([0.0], [1.0]).bits_between(2.0, 1.0), "must not end before it begins; got 2.0 s to 1.0 s"),
        (lambda: Rates([0.0], [1.0]).bits_until(-1.0), "a time in s must be finite and at least 0; got -1.0"),
        (lambda: Rates([0.0], [1.0]).time_of(np.nan), "bits must be finite"),
        (lambda: Packets([1]).time_of(-1.0), "bits must be finite and at least 0"),
        (lambda: Packets([1]).bits_until(2e12), "a time must be at most 1e\\+12 s; got 2000000000000.0 s"),
        (lambda: Packets([1]).rates(0.0), "window_s must be finite and above 0"),
        (lambda: Packets([1]).departures_s([2.0, 1.0], 8), "arrival 1 is 1.0 s after 2.0 s"),
        (lambda: Packets([1]).departures_s([1.0], 0), "a packet's size in bit must be finite and above 0; got 0"),
        (lambda: Packets([1]).departures_s([np.nan], 8), "a time in s must be finite"),
        (lambda: md1_wait(Stream.root(1), 1.0, 5), "a load must be above 0 and below 1; got 1.0"),
        (lambda: md1_wait(Stream.root(1), 0.5, 0), "packets must be at least 1; got 0"),
    ],
)
def test_wrong_arguments_are_refused(ask, says):
    with pytest.raises(ValueError, match=says):
        ask()


# M/D/1


@pytest.mark.parametrize("load", [0.3, 0.5])
def test_poisson_arrivals_wait_as_in_an_m_d_1_queue(load):
    measured, expected = md1_wait(Stream.root(1).child("queue"), load, 100_000)
    assert expected == load / 2 / (1 - load)
    assert measured == pytest.approx(expected, rel=MD1_FAST)


@pytest.mark.slow
def test_a_million_poisson_arrivals_wait_as_in_an_m_d_1_queue():
    measured, expected = md1_wait(Stream.root(1).child("queue"), 0.5, 1_000_000)
    assert measured == pytest.approx(expected, rel=MD1_SLOW)
