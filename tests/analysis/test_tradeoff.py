"""Costs, tables and curves against numbers worked out by hand.

Most runs here take 2 s, 1 Mbit and 10 J a round, so that a number tells which round it came from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from analysis import tradeoff
from analysis.tables import arms_table
from analysis.traces import Traces, load

RunOf = Callable[..., Path]


@pytest.mark.parametrize(
    ("accuracies", "round_reached"),
    [
        # Two of the last three at or above 0.7 make the median reach it.
        ([0.5, 0.6, 0.7, 0.7, 0.8], 4),
        # One lucky evaluation is not enough: medians .5 .5 .5 .6 .7, the last of (0.7, 0.6, 0.75).
        ([0.5, 0.5, 0.9, 0.5, 0.6, 0.7, 0.75], 7),
        # Falls back after having reached it: the first time counts. Medians .7 .7 .5.
        ([0.7, 0.7, 0.4, 0.7, 0.5, 0.4], 3),
        # Good from the first round on, but three rounds are needed to know.
        ([0.9, 0.9, 0.9], 3),
        # Exactly the target is reached.
        ([0.7, 0.7, 0.7], 3),
        # A round without evaluation is passed over: (0.7, 0.6, 0.7) has the median 0.7.
        ([0.7, None, 0.6, 0.7], 4),
        # Never: a median of 0.6 at most.
        ([0.6, 0.9, 0.6, 0.6, 0.9], None),
        # Never: too few rounds.
        ([0.9, 0.9], None),
        ([], None),
    ],
)
def test_to_target(run_of: RunOf, accuracies: list[float | None], round_reached: int | None) -> None:
    rounds = load(run_of("a", 1, accuracies)).rounds
    got = [tradeoff.to_target(rounds, 0.7, quantity) for quantity in tradeoff.COSTS]
    per_round = {"uplink_bits": 1e6, "t_end_s": 2.0, "energy_j": 10.0}
    expected = [math.nan if round_reached is None else per_round[q] * round_reached for q in tradeoff.COSTS]
    np.testing.assert_equal(got, expected)


def test_to_target_uses_nothing_of_the_future(study: Traces) -> None:
    rounds = study.select("dense-equal", 1).rounds
    reached_s = tradeoff.to_target(rounds, 0.65, "t_end_s")
    stopped_there = rounds[rounds["t_end_s"] <= reached_s]
    assert len(stopped_there) < len(rounds)
    assert tradeoff.to_target(stopped_there, 0.65, "t_end_s") == reached_s
    assert math.isnan(tradeoff.to_target(stopped_there.iloc[:-1], 0.65, "t_end_s"))


def test_to_target_refuses_what_it_cannot_answer(study: Traces) -> None:
    with pytest.raises(ValueError, match="no cost 'loss'; there are: uplink_bits, t_end_s, energy_j"):
        tradeoff.to_target(study.select("head-only").rounds, 0.5, "loss")
    with pytest.raises(ValueError, match="more than one cell"):
        tradeoff.to_target(study.rounds, 0.5, "t_end_s")


def test_summary(run_of: RunOf) -> None:
    run_of("a", 1, [0.5, 0.7, 0.8, 0.6, 0.9], targets=[0.7, 0.95], latency_budget_s=1.6)
    directory = run_of("b", 1, [0.5], status="interrupted")
    a, b = tradeoff.summary(load(directory.parent)).to_dict("records")
    assert a == {
        "arm": "a",
        "seed": 1,
        "status": "finished",
        "rounds": 5,
        "accuracy": 0.8,  # median of 0.8, 0.6, 0.9
        "uplink_mbit": 5.0,
        "time_s": 10.0,
        "energy_j": 50.0,
        "round_time_s": 2.0,
        "latency_budget_s": 1.6,
        "violation": pytest.approx(0.25),  # 2.0 / 1.6 - 1
        "due_s": 1.6,
        "over_budget": pytest.approx(1.25),
        "update_kbit": pytest.approx(math.nan, nan_ok=True),  # nothing was sent
        "kept": pytest.approx(math.nan, nan_ok=True),
        "coding_bits": pytest.approx(math.nan, nan_ok=True),
        "dropped": 5,
        "late": 0,
        "deferred": 10,
        "time_to_0.7_s": 6.0,  # (0.5, 0.7, 0.8)
        "uplink_to_0.7_mbit": 3.0,
        "energy_to_0.7_j": 30.0,
        "time_to_0.95_s": pytest.approx(math.nan, nan_ok=True),
        "uplink_to_0.95_mbit": pytest.approx(math.nan, nan_ok=True),
        "energy_to_0.95_j": pytest.approx(math.nan, nan_ok=True),
    }
    # The targets of one arm are asked of all; without a budget nothing is violated.
    assert (b["status"], b["rounds"], b["accuracy"], b["time_s"]) == ("interrupted", 1, 0.5, 2.0)
    assert math.isnan(b["violation"])
    assert math.isnan(b["time_to_0.7_s"])


def test_a_cell_without_a_finished_round_has_a_row(run_of: RunOf) -> None:
    (row,) = tradeoff.summary(load(run_of("a", 1, [], status="running"))).to_dict("records")
    assert (row["rounds"], row["dropped"]) == (0, 0)
    assert math.isnan(row["accuracy"])
    assert math.isnan(row["uplink_mbit"])


def test_summary_by_arm(run_of: RunOf) -> None:
    for seed, last in ((1, 0.6), (2, 0.7), (3, 0.8)):
        directory = run_of("b", seed, [last] * 3, arm_index=0, targets=[0.7])
    run_of("a", 1, [0.9] * 4, arm_index=1)
    table = tradeoff.summary_by_arm(load(directory.parent))
    assert list(table.index) == ["b", "a"]
    b, a = table.loc["b"], table.loc["a"]
    assert b["accuracy"].to_dict() == pytest.approx({"mean": 0.7, "std": 0.1, "n": 3})
    # Seed 1 never reached 0.7: no mean over the other two.
    assert b["time_to_0.7_s"]["n"] == 2
    assert math.isnan(b["time_to_0.7_s"]["mean"])
    assert (a["time_to_0.7_s"]["mean"], a["time_to_0.7_s"]["n"]) == (6.0, 1)
    assert math.isnan(a["accuracy"]["std"])
    assert a["uplink_mbit"]["mean"] == 4.0


def test_at_equal_takes_the_last_round_that_fits(run_of: RunOf) -> None:
    run_of("a", 1, [0.5, 0.6, 0.7, 0.8])
    run_of("b", 1, [0.4, 0.5])
    directory = run_of("c", 1, [0.3, None, 0.9])
    traces = load(directory.parent)
    table = tradeoff.at_equal(traces, "uplink_bits", 2.5e6).set_index("arm")
    assert table["accuracy"].to_dict() == {"a": 0.6, "b": 0.5, "c": 0.3}  # c: round 2 was not evaluated
    assert table["round"].to_dict() == {"a": 2, "b": 2, "c": 1}
    # A round that ends exactly then fits; b had ended by then, and says so.
    late = tradeoff.at_equal(traces, "t_end_s", 8.0).set_index("arm")
    assert late["accuracy"].to_dict() == {"a": 0.8, "b": 0.5, "c": 0.9}
    assert late["t_end_s"].to_dict() == {"a": 8.0, "b": 4.0, "c": 6.0}
    none = tradeoff.at_equal(traces, "t_end_s", 1.9)
    assert none["accuracy"].isna().all()
    with pytest.raises(ValueError, match="no cost 'round'"):
        tradeoff.at_equal(traces, "round", 3)


def test_curves_interpolate_and_keep_to_what_all_seeds_reached(run_of: RunOf) -> None:
    run_of("a", 1, [0.2, 0.4, 0.6])
    directory = run_of("a", 2, [0.4, 0.8])
    run_of("b", 1, [])
    curves = tradeoff.curves(load(directory.parent), "t_end_s")
    expected = pd.DataFrame(
        {
            "arm": ["a", "a"],
            "t_end_s": [2.0, 4.0],  # seed 2 ended at 4 s
            "mean": [0.3, 0.6],
            "low": [0.2, 0.4],
            "high": [0.4, 0.8],
            "seeds": [2, 2],
        }
    )
    pd.testing.assert_frame_equal(curves, expected)


def test_targets_of_all_arms(run_of: RunOf) -> None:
    run_of("a", 1, [0.5], targets=[0.8, 0.7])
    directory = run_of("b", 1, [0.5], targets=[0.7, 0.6])
    assert tradeoff.targets_of(load(directory.parent)) == [0.6, 0.7, 0.8]


def test_curves_between_rounds(run_of: RunOf) -> None:
    # Seed 2 ends its rounds at 3 s and 5 s: at 4 s it lies half way between 0.4 and 0.8.
    directory = run_of("a", 1, [0.2, 0.4, 0.6])
    run_of("a", 2, [0.4, 0.8])
    traces = load(directory.parent)
    second = traces.rounds["seed"] == 2
    traces.rounds.loc[second, "t_end_s"] += 1.0
    curves = tradeoff.curves(traces, "t_end_s")
    assert curves["t_end_s"].tolist() == [3.0, 4.0, 5.0]
    assert curves["low"].tolist() == pytest.approx([0.3, 0.4, 0.5])
    assert curves["high"].tolist() == pytest.approx([0.4, 0.6, 0.8])


def test_the_table_of_a_grid_parts_its_groups(run_of: RunOf) -> None:
    order = 0
    for group in ("x", "y"):
        for rank in (4, 8):
            point = [{"key": "method.rank", "text": str(rank), "value": float(rank), "unit": ""}]
            directory = run_of(f"{group}-rank={rank}", 1, [0.5], arm_index=order, group=group, point=point)
            order += 1
    console = Console(width=120, no_color=True)
    with console.capture() as captured:
        console.print(arms_table(load(directory.parent)))
    text = captured.get()
    names = [line.split()[0] if line.strip() else "" for line in text.splitlines()]
    assert names[names.index("x-rank=4") :][:5] == ["x-rank=4", "x-rank=8", "", "y-rank=4", "y-rank=8"]
    assert "budget" not in text, "no arm has one"
