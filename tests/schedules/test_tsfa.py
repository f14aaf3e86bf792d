from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import lambertw

from channels.options import OptionError
from channels.ratecurve import RateCurve
from wfl_sim.contracts import PayloadMenu, Point
from wfl_sim.schedules.allocation import Problem, surrogate_error
from wfl_sim.schedules.base import finish_together
from wfl_sim.schedules.min_max import MinMax
from wfl_sim.schedules.tsfa import TSFA, solve

OPTIMAL = 1e-9  # relative: what the project promises against SLSQP
FEASIBLE = 1e-9  # relative: what the project promises for the band and for the planned time
CLOSED_FORM = 1e-11  # relative: W0 near its branch point -1/e loses half the digits of c, here 1e-3 at least
FLOAT_SUM = 1e-9  # relative: sums of up to 50 terms that may cancel to 1e-6 of their size
BUDGET_S, DENSE_BITS = 1.2, 18_900_000


def random_problem(rng, air, mean_snr_hz):
    number = 5
    return Problem(
        air=air,
        snr_hz=mean_snr_hz(rng.uniform(0.05, 0.5, number)) * rng.exponential(size=number),
        ready_s=rng.uniform(0.0, 0.4, number),
        fixed_bits=rng.uniform(0.0, 1e5, number),
        scaled_bits=rng.uniform(0.3, 1.5, number) * DENSE_BITS,
        weight=rng.dirichlet(np.full(number, 2.0)),
        kept_fraction_min=float(rng.choice([0.02, 0.05, 0.2])),
    )


def objective(problem, kept, tau_s, v, queue, surrogate):
    error = 1 - kept if surrogate == "contraction" else 1 / kept - 1
    return v * float(problem.weight @ error) + queue * tau_s / BUDGET_S


def needed_s(problem, kept, bandwidth_hz):
    """The earliest time at which all have ended."""
    rate = problem.air.rate_bps(bandwidth_hz, problem.snr_hz)
    return float((problem.ready_s + (problem.fixed_bits + kept * problem.scaled_bits) / rate).max())


def by_slsqp(problem, starts, v, queue, surrogate):
    """The best objective that SLSQP finds over (rho, b / B, tau / tau_0) from the given starts.

    Its points may miss the constraints by its tolerance; so the bandwidths are cut to the band, and tau is what
    the kept fractions then need: every objective returned is that of a feasible plan.
    """
    air, k = problem.air, problem.snr_hz.size
    unit_s = starts[0][1]

    def split(x):
        return x[:k], np.maximum(x[k : 2 * k], 1e-9) * air.bandwidth_hz, x[-1] * unit_s

    def value(x):
        kept, _, tau_s = split(x)
        return objective(problem, kept, tau_s, v, queue, surrogate)

    def slope(x):
        kept = split(x)[0]
        error = -np.ones(k) if surrogate == "contraction" else -1 / kept**2
        return np.concatenate([v * problem.weight * error, np.zeros(k), [queue * unit_s / BUDGET_S]])

    def room(x):  # (s R - D0 - rho D) / D of each client, and what is left of the band
        kept, band, tau_s = split(x)
        bits = (tau_s - problem.ready_s) * air.rate_bps(band, problem.snr_hz) - problem.fixed_bits
        return np.append(bits / problem.scaled_bits - kept, 1 - band.sum() / air.bandwidth_hz)

    def room_slope(x):
        _, band, tau_s = split(x)
        by_band = (tau_s - problem.ready_s) * air.goodput * air.curve.slope(band, problem.snr_hz) * air.bandwidth_hz
        by_tau = air.rate_bps(band, problem.snr_hz) * unit_s
        rows = np.hstack([
            -np.eye(k), np.diag(by_band / problem.scaled_bits), (by_tau / problem.scaled_bits)[:, None]
        ])  # fmt: skip
        return np.vstack([rows, np.concatenate([np.zeros(k), -np.ones(k), [0.0]])])

    found = []
    for kept, tau_s, band in starts:
        result = minimize(
            value,
            np.concatenate([kept, band / air.bandwidth_hz, [tau_s / unit_s]]),
            jac=slope,
            method="SLSQP",
            bounds=[(problem.kept_fraction_min, 1.0)] * k + [(1e-6, 1.0)] * k + [(1e-3, 1e3)],
            constraints={"type": "ineq", "fun": room, "jac": room_slope},
            options={"ftol": 1e-15, "maxiter": 400},
        )
        if not np.all(np.isfinite(result.x)):
            continue
        kept, band, _ = split(result.x)
        kept = np.clip(kept, problem.kept_fraction_min, 1.0)
        band = band * min(1.0, air.bandwidth_hz / band.sum())
        found.append(objective(problem, kept, needed_s(problem, kept, band), v, queue, surrogate))
    return min(found)


@pytest.mark.parametrize("csi", ["known", "ergodic"])
@pytest.mark.parametrize("surrogate", ["contraction", "variance"])
def test_never_worse_than_slsqp(make_air, mean_snr_hz, surrogate, csi):
    rng, air = np.random.default_rng([3, len(csi), len(surrogate)]), make_air(csi, loss=0.05)
    gaps, interior, improved = [], 0, 0
    for _ in range(8):
        problem = random_problem(rng, air, mean_snr_hz)
        v, queue = 10.0, 10.0 ** rng.uniform(0.2, 0.9)  # about where the loop below settles
        plan = solve(problem, v=v, queue=queue, budget_s=BUDGET_S, surrogate=surrogate)

        # the plan is what it says, and can be carried out
        value = objective(problem, plan.kept_fraction, plan.tau_s, v, queue, surrogate)
        assert plan.objective == pytest.approx(value, rel=OPTIMAL)
        assert plan.bandwidth_hz.sum() <= air.bandwidth_hz * (1 + FEASIBLE)
        assert needed_s(problem, plan.kept_fraction, plan.bandwidth_hz) <= plan.tau_s * (1 + FEASIBLE)
        assert np.all((plan.kept_fraction >= problem.kept_fraction_min) & (plan.kept_fraction <= 1))

        starts = []
        for rho in (1.0, problem.kept_fraction_min, 0.5):
            bits = problem.fixed_bits + rho * problem.scaled_bits
            tau_s, band = finish_together(air, problem.snr_hz, problem.ready_s, bits)
            starts.append((np.full(5, rho), tau_s, band))
        kept, band = rng.uniform(problem.kept_fraction_min, 1.0, 5), np.full(5, air.bandwidth_hz / 5)
        starts.append((kept, needed_s(problem, kept, band), band))
        started = min(objective(problem, kept, tau_s, v, queue, surrogate) for kept, tau_s, _ in starts)
        best = by_slsqp(problem, starts, v, queue, surrogate)
        assert plan.objective <= best * (1 + OPTIMAL)
        # nor can it be improved from where it ended
        own = by_slsqp(problem, [(plan.kept_fraction, plan.tau_s, plan.bandwidth_hz)], v, queue, surrogate)
        assert plan.objective <= own * (1 + OPTIMAL)
        gaps.append(plan.objective / min(best, own) - 1)
        improved += best < started * (1 - 1e-6)
        between = (plan.kept_fraction > problem.kept_fraction_min + 1e-6) & (plan.kept_fraction < 1 - 1e-6)
        interior += bool(between.any())
    print(f"gap to the best SLSQP, {surrogate}, {csi}: {min(gaps):.1e} to {max(gaps):.1e}, interior {interior}")
    assert interior >= 3 and improved >= 3  # so that the comparison is with an optimiser that worked, inside the bounds


@pytest.mark.parametrize("gap", [1.0, 2.0])
def test_bandwidth_of_a_price_in_closed_form(gap):
    # R'(b) = log2(1 + x) - x / ((1 + x) ln 2) with x = snr_hz / (b gap); with u = 1 / (1 + x) and c = ln 2 times the
    # slope, c = -ln u - (1 - u), so u = -W0(-exp(-(1 + c))) and b = (snr_hz / gap) u / (1 - u)   (methods: c = ln 2 mu
    # D_k / (w_k G_k s_k), where mu D_k / (w_k G_k s_k) is the slope at which a client stops buying).
    curve = RateCurve([1.0], [1.0], gap=gap)
    slope = np.geomspace(1e-3, 30.0, 60) / np.log(2)
    snr_hz = np.geomspace(1e4, 1e9, 6)[:, None]
    u = -lambertw(-np.exp(-(1 + np.log(2) * slope))).real
    np.testing.assert_allclose(curve.bandwidth_for_slope(slope, snr_hz), snr_hz / gap * u / (1 - u), rtol=CLOSED_FORM)
    # small c: 1 - u -> sqrt(2 c), the next term is 2 c / 3
    small = np.array([1e-12, 1e-10])
    x = np.sqrt(2 * small)
    np.testing.assert_allclose(curve.bandwidth_for_slope(small / np.log(2), 1e6), 1e6 / gap / x, rtol=2 * x.max())


def test_the_plan_of_contraction_satisfies_the_closed_form(make_air, mean_snr_hz):
    rng, air = np.random.default_rng(21), make_air()
    checked = 0
    for _ in range(8):
        # weak links, where the rate bends most, so that several clients end inside [rho_min, 1]
        problem = random_problem(rng, air, mean_snr_hz)._replace(snr_hz=mean_snr_hz(rng.uniform(0.8, 1.2, 5)))
        plan = solve(problem, v=10.0, queue=1.0, budget_s=BUDGET_S)
        # all clients that are not at an end of [rho_min, 1] pay one price for a hertz
        between = (plan.kept_fraction > problem.kept_fraction_min + 1e-6) & (plan.kept_fraction < 1 - 1e-6)
        if between.sum() < 2:
            continue
        snr_hz, band = problem.snr_hz[between] / 10**0.3, plan.bandwidth_hz[between]
        x = snr_hz / band
        slope = (np.log1p(x) - x / (1 + x)) / np.log(2)
        price = (problem.weight * (plan.tau_s - problem.ready_s) / problem.scaled_bits)[between] * air.goodput * slope
        np.testing.assert_allclose(price, price[0], rtol=FEASIBLE)
        checked += 1
    assert checked >= 2


@given(
    st.lists(st.floats(0.0, 1e3), min_size=1, max_size=50),
    st.floats(0.01, 100.0),
    st.floats(0.0, 20.0),
)
def test_queue_bound_for_any_policy(taus_s, budget_s, queue_start):
    schedule = TSFA(latency_budget_s=budget_s, queue_start=queue_start)
    state = schedule.start()
    assert state == {"queue": queue_start}
    for tau_s in taus_s:
        before = state["queue"]
        state = schedule.observe(tau_s, state)
        assert state["queue"] >= 0 and state["queue"] - before >= tau_s / budget_s - 1 - FLOAT_SUM * (before + 1)
    bound_s = budget_s * (1 + (state["queue"] - queue_start) / len(taus_s))
    rounding_s = FLOAT_SUM * (max(taus_s) + budget_s * (1 + queue_start))
    assert np.mean(taus_s) <= bound_s + rounding_s


def test_the_queue_forgets_what_was_saved_below_zero():
    # 0.5 + 2 - 1 = 1.5; 1.5 + 0.25 - 1 = 0.75; 0.75 + 0 - 1 < 0
    schedule, state, queue = TSFA(latency_budget_s=2.0, queue_start=0.5), {"queue": 0.5}, []
    for tau_s in (4.0, 0.5, 0.0):
        state = schedule.observe(tau_s, state)
        queue.append(state["queue"])
    assert queue == [1.5, 0.75, 0.0]
    assert schedule.latency_budget == 2.0


@pytest.mark.parametrize("surrogate", ["contraction", "variance"])
def test_an_empty_queue_gives_the_dense_min_max_plan(make_air, make_requests, mean_snr_hz, surrogate):
    air = make_air(loss=0.1, packet_bits=12_000, header_bits=320)
    requests = make_requests(mean_snr_hz(np.array([0.1, 0.2, 0.3, 0.45])), ready_s=[0.2, 0.0, 0.1, 0.3])
    schedule = TSFA(latency_budget_s=BUDGET_S, surrogate=surrogate)
    ours, _ = schedule.decide(0.0, air, requests, (), {"queue": 0.0})
    dense, _ = MinMax().decide(0.0, air, requests, (), {})
    assert [d.point for d in ours] == [d.point for d in dense] == [requests[0].menu.points[-1]] * 4
    assert [d.bandwidth_hz for d in ours] == pytest.approx([d.bandwidth_hz for d in dense], rel=FEASIBLE)


@pytest.mark.parametrize("surrogate", ["contraction", "variance"])
def test_a_longer_queue_buys_time_with_error(make_air, mean_snr_hz, surrogate):
    rng = np.random.default_rng(8)
    problem = random_problem(rng, make_air("ergodic"), mean_snr_hz)
    plans = [solve(problem, v=10.0, queue=q, budget_s=BUDGET_S, surrogate=surrogate) for q in (0.1, 1.0, 10.0, 100.0)]
    errors = [float(surrogate_error(surrogate, plan.kept_fraction) @ problem.weight) for plan in plans]
    assert errors == sorted(errors) and errors[0] < errors[-1]
    taus_s = [plan.tau_s for plan in plans]
    assert taus_s == sorted(taus_s, reverse=True) and taus_s[0] > taus_s[-1]
    # only queue / v matters
    scaled = solve(problem, v=1.0, queue=0.1, budget_s=BUDGET_S, surrogate=surrogate)
    assert scaled.objective * 10 == pytest.approx(plans[1].objective, rel=OPTIMAL)


@pytest.mark.parametrize("csi", ["known", "ergodic"])
@pytest.mark.parametrize("number", [3, 40])
def test_flooring_to_the_menu_keeps_the_planned_time(
    make_air, make_requests, make_menu, mean_snr_hz, ends_s, csi, number
):
    rng = np.random.default_rng(number)
    air = make_air(csi, loss=0.02, packet_bits=12_000, header_bits=320)
    menus = [make_menu(dense_bits=n * 10**6, number=number, fixed_bits=40_000) for n in (9, 14, 19, 8, 16)]
    schedule = TSFA(latency_budget_s=BUDGET_S, v=10.0, kept_fraction_min=0.05)
    shrunk = 0
    for queue in (0.3, 1.0, 3.0, 10.0):
        requests = make_requests(mean_snr_hz(rng.uniform(0.05, 0.5, 5)), rng.uniform(0, 0.4, 5), menus)
        decisions, _ = schedule.decide(0.0, air, requests, (), {"queue": queue})
        plan = solve(schedule._problem(air, requests), v=10.0, queue=queue, budget_s=BUDGET_S)
        assert ends_s(air, requests, decisions).max() <= plan.tau_s * (1 + FEASIBLE)
        kept = np.array([d.point.kept_fraction for d in decisions])
        assert np.all(kept <= plan.kept_fraction + FEASIBLE)
        assert np.all(kept > plan.kept_fraction - 1 / number - 1e-3)  # packet headers come in whole numbers
        shrunk += int(np.sum(kept < 1))
    assert shrunk > 0


def test_the_smallest_point_that_may_be_sent_is_planned_for(make_air, make_requests, make_menu, mean_snr_hz, ends_s):
    # no point at rho_min: the least that can be sent is .10, and a plan that lets a client send .07 cannot be kept
    air, schedule = make_air(), TSFA(latency_budget_s=BUDGET_S, kept_fraction_min=0.07)
    requests = make_requests(mean_snr_hz(np.array([0.1, 0.2, 0.4])), menus=[make_menu(number=20)] * 3)
    decisions, _ = schedule.decide(0.0, air, requests, (), {"queue": 1e4})
    plan = solve(schedule._problem(air, requests), v=10.0, queue=1e4, budget_s=BUDGET_S)
    assert [d.point.kept_fraction for d in decisions] == [0.1] * 3
    assert ends_s(air, requests, decisions).max() <= plan.tau_s * (1 + FEASIBLE)


def test_a_hopeless_client_is_deferred_and_the_others_go_on(make_air, make_requests, mean_snr_hz):
    air, schedule = make_air(), TSFA(latency_budget_s=BUDGET_S, queue_start=1.0, patience=4.0)
    near = mean_snr_hz(np.array([0.1, 0.2, 0.3]))
    decisions, state = schedule.decide(0.0, air, make_requests(np.insert(near, 1, 1.0)), (), schedule.start())
    assert [d.action for d in decisions] == ["send", "defer", "send", "send"]
    assert decisions[1].bandwidth_hz == 0.0
    alone, _ = schedule.decide(0.0, air, make_requests(near), (), schedule.start())
    assert [d.point for d in decisions if d.action == "send"] == [d.point for d in alone]
    everyone, _ = schedule.decide(0.0, air, make_requests(np.ones(4)), (), schedule.start())
    assert [d.action for d in everyone] == ["defer"] * 4
    assert state == schedule.start()


def test_a_hopeless_downlink_keeps_nobody_waiting(make_air, make_requests, mean_snr_hz):
    air, schedule = make_air(), TSFA(latency_budget_s=BUDGET_S, queue_start=1.0, patience=4.0)
    requests = make_requests(mean_snr_hz(np.array([0.1, 0.2, 0.3])), ready_s=np.full(3, 0.1))
    times_s = (0.2, 60.0, 0.3)
    requests = [replace(r, downlink_s=t) for r, t in zip(requests, times_s, strict=True)]
    decisions, _ = schedule.decide(0.0, air, requests, (), schedule.start())
    assert [d.action for d in decisions] == ["send", "defer", "send"]
    # the broadcast to the two others takes the longer of theirs, 0.3 s, and their uploads start 0.1 s later
    others = [replace(r, downlink_s=0.0, ready_s=0.4) for r in (requests[0], requests[2])]
    alone, _ = schedule.decide(0.0, air, others, (), schedule.start())
    assert [d.point for d in decisions if d.action == "send"] == [d.point for d in alone]
    assert [d.bandwidth_hz for d in decisions if d.action == "send"] == [d.bandwidth_hz for d in alone]


def test_patience_is_the_time_of_the_smallest_upload_alone(make_air, make_requests, make_menu):
    air, menu = make_air(), make_menu(number=10)
    snr_hz = 1e6
    alone_s = 0.25 + menu.points[1].bits / float(air.rate_bps(np.array([10e6]), np.array([snr_hz]))[0])  # rho >= 0.15
    for patience, action in ((alone_s / BUDGET_S * 1.001, "send"), (alone_s / BUDGET_S * 0.999, "defer")):
        schedule = TSFA(latency_budget_s=BUDGET_S, kept_fraction_min=0.15, patience=patience)
        decisions, _ = schedule.decide(0.0, air, make_requests([snr_hz], [0.25], [menu]), (), {"queue": 5.0})
        assert decisions[0].action == action
        assert decisions[0].point == menu.points[1]  # the queue is long: the smallest that it may send


def test_menus_of_one_point(make_air, make_requests, mean_snr_hz, ends_s):
    air, dense = make_air(), PayloadMenu((Point(1.0, 10**6, 0.0),))
    requests = make_requests(mean_snr_hz(np.array([0.1, 0.4])), menus=[dense] * 2)
    decisions, _ = TSFA(latency_budget_s=BUDGET_S).decide(0.0, air, requests, (), {"queue": 50.0})
    expected, _ = MinMax().decide(0.0, air, requests, (), {})
    assert [d.point for d in decisions] == [dense.points[0]] * 2
    assert [d.bandwidth_hz for d in decisions] == pytest.approx([d.bandwidth_hz for d in expected], rel=FEASIBLE)


def test_options_out_of_range():
    for bad in ({"patience": 0.5}, {"v": 0.0}, {"kept_fraction_min": 0.0}, {"queue_start": -1.0}):
        with pytest.raises(OptionError, match=next(iter(bad))):
            TSFA(latency_budget_s=1.0, **bad)


# -- the reference scenario of the methods, part I.4: 10 clients in 50 to 500 m, i.i.d. Rayleigh block fading ----------


@pytest.fixture(scope="module")
def stationary_loop(make_air, make_menu, make_requests, mean_snr_hz, ends_s):
    """Decide and observe for some rounds; what came out, for one V. All V see the same gains."""

    def loop(v, rounds):
        rng = np.random.default_rng(7)
        mean = mean_snr_hz(np.sqrt(rng.uniform(0.05**2, 0.5**2, 10)))
        fading = rng.exponential(size=(rounds, 10))
        air = make_air(overhead=0.0, curve=RateCurve([1.0], [1.0]))
        schedule = TSFA(csi="block", latency_budget_s=BUDGET_S, v=v, kept_fraction_min=0.05)
        menus, state, taus_s, kept = [make_menu(DENSE_BITS, 100)] * 10, schedule.start(), [], []
        for gains in fading:
            requests = make_requests(mean * gains, menus=menus)
            decisions, state = schedule.decide(0.0, air, requests, (), state)
            taus_s.append(ends_s(air, requests, decisions).max(initial=0.0))
            kept += [d.point.kept_fraction for d in decisions if d.action == "send"]
            state = schedule.observe(taus_s[-1], state)
        return np.mean(taus_s) / BUDGET_S, np.mean(kept), state["queue"]

    return loop


def check_the_loop(loop, rounds, most):
    outcomes = {v: loop(v, rounds) for v in (1.0, 10.0)}
    for v, (mean_tau, kept, queue) in outcomes.items():
        print(f"V = {v:g}, T = {rounds}: mean tau {mean_tau:.4f} budgets, mean rho {kept:.4f}, queue {queue:.3f}")
        assert mean_tau <= most[v]
        assert mean_tau <= 1 + queue / rounds + FEASIBLE
        assert mean_tau > 0.9  # the budget binds, and is used
    assert outcomes[10.0][1] > outcomes[1.0][1] + 0.02


@pytest.mark.slow
def test_larger_v_keeps_more_over_a_short_run(stationary_loop):
    # The queue settles near 0.5 for V = 1 and 4 for V = 10 (the prototype: 0.5 and 3.9 budgets), but one round may take
    # up to `patience` = 4 budgets and add 3, and deep fades come in twos; while it stays below 10, the excess over 60
    # rounds is below 10 / 60 = .167 of a budget.
    check_the_loop(stationary_loop, 60, {1.0: 1.167, 10.0: 1.167})


@pytest.mark.slow
def test_mean_time_meets_the_budget_over_a_long_run(stationary_loop):
    check_the_loop(stationary_loop, 2000, {1.0: 1.02, 10.0: 1.02})  # the project's promise
