"""Ways to share the band, where the course can be written down: slots, turns, half duplex, coverage, power control."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.erasure import IndependentLoss
from channels.fading import BlockRayleigh
from channels.linkadaptation import TruncatedShannon
from wfl_sim.radio.options import Arq, Downlink, PowerControl, Radio, Uplink

EXACT = 1e-9  # relative: what the project promises for a link of fixed rate
BAND_HZ, BLOCK_HZ, SLOT_S = 1.8e6, 180e3, 1e-3  # ten resource blocks
TX_POWER_W, EFFICIENCY, CIRCUIT_W = 0.2, 0.35, 0.1  # of `make_medium`
SCHEDULERS = ["round_robin", "proportional_fair", "max_ci"]
STEADY = Uplink(bandwidth_hz=BAND_HZ, work_conserving=False)


def band(**options):
    return Uplink(**({"bandwidth_hz": BAND_HZ, "resource_block_hz": BLOCK_HZ} | options))


def slots_for(bits, rate_bps):
    """How many whole slots so many bits take."""
    return math.ceil(bits / (rate_bps * SLOT_S) - EXACT)


def both(make_medium, radio, *asks, **options):
    """Transmissions of uploads (client, payload_bits, bandwidth_hz) that are asked for at once."""
    medium = make_medium(radio=radio, clients=max(client for client, *_ in asks) + 1, **options)
    events = [medium.uplink(*ask) for ask in asks]
    medium.env.run()
    medium.ledger.check()
    return [event.value for event in events]


# -- one client -------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin_s", [0.0, 0.0104])
@pytest.mark.parametrize(
    "uplink",
    [*(band(access="ofdma", scheduler=name) for name in SCHEDULERS), band(access="tdma"),
     band(access="tdma", work_conserving=False)],
    ids=[*SCHEDULERS, "tdma", "tdma-fixed"],
)  # fmt: skip
def test_a_lone_upload_in_slots_ends_with_the_slot_of_its_last_bit(make_medium, rate_bps, wire_bits, uplink, begin_s):
    """From the first whole slot on, with the whole band: ceil(bits / (rate slot)) slots."""
    radio = Radio(uplink=uplink)
    medium = make_medium(radio=radio)
    result = medium.env.run(medium.uplink(0, 1_234_567, BAND_HZ, begin_s=begin_s))
    first = math.ceil(begin_s / SLOT_S)
    count = slots_for(wire_bits(radio, 1_234_567), rate_bps(radio, BAND_HZ, 200.0))
    assert count > 100
    assert result.t_end_s == medium.env.now == pytest.approx((first + count) * SLOT_S, rel=EXACT)
    assert (result.t_start_s, result.air_s) == (begin_s, pytest.approx(count * SLOT_S, rel=EXACT))
    assert result.bandwidth_hz == pytest.approx(BAND_HZ, rel=EXACT)
    assert result.energy_j == pytest.approx((TX_POWER_W / EFFICIENCY + CIRCUIT_W) * count * SLOT_S, rel=EXACT)


@given(st.integers(1, 3_000_000), st.floats(0.05, 1.0))
def test_a_lone_upload_in_fdma_ends_by_arithmetic(make_medium, rate_bps, wire_bits, payload_bits, share):
    for uplink, held in ((STEADY, share), (band(), 1.0)):  # alone, it has the whole band where that is shared
        radio = Radio(uplink=uplink)
        medium = make_medium(radio=radio)
        result = medium.env.run(medium.uplink(0, payload_bits, share * BAND_HZ))
        expected_s = wire_bits(radio, payload_bits) / rate_bps(radio, held * BAND_HZ, 200.0)
        assert result.t_end_s == pytest.approx(expected_s, rel=EXACT)
        assert medium.env.now == pytest.approx(expected_s, rel=EXACT)


# -- several ----------------------------------------------------------------------------------------


def test_round_robin_over_blocks_by_hand(make_medium, rate_bps, wire_bits):
    """Ten blocks of a slot for three clients: 4 3 3, 3 4 3, 3 3 4 and again; each spreads its power over its own."""
    radio = Radio(uplink=band(access="ofdma", scheduler="round_robin"))
    payload_bits = 300_000
    asks = [(client, payload_bits, BAND_HZ) for client in range(3)]
    results = both(make_medium, radio, *asks, from_m=200.0)
    wanted, taken, left, slot, ends = wire_bits(radio, payload_bits), {}, {}, 0, {}
    left = dict.fromkeys(range(3), wanted)
    turn = 0
    while left:
        who = sorted(left)
        later = [client for client in who if client >= turn] + [client for client in who if client < turn]
        order = [later[index % len(later)] for index in range(10)]
        for client in set(order):
            hz = order.count(client) * BLOCK_HZ
            left[client] -= rate_bps(radio, hz, 200.0) * SLOT_S
            taken[client] = taken.get(client, 0.0) + hz * SLOT_S
        turn, slot = order[-1] + 1, slot + 1
        for client in [client for client in left if left[client] <= 1e-6]:
            del left[client]
            ends[client] = slot * SLOT_S
    assert [result.t_end_s for result in results] == pytest.approx([ends[c] for c in range(3)], rel=EXACT)
    for result in results:
        assert result.bandwidth_hz * result.air_s == pytest.approx(taken[result.client], rel=EXACT)


def test_tdma_gives_turns_by_the_grants(make_medium, rate_bps, wire_bits):
    """Grants of 1/2, 1/4, 1/4: every second slot is the first client's, with all its power in the whole band."""
    radio = Radio(uplink=band(access="tdma", work_conserving=False))
    payload_bits = 700_000
    asks = [(0, payload_bits, BAND_HZ / 2), (1, payload_bits, BAND_HZ / 4), (2, payload_bits, BAND_HZ / 4)]
    results = both(make_medium, radio, *asks)
    need = slots_for(wire_bits(radio, payload_bits), rate_bps(radio, BAND_HZ, 200.0))
    for result, turns in zip(results, (2, 4, 4), strict=True):
        assert result.air_s == pytest.approx(need * SLOT_S, rel=EXACT)
        assert abs(result.t_end_s / SLOT_S - turns * need) <= turns  # to within one turn
    # a slot has one sender: ends in different slots, and no more air time than there is
    assert len({round(result.t_end_s / SLOT_S) for result in results}) == 3
    conserving = both(make_medium, Radio(uplink=band(access="tdma")), *asks)
    assert max(r.t_end_s for r in conserving) == pytest.approx(3 * need * SLOT_S, rel=EXACT)  # no slot stays empty


def test_a_fixed_turn_does_not_see_who_else_sends(make_medium):
    radio = Radio(uplink=band(access="tdma", work_conserving=False))
    (alone,) = both(make_medium, radio, (0, 10**6, BAND_HZ / 2))
    beside, _ = both(make_medium, radio, (0, 10**6, BAND_HZ / 2), (1, 10**6, BAND_HZ / 2))
    assert abs(alone.t_end_s - beside.t_end_s) <= 2 * SLOT_S
    assert alone.air_s == beside.air_s


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_unicast_shares_the_downlink_and_spreads_power_over_all_of_it(make_medium, rate_bps, wire_bits, scheduler):
    """Two alike: together they take the slots of both, at the rate of the whole band; each is told of its own."""
    down = Downlink(access="unicast", scheduler=scheduler, bandwidth_hz=BAND_HZ)
    radio = Radio(downlink=down)
    medium = make_medium(radio=radio, clients=2)
    one, two = medium.downlink([0, 1], 2_000_000)
    medium.env.run()
    rate = rate_bps(radio, BAND_HZ, 200.0, "down")
    slots = 2 * wire_bits(radio, 2_000_000) / (rate * SLOT_S)
    last_s = max(one.value.t_end_s, two.value.t_end_s)
    assert slots <= last_s / SLOT_S * (1 + EXACT) and last_s / SLOT_S <= slots + 3
    snr_db = 10 * math.log10(medium.snr_hz([0], 0.0, True, "down")[0] / BAND_HZ)
    for client, event in enumerate((one, two)):
        assert (event.value.client, event.value.reached, event.value.direction) == (client, (client,), "down")
        assert event.value.snr_mean_db == pytest.approx(snr_db, abs=EXACT)  # whatever part of the band it had
        assert event.value.energy_j == 0.0
    sizes = medium.downlink([1, 0], [100_000, 3_000_000])
    medium.env.run()
    assert [event.value.payload_bits for event in sizes] == [100_000, 3_000_000]
    assert sizes[0].value.t_end_s < sizes[1].value.t_end_s


@settings(max_examples=15)
@given(
    st.sampled_from(["fdma", "ofdma", "tdma"]), st.booleans(),
    st.lists(st.floats(0.0, 0.6), max_size=3), st.sampled_from([1_000, 500_000]), st.booleans(),
)  # fmt: skip
def test_in_half_duplex_an_upload_waits_just_as_long_as_the_base_station_sends(
    make_medium, later, access, work_conserving, starts_s, down_bits, slotted_down
):
    """Its end moves by the air time of all that was sent down before it, and nothing else of it changes."""
    loss = IndependentLoss(probability=0.3, origin="interference")
    down = Downlink(access="unicast" if slotted_down else "broadcast", bandwidth_hz=10 * BAND_HZ)
    radio = Radio(
        duplex="half", uplink=band(access=access, work_conserving=work_conserving), downlink=down,
        retransmission=Arq(attempts=20),
    )  # fmt: skip

    def world(downlinks):
        medium, results = make_medium(radio=radio, clients=2, loss=loss), []
        later(medium, 0.0, lambda: medium.uplink(0, 3_000_000, BAND_HZ), results)
        for start_s in downlinks:
            later(medium, start_s, lambda: medium.downlink([1], down_bits)[0], results)
        medium.env.run()
        return next(r for r in results if r.direction == "up"), [r for r in results if r.direction == "down"]

    (calm, _), (upload, downs) = world([]), world(starts_s)
    assert calm.lost > 50
    assert (upload.packets, upload.lost, upload.sent_bits) == (calm.packets, calm.lost, calm.sent_bits)
    assert (upload.air_s, upload.energy_j) == pytest.approx((calm.air_s, calm.energy_j), rel=EXACT)
    busy_s, until_s = 0.0, 0.0
    for start_s, end_s in sorted((r.t_start_s, r.t_end_s) for r in downs):
        if start_s < upload.t_end_s:
            busy_s += max(0.0, end_s - max(start_s, until_s))
            until_s = max(until_s, end_s)
    if access == "fdma":
        assert upload.t_end_s - calm.t_end_s == pytest.approx(busy_s, abs=EXACT)
    else:  # the slot under way is sent to its end, and sending goes on with a whole slot
        assert abs(upload.t_end_s - calm.t_end_s - busy_s) <= (len(downs) + 1) * SLOT_S
        slots = (upload.t_end_s - calm.t_end_s) / SLOT_S
        assert slots == pytest.approx(round(slots), abs=1e-6)


# -- broadcast coverage, power and noise ------------------------------------------------------------


@pytest.mark.parametrize("coverage", [0.4, 0.7, 0.75, 1.0])
def test_a_broadcast_is_made_for_a_share_of_its_receivers(make_medium, rate_bps, wire_bits, coverage):
    """Of ten clients at rising distance, the rate is that of the weakest it is made for; those beyond get nothing."""
    radio = Radio(downlink=Downlink(coverage=coverage), retransmission=Arq(attempts=1))
    medium = make_medium(radio=radio, clients=10, from_m=300.0, to_m=1200.0)
    result = medium.env.run(medium.downlink(list(range(10)), 2_000_000)[0])
    served = math.ceil(10 * coverage)
    distance_m = 300.0 + 100.0 * (served - 1)
    rate = rate_bps(radio, radio.downlink.bandwidth_hz, distance_m, "down")
    assert result.t_end_s == pytest.approx(wire_bits(radio, 2_000_000) / rate, rel=EXACT)
    assert result.reached == tuple(range(served))
    assert (result.outcome, result.delivered_bits) == ("delivered", 2_000_000)


def test_who_fades_below_the_rate_of_a_broadcast_misses_packets(make_medium):
    """With fading, the weakest change from block to block: with ARQ, all get there in the end, and sooner or later."""
    reached, ends_s = {}, {}
    for coverage in (0.5, 1.0):
        radio = Radio(downlink=Downlink(coverage=coverage), retransmission=Arq(attempts=1000))
        medium = make_medium(radio=radio, clients=4, from_m=400.0, fading=BlockRayleigh(block_s=5e-3))
        result = medium.env.run(medium.downlink([0, 1, 2, 3], 1_000_000)[0])
        reached[coverage], ends_s[coverage] = result.reached, result.t_end_s
        assert (result.lost > 0) == (coverage < 1)
    assert reached[0.5] == reached[1.0] == (0, 1, 2, 3)


@pytest.mark.parametrize("access", ["fdma", "tdma", "ofdma"])
@pytest.mark.parametrize("alpha", [0.0, 0.7, 1.0])
def test_power_control_follows_its_formula(make_medium, access, alpha):
    """P = min(P_max, P0 + 10 lg M + alpha PL): SNR and energy are those of that power, at each distance."""
    control = PowerControl(p0_dbm=-110.0 if alpha == 1.0 else -60.0 if alpha else 0.0, alpha=alpha)
    uplink = band(access=access, work_conserving=False, power_control=control)
    radio, powers = Radio(uplink=uplink), []
    for distance_m in (50.0, 200.0, 800.0):
        medium = make_medium(radio=radio, from_m=distance_m)
        result = medium.env.run(medium.uplink(0, 500_000, BAND_HZ))
        loss_db = 40.0 + 35.0 * math.log10(distance_m) - 8.0  # from antenna port to antenna port
        level_dbm = control.p0_dbm + 10 * math.log10(BAND_HZ / BLOCK_HZ) + alpha * loss_db
        power_w = min(TX_POWER_W, 10 ** (level_dbm / 10 - 3))
        powers.append(power_w)
        received_dbm = 10 * math.log10(power_w) + 30 - loss_db
        noise_dbm = 10 * math.log10(1.380649e-23 * 290 * BAND_HZ) + 30 + radio.noise_figure.base_station_db
        assert result.snr_mean_db == pytest.approx(received_dbm - noise_dbm, abs=1e-9)
        assert result.energy_j == pytest.approx((power_w / EFFICIENCY + CIRCUIT_W) * result.air_s, rel=EXACT)
        assert (result.energy_j / result.air_s - CIRCUIT_W) * EFFICIENCY <= TX_POWER_W * (1 + EXACT)
        if alpha == 1.0 and power_w < TX_POWER_W:  # what arrives in a resource block is P0
            assert received_dbm - 10 * math.log10(BAND_HZ / BLOCK_HZ) == pytest.approx(control.p0_dbm, abs=1e-9)
    if alpha:
        assert min(powers) < max(powers)  # the near one is quieter


def test_power_control_in_part_of_the_band(make_medium):
    """Half the band, half the power: the density that arrives stays P0 a resource block."""
    radio = Radio(uplink=dataclasses.replace(STEADY, power_control=PowerControl(p0_dbm=-110.0)))
    results = [both(make_medium, radio, (0, 10**5, share * BAND_HZ))[0] for share in (1.0, 0.5, 0.05)]
    assert results[0].snr_mean_db == pytest.approx(results[1].snr_mean_db, abs=1e-9)
    assert results[0].snr_mean_db == pytest.approx(results[2].snr_mean_db, abs=1e-9)
    powers = [(r.energy_j / r.air_s - CIRCUIT_W) for r in results]
    assert powers == pytest.approx([powers[0], powers[0] / 2, powers[0] / 20], rel=1e-6)  # a difference of sums


@pytest.mark.parametrize("access", ["fdma", "tdma", "ofdma"])
@pytest.mark.parametrize("margin_db", [0.5, 3.0, 17.0])
def test_an_interference_margin_takes_just_so_many_decibels(make_medium, access, margin_db):
    snr_db = {}
    for margin in (0.0, margin_db):
        radio = Radio(
            uplink=band(access=access, interference_margin_db=margin),
            downlink=Downlink(interference_margin_db=2 * margin, access="broadcast" if access == "fdma" else "unicast"),
        )
        medium = make_medium(radio=radio)
        up = medium.env.run(medium.uplink(0, 100_000, BAND_HZ))
        down = medium.env.run(medium.downlink([0], 100_000)[0])
        snr_db[margin] = np.array([up.snr_mean_db, up.snr_min_db, down.snr_mean_db, down.snr_min_db])
        planned_db = 10 * math.log10(medium.snr_hz([0], 0.0, True)[0] / BAND_HZ)
        assert up.snr_mean_db == pytest.approx(planned_db, abs=1e-9)
    shift_db = snr_db[0.0] - snr_db[margin_db]
    np.testing.assert_allclose(shift_db, [margin_db, margin_db, 2 * margin_db, 2 * margin_db], atol=1e-9)


def test_a_broadcast_that_waits_past_its_deadline_ends_then(make_medium):
    medium = make_medium(clients=2, from_m=800.0)
    (long,) = medium.downlink([0, 1], 50_000_000)
    (late,) = medium.downlink([0, 1], 1000, until_s=0.5)
    medium.env.run(late)
    assert medium.env.now == pytest.approx(0.5, rel=EXACT)
    assert (late.value.outcome, late.value.reason, late.value.t_end_s) == ("dropped", "deadline", 0.5)
    assert late.value.air_s == 0.0 and late.value.packets == 0
    medium.env.run()
    assert long.value.t_end_s > 1.0 and long.value.outcome == "delivered"
    medium.ledger.check()


@pytest.mark.parametrize("access", ["fdma", "tdma", "ofdma"])
def test_a_cap_of_the_rate_holds_in_every_access(make_medium, access):
    radio = Radio(rate=TruncatedShannon(), uplink=band(access=access))
    results = both(make_medium, radio, *((client, 400_000, BAND_HZ / 3) for client in range(3)), from_m=30.0)
    last_s = max(result.t_end_s for result in results)
    assert sum(result.sent_bits for result in results) / last_s <= 2.0 * 0.92 * BAND_HZ * (1 + EXACT)
