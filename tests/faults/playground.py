"""Small runs of many kinds that take less than a second: a learner of a few numbers in place of a model.

Knows what they leave, and what of it must be the same every time.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import numpy as np

from channels.streams import Stream
from wfl_sim.codecs.base import Layout
from wfl_sim.contracts import Params
from wfl_sim.engine import run_cell
from wfl_sim.federation import Federation
from wfl_sim.learning.activations import Activations
from wfl_sim.learning.layouts import layout
from wfl_sim.learning.splitfederation import SplitFederation
from wfl_sim.methods.fedavg import FedAvg
from wfl_sim.scenario import Cell, parse
from wfl_sim.splitsizes import SplitSizes
from wfl_sim.trace import dump

ROUNDS = 6
BASE = f"""\
schema_version: 1
name: playground
rounds: {ROUNDS}
radio: {{uplink: {{bandwidth: 400 kHz}}, slot: 5 ms, retransmission: {{kind: arq, attempts: 3}}}}
channel: {{path_loss: {{kind: uma}}, loss: {{kind: independent, probability: 10 %, origin: interference}}}}
clients:
  count: 7
  placement: {{kind: disc, from: 35 m, to: 400 m}}
  mobility: {{kind: random_waypoint, speed: 30 km/h}}
  compute: {{time: 150 ms, jitter: 0.6, power: 2 W}}
method: {{kind: fedavg}}
learning: {{on_divergence: drop_client}}
"""
ASYNCHRONOUS = ["protocol={kind: buffered, buffer: 2, concurrency: 5}"]
OFDMA = ["radio.uplink.access=ofdma", "radio.uplink.scheduler=proportional_fair"]
KINDS: dict[str, list[str]] = {
    "rounds": [
        "codec={kind: topk, error_feedback: 0.5}",
        "schedule={kind: tsfa, latency_budget: 0.6 s, v: 1, queue_start: 1}",
        "protocol.cohort=4",
    ],
    "soft": [
        "method={kind: soft, rank: 2}",
        "codec={kind: components, bits: 16, error_feedback: 1}",
        "radio.uplink.work_conserving=false",
        "clients.availability={kind: on_off, on: 3 s, off: 2 s}",
    ],
    "measured": [
        "method={kind: soft, rank: 4}",
        "codec={kind: components, bits: 16, error_feedback: 1}",
        "schedule={kind: tsfa, latency_budget: 0.2 s, v: 0.3, queue_start: 1, surrogate: tail, importance: energy, "
        "queues: client}",
        "protocol.cohort=4",
    ],
    "measured-buffered": [
        *ASYNCHRONOUS,
        "codec={kind: topk, error_feedback: 1}",
        "schedule={kind: tsfa, latency_budget: 0.2 s, v: 0.3, queue_start: 1, surrogate: tail, importance: energy, "
        "infeasible: cap}",
    ],
    "measured-alone": [
        "method={kind: soft, rank: 4}",
        "codec={kind: topk}",
        "schedule={kind: deadline_aware, deadline: 0.55 s, surrogate: tail}",
        "clients.mobility={kind: random_waypoint, speed: 300 km/h}",
    ],
    "drawn": [
        "method={kind: soft, rank: 4}",
        "codec={kind: components, bits: 8, select: random_common, error_feedback: 1}",
        "schedule={kind: tsfa, latency_budget: 0.2 s, v: 0.3, queue_start: 1}",
    ],
    "deadline": ["protocol={kind: deadline, deadline: 0.5 s, late: drop}", "codec={kind: topk}", *OFDMA],
    "carried": ["protocol={kind: deadline, deadline: 400 ms, late: carry}", "codec={kind: topk, error_feedback: 1}"],
    "carried-packets": ["protocol={kind: deadline, deadline: 400 ms, late: carry}", "radio.fidelity=packet"],
    "carried-alone": [
        "protocol={kind: deadline, deadline: 400 ms, late: carry}",
        "radio.uplink.work_conserving=false",
    ],
    "buffered": [*ASYNCHRONOUS, "radio.downlink.access=unicast"],
    "buffered-slots": [*ASYNCHRONOUS, *OFDMA, "clients.churn={join: 5 s, stay: 60 s}"],
    "buffered-blocks": [*ASYNCHRONOUS, "radio.rate={kind: cqi}", "radio.retransmission={kind: harq}"],
    "half-duplex": [*ASYNCHRONOUS, "radio.duplex=half"],
    "one-at-a-time": ["protocol={kind: buffered, buffer: 1, concurrency: 4, server_lr: 0.5}", "codec={kind: topk}"],
    "rounds-blocks": [
        "radio.rate={kind: cqi}",
        "radio.retransmission={kind: harq}",
        "radio.uplink.work_conserving=false",
    ],
    "rounds-slots": ["radio.uplink.access=tdma", "radio.rate={kind: cqi}", "radio.downlink.access=unicast"],
    "rounds-packets": ["radio.fidelity=packet", "radio.duplex=half"],
    "turned": [
        "method={kind: soft, rank: 4, basis: server}",
        "codec={kind: components, error_feedback: 1}",
        "protocol.cohort=4",
    ],
    "turned-late": [*ASYNCHRONOUS, "method={kind: soft, rank: 4, basis: server}", "codec={kind: topk}"],
    "split": [
        "method={kind: split, rank: 2, cut: 2}",
        "protocol={kind: split, order: random, cohort: 5}",
        "learning.local.steps=3",
        "clients.availability={kind: on_off, on: 6 s, off: 2 s}",
        "channel.loss={kind: independent, probability: 20 %, origin: interference}",
    ],
    "split-slots": [
        "method={kind: split, rank: 2, cut: 2, codings: [int8]}",
        "protocol={kind: split, order: ltf}",
        "learning.local.steps=2",
        "radio.downlink.access=unicast",
        *OFDMA,
    ],
    "stacked": ["method={kind: flora, rank: 4}", "protocol={kind: deadline, deadline: 400 ms, late: carry}"],
    "stacked-late": [*ASYNCHRONOUS, "method={kind: fedex, rank: 4}", "codec={kind: topk, error_feedback: 1}"],
    "staged": [
        "method={kind: fedtt_plus, rank: 3}",
        "codec={kind: parts, error_feedback: 1}",
        "schedule={kind: tsfa, latency_budget: 0.2 s, v: 0.3, queue_start: 1}",
        "protocol.cohort=4",
    ],
    "staged-late": [*ASYNCHRONOUS, "method={kind: fedtt_plus, rank: 3, policy: adaptive}", "codec={kind: topk}"],
    "staged-carried": [
        "method={kind: fedtt_plus, rank: 3}",
        "protocol={kind: deadline, deadline: 350 ms, late: carry}",
        "codec={kind: topk, error_feedback: 1}",
    ],
    "gone": ["method={kind: none, payload: 300 kbit}", "clients.churn={stay: 1 s}"],
    "network": [*ASYNCHRONOUS, "method={kind: none, payload: 300 kbit}"],
}


@dataclass(frozen=True, kw_only=True)
class OwnHead(FedAvg):
    """Heads stay with their clients."""

    def personal(self, names: Any) -> Any:
        return frozenset(name for name in names if name.startswith("head."))


class Learner:
    """Adds numbers that follow from client, round, and who is trained at the same time; client 3 diverges once."""

    layout = Layout((("q.A", "q.B"),), ("head.weight",), {"q.A": (4, 900), "q.B": (700, 4), "head.weight": (3, 1000)})
    frozen: ClassVar[Params] = {}

    def __init__(self, adapter: Any = None) -> None:
        self._served = {"q.W": np.zeros((700, 900), np.float32)} if adapter is not None and adapter.served else {}
        if adapter is not None and not adapter.pairs:
            self.layout = layout(adapter, {"q": (768, 768)}, {"head.weight": (3, 1000)})

    def initial(self) -> Params:
        draw = np.random.default_rng(1)
        first = {name: draw.normal(size=shape).astype(np.float32) for name, shape in self.layout.shapes.items()}
        return first | self._served

    def fresh(self, version: int) -> Params:
        draw = np.random.default_rng((1, version))
        return {"q.A": draw.normal(size=(4, 900)).astype(np.float32), "q.B": np.zeros((700, 4), np.float32)}

    def examples(self, client: int) -> int:
        return 10 + client

    def train(self, starts: Mapping[int, Params], round_: int, lessons: Any = None) -> dict[int, Any]:
        together = sum(starts)  # of the numbers of clients
        names = {client: self.layout.shapes.keys() if lessons is None else lessons[client].opened for client in starts}
        return {c: partial(self._trained, start, names[c], (c, round_, together)) for c, start in starts.items()}

    def _trained(self, start: Params, names: Any, key: tuple[int, int, int]) -> Params:
        if key[:2] == (3, 2):
            return {name: value * np.float32(np.nan) for name, value in start.items()}
        draw = np.random.default_rng(key)
        steps = {n: 0.1 * draw.normal(size=shape).astype(np.float32) for n, shape in self.layout.shapes.items()}
        return {name: start[name] + step for name, step in steps.items() if name in names}

    def evaluate(self, params: Params) -> dict[str, float]:
        level = float(sum(np.abs(value).sum(dtype=np.float64) for value in params.values()))
        return {"accuracy": 0.5, "loss": level}

    def close(self) -> None:
        """Nothing runs."""


class Side:
    """What one side of split training has of a client."""

    def __init__(self, start: Params, names: list[str]) -> None:
        self.arrays, self.tokens = {name: start[name].copy() for name in names}, np.ones(0, np.bool_)

    def trained(self) -> Params:
        return {name: value.copy() for name, value in self.arrays.items()}

    def drop(self) -> None:
        """Nothing is remembered."""

    def step(self, by: np.ndarray) -> None:
        """A step that depends on all that was sent."""
        for name, value in self.arrays.items():
            self.arrays[name] = value * np.float32(0.9) + np.float32(by.astype(np.float64).mean())


class Halves:
    """In place of the halves of a model: what is sent depends on all that was trained before."""

    def lower_names(self, cut: int) -> list[str]:
        return ["q.A", "q.B"]

    def begin(self, start: Params, cut: int, rate: float) -> Any:
        return SimpleNamespace(cut=cut, lower=Side(start, ["q.A", "q.B"]), upper=Side(start, ["head.weight"]))

    def forward(self, pair: Any, rows: Any) -> Activations:
        client, round_, step = rows
        states = np.random.default_rng((client, round_, step)).normal(size=(6 + client, 384)).astype(np.float32)
        states += pair.lower.arrays["q.B"].mean()
        pair.lower.tokens = np.ones(len(states), np.bool_)
        if (client, round_, step) == (3, 2, 1):
            states *= np.nan
        return Activations(pair.cut, np.array([len(states)]), np.array([client]), states)

    def serve(self, pair: Any, got: Activations) -> Any:
        pair.upper.step(got.states)
        return got.states * pair.upper.arrays["head.weight"].mean()

    def backward(self, pair: Any, gradient: Any) -> None:
        pair.lower.step(gradient)


def build_split_work(scenario: Any, memo_folder: Any) -> tuple[SplitFederation, dict[str, Any]]:
    """In place of the one of `wfl_sim.learning.splitfederated`."""
    learner, sizes, clients = Learner(), SplitSizes.of(scenario), scenario.clients.count
    training: Any = Halves()
    federation = SplitFederation(
        scenario.method, scenario.codec, training, learner.initial(), learner.layout, sizes, [2] * clients,
        [10 + client for client in range(clients)],
        lambda client, round_: np.array([(client, round_, step) for step in range(sizes.steps)]), lambda round_: 1.0,
        learner.evaluate, scenario.learning.on_divergence == "drop_client", Stream.root(scenario.seeds[0]).key,
    )  # fmt: skip
    federation.measured = dict  # type: ignore[method-assign]  # there is nothing to measure
    return federation, {"data": {"name": "x"}}


def cell(kind: str, rounds: int = ROUNDS) -> Cell:
    """The cell of a kind."""
    (found,) = parse(BASE, "playground", [*KINDS[kind], f"rounds={rounds}"]).cells
    return found


def build_work(
    scenario: Any, memo_folder: Any, states: Any = None, workers: int = 1
) -> tuple[Federation, dict[str, Any]]:
    """In place of the one of `wfl_sim.learning.federated`."""
    learning, method = scenario.learning, scenario.method
    learner = Learner(method.adapter())
    if scenario.protocol.kind == "buffered" and method.kind == "fedavg":
        method = OwnHead(rank=method.rank)
    clients = scenario.clients.count
    measures = getattr(scenario.schedule, "measures", False)
    salt = Stream.root(scenario.seeds[0]).key
    federation = Federation(
        method, scenario.codec, learner, clients, learning.on_divergence, states, measures, salt, scenario.rounds
    )
    return federation, {"data": {"name": "x"}}


def install(patch: Any) -> None:
    """Have runs use the learner above; `patch(place, name, value)` sets it."""
    import wfl_sim.learning

    for name, build in (("federated", build_work), ("splitfederated", build_split_work)):
        module: Any = ModuleType(f"wfl_sim.learning.{name}")
        module.build_work = build
        sys.modules[module.__name__] = module
        patch(wfl_sim.learning, name, module)


def play(kind: str, directory: Path, rounds: int = ROUNDS, **how: Any) -> dict[str, Any]:
    """Run a cell, or go on with it. `install` comes first."""
    return run_cell(cell(kind, rounds), 0, directory, **how)


def left(directory: Path) -> dict[str, Any]:
    """What a finished run leaves, as far as it must be the same every time."""
    files = sorted(path.name for path in directory.iterdir() if path.name not in ("manifest.json", "lock", ".lock"))
    names = [name for name in files if name != "trace.sqlite"]
    return {"names": files, "tables": dump(directory / "trace.sqlite")} | {
        name: (directory / name).read_bytes() for name in names
    }
