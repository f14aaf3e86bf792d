"""Normalisations: what one is but for its gain and bias, which clients train, alone or all of a model.

Knows layers and stacked tensors; neither adapters nor who the clients are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from wfl_sim.errors import MissingResource
from wfl_sim.methods.base import NORMS

SAME = 1e-4  # relative, and absolute beside values of size 1: roundings of float32


def without_gain(norm: Any) -> Callable[[Tensor], Tensor]:
    """A layer norm, or an RMS norm, as it is where its gain is 1 and its bias 0."""
    eps = float(getattr(norm, "variance_epsilon", 0.0) or getattr(norm, "eps", 1e-6))
    if isinstance(norm, torch.nn.LayerNorm):
        return lambda states: layer_norm(states, states.shape[-1:], eps=eps)
    return lambda states: states * torch.rsqrt(states.square().mean(-1, keepdim=True) + eps)


class Norms:
    """All norms of a model, whose gains and biases K clients change: by `use`, tensors [K, width].

    Parameters
    ----------
    module : Module
        Its norms are replaced.
    name : str
        Of the model, for errors.

    Raises
    ------
    MissingResource
        It has none, or some that are not plain.
    """

    def __init__(self, module: Any, name: str) -> None:
        found = {path: layer for path, layer in module.named_modules() if "norm" in type(layer).__name__.lower()}
        odd = [path for path, layer in found.items() if not is_plain(layer, _width(layer))]
        if odd or not found:
            said = f"{odd[0]} is no plain layer norm or RMS norm" if odd else "it has no norms"
            raise MissingResource(f"model {name!r}: {said}, which is what method.norms trains; set it to false")
        self._norms = {path: TrainedNorm(layer) for path, layer in found.items()}
        self.shapes: dict[str, tuple[int, ...]] = {}
        for path, norm in self._norms.items():
            module.set_submodule(path, norm)
            own = ("gain", "shift") if getattr(norm.norm, "bias", None) is not None else ("gain",)
            self.shapes |= {f"{NORMS}{path}.{name}": (_width(norm.norm),) for name in own}

    def use(self, tensors: Mapping[str, Tensor]) -> None:
        """From now on the norms read these changes [K, width]; without them they are as they were pre-trained."""
        for path, norm in self._norms.items():
            norm.gain, norm.shift = (tensors.get(f"{NORMS}{path}.{name}") for name in ("gain", "shift"))


class TrainedNorm(torch.nn.Module):
    """A frozen norm with changes of its gain and bias, one of each client; rows come client after client."""

    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.norm, self._without_gain = norm, without_gain(norm)
        self.gain: Tensor | None = None
        self.shift: Tensor | None = None

    def forward(self, states: Tensor) -> Tensor:
        frozen: Tensor = self.norm(states)
        if self.gain is None:
            return frozen
        clients, width = self.gain.shape
        own = self._without_gain(states).reshape(clients, -1, width) * self.gain[:, None]
        if self.shift is not None:
            own = own + self.shift[:, None]
        return frozen + own.reshape(frozen.shape)


def _width(norm: Any) -> int:
    weight = getattr(norm, "weight", None)
    return int(weight.numel()) if isinstance(weight, Tensor) else 1


def is_plain(norm: Any, width: int) -> bool:
    """Whether a norm is that, times `weight`, plus `bias` if it has one: Gemma's, for one, adds 1 to its gain."""
    weight, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
    if not isinstance(weight, Tensor):
        return False
    with torch.no_grad():
        states = torch.linspace(-2.0, 3.0, 2 * width).reshape(2, width)
        own = without_gain(norm)(states) * weight + (0.0 if bias is None else bias)
        return torch.allclose(own, norm(states), rtol=SAME, atol=SAME)
