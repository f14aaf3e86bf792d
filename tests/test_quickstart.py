"""The quickstart at smoke size: the whole tool on real model and data, once from the command line, once from Python.

Knows what a run directory promises; the numbers of two rounds mean nothing and are only checked against each other.
"""

from __future__ import annotations

import csv
import getpass
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import wfl_sim
from analysis.traces import Traces
from wfl_sim.scenario import load
from wfl_sim.trace import TABLES, dump, read_rows

ROOT = Path(__file__).resolve().parents[1]
QUICKSTART = "scenarios/quickstart.yaml"
SCRIPT = Path(sys.executable).with_name("wfl-sim")
SMALL = (
    "seeds=[1]",
    "rounds=2",
    "learning.data.train=300",
    "learning.data.test=100",
    "learning.data.max_tokens=8",
    "learning.local.steps=1",
    "clients.count=3",
)
ARMS = ("head-only", "dense-equal", "dense-min-max", "soft-tsfa", "topk-tsfa")
FILES = ["manifest.json", "model.safetensors", "rounds.csv", "scenario.yaml", "trace.sqlite"]
# Sums of a few dozen floats of either sign order: far above rounding, far below any single term.
SUM_TOLERANCE = 1e-9
USER, MACHINE_USER = "somebody-unmistakable", getpass.getuser()


@dataclass(frozen=True)
class Finished:
    """What the command line run left behind."""

    folder: Path
    stdout: str
    stderr: str

    def directory(self, arm: str) -> Path:
        return self.folder / f"{arm}-seed1"

    def rows(self, arm: str, table: str) -> list[dict[str, Any]]:
        return read_rows(self.directory(arm) / "trace.sqlite", table)

    def manifest(self, arm: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.directory(arm) / "manifest.json").read_text(encoding="utf-8"))
        return found


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """``wfl-sim run`` on one core: no terminal, so plain lines."""
    output = tmp_path_factory.mktemp("command-line")
    done = subprocess.run(
        [SCRIPT, "run", QUICKSTART, *SMALL, "--output", output, "--jobs", "1", "--no-plots"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "USER": USER, "LOGNAME": USER},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return Finished(output / "quickstart", done.stdout, done.stderr)


@pytest.fixture(scope="session")
def from_python(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Traces, list[tuple[str, int]]]:
    """The same scenario through ``wfl_sim.run``, two cells at a time: folder, tables, what was reported."""
    output = tmp_path_factory.mktemp("python")
    reported: list[tuple[str, int]] = []
    traces = wfl_sim.run(
        ROOT / QUICKSTART,
        SMALL,
        output=output,
        jobs=2,
        report=lambda cell, row: reported.append((cell.arm, row["round"])),
    )
    return output / "quickstart", traces, reported


def test_the_arms_are_those_of_the_file() -> None:
    assert tuple(cell.arm for cell in load(ROOT / QUICKSTART, SMALL).cells) == ARMS


def test_progress_is_one_plain_line_a_round(finished: Finished) -> None:
    lines = finished.stderr.splitlines()
    assert len(lines) == 2 * len(ARMS), finished.stderr
    expected = [(arm, number) for arm in ARMS for number in (1, 2)]
    for line, (arm, number) in zip(lines, expected, strict=True):
        row = finished.rows(arm, "rounds")[number - 1]
        assert line == (
            f"{arm} seed 1: round   {number}/2  {row['t_end_s']:7.2f} s  {row['uplink_bits'] / 1e6:7.2f} Mbit up  "
            f"accuracy {row['accuracy']:.3f}"
        )


def test_the_table_of_the_arms_is_printed(finished: Finished) -> None:
    by_arm = {line.split()[0]: line.split() for line in finished.stdout.splitlines() if line.split()[:1]}
    assert set(ARMS) <= set(by_arm)
    for arm in ARMS:
        last = finished.rows(arm, "rounds")[-1]
        assert f"{last['uplink_bits'] / 1e6:.1f}" in by_arm[arm]
        assert f"{last['t_end_s']:.1f}" in by_arm[arm]
    assert f"traces    {finished.folder}" in finished.stdout


def test_a_run_directory_holds_five_files(finished: Finished) -> None:
    assert sorted(path.name for path in finished.folder.iterdir()) == sorted(f"{arm}-seed1" for arm in ARMS)
    for arm in ARMS:
        assert sorted(path.name for path in finished.directory(arm).iterdir()) == FILES


@pytest.mark.parametrize("arm", ARMS)
def test_the_manifest(finished: Finished, arm: str) -> None:
    record = finished.manifest(arm)
    scenario = {c.arm: c.scenario for c in load(ROOT / QUICKSTART, SMALL).cells}[arm]
    assert record["status"] == "finished"
    assert (record["name"], record["arm"], record["seed"]) == ("quickstart", arm, 1)
    assert (record["rounds"], record["rounds_done"], record["arm_index"]) == (2, 2, ARMS.index(arm))
    assert record["latency_budget_s"] == scenario.schedule.latency_budget
    assert record["targets"] == list(scenario.learning.targets)
    assert set(record["versions"]) >= {"wfl-sim", "torch", "transformers", "peft", "numpy", "scipy", "simpy", "python"}
    assert all(re.match(r"\d+\.\d+", version) for version in record["versions"].values())
    assert record["versions"]["wfl-sim"] == wfl_sim.__version__
    assert sum(record["data"]["examples_per_client"]) == 300
    assert min(record["data"]["examples_per_client"]) >= 10
    assert len(record["data"]["classes"]) == 10
    assert re.fullmatch(r"[0-9a-f]{64}", record["data"]["model_sha256"])
    assert re.fullmatch(r"[0-9a-f]{64}", record["data"]["source"]["sha256"])
    assert set(record["measured"]) == {"wall_s", "cpu_s", "peak_rss_mib", "schedule_s", "decisions"}
    assert load(finished.directory(arm) / "scenario.yaml").cells[0].scenario == scenario


@pytest.mark.parametrize("arm", ARMS)
def test_nothing_tells_who_ran_it_and_where(finished: Finished, arm: str) -> None:
    for name in FILES:
        text = (finished.directory(arm) / name).read_bytes().decode("latin-1")
        for private in (str(ROOT), str(finished.folder.parent), str(Path.home()) + "/", sys.prefix, USER):
            assert private not in text, (name, private)
        if name in ("manifest.json", "scenario.yaml"):
            assert not re.search(r"""(^|["'\s:=])/\w""", text), "an absolute path"
            for private in (MACHINE_USER, socket.gethostname()):
                assert not re.search(rf"\b{re.escape(private)}\b", text), private


@pytest.mark.parametrize("arm", ARMS)
def test_rounds_follow_one_another(finished: Finished, arm: str) -> None:
    rounds = finished.rows(arm, "rounds")
    adapter = {c.arm: c.scenario for c in load(ROOT / QUICKSTART, SMALL).cells}[arm].method.adapter()
    assert [row["round"] for row in rounds] == [1, 2]
    assert rounds[0]["t_start_s"] == 0.0
    for one, two in pairwise(rounds):
        assert two["t_start_s"] == one["t_end_s"]
        for column in ("uplink_bits", "downlink_bits", "energy_j"):
            assert two[column] > one[column]
    for row in rounds:
        assert row["t_end_s"] > row["t_start_s"]
        assert 0.0 <= row["accuracy"] <= 1.0
        assert row["accuracy"] * 100 == pytest.approx(round(row["accuracy"] * 100), abs=1e-9), "of 100 test texts"
        assert math.isfinite(row["loss"]) and row["loss"] > 0
        assert row["delivered"] + row["deferred"] <= 3
        assert row["rank"] == (adapter.rank if adapter else 0)
        for column in ("coherence_a", "coherence_b", "e_cov", "e_sp"):
            assert (row[column] is None) == (adapter is None), column
        assert (row["queue"] > 0) <= arm.endswith("tsfa")


@pytest.mark.parametrize("arm", ARMS)
def test_sums_over_transmissions_are_those_of_the_rounds(finished: Finished, arm: str) -> None:
    rounds, sent = finished.rows(arm, "rounds"), finished.rows(arm, "transmissions")
    decisions = finished.rows(arm, "decisions")
    for row in rounds:
        until = [t for t in sent if t["round"] <= row["round"]]
        now = [t for t in sent if t["round"] == row["round"]]
        for direction in ("up", "down"):
            assert row[f"{direction}link_bits"] == sum(t["sent_bits"] for t in until if t["direction"] == direction)
        energy = sum(t["energy_j"] for t in until)
        energy += sum(d["compute_energy_j"] for d in decisions if d["round"] <= row["round"])
        assert row["energy_j"] == pytest.approx(energy, rel=SUM_TOLERANCE)
        up = [t for t in now if t["direction"] == "up"]
        assert row["delivered"] == sum(t["outcome"] == "delivered" for t in up)
        assert row["kept_fraction_mean"] == pytest.approx(sum(t["kept_fraction"] for t in up) / len(up), rel=1e-12)
        assert now[0]["direction"] == "down"
        for t in now:
            assert row["t_start_s"] <= t["t_request_s"] <= t["t_start_s"] < t["t_end_s"] <= row["t_end_s"]
    assert {t["round"] for t in sent} == {1, 2}


@pytest.mark.parametrize("arm", ARMS)
def test_each_transmission_adds_up(finished: Finished, arm: str) -> None:
    radio = {c.arm: c.scenario for c in load(ROOT / QUICKSTART, SMALL).cells}[arm].radio
    for t in finished.rows(arm, "transmissions"):
        assert t["outcome"] in ("delivered", "dropped")
        assert 0 <= t["lost"] <= t["packets"]
        repeats = t["sent_bits"] - t["payload_bits"] - t["packets"] * radio.header_bits
        if t["outcome"] == "delivered":
            assert 0 <= repeats <= t["lost"] * (radio.packet_bits - radio.header_bits)
            assert (repeats > 0) == (t["lost"] > 0)
        assert t["snr_min_db"] <= t["snr_mean_db"]
        band = radio.uplink.bandwidth_hz if t["direction"] == "up" else radio.downlink.bandwidth_hz
        assert 0 < t["bandwidth_hz"] <= band * (1 + SUM_TOLERANCE)
        assert (t["client"] == -1) == (t["direction"] == "down")
        assert 0 < t["kept_fraction"] <= 1


@pytest.mark.parametrize("arm", ARMS)
def test_the_ledger_balances_and_is_that_of_the_trace(finished: Finished, arm: str) -> None:
    ledger, sent = finished.manifest(arm)["ledger"], finished.rows(arm, "transmissions")
    for direction in ("up", "down"):
        of_direction = [t for t in sent if t["direction"] == direction]
        assert ledger[f"in_flight_{direction}_bits"] == 0
        assert ledger[f"offered_{direction}_bits"] == sum(t["payload_bits"] for t in of_direction) > 0
        for outcome in ("delivered", "dropped"):
            assert ledger[f"{outcome}_{direction}_bits"] == sum(
                t["payload_bits"] for t in of_direction if t["outcome"] == outcome
            )


@pytest.mark.parametrize("arm", ARMS)
def test_decisions_share_the_band_and_are_carried_out(finished: Finished, arm: str) -> None:
    radio = {c.arm: c.scenario for c in load(ROOT / QUICKSTART, SMALL).cells}[arm].radio
    decisions = finished.rows(arm, "decisions")
    assert [(d["round"], d["client"]) for d in decisions] == [(r, c) for r in (1, 2) for c in (0, 1, 2)]
    sent = {(t["round"], t["client"]): t for t in finished.rows(arm, "transmissions") if t["direction"] == "up"}
    for number in (1, 2):
        granted = [d["bandwidth_hz"] for d in decisions if d["round"] == number]
        assert sum(granted) == pytest.approx(radio.uplink.bandwidth_hz, rel=1e-6)
    for d in decisions:
        if d["action"] == "send":
            t = sent.pop((d["round"], d["client"]))
            assert t["payload_bits"] <= d["menu_bits"]
            assert t["kept_fraction"] == d["kept_fraction"]
            assert d["compute_s"] > 0
    assert sent == {}


@pytest.mark.parametrize("arm", ARMS)
def test_rounds_csv_is_the_table(finished: Finished, arm: str) -> None:
    with (finished.directory(arm) / "rounds.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    expected = [{k: "" if v is None else str(v) for k, v in row.items()} for row in finished.rows(arm, "rounds")]
    assert rows == expected
    assert list(rows[0]) == [column.name for column in TABLES["rounds"]]


def test_arms_share_gains_and_compute_times(finished: Finished) -> None:
    first = {arm: [d for d in finished.rows(arm, "decisions") if d["round"] == 1] for arm in ARMS}
    seen = {arm: [(d["client"], d["csi_snr_db"], d["compute_s"]) for d in rows] for arm, rows in first.items()}
    assert all(rows == seen["head-only"] for rows in seen.values())
    assert len({snr for _, snr, _ in seen["head-only"]}) == 3, "clients differ"


def test_arms_share_data_and_first_weights(finished: Finished) -> None:
    data = [finished.manifest(arm)["data"] for arm in ARMS]
    assert all(record == data[0] for record in data)
    equal, min_max = (finished.rows(arm, "rounds")[0] for arm in ("dense-equal", "dense-min-max"))
    assert (equal["accuracy"], equal["loss"]) == (min_max["accuracy"], min_max["loss"]), "the same arrived"
    assert equal["t_end_s"] != min_max["t_end_s"], "but not at the same time"


@pytest.mark.slow
def test_the_same_again_from_python_on_two_cores_is_bit_for_bit_the_same(
    finished: Finished, from_python: tuple[Path, Traces, list[tuple[str, int]]]
) -> None:
    folder, _, reported = from_python
    for arm in ARMS:
        again = folder / f"{arm}-seed1"
        assert dump(again / "trace.sqlite") == dump(finished.directory(arm) / "trace.sqlite"), arm
        for name in ("scenario.yaml", "rounds.csv"):
            assert (again / name).read_bytes() == (finished.directory(arm) / name).read_bytes()
        record = json.loads((again / "manifest.json").read_text(encoding="utf-8"))
        assert {**record, "measured": None} == {**finished.manifest(arm), "measured": None}
    assert sorted(reported) == sorted((arm, number) for arm in ARMS for number in (1, 2))
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{arm}-seed1" for arm in ARMS), "no memo is left"


@pytest.mark.slow
def test_python_gets_the_same_tables(
    finished: Finished, from_python: tuple[Path, Traces, list[tuple[str, int]]]
) -> None:
    _, traces, _ = from_python
    assert tuple(traces.arms) == ARMS
    assert list(traces.cells["status"]) == ["finished"] * len(ARMS)
    for table in TABLES:
        frame = getattr(traces, table)
        assert list(frame.columns) == ["arm", "seed", *(column.name for column in TABLES[table])]
        for arm in ARMS:
            rows = frame[frame["arm"] == arm].drop(columns=["arm", "seed"]).to_dict("records")
            expected = finished.rows(arm, table)
            assert len(rows) == len(expected)
            for got, row in zip(rows, expected, strict=True):
                plain = {key: None if isinstance(v, float) and math.isnan(v) else v for key, v in got.items()}
                assert plain == row


@pytest.mark.slow
def test_an_interrupt_keeps_all_finished_rounds(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [SCRIPT, "run", QUICKSTART, *SMALL, "rounds=5000", "--output", tmp_path, "--jobs", "2", "--no-plots"],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a process group of its own, as a terminal gives to a command
    )
    try:
        assert process.stderr is not None
        reported = [process.stderr.readline() for _ in range(3)]
        assert all(": round " in line for line in reported), reported
        os.killpg(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 130
    assert stdout == ""
    lines = [*reported, *stderr.splitlines()]
    assert lines[-1] == "interrupted; finished rounds are kept, and the same command goes on from there"
    assert all(": round " in line for line in lines[:-1]), stderr
    cells = sorted((tmp_path / "quickstart").iterdir())
    assert 1 <= len(cells) <= 2, "nothing is left but the cells that had begun"
    found = 0
    for cell in cells:
        record = json.loads((cell / "manifest.json").read_text(encoding="utf-8"))
        trace = cell / "trace.sqlite"
        rounds = [row["round"] for row in read_rows(trace, "rounds")]
        kept = "checkpoint" in record
        assert kept or not rounds, "a cell that was still loading its model has none to keep"
        files = [name for name in (*FILES, "state") if kept or name != "model.safetensors"]
        assert sorted(path.name for path in cell.iterdir()) == sorted(n for n in files if rounds or n != "state")
        assert (record["status"], record["rounds_done"]) == ("interrupted", len(rounds))
        assert rounds == list(range(1, len(rounds) + 1))
        decided = [row["round"] for row in read_rows(trace, "decisions")]
        assert decided == [number for number in rounds for _ in range(3)]
        assert {row["round"] for row in read_rows(trace, "transmissions")} == set(rounds)
        with (cell / "rounds.csv").open(newline="") as stream:
            assert [int(row["round"]) for row in csv.DictReader(stream)] == rounds
        said = [line for line in lines if line.startswith(f"{record['arm']} seed 1: ")]
        assert len(said) <= len(rounds), "what was reported is in the trace"
        found += len(rounds)
    assert found >= 3
