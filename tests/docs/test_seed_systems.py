"""The study of docs/seed-systems.md: its parts are of scenarios and arms that exist, and its pages come out right.

Nothing is run: scenarios are resolved, and pages are made of runs that are made up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from wfl_sim.scenario import load
from wfl_sim.trace import TABLES, TraceWriter

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import seed_systems

    yield seed_systems


def test_parts_are_of_arms_and_keys_that_exist(study: ModuleType) -> None:
    from seed_systems_pages import REFERENCES

    for part in study.PARTS:
        for size in part.sizes:
            found = load(ROOT / "scenarios" / f"{part.scenario}.yaml", part.settings(size))
            arms = {cell.group or cell.arm for cell in found.cells}
            assert found.name == part.name and set(part.chosen(size)) <= arms
            assert REFERENCES[part.name] in (part.chosen(size) or arms)
            assert len({cell.seed for cell in found.cells}) == (1 if size == "smoke" else 3)
    names = [part.name for part in study.PARTS]
    assert len(set(names)) == len(names) == len(REFERENCES)


def test_every_system_has_a_part_in_the_smallest_size(study: ModuleType) -> None:
    systems = {part.question for part in study.PARTS}
    assert systems == {"fedtt", "sa-fedlora", "h2tune", "split", "all"}
    assert systems == {part.question for part in study.PARTS if "smoke" in part.sizes}


def test_a_page_compares_at_what_all_runs_reach(study: ModuleType, tmp_path: Path) -> None:
    """Rounds of 1 s, 1 Mbit and 2 J each: an arm with half the rounds ends the comparison for all."""
    from seed_systems_pages import write

    folder = tmp_path / "annealed_rank"
    for seed, shift in ((1, 0.0), (2, 0.02), (3, 0.04)):
        written(folder, "rank-8", seed, [0.1, 0.2 + shift, 0.2 + shift, 0.2 + shift, 0.8, 0.8, 0.8])
        written(folder, "annealed", seed, [0.1, 0.3 + shift, 0.3 + shift, 0.3 + shift])
    said = [*write(study.PARTS, tmp_path, tmp_path / "tables")]
    assert sum("left out" in line for line in said) == len(study.PARTS) - 1
    text = (tmp_path / "tables" / "sa-fedlora.md").read_text()
    assert "make evidence STUDY=seed-systems SIZE=full" in text and "| at 4 Mbit | at 4 s | at 8 J |" in text
    row = next(line for line in text.splitlines() if line.startswith("| annealed"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["annealed", "32.0 ± 5.0", "**-48.0 ± 5.0**"]
    assert cells[3:6] == ["**+10.0 ± 0.0**"] * 3 and cells[6:] == ["200", "4.0", "3000", "4.0", "8"]
    assert (tmp_path / "tables" / "annealed_rank.png").stat().st_size > 0


def written(study: Path, arm: str, seed: int, accuracies: list[float]) -> None:
    """A finished run with an upload of 200 kbit in each round."""

    def blank(table: str, **values: Any) -> dict[str, Any]:
        return {column.name: values.get(column.name, 0) for column in TABLES[table]}

    folder, count = study / f"{arm}-seed{seed}", len(accuracies)
    folder.mkdir(parents=True)
    manifest = {"name": study.name, "arm": arm, "seed": seed, "status": "finished", "targets": [], "rounds": count}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    writer = TraceWriter(folder / "trace.sqlite")
    for number, accuracy in enumerate(accuracies, 1):
        row = blank("rounds", round=number, t_start_s=number - 1.0, t_end_s=float(number), accuracy=accuracy, loss=1.0,
                    uplink_bits=number * 10**6, downlink_bits=number * 3 * 10**6, energy_j=2.0 * number)  # fmt: skip
        sent = blank("transmissions", round=number, direction="up", payload_bits=200_000, delivered_bits=200_000,
                     sent_bits=200_000, outcome="delivered", t_end_s=float(number), step=None)  # fmt: skip
        writer.commit_round(row, [sent], [])
    writer.finish()


def test_counts_are_those_of_the_library(study: ModuleType) -> None:
    """Which other tests derive: LoRA of rank 16 over FedTT with norms on Llama-2-7B, and SA-FedLoRA against FedAvg."""
    from seed_systems_counts import page

    text = "\n".join(page()) + "\n"
    assert text == (ROOT / "docs/seed-systems/counts.md").read_text(encoding="utf-8")
    rows = {row[0]: row[1:] for row in (re.split(r" *\| *", line.strip("| ")) for line in text.splitlines())}
    assert rows["FedTT with the gains of 65 norms"] == ["880,640", "45.4", "4.8"]
    assert "| 3, full | 0 | 274,722,048 | 93.60 % | 94.00 % |" in text and "| 93.55 % | 94.00 % |" in text
