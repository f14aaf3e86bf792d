"""Groups of clients in tables, comparisons and a picture: what each group reached in its own task, seed by seed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from analysis import clientgroups, comparetables, load, plots
from analysis.compare import compare
from analysis.tables import groups_table
from analysis.traces import TraceError, Traces
from wfl_sim.trace import TABLES, TraceWriter

ROUNDING = 1e-12  # of differences of numbers below 1
ENDS = {("shared", 1): (0.5, 0.8), ("shared", 2): (0.7, 0.6), ("alone", 1): (0.4, 0.3), ("alone", 2): (0.4, 0.5)}


@pytest.fixture
def mix(tmp_path: Path) -> Path:
    """Two arms with two seeds and two groups, of which the means over all clients are the same."""
    for (arm, seed), ends in ENDS.items():
        written(tmp_path / "mix" / f"{arm}-seed{seed}", arm, seed, ends)
    return tmp_path / "mix"


def test_each_group_has_a_column_of_medians_and_their_spread_over_seeds(mix: Path) -> None:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(groups_table(load(mix)))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert lines[1:3] == ["small large", "arm wordnet10 mine.csv"]
    assert sorted(lines[3:5]) == ["alone 0.400 0.400±0.141", "shared 0.600±0.141 0.700±0.141"]
    assert lines[5] == "accuracy of each group's own task, median of the last 3 rounds"


def test_the_ends_of_groups_are_a_row_a_run_and_group(mix: Path) -> None:
    found = clientgroups.ends(load(mix))
    assert list(found.columns) == ["arm", "seed", "name", "task", "accuracy"]
    own = {(r.arm, r.seed, r.name): r.accuracy for r in found.itertuples(index=False)}
    assert own == {
        (arm, seed, name): end
        for (arm, seed), ends in ENDS.items()
        for name, end in zip(("small", "large"), ends, strict=True)
    }


def test_groups_are_compared_seed_by_seed_below_their_arms(mix: Path) -> None:
    """Differences of the ends by hand: 0.5 - 0.4 and 0.7 - 0.4 of the small ones, 0.8 - 0.3 and 0.6 - 0.5 of others."""
    found = compare(f"{mix}:alone", f"{mix}:shared")
    assert [pair.verdict for pair in found.pairs] == ["equal"]
    small, large = found.groups
    assert [(p.group.name, p.group.task) for p in found.groups if p.group] == [
        ("small", "builtin:wordnet10"),
        ("large", "mine.csv"),
    ]
    assert [s.difference for s in small.seeds] == pytest.approx([0.1, 0.3], abs=ROUNDING)
    assert [s.difference for s in large.seeds] == pytest.approx([0.5, 0.1], abs=ROUNDING)
    assert (small.mean, large.mean) == pytest.approx((0.2, 0.3), abs=ROUNDING)
    assert (small.baseline, large.baseline) == pytest.approx((0.4, 0.4), abs=ROUNDING)
    plain = comparetables.as_dict(found)
    assert [(own["group"], own["n"], own["verdict"]) for own in plain["groups"]] == [
        ("small", 2, "better"),
        ("large", 2, "better"),
    ]


def test_a_side_is_judged_once_by_each_group_whatever_arms_it_has(mix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def counted(traces: Traces, group: clientgroups.ClientGroup) -> Traces:
        asked.append(group.name)
        return clientgroups.of_group(traces, group)

    monkeypatch.setattr(sys.modules["analysis.compare"], "of_group", counted)
    assert len(compare(str(mix), str(mix)).groups) == 4
    assert sorted(asked) == ["large", "large", "small", "small"]


def test_what_groups_lose_is_told_and_is_no_regression_of_the_run(mix: Path) -> None:
    found = compare(f"{mix}:shared", f"{mix}:alone", tolerance="0.25")
    assert not found.regression and [pair.verdict for pair in found.groups] == ["within tolerance", "worse"]
    *_, told, verdict = comparetables.conclusion(found)
    assert told.endswith("no regression of the run: shared -> alone: large (mine.csv)") and verdict == "no regression"
    to = compare(f"{mix}:alone", f"{mix}:shared", "time_to", target=0.5)
    assert [pair.won for pair in to.groups] == [(1, 2), (1,)] and [pair.lost for pair in to.groups] == [(), ()]
    assert [s.b for s in to.groups[0].seeds] == [4.0, 4.0] and [s.a for s in to.groups[1].seeds][1:] == [4.0]
    assert compare(f"{mix}:alone", f"{mix}:shared", "time").groups == ()  # which no group has for itself


def test_groups_with_another_task_are_no_pair(mix: Path) -> None:
    written(mix / "other-seed1", "other", 1, (0.9, 0.9), ("builtin:wordnet19", "mine.csv"))
    found = compare(f"{mix}:alone", f"{mix}:other")
    assert [pair.group.name for pair in found.groups if pair.group] == ["large"]
    assert f"alone: groups only in {mix}:alone: small (wordnet10)" in found.notes
    assert f"other: groups only in {mix}:other: small (wordnet19)" in found.notes
    assert len(clientgroups.groups_of(load(mix))) == 3


def test_the_picture_has_a_panel_a_group_and_a_line_an_arm(mix: Path) -> None:
    """Means over the seeds, 100 for 1, between the lowest and the highest of them."""
    figure = plots.client_groups(load(mix))
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == ["small\nwordnet10", "large\nmine.csv"]
    for row, costs in enumerate(([1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0])):  # rounds of one second
        for group, axes in enumerate(figure.axes[2 * row : 2 * row + 2]):
            lines = {str(line.get_label()): line for line in axes.get_lines()}
            assert set(lines) == {"shared", "alone"} and len(axes.collections) == 2
            for arm, line in lines.items():
                end = 50 * (ENDS[arm, 1][group] + ENDS[arm, 2][group])
                np.testing.assert_allclose(line.get_xydata(), np.transpose([costs, [10, end, 10, end]]))
    assert figure.axes[2].get_xlabel() == "" and figure.axes[3].get_xlabel() == "simulated time, s"
    assert sorted(text.get_text() for text in figure.legends[0].get_texts()) == ["alone", "shared"]


def test_without_groups_there_is_no_picture_of_them(tmp_path: Path, synthetic: SimpleNamespace) -> None:
    rows = [(synthetic.blank("rounds", round=1, accuracy=0.5), [], [])]
    traces = load(synthetic.write_run(tmp_path / "s" / "a-seed1", {"name": "s", "arm": "a", "seed": 1}, iter(rows)))
    assert clientgroups.groups_of(traces) == [] and clientgroups.ends(traces).empty
    with pytest.raises(TraceError, match="no groups of clients"):
        plots.client_groups(traces)


TASKS = ("builtin:wordnet10", "mine.csv")


def written(folder: Path, arm: str, seed: int, ends: tuple[float, float], learnt: tuple[str, str] = TASKS) -> None:
    """Four rounds, the first of which counts for nothing, and the last but one for little."""

    def blank(table: str, **values: Any) -> dict[str, Any]:
        return {column.name: values.get(column.name, 0) for column in TABLES[table]}

    folder.mkdir(parents=True)
    manifest = {"name": "mix", "arm": arm, "seed": seed, "status": "finished", "targets": [], "rounds": 4}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    writer = TraceWriter(folder / "trace.sqlite")
    for number in range(1, 5):
        values = [0.1, 0.1] if number in (1, 3) else ends
        tasks = zip(("small", "large"), learnt, values, strict=True)
        groups = [
            blank("groups", name=name, task=task, share=0.5, accuracy=value, loss=1.0) for name, task, value in tasks
        ]
        row = blank("rounds", round=number, t_end_s=float(number), accuracy=0.5, loss=1.0)
        writer.commit_round(row | {"groups": groups}, [], [])
    writer.finish()
    writer.close()
