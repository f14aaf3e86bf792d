"""Options of TSFA beside its solver: importance, queues of clients, and what becomes of infeasible clients."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfl_sim.checks import check_schedule
from wfl_sim.contracts import PayloadMenu, Point
from wfl_sim.schedules.tsfa import TSFA

FLOAT_SUM = 1e-9  # relative: sums of up to 50 terms that may cancel
BUDGET_S = 1.2


@pytest.mark.parametrize(
    "options",
    [
        {"surrogate": "tail", "importance": "energy"},
        pytest.param({"queues": "client", "queue_start": 1.0}, marks=pytest.mark.slow),
        {"infeasible": "drop", "queue_start": 1.0},
        pytest.param({"infeasible": "cap", "surrogate": "variance", "queue_start": 1.0}, marks=pytest.mark.slow),
    ],
)
def test_it_holds_the_contract(options):
    check_schedule(TSFA(latency_budget_s=2.0, **options))


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1e3)), max_size=50), st.floats(0.01, 100), st.floats(0, 20))
def test_each_client_has_its_own_bound(ended, budget_s, queue_start):
    schedule = TSFA(latency_budget_s=budget_s, queue_start=queue_start, queues="client")
    state = schedule.start()
    for one in ended:
        state = json.loads(json.dumps(schedule.observe(5.0, schedule.observe_clients([one], state))))
    for client in {client for client, _ in ended}:
        times = [time_s for who, time_s in ended if who == client]
        queue = state["clients"][str(client)]
        bound_s = budget_s * (1 + (queue - queue_start) / len(times))
        rounding_s = FLOAT_SUM * (max(times) + budget_s * (1 + queue_start))
        assert queue >= 0 and np.mean(times) <= bound_s + rounding_s
    if ended:
        assert state["queue"] == pytest.approx(np.mean([*state["clients"].values()]), rel=FLOAT_SUM)


def test_the_queues_of_those_who_send_count(make_air, make_requests, mean_snr_hz):
    schedule = TSFA(latency_budget_s=BUDGET_S, queues="client", queue_start=1.0)
    requests = make_requests(mean_snr_hz(np.array([0.1, 0.3, 0.45])))
    state = {"queue": 3.0, "clients": {"0": 9.0, "1": 2.0, "2": 4.0, "7": 100.0}}
    plain = TSFA(latency_budget_s=BUDGET_S)
    assert schedule.decide(0, make_air(), requests, (), state)[0] == plain.decide(
        0, make_air(), requests, (), {"queue": 5.0}
    )[0]  # fmt: skip
    unknown = {"queue": 3.0, "clients": {}}
    assert schedule.decide(0, make_air(), requests, (), unknown)[0] == plain.decide(
        0, make_air(), requests, (), {"queue": 1.0}
    )[0]  # fmt: skip


def test_energy_counts_as_weight_does_and_who_is_unknown_as_the_mean(make_air, make_requests, mean_snr_hz):
    schedule = TSFA(latency_budget_s=BUDGET_S, importance="energy")
    snr = mean_snr_hz(np.array([0.2, 0.3, 0.4, 0.25]))
    requests = [replace(r, importance=g) for r, g in zip(make_requests(snr), (1e-6, 5e-6, np.nan, 3e-6), strict=True)]
    weights = schedule._problem(make_air(), requests).weight
    np.testing.assert_allclose(weights, np.array([1, 5, 3, 3]) / 12, rtol=FLOAT_SUM)
    for unknown in (np.nan, 0.0):
        same = [replace(r, importance=unknown) for r in requests]
        assert schedule._problem(make_air(), same).weight.tolist() == [0.25] * 4
    assert schedule.measures and not replace(schedule, importance="equal").measures


def test_what_becomes_of_an_infeasible_client(make_air, make_requests, mean_snr_hz):
    air, near = make_air(), mean_snr_hz(np.array([0.1, 0.2, 0.3]))
    requests = make_requests(np.insert(near, 1, mean_snr_hz(3.0)))
    schedule = TSFA(latency_budget_s=BUDGET_S, queue_start=2.0)
    for word, action in (("defer", "defer"), ("drop", "skip")):
        decisions, _ = replace(schedule, infeasible=word).decide(0, air, requests, (), schedule.start())
        assert [d.action for d in decisions] == ["send", action, "send", "send"]
    capped = replace(schedule, infeasible="cap")
    decisions, _ = capped.decide(0, air, requests, (), schedule.start())
    assert [d.action for d in decisions] == ["send"] * 4
    assert decisions[1].bandwidth_hz == air.bandwidth_hz / 4
    assert decisions[1].point == requests[1].menu.smallest(schedule.kept_fraction_min)
    # the others as if it were not there, in the rest of the band
    rest, _ = schedule.decide(0, make_air(bandwidth_hz=7.5e6), make_requests(near), (), schedule.start())
    others = [decisions[0], *decisions[2:]]
    assert [(d.point, d.bandwidth_hz) for d in others] == [(d.point, d.bandwidth_hz) for d in rest]
    alone, _ = capped.decide(0, air, make_requests([1.0, 1.0]), (), schedule.start())
    assert [(d.action, d.bandwidth_hz) for d in alone] == [("send", 5e6)] * 2


def test_where_no_point_keeps_so_much_the_densest_is_sent(make_air, make_requests, mean_snr_hz):
    half = PayloadMenu((Point(0.2, 400_000, 0.8), Point(0.5, 10**6, 0.5)))
    requests = make_requests(mean_snr_hz(np.array([0.1, 0.3])), menus=[half] * 2)
    for surrogate in ("contraction", "variance", "tail"):
        schedule = TSFA(latency_budget_s=BUDGET_S, surrogate=surrogate, kept_fraction_min=0.9)
        decisions, _ = schedule.decide(0, make_air(), requests, (), {"queue": 50.0})
        assert [d.point for d in decisions] == [half.points[-1]] * 2
