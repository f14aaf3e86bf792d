"""ARQ over arrays of transfers: against a plain loop, cut into pieces, and where a transfer ends by arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from channels.erasure import GilbertElliott, IndependentLoss, NoLoss
from channels.streams import Stream
from wfl_sim.radio.flows import DELIVERED, GIVEN_UP, SENDING, Course, Flows, Losses, Sizes, resolve, send

EXACT = 1e-9  # relative: sums of slots in float64
LOSS = {
    "none": NoLoss(),
    "independent": IndependentLoss(probability=0.4, origin="interference"),
    "gilbert_elliott": GilbertElliott(p=0.2, r=0.3, e_good=0.1, e_bad=0.9, step_s=1e-3, origin="interference"),
}
STREAM = Stream.root(5)


# -- resolve ---------------------------------------------------------------------------------------


def walked(lost, count, tries, need, attempts):
    """One row, attempt by attempt, as the docstring tells it."""
    used = won = 0
    for fate in lost[:count]:
        used += 1
        if fate:
            tries += 1
            if tries == attempts:
                return used, won, tries, True
        else:
            won, tries = won + 1, 0
            if won == need:
                break
    return used, won, tries, False


@st.composite
def rows_of_attempts(draw):
    rows, width, attempts = draw(st.integers(1, 4)), draw(st.integers(0, 12)), draw(st.integers(1, 5))
    fates = st.sampled_from([[False], [True], [False, True], [False] * 4 + [True], [True] * 4 + [False]])
    lost = draw(arrays(np.bool_, (rows, width), elements=st.sampled_from(draw(fates))))
    each = {"min_size": rows, "max_size": rows}
    count = draw(st.lists(st.integers(0, width), **each))
    tries = draw(st.lists(st.integers(0, attempts - 1), **each))
    need = draw(st.lists(st.integers(1, 14), **each))
    return lost, np.array(count), np.array(tries), np.array(need), attempts


@settings(max_examples=400)
@given(rows_of_attempts())
def test_arq_over_arrays_is_that_of_a_plain_loop(case):
    lost, count, tries, need, attempts = case
    expected = [
        walked(lost[row].tolist(), count[row], int(tries[row]), need[row], attempts) for row in range(len(count))
    ]
    given_lost = lost.copy()
    found = resolve(lost, count, tries, need, attempts)
    assert list(zip(*(column.tolist() for column in found), strict=True)) == expected
    np.testing.assert_array_equal(lost, given_lost)


def test_many_attempts_at_once():
    """Wider than a counter of 16 bits holds: the number of packets that came through is still right."""
    lost = np.zeros((1, 70_000), np.bool_)
    lost[0, 40_000] = True
    whole = resolve(lost, np.array([70_000]), np.array([0]), np.array([60_000]), 3)
    assert [column.tolist() for column in whole] == [[60_001], [60_000], [0], [False]]


# -- send ------------------------------------------------------------------------------------------

SIZES = Sizes(packet_bits=100.0, header_bits=20.0, attempts=3)


def begun(sizes, payloads):
    count = len(payloads)
    return Flows.of(sizes, np.arange(count), payloads, [0.0] * count, [math.inf] * count, np.arange(count) * 7)


def course(bits, slot_s, first=0, last=None, at_end=False):
    """Slots [first, last) in which each flow has its bits [flows, slots], spread evenly."""
    last = bits.shape[1] if last is None else last
    edges_s = np.arange(first, last + 1) * slot_s
    shape = (bits.shape[0], last - first)
    part = bits[:, first:last]
    return Course(
        np.broadcast_to(edges_s[:-1], shape), np.broadcast_to(edges_s[1:], shape), part, np.cumsum(part, axis=1), at_end
    )


def plain(sizes, payload_bits, bits, slot_s, client, first_attempt, loss, at_end):
    """One transfer, packet by packet: when each packet has passed, and what became of it."""
    room, rest, packets = sizes.packet_bits - sizes.header_bits, payload_bits, []
    while rest > 0:
        packets.append(min(rest, room) + sizes.header_bits)
        rest -= room
    passed, edges_s = np.cumsum(bits), np.arange(bits.size + 1) * slot_s
    at, sent, lost, served = 0.0, 0, 0, 0
    for size in packets:
        for _ in range(sizes.attempts):
            if at + size > passed[-1] * (1 + 1e-12):
                return "sending", sent, lost, served, bits.size * slot_s
            at += size
            slot = min(int(np.searchsorted(passed, at * (1 - 1e-12))), bits.size - 1)
            before = passed[slot] - bits[slot]
            end_s = edges_s[slot + 1] if at_end else edges_s[slot] + slot_s * min(1.0, (at - before) / bits[slot])
            gone = bool(loss.lost(STREAM, [client], [first_attempt + sent], [end_s])[0])
            sent, lost = sent + 1, lost + gone
            if not gone:
                served += 1
                break
        else:
            return "given up", sent, lost, served, end_s
    return "delivered", sent, lost, served, end_s


@st.composite
def streams_of_bits(draw):
    flows, slots = draw(st.integers(1, 4)), draw(st.integers(1, 30))
    seed = draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    # No slot of exactly whole packets: which slot a packet ends in is then no matter of last bits.
    bits = rng.uniform(0.0, draw(st.sampled_from([30.0, 90.0, 700.0])), (flows, slots)) * (
        rng.random((flows, slots)) > 0.2
    )
    payloads = draw(st.lists(st.integers(1, 1500), min_size=flows, max_size=flows))
    cuts = sorted(draw(st.sets(st.integers(1, slots), max_size=4)) | {slots})
    return bits, payloads, cuts


def facts(flows):
    names = ("state", "served", "tries", "sent", "lost")
    return {name: getattr(flows, name).tolist() for name in names}


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("loss", LOSS.values(), ids=LOSS)
@settings(max_examples=60)
@given(streams_of_bits())
def test_sending_in_pieces_is_sending_at_once_and_packet_by_packet(loss, at_end, case):
    bits, payloads, cuts = case
    slot_s, losses = 1e-3, Losses(loss, STREAM)
    whole = begun(SIZES, payloads)
    send(whole, SIZES, losses, course(bits, slot_s, at_end=at_end))
    pieces, first = begun(SIZES, payloads), 0
    for last in cuts:
        send(pieces, SIZES, losses, course(bits, slot_s, first, last, at_end))
        first = last
    assert facts(pieces) == facts(whole)
    np.testing.assert_allclose(pieces.now_s, whole.now_s, rtol=EXACT)
    np.testing.assert_allclose(pieces.sent_bits, whole.sent_bits, rtol=EXACT)
    np.testing.assert_allclose(pieces.into_bits, whole.into_bits, rtol=EXACT, atol=1e-7)
    names = {SENDING: "sending", DELIVERED: "delivered", GIVEN_UP: "given up"}
    for row, payload in enumerate(payloads):
        state, sent, lost, served, end_s = plain(
            SIZES, payload, bits[row], slot_s, row, row * 7, loss, at_end
        )  # fmt: skip
        found = names[int(whole.state[row])], whole.sent[row], whole.lost[row], whole.served[row]
        assert found == (state, sent, lost, served)
        assert whole.now_s[row] == pytest.approx(end_s, rel=EXACT)


@given(st.integers(1, 10**6), st.floats(1e3, 1e9), st.integers(1, 12_000), st.integers(0, 900))
def test_a_transfer_at_a_steady_rate_ends_by_arithmetic(payload_bits, rate_bps, room, header_bits):
    """(payload + headers) / rate, in one slot that is long enough."""
    sizes = Sizes(float(room + header_bits), float(header_bits), 1)
    flows = begun(sizes, [payload_bits])
    end_s = (payload_bits + math.ceil(payload_bits / room) * header_bits) / rate_bps
    send(flows, sizes, Losses(NoLoss(), STREAM), course(np.array([[2 * end_s * rate_bps]]), 2 * end_s))
    assert flows.state.tolist() == [DELIVERED] and flows.lost.tolist() == [0]
    assert flows.now_s[0] == pytest.approx(end_s, rel=EXACT)
    assert flows.delivered_bits(sizes).tolist() == [payload_bits]


def test_what_is_left_of_a_transfer():
    flows = begun(SIZES, [200, 80, 1])  # three packets, the last of 40 bit; one full; one of 1 bit
    assert flows.left_bits(SIZES).tolist() == [260.0, 100.0, 21.0]
    send(flows, SIZES, Losses(NoLoss(), STREAM), course(np.full((3, 1), 130.0), 1.0))
    assert flows.left_bits(SIZES).tolist()[0] == 130.0
    assert flows.state.tolist() == [SENDING, DELIVERED, DELIVERED]
    assert flows.delivered_bits(SIZES).tolist() == [80, 80, 1]
    np.testing.assert_allclose(flows.now_s, [1.0, 100 / 130, 21 / 130], rtol=EXACT)
