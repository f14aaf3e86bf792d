"""The study of docs/soft-tsfa.md: its parts are of scenarios, arms and keys that exist, and its pages come out right.

Nothing is run: scenarios are resolved, and pages are made of runs that are made up.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from wfl_sim.contracts import Request
from wfl_sim.scenario import load
from wfl_sim.trace import TABLES, TraceWriter
from wfl_sim.updatesizes import sizes

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
    import evidence

    yield evidence


@pytest.fixture
def study(script: ModuleType) -> ModuleType:
    import soft_tsfa

    return soft_tsfa


def test_parts_are_of_arms_and_keys_that_exist(script: ModuleType, study: ModuleType) -> None:
    for part in study.PARTS:
        path = ROOT / "scenarios" / f"{part.scenario}.yaml"
        for size in part.sizes:
            fixed = [one for arm in part.chosen(size) if arm in part.matched for one in script.matching(arm, 70_000)]
            found = load(path, [*part.settings(size), *fixed])
            arms = {cell.group or cell.arm for cell in found.cells}
            assert found.name == part.name
            assert set(part.chosen(size)) <= arms
            assert set(part.matched.values()) <= set(part.chosen(size)) | set(part.arms)
            matched = [cell for cell in found.cells if cell.group in part.matched and cell.group in part.chosen(size)]
            assert len(fixed) == 2 * len({cell.group for cell in matched})
            settings = {(cell.scenario.schedule.kept_fraction, cell.scenario.schedule.payload_bits) for cell in matched}  # type: ignore[attr-defined]
            assert settings <= {(1.0, 70_000.0)}


def test_core_has_questions_1_and_2_and_three_seeds(script: ModuleType, study: ModuleType) -> None:
    core = [part for part in study.PARTS if "core" in part.sizes]
    assert {part.question for part in core} == {"1", "2"}
    for part in core:
        assert (
            len({cell.seed for cell in load(ROOT / "scenarios" / f"{part.scenario}.yaml", part.settings("core")).cells})
            >= 3
        )
    assert len({part.name for part in study.PARTS}) == len(study.PARTS)


def test_every_question_has_a_part_in_the_smallest_size(script: ModuleType, study: ModuleType) -> None:
    smoke = {part.question[0] for part in study.PARTS if "smoke" in part.sizes}
    assert smoke == {part.question[0] for part in study.PARTS} == {"1", "2", "3", "4"}


def test_matched_arms_send_what_theirs_did_within_the_equal_time(
    script: ModuleType, study: ModuleType, tmp_path: Path
) -> None:
    """The nearest point of the menu, also from below; a round that another arm never reached does not count."""
    part = script.Part(
        "made", "2", "cell_edge", ("topk-int8-tsfa", "topk-int8-min-max", "dense-equal"), matched=study.MATCHED
    )
    job, partner = script.Job(tmp_path, "smoke", 1), "topk-int8-min-max"
    cell = next(cell for cell in script.resolved(part, job).cells if cell.arm == partner)
    menu = [point.bits for point in sizes(cell.scenario)[0].points]
    step = menu[11] - menu[10]
    written(tmp_path / "made", "dense-equal", 1, [0.5] * 3)
    for seed, bits in ((1, menu[10] - step // 3), (2, menu[10] + step // 3 - 2)):
        written(tmp_path / "made", "topk-int8-tsfa", seed, [0.5] * 4, bits=(bits, bits, bits, 10**6))
    assert script.payloads(part, job, [partner]) == {partner: menu[10]}
    written(tmp_path / "made", partner, 1, [0.5] * 2)  # as after a first call
    assert script.payloads(part, job, [partner]) == {partner: menu[10]}
    payload = script.matching(partner, menu[10])
    (schedule,) = {cell.scenario.schedule for cell in script.resolved(part, job, payload).cells if cell.arm == partner}
    asked = Request(0, 1.0, sizes(cell.scenario)[0], 0.0, 1.0)
    assert [point.bits for point in schedule.points([asked])] == [menu[10]]


def test_a_plan_is_made_again_for_other_ranks_and_after_a_kill(
    script: ModuleType, study: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from soft_tsfa_tables import picked

    part = next(part for part in study.PARTS if part.plan_by)
    part, asked = replace(part, plan_by=("tail",)), []
    folder, job = tmp_path / part.name, script.Job(tmp_path, "smoke", 1)

    def called(words: list[str], capture: bool = False) -> Any:
        asked.append(words)
        ranks = json.loads(next(word for word in words if "candidates" in word).split("=")[1])
        plan = {"selection": {"rank": ranks[-1], "candidates": [{"rank": rank} for rank in ranks]}}
        return subprocess.CompletedProcess(words, 0, json.dumps(plan))

    monkeypatch.setattr(script, "_called", called)
    written(folder, "rank-2", 1, [0.5], rank=2)
    written(folder, "rank-8", 1, [0.5], rank=8)
    (folder / "plan-tail-seed1.json").write_text('{"selec')  # of a run that was killed
    assert script.plan(part, job) == 0 and script.plan(part, job) == 0 and len(asked) == 1
    assert picked(folder, [2, 8]) == {"tail": {1: 8}} and picked(folder, [2, 8, 16]) == {}
    written(folder, "rank-16", 1, [0.5], rank=16)
    assert script.plan(part, job) == 0 and len(asked) == 2
    assert picked(folder, [2, 8, 16]) == {"tail": {1: 16}} and len(list(folder.glob("plan-*"))) == 1
    monkeypatch.setattr("os.replace", lambda *_: 1 / 0)  # killed before it is whole
    with pytest.raises(ZeroDivisionError):
        script.keep_plan(folder / "plan-tail-seed2-abc.json", "{")
    assert picked(folder, [2, 8, 16]) == {"tail": {1: 16}}


def test_pages_say_what_the_runs_were(script: ModuleType, study: ModuleType, tmp_path: Path) -> None:
    from soft_tsfa_pages import write

    folder = tmp_path / "tradeoff_kept_fraction"
    for seed, shift in ((1, 0.0), (2, 0.02), (3, 0.04)):
        for arm, end in (("head-only", 0.5), ("dense", 0.7), ("topk", 0.69)):
            written(folder, arm, seed, [0.3, end + shift, end + shift, end + shift])
    notes = {"sizes": ["core"], "commits": ["abc1234"], "commands": ["wfl-sim run made"]}
    (folder / "evidence.json").write_text(json.dumps(notes))
    said = list(write(study.PARTS, tmp_path, tmp_path / "tables"))
    assert sum("left out" in line for line in said) == len(study.PARTS) - 1  # told, and no error
    text = (tmp_path / "tables" / "q1.md").read_text()
    assert "make evidence SIZE=core" in text and "abc1234" in text and "3 seeds (1, 2, 3)" in text
    row = next(line for line in text.splitlines() if line.startswith("| topk"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["topk", "71.0 ± 5.0", "**-1.0 ± 0.0**"]  # .69, .71, .73; always one point below dense
    assert (tmp_path / "tables" / "q1.png").stat().st_size > 0
    shares = (tmp_path / "tables" / "q5.md").read_text()
    assert "| topk | **-1.0 ± 0.0** | 3 of 3 | 100 ± 0 | 100 ± 0 |" in shares
    assert "| head-only | **-20.0 ± 0.0** | 0 of 3 | – | – |" in shares


def test_bits_of_the_downlink_and_of_the_match_are_told(script: ModuleType, study: ModuleType, tmp_path: Path) -> None:
    from soft_tsfa_tables import opened, time_table

    part = script.Part("made", "2", "cell_edge", ("soft-tsfa", "soft-min-max"), matched=study.MATCHED)
    written(tmp_path, "soft-tsfa", 1, [0.5] * 4, bits=(60_000,) * 4)
    written(tmp_path, "soft-min-max", 1, [0.5] * 4, bits=(61_000,) * 4)
    head, _, *rows = time_table(opened(part, tmp_path), ())
    cells = [dict(zip(head.split(" | "), row.split(" | "), strict=True)) for row in rows[:2]]
    assert [row["update, kbit"] for row in cells] == ["60.0", "61.0"]
    assert [row["its match, kbit"] for row in cells] == ["–", "60.0"]
    assert [row["downlink a round, kbit |"] for row in cells] == ["3000 |"] * 2


def test_regret_is_within_a_seed(script: ModuleType) -> None:
    import pandas as pd
    from soft_tsfa_tables import regret

    accuracy = pd.Series({(2, 1): 0.5, (4, 1): 0.6, (4, 2): 0.7})
    assert regret(accuracy, 4, 2, 1) == pytest.approx(0.1)
    assert regret(accuracy, 4, 2, 2) != regret(accuracy, 4, 2, 2)  # rank 2 was not run with seed 2


def written(
    study: Path, arm: str, seed: int, accuracies: list[float], bits: tuple[int, ...] = (200_000,) * 4, rank: int = 4
) -> None:
    """A finished run of rounds of 1 s and 1 Mbit, 3 Mbit to the clients, with one upload in each."""

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
                    uplink_bits=10**6 * number, downlink_bits=3 * 10**6 * number, rank=rank)  # fmt: skip
        up = blank("transmissions", round=number, direction="up", payload_bits=bits[number - 1],
                   outcome="delivered", reason="")  # fmt: skip
        writer.commit_round(end, [up], [])
    writer.close()
