from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.fading import BlockRayleigh
from channels.links import Links
from channels.mobility import Line, Static
from channels.options import OptionError
from channels.pathloss import LogDistance
from channels.shadowing import NoShadowing
from channels.streams import Stream
from wfl_sim.contracts import Flight
from wfl_sim.schedules.channel_threshold import ChannelThreshold
from wfl_sim.schedules.max_rate import MaxRate
from wfl_sim.schedules.round_robin import RoundRobin

BAND = 1e-12  # relative: sums of tens of floats
SIGMAS = 4.0  # of a share of independent draws: a right one fails once in 16,000 runs, and the draws are fixed


def senders(decisions):
    return [d.client for d in decisions if d.action == "send"]


SNR_HZ = st.lists(st.floats(3.0, 9.0).map(lambda e: 10.0**e), min_size=1, max_size=12)


@given(SNR_HZ, st.integers(1, 12), st.sampled_from(["equal", "sum_rate"]))
def test_max_rate_takes_the_largest_rates(make_air, make_requests, snr_hz, number, shares):
    air, requests = make_air(), make_requests(snr_hz)
    decisions, _ = MaxRate(senders=number, shares=shares).decide(0.0, air, requests, (), {})
    chosen = senders(decisions)
    assert len(chosen) == min(number, len(snr_hz))
    assert {d.action for d in decisions} <= {"send", "skip"}
    rates = air.rate_bps(np.full(len(snr_hz), air.bandwidth_hz / 7), np.array(snr_hz))
    assert sorted(rates[chosen]) == sorted(rates)[-len(chosen) :]
    assert sum(d.bandwidth_hz for d in decisions) == pytest.approx(air.bandwidth_hz, rel=BAND)


@pytest.mark.parametrize("csi", ["known", "ergodic"])
def test_sum_rate_shares_have_the_largest_sum_of_rates(make_air, make_requests, mean_snr_hz, csi):
    air, rng = make_air(csi), np.random.default_rng(4)
    snr_hz = mean_snr_hz(rng.uniform(0.05, 0.5, 6))
    decisions, _ = MaxRate(senders=6, shares="sum_rate").decide(0.0, air, make_requests(snr_hz), (), {})
    bandwidth_hz = np.array([d.bandwidth_hz for d in decisions])
    best = air.rate_bps(bandwidth_hz, snr_hz).sum()
    # Jensen: one user with all the power in all of the band
    assert best == pytest.approx(float(air.rate_bps(np.array([10e6]), np.array([snr_hz.sum()]))[0]), rel=BAND)
    for _ in range(200):
        other = bandwidth_hz * rng.lognormal(0.0, 0.3, 6)
        assert air.rate_bps(other * air.bandwidth_hz / other.sum(), snr_hz).sum() < best


def test_how_many_send(make_air, make_requests):
    requests, air = make_requests(np.arange(1, 101) * 1e5), make_air()
    for options, expected in (
        ({}, 1),
        ({"senders": 7}, 7),
        ({"share": 0.29}, 29),
        ({"share": 0.295}, 29),
        ({"senders": 7, "share": 0.05}, 7),
        ({"share": 1.0}, 100),
        ({"senders": 1000}, 100),
    ):
        for schedule in (MaxRate(**options), RoundRobin(**options)):
            decisions, _ = schedule.decide(0.0, air, requests, (), schedule.start())
            assert len(senders(decisions)) == expected
            assert [d.bandwidth_hz for d in decisions if d.action == "send"] == pytest.approx(
                [10e6 / expected] * expected, rel=BAND
            )
    for bad in ({"senders": 0}, {"share": 1.5}):
        with pytest.raises(OptionError, match=next(iter(bad))):
            RoundRobin(**bad)


def test_flights_have_seats_under_an_asynchronous_protocol(make_air, make_requests):
    air, requests = make_air(places=10), make_requests([1e6, 3e6, 2e6])
    flights = [Flight(k, 2e6, 1) for k in (10, 11, 12)]
    for number, expected in ((3, []), (4, [1]), (5, [1, 2])):
        decisions, _ = MaxRate(senders=number).decide(0.0, air, requests, flights, {})
        assert senders(decisions) == expected
    # in rounds they do not: a late upload only takes its band
    decisions, _ = MaxRate(senders=3).decide(0.0, replace(air, places=0), requests, flights, {})
    assert senders(decisions) == [0, 1, 2]
    assert sum(d.bandwidth_hz for d in decisions) == pytest.approx(4e6, rel=BAND)


@given(st.integers(1, 9), st.integers(1, 12), st.integers(1, 40))
def test_round_robin_gives_each_the_same_turns(make_air, make_requests, clients, number, rounds):
    """After R rounds of S senders each of K clients has sent floor or ceil of S R / K times."""
    air, requests = make_air(), make_requests([1e6] * clients)
    schedule = RoundRobin(senders=number)
    state, turns = schedule.start(), np.zeros(clients, dtype=int)
    for _ in range(rounds):
        decisions, state = schedule.decide(0.0, air, requests, (), state)
        turns[senders(decisions)] += 1
    mean = min(number, clients) * rounds / clients
    assert set(turns) <= {math.floor(mean), math.ceil(mean)}


@given(st.integers(1, 6), st.lists(st.sets(st.integers(0, 7)), min_size=1, max_size=30))
def test_who_always_asks_has_as_many_turns_whoever_comes_and_goes(make_air, make_requests, number, away):
    """Clients 2, 5 and 6 always ask; the others as it happens."""
    air, everyone = make_air(), make_requests([1e6] * 8)
    schedule = RoundRobin(senders=number)
    state, turns = schedule.start(), np.zeros(8, dtype=int)
    for absent in away:
        asking = [request for request in everyone if request.client in (2, 5, 6) or request.client not in absent]
        decisions, state = schedule.decide(0.0, air, asking, (), state)
        assert len(senders(decisions)) == min(number, len(asking))
        turns[senders(decisions)] += 1
        steady = turns[[2, 5, 6]]
        assert steady.max() - steady.min() <= 1


def test_the_turn_goes_on_where_it_was(make_air, make_requests):
    air, requests, schedule = make_air(), make_requests([1e6] * 5), RoundRobin(senders=2)
    state, seen = schedule.start(), []
    for _ in range(4):
        decisions, state = schedule.decide(0.0, air, requests, (), state)
        seen.append(senders(decisions))
    assert seen == [[0, 1], [2, 3], [0, 4], [1, 2]]
    assert state == {"turn": 3}
    only, _ = schedule.decide(0.0, air, [requests[0], requests[4]], (), state)
    assert senders(only) == [0, 4]
    one, after = RoundRobin(senders=1).decide(0.0, air, [requests[0], requests[4]], (), {"turn": 3})
    assert (senders(one), after) == ([4], {"turn": 5})


def test_the_threshold_is_an_snr_in_the_whole_band(make_air, make_requests):
    requests = make_requests([9.9e6, 10.1e6, 200e6])
    for places in (0, 3, 8):  # whoever else asks, and whatever the share
        air = make_air(places=places)
        assert senders(ChannelThreshold().decide(0.0, air, requests, (), {})[0]) == [1, 2]
        decisions, _ = ChannelThreshold(threshold_db=13.0).decide(0.0, air, requests, (), {})
        assert [d.action for d in decisions] == ["defer", "defer", "send"]
        assert decisions[2].bandwidth_hz == pytest.approx(10e6 / (places or 1), rel=BAND)


@pytest.mark.parametrize("csi", ["block", "instantaneous"])
@pytest.mark.parametrize("threshold_db", [-6.0, 0.0, 4.0])
def test_how_often_clients_are_above_the_threshold(make_air, make_requests, csi, threshold_db):
    """P(send) = exp(-threshold / mean SNR) over the blocks of Rayleigh fading on real links."""
    clients, blocks, air = 3, 4000, make_air()
    links = Links(
        Stream.root(3), clients, carrier_hz=3.5e9, path_loss=LogDistance(exponent=3.5), shadowing=NoShadowing(),
        fading=BlockRayleigh(block_s=0.1), placement=Line(from_m=100.0, to_m=250.0), mobility=Static(),
    )  # fmt: skip
    times_s = 0.1 * np.arange(blocks) + 0.03
    mean_gain = 10 ** (links.large_scale_db(times_s[:1])[:, 0] / 10)
    to_snr_hz = 2.0 * air.bandwidth_hz / mean_gain[1]  # 3 dB in the middle
    schedule, sent = ChannelThreshold(csi=csi, threshold_db=threshold_db), np.zeros(clients)
    (request,) = make_requests([1.0])
    for gain in links.gain(times_s).T * to_snr_hz:
        requests = [replace(request, client=k, snr_hz=float(gain[k])) for k in range(clients)]
        sent[senders(schedule.decide(0.0, air, requests, (), {})[0])] += 1
    expected = np.exp(-(10 ** (threshold_db / 10)) * air.bandwidth_hz / (mean_gain * to_snr_hz))
    assert expected.max() - expected.min() > 0.05  # clients that differ
    assert np.all(np.abs(sent / blocks - expected) <= SIGMAS * np.sqrt(expected * (1 - expected) / blocks))
