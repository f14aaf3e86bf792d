"""V and the start of the queue that are advised."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from stage1cases import MANY, ONE, scenario_of

from wfl_sim.scenario import parse
from wfl_sim.schedules.allocation import Problem
from wfl_sim.schedules.tsfa import solve
from wfl_sim.stage1 import advice, pilot, report, words
from wfl_sim.stage1.choice import select
from wfl_sim.stage1.links import Links

ROUNDING = 1e-12  # relative: sums and products of a few floats
ALMOST = 1e-9  # relative: what V forgives


def test_tsfa_is_content_at_the_queue_that_is_advised() -> None:
    """At Q*, the round that TSFA plans keeps the fraction for which Q* was worked out."""
    scenario = scenario_of(ONE, "rank_selection.candidates=[16]", "schedule.surrogate=variance")
    air = Links(scenario, (16,), 1.2)
    (size,) = air.sizes
    (snapshot,) = air.snapshots(size)
    slope_s = air.round_s(size, size.dense_bits) - air.round_s(size, size.fixed_bits)
    one = np.ones(1)
    flat = replace(snapshot.air, packet_bits=math.inf)
    problem = Problem(flat, snapshot.snr_hz, snapshot.ready_s, size.fixed_bits * one, size.scaled_bits * one, one, 0.05)
    for kept in (0.2, 0.5):
        for v in (1.0, 10.0):
            queue = advice.balance(v, kept, slope_s, 1.2, "variance")
            found = solve(problem, v=v, queue=queue, budget_s=1.2, surrogate="variance")
            # The best tau is where the objective is flat, so that it is found to the root of the rounding.
            assert found.kept_fraction[0] == pytest.approx(kept, rel=1e-4)
    assert advice.balance(2.0, 0.3, 0.5, 1.2, "contraction") == pytest.approx(2.0 * 1.2 / 0.5)


def curve(dropped: Callable[[Any], Any]) -> pilot.Spectrum:
    kept = np.linspace(0.0, 1.0, 65)
    return pilot.Spectrum(8, (1.0,) * 9, 0.0, tuple(kept), tuple(dropped(kept)))


def test_the_steepness_of_a_pilots_curve_is_that_of_its_hull() -> None:
    parabola = curve(lambda kept: (1.0 - kept) ** 2)
    for kept in (0.25, 0.5, 1 / 3):  # corners and between them, where a chord has the slope of its middle
        assert parabola.steepness(kept) == pytest.approx(2.0 * (1.0 - kept), abs=1 / 64)
    staircase = curve(lambda kept: 1.0 - np.floor(8 * kept) / 8)
    assert staircase.steepness(0.3) == pytest.approx(1.0, rel=ROUNDING)
    assert parabola.steepness(0.0) == pytest.approx(2.0 - 1 / 64) and parabola.steepness(1.0) == pytest.approx(1 / 64)


def test_the_queue_advised_goes_by_the_surrogate() -> None:
    """1 / rho^2 is the steepness of ``variance`` alone: at rho 0.1 it is 100 times that of ``contraction``."""
    wanted = {"contraction": 1.0, "variance": 100.0, "tail": 1.0}
    for surrogate, steepness in wanted.items():
        assert advice.balance(1.0, 0.1, 0.5, 1.2, surrogate) == pytest.approx(steepness * 1.2 / 0.5)  # type: ignore[arg-type]
    measured = curve(lambda kept: (1.0 - kept) ** 2)
    for surrogate, steepness in (wanted | {"tail": measured.steepness(0.1)}).items():
        found = advice.balance(1.0, 0.1, 0.5, 1.2, surrogate, measured)  # type: ignore[arg-type]
        assert found == pytest.approx(steepness * 1.2 / 0.5)


@pytest.mark.usefixtures("_learner")
def test_a_plan_asks_its_pilot_for_the_slope() -> None:
    tsfa = "{kind: tsfa, latency_budget: 0.5 s, surrogate: tail}"
    light = "rank_selection.sparsification_weight=0.05"  # so that a part of an update is the better bargain
    plan = report.plan(parse(MANY, "s", [f"schedule={tsfa}", "rank_selection.latency_budget=0.5 s", light]))
    _, air, spectrum = select(plan.scenario)
    row, budget_s = plan.chosen, plan.advice.latency_budget_s
    size = next(size for size in air.sizes if size.rank == row.rank)
    slope_s = air.round_s(size, size.dense_bits) - air.round_s(size, size.fixed_bits)
    assert row.kept_fraction < 1.0 and spectrum.steepness(row.kept_fraction) != pytest.approx(1.0, rel=0.05)
    expected = plan.advice.v * spectrum.steepness(row.kept_fraction) * budget_s / slope_s
    assert plan.advice.queue_start == float(f"{expected:.2g}")


@pytest.mark.parametrize("of_one", [0.01, 0.03, 0.66, 1.0, 7.0, 30.0, 1e4])
@pytest.mark.parametrize("rounds", [10, 14, 200])
def test_v_is_the_largest_step_that_the_length_of_a_run_affords(of_one: float, rounds: int) -> None:
    v, held = advice.largest_v(of_one, rounds)
    lowest, highest = advice.V_LIMITS
    assert lowest <= v <= highest and f"{v:.0e}"[0] in "125"
    if held:
        assert v == {"least": lowest, "most": highest}[held]
        assert (v * of_one > advice.OVERRUN * rounds) is (held == "least"), "a limit is named where it is one"
    else:
        assert v * of_one <= advice.OVERRUN * rounds * (1 + ALMOST) < 2.5 * v * of_one
    assert advice.largest_v(0.0, rounds) == (1.0, ""), "no V changes a queue of 0"


def test_v_is_for_the_schedule_that_is_recommended() -> None:
    """The same TSFA is recommended to an arm of another schedule, whatever surrogate or least share that has."""
    bare, other = "{kind: equal}", "{kind: deadline_aware, deadline: 2 s, surrogate: variance, kept_fraction_min: 0.3}"
    least = "rank_selection.kept_fraction_min=0.1"
    plain, advised = (report.plan(parse(MANY, "s", [f"schedule={one}", least]), by="links") for one in (bare, other))
    assert advised.advice == plain.advice and advised.overrides == plain.overrides
    kept = report.plan(parse(MANY, "s", [f"schedule={other}"]), by="links")
    pasted = parse(MANY, "s", [f"schedule={other}", *kept.overrides]).cells[0].scenario.schedule
    assert pasted.kept_fraction_min == kept.selection.kept_fraction_min == 0.3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("rounds", "held", "says"),
    [
        (40, "", "In 40 rounds 0.2 is the largest that holds this to 10%"),
        (1, "least", "in one round it cannot hold this to 10%"),
        (20_000, "most", "a larger one, too, would hold this to 10%"),
    ],
)
def test_a_limit_of_v_is_told(rounds: int, held: str, says: str) -> None:
    tsfa = "{kind: tsfa, latency_budget: 1 s, surrogate: variance}"
    given = [f"schedule={tsfa}", f"rounds={rounds}", "clients.compute.time=1 ms", "rank_selection.candidates=32"]
    plan = report.plan(parse(MANY, "s", given), by="links")
    assert plan.advice.held == held
    assert (plan.advice.excess > advice.OVERRUN) is (held == "least")
    told = " ".join(" ".join(words.text(plan, "s")).split())
    assert says in told and told.count("hold this to") + told.count("holds this to") == 1


def test_where_the_error_is_flat_v_is_1_and_the_words_are_true(monkeypatch: pytest.MonkeyPatch) -> None:
    half = curve(lambda kept: 1.0 - np.minimum(1.0, 2.0 * kept))  # the other half of the pieces is worth nothing
    monkeypatch.setattr(pilot, "tail", lambda *_: half)
    tsfa = "{kind: tsfa, latency_budget: 0.9 s, surrogate: tail}"
    plan = report.plan(parse(MANY, "s", [f"schedule={tsfa}", "rank_selection.candidates=[8]"]))
    assert 0.5 < plan.chosen.kept_fraction < 0.55 and plan.advice.dense_round_s > plan.advice.latency_budget_s
    assert (plan.advice.v, plan.advice.held, str(plan.advice.queue_start)) == (1.0, "", "0.0")
    told = " ".join(" ".join(words.text(plan, "s")).split())
    assert "Whole updates fit" not in told and "they balance at a queue of 0" in told
    flat = curve(lambda kept: 0.0 * kept)
    assert str(flat.steepness(0.5)) == "0.0"
