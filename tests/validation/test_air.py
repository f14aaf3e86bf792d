"""Closed forms of queues, schedulers, repetition and link adaptation, found again through the medium."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import simpy
from scipy.integrate import quad
from scipy.special import gammainc

from channels.bler import CQI_TABLE_1, Outage
from channels.cqi import Cqi
from channels.erasure import IndependentLoss, NoLoss
from channels.fading import BlockRayleigh, NoFading
from channels.linkadaptation import Shannon, TruncatedShannon, peak_rate_bps
from channels.links import Links
from channels.mobility import Line, Static
from channels.pathloss import LogDistance
from channels.shadowing import NoShadowing
from channels.streams import Stream
from channels.tdl import TDL
from wfl_sim.radio.medium import Medium
from wfl_sim.radio.options import Arq, Downlink, Harq, Radio, Uplink

EXACT = 1e-9  # relative: sums of floats
STANDARD_ERRORS = 4.0  # a right simulator fails one such check in 16,000; the draws are fixed, so it never flickers
SLOT_S = 1e-3
TX_POWER_W, EXPONENT, REFERENCE_DB = 0.2, 3.5, 40.0
DENSITY_W_PER_HZ = 1.380649e-23 * 290 * 10**0.5  # noise figure 5 dB


def distance_m(snr_hz):
    """Where a client is whose mean P h / (N0 F) is this."""
    gain_db = 10 * math.log10(snr_hz * DENSITY_W_PER_HZ / TX_POWER_W)
    return 10 ** ((-REFERENCE_DB - gain_db) / (10 * EXPONENT))


def world(radio, clients=1, near_m=200.0, far_m=None, fading=None, loss=None, seed=1):
    stream = Stream.root(seed)
    links = Links(
        stream, clients, carrier_hz=3.5e9, path_loss=LogDistance(exponent=EXPONENT, reference_loss_db=REFERENCE_DB),
        shadowing=NoShadowing(), fading=fading or NoFading(), placement=Line(from_m=near_m, to_m=far_m or near_m),
        mobility=Static(), antenna_gain_db=0.0,
    )  # fmt: skip
    return Medium(simpy.Environment(), radio, links, loss or NoLoss(), stream.child("loss"), tx_power_w=TX_POWER_W)


def saturated(medium, clients, seconds, payload_bits=10**12):
    """Uploads of all clients that send without end, stopped after a time."""
    hz = medium.radio.uplink.bandwidth_hz / clients
    events = [medium.uplink(client, payload_bits, hz, until_s=seconds) for client in range(clients)]
    medium.env.run()
    medium.ledger.check()
    return [event.value for event in events]


# -- queue -------------------------------------------------------------------------------------------


def waits_through_the_medium(work_conserving, count, load, seed):
    """Waits and service time of packets that arrive as a Poisson process at one client, and are sent one by one."""
    radio = Radio(uplink=Uplink(bandwidth_hz=1e6, work_conserving=work_conserving), header_bits=0.0)
    medium = world(radio, near_m=100.0)
    service_s = medium.env.run(medium.uplink(0, 12_000, 1e6)).t_end_s
    gaps_s = np.random.default_rng(seed).exponential(service_s / load, count)
    waits_s = np.empty(count)

    def server():
        at_s = medium.env.now
        for index, gap_s in enumerate(gaps_s):
            at_s += gap_s
            if at_s > medium.env.now:
                yield medium.env.timeout(at_s - medium.env.now)
            waits_s[index] = medium.env.now - at_s
            yield medium.uplink(0, 12_000, 1e6)

    medium.env.run(medium.env.process(server()))
    return waits_s, gaps_s, service_s


def lindley(gaps_s, service_s):
    """W_(n+1) = max(0, W_n + S - A_(n+1)) as the height of a walk over its lowest point so far."""
    walk = np.concatenate(([0.0], np.cumsum(service_s - gaps_s[1:])))
    return walk - np.minimum.accumulate(walk)


def test_waits_are_lindleys_and_those_have_the_mean_of_m_d_1():
    """Mean wait rho D / (2 (1 - rho)), a half of D at load 1/2 (formula of Pollaczek and Khinchine).

    Wait by wait what the recursion says (Lindley 1952), and over 1e6 of them its mean within 2 %.
    """
    waits_s, gaps_s, service_s = waits_through_the_medium(False, 1500, 0.5, seed=3)
    np.testing.assert_allclose(waits_s, lindley(gaps_s, service_s), rtol=1e-6, atol=1e-9 * service_s * 1500)
    assert (waits_s > 0).mean() == pytest.approx(0.5, abs=0.07)  # P(wait) is the load
    # 1500 waits: the standard error of the mean, from 4000 runs of the recursion, is 9.6 % of it
    assert waits_s.mean() / service_s == pytest.approx(0.5, rel=STANDARD_ERRORS * 0.096)
    many = lindley(np.random.default_rng(4).exponential(2.0, 10**6), 1.0)
    assert many.mean() == pytest.approx(0.5, rel=0.02)


@pytest.mark.slow
def test_the_mean_wait_of_1e5_arrivals():
    """The same over 1e5 arrivals at the medium: within 7 % of D / 2."""
    waits_s, _, service_s = waits_through_the_medium(False, 100_000, 0.5, seed=5)
    assert waits_s.mean() == pytest.approx(service_s / 2, rel=0.07)


# -- schedulers --------------------------------------------------------------------------------------

FAINT_SNR = 1e-4  # at which log2(1 + x) is linear to within 5e-5 x max fading


def faint(scheduler, clients, spread=1.0, blocks=1, averaging_s=0.1, fading=None, seed=1):
    """A medium at so low a SNR that rates are linear in the fading; mean SNRs up to `spread` apart."""
    band_hz = 1e9
    uplink = Uplink(
        bandwidth_hz=band_hz,
        access="ofdma",
        scheduler=scheduler,
        resource_block_hz=band_hz / blocks,
        averaging_s=averaging_s,
    )
    radio = Radio(uplink=uplink, rate=Shannon(gap_db=0.0), packet_bits=10.0, header_bits=0.0)
    near_m = distance_m(FAINT_SNR * band_hz)
    return world(
        radio, clients, near_m, near_m * spread ** (1 / EXPONENT),
        fading=fading or BlockRayleigh(block_s=SLOT_S), seed=seed,
    )  # fmt: skip


def shares(results, slots, band_hz=1e9):
    """Share of all resource blocks that each client held."""
    return np.array([result.bandwidth_hz * result.air_s for result in results]) / (band_hz * slots * SLOT_S)


@pytest.mark.parametrize("clients", [2, 7])
@pytest.mark.parametrize("blocks", [1, 5])
def test_round_robin_gives_each_its_part(clients, blocks):
    """1/N of the resource blocks each, to within one block, whatever the links."""
    medium, slots = faint("round_robin", clients, spread=100.0, blocks=blocks), 70
    results = saturated(medium, clients, slots * SLOT_S)
    np.testing.assert_allclose(shares(results, slots), 1 / clients, atol=1 / (slots * blocks) + 1e-9)
    assert shares(results, slots).sum() == pytest.approx(1.0, rel=EXACT)


@pytest.mark.parametrize(("clients", "slots"), [(10, 20_000), (100, 4000)])
def test_maximum_c_over_i_gains_the_harmonic_number(clients, slots):
    """Mean SNR of the chosen = H_N times the mean for i.i.d. Rayleigh fading (Knopp and Humblet 1995).

    Rates are linear here, so bits tell SNRs. The maximum of N exponentials has the variance sum 1/k^2.
    """
    medium = faint("max_ci", clients)
    results = saturated(medium, clients, slots * SLOT_S)
    number = np.arange(1, clients + 1)
    harmonic, deviation = (1 / number).sum(), math.sqrt((1 / number**2).sum())
    single_bps = 1e9 * FAINT_SNR / math.log(2) * (1 - medium.radio.uplink.overhead)
    gain = sum(result.sent_bits for result in results) / (single_bps * slots * SLOT_S)
    assert abs(gain - harmonic) < STANDARD_ERRORS * deviation / math.sqrt(slots) + 10 * clients / (
        single_bps * slots * SLOT_S
    )
    spread = STANDARD_ERRORS * math.sqrt((1 - 1 / clients) / clients / slots)
    assert abs(shares(results, slots) - 1 / clients).max() < 1.2 * spread  # of up to 100 clients at once


@pytest.mark.parametrize("form", ["flat", "blocks"])
def test_proportional_fairness_gives_the_same_part_to_unequal_means(form):
    """1/N of the slots (or blocks) each, at mean SNRs 1000 times apart, where rates are linear.

    Viswanath, Tse and Laroia 2002. Maximum C/I gives nearly all to the nearest.
    """
    clients, slots = 4, 12_000 if form == "flat" else 6000
    blocks = 1 if form == "flat" else 6
    fading = (
        BlockRayleigh(block_s=SLOT_S) if form == "flat" else TDL(profile="A", delay_spread_s=1e-8, doppler_hz=300.0)
    )
    medium = faint("proportional_fair", clients, spread=1000.0, blocks=blocks, averaging_s=0.5, fading=fading)
    found = shares(saturated(medium, clients, slots * SLOT_S), slots)
    np.testing.assert_allclose(found, 1 / clients, atol=0.012)
    assert found.sum() == pytest.approx(1.0, rel=EXACT)
    greedy = faint("max_ci", clients, spread=1000.0, blocks=blocks, fading=fading)
    assert shares(saturated(greedy, clients, 1.0), 1000)[0] > 0.9


# -- repetition --------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_arq_over_many_packets(p):
    """Residual loss p^M, mean transmissions (1 - p^M) / (1 - p); M = 4: 1e-4 and 1.1110, .0625 and 1.8750."""
    clients, most = 20_000, 4
    radio = Radio(uplink=Uplink(bandwidth_hz=1e9, work_conserving=False), retransmission=Arq(attempts=most))
    medium = world(radio, clients, loss=IndependentLoss(probability=p, origin="interference"))
    events = [medium.uplink(client, 1000, 1e9 / clients) for client in range(clients)]
    medium.env.run()
    sent = np.array([event.value.packets for event in events])
    dropped = np.array([event.value.outcome == "dropped" for event in events])
    residual, mean = p**most, (1 - p**most) / (1 - p)
    number = np.arange(1, most + 1)
    law = np.where(number < most, p ** (number - 1) * (1 - p), p ** (most - 1))
    variance = (law * number**2).sum() - mean**2
    assert (law * number).sum() == pytest.approx(mean)
    assert abs(sent.mean() - mean) < STANDARD_ERRORS * math.sqrt(variance / clients)
    assert abs(dropped.mean() - residual) < STANDARD_ERRORS * math.sqrt(residual * (1 - residual) / clients)
    assert all(event.value.packets == most for event, is_over in zip(events, dropped, strict=True) if is_over)
    assert {event.value.reason for event in events} <= {"", "attempts"}


@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("access", ["fdma", "tdma", "ofdma"])
def test_throughput_of_arq(access, p):
    """R (1 - p), with R the rate after headers and overhead."""
    radio = Radio(
        uplink=Uplink(bandwidth_hz=1.8e6, access=access), retransmission=Arq(attempts=200), packet_bits=1000.0
    )
    medium = world(radio, near_m=60.0, loss=IndependentLoss(probability=p, origin="interference"))
    result = medium.env.run(medium.uplink(0, 8_000_000, 1.8e6))
    snr = medium.snr_hz([0], 0.0, True)[0] / 1.8e6
    rate_bps = 0.92 * 1.8e6 * math.log2(1 + snr / 10**0.3) * (680 / 1000)
    share = 8_000_000 / result.t_end_s / rate_bps
    slot = rate_bps * SLOT_S / 8e6  # an end within a slot counts as its end
    assert abs(share - (1 - p)) < STANDARD_ERRORS * math.sqrt(p * (1 - p) / result.packets) + slot
    assert result.lost == result.retransmissions == result.packets - math.ceil(8_000_000 / 680)


@pytest.mark.slow
@pytest.mark.parametrize(("combining", "rounds"), [("chase", 4), ("incremental", 2)])
def test_throughput_of_harq_over_independent_rounds(combining, rounds):
    """Mean of R (1 - P_M) over mean rounds (renewal and reward; Caire and Tuninetti 2001).

    Chase: P_m = P(m, (2^R - 1) / g). Incremental, two rounds: P(log2(1 + g_1) + log2(1 + g_2) < R) as an integral. The
    CQI comes from a SNR so old that it says nothing of the slot: each CQI with the share of time in which that SNR asks
    for it, and slots in which it asks for none are lost.
    """
    mean_snr, band_hz, delay_slots = 10.0, 1e6, 64
    rate = Cqi(bler=Outage(), outer_loop=False, delay_s=delay_slots * SLOT_S)
    radio = Radio(
        rate=rate, uplink=Uplink(bandwidth_hz=band_hz, overhead=0.0, work_conserving=False),
        retransmission=Harq(combining=combining, rounds=rounds, attempts=1000), packet_bits=100.0, header_bits=0.0,
    )  # fmt: skip
    medium = world(radio, near_m=distance_m(mean_snr * band_hz), fading=BlockRayleigh(block_s=SLOT_S), seed=7)
    slots = 8000
    result = medium.env.run(medium.uplink(0, 10**9, band_hz, begin_s=0.1, until_s=0.1 + slots * SLOT_S))

    def outage(efficiency, number):
        if combining == "chase" or number == 1:
            return float(gammainc(number, (2**efficiency - 1) / mean_snr))
        return quad(
            lambda x: math.exp(-x / mean_snr) / mean_snr * (1 - math.exp(-(2**efficiency / (1 + x) - 1) / mean_snr)),
            0.0, 2**efficiency - 1,
        )[0]  # fmt: skip

    edges = [0.0, *(2**scheme.efficiency - 1 for scheme in CQI_TABLE_1), math.inf]
    chance = [math.exp(-low / mean_snr) - math.exp(-high / mean_snr) for low, high in itertools.pairwise(edges)]
    bits, length = 0.0, chance[0]  # no CQI: one slot without anything
    for share, scheme in zip(chance[1:], CQI_TABLE_1, strict=True):
        failures = [outage(scheme.efficiency, number) for number in range(1, rounds + 1)]
        bits += share * scheme.efficiency * (1 - failures[-1])
        length += share * (1 + sum(failures[:-1]))
    # 8000 slots: 4 standard errors are 2.8 %, as six runs of 2000 tell; packets at the edge of lost blocks cost 0.2 %
    assert result.delivered_bits / (band_hz * slots * SLOT_S) == pytest.approx(bits / length, rel=0.03)


@pytest.mark.parametrize("target", [0.1, 0.3])
def test_the_outer_loop_keeps_its_target(target):
    """Long-run BLER = target for step up / down = target / (1 - target).

    Steps add up: with N blocks, F of them lost, the offset moved by N step_up - F (step_up + step_down), which is small
    as the offset is bounded. A block is far longer than a packet here, so that each lost block loses one packet.
    """
    slots, step_db, most_db = 2000, 0.5, 10.0
    radio = Radio(
        rate=Cqi(target=target, step_db=step_db), uplink=Uplink(bandwidth_hz=1e6), packet_bits=120.0, header_bits=0.0,
        retransmission=Arq(attempts=1000),
    )  # fmt: skip
    medium = world(radio, near_m=distance_m(30.0 * 1e6), fading=BlockRayleigh(block_s=0.02), seed=2)
    result = medium.env.run(medium.uplink(0, 10**9, 1e6, until_s=slots * SLOT_S))
    step_up_db = step_db * target / (1 - target)
    assert abs(result.lost / slots - target) < most_db / (slots * (step_db + step_up_db))


# -- bound -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("access", ["fdma", "tdma", "ofdma"])
def test_no_goodput_passes_the_peak_rate(access):
    """3GPP TS 38.306, clause 4.1.2: one layer, 64QAM, 106 resource blocks of 180 kHz in 20 MHz.

    Right beside the base station, with the rate model that has a cap, and none lost.
    """
    blocks = 106
    band_hz = blocks * 180e3
    radio = Radio(
        rate=TruncatedShannon(), uplink=Uplink(bandwidth_hz=band_hz, access=access),
        downlink=Downlink(bandwidth_hz=band_hz, access="broadcast" if access == "fdma" else "unicast"),
    )  # fmt: skip
    medium = world(radio, clients=3, near_m=2.0)
    results = [medium.uplink(client, 4_000_000, band_hz / 3) for client in range(3)]
    medium.env.run()
    last_s = max(event.value.t_end_s for event in results)
    assert sum(e.value.delivered_bits for e in results) / last_s <= peak_rate_bps(1, 6, 0, blocks, 0.08)
    down = medium.env.run(medium.downlink([0], 40_000_000)[0])
    goodput_bps = 40_000_000 / (down.t_end_s - down.t_start_s)
    peak_bps = peak_rate_bps(1, 6, 0, blocks, 0.14)
    assert 0.5 * peak_bps < goodput_bps <= peak_bps


def test_cqi_never_passes_the_peak_rate_without_a_cyclic_prefix():
    """CQI 15 fills the band; with a normal cyclic prefix a carrier sends 14/15 of that, 14 symbols of 1/15 ms a ms."""
    blocks = 10
    radio = Radio(rate=Cqi(), retransmission=Harq(), uplink=Uplink(bandwidth_hz=blocks * 180e3))
    medium = world(radio, near_m=2.0)
    result = medium.env.run(medium.uplink(0, 20_000_000, blocks * 180e3))
    goodput_bps = result.delivered_bits / result.t_end_s
    peak_bps = peak_rate_bps(1, 6, 0, blocks, 0.08) * 15 / 14
    assert 0.9 * peak_bps < goodput_bps <= peak_bps
