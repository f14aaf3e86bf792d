from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from channels.erasure import IndependentLoss
from wfl_sim.radio.options import Arq, Radio, Uplink
from wfl_sim.radio.packets import PacketQueue

PACKET_BITS, HEADER_BITS = 12.0, 2.0
ROOM = PACKET_BITS - HEADER_BITS
STANDARD_ERRORS = 4.0  # a right simulator fails one such check in 16,000; the draws are fixed, so it never flickers
FLOAT_SUM = 1e-12  # relative: a sum of up to 1e4 sizes in float64


def reference(payload_bits, allowed, receivers, lost):
    """ARQ as the docstring tells it, packet by packet, with sets of receivers."""
    sizes, rest = [], payload_bits
    while rest > 0:
        sizes.append(min(rest, ROOM) + HEADER_BITS)
        rest -= ROOM
    given_up, column, failures, bits = set(), 0, 0, 0.0
    for size in sizes:
        lacking = set(range(receivers)) - given_up
        for _ in range(allowed):
            lacking = {r for r in lacking if lost[r][column]}
            column, bits, failures = column + 1, bits + size, failures + bool(lacking)
            if not lacking:
                break
        given_up |= lacking
        if len(given_up) == receivers:
            break
    return column, failures, bits, set(range(receivers)) - given_up


@st.composite
def transfers(draw):
    payload_bits = draw(st.integers(1, 60))
    allowed, receivers = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    attempts = math.ceil(payload_bits / ROOM) * allowed
    seldom = arrays(np.bool_, (receivers, attempts), elements=st.sampled_from([False] * 4 + [True]))
    often = arrays(np.bool_, (receivers, attempts), elements=st.booleans())
    chunks = draw(st.lists(st.integers(1, 7), min_size=1, max_size=10))
    return payload_bits, allowed, receivers, draw(seldom | often), chunks


@settings(max_examples=300)
@given(transfers())
def test_arq_is_that_of_the_plain_reference_however_the_attempts_are_chunked(case):
    payload_bits, allowed, receivers, lost, chunks = case
    queue = PacketQueue(payload_bits, PACKET_BITS, HEADER_BITS, allowed, receivers)
    column = turn = 0
    while not queue.done:
        used = queue.attempt(lost[:, column : column + chunks[turn % len(chunks)]])
        assert used >= 1
        column, turn = column + used, turn + 1
    attempts, failures, bits, reached = reference(payload_bits, allowed, receivers, lost)
    assert (column, queue.sent, queue.lost, queue.sent_bits) == (attempts, attempts, failures, bits)
    assert set(np.flatnonzero(queue.reached)) == reached


@given(st.integers(1, 5000), st.integers(0, 11))
def test_bits_on_the_air_without_loss(payload_bits, header_bits):
    queue = PacketQueue(payload_bits, PACKET_BITS, header_bits, 1)
    while not queue.done:
        queue.attempt(np.zeros((1, 50), dtype=bool))
    packets = math.ceil(payload_bits / (PACKET_BITS - header_bits))
    assert (queue.sent, queue.lost) == (packets, 0)
    assert queue.sent_bits == pytest.approx(payload_bits + packets * header_bits, rel=FLOAT_SUM)


def test_nothing_is_reached_before_the_end():
    queue = PacketQueue(3 * int(ROOM), PACKET_BITS, HEADER_BITS, 2, receivers=2)
    queue.attempt(np.zeros((2, 2), dtype=bool))
    assert not queue.done and not queue.reached.any()
    queue.attempt(np.zeros((2, 1), dtype=bool))
    assert queue.done and queue.reached.all()


def test_residual_loss_and_mean_transmissions_of_arq():
    # eps = 1/2, M = 4: residual loss 1/16 = .0625; mean (1 - 1/16) / (1/2) = 1.8750 transmissions.
    # P(n = 1, 2, 3, 4) = 1/2, 1/4, 1/8, 1/8: E n^2 = 4.625, variance 4.625 - 1.875^2 = 1.109375.
    number, attempts = 20_000, 4
    lost = np.random.default_rng(11).random((number, 1, attempts)) < 0.5
    queues = [PacketQueue(1, PACKET_BITS, HEADER_BITS, attempts) for _ in range(number)]
    for queue, outcome in zip(queues, lost, strict=True):
        queue.attempt(outcome)
    assert all(queue.done for queue in queues)
    failed = np.mean([not queue.reached.any() for queue in queues])
    sent = np.mean([queue.sent for queue in queues])
    assert abs(failed - 0.0625) < STANDARD_ERRORS * math.sqrt(0.0625 * 0.9375 / number)
    assert abs(sent - 1.8750) < STANDARD_ERRORS * math.sqrt(1.109375 / number)


def test_mean_transmissions_through_the_medium(make_medium):
    # eps = .2, M = 12: a packet is given up with probability .2^12 = 4e-9, so all 4,000 arrive, after
    # 1 / .8 = 1.25 transmissions each on average (geometric: variance .2 / .64 = .3125).
    packets, radio = 4000, Radio(retransmission=Arq(attempts=12), uplink=Uplink(bandwidth_hz=20e6))
    medium = make_medium(radio=radio, loss=IndependentLoss(probability=0.2, origin="backhaul"))
    payload_bits = packets * int(radio.packet_bits - radio.header_bits)
    result = medium.env.run(medium.uplink(0, payload_bits, 20e6))
    assert result.outcome == "delivered"
    assert result.packets - result.lost == packets
    assert result.sent_bits == result.packets * radio.packet_bits
    assert abs(result.packets / packets - 1.25) < STANDARD_ERRORS * math.sqrt(0.3125 / packets)
