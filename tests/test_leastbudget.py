"""The least latency budget: that of a plan with the smallest payloads alone; and who is told of it, and where."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import wfl_sim
from wfl_sim.advice import advice
from wfl_sim.cli import app
from wfl_sim.estimate import estimate
from wfl_sim.leastbudget import least_budget, note, notes
from wfl_sim.scenario import Study, load

SAME_PLAN = 1e-6  # relative: both end all uploads together; the plan's own tolerance is 1e-9
SCENARIO = """\
schema_version: 1
name: net
rounds: 3
radio: {uplink: {bandwidth: 1 MHz}}
channel: {path_loss: {kind: uma}}
clients:
  count: 4
  placement: {kind: disc, from: 35 m, to: 500 m}
  compute: {time: 50 ms}
method: {kind: none, payload: 4 Mbit, downlink: 1 kbit, kept_fractions: [0.1, 0.5, 1.0]}
schedule: {kind: tsfa, latency_budget: 100 ms}
"""


@pytest.fixture
def made(tmp_path: Path):
    def make(*overrides: str) -> Study:
        (tmp_path / "net.yaml").write_text(SCENARIO, encoding="utf-8")
        return load(tmp_path / "net.yaml", overrides)

    return make


def test_it_is_the_plan_of_the_smallest_payloads_that_end_together(made) -> None:
    least = least_budget(made().cells[0].scenario)
    alone = made("method={kind: none, payload: 400 kbit, downlink: 1 kbit}", "schedule={kind: min_max}", "rounds=1")
    (row,) = estimate(alone).arms
    assert least.seconds == pytest.approx(row.round_s, rel=SAME_PLAN)
    assert least.part == "upload" and 0.25 < least.share_of_band < 1
    half = least_budget(made("schedule.kept_fraction_min=0.5").cells[0].scenario)
    assert half.seconds > 2 * least.seconds  # five times the bits, beside what computing takes
    assert least_budget(alone.cells[0].scenario) is None


def test_a_budget_below_it_is_noted_and_one_above_it_is_not(made) -> None:
    study = made()
    least = least_budget(study.cells[0].scenario)
    told = note(study.cells[0].scenario)
    assert told.startswith("the latency budget of 0.1 s cannot be met")
    assert f"client no. {least.client} " in told and f"latency_budget to {least.seconds:.3g} s" in told
    assert told in advice(study, estimate(study))
    assert notes(study.cells) == [told]
    assert note(made(f"schedule.latency_budget={1.01 * least.seconds:.6f} s").cells[0].scenario) is None


def test_who_waits_for_computing_is_told_so(made) -> None:
    least = least_budget(made("clients.compute.time=9 s", "schedule.latency_budget=9.1 s").cells[0].scenario)
    assert least.part == "computing" and least.part_s == pytest.approx(9.0)


@pytest.mark.parametrize("patience", [1, 2, 4])
def test_whom_a_longer_budget_would_call_counts(made, patience: int) -> None:
    # a budget so short that all are infeasible alone, or all but some: the one that is named can be met, for it
    every = least_budget(made("schedule.patience=1000").cells[0].scenario).seconds
    short = f"schedule.patience={patience}"
    seconds = least_budget(made(short, "schedule.latency_budget=60 ms").cells[0].scenario).seconds
    assert 0.06 < seconds <= every * (1 + SAME_PLAN)
    assert note(made(short, f"schedule.latency_budget={1.001 * seconds:.6f} s").cells[0].scenario) is None


def test_a_run_says_it_before_it_begins(made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made()

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(wfl_sim, "run", interrupted)
    before = [str(tmp_path / "net.yaml"), "--output", str(tmp_path / "runs")]
    said = CliRunner().invoke(app, ["run", *before]).stderr
    assert "note: the latency budget of 0.1 s cannot be met" in said
    assert "note:" not in CliRunner().invoke(app, ["run", *before, "--quiet"]).stderr


def test_where_all_need_the_same_the_weakest_link_is_named_in_note_and_table(made) -> None:
    """Strong links at the cap of their rate; clients drive, so that others are the weakest ones later."""
    capped = ("radio.rate={kind: truncated_shannon}", "clients.placement.to=60 m", "clients.count=6", "rounds=20",
              "clients.mobility={kind: random_waypoint, speed: 30 km/h}", "seeds=[1]")  # fmt: skip
    study = made(*capped)
    least, (row,) = least_budget(study.cells[0].scenario), estimate(study).arms
    assert least.share_of_band == pytest.approx(1 / 6), "all are granted the same"
    assert row.worst is not None and row.median is not None
    assert least.client == row.worst.client and least.distance_m == pytest.approx(row.worst.distance_m)
    assert row.worst.snr_db < row.median.snr_db
