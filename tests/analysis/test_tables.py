"""The tables of arms: which columns they have, what stands in them, and that they fit a terminal.

Knows synthetic studies; nothing is run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from analysis.tables import WIDTH, air_table, arms_table
from analysis.traces import Traces, load
from analysis.tradeoff import summary, window_in_words

RunOf = Callable[..., Path]
Table = Callable[[Traces], object]


def printed(table: object, width: int = 200) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def words(table: object) -> str:
    return " ".join(printed(table).split())


def test_the_tables_keep_to_their_width(study: Traces, tmp_path: Path, synthetic: SimpleNamespace) -> None:
    fleet = load(synthetic.write_fleet(tmp_path / "f", clients=20, rounds=6, deadline_s=1.5))
    for table in (arms_table(study), air_table(study), arms_table(fleet), air_table(fleet)):
        assert max(len(line.rstrip()) for line in printed(table).splitlines()) <= WIDTH


@pytest.mark.parametrize("width", [60, 80])
def test_nothing_is_cut_off_on_a_narrow_terminal(study: Traces, width: int) -> None:
    for table in (arms_table, air_table):
        narrow, wide = printed(table(study, width), width), printed(table(study))
        assert max(len(line) for line in narrow.splitlines()) <= width
        numbers = [word for word in wide.split() if "±" in word]
        assert sorted(word for word in narrow.split() if "±" in word) == sorted(numbers)


def test_every_column_stands_in_one_of_the_tables_with_every_arm(study: Traces) -> None:
    lines = [line.split() for line in printed(arms_table(study)).splitlines() if line.strip()]
    heads = [line for line in lines if line[0] == "arm"]
    assert len(heads) > 1  # three seeds: ± makes it too wide for one
    assert len({name for line in lines for name in line if name in study.arms}) == len(study.arms)
    assert [line[0] for line in lines].count("soft-tsfa") == len(heads)
    table = words(arms_table(study))
    for title in (
        "accuracy",
        "uplink",
        "energy",
        "update",
        "kept",
        "round",
        "budget",
        "deferred",
        "to 0.65",
        "to 0.75",
    ):
        assert title in table


def test_an_update_is_the_mean_of_what_was_sent(study: Traces) -> None:
    rows = summary(study).set_index(["arm", "seed"])
    sent = study.transmissions[study.transmissions["direction"] == "up"]
    for (arm, seed), own in sent.groupby(["arm", "seed"]):
        assert rows.loc[(arm, seed), "update_kbit"] == pytest.approx(own["payload_bits"].mean() / 1e3)
        assert rows.loc[(arm, seed), "kept"] == pytest.approx(own["kept_fraction"].mean())
    assert (rows.loc["dense-equal", "kept"] == 1).all() and (rows.loc["dense-equal", "update_kbit"] == 1200).all()


def test_what_arms_do_not_differ_in_has_no_column(synthetic: SimpleNamespace, tmp_path: Path) -> None:
    for arm in ("a", "b"):
        synthetic.write_fleet(tmp_path / "s", arm, clients=5, rounds=4)  # dense, and of one seed: alike
    table = printed(arms_table(load(tmp_path / "s")))
    assert "update" not in table.splitlines()[1] and "kept" not in table


@pytest.fixture
def sent(synthetic: SimpleNamespace, tmp_path: Path) -> Callable[..., Traces]:
    """A study of two arms without learning, with what their transmissions have in place of what they had."""

    def study(a: dict[str, float], b: dict[str, float]) -> Traces:
        for arm, changed in (("a", a), ("b", b)):
            rounds = (
                (row, [one | changed for one in sent], calls) for row, sent, calls in synthetic.fleet_rounds(5, 4)
            )
            synthetic.write_run(tmp_path / "s" / f"{arm}-seed1", {"name": "s", "arm": arm, "seed": 1}, rounds)
        return load(tmp_path / "s")

    return study


@pytest.mark.parametrize("table", [arms_table, air_table])
def test_what_all_leave_out_alike_is_told_and_their_bits_are_not(sent: Callable[..., Traces], table: Table) -> None:
    told = words(table(sent({"kept_fraction": 0.25}, {"kept_fraction": 0.25})))
    assert told.count(" 0.250 ") == 2 and "kept: mean kept fraction" in told and "mean bits" not in told


@pytest.mark.parametrize("table", [arms_table, air_table])
def test_unlike_bits_of_whole_updates_are_told_and_that_they_are_whole_is_not(
    sent: Callable[..., Traces], table: Table
) -> None:
    told = words(table(sent({"payload_bits": 123_400}, {"payload_bits": 567_800})))
    assert " 123.4 " in told and " 567.8 " in told and "update: mean bits" in told
    assert "kept:" not in told and " kept " not in told.partition(":")[0]


def test_a_run_that_learns_tells_updates_once(study: Traces) -> None:
    assert "kept" in words(arms_table(study)) and "kept:" not in words(air_table(study))


def test_the_table_says_of_how_many_rounds_it_has_the_median(run_of: RunOf) -> None:
    run_of("a", 1, [0.5, 0.7])
    both = load(run_of("b", 1, [None, 0.6, 0.4]).parent)
    table = words(arms_table(both))
    assert table.endswith("accuracy: median of the 2 rounds") and " 0.600 " in table
    longer = words(arms_table(load(run_of("c", 1, [0.5] * 4).parent)))
    assert "accuracy: median of the last 3 rounds, or of the fewer that there were" in longer


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ([], "the last 3 rounds"),
        ([3, 4, 100], "the last 3 rounds"),
        ([0, 1, 1], "the only round"),
        ([2, 0, 2], "the 2 rounds"),
        ([1, 2], "the last 3 rounds, or of the fewer that there were"),
    ],
)
def test_of_which_rounds_a_median_is(counts: list[int], said: str) -> None:
    assert window_in_words(counts) == said


def test_a_target_that_nobody_reached_has_no_column(run_of: RunOf) -> None:
    run_of("a", 1, [0.7] * 4, targets=[0.6, 0.8, 0.95])
    table = words(arms_table(load(run_of("b", 1, [0.5] * 4).parent)))
    assert "to 0.6" in table and "to 0.8" not in table and "to 0.95" not in table
    assert "no arm reaches 0.8, 0.95 with every seed" in table
    assert " - " in table  # b, to 0.6


def test_the_deadline_of_a_schedule_is_what_its_rounds_are_held_against(run_of: RunOf) -> None:
    directory = run_of("planned", 1, [0.5] * 3)
    (directory / "scenario.yaml").write_text("schedule:\n  kind: deadline_aware\n  deadline: 1600 ms\n  margin: 0.1\n")
    run_of("free", 1, [0.5] * 3)
    traces = load(run_of("promised", 1, [0.5] * 3, latency_budget_s=4.0).parent)
    rows = summary(traces).set_index("arm")
    assert rows["due_s"].to_dict() == pytest.approx(
        {"planned": 1.6, "promised": 4.0, "free": float("nan")}, nan_ok=True
    )
    assert rows.loc["planned", "over_budget"] == pytest.approx(2.0 / 1.6)
    table = printed(arms_table(traces))
    (planned,) = [line for line in table.splitlines() if line.startswith("planned")]
    assert "1.60" in planned and "1.250" in planned
    assert "over the latency budget or the deadline of the schedule, which is kept up to 1" in " ".join(table.split())
    assert traces.cells["latency_budget_s"].notna().sum() == 1  # the pictures of budgets are of promises alone


def test_a_deadline_that_is_no_time_is_none(run_of: RunOf) -> None:
    directory = run_of("other", 1, [0.5])
    (directory / "scenario.yaml").write_text("schedule:\n  kind: plugged_in\n  deadline: tomorrow\n")
    assert load(directory).cells["schedule_deadline_s"].isna().all()
