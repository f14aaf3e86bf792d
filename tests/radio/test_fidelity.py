"""One event for many packets, and one event a packet: the same transfers for the same draws, else the same law."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from channels.erasure import GilbertElliott, IndependentLoss, NoLoss
from channels.fading import BlockRayleigh, Rayleigh
from wfl_sim.radio.options import Arq, PowerControl, Radio, Uplink

EXACT = 1e-9  # relative: sums of slots in float64, in another order
BAND_HZ, FADING_BLOCK_S = 2e6, 0.01
LOSS = {
    "none": NoLoss(),
    "independent": IndependentLoss(probability=0.2, origin="interference"),
    "gilbert_elliott": GilbertElliott(p=0.05, r=0.2, e_good=0.02, e_bad=0.7, step_s=2e-3, origin="interference"),
}
ALPHA = 1e-3  # of the Kolmogorov-Smirnov tests: how often a right simulator would fail, were the draws not fixed


def assert_same(one, other):
    """Field by field: what is counted exactly, what is added up to last bits."""
    for name, value in one._asdict().items():
        wanted = getattr(other, name)
        if isinstance(value, float):
            assert value == pytest.approx(wanted, rel=EXACT, abs=EXACT, nan_ok=True), name
        else:
            assert value == wanted, name


def ran(make_medium, uploads, downlinks=(), *, loss, fidelity, **options):
    """The transmissions of a world, by client and then by number."""
    radio = Radio(fidelity=fidelity, **options)
    fading = Rayleigh(doppler_hz=20.0)
    medium = make_medium(radio=radio, clients=4, from_m=100.0, to_m=400.0, loss=loss, fading=fading)
    found = {}

    def client(number, transfers):
        for index, (gap_s, bits, share, until_s) in enumerate(transfers):
            yield medium.env.timeout(gap_s)
            begin_s = medium.env.now + gap_s
            found["up", number, index] = yield medium.uplink(
                number, bits, share * BAND_HZ / 4, begin_s=begin_s, until_s=begin_s + until_s
            )

    def base():
        for index, (gap_s, bits) in enumerate(downlinks):
            yield medium.env.timeout(gap_s)
            (event,) = medium.downlink([0, 1], bits)
            found["down", -1, index] = yield event

    for number, transfers in enumerate(uploads):
        medium.env.process(client(number, transfers))
    medium.env.process(base())
    while medium.env.peek() < math.inf:
        medium.env.step()
        medium.ledger.check()
    return found


@st.composite
def many_uploads(draw):
    transfer = st.tuples(
        st.sampled_from([0.0, 0.0104]) | st.floats(0.0, 0.03),
        st.sampled_from([1, 11_680, 23_360]) | st.integers(1, 200_000),
        st.sampled_from([0.2, 1.0]),
        st.sampled_from([math.inf, math.inf, 0.03]),
    )
    return draw(st.lists(st.lists(transfer, max_size=2), min_size=1, max_size=4))


@pytest.mark.parametrize("loss", LOSS.values(), ids=LOSS)
@settings(max_examples=8)
@given(
    many_uploads(),
    st.booleans(),
    st.sampled_from(["full", "half"]),
    st.integers(1, 4),
    st.sampled_from([0.05, 600.0]),
    st.sampled_from([None, PowerControl(p0_dbm=-85.0, alpha=0.8)]),
)
def test_chunk_and_packet_are_the_same_transfers(
    make_medium, loss, uploads, work_conserving, duplex, attempts, timeout_s, power_control
):
    results = [
        ran(
            make_medium, uploads, [(0.004, 50_000), (0.02, 400_000)], loss=loss, fidelity=fidelity, duplex=duplex,
            uplink=Uplink(bandwidth_hz=BAND_HZ, work_conserving=work_conserving, power_control=power_control),
            retransmission=Arq(attempts=attempts), timeout_s=timeout_s,
        )
        for fidelity in ("chunk", "packet")
    ]  # fmt: skip
    assert results[0].keys() == results[1].keys()
    for key, transmission in results[0].items():
        assert_same(transmission, results[1][key])


def sample(make_medium, fidelity, seed, count, loss, work_conserving):
    """Completion times and attempts of uploads of all clients, one after the other, with their share of the band."""
    clients = 4 if work_conserving else 25
    radio = Radio(
        fidelity=fidelity, uplink=Uplink(bandwidth_hz=BAND_HZ, work_conserving=work_conserving),
        retransmission=Arq(attempts=4), packet_bits=2000.0, slot_s=FADING_BLOCK_S,
    )  # fmt: skip
    medium = make_medium(
        radio=radio, clients=clients, from_m=150.0, loss=loss, fading=BlockRayleigh(block_s=FADING_BLOCK_S), seed=seed
    )  # fmt: skip
    times_s, attempts = [], []

    def client(number):
        for index in range(count // clients):
            # many steps of the loss models: a transfer says nothing of the next
            yield medium.env.timeout(0.2 * (index + 1) - medium.env.now)
            result = yield medium.uplink(number, 1_500 + 3_000 * (index % 2), BAND_HZ / clients)
            times_s.append(result.t_end_s - result.t_start_s)
            attempts.append(result.packets)

    for number in range(clients):
        medium.env.process(client(number))
    medium.env.run()
    return times_s, attempts


def critical_distance(n, m, alpha=ALPHA):
    """Of the two-sample Kolmogorov-Smirnov test: sqrt(-ln(alpha / 2) / 2) sqrt((n + m) / (n m)) (Smirnov 1948)."""
    return math.sqrt(-math.log(alpha / 2) / 2) * math.sqrt((n + m) / (n * m))


@pytest.mark.parametrize(
    ("count", "work_conserving"),
    [(1500, False), *(pytest.param(*many, marks=pytest.mark.slow) for many in ((10_000, False), (2000, True)))],
)
@pytest.mark.parametrize("loss", LOSS.values(), ids=LOSS)
def test_chunk_and_packet_have_the_same_law(make_medium, loss, count, work_conserving):
    """With draws of their own, completion times and attempts differ no more than two samples of one law do."""
    chunk, packet = (
        sample(make_medium, fidelity, seed, count, loss, work_conserving)
        for fidelity, seed in (("chunk", 21), ("packet", 22))
    )
    assert chunk[0] != packet[0]
    for one, other in zip(chunk, packet, strict=True):
        assert len(one) == len(other) == count
        assert ks_2samp(one, other).statistic < critical_distance(count, count)
    # and it would see a law that is off: here all take a fifth longer
    assert ks_2samp(1.2 * np.array(chunk[0]), packet[0]).statistic > critical_distance(count, count)
