"""Makes the learning side of a scenario: data, partition, trainer and federation.

The one place that joins them; the engine calls it and never sees a tensor.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import torch
import transformers

from channels.streams import Stream
from wfl_sim.clientstate import ClientStates
from wfl_sim.federation import Federation
from wfl_sim.learning import data, sources
from wfl_sim.learning.memo import Memo
from wfl_sim.learning.training import Trainer
from wfl_sim.scenario import Scenario


def build_work(
    scenario: Scenario, memo_folder: Path | None, states: ClientStates | None = None
) -> tuple[Federation, dict[str, Any]]:
    """The federation of a scenario (its first seed), and what the manifest records of model and data.

    `memo_folder` holds results of training that other cells of the study have left (`wfl_sim.learning.memo`).
    In `states` the clients' state is kept.
    """
    torch.set_num_threads(1)  # two threads change the last bits, and spin on small machines
    learning, clients, seed = scenario.learning, scenario.clients.count, scenario.seeds[0]
    stream = Stream.root(seed).child("learning")
    recorded: dict[str, Any] = {
        "name": learning.data.name,
        "source": data.data_set(learning.data.name).record(),
        "model": learning.model.name,
        "model_sha256": sources.fingerprint(sources.weights_file(learning.model.name)),
    }
    task = data.load(learning.data, stream.child("data"))
    parts = data.partition(task.train.labels, clients, learning.data.partition, stream.child("partition"))
    versions = (torch.__version__, transformers.__version__, peft.__version__)
    memo = Memo(memo_folder, repr((learning, scenario.method, clients, seed, recorded, versions)))
    trainer = Trainer(
        learning.model,
        scenario.method.adapter(),
        task,
        learning.data.max_tokens,
        parts,
        learning.local,
        scenario.method.regulariser(),
        stream,
        memo,
    )
    recorded["examples_per_client"] = [int(part.size) for part in parts]
    recorded["classes"] = list(task.classes)
    work = Federation(scenario.method, scenario.codec, trainer, clients, learning.on_divergence, states)
    return work, recorded
