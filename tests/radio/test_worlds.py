"""Laws of every world: books balance, time goes on, no result depends on who asked first or on when it is woken."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.bler import Outage
from channels.cqi import Cqi
from channels.erasure import GilbertElliott, IndependentLoss, NoLoss
from channels.fading import BlockRayleigh, NoFading, Rayleigh
from wfl_sim.radio.access import Job
from wfl_sim.radio.fdma import FixedShares
from wfl_sim.radio.onebyone import EachAlone
from wfl_sim.radio.options import Arq, Downlink, Harq, PowerControl, Radio, Uplink

BAND_HZ, CLIENTS = 2e6, 4
CLOCK = 1e-9  # relative: an end is planned in floats and reached by adding a delay to the time of the plan
LAST_BITS = 1e-9  # relative: settling in between adds a transfer's sums up in other parts
TX_POWER_W, EFFICIENCY, CIRCUIT_W = 0.2, 0.35, 0.1  # of `make_medium`

UPLINKS = [
    *(Uplink(bandwidth_hz=BAND_HZ, work_conserving=kept) for kept in (True, False)),
    *(Uplink(bandwidth_hz=BAND_HZ, access="ofdma", scheduler=name, averaging_s=0.02)
      for name in ("round_robin", "proportional_fair", "max_ci")),
    *(Uplink(bandwidth_hz=BAND_HZ, access="tdma", work_conserving=kept) for kept in (True, False)),
]  # fmt: skip
LOSSES = [
    NoLoss(),
    IndependentLoss(probability=0.3, origin="interference"),
    GilbertElliott(p=0.1, r=0.3, e_good=0.05, e_bad=0.8, step_s=2e-3, origin="backhaul"),
]
# times that clash often, and times that do not
GAPS = st.sampled_from([0.0, 0.0, 0.01, 0.0104]) | st.floats(0.0, 0.05)
SIZES = st.sampled_from([1, 11_680, 11_681]) | st.integers(1, 150_000)
UPLOAD = st.tuples(GAPS, GAPS, SIZES, st.floats(0.05, 1.0), st.sampled_from([math.inf, math.inf, 0.0004, 0.03]))
DOWN = st.tuples(GAPS, st.sets(st.integers(0, CLIENTS - 1), min_size=1), SIZES, st.sampled_from([math.inf, 0.02]))


@dataclasses.dataclass(frozen=True)
class World:
    """What happens: the radio, the links, and what each client and the base station ask for."""

    radio: Radio
    fading: object
    loss: object
    uploads: tuple
    downs: tuple


@st.composite
def worlds(draw):
    uplink = draw(st.sampled_from(UPLINKS))
    uplink = dataclasses.replace(
        uplink, power_control=draw(st.sampled_from([None, PowerControl(p0_dbm=-95.0, alpha=0.9)]))
    )
    blocks = draw(st.integers(0, 3)) == 0
    down = Downlink(
        access=draw(st.sampled_from(["broadcast", "unicast"])),
        scheduler=draw(st.sampled_from(["round_robin", "proportional_fair", "max_ci"])),
        coverage=draw(st.sampled_from([1.0, 0.6])),
    )
    attempts = draw(st.integers(1, 4))
    options = {"rate": Cqi(bler=Outage()), "retransmission": Harq(rounds=2, attempts=attempts)} if blocks else {}
    radio = Radio(**{
        "uplink": uplink, "downlink": down, "duplex": draw(st.sampled_from(["full", "half"])),
        "retransmission": Arq(attempts=attempts), "timeout_s": draw(st.sampled_from([0.04, 600.0])), **options,
    })  # fmt: skip
    return World(
        radio,
        draw(st.sampled_from([NoFading(), BlockRayleigh(block_s=0.004), Rayleigh(doppler_hz=40.0)])),
        draw(st.sampled_from(LOSSES)),
        tuple(draw(st.lists(st.lists(UPLOAD, max_size=2).map(tuple), min_size=1, max_size=CLIENTS))),
        tuple(draw(st.lists(DOWN, max_size=3))),
    )


def play(make_medium, world, backwards=False):
    """All that a world yields, by who asked for it: (direction, client, number). Watches books and clock on the way."""
    medium = make_medium(
        radio=world.radio, clients=CLIENTS, from_m=100.0, to_m=500.0, fading=world.fading, loss=world.loss
    )
    env, found, order = medium.env, {}, []

    def note(key, transmission):
        assert transmission.t_end_s == pytest.approx(env.now, rel=CLOCK)
        found[key] = transmission
        order.append((transmission.direction, transmission.t_end_s))

    def client(number, uploads):
        for index, (gap_s, begin_s, bits, share, until_s) in enumerate(uploads):
            yield env.timeout(gap_s)
            begin_s += env.now
            event = medium.uplink(
                number, bits, share * BAND_HZ / CLIENTS, begin_s=begin_s, until_s=begin_s + until_s, reason="left"
            )
            note(("up", number, index), (yield event))

    def base():
        for index, (gap_s, clients, bits, until_s) in enumerate(world.downs):
            yield env.timeout(gap_s)
            events = medium.downlink(sorted(clients), bits, until_s=env.now + until_s)
            for event in events:
                transmission = yield event
                found["down", transmission.client, index] = transmission

    starts = [lambda k=k, u=u: client(k, u) for k, u in enumerate(world.uploads)] + [base]
    for start in reversed(starts) if backwards else starts:
        env.process(start())
    while env.peek() < math.inf:
        before_s = env.now
        env.step()
        assert env.now >= before_s
        medium.ledger.check()
    for direction in ("up", "down"):
        ends_s = [end_s for way, end_s in order if way == direction]
        assert all(later >= sooner * (1 - CLOCK) for sooner, later in itertools.pairwise(ends_s))
        books, here = medium.ledger.totals(), [r for r in found.values() if r.direction == direction]
        assert books[f"in_flight_{direction}_bits"] == 0
        assert books[f"delivered_{direction}_bits"] == sum(r.delivered_bits for r in here)
        assert books[f"offered_{direction}_bits"] == sum(r.payload_bits for r in here)
    asked = sum(map(len, world.uploads)) + sum(
        1 if world.radio.downlink.access == "broadcast" else len(clients) for _, clients, *_ in world.downs
    )
    assert len(found) == asked
    return found


@settings(max_examples=80)
@given(worlds())
def test_books_balance_and_every_transmission_makes_sense(make_medium, world):
    radio = world.radio
    room = radio.packet_bits - radio.header_bits
    found = play(make_medium, world)
    for (direction, client, index), r in found.items():
        up = direction == "up"
        assert r.t_request_s <= r.t_start_s <= r.t_end_s
        assert r.t_end_s - r.t_start_s <= radio.timeout_s * (1 + CLOCK)
        limit_s = world.uploads[client][index][4] if up else world.downs[index][3]
        assert r.t_end_s - r.t_request_s <= limit_s * (1 + CLOCK) + 1e-12
        assert 0.0 <= r.air_s <= (r.t_end_s - r.t_start_s) * (1 + CLOCK) + 1e-12
        assert 0 <= r.delivered_bits <= r.payload_bits
        assert (r.outcome == "delivered") == (r.reason == "") == bool(r.reached) == (r.delivered_bits == r.payload_bits)
        assert (r.outcome == "dropped") == (r.delivered_bits == 0)
        assert r.reason in {"", "attempts", "timeout", "left" if up else "deadline"}
        assert 0 <= r.retransmissions <= r.lost <= r.packets
        if r.client >= 0:  # to one receiver: what was not lost came through
            served = r.packets - r.lost
            whole = math.ceil(r.payload_bits / room)
            assert served == whole if r.outcome == "delivered" else r.delivered_bits == served * room
            assert r.packets <= whole * radio.retransmission.attempts
            fixed = served * radio.packet_bits + r.lost * radio.packet_bits
            assert r.sent_bits <= fixed
            if r.reason == "attempts":  # the last loss is not made good
                assert r.retransmissions == r.lost - 1 and r.lost >= radio.retransmission.attempts
            elif r.outcome == "delivered":
                assert r.retransmissions == r.lost
            else:  # a packet may have been lost and its repetition not sent to the end
                assert r.lost - r.retransmissions in (0, 1)
        if r.air_s > 0:
            assert r.snr_min_db <= r.snr_mean_db + 1e-9
            band_hz = radio.uplink.bandwidth_hz if up else radio.downlink.bandwidth_hz
            assert 0 < r.bandwidth_hz <= band_hz * (1 + CLOCK)
        most_j = (TX_POWER_W / EFFICIENCY + CIRCUIT_W) * r.air_s
        if not up:
            assert r.energy_j == 0.0
        elif radio.uplink.power_control is None:
            assert r.energy_j == pytest.approx(most_j, rel=CLOCK)
        else:
            assert CIRCUIT_W * r.air_s <= r.energy_j * (1 + CLOCK) and r.energy_j <= most_j * (1 + CLOCK)
    ups = [r for r in found.values() if r.direction == "up"]
    if ups:  # no more band was used than there is
        used = sum(r.bandwidth_hz * r.air_s for r in ups)
        span_s = max(r.t_end_s for r in ups) - min(r.t_start_s for r in ups)
        assert used <= BAND_HZ * span_s * (1 + CLOCK) + 1e-6


@settings(max_examples=60)
@given(worlds())
def test_who_asks_first_at_an_instant_changes_no_result(make_medium, world):
    """Bit for bit, whoever is first at instants at which several ask."""
    forwards, backwards = play(make_medium, world), play(make_medium, world, backwards=True)
    assert repr(sorted(forwards.items())) == repr(sorted(backwards.items()))


def drive(medium, asks, settled_s, direction="up"):
    """Let an access go by itself, as its contract says, and settle it at further times too.

    One that knows ends in advance is told of its transfers one by one, or of all of them at once.
    """
    access = medium._lines[direction].access  # what the medium itself does with it, without its clock
    jobs = [
        Job(
            clients=(client,), payload_bits=bits, bandwidth_hz=share * BAND_HZ / CLIENTS, t_request_s=at_s,
            begin_s=at_s, until_s=at_s + until_s, reason="deadline", client=client, done=medium.env.event(),
        )
        for client, (at_s, bits, share, until_s) in enumerate(asks)
    ]  # fmt: skip
    if isinstance(access, (FixedShares, EachAlone)):
        told = [jobs] if settled_s else [[job] for job in jobs]
        return [transmission for part in told for _, transmission in access.plan(part)]
    pending = sorted(jobs, key=lambda job: (job.begin_s, job.clients))
    extra, ended = sorted(settled_s), []
    for _ in range(100_000):
        times = [pending[0].begin_s if pending else math.inf, extra[0] if extra else math.inf, access.next_s()]
        now_s = min(times)
        if now_s == math.inf:
            return ended
        for _, transmission in access.settle(now_s):
            assert transmission.t_end_s <= now_s
            ended.append(transmission)
        extra = [time_s for time_s in extra if time_s > now_s]
        begin = [job for job in pending if job.begin_s == now_s]
        if begin:
            pending = pending[len(begin) :]
            access.add(begin)
    raise AssertionError("it goes on for ever")


@settings(max_examples=100)
@given(
    st.sampled_from(UPLINKS),
    st.sampled_from(["chunk", "chunk", "packet", "blocks"]),
    st.sampled_from(LOSSES),
    st.lists(
        st.tuples(GAPS, st.integers(1, 150_000), st.floats(0.1, 1.0), st.sampled_from([math.inf, 0.03])),
        min_size=1, max_size=CLIENTS,
    ),
    st.lists(GAPS | st.floats(0.0, 0.4), max_size=8),
    st.integers(1, 4),
)  # fmt: skip
def test_when_and_how_often_it_is_woken_changes_nothing(make_medium, uplink, how, loss, asks, settled_s, attempts):
    options = {"retransmission": Arq(attempts=attempts)}
    if how == "blocks":
        options = {"rate": Cqi(bler=Outage()), "retransmission": Harq(rounds=2, attempts=attempts)}
    radio = Radio(
        uplink=uplink, fidelity="packet" if how == "packet" and uplink.access == "fdma" else "chunk", **options
    )
    fading = Rayleigh(doppler_hz=40.0)
    calm, woken = (
        drive(
            make_medium(radio=radio, clients=CLIENTS, from_m=100.0, to_m=400.0, fading=fading, loss=loss), asks, times_s
        )
        for times_s in ([], settled_s)
    )  # fmt: skip
    assert len(calm) == len(woken) == len(asks)
    by_client = {transmission.client: transmission for transmission in woken}
    for expected in calm:
        for name, value in expected._asdict().items():
            got = getattr(by_client[expected.client], name)
            if isinstance(value, float):
                assert got == pytest.approx(value, rel=LAST_BITS, abs=LAST_BITS, nan_ok=True), name
            else:
                assert got == value, name


@given(st.sampled_from(UPLINKS), st.integers(0, CLIENTS - 1))
def test_gains_do_not_depend_on_who_sends_or_how(make_medium, uplink, client):
    """The links answer bit for bit the same before, during and after transfers, whatever the access."""
    fading, times_s = Rayleigh(doppler_hz=40.0), np.arange(0.0, 0.05, 0.0007)
    fresh = make_medium(clients=CLIENTS, from_m=100.0, to_m=400.0, fading=fading)
    used = make_medium(radio=Radio(uplink=uplink), clients=CLIENTS, from_m=100.0, to_m=400.0, fading=fading)
    used.env.run(used.uplink(client, 30_000, BAND_HZ / CLIENTS))
    np.testing.assert_array_equal(used.links.gain(times_s), fresh.links.gain(times_s))


@pytest.mark.parametrize(
    ("uplink", "fidelity"),
    [
        (uplink, how)
        for uplink in UPLINKS
        for how in ("chunk", "packet", "blocks")
        if how != "packet" or uplink.access == "fdma"
    ],
    ids=lambda part: part if isinstance(part, str) else f"{part.access}-{part.scheduler}-{part.work_conserving}",
)
def test_four_that_ask_at_one_instant_in_any_order(make_medium, uplink, fidelity):
    """To the last bit, also where sums over their grants would tell the order."""
    blocks = {"rate": Cqi(bler=Outage()), "retransmission": Harq(rounds=2)} if fidelity == "blocks" else {}
    radio = Radio(uplink=uplink, fidelity="packet" if fidelity == "packet" else "chunk", **blocks)
    shares, found = (0.1, 0.2, 0.3, 0.7 / 3), set()
    for order in itertools.permutations(range(CLIENTS)):
        medium = make_medium(
            radio=radio, clients=CLIENTS, from_m=100.0, to_m=300.0, fading=BlockRayleigh(block_s=0.004)
        )
        events = {client: medium.uplink(client, 40_000, shares[client] * BAND_HZ) for client in order}
        medium.env.run()
        found.add(repr([events[client].value for client in range(CLIENTS)]))
    assert len(found) == 1


def test_broadcasts_of_one_instant_go_by_their_clients_and_not_by_who_asked_first(make_medium):
    found = set()
    for order in ([(0, 1), (2,)], [(2,), (0, 1)]):
        medium = make_medium(clients=CLIENTS)
        events = {clients: medium.downlink(clients, 500_000)[0] for clients in order}
        medium.env.run()
        assert events[2,].value.t_start_s == events[0, 1].value.t_end_s
        found.add(repr([events[clients].value for clients in sorted(events)]))
    assert len(found) == 1


def test_who_comes_back_is_new_to_proportional_fairness(make_medium):
    """What was served to an upload that is over counts no longer: two that are alike then have the same part."""
    radio = Radio(uplink=Uplink(bandwidth_hz=BAND_HZ, access="ofdma", scheduler="proportional_fair", averaging_s=1.0))
    medium = make_medium(radio=radio, clients=2)
    medium.env.run(medium.uplink(0, 3_000_000, BAND_HZ))
    one, two = (medium.uplink(client, 1_000_000, BAND_HZ) for client in (0, 1))
    medium.env.run()
    assert abs(one.value.t_end_s - two.value.t_end_s) < 2.5 * radio.slot_s
