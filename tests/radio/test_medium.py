from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.erasure import IndependentLoss
from channels.fading import BlockRayleigh, Rayleigh
from channels.options import OptionError
from wfl_sim.radio.medium import BROADCAST
from wfl_sim.radio.options import Arq, NoiseFigure, Radio, Uplink

EXACT = 1e-9  # relative: what the project promises for a link of fixed rate; sums of slots in float64 leave 1e-13
REPLANNED = 1e-12  # relative: an interruption moves the sums of a transfer by a few last bits
DECIBEL = 1e-9  # dB: the mean over slots of a constant
SAMPLED = 2e-4  # relative: a slot of 1 ms at 8 Hz Doppler moves a rate by (2 pi 8 1e-3)^2 / 24 = 1e-4 at most
BAND_HZ = 2e6
FIXED = Radio(uplink=Uplink(bandwidth_hz=BAND_HZ, work_conserving=False))
SHARED = Radio(uplink=Uplink(bandwidth_hz=BAND_HZ, work_conserving=True))


class LosesAll:
    """A loss model that loses every packet to some clients."""

    kind, mean_loss, in_time = "all", 0.5, False

    def __init__(self, *clients):
        self.clients = clients

    def lost(self, stream, clients, attempts, times_s):
        return np.isin(clients, self.clients) & np.ones(np.broadcast(attempts, times_s).shape, dtype=bool)


@pytest.mark.parametrize("bandwidth_hz", [BAND_HZ / 7, BAND_HZ])
def test_an_upload_at_a_fixed_rate(make_medium, rate_bps, wire_bits, bandwidth_hz):
    medium, payload_bits = make_medium(radio=FIXED, from_m=300.0), 1_234_567
    result = medium.env.run(medium.uplink(0, payload_bits, bandwidth_hz))
    expected_s = wire_bits(FIXED, payload_bits) / rate_bps(FIXED, bandwidth_hz, 300.0)
    assert result.t_end_s == pytest.approx(expected_s, rel=EXACT)
    assert medium.env.now == pytest.approx(expected_s, rel=EXACT)
    assert result.sent_bits == wire_bits(FIXED, payload_bits)
    assert (result.client, result.direction, result.outcome, result.reached) == (0, "up", "delivered", (0,))
    assert result.bandwidth_hz == pytest.approx(bandwidth_hz, rel=EXACT)


def test_power_is_spread_over_the_granted_band(make_medium):
    narrow, wide = (make_medium(radio=FIXED) for _ in range(2))
    at_1 = narrow.env.run(narrow.uplink(0, 10**5, BAND_HZ / 2))
    at_2 = wide.env.run(wide.uplink(0, 10**5, BAND_HZ))
    halved = 10 * math.log10(2)  # twice the band takes in twice the noise
    assert at_1.snr_mean_db - at_2.snr_mean_db == pytest.approx(halved, abs=DECIBEL)
    assert at_1.snr_min_db - at_2.snr_min_db == pytest.approx(halved, abs=DECIBEL)
    # 0.2 W, 8 - 40 - 35 lg 200 = -112.536 dB, k 290 K = -203.975 dBW/Hz, noise figure 5 dB, 10 lg 2e6 = 63.010 dB
    assert at_2.snr_mean_db == pytest.approx(10 * math.log10(0.2) - 112.536 + 203.975 - 5 - 63.010, abs=2e-3)


@pytest.mark.parametrize(("grant_0", "grant_1"), [(0.5, 0.5), (0.1, 0.3)])
def test_work_conserving_schedule_by_hand(make_medium, rate_bps, wire_bits, later, grant_0, grant_1):
    medium, results = make_medium(radio=SHARED, clients=2, from_m=250.0), []
    late_s, bits_0, bits_1 = 0.25, 3_000_000, 4_000_000
    later(medium, 0.0, lambda: medium.uplink(0, bits_0, grant_0 * BAND_HZ), results)
    later(medium, late_s, lambda: medium.uplink(1, bits_1, grant_1 * BAND_HZ), results)
    medium.env.run()
    # Client 0 is alone until 0.25 s and has the whole band; then both share it as 1 : 1 or 1 : 3; whoever is left
    # when the first ends has the whole band again.
    share_0 = grant_0 / (grant_0 + grant_1)
    whole = rate_bps(SHARED, BAND_HZ, 250.0)
    rate_0 = rate_bps(SHARED, share_0 * BAND_HZ, 250.0)
    rate_1 = rate_bps(SHARED, (1 - share_0) * BAND_HZ, 250.0)
    left_0, left_1 = wire_bits(SHARED, bits_0) - late_s * whole, wire_bits(SHARED, bits_1)
    assert left_0 > 0
    both_s = min(left_0 / rate_0, left_1 / rate_1)
    left_0, left_1 = left_0 - both_s * rate_0, left_1 - both_s * rate_1
    first_s = late_s + both_s
    ends_s = {0: first_s + max(0.0, left_0) / whole, 1: first_s + max(0.0, left_1) / whole}
    assert {r.client: r.t_end_s for r in results} == pytest.approx(ends_s, rel=EXACT)
    assert len(set(ends_s.values())) == 2
    result = next(r for r in results if r.client == 0)
    held_hz = (late_s + ends_s[0] - first_s) * BAND_HZ + both_s * share_0 * BAND_HZ
    assert result.bandwidth_hz == pytest.approx(held_hz / ends_s[0], rel=EXACT)


def test_a_lone_client_has_the_whole_band_only_if_the_uplink_is_work_conserving(make_medium):
    ends_s = {}
    for radio in (SHARED, FIXED):
        for grant_hz in (BAND_HZ, BAND_HZ / 4):
            medium = make_medium(radio=radio)
            result = medium.env.run(medium.uplink(0, 10**6, grant_hz))
            ends_s[radio.uplink.work_conserving, grant_hz] = result.t_end_s
            held_hz = BAND_HZ if radio is SHARED else grant_hz
            assert result.bandwidth_hz == pytest.approx(held_hz, rel=EXACT)
    assert ends_s[True, BAND_HZ / 4] == ends_s[True, BAND_HZ] < ends_s[False, BAND_HZ / 4]
    assert ends_s[False, BAND_HZ] == pytest.approx(ends_s[True, BAND_HZ], rel=REPLANNED)


def test_without_work_conservation_others_do_not_matter(make_medium, later):
    alone = make_medium(radio=FIXED, clients=3, from_m=100.0, to_m=300.0, fading=Rayleigh(doppler_hz=10.0))
    expected = alone.env.run(alone.uplink(1, 2_000_000, BAND_HZ / 4))
    medium = make_medium(radio=FIXED, clients=3, from_m=100.0, to_m=300.0, fading=Rayleigh(doppler_hz=10.0))
    results = []
    later(medium, 0.0, lambda: medium.uplink(1, 2_000_000, BAND_HZ / 4), results)
    later(medium, 0.1, lambda: medium.uplink(0, 200_000, BAND_HZ / 2), results)
    later(medium, 0.2, lambda: medium.uplink(2, 100_000, BAND_HZ / 4), results)
    medium.env.run()
    result = next(r for r in results if r.client == 1)
    assert result.t_end_s == pytest.approx(expected.t_end_s, rel=REPLANNED)
    assert result.snr_mean_db == pytest.approx(expected.snr_mean_db, abs=DECIBEL)


def test_equal_clients_may_swap_their_numbers(make_medium, later):
    courses = []
    for first, second in ((0, 1), (1, 0)):
        medium, results = make_medium(radio=SHARED, clients=2), []
        later(medium, 0.0, lambda m=medium, c=first: m.uplink(c, 10**6, BAND_HZ / 3), results)
        later(medium, 0.0, lambda m=medium, c=second: m.uplink(c, 2 * 10**6, BAND_HZ / 2), results)
        medium.env.run()
        courses.append({r.payload_bits: (r.t_end_s, r.sent_bits, r.energy_j) for r in results})
    assert courses[0] == courses[1]


@settings(max_examples=12)
@given(st.lists(st.floats(0.0, 1.2), min_size=1, max_size=5), st.booleans())
def test_replanning_changes_nothing_for_a_lone_upload(make_medium, later, interruptions_s, work_conserving):
    radio = Radio(uplink=Uplink(bandwidth_hz=BAND_HZ, work_conserving=work_conserving), retransmission=Arq(attempts=20))

    def world():
        return make_medium(
            radio=radio,
            clients=2,
            fading=Rayleigh(doppler_hz=20.0),
            loss=IndependentLoss(probability=0.3, origin="interference"),
        )

    calm = world()
    expected = calm.env.run(calm.uplink(0, 2_000_000, BAND_HZ / 2))
    medium, results = world(), []
    later(medium, 0.0, lambda: medium.uplink(0, 2_000_000, BAND_HZ / 2), results)
    for at_s in interruptions_s:
        later(medium, at_s, lambda: medium.downlink([1], 8)[0], results)
    medium.env.run()
    result = next(r for r in results if r.direction == "up")
    assert expected.lost > 20  # so that there is something to change
    for name in ("packets", "lost", "sent_bits", "outcome", "snr_min_db"):
        assert getattr(result, name) == getattr(expected, name)
    for name in ("t_end_s", "energy_j", "snr_mean_db", "bandwidth_hz"):
        assert getattr(result, name) == pytest.approx(getattr(expected, name), rel=REPLANNED)


@pytest.mark.parametrize("start_s", [0.0, 0.0123456])
def test_the_rate_is_integrated_slot_by_slot(make_medium, rate_bps, wire_bits, later, start_s):
    fading, payload_bits = Rayleigh(doppler_hz=8.0), 4_000_000
    medium, results = make_medium(radio=FIXED, fading=fading), []
    later(medium, start_s, lambda: medium.uplink(0, payload_bits, BAND_HZ), results)
    medium.env.run()
    (result,) = results

    # the gain at the middle of each slot holds in the slot
    slot_s = FIXED.slot_s
    edges_s = np.arange(5000) * slot_s
    gain = medium.links.fading_gain(edges_s + slot_s / 2)[0]
    length_s = np.clip(edges_s + slot_s - start_s, 0.0, slot_s)
    done_bits = np.cumsum(rate_bps(FIXED, BAND_HZ, 200.0, fading_gain=gain) * length_s)
    slot = int(np.searchsorted(done_bits, wire_bits(FIXED, payload_bits)))
    over_bits = done_bits[slot] - wire_bits(FIXED, payload_bits)
    end_s = edges_s[slot] + slot_s - over_bits / rate_bps(FIXED, BAND_HZ, 200.0, fading_gain=gain[slot])
    assert result.t_end_s == pytest.approx(end_s, rel=EXACT)

    # and that is the integral of R(t), by the midpoint rule on a grid 50 times finer
    step_s = slot_s / 50
    times_s = np.arange(start_s + step_s / 2, 5.0, step_s)
    bits = np.cumsum(step_s * rate_bps(FIXED, BAND_HZ, 200.0, fading_gain=medium.links.fading_gain(times_s)[0]))
    duration_s = step_s * float(np.interp(wire_bits(FIXED, payload_bits), bits, np.arange(1, bits.size + 1)))
    assert gain[:slot].max() > 10 * gain[:slot].min()  # the link did fade
    assert result.t_end_s - start_s == pytest.approx(duration_s, rel=SAMPLED)


def test_a_broadcast_goes_at_the_weakest_receivers_rate(make_medium, rate_bps, wire_bits):
    radio, payload_bits = Radio(), 5_000_000
    medium = make_medium(radio=radio, clients=3, from_m=300.0, to_m=900.0)  # at 300, 600 and 900 m
    result = medium.env.run(medium.downlink([0, 1], payload_bits)[0])
    rate = rate_bps(radio, radio.downlink.bandwidth_hz, 600.0, "down")
    assert result.t_end_s == pytest.approx(wire_bits(radio, payload_bits) / rate, rel=EXACT)
    assert (result.client, result.direction, result.reached, result.energy_j) == (BROADCAST, "down", (0, 1), 0.0)
    before_s = medium.env.now
    everyone = medium.env.run(medium.downlink([2, 0, 1], payload_bits)[0])
    rate = rate_bps(radio, radio.downlink.bandwidth_hz, 900.0, "down")
    assert everyone.t_end_s - before_s == pytest.approx(wire_bits(radio, payload_bits) / rate, rel=EXACT)
    assert everyone.reached == (2, 0, 1)


def test_the_weakest_receiver_is_found_slot_by_slot(make_medium, rate_bps, wire_bits):
    radio, payload_bits, block_s = Radio(), 20_000_000, 0.05
    medium = make_medium(radio=radio, clients=3, from_m=500.0, fading=BlockRayleigh(block_s=block_s))
    result = medium.env.run(medium.downlink([0, 1, 2], payload_bits)[0])
    gain = medium.links.fading_gain((np.arange(400) + 0.5) * block_s)
    assert len(set(gain[:, :20].argmin(axis=0))) > 1  # no one client is the weakest all the time
    rate = rate_bps(radio, radio.downlink.bandwidth_hz, 500.0, "down", gain.min(axis=0))
    left_bits, end_s = wire_bits(radio, payload_bits), 0.0
    for block_rate in rate:
        end_s += min(block_s, left_bits / block_rate)
        left_bits -= block_s * block_rate
        if left_bits <= 0:
            break
    assert end_s > 2 * block_s
    assert result.t_end_s == pytest.approx(end_s, rel=EXACT)


def test_a_receiver_that_misses_a_packet_is_not_reached(make_medium):
    radio = Radio(retransmission=Arq(attempts=3))
    medium = make_medium(radio=radio, clients=3, loss=LosesAll(1))
    result = medium.env.run(medium.downlink([0, 1, 2], 10 * 11_680)[0])  # ten full packets
    assert (result.outcome, result.reached) == ("delivered", (0, 2))
    assert (result.packets, result.lost) == (12, 3)  # the first goes out three times; then client 1 is given up
    nobody = medium.env.run(medium.downlink([1], 10 * 11_680)[0])
    assert (nobody.outcome, nobody.reached, nobody.packets, nobody.lost) == ("dropped", (), 3, 3)
    upload = medium.env.run(medium.uplink(1, 10 * 11_680, BAND_HZ))
    assert (upload.outcome, upload.reached, upload.packets) == ("dropped", (), 3)
    assert medium.ledger.totals()["dropped_up_bits"] == medium.ledger.totals()["dropped_down_bits"] == 116_800


@pytest.mark.parametrize("distance_m", [300.0, 1e5])
def test_a_transfer_is_dropped_after_the_timeout(make_medium, rate_bps, distance_m):
    radio = Radio(uplink=FIXED.uplink, timeout_s=0.3)
    medium = make_medium(radio=radio, from_m=distance_m)
    medium.env.run(0.7)
    result = medium.env.run(medium.uplink(0, 10**8, BAND_HZ))
    assert (result.outcome, result.reason, result.reached) == (
        "partial" if distance_m < 1e4 else "dropped",
        "timeout",
        (),
    )
    assert (result.t_start_s, result.t_end_s) == (0.7, pytest.approx(1.0, rel=EXACT))
    # only packets that were sent to their end count
    whole = math.floor(0.3 * rate_bps(radio, BAND_HZ, distance_m) / radio.packet_bits)
    assert (result.packets, result.sent_bits) == (whole, whole * radio.packet_bits)
    medium.ledger.check()
    assert result.delivered_bits == whole * (radio.packet_bits - radio.header_bits)
    assert medium.ledger.totals()["dropped_up_bits"] == 10**8 - result.delivered_bits


def test_energy_is_power_times_air_time(make_medium):
    medium = make_medium(radio=FIXED)
    medium.env.run(1.5)
    result = medium.env.run(medium.uplink(0, 10**6, BAND_HZ / 3))
    drawn_w = 0.2 / 0.35 + 0.1  # transmit power over the amplifier's efficiency, and the circuit
    assert result.energy_j == pytest.approx(drawn_w * (result.t_end_s - 1.5), rel=EXACT)


@pytest.mark.parametrize("bandwidth_hz", [0.0, -1.0, math.nan, math.inf, BAND_HZ * 1.001])
@pytest.mark.parametrize("radio", [FIXED, SHARED])
def test_illegal_grants_are_refused(make_medium, radio, bandwidth_hz):
    medium = make_medium(radio=radio)
    with pytest.raises(ValueError, match=r"client 0: a bandwidth of .* cannot be granted"):
        medium.uplink(0, 1000, bandwidth_hz)
    assert medium.ledger.totals()["offered_up_bits"] == 0


@pytest.mark.parametrize("access", ["fdma", "tdma"])
def test_grants_beyond_the_band_are_refused_unless_they_are_shares(make_medium, later, access):
    """What is asked for at one instant is added up at its end: so that is when the error comes."""
    uplink = Uplink(bandwidth_hz=BAND_HZ, work_conserving=False, access=access)
    medium = make_medium(radio=Radio(uplink=uplink), clients=2)
    medium.uplink(0, 10**6, 0.7 * BAND_HZ)
    medium.uplink(1, 10**6, 0.4 * BAND_HZ)
    with pytest.raises(ValueError, match=r"client 0, 1: .* exceed the uplink band"):
        medium.env.run()
    late, results = make_medium(radio=Radio(uplink=uplink), clients=2), []
    later(late, 0.0, lambda: late.uplink(0, 10**6, 0.7 * BAND_HZ), results)
    later(late, 0.01, lambda: late.uplink(1, 10**6, 0.4 * BAND_HZ), results)
    with pytest.raises(ValueError, match=r"client 1: .* on top of 1400000.0 Hz exceed the uplink band"):
        late.env.run()
    fits = make_medium(radio=Radio(uplink=uplink), clients=2)
    fits.uplink(0, 10**6, 0.7 * BAND_HZ)
    fits.uplink(1, 10**6, 0.3 * BAND_HZ)
    fits.env.run()
    fits.ledger.check()
    shares = make_medium(radio=Radio(uplink=Uplink(bandwidth_hz=BAND_HZ, access=access)), clients=2)
    both = [shares.uplink(client, 10**6, BAND_HZ) for client in (0, 1)]
    shares.env.run()
    assert all(event.value.outcome == "delivered" for event in both)


@pytest.mark.parametrize("payload_bits", [0, -8])
def test_an_empty_transfer_is_refused(make_medium, payload_bits):
    medium = make_medium()
    with pytest.raises(ValueError, match="needs a payload"):
        medium.uplink(0, payload_bits, 1e5)
    with pytest.raises(ValueError, match="needs a payload"):
        medium.downlink([0], payload_bits)


def test_what_a_schedule_may_plan_with(make_medium, rate_bps, wire_bits):
    radio = Radio(uplink=Uplink(bandwidth_hz=BAND_HZ), noise_figure=NoiseFigure(base_station_db=7.0))
    loss = IndependentLoss(probability=0.25, origin="recorded")
    medium = make_medium(radio=radio, clients=2, from_m=150.0, to_m=450.0, fading=BlockRayleigh(block_s=10), loss=loss)
    gain = medium.links.fading_gain([3.0])[:, 0]
    snr_hz = medium.snr_hz([0, 1], 3.0, known_gain=True)
    band_hz = np.array([3e5, 8e5])
    for client, distance_m in enumerate((150.0, 450.0)):
        known = rate_bps(radio, band_hz[client], distance_m, fading_gain=gain[client])
        planned = medium.air(known_gain=True).rate_bps(band_hz, snr_hz)[client]
        assert planned == pytest.approx(0.75 * known, rel=EXACT)  # goodput: a quarter of the packets is lost
        # the ergodic rate is the mean over Exp(1), here by the midpoint rule in its distribution function
        gains = -np.log((np.arange(200_000) + 0.5) / 200_000)
        mean = rate_bps(radio, band_hz[client], distance_m, fading_gain=gains).mean()
        mean_snr_hz = medium.snr_hz([0, 1], 3.0, known_gain=False)
        ergodic = medium.air(known_gain=False).rate_bps(band_hz, mean_snr_hz)[client]
        assert ergodic == pytest.approx(0.75 * mean, rel=1e-5)  # the midpoint rule's error at the ends
    band_hz = radio.downlink.bandwidth_hz
    rates = [rate_bps(radio, band_hz, d, "down", g) for d, g in ((150.0, gain[0]), (450.0, gain[1]))]
    known = medium.air(True, "down")
    assert (known.bandwidth_hz, known.overhead, known.loss) == (band_hz, radio.downlink.overhead, 0.25)
    expected_s = [wire_bits(radio, 10**6) / (0.75 * rate) for rate in rates]
    medium.env.run(3.0)
    assert medium.downlink_estimate_s(medium.snr_hz([0, 1], 3.0, True, "down"), [10**6] * 2, True) == pytest.approx(
        expected_s, rel=EXACT
    )


def test_options_out_of_range():
    with pytest.raises(OptionError, match="header_bits"):
        Radio(packet_bits=100.0, header_bits=100.0)
    with pytest.raises(OptionError, match="attempts"):
        Arq(attempts=0)
