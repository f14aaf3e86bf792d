"""Makes the learning side of a scenario: data, partition, trainer and federation, or one of each for every group.

The one place that joins them; the engine calls it and never sees a tensor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from channels.streams import Stream
from wfl_sim import groups, shapeplan
from wfl_sim.clientstate import ClientStates
from wfl_sim.codecs.base import Layout
from wfl_sim.contracts import Work
from wfl_sim.errors import RunFailed
from wfl_sim.federation import Federation
from wfl_sim.grouped import Grouped, Member
from wfl_sim.groups import Part
from wfl_sim.learning import data, sources
from wfl_sim.learning.examples import Task
from wfl_sim.learning.local import Setup
from wfl_sim.learning.memo import Memo
from wfl_sim.learning.options import Data
from wfl_sim.learning.partition import holdings, partition
from wfl_sim.learning.threads import one_thread
from wfl_sim.learning.training import Trainer
from wfl_sim.learning.triples import TripleTraining
from wfl_sim.learning.workers import Here, Workers
from wfl_sim.methods.zero_padding import ZeroPadding
from wfl_sim.ownmodels import OwnModels
from wfl_sim.padded import Family, Padded
from wfl_sim.scenario import Scenario
from wfl_sim.shapework import ShapeWork, Side


@dataclass(frozen=True)
class Loaded:
    """A part of the clients with its task and their examples, what is recorded of both, and its memo of training."""

    part: Part
    task: Task
    held: Mapping[int, NDArray[np.int64]]
    recorded: dict[str, Any]
    memo: Memo

    @property
    def setup(self) -> Setup:
        """All that a process needs to train and evaluate."""
        learning, method = self.part.scenario.learning, self.part.scenario.method
        return Setup(
            learning.model,
            method.adapter(),
            self.task,
            learning.data.max_tokens,
            learning.local,
            method.regulariser(),
            learning.device,
            learning.precision,
        )

    @property
    def examples(self) -> int:
        """How many training examples its clients have."""
        return sum(self.held[client].size for client in self.part.clients)


def build_work(
    scenario: Scenario, memo_folder: Path | None, states: ClientStates | None = None, workers: int = 1
) -> tuple[Work, dict[str, Any]]:
    """The learning side of a scenario (its first seed), and what the manifest records of model and data.

    `memo_folder` holds results of training that other cells of the study have left (`wfl_sim.learning.memo`).
    In `states` the clients' state is kept. With more than one of `workers`, so many processes train, and change no bit;
    groups share them, at least one each. H2Tune's clients are trained in this process.
    """
    one_thread()
    stream, states = Stream.root(scenario.seeds[0]).child("learning"), states or ClientStates()
    parts = loaded(scenario, stream, memo_folder)
    if getattr(scenario.method, "own_coding", False):
        return _shapes(scenario, parts, stream, states), recorded_of(parts)
    if parts[0].part.number is None:
        return _federation(parts[0], stream, states, workers > 1, workers), parts[0].recorded
    works = list[Federation]()
    try:
        for one, own in zip(parts, states.parts(len(parts)), strict=True):
            works.append(_federation(one, stream, own, workers > 1, max(1, workers // len(parts))))
    except BaseException:
        for work in works:
            work.close()
        raise
    members = [
        Member(one.part.name, one.part.scenario.learning.data.name, one.part.clients, one.examples, work)
        for one, work in zip(parts, works, strict=True)
    ]
    if not isinstance(scenario.method, ZeroPadding):
        return Grouped(members), recorded_of(parts)
    families = [_families(one, work.layout) for one, work in zip(parts, works, strict=True)]
    return Padded(members, families, scenario.method.fill), recorded_of(parts)


def _families(one: Loaded, layout: Layout) -> dict[str, Family]:
    """By tensor, which others it can be joined with: adapters of one backbone's layer, heads of one model and task."""
    learning = one.part.scenario.learning
    backbone = (learning.model.name,)
    return {
        name: (*backbone, learning.model.layers, learning.data.name, name)
        if name in layout.heads
        else (*backbone, name, shape[1] if name.endswith(".A") else shape[0])
        for name, shape in layout.shapes.items()
    }


def loaded(scenario: Scenario, stream: Stream, memo_folder: Path | None) -> list[Loaded]:
    """Each part of a scenario's clients with its data; one set of examples is read once for all who share it."""
    found, tasks = list[Loaded](), dict[Data, tuple[Task, dict[int, NDArray[np.int64]]]]()
    for part in groups.parts(scenario):
        learning, method = part.scenario.learning, part.scenario.method
        recorded: dict[str, Any] = {
            "name": learning.data.name,
            "source": data.data_set(learning.data.name).record(),
            "model": learning.model.name,
            "model_sha256": sources.fingerprint(*sources.weights_files(learning.model.name)),
        }
        if learning.data not in tasks:
            read = data.load(learning.data, stream.child("data"))
            draws = stream.child("partition")
            rows = partition(read.train.labels, len(part.sharers), learning.data.partition, draws, read.train.groups)
            tasks[learning.data] = read, dict(zip(part.sharers, rows, strict=True))
        task, held = tasks[learning.data]
        versions = (torch.__version__, transformers.__version__)
        who: Any = part.scenario.clients.count if part.number is None else (part.clients, part.sharers)
        if getattr(method, "own_coding", False):  # whose sizes follow from all groups
            who = who, scenario.learning.groups
        memo = Memo(memo_folder, repr((learning, method, who, scenario.seeds[0], recorded, versions)))
        own = [held[client] for client in part.clients]
        recorded["examples_per_client"] = [int(rows.size) for rows in own]
        recorded["classes"] = list(task.classes)
        counts = holdings(task.train.labels, own, len(task.classes))
        recorded["holdings"] = {"classes": list(task.classes), "counts": counts.tolist()}
        found.append(Loaded(part, task, held, recorded, memo))
    return found


def recorded_of(parts: Sequence[Loaded]) -> dict[str, Any]:
    """What the manifest records of groups: of each its own, and who holds what where all share one set of classes."""
    if parts[0].part.number is None:
        return parts[0].recorded
    each = [{"group": one.part.name, **one.recorded} for one in parts]
    joined: dict[str, Any] = {"groups": each}
    joined["examples_per_client"] = [number for one in each for number in one["examples_per_client"]]
    if len({tuple(one["classes"]) for one in each}) == 1:
        counts = [row for one in each for row in one["holdings"]["counts"]]
        joined["holdings"] = {"classes": each[0]["classes"], "counts": counts}
    return joined


def _federation(one: Loaded, stream: Stream, states: ClientStates, elsewhere: bool, workers: int) -> Federation:
    scenario, setup = one.part.scenario, one.setup
    learning, method, recorded = scenario.learning, scenario.method, one.recorded
    # The head alone of a classifier is soon trained: the model's states are worked out once, in one process.
    many = elsewhere and (setup.adapter is not None or one.task.kind == "language")
    executor = Workers(setup, workers) if many else Here(setup)
    try:
        held_out = len(one.task.test)
        trainer = Trainer(
            executor, setup.adapter, one.held, learning.local, stream, one.memo, held_out, scenario.rounds
        )
        if scenario.clients.compute.is_counted:
            recorded["step_flop"] = trainer.step_flop()
        measures = getattr(scenario.schedule, "measures", False)
        salt = stream.child("updates").key
        clients = one.part.clients
        kind = OwnModels if getattr(method, "own_models", False) else Federation
        return kind(
            method, scenario.codec, trainer, clients, learning.on_divergence, states, measures, salt, scenario.rounds
        )
    except BaseException:
        executor.close()
        raise


def _shapes(scenario: Scenario, parts: Sequence[Loaded], stream: Stream, states: ClientStates) -> ShapeWork:
    """H2Tune's server for all groups; each trains in this process."""
    sides = []
    for one, code in zip(parts, shapeplan.codes(scenario), strict=True):
        own, setup = one.part.scenario, one.setup
        method: Any = own.method
        adapter = replace(method.adapter(), largest=code.stack[2])
        training = TripleTraining(replace(setup, adapter=adapter), method, code.stack[0])
        if (len(training.blocks), len(training.blocks[0])) != (code.depth, code.stack[1]):
            raise RunFailed(
                f"model {setup.model.name!r} has {len(training.blocks)} blocks of {len(training.blocks[0])} adapted "
                f"layers, where its config.json and learning.groups lead to {code.depth} of {code.stack[1]}"
            )
        held_out = len(one.task.test)
        trainer = Trainer(training, adapter, one.held, own.learning.local, stream, one.memo, held_out, own.rounds)
        if own.clients.compute.is_counted:
            one.recorded["step_flop"] = trainer.step_flop()
        part, task = one.part, own.learning.data.name
        sides.append(Side(part.name, task, part.clients, one.examples, code.depth, method, trainer, code))
    return ShapeWork(sides, scenario.codec, states, scenario.learning.on_divergence, stream.child("updates").key)
