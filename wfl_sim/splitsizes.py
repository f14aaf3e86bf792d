"""How large everything is when a model is cut in two: work, messages, adapters and memory, and where the cut may lie.

Knows the sizes in a model's `config.json` and the options of a scenario; neither tensors nor time on the air.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from channels.streams import Stream
from wfl_sim import learningwork
from wfl_sim.codecs.base import Layout
from wfl_sim.contracts import PayloadMenu, Point
from wfl_sim.learning import activations, layouts
from wfl_sim.learning.data import data_set
from wfl_sim.learning.examples import TaskKind
from wfl_sim.learning.sources import ModelInfo, model_info
from wfl_sim.methods.split import CODINGS, Split
from wfl_sim.splitwork import Parts

if TYPE_CHECKING:
    from wfl_sim.devices import Compute
    from wfl_sim.scenario import Scenario

BYTES = 4  # of a number of 32 bits


@dataclass(frozen=True)
class SplitSizes:
    """What follows from model, task and method for every cut, which is the number of layers on the client.

    `kept` is how many copies of its adapters each side holds: values, gradients, and what its optimiser remembers.
    """

    info: ModelInfo
    sizes: learningwork.Sizes
    kind: TaskKind
    method: Split
    codec: Any
    classes: int
    batch: int
    steps: int
    kept: int

    @classmethod
    def of(cls, scenario: Scenario) -> SplitSizes:
        """Those of a scenario.

        Raises
        ------
        MissingResource
            The model's ``config.json`` is not on this computer, or the data set is not known.
        """
        learning, method, local = scenario.learning, scenario.method, scenario.learning.local
        assert isinstance(method, Split)
        info, found = model_info(learning.model.name), data_set(learning.data.name)
        kind: TaskKind = getattr(found, "task", "text")
        depth = learning.model.layers or info.layers
        sizes = learningwork.sizes_of(info, depth, kind, float(learning.data.max_tokens))
        kept = 4 if local.optimizer == "adamw" else 3 if local.momentum else 2
        return cls(info, sizes, kind, method, scenario.codec, len(found.classes), local.batch, local.steps, kept)

    @property
    def depth(self) -> int:
        """Number of layers."""
        return self.sizes.layers

    @property
    def tokens(self) -> int:
        """Of the longest example."""
        return int(self.info.image_tokens or self.sizes.tokens)

    # -- work ---------------------------------------------------------------------------------------

    @cached_property
    def _flop(self) -> list[learningwork.Flop]:
        return learningwork.step_parts(self.sizes, self.kind, self.method.adapter(), self.batch, self.classes)

    def parts(self, cut: int) -> Parts:
        """Who does which share of a step's operations."""
        before, *after = self._flop
        whole = before.plus(*after)
        client = before.plus(*after[:cut])
        forward, backward = client.forward / whole.both, client.backward / whole.both
        return Parts(forward, backward, 1.0 - forward - backward)

    # -- messages -----------------------------------------------------------------------------------

    def transfer_bits(self, bits: int) -> int:
        """Most bits of one way of a step, that of activations, with so many bits a value."""
        tokens = self.batch * self.tokens
        labels = tokens if self.kind == "language" else self.batch
        return 8 * activations.most_bytes(self.batch, tokens, self.sizes.hidden, bits, labels)

    def layout(self, cut: int) -> Layout:
        """What a client trains, under names of its own."""
        layers = {
            f"{number}.{name}": (outputs, inputs)
            for number in range(cut)
            for name, inputs, outputs in self.info.projections(self.method.adapt)
        }
        return layouts.layout(self.method.adapter(), layers, {})

    def adapter_bits(self, cut: int) -> int:
        """What a client's adapters take at the end of a round, as the codec writes them."""
        bits: int = self.codec.menu(self.layout(cut)).points[-1].bits
        return bits

    def menu(self, cut: int) -> PayloadMenu:
        """All that a client sends up in a round, by the coding of its activations."""
        adapters, points = self.adapter_bits(cut), []
        for name in self.method.codings:
            bits = CODINGS[name]
            error = {8: 2 * math.log(max(2, self.sizes.hidden)) / (6 * 127**2), 16: 2.0**-24, 32: 0.0}[bits]
            points.append(Point(bits / 32, self.steps * self.transfer_bits(bits) + adapters, error))
        return PayloadMenu(tuple(points))

    def first_bits(self, cut: int) -> int:
        """What brings a client that has nothing its adapters."""
        layout = self.layout(cut)
        return 32 * layout.size(layout.everything)

    # -- memory -------------------------------------------------------------------------------------

    @property
    def _layer_weights(self) -> int:
        info, hidden = self.info, self.sizes.hidden
        ways = 3 if info.gated else 2
        return hidden * (2 * info.attended + 2 * info.kept) + ways * hidden * info.intermediate

    @property
    def _embedding_weights(self) -> int:
        info = self.info
        places = 0 if info.gated else info.positions  # where they are turned, there is no table of them
        return self.sizes.hidden * (info.vocabulary + places + self.sizes.patch)

    def _kept_numbers(self, layers: int) -> int:
        """What a forward pass of a full batch keeps for its gradient."""
        hidden, inner, roles = self.sizes.hidden, self.info.intermediate, self.method.adapt
        each = 14 * hidden + 3 * inner if self.info.gated else 8 * hidden + inner
        each += hidden * ("up" in roles) + inner * ("down" in roles)
        return self.batch * self.tokens * (layers * each + 2 * hidden)  # and what enters or leaves, with its gradient

    def client_bytes(self, cut: int) -> int:
        """Of a client."""
        layout = self.layout(cut)
        weights = self._embedding_weights + cut * self._layer_weights
        return BYTES * (weights + self._kept_numbers(cut) + self.kept * layout.size(layout.everything))

    def server_bytes(self, cuts: Sequence[int]) -> int:
        """Of a server with one model, that serves these clients one after the other."""
        weights = self._embedding_weights + self.depth * self._layer_weights
        most = max((self._served_numbers(cut) for cut in cuts), default=0)
        return BYTES * (weights + most + sum(self._upper_adapters(cut) for cut in cuts))

    def server_each_bytes(self, cuts: Sequence[int]) -> int:
        """Of a server with a submodel for each of these clients, all at work at once."""
        return BYTES * sum(
            (self.depth - cut) * self._layer_weights + self._served_numbers(cut) + self._upper_adapters(cut)
            for cut in cuts
        )

    def _served_numbers(self, cut: int) -> int:
        logits = 2 * self.batch * self.tokens * self.info.vocabulary if self.kind == "language" else 0
        return self._kept_numbers(self.depth - cut) + logits

    def _upper_adapters(self, cut: int) -> int:
        whole, lower = (self.layout(layers) for layers in (self.depth, cut))
        head = self.sizes.hidden if self.kind == "language" else self.classes * (self.sizes.hidden + 1)
        return self.kept * (whole.size(whole.everything) - lower.size(lower.everything) + head)

    # -- the cut ------------------------------------------------------------------------------------

    def deepest(self, memory_bits: float = math.inf, step_s: float = 0.0) -> int:
        """The largest cut that fits a memory, and a device that takes so long for a whole step; 0 if none does."""
        limit_s = self.method.client_time_s or math.inf
        for cut in range(self.depth - 1, 0, -1):
            parts = self.parts(cut)
            if 8 * self.client_bytes(cut) <= memory_bits and (parts.forward + parts.backward) * step_s <= limit_s:
                return cut
        return 0


@dataclass(frozen=True)
class DeviceCut:
    """How many of a model's layers the clients of one class of devices have; `memory_bits` is None without a limit."""

    layers: int
    of_layers: int
    clients: tuple[int, ...]
    speed: float
    memory_bits: float | None


def cuts_of(scenario: Scenario, sizes: SplitSizes) -> list[int]:
    """The cut of each client, by the class of its device; 1 where not even that fits."""
    method, count = sizes.method, scenario.clients.count
    if method.cut is not None:
        return [method.cut] * count
    compute, stream, ids = _devices(scenario)
    memories_bits = compute.memories_bits(stream, ids).tolist()
    times_s = (compute.medians_s(stream, ids) / sizes.steps).tolist()
    known: dict[tuple[float, float], int] = {}
    for device in zip(memories_bits, times_s, strict=True):
        if device not in known:
            known[device] = max(1, sizes.deepest(*device))
    return [known[device] for device in zip(memories_bits, times_s, strict=True)]


def device_cuts(scenario: Scenario) -> tuple[DeviceCut, ...]:
    """The cuts of a scenario's clients, class by class, from the largest on.

    Raises
    ------
    MissingResource
        The model's ``config.json`` is not on this computer, or the data set is not known.
    """
    sizes = SplitSizes.of(scenario)
    cuts, (compute, stream, ids) = cuts_of(scenario, sizes), _devices(scenario)
    numbers, memories_bits = compute.classes_of(stream, ids).tolist(), compute.memories_bits(stream, ids).tolist()
    found = []
    for number in sorted(set(numbers)):
        own = [client for client in ids.tolist() if numbers[client] == number]
        memory_bits = memories_bits[own[0]]
        speed = compute.classes[number].speed if compute.classes else 1.0
        limit_bits = None if math.isinf(memory_bits) else memory_bits
        found.append(DeviceCut(cuts[own[0]], sizes.depth, tuple(own), speed, limit_bits))
    return tuple(sorted(found, key=lambda one: -one.layers))


def _devices(scenario: Scenario) -> tuple[Compute, Stream, NDArray[np.int64]]:
    """The device model, what its classes are drawn from, and the clients."""
    stream = Stream.root(scenario.seeds[0]).child("protocol").child("compute")
    return learningwork.compute_of(scenario), stream, np.arange(scenario.clients.count)
