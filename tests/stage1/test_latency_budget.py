"""The latency budget that is recommended: the best one where a pilot was run; where not, it keeps its promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage1cases import MANY, scenario_of

from wfl_sim.stage1.budget import SAME, Paces, compared, is_met, paces, rounded_up
from wfl_sim.stage1.choice import carried
from wfl_sim.stage1.links import Links
from wfl_sim.stage1.pilot import Spectrum

ROUNDING = 1e-9  # relative: shares that are read off the same grid
STEP = 1e-2  # of a budget: three digits of it, and a step of the grid


def of_links(kept_fraction_min: float = 0.0) -> tuple[Links, Paces]:
    air = Links(scenario_of(MANY), (8,), 0.9)
    return air, paces(air, air.sizes[0], kept_fraction_min)


def pilot(delta: np.ndarray) -> Spectrum:
    """One that found these shares of a change in the shares 0 .. 1 of its pieces."""
    kept = np.linspace(0.0, 1.0, delta.size)
    return Spectrum(8, (0.0,) * 9, 0.0, tuple(kept), tuple(1.0 - delta))


@given(st.lists(st.floats(0.0, 1.0), min_size=64, max_size=64).filter(lambda falls: sum(falls) > 0.1))
def test_what_is_promised_is_kept_whatever_the_pieces_are_worth(falls: list[float]) -> None:
    """Any concave curve from 0 to 1, since each piece is worth no more than the one before it."""
    delta = np.concatenate([[0.0], np.cumsum(sorted(falls, reverse=True))]) / sum(falls)
    _, promised = of_links(0.1)
    found = np.interp(promised.kept, np.linspace(0.0, 1.0, delta.size), delta) / promised.budget_s
    assert (found / found.max() >= promised.share * (1 - ROUNDING)).all()


def test_the_promise_is_the_largest_where_the_docstring_says() -> None:
    air, promised = of_links()
    first, last = promised.kept[0], promised.kept[-1]
    slope_s = (promised.budget_s[-1] - promised.budget_s[0]) / (last - first)
    fixed_s = promised.budget_s[0] - first * slope_s
    best = promised.kept[int(np.argmax(promised.share))]
    assert best == pytest.approx(fixed_s / (fixed_s + slope_s), abs=0.05)  # the least share of the codec is above 0
    assert promised.of(promised.recommended_s) >= 0.5
    assert air.kept_fraction(air.sizes[0], promised.recommended_s, 0.0) == pytest.approx(best, abs=2 * STEP)


def test_with_a_pilot_the_budget_is_that_of_the_best_pace() -> None:
    air = Links(scenario_of(MANY), (8,), 0.9)
    even, front = pilot(np.linspace(0.0, 1.0, 65)), pilot(np.minimum(1.0, np.linspace(0.0, 4.0, 65)))
    size = air.sizes[0]
    assert paces(air, size, 0.1, even).recommended_s == pytest.approx(air.budget_s(size, 1.0), rel=STEP)
    assert paces(air, size, 0.1, front).recommended_s == pytest.approx(air.budget_s(size, 0.25), rel=STEP)
    # What is not sent now comes later, if nothing of it counts as lost: the shortest round is best.
    late = paces(air, size, 0.1, even, weight=0.0)
    assert late.recommended_s == pytest.approx(max(late.least_s, late.budget_s[0]), rel=STEP)


def test_the_budget_of_a_scenario_is_told_apart_from_the_best() -> None:
    air = Links(scenario_of(MANY), (8,), 0.9)
    found = paces(air, air.sizes[0], 0.1, pilot(np.minimum(1.0, np.linspace(0.0, 2.0, 65))))
    best_s = found.recommended_s
    wanted = {0.9 * found.least_s: "impossible", 0.98 * best_s: "ok", best_s: "ok", 3 * found.whole_s: "generous"}
    wanted |= {1.01 * found.least_s: "too tight", found.whole_s: "generous"}
    for budget_s, verdict in wanted.items():
        told = compared(budget_s, found)
        assert told is not None and told.verdict == verdict, budget_s
        assert verdict != "ok" or told.pace >= SAME
    assert compared(None, found) is None


def test_budgets_are_rounded_up_to_three_digits() -> None:
    assert [rounded_up(s) for s in (1.2301, 0.05, 12.0, 999.9)] == [1.24, 0.05, 12.0, 1000.0]


@given(st.integers(100, 999), st.integers(-6, 6), st.floats(-1e-9, 1e-9))
def test_what_rounding_takes_off_a_budget_is_no_reason_to_refuse_it(digits: int, decade: int, more: float) -> None:
    least_s = digits * 10.0**decade * (1.0 + more)
    assert is_met(rounded_up(least_s), least_s)
    assert not is_met(rounded_up(least_s), rounded_up(least_s) * 1.0001)


def test_a_candidate_fits_a_budget_that_is_its_least_but_for_rounding() -> None:
    scenario = scenario_of(MANY)
    air = Links(scenario, (8,), 0.9)
    least_s = air.least_s(air.sizes[0], 0.1)
    for budget_s, fits in ((least_s, True), (least_s * (1.0 - 1e-11), True), (least_s * 0.999, False)):
        (row,) = carried(scenario, air, budget_s)
        assert row.fits is fits


@pytest.mark.parametrize("seconds", [0.0, float("inf")])
def test_what_has_no_digits_is_not_rounded(seconds: float) -> None:
    assert rounded_up(seconds) == seconds
