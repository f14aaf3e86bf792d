"""Who is asked in a round, when each begins, and what becomes of those who leave: over a medium of fixed rate."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfl_sim.devices import Compute
from wfl_sim.protocols.buffered import Buffered
from wfl_sim.protocols.deadline import Deadline
from wfl_sim.protocols.sync import Sync
from wfl_sim.radio.options import Downlink, Radio, Uplink

SUM = 1e-12  # relative: sums of tens of floats
LATENCY_S, DOWN_S, COMPUTE_S = 0.01, 0.1, 0.4
BEGIN_S = DOWN_S + LATENCY_S + COMPUTE_S  # of an upload after a broadcast


def of(rows, **wanted):
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def test_a_cohort_is_as_large_as_it_says_and_all_are_alike_likely(act, stub_work):
    out = act(Sync(cohort=5), clients=20, rounds=400, work=stub_work(points=1))
    asked = np.array([[row["client"] for row in of(out.decisions, round=r)] for r in range(1, 401)])
    assert asked.shape == (400, 5) and (np.diff(asked, axis=1) > 0).all(), "rising, so nobody twice"
    counts = np.bincount(asked.ravel(), minlength=20)
    # 400 rounds, each with probability 1/4: mean 100, deviation sqrt(400 x 3/16) = 8.7; 20 clients within 4 of them
    assert np.abs(counts - 100).max() < 4 * 8.7
    assert len({tuple(row) for row in asked.tolist()}) > 300
    again = act(Sync(cohort=5), clients=20, rounds=20)
    assert [row["client"] for row in again.decisions] == asked[:20].ravel().tolist()


def test_a_clients_own_lot_does_not_depend_on_who_else_is_there(act, shifts):
    """Whoever is drawn among all is drawn too where some of the others are away."""
    everyone = act(Sync(cohort=4), clients=12, rounds=20)
    some_away = act(Sync(cohort=4), clients=12, rounds=20, presence=shifts({c: [] for c in (0, 3, 7)}))
    for number in range(1, 21):
        drawn, left = ({row["client"] for row in of(out.decisions, round=number)} for out in (everyone, some_away))
        assert drawn - {0, 3, 7} <= left and not left & {0, 3, 7} and len(left) == 4


def test_only_those_who_are_there_are_asked_and_the_others_are_away(act, shifts):
    out = act(Sync(), rounds=3, presence=shifts({1: [(0.6, 5.0)], 2: []}))  # a round takes longer than 0.6 s
    for row in out.rounds:
        there = [c for c in range(3) if out.world.presence.present(np.array([c]), row["t_start_s"])[0]]
        assert [d["client"] for d in of(out.decisions, round=row["round"])] == there
        assert row["away"] == 3 - len(there)
    assert {row["away"] for row in out.rounds} == {1, 2}


def test_who_leaves_while_it_sends_is_cut_off(act, shifts):
    leaves_s = BEGIN_S + 0.05  # three uploads side by side take 0.3 s
    out = act(Sync(), presence=shifts({1: [(-1.0, leaves_s)]}))
    (cut,) = of(out.transmissions, client=1)
    assert (cut["outcome"], cut["reason"]) == ("dropped", "left")
    assert cut["t_end_s"] == pytest.approx(leaves_s, rel=SUM) and 0 < cut["sent_bits"] < cut["payload_bits"]
    assert (out.rounds[0]["delivered"], out.rounds[0]["dropped"]) == (2, 1)
    assert ("lost", 1) in out.work.calls and sorted(out.work.aggregated[0]) == [0, 2]


def test_who_leaves_while_it_computes_sends_nothing(act, shifts):
    leaves_s = DOWN_S + LATENCY_S + 0.3
    out = act(Sync(), clients=2, presence=shifts({1: [(-1.0, leaves_s)]}))
    assert of(out.transmissions, client=1) == []
    (decision,) = of(out.decisions, client=1)
    assert decision["compute_start_s"] == pytest.approx(DOWN_S + LATENCY_S, rel=SUM)
    assert decision["compute_s"] == pytest.approx(0.3, rel=SUM)
    assert decision["compute_energy_j"] == pytest.approx(2.0 * 0.3, rel=SUM)
    assert (out.rounds[0]["delivered"], out.rounds[0]["dropped"]) == (1, 1)
    assert out.work.calls == [("received", (0, 1)), ("train", 1, (0, 1)), ("stopped", 1)]


def test_who_leaves_before_the_model_has_come_never_trains(act, shifts):
    out = act(Sync(), clients=2, presence=shifts({1: [(-1.0, DOWN_S / 2)]}))
    assert out.work.calls == [("received", (0,)), ("train", 1, (0,))]
    assert of(out.decisions, client=1)[0]["compute_start_s"] is None
    assert (out.rounds[0]["delivered"], out.rounds[0]["dropped"]) == (1, 1)


def test_a_round_in_which_nobody_is_there_waits_and_is_a_row(act, shifts):
    out = act(Sync(retry_s=0.5), clients=2, rounds=3, presence=shifts({c: [(0.9, 9.0)] for c in (0, 1)}))
    assert [(row["away"], row["delivered"]) for row in out.rounds] == [(2, 0), (2, 0), (0, 2)]
    assert [row["t_end_s"] for row in out.rounds[:2]] == [0.5, 1.0]
    assert out.stopped == []


@pytest.mark.parametrize("protocol", [Sync(), Deadline(deadline_s=2.0), Buffered(buffer=1)], ids=lambda p: p.kind)
def test_a_run_ends_with_a_reason_once_nobody_ever_comes_again(act, shifts, protocol):
    out = act(protocol, clients=2, rounds=50, presence=shifts({c: [(-1.0, 3.0)] for c in (0, 1)}))
    assert 1 < len(out.rounds) < 50
    (reason,) = out.stopped
    assert f"after round {len(out.rounds)}" in reason and "nobody is there any more" in reason
    assert out.rounds[-1]["delivered"] == 0 and out.rounds[-1]["t_end_s"] >= 3.0
    assert [row["round"] for row in out.rounds] == list(range(1, len(out.rounds) + 1))
    never = act(protocol, clients=2, rounds=50, presence=shifts({c: [] for c in (0, 1)}))
    assert len(never.rounds) == len(never.stopped) == 1 and never.rounds[0]["away"] == 2
    assert never.transmissions == never.decisions == []


def test_with_unicast_each_begins_when_its_own_copy_has_come(act):
    radio = Radio(uplink=Uplink(bandwidth_hz=1e6), downlink=Downlink(bandwidth_hz=1e6, access="unicast"),
                  latency_s=LATENCY_S)  # fmt: skip
    out = act(Sync(), clients=4, radio=radio)
    for client in range(4):
        down, up = (of(out.transmissions, client=client, direction=d)[0] for d in ("down", "up"))
        assert down["t_end_s"] == pytest.approx((client + 1) * DOWN_S, rel=SUM)
        assert up["t_request_s"] == pytest.approx(down["t_end_s"] + LATENCY_S + COMPUTE_S, rel=SUM)
    assert [row["ready_s"] for row in out.decisions] == pytest.approx([4 * DOWN_S + 2 * LATENCY_S + COMPUTE_S] * 4)
    assert out.rounds[0]["downlink_bits"] == 4 * 100_000
    assert [call for call in out.work.calls if call[0] == "train"] == [("train", 1, (c,)) for c in range(4)]
    broadcast = act(Sync(), clients=4)
    assert {up["t_request_s"] for up in of(broadcast.transmissions, direction="up")} == {BEGIN_S}


def test_a_round_lasts_to_the_last_end_and_its_latency(act):
    out = act(Sync(), clients=3, compute=Compute(time_s=0.4, jitter=0.5), rounds=2)
    for row in out.rounds:
        last_s = max(t["t_end_s"] for t in of(out.transmissions, round=row["round"]))
        assert row["t_end_s"] == pytest.approx(last_s + LATENCY_S, rel=SUM)


@st.composite
def worlds(draw):
    """A small world with every way to fail, and a protocol."""
    clients = draw(st.integers(1, 5))
    some = st.sets(st.integers(0, clients - 1), max_size=2)
    spans = {}
    for client in draw(some):
        edges = sorted(draw(st.lists(st.floats(0.0, 8.0), min_size=2, max_size=4, unique=True)))
        spans[client] = list(zip(edges[::2], edges[1::2], strict=False))
    protocol = draw(
        st.one_of(
            st.builds(Sync, cohort=st.one_of(st.none(), st.integers(1, clients))),
            st.builds(Deadline, deadline_s=st.floats(0.45, 2.0), late=st.sampled_from(["drop", "carry"])),
            st.builds(Buffered, buffer=st.integers(1, clients), concurrency=st.integers(1, clients)),
        )
    )
    access = draw(st.sampled_from(["broadcast", "unicast"]))
    jitter = draw(st.sampled_from([0.0, 0.6]))
    return clients, protocol, spans, draw(some), draw(some), access, jitter


@given(worlds())
@settings(max_examples=60)
def test_rows_reconcile_and_time_never_goes_back(act, shifts, world):
    clients, protocol, spans, deaf, mute, access, jitter = world
    radio = Radio(uplink=Uplink(bandwidth_hz=1e6), downlink=Downlink(bandwidth_hz=1e6, access=access), latency_s=0.01)
    out = act(protocol, clients=clients, rounds=6, presence=shifts(spans), deaf=deaf, mute=mute, radio=radio,
              compute=Compute(time_s=0.4, jitter=jitter))  # fmt: skip
    assert len(out.rounds) == 6 or out.stopped
    carries = protocol.kind == "buffered" or getattr(protocol, "late", "") == "carry"
    sent = {"up": 0, "down": 0}
    joules, ended_s, busy = 0.0, 0.0, 0
    for row in out.rounds:
        assert row["t_start_s"] == ended_s and row["t_end_s"] >= ended_s
        ended_s = row["t_end_s"]
        for t in of(out.transmissions, round=row["round"]):
            sent[t["direction"]] += t["sent_bits"]
            assert t["t_request_s"] <= t["t_start_s"] <= t["t_end_s"] <= ended_s * (1 + SUM)
        joules += sum(t["energy_j"] for t in of(out.transmissions, round=row["round"]))
        assert (row["uplink_bits"], row["downlink_bits"]) == (sent["up"], sent["down"])
        called = len(of(out.decisions, round=row["round"], action="send"))
        assert called + busy == row["delivered"] + row["dropped"] + row["late"]
        busy = row["late"] if carries else 0
        assert row["away"] <= clients and (row["staleness_mean"] is None) == (row["delivered"] == 0)
    energy_j = sum(t["energy_j"] for t in out.transmissions) + sum(d["compute_energy_j"] for d in out.decisions)
    assert out.rounds[-1]["energy_j"] == pytest.approx(energy_j, rel=SUM)
    assert sum(len(arrivals) for arrivals in out.work.aggregated) == sum(row["delivered"] for row in out.rounds)
    spans_hz = sorted(out.medium.granted)
    for begin_s, _, _ in spans_hz:  # no grant on top of the band
        assert sum(hz for a, b, hz in spans_hz if a <= begin_s < b) <= 1e6 * (1 + SUM) + 1e-3
    assert not math.isnan(ended_s)
