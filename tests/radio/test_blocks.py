"""The medium where blocks can be lost: slots, HARQ, the outer loop, and packets that fail with their blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.bler import CQI_TABLE_1, Outage
from channels.cqi import Cqi
from channels.erasure import IndependentLoss
from channels.fading import Rayleigh
from channels.harq import BlockLink, LinkState, effective
from channels.linkadaptation import Shannon, TruncatedShannon
from channels.streams import Stream
from channels.tdl import TDL
from wfl_sim.radio.medium import Medium
from wfl_sim.radio.options import Arq, Harq, Radio, Uplink

BAND_HZ, TX_POWER_W, SEED = 1e6, 0.2, 1
DELAY_SLOTS = 4  # of 1 ms: how old the SNR is that `cqi` knows by default
EXACT = 1e-9  # relative: sums of floats
FIXED = Uplink(bandwidth_hz=BAND_HZ, work_conserving=False)
SHARED = Uplink(bandwidth_hz=BAND_HZ)
FADING = Rayleigh(doppler_hz=15.0)


def radio(rate=None, retransmission=None, uplink=FIXED, **options):
    return Radio(rate=rate or Cqi(), retransmission=retransmission or Harq(), uplink=uplink, **options)


def facts(result):
    return {name: getattr(result, name) for name in ("t_end_s", "packets", "lost", "sent_bits", "outcome", "reached")}


def test_a_steady_link_sends_one_block_a_slot(make_medium, wire_bits):
    """Without fading, and with blocks that come through if the SNR carries them, everything can be counted."""
    air = radio(Cqi(bler=Outage(), outer_loop=False))
    medium = make_medium(radio=air)
    snr = medium.snr_hz([0], 0.0, True)[0] / BAND_HZ
    block_bits = float(air.rate.efficiency(snr)) * BAND_HZ * (1 - air.uplink.overhead) * air.slot_s
    result = medium.env.run(medium.uplink(0, 10**6, BAND_HZ))
    slots = np.ceil(wire_bits(air, 10**6) / block_bits)
    assert result.t_end_s == pytest.approx(slots * air.slot_s, rel=EXACT)
    assert (result.lost, result.outcome, result.bandwidth_hz) == (0, "delivered", pytest.approx(BAND_HZ))
    assert result.snr_mean_db == pytest.approx(10 * np.log10(snr), abs=1e-9)


def test_the_first_block_of_a_transfer_is_what_is_left_of_the_slot(make_medium, later, wire_bits):
    air = radio(Cqi(bler=Outage(), outer_loop=False))
    medium, results = make_medium(radio=air), []
    later(medium, 0.0104, lambda: medium.uplink(0, 10**5, BAND_HZ), results)
    medium.env.run()
    snr = medium.snr_hz([0], 0.0, True)[0] / BAND_HZ
    bits = float(air.rate.efficiency(snr)) * BAND_HZ * (1 - air.uplink.overhead) * air.slot_s
    slots = np.ceil(wire_bits(air, 10**5) / bits - 0.6)
    assert results[0].t_end_s == pytest.approx(0.011 + slots * air.slot_s, rel=EXACT)


@pytest.mark.parametrize("combining", ["chase", "incremental"])
def test_harq_repairs_what_arq_of_packets_cannot(make_medium, combining):
    """Packets span dozens of blocks of which a tenth is lost at first."""
    ends = {}
    for retransmission in (Arq(attempts=4), Harq(combining=combining, attempts=20)):
        medium = make_medium(radio=radio(retransmission=retransmission), from_m=400.0, fading=FADING)
        ends[retransmission.kind] = medium.env.run(medium.uplink(0, 10**6, BAND_HZ / 10))
    assert (ends["arq"].outcome, ends["arq"].reason) == ("partial", "attempts")  # a few packets had come through
    assert 0 < ends["arq"].delivered_bits < 10**6
    assert ends["harq"].outcome == "delivered"
    assert ends["harq"].lost < 0.3 * ends["harq"].packets


def test_one_lost_block_loses_every_packet_with_a_part_in_it(make_medium):
    """Slots of dozens of packets: the head of a lost block is lost once, and sent again in the next block."""
    air = radio(retransmission=Harq(rounds=1, attempts=50), packet_bits=200.0, header_bits=20.0)
    medium = make_medium(radio=air, fading=FADING)
    result = medium.env.run(medium.uplink(0, 2_000_000, BAND_HZ))
    assert result.outcome == "delivered"
    slots = result.t_end_s / air.slot_s
    assert result.lost / slots == pytest.approx(0.1, abs=0.06)  # of the blocks the outer loop lets a tenth be lost


def test_an_erasure_acts_once_a_packet_on_top(make_medium):
    air = radio(Cqi(bler=Outage(), outer_loop=False), Harq(attempts=1000))
    loss = IndependentLoss(probability=0.3, origin="backhaul")
    medium = make_medium(radio=air, loss=loss)
    result = medium.env.run(medium.uplink(0, 20_000_000, BAND_HZ))
    assert result.lost / result.packets == pytest.approx(0.3, abs=4.5 * np.sqrt(0.21 / result.packets))


@settings(max_examples=8)
@given(st.lists(st.floats(0.0, 1.2), min_size=1, max_size=4), st.booleans())
def test_replanning_changes_nothing_for_a_lone_upload(make_medium, later, interruptions_s, work_conserving):
    """Neither what is sent nor when it ends: a block under way is no state that settling may touch."""
    air = radio(uplink=SHARED if work_conserving else FIXED, retransmission=Harq(rounds=2, attempts=20))

    def world():
        return make_medium(radio=air, clients=2, from_m=300.0, fading=FADING)

    calm = world()
    expected = calm.env.run(calm.uplink(0, 4_000_000, BAND_HZ / 2))
    medium, results = world(), []
    later(medium, 0.0, lambda: medium.uplink(0, 4_000_000, BAND_HZ / 2), results)
    for at_s in interruptions_s:
        later(medium, at_s, lambda: medium.downlink([1], 8)[0], results)
    medium.env.run()
    result = next(r for r in results if r.direction == "up")
    assert expected.lost > 5  # so that there is something to change
    assert facts(result) == facts(expected) | {"t_end_s": pytest.approx(expected.t_end_s, rel=EXACT)}
    assert result.snr_mean_db == pytest.approx(expected.snr_mean_db, abs=1e-6)


def test_a_grant_that_changes_begins_a_new_block(make_medium, later):
    """The band doubles in the midst of a slot: the rest of that slot carries a block in the whole band."""
    air = radio(Cqi(bler=Outage(), outer_loop=False), uplink=SHARED)
    medium, results = make_medium(radio=air, clients=2, from_m=100.0), []  # the highest CQI in any band
    bits = CQI_TABLE_1[-1].efficiency * BAND_HZ * (1 - air.uplink.overhead) * air.slot_s  # of a whole slot
    later(medium, 0.0, lambda: medium.uplink(0, 10**6, BAND_HZ / 2), results)
    later(medium, 0.0304, lambda: medium.uplink(1, 10**6, BAND_HZ / 2), results)
    medium.env.run()
    first = results[0]
    packets = first.sent_bits
    # 30 slots alone, 0.6 of a slot and whole slots in half the band: 0.4 of slot 30 are given up
    left = packets - 30 * bits - 0.6 * bits / 2
    assert first.t_end_s == pytest.approx(0.031 + np.ceil(left / (bits / 2)) * air.slot_s, rel=EXACT)
    medium.ledger.check()


def test_what_others_do_moves_no_draw(make_medium, later):
    """In a band of its own, a client's blocks are decoded the same whoever else sends."""
    alone = make_medium(radio=radio(), clients=3, from_m=100.0, to_m=500.0, fading=FADING)
    expected = alone.env.run(alone.uplink(1, 1_000_000, BAND_HZ / 4))
    medium, results = make_medium(radio=radio(), clients=3, from_m=100.0, to_m=500.0, fading=FADING), []
    later(medium, 0.0, lambda: medium.uplink(1, 1_000_000, BAND_HZ / 4), results)
    later(medium, 0.1234, lambda: medium.uplink(0, 200_000, BAND_HZ / 2), results)
    later(medium, 0.2, lambda: medium.downlink([2, 0], 500_000)[0], results)
    medium.env.run()
    result = next(r for r in results if r.client == 1)
    assert facts(result) == facts(expected) | {"t_end_s": pytest.approx(expected.t_end_s, rel=EXACT)}


def test_a_broadcast_reaches_each_receiver_for_itself(make_medium):
    medium = make_medium(radio=radio(retransmission=Harq(rounds=1, attempts=2)), clients=3, from_m=700.0, fading=FADING)
    result = medium.env.run(medium.downlink([0, 1, 2], 4_000_000)[0])
    assert result.lost > 0 and result.client == -1
    again = medium.env.run(medium.downlink([0, 1, 2], 3_000)[0])
    assert again.t_start_s == result.t_end_s


def slots_of(medium, clean, first, state, wanted_bits):
    """The walk of a lone client that has the whole band, from a slot on, straight from the links and the draws."""
    air, slots = medium.radio, np.arange(first, first + 4000)

    def snr(at):
        gain = medium.links.gain(
            (np.maximum(at, 0) + 0.5) * air.slot_s, [0], offsets_hz=medium.links.offsets_hz(BAND_HZ)
        )
        noise_w = 1.380649e-23 * 290 * 10 ** (air.noise_figure.base_station_db / 10) * BAND_HZ
        return TX_POWER_W * gain.reshape(1, slots.size, -1) / noise_w

    symbols = np.full(slots.size, BAND_HZ * (1 - air.uplink.overhead) * air.slot_s)
    draws = Stream.root(SEED).child("loss").child("up").child("blocks").uniform([[0]], slots)
    return clean.carry(state, snr(slots - DELAY_SLOTS), snr(slots), symbols, draws, wanted_bits)


def test_the_outer_loop_outlives_a_transfer(make_medium, wire_bits):
    """A second upload goes on from the offset that the first has left, and not from none."""
    air = radio(Cqi(), Harq(rounds=64))
    medium = make_medium(radio=air, fading=FADING, seed=SEED)
    clean = BlockLink.of(air.rate, air.retransmission.rounds, air.retransmission.combining)
    passages, slot, state = [], 0, LinkState()
    for _ in range(2):
        result = medium.env.run(medium.uplink(0, 1_000_000, BAND_HZ))
        assert result.lost == 0  # all that was lost was repaired by HARQ, so that bits tell when the end is
        passage = slots_of(medium, clean, slot, state, wire_bits(air, 1_000_000) - 1e-6)
        slot, state = slot + passage.bits.size, LinkState(float(passage.offset_db[-1]))
        assert result.t_end_s == pytest.approx(slot * air.slot_s, rel=EXACT)
        passages.append(passage)
    forgetful = slots_of(medium, clean, passages[0].bits.size, LinkState(), wire_bits(air, 1_000_000) - 1e-6)
    assert forgetful.sent.tolist() != passages[1].sent.tolist()


@pytest.mark.parametrize("distance_m", [300.0, 1e5])
def test_a_transfer_is_dropped_after_the_timeout(make_medium, distance_m):
    air = radio(timeout_s=0.30037)
    medium = make_medium(radio=air, from_m=distance_m)
    medium.env.run(0.7)
    result = medium.env.run(medium.uplink(0, 10**8, BAND_HZ))
    assert (result.t_end_s, result.reason, result.reached) == (pytest.approx(1.00037, rel=EXACT), "timeout", ())
    assert (result.packets > 0) == (result.outcome == "partial") == (distance_m < 1e4)
    served = result.packets - result.lost
    assert result.delivered_bits == served * (air.packet_bits - air.header_bits)
    assert result.bandwidth_hz == pytest.approx(BAND_HZ, rel=EXACT)  # all of the time counts
    medium.ledger.check()


def test_an_older_report_loses_more_and_sends_less(make_medium):
    ends_s = []
    for delay_s in (0.0, 0.004, 0.02):
        medium = make_medium(radio=radio(Cqi(delay_s=delay_s)), fading=FADING)
        ends_s.append(medium.env.run(medium.uplink(0, 4_000_000, BAND_HZ)).t_end_s)
    assert ends_s == sorted(ends_s) and ends_s[2] > 1.05 * ends_s[0]


def test_truncated_shannon_has_a_rate_for_each_direction(make_medium, wire_bits):
    air = Radio(rate=TruncatedShannon(), uplink=FIXED)
    medium = make_medium(radio=air, from_m=50.0)  # at the cap in both
    up = medium.env.run(medium.uplink(0, 10**6, BAND_HZ))
    assert up.t_end_s == pytest.approx(wire_bits(air, 10**6) / (0.92 * 2.0 * BAND_HZ), rel=EXACT)
    down = medium.env.run(medium.downlink([0], 10**6)[0])
    assert down.t_end_s - down.t_start_s == pytest.approx(wire_bits(air, 10**6) / (0.86 * 4.4 * 10e6), rel=EXACT)
    planned = medium.air(known_gain=True).rate_bps(np.array([BAND_HZ]), medium.snr_hz([0], 0.0, True))
    assert planned == pytest.approx(0.92 * 2.0 * BAND_HZ)
    estimate = medium.downlink_estimate_s(medium.snr_hz([0], 0.0, True, "down"), [10**6], known_gain=True)
    assert estimate == pytest.approx(down.t_end_s - down.t_start_s, rel=EXACT)


@pytest.mark.parametrize("rate", [Shannon(), TruncatedShannon(), Cqi()], ids=lambda rate: rate.kind)
def test_plans_are_near_what_happens(make_medium, rate, wire_bits):
    """Mean rate over the fading, at SNRs below the caps, where planning claims no mere bound."""
    air = radio(rate, Harq() if rate.kind == "cqi" else Arq())
    medium = make_medium(radio=air, from_m=500.0, fading=Rayleigh(doppler_hz=5.0))
    result = medium.env.run(medium.uplink(0, 10_000_000, BAND_HZ))
    planned = medium.air(known_gain=False).rate_bps(np.array([BAND_HZ]), medium.snr_hz([0], 0.0, False))[0]
    assert wire_bits(air, 10_000_000) / result.t_end_s == pytest.approx(planned, rel=0.25)


class Selective:
    """Links whose gain rises over the band, and is not the same in both directions."""

    reciprocal = False

    def __init__(self, links):
        self._links, self.asked, self.clients = links, set(), links.clients

    def fading_of(self, direction):
        return self._links.fading

    def offsets_hz(self, bandwidth_hz):
        return np.array([-0.25, 0.25]) * bandwidth_hz

    def gain(self, times_s, clients=None, *, direction="up", offsets_hz=None):
        self.asked.add((direction, None if offsets_hz is None else tuple(offsets_hz)))
        gain = self._links.gain(times_s, clients) * (1.0 if direction == "up" else 2.0)
        return gain if offsets_hz is None else gain[..., None] * np.array([0.5, 1.5])

    def large_scale_db(self, *asked, **options):
        return self._links.large_scale_db(*asked, **options)


@pytest.mark.parametrize("rate", [Shannon(), Cqi(bler=Outage(), outer_loop=False)], ids=lambda rate: rate.kind)
def test_a_band_that_is_not_flat(make_medium, wire_bits, rate):
    air = radio(rate, Arq())
    flat = make_medium(radio=air, clients=2, from_m=300.0)
    links = Selective(flat.links)
    medium = Medium(flat.env, air, links, flat.loss, Stream.root(SEED), tx_power_w=TX_POWER_W)
    snr = medium.snr_hz([0], 0.0, True)[0] / BAND_HZ
    assert snr == pytest.approx(flat.snr_hz([0], 0.0, True)[0] / BAND_HZ, rel=EXACT)  # 0.5 and 1.5: the mean is 1
    result = medium.env.run(medium.uplink(0, 10**6, BAND_HZ))
    if rate.kind == "shannon":
        efficiency = rate.efficiency(snr * np.array([0.5, 1.5])).mean()
        assert result.t_end_s == pytest.approx(wire_bits(air, 10**6) / (0.92 * BAND_HZ * efficiency), rel=EXACT)
    else:
        band = snr * np.array([[0.5, 1.5]])
        met = [float(effective(band, scheme)[0]) for scheme in CQI_TABLE_1]  # that each CQI would see
        sent = max(s.efficiency for s, g in zip(CQI_TABLE_1, met, strict=True) if np.log2(1 + g) >= s.efficiency)
        slots = np.ceil(wire_bits(air, 10**6) / (0.92 * BAND_HZ * air.slot_s * sent))
        assert result.t_end_s == pytest.approx(slots * air.slot_s, rel=EXACT)
    assert result.snr_mean_db == pytest.approx(10 * np.log10(snr), abs=1e-9)
    down = medium.env.run(medium.downlink([0, 1], 10**6)[0])
    snr_db = 10 * np.log10(2.0 * flat.snr_hz([0], 0.0, True)[0])  # twice the gain, other power, noise and band
    figures_db = air.noise_figure.base_station_db - air.noise_figure.client_db
    ratio_db = air.downlink.tx_power_dbm - 30 - 10 * np.log10(TX_POWER_W) + figures_db
    assert down.snr_mean_db == pytest.approx(snr_db + ratio_db - 10 * np.log10(10e6), abs=1e-9)
    assert {(d, offsets) for d, offsets in links.asked} == {
        ("up", (-0.25 * BAND_HZ, 0.25 * BAND_HZ)), ("down", (-2.5e6, 2.5e6))
    }  # fmt: skip


def test_blocks_over_a_selective_channel_come_to_the_same_as_their_slots(make_medium):
    """Through the medium: EESM of each slot's band sets the CQI and decides the block, and HARQ repairs it."""
    fading = TDL(profile="C", delay_spread_s=1e-6, doppler_hz=15.0)
    air = radio(Cqi(), Harq(attempts=20))
    medium = make_medium(radio=air, from_m=300.0, fading=fading, seed=SEED)
    result = medium.env.run(medium.uplink(0, 1_000_000, BAND_HZ))
    assert result.outcome == "delivered"
    assert medium.links.offsets_hz(BAND_HZ).size > 1
    clean = BlockLink.of(air.rate, air.retransmission.rounds, air.retransmission.combining)
    passage = slots_of(medium, clean, 0, LinkState(), result.sent_bits - 1e-6)
    assert passage.bits.size == round(result.t_end_s / air.slot_s)
    assert passage.failed.any() and not passage.lost.any()  # all that was lost was repaired, so packets flow on
    assert passage.bits[:-1].sum() < result.sent_bits <= passage.bits.sum() + 1e-6
    flat = make_medium(radio=air, from_m=300.0, fading=FADING)
    assert flat.env.run(flat.uplink(0, 1_000_000, BAND_HZ)).t_end_s != pytest.approx(result.t_end_s, rel=0.01)
