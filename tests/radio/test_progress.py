"""The clock goes on: a shared band never answers that something ends at the instant at which it was just carried on.

Knows the flows of a shared band from within, to bring about in one step what rounding does once in millions of ends.
"""

from __future__ import annotations

import math

import simpy

from channels.erasure import NoLoss
from channels.fading import NoFading
from channels.links import Links
from channels.mobility import Line, Static
from channels.pathloss import LogDistance
from channels.shadowing import NoShadowing
from channels.streams import Stream
from wfl_sim.radio.fdma import SharedBand
from wfl_sim.radio.medium import Medium
from wfl_sim.radio.options import Radio

LEFT_BITS = 1e-8  # takes some 1e-15 s here: less than the 1.4e-14 s by which floats around 100 s differ
NOW_S = 100.0


def test_what_is_left_may_need_less_time_than_floats_tell_apart() -> None:
    stream = Stream.root(1)
    links = Links(stream, 1, carrier_hz=3.5e9, path_loss=LogDistance(exponent=3.5, reference_loss_db=40.0),
                  shadowing=NoShadowing(), fading=NoFading(), placement=Line(from_m=200.0, to_m=400.0),
                  mobility=Static(), antenna_gain_db=8.0)  # fmt: skip
    env = simpy.Environment(initial_time=NOW_S)
    medium = Medium(env, Radio(), links, NoLoss(), stream.child("loss"), tx_power_w=0.2)
    access = medium._lines["up"].access
    assert isinstance(access, SharedBand)
    medium.uplink(0, 1000, 1e6)
    env.run(until=math.nextafter(NOW_S, math.inf))  # it is on the air, and nothing of it is sent
    flows = access._flows
    flows.now_s[:] = env.now
    flows.into_bits = flows.last_bits - LEFT_BITS
    access._ahead = None
    next_s = access.next_s()
    assert env.now < next_s < math.inf
    (ended,) = access.settle(next_s)
    assert ended[1].outcome == "delivered"
