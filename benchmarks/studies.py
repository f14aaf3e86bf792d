"""What studies cost beside the work of their cells, what a second job gains, and how long a large study takes to load.

Knows how to make and to run studies without learning. ``--json FILE`` also writes records {name, value, unit, target,
peer}; ``--only NAME`` measures one row; ``--runs N`` takes the median of fewer runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _table import Benchmark, main, median

os.environ["OMP_NUM_THREADS"] = "1"
# Python looks for modules in the folder of a script first, where files are called as packages are: let it be last.
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parent), *(place for place in sys.path if Path(place or ".").resolve() != HERE), str(HERE)]

from wfl_sim import study  # noqa: E402
from wfl_sim.scenario import Study, parse  # noqa: E402
from wfl_sim.trace import TABLES, TraceWriter  # noqa: E402

RUNS = 3
SCENARIO = """\
schema_version: 1
name: bench
rounds: 2
radio: {uplink: {bandwidth: 1 MHz}, retransmission: {kind: arq, attempts: 4}}
channel: {path_loss: {kind: uma}, loss: {kind: independent, probability: 5 %, origin: interference}}
clients:
  count: 4
  placement: {kind: disc, from: 35 m, to: 500 m}
  compute: {time: 400 ms, jitter: 0.2}
method: {kind: none, payload: 100 kbit}
"""
TINY, FEW, MANY = "rounds=2", 8, 16
# Cells that compute for some seconds each.
BOUND = ("rounds=80", "clients.count=20")
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None  # else ten thousand rounds wait for the disk, one by one
LOADED_CELLS, LOADED_ROUNDS, LOADED_CLIENTS = 100, 100, 100  # a million transmissions in all, and as many decisions


def plan(cells: int, *overrides: str) -> Study:
    """So many seeds of one arm."""
    return parse(SCENARIO, overrides=[f"seeds={list(range(1, cells + 1))}", *overrides])


def beside_s(cells: int, jobs: int) -> float:
    """Wall time of a study of tiny cells, less what its cells say that they took, shared by the jobs."""
    with tempfile.TemporaryDirectory() as folder:
        began_s = time.perf_counter()
        place = study.run(plan(cells, TINY), Path(folder), jobs=jobs)
        spent_s = time.perf_counter() - began_s
        manifests = [json.loads(file.read_text()) for file in place.glob("*/manifest.json")]
    assert len(manifests) == cells
    return spent_s - sum(manifest["measured"]["wall_s"] for manifest in manifests) / jobs


def overhead_s(jobs: int) -> float:
    """What one cell more costs a job, beside the cell itself: starting processes and imports cancel out."""
    return jobs * (beside_s(MANY, jobs) - beside_s(FEW, jobs)) / (MANY - FEW)


_CHILD = """
import sys, time
sys.path[:0] = [sys.argv[1], sys.argv[2]]
from pathlib import Path
from studies import BOUND, FEW, plan
from wfl_sim import study
began_s = time.perf_counter()
study.run(plan(FEW, *BOUND), Path(sys.argv[3]), jobs=int(sys.argv[4]))
print(time.perf_counter() - began_s)
"""


def bound_s(jobs: int) -> float:
    """Wall time of eight cells that compute, in a fresh interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _CHILD, str(HERE.parent), str(HERE), folder, str(jobs)]
        return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def speedup(run: int) -> float:
    """How much faster two jobs are than one."""
    one_s, two_s = bound_s(1), bound_s(2)
    return one_s / two_s


def write_study(folder: Path) -> None:
    """A study with rows of made-up numbers, as large as a large one is."""
    words = {"direction": "up", "outcome": "delivered", "reason": "", "action": "send"}
    made = {"INTEGER": 3, "REAL": 0.123456789}
    one = {table: [words.get(c.name, made.get(c.type)) for c in columns] for table, columns in TABLES.items()}
    first = dict(zip((column.name for column in TABLES["rounds"]), one["rounds"], strict=True))
    for number in range(LOADED_CELLS):
        directory = folder / f"arm{number // 5}-seed{number % 5}"
        directory.mkdir(parents=True)
        manifest: dict[str, Any] = {
            "format": 1, "name": "loaded", "arm": f"arm{number // 5}", "arm_index": number // 5, "seed": number % 5,
            "status": "finished", "clients": LOADED_CLIENTS,
        }  # fmt: skip
        (directory / "manifest.json").write_text(json.dumps(manifest))
        writer = TraceWriter(directory / "trace.sqlite")
        for round_ in range(1, LOADED_ROUNDS + 1):
            sent, decided = (
                [(round_, client, *one[table][2:]) for client in range(LOADED_CLIENTS)]  # as both tables begin
                for table in ("transmissions", "decisions")
            )
            writer.commit_round({**first, "round": round_}, sent, decided)
        writer.close()


def load_s(runs: int) -> float:
    """Wall time of loading that study, once it was read before."""
    from analysis.traces import load

    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        write_study(Path(folder) / "loaded")

        def once(run: int) -> float:
            began_s = time.perf_counter()
            traces = load(Path(folder) / "loaded")
            rows = len(traces.transmissions)
            spent_s = time.perf_counter() - began_s
            assert rows == LOADED_CELLS * LOADED_ROUNDS * LOADED_CLIENTS
            return spent_s

        return median(once)(runs)


BENCHMARKS = (
    Benchmark("overhead_per_cell_s", "s", 0.3, "none", median(lambda run: overhead_s(1)), True),
    Benchmark("overhead_per_cell_two_jobs_s", "s", 0.3, "none", median(lambda run: overhead_s(2), warm=False), True),
    Benchmark("two_jobs_speedup", "1", 1.7, "none", lambda runs: speedup(runs)),
    Benchmark("load_1m_rows_s", "s", 5.0, "none", load_s, True),
)

if __name__ == "__main__":
    main(__doc__.splitlines()[0], BENCHMARKS, RUNS)
