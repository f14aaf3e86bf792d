"""What a run costs the machine that it runs on: seconds of a core, and memory.

Knows sizes and the constants below; neither channels, nor schedules, nor tensors.

The constants were measured in 2026 on a virtual x86-64 machine with two cores (torch 2 on the CPU, one thread a
process), with MiniLM and an encoder of BERT-base's size, 1 to 12 layers, 12 to 64 tokens, batches of 4 to 64 and 1 to
100 clients. On such a machine the sums are right within a factor of two; elsewhere they are a guess.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from wfl_sim import learningwork
from wfl_sim.learning.data import data_set
from wfl_sim.learning.options import Learning
from wfl_sim.learning.sources import ModelInfo

FLOPS = 130e9  # of matrix products, nearly all by `learning.frozen`; half of that where they go to MKL
TRAINING_PASSES = 2.0  # in forward passes: the weights are frozen, so only activations need a gradient
STEP_S, STEP_LAYER_S = 2e-3, 3e-3  # of a training step besides its products: optimiser and calls; and those a layer
START_S = 7.0  # of a process: importing torch, transformers and peft
START_NETWORK_S = 1.5  # of a process in which nothing is learnt
LOAD_S, LOAD_TEXT_S = 1.0, 1e-4  # of a run: model, dictionary, fingerprints; and of each text to be tokenised
RUN_S = 0.07  # of a run: its directory, files and tables
UPDATE_S = 0.015  # of a client's round: encoding, decoding, diagnostics and memo
# Of the medium and what surrounds it: what a transfer costs, its decision and its rows in the trace included; and what
# a slot costs that it passes through, more where each carries a transport block that can be lost.
TRANSFER_S = 1e-4
CLIENT_SLOT_S, BLOCK_SLOT_S = 4e-6, 4e-5
# SimPy events: of a round (its downlink's plan and end, and the wait for all); of each download by itself; of an upload
# that shares its band (its beginning, end, and the wakes of the medium around them), and of one that keeps its share.
ROUND_EVENTS, DOWNLOAD_EVENTS, SHARED_EVENTS, KEPT_EVENTS = 4, 2, 5, 1
PICTURES_S = 12.0  # importing pandas and matplotlib, reading the traces and drawing them
PROCESS_MIB = 510.0  # interpreter, imports and texts
NETWORK_MIB, CLIENT_KIB = 150.0, 20.0  # of a process in which nothing is learnt; and of each of its clients
EVALUATION_BATCH = 128  # of the trainer
# Token counts, by MiniLM's tokenizer: quantiles at these shares. Of texts of one's own a sample is measured in
# characters.
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
NOUNS = (3.0, 8.0, 9.0, 11.0, 13.0, 14.0, 16.0, 19.0, 22.0, 27.0, 32.0, 37.0, 43.0, 86.0)
MESSAGES = (4.0, 65.0, 95.0, 125.0, 154.0, 187.0, 226.0, 277.0, 362.0, 539.0, 816.0, 1159.0, 1210.0, 1969.0)
TABLES = {"builtin:wordnet10": NOUNS, "builtin:wordnet19": NOUNS, "builtin:newsgroups20": MESSAGES}
CHARACTERS, ENDS = 4.5, 2.0  # of a token of English; tokens that the tokenizer adds


def layers_of(learning: Learning, info: ModelInfo) -> int:
    """How many layers are kept."""
    return learning.model.layers or info.layers


def tokens_of(learning: Learning, info: ModelInfo) -> tuple[float, float]:
    """Tokens of an example in the mean, and of the longest one of a training batch, to which others are padded."""
    most, table = _most_tokens(learning, info), _table(learning.data.name)
    if table is None:
        return most, most
    mean = np.minimum(np.interp(np.linspace(0.025, 0.975, 20), SHARES, table), most).mean()
    longest = np.interp(0.5 ** (1.0 / learning.local.batch), SHARES, table)  # its median
    return float(mean), float(min(longest, most))


def longest_tokens(learning: Learning, info: ModelInfo) -> float:
    """Tokens of the longest example."""
    table, most = _table(learning.data.name), _most_tokens(learning, info)
    return most if table is None else min(most, table[-1])


def _most_tokens(learning: Learning, info: ModelInfo) -> float:
    return float(info.image_tokens or learning.data.max_tokens)


def _table(name: str) -> tuple[float, ...] | None:
    """How long texts are, at `SHARES`; None where each example is as long as may be: images, and passages."""
    if name in TABLES:
        return TABLES[name]
    found = data_set(name)
    if found.task != "text":
        return None
    texts = found.examples().inputs
    sample = [len(text) / CHARACTERS + ENDS for text in texts[:: len(texts) // 1000 + 1]]
    return tuple(float(tokens) for tokens in np.quantile(sample, SHARES))


def forward_flop(info: ModelInfo, layers: int, tokens: float) -> float:
    """Operations of a forward pass of one example."""
    return learningwork.forward_flop(learningwork.sizes_of(info, layers, "text", tokens))


def learning_s(learning: Learning, info: ModelInfo, rounds: int, trained: int, adapters: bool) -> float:
    """Training, coding and evaluating in seconds; the head alone reads features that are worked out once.

    Parameters
    ----------
    learning : Learning
    info : ModelInfo
    rounds : int
    trained : int
        Local trainings, of all clients and rounds together.
    adapters : bool
        Whether the encoder has any.
    """
    layers, local, (mean, longest) = layers_of(learning, info), learning.local, tokens_of(learning, info)
    texts, step_s = learning.data.train + learning.data.test, STEP_S
    if adapters:
        texts = rounds * learning.data.test
        step_flop = TRAINING_PASSES * local.batch * forward_flop(info, layers, longest)
        step_s += STEP_LAYER_S * layers + step_flop / FLOPS
    return texts * forward_flop(info, layers, mean) / FLOPS + trained * local.steps * step_s


def load_s(learning: Learning) -> float:
    """Reading model and texts, in seconds."""
    return LOAD_S + LOAD_TEXT_S * (learning.data.train + learning.data.test)


def radio_s(transfers: float, client_slots: float, blocks_lost: bool = False) -> float:
    """Seconds of the medium, the protocol and the trace.

    Parameters
    ----------
    transfers : float
        Both ways together.
    client_slots : float
        Slots in which a client sends or waits for its turn, summed over all of them.
    blocks_lost : bool
        Whether each slot carries a transport block that can be lost.
    """
    return TRANSFER_S * transfers + (CLIENT_SLOT_S + (BLOCK_SLOT_S if blocks_lost else 0.0)) * client_slots


def events(
    rounds: float, called: float, downloads: float, kept: bool, packets: float = 1.0, loss: float = 0.0
) -> float:
    """SimPy events of rounds in which anyone is called, of their client-rounds, and of downloads to one client.

    `kept` says whether an upload keeps its share of the band, so that its end is known when it is asked for. Else the
    medium comes back when all of its `packets` could be through, finds some lost, comes back for these, and so on;
    about half of these visits coincide with other events.
    """
    visits = 0.5 * math.log(max(packets, 1.0)) / -math.log(loss) if 0.0 < loss < 1.0 else 0.0
    upload = KEPT_EVENTS if kept else SHARED_EVENTS + visits
    return ROUND_EVENTS * rounds + upload * called + DOWNLOAD_EVENTS * downloads


def network_mib(clients: int) -> float:
    """Peak of a process in which nothing is learnt, in MiB."""
    return NETWORK_MIB + CLIENT_KIB * clients / 1024


class Taken(NamedTuple):
    """What a model and its clients take of a process, in MiB: as long as it runs, and while a batch is worked on."""

    stays: float
    passes: float


def taken_mib(learning: Learning, info: ModelInfo, clients: int, update: int, adapters: bool) -> Taken:
    """The whole model and clients' updates stay; the activations of a batch pass.

    `update` is the number of values of one; a client holds what waits, what is sent and what is left.
    """
    weights = frozen_values(learning, info, info.layers)
    width = _kept_of_a_token(info)
    trained = kept_values(learning, info, tokens_of(learning, info)[1]) if adapters else 0.0
    evaluated = width * EVALUATION_BATCH * longest_tokens(learning, info)
    return Taken(4 / 2**20 * (weights + 4 * clients * update), 4 / 2**20 * max(trained, evaluated))


def memory_mib(each: Sequence[Taken]) -> float:
    """Peak of a process in MiB: imports, and one or several models, whose clients train one model after the other."""
    return PROCESS_MIB + sum(one.stays for one in each) + max(one.passes for one in each)


def frozen_values(learning: Learning, info: ModelInfo, layers: int | None = None) -> int:
    """Numbers of the frozen model: its tables, and the matrices of its layers, or of those kept if none are given."""
    a_layer = 4 * info.hidden**2 + 2 * info.hidden * info.intermediate
    count = layers_of(learning, info) if layers is None else layers
    return (info.vocabulary + info.positions) * info.hidden + count * a_layer


def kept_values(learning: Learning, info: ModelInfo, tokens: float) -> float:
    """Numbers that a step with adapters in all layers keeps for its gradients, at so many tokens an example."""
    return _kept_of_a_token(info) * learning.local.batch * tokens * layers_of(learning, info)


def _kept_of_a_token(info: ModelInfo) -> int:
    """Of one token in one layer."""
    return 10 * info.hidden + 4 * info.intermediate
