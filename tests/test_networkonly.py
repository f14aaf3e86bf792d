"""A run without learning from the command line: what is loaded, written and shown; and how a protocol paces a plan.

What the sizes are is tested in tests/methods/test_none.py, what is planned in tests/test_estimate.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wfl_sim import study
from wfl_sim.pace import Pace, pace_of
from wfl_sim.scenario import load
from wfl_sim.trace import read_rows

ROOT = Path(__file__).resolve().parents[1]
SCENARIO = """\
schema_version: 1
name: net
rounds: 3
radio: {uplink: {bandwidth: 1 MHz}}
channel: {path_loss: {kind: uma}, fading: {kind: block, block: 100 ms}}
clients:
  count: 4
  placement: {kind: disc, from: 35 m, to: 300 m}
  compute: {time: 400 ms}
method: {kind: none, payload: 0.1 Mbit, downlink: 0.2 Mbit}
learning: {targets: [0.5]}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """The folder of a run, and what the command said on both streams."""
    folder = tmp_path_factory.mktemp("net")
    (folder / "net.yaml").write_text(SCENARIO, encoding="utf-8")
    code = (
        "import sys\nfrom wfl_sim.cli import app\n"
        "try:\n    app(['run', 'net.yaml', '--no-plots'])\nexcept SystemExit as end:\n    assert not end.code, end\n"
        "heavy = ('torch', 'peft', 'transformers', 'matplotlib')\n"
        "print('loaded', [name for name in heavy if name in sys.modules])"
    )
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "net", done.stdout, done.stderr


def test_no_tensor_library_is_loaded(ran: tuple[Path, str, str]) -> None:
    assert ran[1].rstrip().endswith("loaded []")


def test_rounds_have_everything_but_what_learning_gives(ran: tuple[Path, str, str]) -> None:
    rows = read_rows(ran[0] / "none-seed1" / "trace.sqlite", "rounds")
    assert len(rows) == 3
    empty = {name for name in rows[0] if all(row[name] is None for row in rows)}
    memory = {"client_memory_bytes", "server_memory_bytes", "server_each_memory_bytes"}
    assert empty == memory | {"accuracy", "loss", "coherence_a", "coherence_b", "e_cov", "e_sp", "e_sp_score", "e_q"}
    assert [row["delivered"] for row in rows] == [4, 4, 4]
    sent = read_rows(ran[0] / "none-seed1" / "trace.sqlite", "transmissions")
    assert {(row["direction"], row["payload_bits"]) for row in sent} == {("up", 100_000), ("down", 200_000)}


def test_the_manifest_has_no_data_and_no_targets(ran: tuple[Path, str, str]) -> None:
    manifest = json.loads((ran[0] / "none-seed1" / "manifest.json").read_text())
    assert manifest["status"] == "finished" and manifest["targets"] == []
    assert "data" not in manifest
    ledger = manifest["ledger"]
    assert ledger["offered_up_bits"] == ledger["delivered_up_bits"] == 3 * 4 * 100_000


def test_progress_tells_what_arrived_in_the_place_of_accuracy(ran: tuple[Path, str, str]) -> None:
    lines = ran[2].splitlines()
    assert len(lines) == 3 and lines[0].endswith("4 delivered, 0 dropped")
    assert "accuracy" not in ran[2]


def test_from_python_it_runs_with_several_sizes_and_an_adaptive_schedule(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(SCENARIO, encoding="utf-8")
    kept = ("method.kept_fractions=[0.25, 0.5, 1]", "method.payload=1 Mbit", "radio.uplink.bandwidth=400 kHz")
    plan = load(
        tmp_path / "net.yaml", (*kept, "schedule={kind: tsfa, latency_budget: 900 ms, v: 0.01, queue_start: 5}")
    )
    folder = study.run(plan, tmp_path, jobs=1)
    rows = read_rows(folder / "none-seed1" / "trace.sqlite", "transmissions")
    sizes = {(row["payload_bits"], row["kept_fraction"]) for row in rows if row["direction"] == "up"}
    assert sizes <= {(250_000, 0.25), (500_000, 0.5), (1_000_000, 1.0)} and min(sizes)[1] < 1.0


@pytest.mark.parametrize(
    ("protocol", "pace"),
    [
        ({}, Pace(50, "clients.count")),
        ({"cohort": 10}, Pace(10, "protocol.cohort")),
        ({"cohort": 60}, Pace(50, "clients.count")),
        ({"cohort": None, "deadline_s": 2.0}, Pace(50, "clients.count", deadline_s=2.0)),
        ({"buffer": 4, "concurrency": 20}, Pace(20, "protocol.concurrency", arrivals=4)),
        ({"buffer": 4, "concurrency": 60}, Pace(48, "clients.count", arrivals=4)),  # two wait in the buffer
    ],
)
def test_the_pace_is_that_of_the_protocols_options(protocol: dict[str, Any], pace: Pace) -> None:
    scenario: Any = SimpleNamespace(protocol=SimpleNamespace(**protocol), clients=SimpleNamespace(count=50))
    assert pace_of(scenario) == pace
    assert pace.in_rounds == ("buffer" not in protocol)


def test_the_manifest_says_what_deciding_took(ran: tuple[Path, str, str]) -> None:
    measured = json.loads((ran[0] / "none-seed1" / "manifest.json").read_text())["measured"]
    assert measured["decisions"] == 3  # one a round
    assert 0 < measured["schedule_s"] < measured["wall_s"]
