from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.options import OptionError
from wfl_sim.contracts import Flight, Point, Request
from wfl_sim.schedules import SCHEDULES
from wfl_sim.schedules.base import falling_root, finish_together, ready_to_send, room
from wfl_sim.schedules.channel_threshold import ChannelThreshold
from wfl_sim.schedules.deadline_aware import DeadlineAware
from wfl_sim.schedules.equal import Equal
from wfl_sim.schedules.max_rate import MaxRate
from wfl_sim.schedules.min_max import MinMax
from wfl_sim.schedules.round_robin import RoundRobin
from wfl_sim.schedules.tsfa import TSFA

PLANNED = 1e-9  # relative: what the project promises for planned times
BAND = 1e-12  # relative: bandwidths are scaled to sum to the band
ROOT = 1e-12  # absolute, of logarithms of order 1 to 10: ten times what the search promises

CLIENTS = st.lists(
    st.tuples(
        st.floats(4.5, 9.0).map(lambda e: 10.0**e),  # SNR x Hz: -25 to 20 dB in 10 MHz
        st.floats(0.0, 2.0),  # ready
        st.integers(1, 20_000_000),  # bits
    ),
    min_size=1,
    max_size=8,
)


def schedules(csi="block"):
    return [
        Equal(csi=csi),
        MinMax(csi=csi),
        TSFA(csi=csi, latency_budget_s=1.2, queue_start=0.5),
        MaxRate(csi=csi, senders=3, shares="sum_rate"),
        ChannelThreshold(csi=csi, threshold_db=-20.0),
        RoundRobin(csi=csi, share=0.5),
        DeadlineAware(csi=csi, deadline_s=2.5),
    ]


def held(air, shares):
    """Uploads in flight that hold such shares of the band."""
    return [Flight(100 + k, share * air.bandwidth_hz, 10**6) for k, share in enumerate(shares)]


@pytest.mark.parametrize("csi", ["known", "ergodic"])
@given(CLIENTS, st.booleans())
def test_finish_together(make_air, csi, clients, headers):
    air = make_air(csi, loss=0.1, **({"packet_bits": 12_000, "header_bits": 320} if headers else {}))
    snr_hz, ready_s, bits = (np.array(column, dtype=float) for column in zip(*clients, strict=True))
    finish_s, bandwidth_hz = finish_together(air, snr_hz, ready_s, bits)
    wire = bits + np.ceil(bits / 11_680) * 320 if headers else bits
    ends = ready_s + wire / air.rate_bps(bandwidth_hz, snr_hz)
    assert np.all(bandwidth_hz > 0)
    assert bandwidth_hz.sum() == pytest.approx(air.bandwidth_hz, rel=BAND)
    np.testing.assert_allclose(ends, finish_s, rtol=PLANNED)


@given(CLIENTS, st.integers(0, 7), st.floats(1.01, 10.0))
def test_more_bits_take_longer_and_get_more_of_the_band(make_air, clients, which, factor):
    snr_hz, ready_s, bits = (np.array(column, dtype=float) for column in zip(*clients, strict=True))
    air, which = make_air(), which % len(clients)
    before_s, before_hz = finish_together(air, snr_hz, ready_s, bits)
    bits[which] *= factor
    after_s, after_hz = finish_together(air, snr_hz, ready_s, bits)
    assert after_s >= before_s * (1 - PLANNED)
    assert after_hz[which] >= before_hz[which] * (1 - 10 * PLANNED)
    others = np.arange(len(clients)) != which
    assert np.all(after_hz[others] <= before_hz[others] * (1 + 10 * PLANNED))  # bandwidth reacts more than time does


def test_no_other_split_ends_earlier(make_air, mean_snr_hz):
    air, rng = make_air(), np.random.default_rng(5)
    snr_hz, ready_s, bits = mean_snr_hz(rng.uniform(0.05, 0.5, 6)), rng.uniform(0, 0.3, 6), rng.uniform(1e6, 2e7, 6)
    finish_s, bandwidth_hz = finish_together(air, snr_hz, ready_s, bits)
    for _ in range(200):
        other = bandwidth_hz * rng.lognormal(0.0, 0.1, 6)
        other *= air.bandwidth_hz / other.sum()
        assert (ready_s + bits / air.rate_bps(other, snr_hz)).max() > finish_s


def test_falling_root():
    targets = np.array([-3.0, -0.2, 0.0, 0.7, 2.5])

    def function(x):
        calls.append(x)
        return np.where(x > targets, -1.0, 1.0) * np.expm1(np.abs(x - targets)) - 1e-3 * (x - targets)

    calls = []
    root = falling_root(function, np.full(5, -4.0), np.full(5, 5.0))
    np.testing.assert_allclose(root, targets, atol=ROOT)
    assert len(calls) < 40  # bisection alone would take log2(9e13) = 46
    # where the sign does not change, the end that is nearer to it
    low, high = np.array([1.0, -2.0]), np.array([2.0, -1.0])
    np.testing.assert_array_equal(falling_root(lambda x: -x, low, high), [1.0, -1.0])
    # a step, and an infinite value: the place where the sign changes
    step = falling_root(lambda x: np.where(x < 1 / 3, np.inf, -1.0), np.array([0.0]), np.array([1.0]))
    np.testing.assert_allclose(step, 1 / 3, atol=ROOT)


def test_uploads_wait_for_the_longest_downlink(make_requests):
    requests = [
        replace(request, downlink_s=down_s)
        for request, down_s in zip(make_requests([1e6] * 3, ready_s=[0.1, 0.5, 0.2]), [0.3, 0.0, 0.7], strict=True)
    ]
    assert ready_to_send(requests).tolist() == pytest.approx([0.8, 1.2, 0.9], rel=BAND)
    assert ready_to_send(requests[:2]).tolist() == pytest.approx([0.4, 0.8], rel=BAND)


@pytest.mark.parametrize("number", [1, 3, 7])
def test_equal_shares(make_air, make_requests, mean_snr_hz, number):
    air, requests = make_air(), make_requests(mean_snr_hz(np.linspace(0.05, 0.5, number)))
    decisions, _ = Equal(kept_fraction=0.5).decide(0.0, air, requests, (), {})
    assert [d.bandwidth_hz for d in decisions] == pytest.approx([10e6 / number] * number, rel=BAND)
    assert {d.point for d in decisions} == {Point(0.5, 9_450_000, 0.5)}


@pytest.mark.parametrize("kept_fraction", [0.3, 1.0])
def test_min_max_finishes_together(make_air, make_requests, mean_snr_hz, make_menu, ends_s, kept_fraction):
    air = make_air(packet_bits=12_000, header_bits=320)
    menus = [make_menu(number=10, dense_bits=n * 10**6) for n in (1, 5, 20)]
    requests = make_requests(mean_snr_hz(np.array([0.1, 0.3, 0.5])), ready_s=[0.3, 0.0, 0.1], menus=menus)
    decisions, _ = MinMax(kept_fraction=kept_fraction).decide(0.0, air, requests, (), {})
    ends = ends_s(air, requests, decisions)
    np.testing.assert_allclose(ends, ends[0], rtol=PLANNED)
    assert sum(d.bandwidth_hz for d in decisions) == pytest.approx(air.bandwidth_hz, rel=BAND)
    assert [d.point.bits for d in decisions] == [round(kept_fraction * n * 10**6) for n in (1, 5, 20)]


@pytest.mark.parametrize("schedule", schedules(), ids=lambda s: s.kind)
@settings(max_examples=25)
@given(data=st.data())
def test_the_contract_of_decide(make_air, make_menu, schedule, data):
    rows = data.draw(
        st.lists(
            st.tuples(
                st.floats(3.0, 9.0).map(lambda e: 10.0**e), st.floats(0, 2), st.floats(0.01, 1.0), st.integers(1, 4)
            ),
            min_size=1,
            max_size=6,
        )
    )
    numbers = data.draw(st.permutations(range(len(rows))))
    requests = [
        Request(number, snr, make_menu(dense_bits=4_000_000, number=points), ready, weight)
        for number, (snr, ready, weight, points) in zip(numbers, rows, strict=True)
    ]
    parts = data.draw(st.lists(st.floats(1e-3, 1.0), max_size=4))
    flying = data.draw(st.floats(0.0, 1.0)) if parts else 0.0
    places = data.draw(st.sampled_from([0, 0, 1, 3, 12]))
    air, state = make_air(loss=0.05, packet_bits=12_000, header_bits=320, places=places), schedule.start()
    in_flight = held(air, [flying * part / sum(parts) for part in parts])
    before = dict(state)
    decisions, after = schedule.decide(0.0, air, requests, in_flight, state)
    assert [d.client for d in decisions] == numbers
    assert state == before
    assert all(isinstance(value, (int, float, str)) for value in after.values())
    others = "skip" if schedule.kind in ("max_rate", "round_robin") else "defer"
    assert {d.action for d in decisions} <= {"send", others}
    assert all(d.bandwidth_hz > 0 for d in decisions if d.action == "send")
    sent_hz = sum(d.bandwidth_hz for d in decisions if d.action == "send")
    assert sent_hz <= (1 - flying) * air.bandwidth_hz + BAND * air.bandwidth_hz
    if places:
        assert sum(d.action == "send" for d in decisions) <= max(places - len(in_flight), 0)
    assert all(d.point in r.menu.points for d, r in zip(decisions, requests, strict=True))
    again, _ = schedule.decide(0.0, air, requests, in_flight, before)
    assert again == decisions  # nothing is remembered but the state


@pytest.mark.parametrize("schedule", schedules(), ids=lambda s: s.kind)
def test_the_order_of_requests_does_not_matter(make_air, make_requests, mean_snr_hz, schedule):
    rng = np.random.default_rng(2)
    air = make_air("ergodic")
    requests = make_requests(mean_snr_hz(rng.uniform(0.05, 0.5, 6)), rng.uniform(0, 0.2, 6), weights=rng.random(6))
    decisions, _ = schedule.decide(0.0, air, requests, (), schedule.start())
    order = rng.permutation(6)
    shuffled, _ = schedule.decide(0.0, air, [requests[i] for i in order], (), schedule.start())
    for place, i in enumerate(order):
        assert shuffled[place].client == decisions[i].client
        assert shuffled[place].point == decisions[i].point
        assert shuffled[place].bandwidth_hz == pytest.approx(decisions[i].bandwidth_hz, rel=PLANNED)


@pytest.mark.parametrize("schedule", schedules(), ids=lambda s: s.kind)
def test_places_that_are_left_share_what_is_free(make_air, make_requests, make_menu, schedule):
    """Ten places and links that are all as good: each gets the same, whether clients ask one by one or together."""
    air = make_air(places=10)
    places = {"max_rate": 3, "round_robin": 5}.get(schedule.kind, 10)
    adapts = schedule.kind in ("min_max", "tsfa", "max_rate", "deadline_aware")
    for shares, free in (((), 1.0), ((0.25, 0.35), 0.4)):
        left = places - len(shares)
        for asking in (1, left):
            requests = make_requests([1e9] * asking, menus=[make_menu(500_000, 5)] * asking)
            # those that adapt plan with the free band of their places; the others give even shares while it lasts
            share_hz = air.bandwidth_hz * (free / left if adapts else min(1 / places, free / asking))
            decisions, _ = schedule.decide(0.0, air, requests, held(air, shares), schedule.start())
            assert [d.action for d in decisions] == ["send"] * asking
            assert [d.bandwidth_hz for d in decisions] == pytest.approx([share_hz] * asking, rel=PLANNED)


@pytest.mark.parametrize("schedule", schedules(), ids=lambda s: s.kind)
def test_without_room_nobody_sends(make_air, make_requests, schedule):
    requests = make_requests([1e8] * 3)
    for places, shares in ((0, (0.5, 0.5)), (0, (0.999,)), (2, (0.1, 0.1)), (9, (0.3, 0.699))):
        air = make_air(places=places)
        decisions, state = schedule.decide(0.0, air, requests, held(air, shares), schedule.start())
        assert all(d.action != "send" and d.bandwidth_hz == 0 for d in decisions)
        assert state == schedule.start()
    assert schedule.decide(0.0, make_air(), [], (), schedule.start()) == ([], schedule.start())


@given(st.integers(1, 40), st.integers(0, 40), st.lists(st.floats(0.0, 1.0), max_size=6))
def test_room(make_air, asking, places, parts):
    air = make_air(places=places)
    in_flight = held(air, [part / max(sum(parts), 1.0) for part in parts])
    free = air.bandwidth_hz - sum(flight.bandwidth_hz for flight in in_flight)
    served, band_hz, each_hz = room(air, in_flight, asking)
    left = max(places - len(parts), 0) if places else asking
    even_hz = air.bandwidth_hz / (places or asking)
    assert 0 <= served <= min(asking, left)
    assert max(band_hz, each_hz * served) <= free + BAND * air.bandwidth_hz
    assert each_hz <= even_hz
    if not parts:
        assert served == min(asking, left)
        assert each_hz == pytest.approx(even_hz, rel=BAND)
        assert band_hz == pytest.approx(air.bandwidth_hz * served / left, rel=BAND)
    if served:  # the card: nobody gets less than a twentieth of an even share
        assert min(each_hz, band_hz / served) >= even_hz / 20 * (1 - PLANNED)
    if served < min(asking, left):  # one more would get less than that
        assert free / (served + 1) < even_hz / 20 * (1 + PLANNED)


def test_a_schedule_without_a_budget_has_no_state():
    assert set(SCHEDULES) >= {"equal", "min_max", "tsfa"}
    for schedule in (Equal(), MinMax(), MaxRate(), ChannelThreshold(), DeadlineAware(deadline_s=2.0)):
        assert (schedule.latency_budget, schedule.start()) == (None, {})
        assert schedule.observe(3.0, {}) == {}
        assert schedule.csi == "large_scale"
    for bad in (0.0, 1.5, math.nan):
        with pytest.raises(OptionError, match="kept_fraction"):
            Equal(kept_fraction=bad)


@pytest.mark.parametrize("schedule", [Equal, MinMax])
def test_a_payload_limits_what_is_sent_whatever_the_codec_calls_it(make_air, make_requests, mean_snr_hz, schedule):
    air, requests = make_air(), make_requests(mean_snr_hz(np.array([0.1, 0.4])))
    points = requests[0].menu.points
    for place in (0, len(points) // 2, len(points) - 1):
        most = points[place].bits + 0.5
        decisions, _ = schedule(payload_bits=most).decide(0.0, air, requests, (), {})
        assert {d.point for d in decisions} == {points[place]}
    decisions, _ = schedule(payload_bits=points[-1].bits, kept_fraction=points[1].kept_fraction).decide(
        0.0, air, requests, (), {}
    )
    assert {d.point for d in decisions} == {points[1]}  # both limits hold
    decisions, _ = schedule(payload_bits=points[0].bits / 2).decide(0.0, air, requests, (), {})
    assert {d.point for d in decisions} == {points[0]}  # nothing is that small
