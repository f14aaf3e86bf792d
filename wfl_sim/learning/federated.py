"""Makes the learning side of a scenario: data, partition, trainer and federation.

The one place that joins them; the engine calls it and never sees a tensor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers

from channels.streams import Stream
from wfl_sim.clientstate import ClientStates
from wfl_sim.federation import Federation
from wfl_sim.learning import data, sources
from wfl_sim.learning.local import Setup
from wfl_sim.learning.memo import Memo
from wfl_sim.learning.partition import holdings, partition
from wfl_sim.learning.threads import one_thread
from wfl_sim.learning.training import Trainer
from wfl_sim.learning.workers import Here, Workers
from wfl_sim.scenario import Scenario


def build_work(
    scenario: Scenario, memo_folder: Path | None, states: ClientStates | None = None, workers: int = 1
) -> tuple[Federation, dict[str, Any]]:
    """The federation of a scenario (its first seed), and what the manifest records of model and data.

    `memo_folder` holds results of training that other cells of the study have left (`wfl_sim.learning.memo`).
    In `states` the clients' state is kept. With more than one of `workers`, so many processes train, and change no bit.
    """
    one_thread()
    learning, method, clients = scenario.learning, scenario.method, scenario.clients.count
    seed = scenario.seeds[0]
    stream = Stream.root(seed).child("learning")
    recorded: dict[str, Any] = {
        "name": learning.data.name,
        "source": data.data_set(learning.data.name).record(),
        "model": learning.model.name,
        "model_sha256": sources.fingerprint(*sources.weights_files(learning.model.name)),
    }
    task = data.load(learning.data, stream.child("data"))
    draws = stream.child("partition")
    parts = partition(task.train.labels, clients, learning.data.partition, draws, task.train.groups)
    versions = (torch.__version__, transformers.__version__)
    memo = Memo(memo_folder, repr((learning, method, clients, seed, recorded, versions)))
    setup = Setup(
        learning.model,
        method.adapter(),
        task,
        learning.data.max_tokens,
        learning.local,
        method.regulariser(),
        learning.device,
        learning.precision,
    )
    # The head alone of a classifier is soon trained: the model's states are worked out once, in one process.
    many = workers > 1 and (setup.adapter is not None or task.kind == "language")
    executor = Workers(setup, workers) if many else Here(setup)
    try:
        trainer = Trainer(executor, setup.adapter, parts, learning.local, stream, memo, len(task.test), scenario.rounds)
        recorded["examples_per_client"] = [int(part.size) for part in parts]
        recorded["classes"] = list(task.classes)
        counts = holdings(task.train.labels, parts, len(task.classes))
        recorded["holdings"] = {"classes": list(task.classes), "counts": counts.tolist()}
        if scenario.clients.compute.is_counted:
            recorded["step_flop"] = trainer.step_flop()
        measures = getattr(scenario.schedule, "measures", False)
        salt = stream.child("updates").key
        federation = Federation(
            method, scenario.codec, trainer, clients, learning.on_divergence, states, measures, salt, scenario.rounds
        )
        return federation, recorded
    except BaseException:
        executor.close()
        raise
