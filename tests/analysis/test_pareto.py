"""Fronts against brute force, areas against closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from analysis import tradeoff
from analysis.pareto import area_under, mean_quality, pareto_front
from analysis.traces import load

RunOf = Callable[..., Path]

ROUNDING = 1e-9
"""Sums of a few numbers, relative to the largest of them."""

FEW = st.sampled_from([0.0, 1.0, 2.0, 3.0, math.inf, math.nan])  # so that ties are frequent
POINTS = st.lists(st.tuples(FEW, FEW), max_size=9)


def beats(one: pd.Series, other: pd.Series, sign: float) -> bool:
    no_worse = one["cost"] <= other["cost"] and sign * one["good"] >= sign * other["good"]
    return bool(no_worse and (one["cost"] < other["cost"] or sign * one["good"] > sign * other["good"]))


@settings(max_examples=80, deadline=None)
@given(POINTS, st.sampled_from(["higher", "lower"]))
def test_the_front_is_what_nobody_beats(points: list[tuple[float, float]], better: str) -> None:
    table = pd.DataFrame(points, columns=["cost", "good"], dtype=float)
    front = pareto_front(table, "cost", "good", better)  # type: ignore[arg-type]
    sign = 1.0 if better == "higher" else -1.0
    known = table.dropna()
    rows = [row for _, row in known.iterrows()]
    expected = {index for index, row in known.iterrows() if not any(beats(other, row, sign) for other in rows)}
    assert len(front.index) == len(expected)
    assert set(front.index) == expected
    assert front["cost"].is_monotonic_increasing


def test_the_front_of_a_summary(run_of: RunOf) -> None:
    run_of("dear", 1, [0.9] * 4)  # 4 Mbit
    run_of("cheap", 1, [0.7] * 3)
    directory = run_of("beaten", 1, [0.6] * 4)
    traces = load(directory.parent)
    assert pareto_front(tradeoff.summary(traces), "uplink_mbit", "accuracy")["arm"].tolist() == ["cheap", "dear"]
    means = tradeoff.summary_by_arm(traces)
    assert list(pareto_front(means, ("time_s", "mean"), ("accuracy", "mean")).index) == ["cheap", "dear"]
    with pytest.raises(ValueError, match=r"no column 'cost'; there are: arm, seed"):
        pareto_front(tradeoff.summary(traces), "cost", "accuracy")


def test_perplexity_is_better_when_it_is_lower() -> None:
    table = pd.DataFrame({"uplink_mbit": [1.0, 2.0], "perplexity": [20.0, 30.0]})
    assert pareto_front(table, "uplink_mbit", "perplexity").index.tolist() == [0]
    assert pareto_front(table.rename(columns={"perplexity": "score"}), "uplink_mbit", "score").index.tolist() == [0, 1]


def test_the_area_of_straight_lines(run_of: RunOf) -> None:
    # Rounds end at 1, 2, 3 ... Mbit. a: from 0.2 to 0.6 over 1 to 3 Mbit, b: constant.
    run_of("a", 1, [0.2, 0.4, 0.6, 0.8])
    directory = run_of("b", 1, [0.5, 0.5, 0.5])
    run_of("c", 1, [None])
    table = area_under(load(directory.parent), "uplink_bits").set_index("arm")
    assert table["start"].unique().tolist() == [1e6]
    assert table["end"].unique().tolist() == [3e6]  # where b ends
    assert table["area"].to_dict() == pytest.approx({"a": 0.4, "b": 0.5, "c": math.nan}, nan_ok=True)


def test_the_range_begins_where_all_are_known_and_the_last_model_is_kept(run_of: RunOf) -> None:
    run_of("late", 1, [None, 0.6, 0.6])
    directory = run_of("early", 1, [0.1, 0.3, 0.5])
    traces = load(directory.parent)
    # early from 2 Mbit on: 0.3 to 0.5 up to 3 Mbit, then 0.5 for 2 Mbit more; the first Mbit does not count.
    table = area_under(traces, "uplink_bits", up_to=5e6).set_index("arm")
    assert table["area"].to_dict() == pytest.approx({"late": 0.6, "early": (0.4 * 1 + 0.5 * 2) / 3})
    assert area_under(traces, "uplink_bits", up_to=2e6)["area"].isna().all()
    with pytest.raises(ValueError, match="no cost 'round'"):
        area_under(traces, "round")


def test_a_study_without_an_evaluation_has_no_area(run_of: RunOf) -> None:
    assert area_under(load(run_of("a", 1, [None, None])), "t_end_s")["area"].isna().all()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 5), st.floats(0, 1)), min_size=2, max_size=10),
    st.floats(0.05, 0.95),
    st.floats(-3, 3),
    st.floats(0.1, 10),
)
def test_areas_add_up_and_follow_scales(
    steps: list[tuple[float, float]], cut: float, shift: float, scale: float
) -> None:
    line = np.array([np.cumsum([width for width, _ in steps]), [value for _, value in steps]]).T
    start, end = line[0, 0], line[-1, 0]
    whole = mean_quality(line, start, end)
    middle = start + cut * (end - start)
    parts = cut * mean_quality(line, start, middle) + (1 - cut) * mean_quality(line, middle, end)
    assert parts == pytest.approx(whole, abs=ROUNDING * 10)
    assert line[:, 1].min() - ROUNDING <= whole <= line[:, 1].max() + ROUNDING
    assert mean_quality(line * [1, scale] + [0, shift], start, end) == pytest.approx(whole * scale + shift, abs=1e-7)
    assert mean_quality(line * [scale, 1], start * scale, end * scale) == pytest.approx(whole, abs=1e-7)


def test_the_perplexity_of_a_model_that_diverged_has_an_infinite_area() -> None:
    line = np.array([[1.0, 5.0], [2.0, math.inf], [3.0, 4.0]])
    assert mean_quality(line, 1.0, 3.0) == math.inf
    assert mean_quality(line, 2.5, 3.0) == math.inf  # on the way back from it


def test_the_area_agrees_with_the_curve_of_one_seed(run_of: RunOf) -> None:
    one = load(run_of("a", 1, [0.1, None, 0.5, 0.45, 0.8]))
    curve = tradeoff.curves(one, "t_end_s")
    mean = np.trapezoid(curve["mean"], curve["t_end_s"]) / (curve["t_end_s"].iloc[-1] - curve["t_end_s"].iloc[0])
    assert area_under(one, "t_end_s")["area"].tolist() == pytest.approx([mean])
