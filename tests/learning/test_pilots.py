"""Pilots of stage 1 on a real model of a few numbers: both ways choose a rank, and the same one every time."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from wfl_sim.engine import run_cell
from wfl_sim.scenario import Study
from wfl_sim.stage1.choice import select

PILOTS = """\
method: {kind: soft}
codec: {kind: components}
schedule: {kind: min_max}
rank_selection: {candidates: [1, 2, 4], rounds: 2, latency_budget: 1 s}
"""


@pytest.mark.slow
@pytest.mark.parametrize("by", ["tail", "pilot"])
def test_a_real_model_is_asked(by: str, small_run: Callable[..., Study], tmp_path: Path) -> None:
    cell = small_run(PILOTS, f"rank_selection.by={by}").cells[0]
    found, _, spectrum = select(cell.scenario)
    assert found == select(cell.scenario)[0] and found.rank in (1, 2, 4)
    if by == "tail":
        assert spectrum.beyond[0] == pytest.approx(1.0) and spectrum.beyond[-1] == 0.0
        assert list(spectrum.beyond) == sorted(spectrum.beyond, reverse=True)
        assert 0.0 <= spectrum.covariance < 1.0, "of three clients that hardly drift apart"
        assert spectrum.dropped[-1] == pytest.approx(0.0)
    else:
        losses = [row.loss for row in found.candidates]
        assert all(loss is not None and 0.0 < loss < 2 * math.log(10) for loss in losses)
        assert found.of(found.rank).loss == min(losses)  # type: ignore[type-var]
        assert all(row.accuracy is not None and 0.0 <= row.accuracy <= 1.0 for row in found.candidates)
    manifest = run_cell(cell, 0, tmp_path / "run")
    assert (manifest["status"], manifest["rank_selection"]) == ("finished", found.as_dict())
