from __future__ import annotations

import math

import numpy as np
import pytest
import simpy

from channels.erasure import NoLoss
from channels.fading import NoFading
from channels.links import Links
from channels.mobility import Line, Static
from channels.pathloss import LogDistance
from channels.shadowing import NoShadowing
from channels.streams import Stream
from wfl_sim.radio.medium import Medium
from wfl_sim.radio.options import Radio

TX_POWER_W, EFFICIENCY, CIRCUIT_W = 0.2, 0.35, 0.1
EXPONENT, REFERENCE_LOSS_DB, ANTENNA_DB = 3.5, 40.0, 8.0


@pytest.fixture(scope="session")
def make_medium():
    """Build a medium over links whose gain has a closed form unless `fading` is given."""

    def make(*, radio=None, clients=1, from_m=200.0, to_m=None, fading=None, loss=None, seed=1):
        stream = Stream.root(seed)
        links = Links(
            stream,
            clients,
            carrier_hz=3.5e9,
            path_loss=LogDistance(exponent=EXPONENT, reference_loss_db=REFERENCE_LOSS_DB),
            shadowing=NoShadowing(),
            fading=fading or NoFading(),
            placement=Line(from_m=from_m, to_m=to_m or from_m),
            mobility=Static(),
            antenna_gain_db=ANTENNA_DB,
        )
        return Medium(
            simpy.Environment(),
            radio or Radio(),
            links,
            loss or NoLoss(),
            stream.child("loss"),
            tx_power_w=TX_POWER_W,
            amplifier_efficiency=EFFICIENCY,
            circuit_power_w=CIRCUIT_W,
        )

    return make


@pytest.fixture(scope="session")
def rate_bps():
    """R = (1 - overhead) b log2(1 + P g / (k T0 F b gap)), written out from the formula."""

    def rate(radio, bandwidth_hz, distance_m, direction="up", fading_gain=1.0):
        gain_db = ANTENNA_DB - REFERENCE_LOSS_DB - 10 * EXPONENT * math.log10(distance_m)
        if direction == "up":
            power_w, figure_db, overhead = TX_POWER_W, radio.noise_figure.base_station_db, radio.uplink.overhead
        else:
            power_w = 10 ** (radio.downlink.tx_power_dbm / 10) / 1000
            figure_db, overhead = radio.noise_figure.client_db, radio.downlink.overhead
        noise_w = 1.380649e-23 * 290 * 10 ** (figure_db / 10) * bandwidth_hz
        snr = power_w * 10 ** (gain_db / 10) * np.asarray(fading_gain) / noise_w
        return (1 - overhead) * bandwidth_hz * np.log2(1 + snr / 10 ** (radio.rate.gap_db / 10))

    return rate


@pytest.fixture(scope="session")
def wire_bits():
    """Bits on the air without loss: the payload and one header for each packet."""

    def wire(radio, payload_bits):
        return payload_bits + math.ceil(payload_bits / (radio.packet_bits - radio.header_bits)) * radio.header_bits

    return wire


@pytest.fixture(scope="session")
def later():
    """Start a transfer at a later time; the results list gets its `Transmission` when it ends."""

    def start(medium, at_s, ask, results):
        def process():
            yield medium.env.timeout(at_s)
            results.append((yield ask()))

        return medium.env.process(process())

    return start
