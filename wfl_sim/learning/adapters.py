"""Adapters of many clients side by side, on one frozen model.

Knows linear layers and stacked tensors; neither tasks, nor optimisers, nor who the clients are.

Libraries of adapters put one into a layer at a time (or choose one for each row when nothing is trained). Here K
clients share a forward pass: their rows follow each other in the batch, the frozen layer sees all of them at once, and
each client's own rows meet its own tensors in batched products. With K = 1 that is an adapter as ever.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import gelu, linear

from wfl_sim.learning.trains import joined
from wfl_sim.methods.base import Adapter, AnyAdapter
from wfl_sim.methods.tensortrain import TensorTrain


class Adapted(torch.nn.Module):
    """A frozen linear layer with the adapters of K clients: `tensors` are [K, ...], by the short names of their kind.

    Rows of input come client after client, equally many of each. Without tensors it is the frozen layer.
    """

    def __init__(self, frozen: torch.nn.Module) -> None:
        super().__init__()
        self.frozen, self.tensors = frozen, dict[str, Tensor]()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.frozen(x)
        if not self.tensors:
            return y
        clients = next(iter(self.tensors.values())).shape[0]
        own = self.adapted(x.reshape(clients, -1, x.shape[-1]), y.reshape(clients, -1, y.shape[-1]))
        return own.reshape(y.shape)

    @abstractmethod
    def adapted(self, x: Tensor, y: Tensor) -> Tensor:
        """What comes out, from inputs [K, rows, n] and what the frozen layer makes of them, y [K, rows, m]."""


class LoraLayer(Adapted):
    """With `wfl_sim.methods.base.Adapter`: A [K, r, n], B [K, m, r], and W [K, m, n], or [1, m, n] if all have one."""

    def __init__(self, frozen: torch.nn.Module, adapter: Adapter) -> None:
        super().__init__(frozen)
        self._scale = adapter.alpha / adapter.rank

    def adapted(self, x: Tensor, y: Tensor) -> Tensor:
        if (whole := self.tensors.get("W")) is not None:
            y = y + (linear(x, whole[0]) if len(whole) == 1 else torch.bmm(x, whole.mT))
        return torch.baddbmm(y, torch.bmm(x, self.tensors["A"].mT), self.tensors["B"].mT, alpha=self._scale)


class TensorTrainLayer(Adapted):
    """With `wfl_sim.methods.tensortrain.TensorTrain`: factors [K, bond, mode, bond], and biases.

    Down and Up are each rebuilt as two thin matrices, those of the modes before and behind the bond between width and
    bottleneck. At widths of 128 to 768 and ranks of 2 to 16, whole matrices take about twice as long, and one factor
    after the other 2 to 16 times: it is less arithmetic, but each factor goes through all rows again.
    """

    def __init__(self, frozen: torch.nn.Module, adapter: TensorTrain) -> None:
        super().__init__(frozen)
        wide, narrow = adapter.modes(features(frozen)[0])
        self._names = {
            "down": [f"down.{i}" for i in range(len(wide + narrow))],
            "up": [f"up.{i}" for i in range(len(wide + narrow))],
        }
        self._cuts = {"down": len(wide), "up": len(narrow)}

    def adapted(self, x: Tensor, y: Tensor) -> Tensor:
        left, right = self._halves("down")
        inner = gelu(torch.baddbmm(self.tensors["down.bias"][:, None], torch.bmm(y, left), right))
        left, right = self._halves("up")
        return torch.baddbmm(y + self.tensors["up.bias"][:, None], torch.bmm(inner, left), right)

    def _halves(self, name: str) -> tuple[Tensor, Tensor]:
        """The thin matrices [K, inputs, r] and [K, r, outputs]."""
        factors, cut = [self.tensors[own] for own in self._names[name]], self._cuts[name]
        clients, rank = factors[cut].shape[:2]
        return joined(factors[:cut]).reshape(clients, -1, rank), joined(factors[cut:]).reshape(clients, rank, -1)


class Adapters:
    """The adapted layers of a model, in order of depth.

    Parameters
    ----------
    model : Module
        Its named linear layers are replaced by `Adapted` ones.
    names : sequence of str
        Dotted paths of the layers.
    adapter : AnyAdapter
    """

    def __init__(self, model: Any, names: Sequence[str], adapter: AnyAdapter) -> None:
        self._adapted: dict[str, Adapted] = {}
        self.layers: dict[str, tuple[int, int]] = {}  # outputs and inputs
        for name in names:
            frozen = model.get_submodule(name)
            self.layers[name] = features(frozen)
            self._adapted[name] = _layer(frozen, adapter)
            model.set_submodule(name, self._adapted[name])
        self._names, self._served = (
            {n: tuple(adapter.shapes(*widths)) for n, widths in self.layers.items()},
            adapter.served,
        )

    def use(self, tensors: Mapping[str, Tensor]) -> None:
        """From now on the layers read these tensors [K, ...]; one that is not there, of those served, counts as 0."""
        for name, layer in self._adapted.items():
            whole = {own: f"{name}.{own}" for own in self._names[name]}
            layer.tensors = {
                own: tensors[path] for own, path in whole.items() if path in tensors or own not in self._served
            }


def _layer(frozen: torch.nn.Module, adapter: AnyAdapter) -> Adapted:
    if isinstance(adapter, Adapter):
        return LoraLayer(frozen, adapter)
    if isinstance(adapter, TensorTrain):
        return TensorTrainLayer(frozen, adapter)
    raise TypeError(f"an adapter is an Adapter or a TensorTrain; got {adapter!r}")


def features(layer: Any) -> tuple[int, int]:
    """How many outputs and inputs a linear layer has; GPT-2's holds its weight transposed."""
    if isinstance(layer, torch.nn.Linear):
        return layer.out_features, layer.in_features
    inputs, outputs = layer.weight.shape
    return outputs, inputs
