"""Makes the learning side of a scenario: data, partition, trainer and federation.

The one place that joins them; the engine calls it and never sees a tensor.
"""

from __future__ import annotations

from typing import Any

import torch

from channels.streams import Stream
from wfl_sim.federation import Federation
from wfl_sim.learning import data, sources
from wfl_sim.learning.training import Trainer
from wfl_sim.scenario import Scenario


def build_work(scenario: Scenario) -> tuple[Federation, dict[str, Any]]:
    """The federation of a scenario (its first seed), and what the manifest records of model and data."""
    torch.set_num_threads(1)  # two threads change the last bits, and spin on small machines
    learning, clients = scenario.learning, scenario.clients.count
    stream = Stream.root(scenario.seeds[0]).child("learning")
    task = data.load(learning.data, stream.child("data"))
    parts = data.partition(task.train.labels, clients, learning.data.partition, stream.child("partition"))
    trainer = Trainer(
        learning.model,
        scenario.method.adapter(),
        task,
        learning.data.max_tokens,
        parts,
        learning.local,
        scenario.method.regulariser(),
        stream,
    )
    recorded = {
        "name": learning.data.name,
        "sha256": sources.fingerprint(sources.data_file(learning.data.name)),
        "examples_per_client": [int(part.size) for part in parts],
        "classes": list(task.classes),
        "model": learning.model.name,
        "model_sha256": sources.fingerprint(sources.model_folder(learning.model.name) / "model.safetensors"),
    }
    return Federation(scenario.method, scenario.codec, trainer, clients), recorded
