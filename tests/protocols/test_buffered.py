from __future__ import annotations

import numpy as np
import pytest

from channels.erasure import IndependentLoss
from wfl_sim.codecs.base import Layout
from wfl_sim.codecs.dense import Dense
from wfl_sim.devices import Compute
from wfl_sim.federation import Federation
from wfl_sim.methods.head_only import HeadOnly
from wfl_sim.protocols.buffered import Buffered
from wfl_sim.protocols.staleness import Constant, Hinge, Polynomial
from wfl_sim.radio.options import Radio, Uplink

SUM = 1e-12  # relative: sums of tens of floats
SINGLES = 20 * 4 * 2.0**-24  # relative: 20 updates, each of four roundings in float32
LATENCY_S, DOWN_S, COMPUTE_S = 0.01, 0.1, 0.4


def of(rows, **wanted):
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def test_the_weights_of_an_age():
    """FedAsync's three families, from their formulas."""
    assert [Constant().weight(age) for age in (0, 1, 50)] == [1.0] * 3
    assert [Polynomial(exponent=0.5).weight(age) for age in (0, 3, 8)] == pytest.approx([1, 1 / 2, 1 / 3], rel=SUM)
    hinge = Hinge(slope=10.0, grace=4.0)
    assert [hinge.weight(age) for age in (0, 4, 5, 6)] == pytest.approx([1, 1, 1 / 11, 1 / 21], rel=SUM)
    assert Polynomial(exponent=0.0).weight(7) == Hinge(slope=0.0).weight(7) == 1.0


def test_one_client_with_a_buffer_of_one_goes_round_and_round(act):
    out = act(Buffered(buffer=1, concurrency=1), clients=1, rounds=4)
    # in the whole band an upload takes 0.1 s, as the downlink does
    cycle_s = DOWN_S + LATENCY_S + COMPUTE_S + 0.1 + LATENCY_S
    assert [row["t_end_s"] for row in out.rounds] == pytest.approx([n * cycle_s for n in (1, 2, 3, 4)], rel=SUM)
    assert [row["staleness_mean"] for row in out.rounds] == [0.0] * 4
    assert [(row["delivered"], row["late"], row["dropped"]) for row in out.rounds] == [(1, 0, 0)] * 4
    assert out.work.factors == [{0: 1.0}] * 4


def test_no_more_are_active_than_may_be_and_their_places_are_their_band(act):
    out = act(Buffered(buffer=2, concurrency=3), clients=10, rounds=30, compute=Compute(time_s=0.4, jitter=0.5))
    assert {t["bandwidth_hz"] for t in of(out.transmissions, direction="up")} == {1e6 / 3}
    times = sorted(d["t_s"] for d in of(out.decisions, action="send"))
    ends = sorted(t["t_end_s"] + LATENCY_S for t in of(out.transmissions, direction="up"))
    for time_s in times:
        active = sum(t <= time_s for t in times) - sum(e <= time_s * (1 + SUM) for e in ends)
        assert active <= 3
    assert len(times) >= 60 and {d["client"] for d in out.decisions} == set(range(10))
    for begin_s, _, _ in out.medium.granted:
        assert sum(hz for a, b, hz in out.medium.granted if a <= begin_s < b) <= 1e6 * (1 + SUM)


def test_ages_count_the_versions_since_the_model_was_sent(act):
    protocol = Buffered(buffer=2, concurrency=4, staleness=Polynomial(exponent=1.0), weights="examples", server_lr=0.5)
    out = act(protocol, clients=6, rounds=25, compute=Compute(time_s=0.4, jitter=0.8))
    updated_s = [row["t_end_s"] for row in out.rounds]
    seen = []
    for row, factors in zip(out.rounds, out.work.factors, strict=True):
        ages = []
        for client in factors:
            ups = [t for t in of(out.transmissions, client=client, outcome="delivered") if t["round"] <= row["round"]]
            calls = [d for d in of(out.decisions, client=client, action="send") if d["t_s"] < ups[-1]["t_end_s"]]
            fetched = sum(time_s <= calls[-1]["t_s"] for time_s in updated_s)
            ages.append(row["round"] - 1 - fetched)
        assert row["staleness_mean"] == pytest.approx(np.mean(ages), rel=SUM)
        assert [*factors.values()] == pytest.approx([0.5 / (1 + age) for age in ages], rel=SUM)
        seen += ages
    assert max(seen) >= 2 and min(seen) == 0


def test_with_uniform_weights_shares_of_the_data_cancel(stub_work):
    """Work weighs by data: w_k / W; the factors turn that into s / K, whatever the weights."""
    work, ages = stub_work(), {0: 0, 4: 3, 2: 1}
    factors = Buffered(buffer=3, server_lr=0.7).factors(ages, work)
    total = sum(work.weight(client) for client in ages)
    for client, age in ages.items():
        count = factors[client] * work.weight(client) / total
        assert count == pytest.approx(0.7 / 3 / np.sqrt(1 + age), rel=SUM)


def test_a_client_in_the_buffer_is_not_called_again_before_the_update(act):
    out = act(Buffered(buffer=3, concurrency=3), clients=3, rounds=5)
    assert [sorted(arrivals) for arrivals in out.work.aggregated] == [[0, 1, 2]] * 5
    few = act(Buffered(buffer=4, concurrency=2), clients=4, rounds=5, compute=Compute(time_s=0.4, jitter=0.5))
    assert [sorted(arrivals) for arrivals in few.work.aggregated] == [[0, 1, 2, 3]] * 5


def test_a_place_is_filled_when_the_end_is_known(act):
    out = act(Buffered(buffer=1, concurrency=1), clients=5, rounds=6)
    ends_s = [t["t_end_s"] + LATENCY_S for t in of(out.transmissions, direction="up")]
    assert [d["t_s"] for d in out.decisions][1:] == pytest.approx(ends_s[:-1], rel=SUM)
    assert [row["t_start_s"] for row in out.rounds[1:]] == [row["t_end_s"] for row in out.rounds[:-1]]


def test_who_was_dropped_is_replaced_and_its_change_goes_back(act):
    out = act(Buffered(buffer=2, concurrency=2), clients=4, rounds=5, mute=(1,))
    dropped = of(out.transmissions, client=1, direction="up")
    assert dropped and {t["outcome"] for t in dropped} == {"dropped"}
    assert [call for call in out.work.calls if call[0] == "lost"] == [("lost", 1)] * len(dropped)
    assert all(1 not in arrivals and len(arrivals) == 2 for arrivals in out.work.aggregated)
    assert sum(row["dropped"] for row in out.rounds) == len(dropped)


def test_where_nothing_ever_arrives_rounds_are_rows_without_an_update(act):
    out = act(Buffered(buffer=2, concurrency=2), clients=3, rounds=4, mute=(0, 1, 2))
    assert [row["delivered"] for row in out.rounds] == [0] * 4 and out.work.aggregated == []
    assert all(row["dropped"] >= 3 for row in out.rounds) and out.state.version == 0
    ends_s = [row["t_end_s"] for row in out.rounds]
    assert ends_s == sorted(ends_s) and ends_s[0] > 0


def test_who_is_deferred_is_asked_again_after_retry(act, shares):
    class Later(shares):
        """Lets nobody send before 2 s."""

        def decide(self, now_s, air, requests, in_flight, state):
            decisions, state = super().decide(now_s, air, requests, in_flight, state)
            if now_s < 2.0:
                decisions = [type(d)(d.client, "defer", 0.0, d.point) for d in decisions]
            return decisions, state

    out = act(Buffered(buffer=1, concurrency=2, retry_s=0.7), clients=2, rounds=6, schedule=Later())
    deferred = of(out.decisions, action="defer")
    assert [(d["client"], d["t_s"]) for d in deferred] == [
        (client, pytest.approx(time_s)) for time_s in (0.0, 0.7, 1.4) for client in (0, 1)
    ]
    assert min(d["t_s"] for d in of(out.decisions, action="send")) == pytest.approx(2.1)
    # two requests in vain are as many as there are clients: a row, when they are asked again
    assert [(row["t_end_s"], row["delivered"], row["deferred"]) for row in out.rounds[:3]] == [
        (pytest.approx(time_s), 0, 2) for time_s in (0.7, 1.4, 2.1)
    ]
    assert [row["delivered"] for row in out.rounds[3:]] == [1, 1, 1]


def test_who_comes_takes_a_place_that_is_free(act, shifts):
    out = act(Buffered(buffer=1, concurrency=2), clients=2, rounds=6, presence=shifts({1: [(0.77, 100.0)]}))
    first_s = min(d["t_s"] for d in of(out.decisions, client=1))
    assert first_s == pytest.approx(0.77, rel=SUM)


def test_decisions_of_calls_that_outlast_a_round_are_written_whole(act):
    out = act(Buffered(buffer=1, concurrency=4), clients=8, rounds=20, compute=Compute(time_s=0.05, jitter=1.0))
    for row in of(out.decisions, action="send"):
        ups = [t for t in of(out.transmissions, client=row["client"], direction="up") if t["t_end_s"] > row["t_s"]]
        if ups:
            begun_s = row["compute_start_s"] + row["compute_s"]
            assert ups[0]["t_request_s"] == pytest.approx(begun_s, rel=SUM)
    assert len(of(out.decisions, action="send")) == len({(r["client"], r["t_s"]) for r in out.decisions})


def test_a_run_is_the_same_again(act):
    protocol = Buffered(buffer=2, concurrency=3)
    one, other = (act(protocol, clients=7, rounds=8, compute=Compute(time_s=0.4, jitter=0.5)) for _ in "ab")
    assert (one.rounds, one.transmissions, one.decisions) == (other.rounds, other.transmissions, other.decisions)
    third = act(protocol, clients=7, rounds=8, compute=Compute(time_s=0.4, jitter=0.5), seed=2)
    assert [d["client"] for d in one.decisions] != [d["client"] for d in third.decisions]


class Drifts:
    """A learner of one number, which each client moves by a step of its own."""

    layout = Layout((), ("head.weight",), {"head.weight": (1, 1)})
    frozen = {}  # noqa: RUF012

    def initial(self):
        return {"head.weight": np.zeros((1, 1), np.float32)}

    def examples(self, client):
        return 10 * (1 + client)

    def train(self, starts, round_):
        after = {client: start["head.weight"] + np.float32(1 + client) for client, start in starts.items()}
        return {client: lambda value=value: {"head.weight": value} for client, value in after.items()}

    def evaluate(self, params):
        return {"accuracy": float(params["head.weight"][0, 0]), "loss": 0.0}


def test_protocol_and_federation_agree_on_every_age_and_the_model_moves_by_the_formula(act):
    seen = []

    class Watched(HeadOnly):
        def aggregate(self, model, arrivals):
            seen.append({arrival.client: arrival.staleness for arrival in arrivals})
            return super().aggregate(model, arrivals)

    work = Federation(Watched(), Dense(bits=32), Drifts(), 6)
    protocol = Buffered(buffer=2, concurrency=4, server_lr=0.9, staleness=Hinge(slope=1.0, grace=0.0))
    out = act(protocol, clients=6, rounds=20, work=work, compute=Compute(time_s=0.4, jitter=0.8))
    level = 0.0
    for row, ages in zip(out.rounds, seen, strict=True):
        assert row["staleness_mean"] == pytest.approx(np.mean([*ages.values()]), rel=SUM)
        level += 0.9 / 2 * sum((1 + client) / (1 + age) for client, age in ages.items())
        assert row["accuracy"] == pytest.approx(level, rel=SINGLES)
    assert max(max(ages.values()) for ages in seen) >= 2


@pytest.mark.parametrize("work_conserving", [True, False])
def test_over_the_real_medium_bits_reconcile(play, shares, work_conserving):
    radio = Radio(uplink=Uplink(bandwidth_hz=1e6, work_conserving=work_conserving), latency_s=0.005)
    loss = IndependentLoss(probability=0.05, origin="interference")
    out = play(clients=6, rounds=8, from_m=100.0, to_m=500.0, radio=radio, loss=loss,
               protocol=Buffered(buffer=2, concurrency=3), schedule=shares(),
               compute=Compute(time_s=0.2, jitter=0.4))  # fmt: skip
    assert [row["delivered"] for row in out.rounds] == [2] * 8
    for direction in ("up", "down"):
        sent = sum(t["sent_bits"] for t in of(out.transmissions, direction=direction))
        assert out.rounds[-1][f"{direction}link_bits"] == sent > 0
    called = len(of(out.decisions, action="send"))
    ended = sum(row["delivered"] + row["dropped"] for row in out.rounds)
    assert called == ended + out.rounds[-1]["late"]
