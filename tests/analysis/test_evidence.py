"""Statistics of evidence, by hand: runs until a time, intervals over seeds, differences within a seed, shares.

The runs are made up: 2 s and 1 Mbit a round (`run_of`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from analysis import Traces, evidence, load

T_OF_TWO_DEGREES = 4.302653
"""Student's 97.5 % quantile for 3 seeds, from a printed table."""
DIGITS = 1e-6
"""That the table has."""

RunOf = Callable[..., Path]


def study(run_of: RunOf) -> Traces:
    """Dense training and an arm that is faster at first; the third run of `other` was interrupted."""
    run_of("dense", 1, [0.2, 0.4, 0.6, 0.6, 0.7])
    run_of("dense", 2, [0.2, 0.4, 0.5, 0.6, 0.6])
    run_of("other", 1, [0.4, 0.6, 0.6, 0.6], latency_budget_s=1.6)
    run_of("other", 2, [0.3, 0.3, 0.3, 0.4], latency_budget_s=1.6)
    return load(run_of("other", 3, [0.9], status="interrupted").parent)


def test_equal_time_is_what_every_finished_run_has_reached(run_of: RunOf) -> None:
    traces = study(run_of)
    assert evidence.equal_time_s(traces) == 8.0  # four rounds of 2 s; the interrupted one has 2 s
    assert set(evidence.finished(traces)) == {("dense", 1), ("dense", 2), ("other", 1), ("other", 2)}


def test_a_run_until_a_time(run_of: RunOf) -> None:
    table = evidence.runs(study(run_of), 8.0).set_index(["arm", "seed"])
    row = table.loc["dense", 1]
    assert row["rounds"] == 4 and row["time_s"] == 8.0 and row["uplink_mbit"] == 4.0
    assert row["accuracy"] == 0.6  # the median of .4, .6, .6
    assert row["over_budget"] == pytest.approx(2.0 / 1.6)  # by the budget that the other arm has
    assert row["dropped"] == 1 and row["deferred"] == 2


def test_only_delivered_uploads_of_these_rounds_count(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    def sent(number: int, bits: int, **more: Any) -> dict[str, Any]:
        known = {"direction": "up", "outcome": "delivered", "reason": ""}
        return synthetic.blank("transmissions", round=number, payload_bits=bits, **(known | more))

    ends = [synthetic.blank("rounds", round=i, t_start_s=i - 1.0, t_end_s=float(i), accuracy=0.5) for i in (1, 2)]
    first = [sent(1, 1000), sent(1, 3000), sent(1, 9000, outcome="dropped"), sent(1, 9000, direction="down")]
    rows = iter([(ends[0], first, []), (ends[1], [sent(2, 8000)], [])])
    traces = load(synthetic.write_run(tmp_path / "a-seed1", {"name": "made", "arm": "a", "seed": 1}, rows))
    assert evidence.runs(traces, 1.0)["update_kbit"].item() == 2.0
    assert evidence.runs(traces)["update_kbit"].item() == 4.0


def test_interval_by_hand() -> None:
    value = evidence.mean([0.1, 0.2, 0.3])
    assert value.mean == pytest.approx(0.2) and value.n == 3
    assert value.half == pytest.approx(T_OF_TWO_DEGREES * 0.1 / math.sqrt(3), abs=DIGITS)
    assert not value.certain and evidence.mean([1.0, 1.1, 1.2]).certain


def test_one_seed_has_a_mean_and_no_interval_and_a_gap_has_neither() -> None:
    one = evidence.mean([0.5])
    assert one.mean == 0.5 and math.isnan(one.half) and not one.certain
    assert math.isnan(evidence.mean([0.5, math.nan]).mean) and evidence.mean([]).n == 0


def test_differences_are_within_a_seed() -> None:
    table = pd.DataFrame(
        [("a", 1, 0.5), ("a", 2, 0.7), ("a", 3, 0.9), ("b", 3, 1.1), ("b", 1, 0.6)], columns=["arm", "seed", "accuracy"]
    )
    other = evidence.differences(table, "a", "accuracy")["b"]
    assert other.mean == pytest.approx(0.15) and other.n == 2  # +.1 and +.2; nobody knows what seed 2 would have been
    assert set(evidence.differences(table, "a", "accuracy")) == {"b"}
    assert evidence.differences(table, "c", "accuracy") == {}


def test_shares_of_what_dense_training_needed(run_of: RunOf) -> None:
    table = evidence.reached(study(run_of), "dense", 10.0).set_index(["arm", "seed"])
    # Seed 1: dense ends at .6, so the target is .5; medians of 3 reach it in its fourth round, and in the third.
    assert table.loc[("dense", 1), "target"] == pytest.approx(0.5)
    assert table.loc[("other", 1), "bits"] == pytest.approx(3 / 4) == table.loc[("other", 1), "seconds"]
    assert (table.loc["dense"][["bits", "seconds"]] == 1.0).all(axis=None)
    assert math.isnan(table.loc[("other", 2), "bits"])  # .3 at the end
