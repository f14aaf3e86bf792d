"""That a run takes the rank that stage 1 chose, and keeps to it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import playground
import pytest
from stage1cases import MANY, cell_of, scenario_of

from wfl_sim import yamlfile
from wfl_sim.engine import run_cell
from wfl_sim.rundirectory import content_hash
from wfl_sim.stage1 import choice
from wfl_sim.stage1.choice import select
from wfl_sim.trace import read_rows

KILLED = 9


@pytest.mark.usefixtures("_learner")
def test_a_run_takes_the_rank_and_its_manifest_keeps_the_table(tmp_path: Path) -> None:
    cell = cell_of(MANY, "rounds=2")
    manifest = run_cell(cell, 0, tmp_path / "run")
    assert manifest["rank_selection"] == select(cell.scenario)[0].as_dict()
    ranks = {row["rank"] for row in read_rows(tmp_path / "run" / "trace.sqlite", "rounds")}
    assert ranks == {manifest["rank_selection"]["rank"]}
    assert manifest["cell_sha256"] == content_hash(cell), "of the scenario as it is written"
    assert run_cell(cell, 0, tmp_path / "run") == manifest


@pytest.mark.usefixtures("_learner")
def test_a_run_that_goes_on_takes_the_rank_from_its_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = cell_of(MANY, "rounds=4")
    whole = run_cell(cell, 0, tmp_path / "whole")
    child = os.fork()
    if not child:
        try:
            run_cell(cell, 0, tmp_path / "run", lambda row: os._exit(KILLED) if row["round"] == 2 else None)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED
    monkeypatch.setattr(choice, "select", None)  # a second pilot would be an error
    run_cell(cell, 0, tmp_path / "run")
    left, wanted = playground.left(tmp_path / "run"), playground.left(tmp_path / "whole")
    assert left == wanted
    assert whole["rank_selection"] == json.loads((tmp_path / "run" / "manifest.json").read_text())["rank_selection"]


def test_without_the_section_the_rank_is_that_of_the_method() -> None:
    plain = MANY.replace("rank_selection:", "description: was").replace(
        "{candidates: [1, 2, 4], rounds: 2, latency_budget: 0.9 s}", "x"
    )
    assert scenario_of(plain).rank_selection is None
    assert "rank_selection" not in json.dumps(yamlfile.read_text(plain, "s").data)
