"""Split rounds: times by hand on an air of fixed rates, whom the server serves when, and what becomes of lost steps.

What clients computed when is read back from the rows of a run.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from analysis.activity import STEP_KINDS, activity
from analysis.traces import Traces
from channels.erasure import IndependentLoss
from channels.fading import Rayleigh
from wfl_sim.contracts import Payload
from wfl_sim.devices import Compute, DeviceClass
from wfl_sim.protocols.exchanges import Exchanges
from wfl_sim.protocols.split import SplitRounds
from wfl_sim.radio.options import Arq, Downlink, Radio, Uplink
from wfl_sim.serving import Job, completions, last_end_s
from wfl_sim.splitwork import Parts

EXACT = 1e-9  # relative: what the project promises for a link of fixed rate
L = 0.01  # s, the latency of `act`
BAND = 1e6  # Hz, at 1 bit/s/Hz
SPEED = 10.0  # of the server


@pytest.fixture
def split_work(stub_work):
    @dataclass
    class StubSplit(stub_work):
        """Steps with payloads of fixed sizes."""

        steps: int = 2
        activation_bytes: int = 12_500  # 0.1 s in the whole band
        gradient_bytes: int = 25_000
        shares: Parts = Parts(0.1, 0.2, 0.7)
        diverges: tuple = ()  # (what, client, number of its call from 1)
        asked: dict = None

        def parts(self, client):
            return self.shares

        def transfer_bits(self, client, point):
            return 8 * max(self.activation_bytes, self.gradient_bytes)

        def _one(self, what, client, size):
            self.calls.append((what, client))
            self.asked = self.asked or {}
            number = self.asked[what, client] = self.asked.get((what, client), 0) + 1
            return None if (what, client, number) in self.diverges else Payload(bytes(size), 0.5)

        def forward(self, client, point):
            return self._one("forward", client, self.activation_bytes)

        def serve(self, client):
            return self._one("serve", client, self.gradient_bytes)

        def backward(self, client):
            self.calls.append(("backward", client))

        def missed(self, client):
            self.calls.append(("missed", client))

    return StubSplit


@pytest.fixture
def run(act, split_work):
    """Split rounds on the fixed air; `work` holds options of the stub."""

    def go(*, work=None, order="schrage", **how):
        return act(
            SplitRounds(order=order, server_speed=SPEED),
            work=split_work(dense_bytes=12_500, downlink_bytes=12_500, **(work or {})),
            **how,
        )

    return go


def of(out, what):
    return [call[1] for call in out.work.calls if call[0] == what]


def test_the_round_of_one_client_is_the_sum_of_its_parts(run):
    out = run(clients=1, rounds=2)
    # T_1 = 0.4 s for 2 steps: 0.2 s a step, of which 0.02 forward, 0.04 backward, 0.14 / 10 at the server
    step = 0.02 + 0.1 + L + 0.014 + 0.2 + L + 0.04
    round_s = 0.1 + L + 2 * step + 0.1 + L
    ends = [row["t_end_s"] for row in out.rounds]
    assert ends == pytest.approx([round_s, 2 * round_s], rel=EXACT)
    assert of(out, "forward") == of(out, "serve") == of(out, "backward") == [0] * 4
    (first, _) = out.decisions
    assert first["compute_start_s"] == pytest.approx(0.1 + L, rel=EXACT)
    assert (
        first["compute_s"] == pytest.approx(0.12, rel=EXACT) and first["compute_energy_j"] == 2.0 * first["compute_s"]
    )
    up = [t for t in out.transmissions if t["direction"] == "up"]
    down = [t for t in out.transmissions if t["direction"] == "down"]
    assert [t["payload_bits"] for t in up] == 2 * [100_000, 100_000, 100_000]
    assert [t["step"] for t in up] == 2 * [1, 2, None] and [t["step"] for t in down] == 2 * [None, 1, 2]
    assert [(t["client"], t["payload_bits"]) for t in down] == 2 * [(-1, 100_000), (0, 200_000), (0, 200_000)]
    assert [t["kept_fraction"] for t in up] == 2 * [0.5, 0.5, 1.0]  # of activations as coded; the adapters' own
    assert out.rounds[-1]["uplink_bits"] == 6 * 100_000 and out.rounds[-1]["downlink_bits"] == 2 * 500_000
    assert [sorted(arrived) for arrived in out.work.aggregated] == [[0], [0]]


@pytest.mark.parametrize("order", ["schrage", "ltf", "fifo"])
@pytest.mark.parametrize("slow", [False, True])
def test_a_step_takes_what_its_order_of_service_takes(run, order, slow):
    """Three classes of devices: releases and tails differ; the server takes 0.4 x 0.7 / 2 / 2 = 70 ms for each."""
    speeds = (4.0, 1.0, 0.25) if slow else (1.0, 1.0, 1.0)
    compute = Compute(time_s=0.4, classes=tuple(DeviceClass(speed=s) for s in speeds))
    out = run(clients=3, order=order, compute=compute, work={"steps": 2})
    out2 = run(clients=3, order=order, compute=compute, work={"steps": 4, "shares": Parts(0.2, 0.4, 1.4)})
    assert out2.rounds[0]["t_end_s"] > out.rounds[0]["t_end_s"]
    own_s = np.array([d["compute_s"] / 2 for d in sorted(out.decisions, key=lambda d: d["client"])])  # of a step
    jobs = {
        client: Job(own_s[client] / 3 + 0.3 + L, 0.014, 0.2 + L + own_s[client] * 2 / 3) for client in range(3)
    }  # a third of the band each: 0.3 s
    step = last_end_s(jobs, completions(order, jobs))
    # the last upload begins when the client itself is through
    ends = completions(order, jobs)
    assert out.rounds[0]["t_end_s"] == pytest.approx(0.1 + L + 2 * step + 0.3 + L, rel=EXACT)
    served = of(out, "serve")
    assert served == 2 * [*ends]


def test_the_server_takes_the_longest_tail_of_those_who_are_there(run):
    """Four equal releases: who is slow backward is served first, and the step ends as early as it can."""
    compute = Compute(time_s=0.4, classes=tuple(DeviceClass(speed=s) for s in (4.0, 0.25)))
    work = {"shares": Parts(0.0, 0.3, 0.7), "steps": 1}  # nothing forward: all arrive together
    first, others = (run(clients=4, order=order, compute=compute, work=work) for order in ("schrage", "fifo"))
    slow = [d["client"] for d in first.decisions if d["compute_s"] > 0.1]
    assert 0 < len(slow) < 4
    assert sorted(of(first, "serve")[: len(slow)]) == sorted(slow)
    assert of(others, "serve") == [0, 1, 2, 3]
    assert first.rounds[0]["t_end_s"] <= others.rounds[0]["t_end_s"]


def test_lots_are_drawn_for_each_step_and_follow_from_the_seed(run):
    first, again, other = (run(clients=6, order="random", work={"steps": 5}, seed=seed) for seed in (1, 1, 2))
    orders = [tuple(of(first, "serve")[i : i + 6]) for i in range(0, 30, 6)]
    assert all(sorted(order) == [*range(6)] for order in orders) and len(set(orders)) > 1
    assert of(first, "serve") == of(again, "serve") != of(other, "serve")


def test_all_wait_for_the_last_before_the_next_step(run):
    out = run(clients=3, compute=Compute(time_s=0.4, jitter=1.0), rounds=3, work={"steps": 3})
    for number in (1, 2, 3):
        own = [c for c in out.transmissions if c["round"] == number and c["client"] >= 0]
        downs = [t for t in own if t["direction"] == "down"]
        ups = [t for t in own if t["direction"] == "up"]
        for step in (1, 2):  # nobody sends activations of a step before all have the gradients of the last
            begins = min(sorted(t["t_start_s"] for t in ups if t["client"] == c)[step] for c in range(3))
            assert begins > max(sorted(t["t_end_s"] for t in downs if t["client"] == c)[step - 1] for c in range(3))


def test_who_loses_activations_or_a_gradient_misses_that_step_alone(run):
    out = run(clients=2, work={"steps": 3}, lost={(0, "up", 2), (1, "down", 3)})
    assert [c for c in out.work.calls if c[0] == "missed"] == [("missed", 0), ("missed", 1)]
    assert of(out, "forward").count(0) == of(out, "forward").count(1) == 3
    assert (of(out, "serve").count(0), of(out, "backward").count(0)) == (2, 2)
    assert (of(out, "serve").count(1), of(out, "backward").count(1)) == (3, 2)
    assert sorted(out.work.aggregated[0]) == [0, 1]
    dropped = [(t["client"], t["direction"]) for t in out.transmissions if t["outcome"] == "dropped"]
    assert dropped == [(0, "up"), (1, "down")]
    row = out.rounds[0]
    assert (row["delivered"], row["dropped"]) == (2, 0)
    assert row["uplink_bits"] == 2 * 4 * 100_000  # what is lost was on the air all the same


def test_who_is_never_heard_is_left_out_and_the_others_go_on(run):
    out = run(clients=3, mute={1}, deaf={2}, rounds=2)
    assert [sorted(arrived) for arrived in out.work.aggregated] == [[0], [0]]
    assert of(out, "serve") == [0] * 4 and ("lost", 1) not in out.work.calls
    assert [c for c in out.work.calls if c[0] in ("missed", "stopped")] == 2 * [*2 * [("missed", 1)], ("stopped", 1)]
    assert 2 not in of(out, "forward")
    assert all((row["delivered"], row["dropped"]) == (1, 2) for row in out.rounds)
    assert [d["compute_start_s"] is None for d in out.decisions] == 2 * [False, False, True]


def test_adapters_that_are_lost_are_told_to_the_work(run):
    out = run(clients=2, lost={(0, "up", 3)})
    assert ("lost", 0) in out.work.calls and sorted(out.work.aggregated[0]) == [1]


@pytest.mark.parametrize("order", ["schrage", "ltf"])
@pytest.mark.parametrize("leaves_s", [0.115, 0.2, 0.45, 0.6, 0.9, 1.3])
def test_who_leaves_in_a_round_is_dropped_whatever_it_was_doing(run, shifts, order, leaves_s):
    away = shifts({1: [(-1.0, leaves_s)]})
    out = run(clients=3, order=order, presence=away, work={"steps": 3})
    assert sorted(out.work.aggregated[0]) == [0, 2] and of(out, "backward").count(0) == 3
    assert [c for c in out.work.calls if c == ("stopped", 1)] or ("lost", 1) in out.work.calls
    assert (out.rounds[0]["delivered"], out.rounds[0]["dropped"]) == (2, 1)
    assert not out.state.busy
    assert all(t["t_end_s"] <= leaves_s * (1 + EXACT) for t in out.transmissions if t["client"] == 1)
    (decision,) = (d for d in out.decisions if d["client"] == 1)
    assert decision["compute_start_s"] + decision["compute_s"] <= leaves_s * (1 + EXACT)


@pytest.mark.parametrize("what", ["forward", "serve"])
def test_whose_training_diverges_sends_nothing_more(run, what):
    out = run(clients=2, work={"diverges": ((what, 0, 2),)})
    assert sorted(out.work.aggregated[0]) == [1] and ("stopped", 0) not in out.work.calls
    assert [t["reason"] for t in out.transmissions if t["outcome"] == "dropped"] == ["diverged"]
    assert of(out, "backward") == [0, 1, 1] and out.rounds[0]["dropped"] == 1


@pytest.fixture
def over_the_air(play, split_work):
    """Rounds of four clients whose links fade and lose packets, by access of the downlink and protocol."""

    def rounds(access, protocol):
        radio = Radio(
            uplink=Uplink(bandwidth_hz=1e6), downlink=Downlink(bandwidth_hz=5e6, access=access),
            retransmission=Arq(attempts=3), latency_s=0.005,
        )  # fmt: skip
        sizes = {"dense_bytes": 4_000, "downlink_bytes": 4_000, "activation_bytes": 3_000, "gradient_bytes": 2_000}
        work = split_work(**sizes, steps=3)
        return play(
            clients=4, rounds=3, radio=radio, work=work, fading=Rayleigh(doppler_hz=5.0), from_m=100.0, to_m=500.0,
            loss=IndependentLoss(probability=0.3, origin="interference"), compute=Compute(time_s=0.3, jitter=0.2),
            protocol=protocol,
        )  # fmt: skip

    return rounds


@pytest.mark.parametrize("order", ["schrage", "exact"])
@pytest.mark.parametrize("access", ["broadcast", "unicast"])
def test_over_the_real_air_bits_balance_and_rows_agree(over_the_air, order, access):
    out = over_the_air(access, SplitRounds(order=order, cohort=3))
    work = out.work
    assert out.rounds[-1]["uplink_bits"] == sum(t["sent_bits"] for t in out.transmissions if t["direction"] == "up")
    assert out.rounds[-1]["downlink_bits"] == sum(t["sent_bits"] for t in out.transmissions if t["direction"] == "down")
    gradients = [t for t in out.transmissions if t["direction"] == "down" and t["payload_bits"] == 16_000]
    served = sum(call[0] == "serve" for call in work.calls)
    assert len(gradients) == served and all(t["client"] >= 0 for t in gradients)
    assert any(t["outcome"] != "delivered" for t in out.transmissions)  # else nothing here would have been missed
    missed = sum(call[0] == "missed" for call in work.calls)
    assert missed and served + missed >= sum(call[0] == "forward" for call in work.calls)
    assert all(row["t_end_s"] > row["t_start_s"] for row in out.rounds) and not out.state.busy
    for row in out.rounds:
        within = [t for t in out.transmissions if t["round"] == row["round"]]
        assert all(
            row["t_start_s"] <= t["t_request_s"] and t["t_end_s"] <= row["t_end_s"] * (1 + EXACT) for t in within
        )


# -- what is read back from the rows ----------------------------------------------------------------


@pytest.fixture
def passes(monkeypatch):
    """Of each pass that a client computes: client, kind, begin and end, or when it left; as they are played."""
    found, computes = [], Exchanges._computes

    def noting(self, member, start_s, takes_s, then):
        kind = {"_send": "forward", "_backward": "backward"}[then.func.__name__]
        end_s = min(start_s + takes_s, member.call.leaves_s)
        if end_s > start_s:
            found.append((member.call.client, kind, start_s, end_s))
        computes(self, member, start_s, takes_s, then)

    monkeypatch.setattr(Exchanges, "_computes", noting)
    return found


def traces_of(out):
    """The rows as a trace would give them."""
    rounds, sent, decided = (pd.DataFrame(rows) for rows in (out.rounds, out.transmissions, out.decisions))
    sent = sent.astype({"step": float})
    decided = decided.astype({"compute_start_s": float})
    empty = pd.DataFrame(columns=["arm", "seed"])
    return Traces(rounds, sent, decided, empty, empty, {})


def spans_of(out, clients):
    traces = traces_of(out)
    return activity(traces, range(clients), 0.0, float(traces.rounds["t_end_s"].max()))


def matches(spans, played):
    """Every pass that was played is there, and no other."""
    own = spans[spans["kind"].isin(["forward", "backward"])].sort_values(["client", "start_s"])
    wanted = sorted(played, key=lambda one: (one[0], one[2]))
    assert [(c, kind) for c, kind in zip(own["client"], own["kind"], strict=True)] == [one[:2] for one in wanted]
    np.testing.assert_allclose(own[["start_s", "end_s"]], [one[2:] for one in wanted], rtol=EXACT)


UNLIKE = Compute(time_s=0.4, jitter=0.5, classes=(DeviceClass(speed=1.0, share=0.5), DeviceClass(speed=3.0)))


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"lost": {(0, "up", 2), (1, "down", 3)}},
        {"mute": {1}},
        {"deaf": {2}},
        {"work": {"diverges": (("forward", 0, 5), ("serve", 1, 5))}},
        {"work": {"diverges": (("forward", 0, 4), ("serve", 1, 6))}},
        {"work": {"diverges": (("forward", 0, 1), ("forward", 1, 1), ("forward", 2, 1))}},
    ],
)
def test_what_clients_computed_when_follows_from_the_rows(run, passes, how):
    how = how | {"work": {"steps": 3} | how.get("work", {})}
    out = run(clients=3, rounds=2, compute=UNLIKE, **how)
    spans = spans_of(out, 3).spans
    matches(spans, passes)
    length_s = (spans["end_s"] - spans["start_s"]).where(spans["kind"].isin(["forward", "backward"]), 0.0)
    assert length_s.sum() == pytest.approx(sum(d["compute_s"] for d in out.decisions), rel=EXACT)


def test_the_pass_in_which_a_client_left_ends_when_it_left(run, passes, shifts):
    """In the second round: how its passes compare is known from the first."""
    whole = run(clients=3, rounds=2, compute=UNLIKE, work={"steps": 3})
    own = [one[2:] for one in passes if one[0] == 1 and one[2] > whole.rounds[0]["t_end_s"]]
    assert len(own) == 6  # forward and backward in each step
    between = [(before[1] + after[0]) / 2 for before, after in pairwise(own)]
    for leaves_s in [sum(one) / 2 for one in own] + between:
        passes.clear()
        out = run(clients=3, rounds=2, compute=UNLIKE, presence=shifts({1: [(-1.0, leaves_s)]}), work={"steps": 3})
        drawn = spans_of(out, 3)
        assert max(one[3] for one in passes if one[0] == 1) <= leaves_s
        matches(drawn.spans, passes)
        assert [row["dropped"] for row in out.rounds] == [0, 1]
        assert list(drawn.ends["client"]) == [1] and drawn.ends["reason"].iloc[0] in ("left", "unsent")


@pytest.mark.parametrize("access", ["broadcast", "unicast"])
def test_a_step_is_forward_activations_server_gradient_and_backward(over_the_air, passes, access):
    out = over_the_air(access, SplitRounds())
    spans = spans_of(out, 4).spans
    matches(spans, passes)
    assert set(STEP_KINDS) <= set(spans["kind"])
    whole = spans[spans["share"] == 1.0].sort_values(["client", "start_s"])
    for _, own in whole.groupby("client"):  # never two things at a time
        assert (own["start_s"].to_numpy()[1:] >= own["end_s"].to_numpy()[:-1] - 1e-9).all()
    down = [t for t in out.transmissions if t["direction"] == "down" and t["step"]]
    served = spans[spans["kind"] == "server"]
    assert sorted(served["end_s"]) == pytest.approx(sorted(t["t_request_s"] for t in down), rel=EXACT)
    arrived = {t["t_end_s"] for t in out.transmissions if t["direction"] == "up" and t["outcome"] == "delivered"}
    assert set(served["start_s"]) <= arrived
    gradients = spans[spans["kind"] == "gradient"]
    assert sorted(gradients["end_s"]) == pytest.approx(sorted(t["t_end_s"] for t in down), rel=EXACT)
