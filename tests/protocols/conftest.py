from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import SimpleNamespace

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
from wfl_sim.contracts import Air, Decision, Payload, PayloadMenu, Point
from wfl_sim.devices import Compute
from wfl_sim.presence import Presence
from wfl_sim.protocols.base import ProtocolState, World
from wfl_sim.protocols.sync import Sync
from wfl_sim.radio.medium import Medium
from wfl_sim.radio.options import Downlink, Radio, Uplink
from wfl_sim.radio.transmission import Transmission
from wfl_sim.replay import DIAGNOSTICS
from wfl_sim.schedules.equal import Equal
from wfl_sim.trace import named

TX_POWER_W, EXPONENT, REFERENCE_LOSS_DB, ANTENNA_DB = 0.2, 3.5, 40.0, 8.0


@dataclass
class StubWork:
    """The learning side with fixed payload sizes, which writes down what it is asked to do."""

    dense_bytes: int = 100_000
    downlink_bytes: int = 250_000
    points: int = 20
    calls: list = field(default_factory=list)
    aggregated: list = field(default_factory=list)
    factors: list = field(default_factory=list)
    known_at_once: bool = False

    def weight(self, client):
        return 1.0 + client

    def menu(self, client):
        return PayloadMenu(tuple(self._point(n) for n in range(1, self.points + 1)))

    def _point(self, number):
        share = number / self.points
        return Point(share, 8 * max(1, round(self.dense_bytes * share)), 1.0 - share)

    def downlink(self, clients):
        return Payload(bytes(self.downlink_bytes), 1.0)

    def received(self, clients):
        self.calls.append(("received", tuple(clients)))

    def train(self, round_, clients):
        self.calls.append(("train", round_, tuple(clients)))

    def encode(self, client, point):
        return Payload(bytes(point.bits // 8), point.kept_fraction)

    def stopped(self, client):
        self.calls.append(("stopped", client))

    def lost(self, client):
        self.calls.append(("lost", client))

    def aggregate(self, arrivals, factors=None):
        self.aggregated.append(dict(arrivals))
        self.factors.append(factors)

    def evaluate(self):
        return {"accuracy": 0.5, "loss": 1.0}

    def diagnostics(self):
        return dict.fromkeys(DIAGNOSTICS, 0.0) | {"rank": 0}


class FixedAir:
    """A medium of 1 bit/s/Hz without headers, in which some clients cannot be reached or heard.

    A transfer takes its bits over its bandwidth. Copies of a unicast go out one after the other.
    """

    def __init__(self, env, radio, deaf=(), mute=(), lost=()):
        self.env, self.radio, self.deaf, self.mute = env, radio, set(deaf), set(mute)
        self.lost, self._counts = (
            set(lost),
            {},
        )  # (client, direction, number of its transfer to or from it alone, from 1)
        self.granted = []  # (begin, end, bandwidth) of each upload

    def _event(self, client, direction, begin_s, seconds, bits, hz, until_s, reason, reached):
        assert begin_s < until_s, "a transfer that would begin too late must not be asked for"
        end_s, done = min(begin_s + seconds, until_s), begin_s + seconds <= until_s
        reached = tuple(reached) if done else ()
        outcome = "delivered" if reached else "dropped"
        why = "" if reached else "attempts" if done else reason
        sent = round(bits * (end_s - begin_s) / seconds)
        value = Transmission(client, direction, begin_s, begin_s, end_s, bits, bits if reached else 0, sent, 1, 0, 0,
                             end_s - begin_s, 10.0, 10.0, hz, outcome, why, 0.0, reached)  # fmt: skip
        return self.env.timeout(end_s - self.env.now, value)

    def uplink(self, client, payload_bits, bandwidth_hz, *, begin_s=None, until_s=math.inf, reason="deadline"):
        if not callable(payload_bits):
            return self._up(client, payload_bits, bandwidth_hz, begin_s, until_s, reason)
        done = self.env.event()

        def begins(_):
            if bits := payload_bits():
                up = self._up(client, bits, bandwidth_hz, begin_s, until_s, reason)
                up.callbacks.append(lambda event: done.succeed(event.value))

        self.env.timeout(max(0.0, begin_s - self.env.now)).callbacks.append(begins)
        return done

    def _up(self, client, payload_bits, bandwidth_hz, begin_s, until_s, reason):
        begin_s, seconds = begin_s or self.env.now, payload_bits / bandwidth_hz
        self.granted.append((begin_s, min(begin_s + seconds, until_s), bandwidth_hz))
        reached = () if client in self.mute or self._is_lost(client, "up") else (client,)
        return self._event(client, "up", begin_s, seconds, payload_bits, bandwidth_hz, until_s, reason, reached)

    def to_one(self, client, payload_bits, *, until_s=math.inf, reason="deadline"):
        hz = self.radio.downlink.bandwidth_hz
        reached = () if self._is_lost(client, "down") else (client,)
        return self._event(client, "down", self.env.now, payload_bits / hz, payload_bits, hz, until_s, reason, reached)

    def _is_lost(self, client, direction):
        number = self._counts[client, direction] = self._counts.get((client, direction), 0) + 1
        return (client, direction, number) in self.lost

    def downlink(self, clients, payload_bits, *, until_s=math.inf, reason="deadline"):
        hz, now_s = self.radio.downlink.bandwidth_hz, self.env.now
        hears = [client for client in clients if client not in self.deaf]
        if self.radio.downlink.access == "broadcast":
            return [self._event(-1, "down", now_s, payload_bits / hz, payload_bits, hz, until_s, reason, hears)]
        ends = np.cumsum(payload_bits) / hz
        return [
            self._event(c, "down", now_s, float(end), bits, hz, until_s, reason, {c} & set(hears))
            for c, bits, end in zip(clients, payload_bits, ends, strict=True)
        ]

    def air(self, known_gain, direction="up"):
        return Air(self.radio.uplink.bandwidth_hz, None)

    def snr_hz(self, clients, time_s, known_gain, direction="up", places=0):
        return np.full(len(clients), 1e7)

    def downlink_estimate_s(self, snr_hz, payload_bits, known_gain):
        return np.array(payload_bits) / self.radio.downlink.bandwidth_hz + self.radio.latency_s


class Shifts:
    """Clients that are there in some spans of time: `Shifts({client: [(from_s, to_s), ...]})`; others always are."""

    def __init__(self, spans):
        self.spans = spans

    def present(self, clients, time_s):
        return np.array([self._one(int(c), time_s)[0] for c in clients], dtype=bool)

    def change_s(self, clients, time_s):
        return np.array([self._one(int(c), time_s)[1] for c in clients], dtype=float)

    def _one(self, client, time_s):
        edges = [edge for span in self.spans.get(client, [(-math.inf, math.inf)]) for edge in span]
        passed = sum(edge <= time_s for edge in edges)
        return passed % 2 == 1, edges[passed] if passed < len(edges) else math.inf


class Shares(Equal):
    """Equal parts of the band: of the places where there are some, else of those who ask, which is all that is left."""

    def decide(self, now_s, air, requests, in_flight, state):
        held_hz = sum(flight.bandwidth_hz for flight in in_flight)
        each_hz = air.bandwidth_hz / air.places if air.places else (air.bandwidth_hz - held_hz) / len(requests)
        if each_hz <= 1e-6 * air.bandwidth_hz:
            return [Decision(r.client, "defer", 0.0, r.menu.points[0]) for r in requests], state
        return [Decision(r.client, "send", each_hz, r.menu.points[-1]) for r in requests], state


@pytest.fixture(scope="session")
def shifts():
    return Shifts


@pytest.fixture(scope="session")
def shares():
    return Shares


@pytest.fixture(scope="session")
def act():
    """Run a protocol over a `FixedAir`: rows, work, medium, state, and what was said on an early end."""

    def run(protocol, *, clients=3, rounds=1, compute=None, work=None, radio=None, schedule=None, presence=None,
            deaf=(), mute=(), lost=(), seed=1):  # fmt: skip
        env = simpy.Environment()
        radio = radio or Radio(uplink=Uplink(bandwidth_hz=1e6), downlink=Downlink(bandwidth_hz=1e6), latency_s=0.01)
        medium = FixedAir(env, radio, deaf, mute, lost)
        out = SimpleNamespace(rounds=[], transmissions=[], decisions=[], medium=medium, stopped=[])
        out.work = work or StubWork(dense_bytes=12_500, downlink_bytes=12_500)  # 0.1 s in the whole band

        def commit(round_row, transmissions, decisions):
            out.rounds.append(dict(round_row))
            out.transmissions += [named("transmissions", row) for row in transmissions]
            out.decisions += [named("decisions", row) for row in decisions]

        out.world = World(env, medium, out.work, schedule or Shares(), compute or Compute(time_s=0.4),
                          Stream.root(seed).child("protocol"), clients, rounds, commit,
                          presence or Presence(), out.stopped.append)  # fmt: skip
        out.state = ProtocolState()
        env.run(env.process(protocol.run(out.world, out.state)))
        return out

    return run


@pytest.fixture(scope="session")
def stub_work():
    """The class of the stub: `stub_work(dense_bytes=...)`."""
    return StubWork


@pytest.fixture(scope="session")
def play():
    """Run a protocol over a real medium and stub work; the rows of every round, and what made them."""

    def run(
        *,
        clients=1,
        rounds=1,
        schedule=None,
        radio=None,
        fading=None,
        loss=None,
        from_m=200.0,
        to_m=None,
        compute=None,
        work=None,
        protocol=None,
        presence=None,
        seed=1,
    ):
        root = Stream.root(seed)
        channel = root.child("channel")
        links = Links(
            channel,
            clients,
            carrier_hz=3.5e9,
            path_loss=LogDistance(exponent=EXPONENT, reference_loss_db=REFERENCE_LOSS_DB),
            shadowing=NoShadowing(),
            fading=fading or NoFading(),
            placement=Line(from_m=from_m, to_m=to_m or from_m),
            mobility=Static(),
            antenna_gain_db=ANTENNA_DB,
        )
        env = simpy.Environment()
        radio = radio or Radio(uplink=Uplink(work_conserving=False))
        medium = Medium(env, radio, links, loss or NoLoss(), channel.child("loss"), tx_power_w=TX_POWER_W)
        out = SimpleNamespace(rounds=[], transmissions=[], decisions=[], medium=medium, work=work or StubWork())
        out.work.env = env

        def commit(round_row, transmissions, decisions):
            out.rounds.append(dict(round_row))
            out.transmissions += [named("transmissions", row) for row in transmissions]
            out.decisions += [named("decisions", row) for row in decisions]

        out.world = World(
            env=env,
            medium=medium,
            work=out.work,
            schedule=schedule or Equal(),
            compute=compute or Compute(time_s=0.4),
            stream=root.child("protocol"),
            clients=clients,
            rounds=rounds,
            commit=commit,
            presence=presence or Presence(),
        )
        out.state = ProtocolState()
        env.run(env.process((protocol or Sync()).run(out.world, out.state)))
        medium.ledger.check()
        return out

    return run
