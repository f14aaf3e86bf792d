"""Goodput of a link of fixed rate against ns-3: with random loss, and with packets that fade below a threshold."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import simpy

from channels.erasure import IndependentLoss
from channels.fading import BlockRayleigh, NoFading
from channels.linkadaptation import TruncatedShannon
from channels.links import Links
from channels.mobility import Line, Static
from channels.pathloss import LogDistance
from channels.shadowing import NoShadowing
from channels.streams import Stream
from wfl_sim.radio.medium import Medium
from wfl_sim.radio.options import Arq, Radio, Uplink

pytestmark = pytest.mark.oracle

GOODPUT_TOLERANCE = 0.02  # relative
SECONDS, RATE_BPS, PAYLOAD_BYTES, HEADER_BYTES = 40.0, 10e6, 1000, 30  # UDP 8, IPv4 20, PPP 2
TX_POWER_W, EXPONENT, REFERENCE_DB, DISTANCE_M = 0.1, 3.0, 46.7, 150.0
PACKET_S = (PAYLOAD_BYTES + HEADER_BYTES) * 8 / RATE_BPS


def links(stream: Stream, distance_m: float, fading: Any) -> Links:
    return Links(
        stream, 1, carrier_hz=2.4e9, path_loss=LogDistance(exponent=EXPONENT, reference_loss_db=REFERENCE_DB),
        shadowing=NoShadowing(), fading=fading, placement=Line(from_m=distance_m, to_m=distance_m),
        mobility=Static(), antenna_gain_db=0.0,
    )  # fmt: skip


class FadedLoss:
    """A packet is lost where the power that arrives when it ends is below a threshold."""

    kind, mean_loss, in_time = "faded", 0.5, True

    def __init__(self, over: Links, least_w: float) -> None:
        self.over, self.least_w = over, least_w

    def lost(self, stream: Stream, clients: Any, attempts: Any, times_s: Any) -> Any:
        shape = np.broadcast_shapes(*(np.shape(part) for part in (clients, attempts, times_s)))
        times = np.broadcast_to(np.asarray(times_s, dtype=np.float64), shape).ravel()
        return (TX_POWER_W * self.over.gain(times, [0])[0] < self.least_w).reshape(shape)


def goodput_bps(loss: Any, stream: Stream) -> float:
    """Payload bits in a second over a link at the cap of its rate, lost packets sent again without end."""
    radio = Radio(
        rate=TruncatedShannon(), uplink=Uplink(bandwidth_hz=RATE_BPS / 2.0, overhead=0.0),
        retransmission=Arq(attempts=1000), packet_bits=8.0 * (PAYLOAD_BYTES + HEADER_BYTES),
        header_bits=8.0 * HEADER_BYTES,
    )  # fmt: skip
    near = links(stream, 2.0, NoFading())
    medium = Medium(simpy.Environment(), radio, near, loss, stream.child("loss"), tx_power_w=TX_POWER_W)
    result = medium.env.run(medium.uplink(0, 10**12, RATE_BPS / 2.0, until_s=SECONDS))
    return result.delivered_bits / SECONDS


def test_a_link_that_loses_a_twentieth(ask: Callable[..., list[Any]], compare: Callable[..., None]) -> None:
    question = {"ask": "point_to_point", "rate_bps": RATE_BPS, "loss": 0.05, "payload_bytes": PAYLOAD_BYTES,
                "seconds": SECONDS, "seed": 3}  # fmt: skip
    (bits,) = ask("ns3", [question])
    ours = goodput_bps(IndependentLoss(probability=0.05, origin="interference"), Stream.root(1))
    share = PAYLOAD_BYTES / (PAYLOAD_BYTES + HEADER_BYTES)
    assert ours == pytest.approx(0.95 * share * RATE_BPS, rel=0.005)
    compare("goodput, 5 % loss", "ns3", ours / (bits / SECONDS), 1.0, GOODPUT_TOLERANCE)


@pytest.mark.parametrize("margin_db", [3.0, 8.0, 15.0])
def test_packets_that_fade(ask: Callable[..., list[Any]], compare: Callable[..., None], margin_db: float) -> None:
    """Log-distance loss and Rayleigh fading anew for each packet, the mean some decibels above what a packet needs."""
    power_dbm = 10 * math.log10(TX_POWER_W) + 30
    least_dbm = power_dbm - REFERENCE_DB - 10 * EXPONENT * math.log10(DISTANCE_M) - margin_db
    question = {"ask": "faded", "distance_m": DISTANCE_M, "exponent": EXPONENT, "reference_db": REFERENCE_DB,
                "power_dbm": power_dbm, "least_dbm": least_dbm, "packets": 100_000, "seed": 5}  # fmt: skip
    (share,) = ask("ns3", [question])
    stream = Stream.root(2)
    far = links(stream, DISTANCE_M, BlockRayleigh(block_s=PACKET_S / 4))
    ours = goodput_bps(FadedLoss(far, 10 ** (least_dbm / 10 - 3)), stream)
    theirs = RATE_BPS * PAYLOAD_BYTES / (PAYLOAD_BYTES + HEADER_BYTES) * share
    assert share == pytest.approx(math.exp(-(10 ** (-margin_db / 10))), abs=0.01)
    compare("goodput, log-distance and Rayleigh", "ns3", ours / theirs, 1.0, GOODPUT_TOLERANCE)
