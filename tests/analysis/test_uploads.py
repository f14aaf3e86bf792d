"""The summary of the air adds up to the rows of the trace, and is told from a run without learning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from analysis.participation import delivered_by_client
from analysis.tables import air_table, arms_table
from analysis.traces import Traces, load
from analysis.updates import updates
from analysis.uploads import REASONS, air_summary, jain_index, upload_durations

ROUNDING = 1e-12
"""Of a quotient of sums of fewer than 1000 numbers."""


def printed(table: object) -> str:
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, synthetic: SimpleNamespace) -> Traces:
    root = tmp_path_factory.mktemp("fleet") / "s"
    synthetic.write_fleet(root, "tight", clients=20, rounds=6, deadline_s=1.5)
    synthetic.write_fleet(root, "wide", clients=20, rounds=6)
    return load(root)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50), st.integers(1, 50))
def test_fairness_lies_between_one_for_all_and_all_alike(counts: list[int], scale: int) -> None:
    values = np.array(counts)
    index = jain_index(values)
    if not values.any():
        assert np.isnan(index)
        return
    assert 1 / len(counts) - ROUNDING <= index <= 1 + ROUNDING
    assert jain_index(scale * values) == pytest.approx(index, rel=ROUNDING)
    # k clients that have the same, and the others nothing: k / n.
    assert jain_index(values > 0) == pytest.approx((values > 0).mean(), rel=ROUNDING)


@pytest.mark.parametrize("arm", ["tight", "wide"])
def test_every_upload_is_counted_once(fleet: Traces, arm: str) -> None:
    row = air_summary(fleet).set_index("arm").loc[arm]
    cell = fleet.select(arm)
    up = cell.transmissions.query("direction == 'up'")
    counted = row["delivered"] + row["partial"] + sum(row[f"dropped_{reason}"] for reason in REASONS)
    assert counted == len(up) > 30
    assert row["delivered"] == cell.rounds["delivered"].sum()
    assert row["deferred"] == cell.rounds["deferred"].sum()
    assert row["never_sent"] == len(cell.decisions.query("action == 'send'")) - len(up)
    assert row["updates_per_s"] == pytest.approx(row["delivered"] / row["simulated_s"], rel=ROUNDING)
    assert row["participation"] == pytest.approx(row["delivered"] / (20 * 6), rel=ROUNDING)
    assert row["goodput_mbps"] == pytest.approx(
        up.query("outcome == 'delivered'")["delivered_bits"].sum() / 1e6 / cell.rounds["t_end_s"].max(), rel=ROUNDING
    )
    assert row["goodput_mbps"] < row["uplink_mbit"] / cell.rounds["t_end_s"].max(), "repeats are no goodput"
    took_s = (up["t_end_s"] - up["t_request_s"])[up["outcome"] == "delivered"]
    assert row["upload_mean_s"] == pytest.approx(took_s.mean(), rel=ROUNDING)
    assert (took_s <= row["upload_p95_s"]).mean() == pytest.approx(0.95, abs=1 / len(took_s))


def test_only_the_deadline_drops_for_the_deadline(fleet: Traces) -> None:
    rows = air_summary(fleet).set_index("arm")
    assert rows.loc["tight", "dropped_deadline"] > 0
    assert rows.loc["wide", "dropped_deadline"] == 0
    assert "dropped:" in printed(air_table(fleet))
    assert "timeout" not in printed(air_table(fleet))


def test_clients_that_were_never_called_count(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    known = load(synthetic.write_fleet(tmp_path / "known", clients=5, rounds=4))
    directory = tmp_path / "sparse" / "a"
    manifest = {"name": "n", "arm": "a", "seed": 1, "clients": 100}
    sparse = load(synthetic.write_run(directory, manifest, synthetic.fleet_rounds(5, 4)))
    (one,), (other,) = air_summary(known)["fairness"], air_summary(sparse)["fairness"]
    # 95 clients more that have nothing: the same sums, 20 times the clients.
    assert other == pytest.approx(one * 5 / 100, rel=ROUNDING)


def test_durations_count_from_the_call_too(fleet: Traces) -> None:
    rows = upload_durations(fleet)
    assert len(rows) == (fleet.transmissions["direction"] == "up").sum()
    assert (rows["since_call_s"] > rows["upload_s"]).all()
    tight = rows[rows["arm"] == "tight"]
    assert tight["since_call_s"].max() == pytest.approx(1.5, rel=ROUNDING)


def test_without_learning_the_table_says_so(fleet: Traces, study: Traces) -> None:
    assert "The air (no accuracy: a run without learning)" in printed(air_table(fleet))
    assert "no accuracy" not in printed(air_table(study))
    assert "over 3 seeds" in printed(air_table(study))
    assert " - " in printed(arms_table(fleet))


def test_rounds_stand_beside_their_budget(synthetic: SimpleNamespace, tmp_path: Path) -> None:
    rounds = synthetic.fleet_rounds(5, 4)
    manifest = {"name": "n", "arm": "a", "seed": 1, "clients": 5, "latency_budget_s": 0.5}
    traces = load(synthetic.write_run(tmp_path / "budgeted" / "a", manifest, rounds))
    mean_s = (traces.rounds["t_end_s"] - traces.rounds["t_start_s"]).mean()
    (row,) = air_summary(traces).to_dict("records")
    assert row["over_budget"] == pytest.approx(mean_s / row["latency_budget_s"], rel=ROUNDING)
    for table in (air_table(traces), arms_table(traces)):
        assert f"{row['over_budget']:.3f}" in printed(table) and "kept up to 1" in printed(table)


def test_a_run_without_a_round_or_an_upload_has_a_row(run_of: Callable[..., Path]) -> None:
    run_of("empty", 1, [], status="running")
    traces = load(run_of("silent", 1, [None]).parent)
    rows = air_summary(traces).set_index("arm")
    assert rows.loc["empty", "delivered"] == rows.loc["silent", "delivered"] == 0
    assert np.isnan(rows.loc["empty", "goodput_mbps"])
    assert np.isnan(rows.loc["silent", "upload_mean_s"])
    assert "silent" in printed(air_table(traces))


def test_activations_of_split_training_count_with_the_update_that_they_led_to() -> None:
    rows = [("a", 100, 1.0), ("a", 100, 2.0), ("a", 50, np.nan), ("b", 80, np.nan), ("b", 60, np.nan)]
    sent = pd.DataFrame(rows, columns=["arm", "payload_bits", "step"])
    sent = sent.assign(seed=1, client=0, direction="up", kept_fraction=0.25, outcome="delivered")
    decided = pd.DataFrame({"arm": ["a", "b"], "seed": 1, "client": 0})
    cells = pd.DataFrame({"arm": ["a", "b"], "seed": 1, "clients": 1.0})
    traces: Any = SimpleNamespace(transmissions=sent, decisions=decided, cells=cells)
    found = {key: [*map(float, own)] for key, own in updates(traces).items()}
    nan = pytest.approx(np.nan, nan_ok=True)
    assert found == {("a", 1): [0.25, nan, 8.0], ("b", 1): [0.07, 0.25, nan]}
    assert {key: counts.tolist() for key, counts in delivered_by_client(traces).items()} == {
        ("a", 1): [1.0],
        ("b", 1): [2.0],
    }
