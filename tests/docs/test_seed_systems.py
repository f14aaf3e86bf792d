"""The study of docs/seed-systems.md: its parts are of scenarios and arms that exist, and its pages come out right.

Nothing is run: scenarios are resolved, and pages are made of runs that are made up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType
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
        written(folder, "rank-11", seed, [0.1, 0.2 + shift, 0.2 + shift, 0.2 + shift, 0.8, 0.8, 0.8])
        written(folder, "annealed", seed, [0.1, 0.3 + shift, 0.3 + shift, 0.3 + shift])
    said = [*write(study.PARTS, tmp_path, tmp_path / "tables")]
    assert sum("left out" in line for line in said) == len(study.PARTS) - 1
    text = (tmp_path / "tables" / "sa-fedlora.md").read_text()
    assert "make evidence STUDY=seed-systems SIZE=full" in text and "| at 4 Mbit | at 4 s | at 8 J |" in text
    well, spent = cells_of(text, "annealed")
    assert well == ["annealed", "32.0 ± 5.0", "**-48.0 ± 5.0**", *["**+10.0 ± 0.0**"] * 3]
    assert spent == ["annealed", "200", "4.0", "3000", "4.0", "8", "–", "–"]
    assert (tmp_path / "tables" / "annealed_rank.png").stat().st_size > 0


def test_what_the_head_alone_reaches_does_not_limit_the_others_and_bits_to_the_end_are_shares(
    study: ModuleType, tmp_path: Path
) -> None:
    from seed_systems_pages import write

    folder = tmp_path / "tensor_trains"
    for seed in (1, 2, 3):
        written(folder, "lora", seed, [0.5, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7])
        written(folder, "fedtt", seed, [0.7, 0.7, 0.7, 0.7])
        written(folder, "head-only", seed, [0.4])
    [*write(study.PARTS, tmp_path, tmp_path / "tables")]
    text = (tmp_path / "tables" / "fedtt.md").read_text()
    assert "| at 4 Mbit | at 4 s | at 8 J |" in text
    # A target is reached by the median of three rounds: from round 3 on, and with `lora` from round 4 on.
    assert cells_of(text, "fedtt")[1][-2:] == ["0.75 ± 0.00", "0.75 ± 0.00"]
    assert cells_of(text, "lora")[1][-2:] == ["1.00 ± 0.00", "1.00 ± 0.00"]
    assert cells_of(text, "head-only")[1][-2:] == ["–", "–"]


def test_groups_are_compared_each_in_its_own_task(study: ModuleType, tmp_path: Path) -> None:
    from seed_systems_pages import write

    folder = tmp_path / "mixed_backbones"
    for seed, shift in ((1, 0.0), (2, 0.02), (3, 0.04)):
        for arm, gain in (("fedavg-in-groups", 0.0), ("h2tune", 0.1)):
            of_groups = {"small": ("builtin:wordnet10", 0.3 + shift + gain), "large": ("wordnet19", 0.5 + shift - gain)}
            written(folder, arm, seed, [0.4 + shift] * 4, groups=of_groups)
    [*write(study.PARTS, tmp_path, tmp_path / "tables")]
    text = (tmp_path / "tables" / "h2tune.md").read_text()
    assert "| arm | small: wordnet10 | large: wordnet19 |" in text
    assert cells_of(text, "h2tune")[2] == ["h2tune", "42.0 ± 5.0 (**+10.0 ± 0.0**)", "42.0 ± 5.0 (**-10.0 ± 0.0**)"]
    assert cells_of(text, "fedavg-in-groups")[2][1] == "32.0 ± 5.0 (–)"


def test_memory_is_shown_as_measured_beside_what_was_computed(study: ModuleType, tmp_path: Path) -> None:
    from seed_systems_pages import write

    folder, mb = tmp_path / "split_learning", 10**6
    had = {"client_bytes_by_cut": {"1": 30 * mb, "2": 40 * mb}, "client_bytes_computed": {"1": 31 * mb, "2": 41 * mb},
           "server_bytes": 50 * mb, "server_bytes_computed": 51 * mb, "server_each_bytes": 200 * mb,
           "server_each_bytes_computed": 202 * mb}  # fmt: skip
    written(folder, "split-fp16", 1, [0.5] * 3, measured={"split_memory": had})
    written(folder, "federated-lora", 1, [0.5] * 3)
    [*write(study.PARTS, tmp_path, tmp_path / "tables")]
    text = (tmp_path / "tables" / "split.md").read_text()
    assert cells_of(text, "split-fp16")[2] == ["split-fp16", "40 (41)", "50 (51)", "200 (202)", "-75.0 %"]
    assert len(cells_of(text, "federated-lora")) == 2


def cells_of(text: str, arm: str) -> list[list[str]]:
    """The rows of an arm, one from each table."""
    rows = [line for line in text.splitlines() if line.startswith(f"| {arm} |")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def written(
    study: Path,
    arm: str,
    seed: int,
    accuracies: list[float],
    groups: Mapping[str, tuple[str, float]] = MappingProxyType({}),
    measured: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """A finished run with an upload of 200 kbit in each round; of each group the task and its accuracy."""

    def blank(table: str, **values: Any) -> dict[str, Any]:
        return {column.name: values.get(column.name, 0) for column in TABLES[table]}

    folder, count = study / f"{arm}-seed{seed}", len(accuracies)
    folder.mkdir(parents=True)
    manifest = {"name": study.name, "arm": arm, "seed": seed, "status": "finished", "targets": [], "rounds": count,
                "measured": dict(measured)}  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    writer = TraceWriter(folder / "trace.sqlite")
    for number, accuracy in enumerate(accuracies, 1):
        row = blank("rounds", round=number, t_start_s=number - 1.0, t_end_s=float(number), accuracy=accuracy, loss=1.0,
                    uplink_bits=number * 10**6, downlink_bits=number * 3 * 10**6, energy_j=2.0 * number)  # fmt: skip
        row["groups"] = [blank("groups", name=name, task=task, accuracy=reached)
                         for name, (task, reached) in groups.items()]  # fmt: skip
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
