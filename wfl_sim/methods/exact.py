"""What exact rules of aggregation share: the mean of clients' products B A, as thin factors, goes to the layer itself.

Knows arrays only. `flora` and `fedex` say which part of the mean the layer takes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from wfl_sim.contracts import FloatArray, Params
from wfl_sim.methods.base import Adapter, Arrival, in_order, pairs_of
from wfl_sim.methods.lora import Lora

Factors = tuple[list[FloatArray], list[FloatArray]]  # blocks of columns, and of rows
Shapes = dict[str, tuple[int, ...]]
Array = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Exact(Lora):
    """See the module docstring."""

    merges_products: ClassVar[bool] = True

    def adapter(self) -> Adapter | None:
        adapter = super().adapter()
        return adapter and replace(adapter, dense=True)

    def aggregate(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        return self.received(model, self.broadcast(model, arrivals))

    @abstractmethod
    def broadcast(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        """Changes of tensors under their names, and what is added to a layer as ``LAYER.W.A`` and ``LAYER.W.B``.

        Where the product of the two has fewer values than they, it takes their place, as ``LAYER.W``.
        """

    def received(self, model: Params, arrays: Params) -> Params:
        """The model with all that was broadcast: W <- W + (alpha / rank) times the product."""
        after = {name: value.copy() for name, value in model.items()}
        for name, value in arrays.items():
            if name in model and not name.endswith(".W"):
                after[name] = (model[name].astype(float) + value).astype(np.float32)
        for a, _ in pairs_of(model):
            layer = f"{a[:-2]}.W"
            after[layer] = folded(model[layer], arrays, layer, self.counted_alpha / self.rank)
        return after

    def _largest(self, shapes: Mapping[str, tuple[int, ...]], rank: int) -> Shapes:
        """Shapes of what is added to layers if it has so many components."""
        found: Shapes = {}
        for a, b in pairs_of(shapes):
            found |= most_added(a, shapes[b][0], shapes[a][1], rank)
        return found


def folded(whole: Array, arrays: Params, layer: str, scale: float) -> Array:
    """A layer's W with what was broadcast for it by `added`."""
    more = arrays.get(layer)
    if more is None:
        more = arrays[f"{layer}.B"].astype(float) @ arrays[f"{layer}.A"].astype(float)
    return (whole + scale * more.astype(float)).astype(np.float32)


def added(a: str, blocks: Factors, model: Params) -> Params:
    """What is broadcast for a layer, of which A is named, from its factors; components that are 0 are left out."""
    layer, (outputs, inputs) = f"{a[:-2]}.W", model[f"{a[:-2]}.W"].shape
    left = np.concatenate(blocks[0], axis=1) if blocks[0] else np.zeros((outputs, 0))
    right = np.concatenate(blocks[1], axis=0) if blocks[1] else np.zeros((0, inputs))
    there = left.any(axis=0) & right.any(axis=1)
    if not there.any():
        left, right = np.zeros((outputs, 1)), np.zeros((1, inputs))
    else:
        left, right = left[:, there], right[there]
    if left.shape[1] * (outputs + inputs) > outputs * inputs:
        return {layer: (left @ right).astype(np.float32)}
    return {f"{layer}.A": right.astype(np.float32), f"{layer}.B": left.astype(np.float32)}


def most_added(a: str, outputs: int, inputs: int, rank: int) -> Shapes:
    """Shapes of what `added` gives for so many components, none of them 0."""
    if rank * (outputs + inputs) > outputs * inputs:
        return {f"{a[:-2]}.W": (outputs, inputs)}
    return {f"{a[:-2]}.W.A": (rank, inputs), f"{a[:-2]}.W.B": (outputs, rank)}


def plain_changes(model: Params, arrivals: Sequence[Arrival], names: Sequence[str]) -> Params:
    """Weighted sums of the changes of tensors, in float64 and in order of client."""
    total = {name: np.zeros(model[name].shape) for name in names}
    for arrival in in_order(arrivals):
        for name in names:
            total[name] += arrival.weight * arrival.change[name].astype(float)
    return {name: value.astype(np.float32) for name, value in total.items()}


def outside(model: Params) -> list[str]:
    """The tensors that belong to no adapted layer: the head's."""
    layers = {f"{a[:-2]}.{own}" for a, _ in pairs_of(model) for own in "ABW"}
    return [name for name in model if name not in layers]


def factors_of(arrival: Arrival, model: Params, pair: tuple[str, str]) -> tuple[FloatArray, ...]:
    """A and B of the model that a client had, and its changes of them, in float64."""
    base = model if arrival.base is None else arrival.base
    a, b = pair
    return tuple(x.astype(np.float64) for x in (base[a], base[b], arrival.change[a], arrival.change[b]))
