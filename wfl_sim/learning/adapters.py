"""Adapters of many clients side by side, on one frozen model.

Knows linear layers and stacked tensors; neither tasks, nor optimisers, nor who the clients are.

Libraries of adapters put one into a layer at a time (or choose one for each row when nothing is trained). Here K
clients share a forward pass: their rows follow each other in the batch, the frozen layer sees all of them at once, and
each client's own rows meet its own factors in one batched product. With K = 1 that is LoRA as ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from wfl_sim.methods.base import Adapter


class Adapted(torch.nn.Module):
    """A frozen linear layer with the LoRA factors of K clients: A [K, r, n] and B [K, m, r].

    Rows of input come client after client, equally many of each. Without factors it is the frozen layer.
    """

    def __init__(self, frozen: torch.nn.Module, scale: float) -> None:
        super().__init__()
        self.frozen, self._scale = frozen, scale
        self.a: Tensor | None = None
        self.b: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.frozen(x)
        if self.a is None or self.b is None:
            return y
        clients = self.a.shape[0]
        low = torch.bmm(x.reshape(clients, -1, x.shape[-1]), self.a.mT)
        own = y.reshape(clients, -1, y.shape[-1])
        return torch.baddbmm(own, low, self.b.mT, alpha=self._scale).reshape(y.shape)


class Adapters:
    """The adapted layers of a model, in order of depth.

    Parameters
    ----------
    model : Module
        Its named linear layers are replaced by `Adapted` ones.
    names : sequence of str
        Dotted paths of the layers.
    adapter : Adapter
    """

    def __init__(self, model: Any, names: Sequence[str], adapter: Adapter) -> None:
        self._layers: dict[str, Adapted] = {}
        self.shapes: dict[str, tuple[int, int]] = {}
        for name in names:
            frozen = model.get_submodule(name)
            outputs, inputs = _features(frozen)
            self._layers[name] = Adapted(frozen, adapter.alpha / adapter.rank)
            self.shapes |= {f"{name}.A": (adapter.rank, inputs), f"{name}.B": (outputs, adapter.rank)}
            model.set_submodule(name, self._layers[name])

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The names of A and B of each layer."""
        return tuple((f"{name}.A", f"{name}.B") for name in self._layers)

    def use(self, tensors: Mapping[str, Tensor]) -> None:
        """From now on the layers read these factors [K, ...]."""
        for name, layer in self._layers.items():
            layer.a, layer.b = tensors[f"{name}.A"], tensors[f"{name}.B"]


def _features(layer: Any) -> tuple[int, int]:
    """How many outputs and inputs a linear layer has; GPT-2's holds its weight transposed."""
    if isinstance(layer, torch.nn.Linear):
        return layer.out_features, layer.in_features
    inputs, outputs = layer.weight.shape
    return outputs, inputs
