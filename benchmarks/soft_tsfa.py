"""What SOFT and TSFA cost beside training: the schedule's solver for a thousand clients.

Knows plain numbers alone for TSFA: links, menus, a queue. ``--json FILE`` also writes records {name, value, unit,
target, peer}; ``--only NAME`` measures one row; ``--runs N`` takes the median of fewer runs.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
# Python looks for modules in the folder of a script first, where files are called as packages are: let it be last.
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parent), *(place for place in sys.path if Path(place or ".").resolve() != HERE), str(HERE)]

import numpy as np  # noqa: E402
from _table import Benchmark, main, median  # noqa: E402

from channels.ratecurve import RateCurve  # noqa: E402
from wfl_sim.contracts import Air, PayloadMenu, Point, Request  # noqa: E402
from wfl_sim.schedules.tsfa import TSFA  # noqa: E402

RUNS, CLIENTS, POINTS = 11, 1000, 32
BUDGET_S, BAND_HZ = 1.0, 100e6


def tsfa_problem(seed: int) -> tuple[Air, list[Request]]:
    """Clients in a cell of 500 m with a gain of one fading block, and a measured curve each."""
    random = np.random.default_rng(seed)
    distance_km = np.sqrt(random.uniform(0.05**2, 0.5**2, CLIENTS))
    snr_hz = 10 ** ((20 + 174 - 128.1 - 37.6 * np.log10(distance_km)) / 10) * random.exponential(size=CLIENTS)
    bits = [100_000 + 30_000 * n for n in range(1, POINTS + 1)]
    share = np.arange(1, POINTS + 1) / POINTS
    requests = []
    for client in range(CLIENTS):
        energy = np.sort(random.exponential(size=POINTS))[::-1]
        error = 1 - np.cumsum(energy) / energy.sum()
        points = map(Point, share.tolist(), bits, np.maximum(error, 0.0).tolist())
        ready_s = 0.2 + 0.1 * random.uniform()
        requests.append(Request(client, float(snr_hz[client]), PayloadMenu(tuple(points)), ready_s, 1 / CLIENTS, 0.05))
    air = Air(BAND_HZ, RateCurve([1.0], [1.0]), overhead=0.08, packet_bits=12_000.0, header_bits=320.0)
    return air, requests


def tsfa_ms(surrogate: str) -> Callable[[int], float]:
    """Milliseconds of the computer for one decision on all of them."""

    def once(run: int) -> float:
        schedule = TSFA(csi="block", latency_budget_s=BUDGET_S, surrogate=surrogate, patience=100.0)  # type: ignore[arg-type]
        air, requests = tsfa_problem(run)
        schedule.decide(0.0, air, requests[:3], (), {"queue": 10.0})  # the tables of the curve are made once for a run
        began_s = time.process_time()
        schedule.decide(0.0, air, requests, (), {"queue": 10.0})
        return 1e3 * (time.process_time() - began_s)

    return once


TSFA_ROWS = (
    Benchmark("tsfa_solver_1000_ms", "ms", 50, "none", median(tsfa_ms("contraction")), at_most=True),
    Benchmark("tsfa_solver_1000_tail_ms", "ms", 250, "none", median(tsfa_ms("tail")), at_most=True),
    Benchmark("tsfa_solver_1000_variance_ms", "ms", 250, "none", median(tsfa_ms("variance")), at_most=True),
)

if __name__ == "__main__":
    main(__doc__ or "", TSFA_ROWS, RUNS)
