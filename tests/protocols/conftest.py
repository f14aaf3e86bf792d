from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
import simpy

from channels.erasure import NoLoss
from channels.fading import NoFading
from channels.links import Links
from channels.mobility import Line, Static
from channels.pathloss import LogDistance
from channels.shadowing import NoShadowing
from channels.streams import Stream
from wfl_sim.contracts import Payload, PayloadMenu, Point
from wfl_sim.devices import Compute
from wfl_sim.protocols.base import ProtocolState, World
from wfl_sim.protocols.sync import Sync
from wfl_sim.radio.medium import Medium
from wfl_sim.radio.options import Radio, Uplink
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

    def lost(self, client):
        self.calls.append(("lost", client))

    def aggregate(self, arrivals, factors=None):
        self.aggregated.append(dict(arrivals))

    def evaluate(self):
        return {"accuracy": 0.5, "loss": 1.0}

    def diagnostics(self):
        return {"rank": 0, "coherence_a": None, "coherence_b": None, "e_cov": 0.0, "e_sp": 0.0}


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
        )
        out.state = ProtocolState()
        env.run(env.process((protocol or Sync()).run(out.world, out.state)))
        medium.ledger.check()
        return out

    return run
