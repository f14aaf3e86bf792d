"""The table of groups that a run prints: what each group of clients reached in its own task."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from analysis import load
from analysis.tables import groups_table
from wfl_sim.trace import TABLES, TraceWriter

ENDS = {("shared", 1): (0.5, 0.8), ("shared", 2): (0.7, 0.6), ("alone", 1): (0.4, 0.3), ("alone", 2): (0.4, 0.5)}


def test_each_group_has_a_column_of_medians_and_their_spread_over_seeds(tmp_path: Path) -> None:
    for (arm, seed), ends in ENDS.items():
        written(tmp_path / "mix" / f"{arm}-seed{seed}", arm, seed, ends)
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(groups_table(load(tmp_path / "mix")))
    lines = [" ".join(line.split()) for line in console.export_text().splitlines()]
    assert lines[1:3] == ["small large", "arm wordnet10 mine.csv"]
    assert sorted(lines[3:5]) == ["alone 0.400 0.400±0.141", "shared 0.600±0.141 0.700±0.141"]
    assert lines[5] == "accuracy of each group's own task, median of the last 3 rounds"


def written(folder: Path, arm: str, seed: int, ends: tuple[float, float]) -> None:
    """Four rounds, the first of which counts for nothing, and the last but one for little."""

    def blank(table: str, **values: Any) -> dict[str, Any]:
        return {column.name: values.get(column.name, 0) for column in TABLES[table]}

    folder.mkdir(parents=True)
    manifest = {"name": "mix", "arm": arm, "seed": seed, "status": "finished", "targets": [], "rounds": 4}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    writer = TraceWriter(folder / "trace.sqlite")
    for number in range(1, 5):
        values = [0.1, 0.1] if number in (1, 3) else ends
        tasks = zip(("small", "large"), ("builtin:wordnet10", "mine.csv"), values, strict=True)
        groups = [
            blank("groups", name=name, task=task, share=0.5, accuracy=value, loss=1.0) for name, task, value in tasks
        ]
        row = blank("rounds", round=number, t_end_s=float(number), accuracy=0.5, loss=1.0)
        writer.commit_round(row | {"groups": groups}, [], [])
    writer.finish()
    writer.close()
