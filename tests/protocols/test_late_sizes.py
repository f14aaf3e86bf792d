"""Payloads that are known only when the air needs them change nothing: tables are those of payloads known at once."""

from __future__ import annotations

import pytest

from channels.cqi import Cqi
from channels.erasure import IndependentLoss
from channels.fading import BlockRayleigh
from wfl_sim.contracts import Payload
from wfl_sim.devices import Compute
from wfl_sim.protocols.buffered import Buffered
from wfl_sim.protocols.deadline import Deadline
from wfl_sim.protocols.sync import Sync
from wfl_sim.radio.options import Downlink, Radio, Uplink

BAND_HZ, LATENCY_S = 1e6, 0.005
KEPT = Uplink(bandwidth_hz=BAND_HZ, work_conserving=False)
RADIOS = {
    "fdma, kept shares": {"uplink": KEPT},
    "fdma, kept shares, unicast": {"uplink": KEPT, "downlink": Downlink(access="unicast")},
    "fdma, shared": {"uplink": Uplink(bandwidth_hz=BAND_HZ)},
    "fdma, packet by packet": {"uplink": Uplink(bandwidth_hz=BAND_HZ), "fidelity": "packet"},
    "fdma, half duplex": {"uplink": KEPT, "duplex": "half"},
    "blocks, kept shares": {"uplink": KEPT, "rate": Cqi()},
    "blocks, shared": {"uplink": Uplink(bandwidth_hz=BAND_HZ), "rate": Cqi()},
    "tdma": {"uplink": Uplink(bandwidth_hz=BAND_HZ, access="tdma")},
    "ofdma": {"uplink": Uplink(bandwidth_hz=BAND_HZ, access="ofdma")},
}
PROTOCOLS = {
    "sync": Sync(),
    "drop": Deadline(deadline_s=0.62),
    "carry": Deadline(deadline_s=0.62, late="carry"),
    "buffered": Buffered(buffer=2, concurrency=4),
}
SUM = 1e-12  # relative: sums of tens of floats


@pytest.fixture
def run(play, stub_work, shares, shifts):
    """Play with payloads that differ by client and round; what came of it, and when each was encoded."""

    class Content(stub_work):
        def __init__(self, **sizes):
            super().__init__(**sizes)
            self.rounds, self.encoded = {}, {}

        def train(self, round_, clients):
            super().train(round_, clients)
            self.rounds |= dict.fromkeys(clients, round_)

        def encode(self, client, point):
            round_ = self.rounds[client]
            self.encoded[client, round_] = self.env.now
            if (client + round_) % 7 == 0:
                return None
            return Payload(bytes(6_000 + 331 * client + 57 * (round_ % 5)), point.kept_fraction)

    def play_it(protocol, radio, at_once):
        work = Content(dense_bytes=8_000, downlink_bytes=4_000, points=3, known_at_once=at_once)
        return play(
            clients=6, rounds=3, from_m=80.0, to_m=350.0, radio=Radio(latency_s=LATENCY_S, **radio),
            fading=BlockRayleigh(block_s=0.05), loss=IndependentLoss(probability=0.1, origin="interference"),
            compute=Compute(time_s=0.3, jitter=0.5), work=work, protocol=protocol, schedule=shares(),
            presence=shifts({2: [(-1.0, 0.55), (0.7, 2.0)], 4: [(0.3, 1.1)]}),
        )  # fmt: skip

    return play_it


def bits(rows):
    """Rows as they are, to the last bit of a float."""
    return [{name: float(v).hex() if isinstance(v, float) else v for name, v in row.items()} for row in rows]


@pytest.mark.parametrize(
    ("protocol", "radio"),
    [
        *(("buffered", radio) for radio in RADIOS),
        *((protocol, radio) for protocol in ("sync", "drop", "carry") for radio in list(RADIOS)[:3]),
    ],
)
def test_tables_do_not_tell_when_a_payload_was_known(run, protocol, radio):
    late, early = (run(PROTOCOLS[protocol], RADIOS[radio], at_once) for at_once in (False, True))
    assert bits(late.rounds) == bits(early.rounds)
    assert bits(late.transmissions) == bits(early.transmissions)
    assert bits(late.decisions) == bits(early.decisions)
    assert late.work.encoded.keys() <= early.work.encoded.keys()  # whoever is under way at the end may not have begun
    assert late.work.calls == early.work.calls and late.work.aggregated == early.work.aggregated
    diverged = [(t["client"], t["round"]) for t in late.transmissions if t["reason"] == "diverged"]
    assert diverged
    for t in late.transmissions:
        assert (t["payload_bits"] == 0) == (t["reason"] == "diverged")


@pytest.mark.parametrize("radio", ["fdma, kept shares", "fdma, kept shares, unicast", "fdma, shared", "ofdma"])
def test_training_is_waited_for_when_the_upload_begins(run, radio):
    """Or, where uploads are planned together, when the first of those does that were asked for at one instant."""
    out = run(Sync(), RADIOS[radio], False)
    begins = {(t["client"], t["round"]): t["t_request_s"] for t in out.transmissions if t["direction"] == "up"}
    assert begins.keys() == out.work.encoded.keys()
    asked = {(d["client"], d["round"]): d["compute_start_s"] for d in out.decisions}  # a latency after they were
    first_s = {}
    for call, begin_s in begins.items():
        first_s[asked[call]] = min(begin_s, first_s.get(asked[call], begin_s))
    for call, begin_s in begins.items():
        wanted_s = first_s[asked[call]] if "kept" in radio else begin_s
        assert out.work.encoded[call] == pytest.approx(wanted_s, rel=SUM), call


def test_what_is_known_at_once_is_asked_for_at_once(run):
    out = run(Sync(), RADIOS["fdma, kept shares"], True)
    starts_s = {d["client"]: d["compute_start_s"] for d in out.decisions if d["round"] == 1}
    assert {client for client, round_ in out.work.encoded if round_ == 1}
    for (client, round_), now_s in out.work.encoded.items():
        if round_ == 1:
            assert now_s == pytest.approx(starts_s[client] - LATENCY_S, rel=SUM)
