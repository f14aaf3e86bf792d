"""How fast the channel library is, and a link budget over it: the median of five runs on one thread, in CPU seconds.

``--json FILE`` also writes records {name, value, unit, target, peer}.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _table import Benchmark, main, median

# Python looks for modules in the folder of a script first, where this file would hide the package of that name.
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parent), *(place for place in sys.path if Path(place).resolve() != HERE), str(HERE)]

from channels.fading import Rayleigh  # noqa: E402
from channels.streams import Stream  # noqa: E402
from channels.tdl import TDL  # noqa: E402

CLIENTS, SLOTS, SLOT_S, DOPPLER_HZ = 1000, 1000, 1e-3, 70.0
RUNS = 5


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of this process for one run of `work`."""
    before = time.process_time()
    work()
    return time.process_time() - before


def samples_per_s(model: Rayleigh) -> float:
    """Gains a CPU second, at 1000 clients x 1000 slots of 1 ms."""
    stream, clients, times = Stream.root(1), np.arange(CLIENTS), np.arange(SLOTS) * SLOT_S
    return CLIENTS * SLOTS / cpu_s(lambda: model.power_gain(stream, clients, times, DOPPLER_HZ))


def tdl_client_slots_per_s() -> float:
    """Clients times slots a CPU second, at 100 clients x 1000 slots and the frequencies that stand for 20 MHz."""
    model, stream, clients = TDL(profile="A", delay_spread_s=100e-9), Stream.root(1), np.arange(CLIENTS // 10)
    times, offsets = np.arange(SLOTS) * SLOT_S, model.offsets_hz(20e6)
    spent_s = cpu_s(lambda: model.frequency_gain(stream, clients, times, DOPPLER_HZ, offsets))
    return clients.size * SLOTS / spent_s


MANY = ("clients.count=10000", "radio.uplink.bandwidth=100 MHz", "learning.data.train=20000",
        "learning.data.partition={kind: iid}")  # fmt: skip


def link_budget_s() -> float:
    """CPU seconds of the link budget of 10,000 clients, table and update budget, once everything is imported."""
    from wfl_sim.commands.linkbudget import update_records
    from wfl_sim.linkbudget import report
    from wfl_sim.scenario import load

    study = load(HERE.parent / "scenarios" / "quickstart.yaml", MANY)
    return cpu_s(lambda: update_records(report(study)))


# Peers by shared measurements on one thread of a like machine: samples a CPU second.
BENCHMARKS = (
    Benchmark("rayleigh_samples_per_s", "1/s", 4e6, "pyphysim 1.1e6", median(lambda run: samples_per_s(Rayleigh()))),
    Benchmark(
        "rayleigh_fast_samples_per_s", "1/s", 8e6, "16 phasors, direct 0.7e6, by recursion 10.8e6",
        median(lambda run: samples_per_s(Rayleigh(fast=True))),
    ),
    Benchmark("tdl_client_slots_per_s", "1/s", 0.13e6, "Sionna 2.2 TDL-A 0.13e6",
              median(lambda run: tdl_client_slots_per_s())),
    Benchmark("linkbudget_10k_s", "s", 1.0, "none", median(lambda run: link_budget_s()), True),
)  # fmt: skip


if __name__ == "__main__":
    main(__doc__ or "", BENCHMARKS, RUNS)
