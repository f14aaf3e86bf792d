"""Comparisons against numbers worked out by hand: pairing, differences, tolerances, and what is a regression.

Runs here take 2 s, 1 Mbit and 10 J a round; a target is reached in the third round that has it at the earliest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from rich.console import Console
from rich.table import Table

from analysis import metrics
from analysis.compare import Seed, Tolerance, compare, judged
from analysis.comparetables import as_dict, conclusion, headline, means_table, seeds_table
from analysis.paired import interval_of_mean
from analysis.pareto import area_under
from analysis.sides import CompareError
from analysis.traces import TraceError, load
from analysis.tradeoff import summary
from analysis.updates import NONE, Updates

RunOf = Callable[..., Path]
Studies = Callable[
    [dict[str, dict[int, list[float | None]]], dict[str, dict[int, list[float | None]]]], tuple[str, str]
]

ROUNDING = 1e-9
"""Of sums of six numbers up to 100: closer to the tolerance than that, both answers are right."""

AT_ONCE, IN_FOUR, IN_FIVE, NEVER = [0.7] * 5, [0.6, 0.6, 0.7, 0.7], [0.6, 0.6, 0.6, 0.7, 0.7], [0.6] * 5
"""Accuracies by round: 0.7 is reached after 3, 4, 5 rounds or never."""


@pytest.fixture
def studies(run_of: RunOf, tmp_path: Path) -> Studies:
    """Two studies from accuracies by arm and seed; where they are."""

    def write(*both: dict[str, dict[int, list[float | None]]], **manifest: Any) -> tuple[str, str]:
        places = []
        for name, arms in zip(("old", "new"), both, strict=True):
            for arm, seeds in arms.items():
                for seed, accuracies in seeds.items():
                    directory = run_of(arm, seed, accuracies, **manifest)
            directory.parent.rename(tmp_path / name)
            places.append(str(tmp_path / name))
        return places[0], places[1]

    return write


def test_arms_pair_by_name_and_seeds_by_number(studies: Studies) -> None:
    a, b = studies(
        {"x": {1: AT_ONCE, 2: IN_FOUR, 9: AT_ONCE}, "y": {1: AT_ONCE}, "gone": {1: AT_ONCE}},
        {"y": {1: AT_ONCE}, "x": {1: IN_FOUR, 2: IN_FOUR, 3: AT_ONCE}},
    )
    found = compare(a, b, "time_to", 0.7)
    x, y = found.pairs
    assert [(pair.a, pair.b) for pair in found.pairs] == [("x", "x"), ("y", "y")]
    assert [(row.seed, row.a, row.b, row.difference) for row in x.seeds] == [(1, 6.0, 8.0, 2.0), (2, 8.0, 8.0, 0.0)]
    assert x.seeds[0].relative == pytest.approx(1 / 3)
    assert (x.n, x.baseline, x.mean, x.verdict) == (2, 7.0, 1.0, "regression")
    assert (y.n, y.mean, y.verdict) == (1, 0.0, "equal")
    # Two differences, 2 and 0: mean 1, standard error 1, t(1 degree) = 12.7062; a bootstrap needs three.
    assert x.t == pytest.approx((1 - 12.7062, 1 + 12.7062), abs=1e-3)
    assert np.isnan([*x.bootstrap, *y.t]).all()
    assert found.regression
    assert found.notes == (f"only in {a}: gone", f"x: seed 9 only in {a}", f"x: seed 3 only in {b}")


def test_the_intervals_are_those_of_the_differences(studies: Studies) -> None:
    ends = {1: AT_ONCE, 2: IN_FOUR, 3: IN_FIVE, 4: IN_FIVE}
    a, b = studies({"x": dict.fromkeys(ends, AT_ONCE)}, {"x": ends})
    (pair,) = compare(a, b, "energy_to", 0.7).pairs
    differences = np.array([0.0, 10.0, 20.0, 20.0])
    assert pair.t == interval_of_mean(differences, "t")
    assert pair.bootstrap == interval_of_mean(differences, "bootstrap")


@pytest.mark.parametrize(
    ("metric", "target", "expected", "better"),
    [
        ("accuracy", None, (0.7, 0.6), "higher"),
        (None, None, (0.7, 0.6), "higher"),
        ("uplink_to", 0.6, (3e6, 3e6), "lower"),
        ("time_to", 0.6, (6.0, 6.0), "lower"),
        ("energy_to", 0.6, (30.0, 30.0), "lower"),
        ("area", None, (0.7, 0.6), "higher"),
        ("area_time", None, (0.7, 0.6), "higher"),
        ("area_energy", None, (0.7, 0.6), "higher"),
        ("uplink", None, (5e6, 4e6), "lower"),
        ("time", None, (10.0, 8.0), "lower"),
        ("energy", None, (50.0, 40.0), "lower"),
        ("round_time", None, (2.0, 2.0), "lower"),
        ("delivered", None, (0.0, 0.0), "higher"),
        ("dropped", None, (5.0, 4.0), "lower"),
        ("late", None, (0.0, 0.0), "lower"),
    ],
)
def test_every_metric(
    studies: Studies, metric: str | None, target: float | None, expected: tuple[float, float], better: str
) -> None:
    found = compare(*studies({"x": {1: AT_ONCE}}, {"x": {1: [0.6] * 4}}), metric, target)
    assert (found.pairs[0].seeds[0].a, found.pairs[0].seeds[0].b) == pytest.approx(expected)
    assert found.better == better


def test_no_metric_is_left_out_above() -> None:
    mark = next(mark for mark in test_every_metric.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    assert {case[0] for case in mark.args[1]} | {"perplexity"} == {*metrics.METRICS, None}


def test_perplexity_is_worse_when_it_rises(studies: Studies) -> None:
    # Losses of these runs are 0, so both have a perplexity of 1.
    a, b = studies({"x": {1: AT_ONCE}}, {"x": {1: AT_ONCE}}, quality={"metric": "perplexity", "better": "lower"})
    found = compare(a, b)
    assert (found.metric, found.better, found.pairs[0].verdict) == ("perplexity", "lower", "equal")
    with pytest.raises(CompareError, match="judged by perplexity, not by accuracy"):
        compare(a, b, "accuracy")


def test_areas_are_those_over_what_both_sides_know(studies: Studies) -> None:
    a, b = studies({"x": {1: [0.2, 0.4, 0.6, 0.8]}}, {"x": {1: [None, 0.5, 0.5]}})
    (pair,) = compare(a, b, "area").pairs
    assert (pair.seeds[0].a, pair.seeds[0].b) == pytest.approx((0.5, 0.5))  # from 2 to 3 Mbit
    alone = area_under(load(a), "uplink_bits")["area"]
    assert alone.tolist() == pytest.approx([0.5])  # from 1 to 4 Mbit


def test_a_target_that_only_the_baseline_reaches_is_a_regression(studies: Studies) -> None:
    a, b = studies({"x": {1: IN_FIVE, 2: AT_ONCE}}, {"x": {1: AT_ONCE, 2: NEVER}})
    (pair,) = compare(a, b, "time_to", 0.7, "1000 %").pairs
    assert (pair.verdict, pair.lost, pair.won, pair.n, pair.mean) == ("regression", (2,), (), 1, -4.0)
    (back,) = compare(b, a, "time_to", 0.7, "1000 %").pairs
    assert (back.verdict, back.lost, back.won, back.n, back.mean) == ("within tolerance", (), (2,), 1, 4.0)


def test_a_target_that_only_the_new_one_reaches_counts_for_it(studies: Studies) -> None:
    a, b = studies({"x": {1: NEVER, 2: NEVER}}, {"x": {1: AT_ONCE, 2: NEVER}})
    (pair,) = compare(a, b, "time_to", 0.7).pairs
    assert (pair.verdict, pair.won, pair.n) == ("better", (1,), 0)
    assert math.isnan(pair.mean)


def test_a_target_that_nobody_reaches_is_told(studies: Studies) -> None:
    a, b = studies({"x": {1: NEVER}, "y": {1: AT_ONCE}}, {"x": {1: NEVER}, "y": {1: AT_ONCE}})
    with pytest.raises(CompareError, match=r"time_to says nothing about .*: in no seed either reaches 0.9"):
        compare(a, b, "time_to", 0.9)
    found = compare(a, b, "time_to", 0.7)
    assert [pair.verdict for pair in found.pairs] == ["no verdict", "equal"]
    assert not found.regression


@pytest.mark.parametrize(
    ("tolerance", "verdict"),
    [
        ("0", "regression"),
        ("0 %", "regression"),
        ("1.9 s", "regression"),
        ("33 %", "regression"),
        ("34 %", "within tolerance"),  # of 6 s
        ("2 s", "within tolerance"),
        ("2000ms", "within tolerance"),
    ],
)
def test_tolerances(studies: Studies, tolerance: str, verdict: str) -> None:
    a, b = studies({"x": {1: AT_ONCE}}, {"x": {1: IN_FOUR}})
    (pair,) = compare(a, b, "time_to", 0.7, tolerance).pairs
    assert pair.verdict == verdict
    (back,) = compare(b, a, "time_to", 0.7, tolerance).pairs
    assert back.verdict == "better"


@pytest.mark.parametrize(
    ("a", "b", "tolerance", "verdict"),
    [
        (0.70, 0.69, 0.01, "within tolerance"),  # in binary numbers the difference is above 0.01
        (0.70, 0.69 - 1e-9, 0.01, "regression"),
        (0.1 + 0.2, 0.3, 0.0, "equal"),
        (0.3, 0.1 + 0.2, 0.0, "equal"),
        (1e10, 1e10 - 1, 0.0, "regression"),  # one bit of ten billion is one
    ],
)
def test_what_only_rounding_makes_is_no_difference(a: float, b: float, tolerance: float, verdict: str) -> None:
    assert judged(("x", "x"), [Seed(1, a, b)], "higher", Tolerance(absolute=tolerance)).verdict == verdict


@pytest.mark.parametrize(
    ("text", "metric", "message"),
    [
        ("2", "time", "needs a unit; got the bare number 2"),
        ("2 Mbit", "time", "needs a time"),
        ("-1 %", "time", "must not be below 0"),
        ("few", "accuracy", "needs a number; got 'few'"),
    ],
)
def test_tolerances_that_are_none(text: str, metric: str, message: str) -> None:
    with pytest.raises(CompareError, match=rf"tolerance: .*{message}"):
        Tolerance.read(text, metrics.METRICS[metric])


def test_a_tolerance_of_a_pure_number() -> None:
    assert Tolerance.read("0.01", metrics.METRICS["accuracy"]).of(0.8) == 0.01
    assert Tolerance.read("1 %", metrics.METRICS["accuracy"]).of(0.8) == pytest.approx(0.008)
    assert Tolerance.read("200 kbit", metrics.METRICS["uplink"]).of(1e9) == 2e5


def test_arms_of_one_study_are_named_behind_a_colon(run_of: RunOf) -> None:
    run_of("x", 1, AT_ONCE)
    study = run_of("y", 1, IN_FOUR).parent
    found = compare(f"{study}:x", f"{study}:y", "time_to", 0.7)
    assert [(pair.a, pair.b, pair.mean) for pair in found.pairs] == [("x", "y", 2.0)]
    assert found.notes == ()
    with pytest.raises(CompareError, match=r"no arm 'z'.*; there are: x, y"):
        compare(f"{study}:z", f"{study}:y")
    # A side that names an arm is compared with that arm of the other.
    assert [(pair.a, pair.b) for pair in compare(f"{study}:x", str(study)).pairs] == [("x", "x")]


def test_single_runs_are_compared_whatever_they_are_called(run_of: RunOf) -> None:
    x, y = run_of("x", 1, AT_ONCE), run_of("y", 1, IN_FOUR)
    assert [(pair.a, pair.b) for pair in compare(str(x), str(y)).pairs] == [("x", "y")]
    assert [pair.a for pair in compare(f"{x.parent}/x-*", str(y)).pairs] == ["x"]


def test_a_folder_may_be_called_with_a_colon(run_of: RunOf, tmp_path: Path) -> None:
    run_of("x", 1, AT_ONCE).parent.rename(tmp_path / "a:b")
    assert compare(f"{tmp_path}/a:b", f"{tmp_path}/a:b:x").pairs[0].verdict == "equal"


def test_groups_of_a_grid_pair_by_their_point(run_of: RunOf) -> None:
    for group, ends in (("x", AT_ONCE), ("y", IN_FOUR)):
        for rank in (4, 8) if group == "x" else (8, 16):
            point = [{"key": "method.rank", "text": str(rank), "value": float(rank), "unit": ""}]
            directory = run_of(f"{group}-rank={rank}", 1, ends, group=group, point=point)
    study = directory.parent
    found = compare(f"{study}:x", f"{study}:y", "time_to", 0.7)
    assert [(pair.a, pair.b) for pair in found.pairs] == [("x-rank=8", "y-rank=8")]
    assert "x -> y, rank=8" in printed(seeds_table(found), 60)


def test_what_has_not_finished_is_compared_only_if_asked(studies: Studies) -> None:
    a, b = studies({"x": {1: AT_ONCE, 2: AT_ONCE}}, {"x": {1: AT_ONCE, 2: AT_ONCE}}, status="interrupted")
    with pytest.raises(CompareError, match=r"old: x-seed1 \(interrupted, 5 rounds\) and 1 more not finished; .*--unf"):
        compare(a, b)
    notes = compare(a, b, also_unfinished=True).notes
    assert notes == tuple(f"not finished: x-seed{seed} (interrupted, 5 rounds)" for seed in (1, 2))


def test_what_cannot_be_compared_is_told(studies: Studies, tmp_path: Path) -> None:
    a, b = studies({"x": {1: AT_ONCE}, "z": {1: AT_ONCE}}, {"x": {2: AT_ONCE}}, targets=[0.6, 0.7])
    with pytest.raises(CompareError, match="no seed in common"):
        compare(a, b)
    with pytest.raises(CompareError, match="no metric 'tme_to'; did you mean 'time_to'"):
        compare(a, b, "tme_to")
    with pytest.raises(CompareError, match=r"needs --target; the runs have 0\.6, 0\.7"):
        compare(a, b, "time_to")
    with pytest.raises(CompareError, match=r"target 7: must be above 0 and below 1"):
        compare(a, b, "time_to", 7.0)
    with pytest.raises(CompareError, match="area has no target; those that have: uplink_to, time_to, energy_to"):
        compare(a, b, "area", 0.7)
    with pytest.raises(TraceError, match="nothing: no such directory"):
        compare(a, str(tmp_path / "nothing"))


def test_arms_that_do_not_fit_are_told(studies: Studies) -> None:
    a, b = studies({"x": {1: AT_ONCE}, "y": {1: AT_ONCE}}, {"p": {1: AT_ONCE}, "q": {1: AT_ONCE}})
    with pytest.raises(
        CompareError, match=r"no arm of one fits .*old \(x, y\) and .*new \(p, q\); name one arm of each"
    ):
        compare(a, b)
    with pytest.raises(CompareError, match="no arm of one fits"):
        compare(f"{a}:x", b)


def test_the_words_below_a_table(studies: Studies) -> None:
    a, b = studies(
        {"x": {1: AT_ONCE, 2: IN_FOUR}, "y": {1: AT_ONCE, 2: AT_ONCE}, "z": {1: NEVER}},
        {"x": {1: IN_FOUR, 2: AT_ONCE}, "y": {1: IN_FOUR, 2: NEVER}, "z": {1: AT_ONCE}},
    )
    assert conclusion(compare(a, b, "time_to", 0.7))[1:] == [
        "note: one seed has no interval, and does not tell A from B: what differs may be chance",  # z
        "note: the t interval holds 0, so these seeds do not tell A from B: x",  # differences 2 and -2
        "y: in seed 2 B does not reach 0.7, and A does",
        "z: in seed 1 A does not reach 0.7, and B does",
        "regression: y",
    ]


@pytest.mark.parametrize(("b", "said"), [([0.5, 0.6], "the 2 rounds"), (AT_ONCE, "the last 3 rounds, or of the fewer")])
def test_the_head_says_of_how_many_rounds_a_final_value_is(studies: Studies, b: list[float | None], said: str) -> None:
    sides = studies({"x": {1: [0.5, 0.7]}}, {"x": {1: b}})
    assert headline(compare(*sides)).startswith(f"median accuracy of {said}")
    assert headline(compare(*sides, "time")).startswith("simulated time of the whole run, s (lower")


def test_one_seed_has_no_verdict_in_the_table_and_its_exit_code_all_the_same(studies: Studies) -> None:
    a, b = studies(
        {"x": {1: AT_ONCE}, "y": {1: AT_ONCE, 2: AT_ONCE}, "z": {1: AT_ONCE}},
        {"x": {1: IN_FOUR}, "y": {1: AT_ONCE, 2: NEVER}, "z": {1: NEVER}},
    )
    found = compare(a, b, "time_to", 0.7)
    assert found.regression and [pair.verdict for pair in found.pairs] == ["regression"] * 3
    lines = [line.split() for line in printed(means_table(found), 200).splitlines()[1:]]
    assert [line[-1] for line in lines] == ["seed", "regression", "seed"]
    assert conclusion(found)[-1] == "regression: x (one seed), y, z (one seed)"
    assert "note: one seed has no interval, and does not tell A from B: what differs may be chance" in conclusion(found)
    better = compare(b, a, "time_to", 0.7)
    assert not better.regression and "one seed" in printed(means_table(better), 200)
    assert as_dict(better)["pairs"][0]["verdict"] == "better"  # for programs


def test_a_comparison_says_what_updates_took_where_that_differs(study_directory: Path) -> None:
    def told(a: str, b: str) -> list[str]:
        found = compare(f"{study_directory}:{a}", f"{study_directory}:{b}")
        (pair,) = as_dict(found)["pairs"]
        rows = summary(load(study_directory)).groupby("arm")[["update_kbit", "kept", "coding_bits"]].mean()
        for side, arm in (("a", a), ("b", b)):
            assert list(pair["updates"][side].values()) == pytest.approx(rows.loc[arm].tolist(), nan_ok=True)
        return [line for line in conclusion(found) if line.startswith("updates of ")]

    (line,) = told("dense-equal", "soft-tsfa")
    assert line.startswith("updates of dense-equal -> soft-tsfa: A 1200.0 kbit, kept 1.000; B ")
    assert told("dense-equal", "dense-equal") == []


def test_a_side_that_sent_nothing_has_no_bits_of_updates(run_of: RunOf) -> None:
    directory = run_of("x", 1, AT_ONCE).parent
    run_of("y", 1, AT_ONCE)
    found = compare(f"{directory}:x", f"{directory}:y")
    (pair,) = found.pairs
    for updates, said in ((pair.updates, []), ((Updates(3.0, 0.5), NONE), ["A 3.0 kbit, kept 0.500; B no uploads"])):
        lines = conclusion(replace(found, pairs=(replace(pair, updates=updates),)))
        assert [line for line in lines if line.startswith("updates of ")] == [f"updates of x -> y: {it}" for it in said]


def test_a_table_is_readable_on_a_narrow_terminal(run_of: RunOf) -> None:
    arms = {name: f"{name}-bandwidth=10MHz-loss=0.01-rank=64" for name in ("x", "y")}
    for name, arm in arms.items():
        point = [{"key": "method.rank", "text": "64", "value": 64.0, "unit": ""}]
        directory = run_of(arm, 1, AT_ONCE if name == "x" else IN_FIVE, group=name, point=point)
    found = compare(f"{directory.parent}:{arms['x']}", f"{directory.parent}:{arms['y']}", "time_to", 0.7)
    text = printed(seeds_table(found), 60)
    for number in ("6.00", "10.00", "+4.00", "+66.7 %"):
        assert number in text
    assert "…" not in text


def printed(table: Table, width: int) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_the_only_target_of_the_runs_is_taken(studies: Studies) -> None:
    a, b = studies({"x": {1: AT_ONCE}}, {"x": {1: AT_ONCE}}, targets=[0.7])
    assert compare(a, b, "time_to").target == 0.7


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(*[st.one_of(st.floats(0.1, 100), st.just(math.nan))] * 2), min_size=1, max_size=6),
    st.sampled_from(["higher", "lower"]),
    st.floats(0, 1),
    st.floats(0, 10),
)
def test_the_verdict_is_what_the_docstring_says(
    values: list[tuple[float, float]], better: str, relative: float, absolute: float
) -> None:
    pair = judged(("x", "x"), [Seed(i, *both) for i, both in enumerate(values)], better, Tolerance(relative, absolute))
    table = pd.DataFrame(values, columns=["a", "b"])
    both = table.dropna()
    lost = (table["a"].notna() & table["b"].isna()).any()
    worse = (both["a"] - both["b"] if better == "higher" else both["b"] - both["a"]).mean()
    allowed = relative * both["a"].mean() + absolute
    assume(not abs(worse - allowed) < ROUNDING)
    assert (pair.verdict == "regression") == bool(lost or worse > allowed)
    assert (pair.verdict == "no verdict") == bool(not lost and table["b"].isna().all())
