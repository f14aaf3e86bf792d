"""The search for the time of a round: never worse than a fine grid of times, with the exact allocation at each."""

from __future__ import annotations

import numpy as np
import pytest

from wfl_sim.contracts import PayloadMenu, Point
from wfl_sim.schedules.allocation import allocate
from wfl_sim.schedules.base import end_together
from wfl_sim.schedules.search import solve
from wfl_sim.schedules.tsfa import TSFA

OPTIMAL = 1e-9  # relative: what the project promises for an objective
FLAT = 1e-4  # the objective is flat at its optimum: a relative error of 1e-9 in it is about its root beside it
BUDGET_S, V = 1.2, 10.0


def random_menu(rng, points, dense_bits=19_000_000):
    """Errors that fall from step to step by any amount: no convex curve."""
    bits = np.sort(rng.uniform(0.05, 1.0, points)) * dense_bits
    errors = np.append(np.sort(rng.uniform(0, 1, points - 1))[::-1], 0.0)
    columns = zip((np.arange(points) + 1) / points, bits.astype(int), errors, strict=True)
    return PayloadMenu(tuple(Point(float(kept), int(b), float(e)) for kept, b, e in columns))


def check_against_a_grid(rng, air, mean_snr_hz, make_requests, surrogate, clients, points):
    menus = [random_menu(rng, points) for _ in range(clients)]
    snr_hz = mean_snr_hz(rng.uniform(0.1, 0.4, clients)) * rng.exponential(size=clients)
    requests = make_requests(snr_hz, rng.uniform(0, 0.3, clients), menus)
    problem = TSFA(latency_budget_s=BUDGET_S, surrogate=surrogate, kept_fraction_min=0.01)._problem(air, requests)
    queue = float(10 ** rng.uniform(-0.5, 1.2))
    plan = solve(problem, v=V, queue=queue, budget_s=BUDGET_S, surrogate=surrogate)
    first_s, last_s = (end_together(air, problem.snr_hz, problem.ready_s, bits)[0] for bits in problem.ends(surrogate))
    taus_s = first_s + (last_s - first_s) * np.geomspace(1e-5, 1, 300)
    bits = allocate(problem, taus_s, surrogate).bits
    values = V * problem.errors(bits, surrogate) @ problem.weight + queue * taus_s / BUDGET_S
    assert plan.objective <= values.min() * (1 + OPTIMAL)


@pytest.mark.parametrize("surrogate", ["contraction", "variance", "tail"])
@pytest.mark.parametrize(("clients", "points"), [(1, 4), (2, 2), (6, 12), (8, 40)])
def test_no_time_of_a_fine_grid_is_better(make_air, make_requests, mean_snr_hz, surrogate, clients, points):
    rng = np.random.default_rng([clients, points])
    check_against_a_grid(rng, make_air(), mean_snr_hz, make_requests, surrogate, clients, points)


@pytest.mark.slow
@pytest.mark.parametrize("surrogate", ["contraction", "variance", "tail"])
@pytest.mark.parametrize("csi", ["known", "ergodic"])
def test_no_time_of_a_fine_grid_is_better_over_many_problems(make_air, make_requests, mean_snr_hz, surrogate, csi):
    rng = np.random.default_rng(5)
    for _ in range(30):
        clients, points = int(rng.integers(1, 9)), int(rng.choice([2, 4, 12, 40]))
        check_against_a_grid(rng, make_air(csi), mean_snr_hz, make_requests, surrogate, clients, points)


@pytest.mark.parametrize("queue", [6.0, 12.0, 20.0])
def test_curves_that_are_straight_lines_give_the_plan_of_contraction(make_air, make_requests, mean_snr_hz, queue):
    # errors 1 - rho at bits that are a straight line in rho: `tail` has 30 points on the line that `contraction` draws
    rng, air = np.random.default_rng(17), make_air()
    kept = np.arange(1, 31) / 30
    menus = [
        PayloadMenu(tuple(Point(float(rho), round(rho * 30) * 500_000 + 40_000, float(1 - rho)) for rho in kept))
        for _ in range(6)
    ]
    requests = make_requests(mean_snr_hz(rng.uniform(0.2, 0.5, 6)), rng.uniform(0, 0.3, 6), menus)
    plans = {}
    for surrogate in ("contraction", "tail"):
        schedule = TSFA(latency_budget_s=BUDGET_S, surrogate=surrogate, kept_fraction_min=kept[0])
        problem = schedule._problem(air, requests)
        plans[surrogate] = solve(problem, v=V, queue=queue, budget_s=BUDGET_S, surrogate=surrogate)
    line, hull = plans["contraction"], plans["tail"]
    assert hull.objective == pytest.approx(line.objective, rel=OPTIMAL)
    assert 0 < line.kept_fraction.mean() < 1
    assert hull.tau_s == pytest.approx(line.tau_s, rel=FLAT)
    np.testing.assert_allclose(hull.kept_fraction, line.kept_fraction, atol=FLAT)
