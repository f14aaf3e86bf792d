"""The study of docs/soft-tsfa.md: its parts are of scenarios, arms and keys that exist, and its pages come out right.

Nothing is run: scenarios are resolved, and pages are made of runs that are made up.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from wfl_sim.scenario import load
from wfl_sim.trace import TABLES, TraceWriter

ROOT = Path(__file__).resolve().parents[2]
SCENARIO = """schema_version: 1
name: made
rounds: 4
channel: {path_loss: {kind: uma}}
clients: {count: 2, placement: {kind: disc, to: 300 m}, compute: {time: 400 ms}}
method: {kind: fedavg, rank: 4}
codec: {kind: dense, bits: 16}
"""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import soft_tsfa

    yield soft_tsfa


def test_parts_are_of_arms_and_keys_that_exist(script: ModuleType) -> None:
    for part in script.PARTS:
        path = ROOT / "scenarios" / f"{part.scenario}.yaml"
        for size in part.sizes:
            fixed = [f"arms.{arm}.schedule.kept_fraction=0.25" for arm in part.chosen(size) if arm in part.matched]
            study = load(path, [*part.settings(size), *fixed])
            arms = {cell.group or cell.arm for cell in study.cells}
            assert study.name == part.name
            assert set(part.chosen(size)) <= arms
            assert set(part.matched.values()) <= set(part.chosen(size)) | set(part.arms)
            matched = [cell for cell in study.cells if cell.group in part.matched and cell.group in part.chosen(size)]
            assert len(fixed) == len({cell.group for cell in matched})
            assert {cell.scenario.schedule.kept_fraction for cell in matched} <= {0.25}  # type: ignore[attr-defined]


def test_core_has_questions_1_and_2_and_three_seeds(script: ModuleType) -> None:
    core = [part for part in script.PARTS if "core" in part.sizes]
    assert {part.question for part in core} == {"1", "2"}
    for part in core:
        assert (
            len({cell.seed for cell in load(ROOT / "scenarios" / f"{part.scenario}.yaml", part.settings("core")).cells})
            >= 3
        )
    assert len({part.name for part in script.PARTS}) == len(script.PARTS)


def test_matched_arms_get_the_mean_kept_fraction_of_theirs(script: ModuleType, tmp_path: Path) -> None:
    part = script.Part("made", "2", "cell_edge", ("soft-tsfa", "soft-min-max"), matched=script.MATCHED)
    for seed, kept in ((1, (0.2, 0.4)), (2, (0.5, 0.7))):
        written(tmp_path / "made", "soft-tsfa", seed, [0.5, 0.5], kept)
    fractions = script.kept_fractions(part, script.Job(tmp_path, "core", 1), ["soft-min-max"])
    assert fractions == {"soft-min-max": pytest.approx(0.45)}


def test_pages_say_what_the_runs_were(script: ModuleType, tmp_path: Path) -> None:
    from soft_tsfa_pages import write

    folder = tmp_path / "tradeoff_kept_fraction"
    for seed, shift in ((1, 0.0), (2, 0.02), (3, 0.04)):
        for arm, end in (("head-only", 0.5), ("dense", 0.7), ("topk", 0.69)):
            written(folder, arm, seed, [0.3, end + shift, end + shift, end + shift])
    notes = {"sizes": ["core"], "commits": ["abc1234"], "commands": ["wfl-sim run made"]}
    (folder / "evidence.json").write_text(json.dumps(notes))
    said = list(write(script.PARTS, tmp_path, tmp_path / "tables"))
    assert sum("left out" in line for line in said) == len(script.PARTS) - 1  # told, and no error
    text = (tmp_path / "tables" / "q1.md").read_text()
    assert "make evidence SIZE=core" in text and "abc1234" in text and "3 seeds (1, 2, 3)" in text
    row = next(line for line in text.splitlines() if line.startswith("| topk"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["topk", "71.0 ± 5.0", "**-1.0 ± 0.0**"]  # .69, .71, .73; always one point below dense
    assert (tmp_path / "tables" / "q1.png").stat().st_size > 0
    shares = (tmp_path / "tables" / "q5.md").read_text()
    assert "| topk | **-1.0 ± 0.0** | 3 of 3 | 100 ± 0 | 100 ± 0 |" in shares
    assert "| head-only | **-20.0 ± 0.0** | 0 of 3 | – | – |" in shares


def test_regret_is_within_a_seed(script: ModuleType, tmp_path: Path) -> None:
    import pandas as pd
    from soft_tsfa_pages import picked, regret

    accuracy = pd.Series({(2, 1): 0.5, (4, 1): 0.6, (4, 2): 0.7})
    assert regret(accuracy, 4, 2, 1) == pytest.approx(0.1)
    assert regret(accuracy, 4, 2, 2) != regret(accuracy, 4, 2, 2)  # rank 2 was not run with seed 2
    (tmp_path / "plan-tail-seed3.json").write_text(json.dumps({"selection": {"rank": 8}}))
    assert picked(tmp_path) == {"tail": {3: 8}}


def written(study: Path, arm: str, seed: int, accuracies: list[float], kept: tuple[float, ...] = ()) -> None:
    """A finished run of rounds of 1 s and 1 Mbit, with an upload of 0.2 Mbit in each."""

    def blank(table: str, **values: Any) -> dict[str, Any]:
        return {column.name: values.get(column.name, 0) for column in TABLES[table]}

    folder = study / f"{arm}-seed{seed}"
    folder.mkdir(parents=True)
    manifest = {"name": study.name, "arm": arm, "seed": seed, "status": "finished", "targets": [], "rounds": 4}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "scenario.yaml").write_text(SCENARIO)
    writer = TraceWriter(folder / "trace.sqlite")
    for number, accuracy in enumerate(accuracies, start=1):
        end = blank("rounds", round=number, t_start_s=number - 1.0, t_end_s=float(number), accuracy=accuracy,
                    uplink_bits=10**6 * number, kept_fraction_mean=kept[number - 1] if kept else 1.0)  # fmt: skip
        up = blank("transmissions", round=number, direction="up", payload_bits=200_000, outcome="delivered", reason="")
        writer.commit_round(end, [up], [])
    writer.close()
