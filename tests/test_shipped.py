"""The shipped scenarios of the air interface: a few rounds of every arm, without learning, and a ledger that balances.

Knows what a run directory promises; the figures of a round or two mean nothing and are only checked against each other.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wfl_sim.engine import run_cell
from wfl_sim.scenario import Cell, load
from wfl_sim.trace import read_rows

SCENARIOS = Path(__file__).resolve().parents[1] / "scenarios"
# Small enough for a second or so each, and in the regime of the file: who shares what with whom stays as it is.
SMALL = {
    "urban_uplink": ("rounds=1", "clients.count=8", "method.payload='0.1 Mbit'"),
    "vehicular": ("method={kind: none, payload: 20 kbit, kept_fractions: [0.25, 0.5, 1]}", "rounds=2"),
    "iot_bursty": ("rounds=2",),
    "async_fleet": ("method={kind: none, payload: 0.1 Mbit}", "rounds=2"),
}
FEWER = {"async_fleet": ("arms.fedbuff.rounds=2", "arms.fedasync.rounds=2")}


def cells() -> list[Cell]:
    found: list[Cell] = []
    for name, overrides in SMALL.items():
        study = load(SCENARIOS / f"{name}.yaml", (*overrides, *FEWER.get(name, ())))
        assert study.name == name
        found += study.cells
    return found


def test_each_has_a_header_that_says_what_it_is_for() -> None:
    for name in SMALL:
        lines = (SCENARIOS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
        header = [line for line in lines[1:] if line.startswith("#")]
        assert any("?" in line for line in header), f"{name}: no question"
        assert any(f"wfl-sim run {name} " in line for line in header), f"{name}: nothing to try"


@pytest.mark.parametrize("cell", cells(), ids=lambda cell: f"{cell.scenario.name}-{cell.arm}")
def test_every_arm_runs_and_its_ledger_is_that_of_the_trace(cell: Cell, tmp_path: Path) -> None:
    run_cell(cell, 0, tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["status"], manifest["rounds_done"]) == ("finished", cell.scenario.rounds)
    ledger, rows = manifest["ledger"], read_rows(tmp_path / "run" / "trace.sqlite", "transmissions")
    assert {row["outcome"] for row in rows} <= {"delivered", "partial", "dropped"}
    for direction in ("up", "down"):
        of_direction = [row for row in rows if row["direction"] == direction]
        offered, delivered, dropped, in_flight = (
            ledger[f"{what}_{direction}_bits"] for what in ("offered", "delivered", "dropped", "in_flight")
        )
        assert offered == delivered + dropped + in_flight
        # A transfer that is under way when the run ends has no row: it is in flight.
        assert offered - in_flight == sum(row["payload_bits"] for row in of_direction) > 0
        assert delivered == sum(row["delivered_bits"] for row in of_direction)
    assert any(row["outcome"] == "delivered" for row in rows if row["direction"] == "up")
