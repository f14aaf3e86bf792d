"""A model run in two halves: from its inputs up to a layer, and from there to what a head reads.

Knows the list of a model's layers; neither adapters, nor clients, nor what is sent between the halves.

Each layer is let through, or passed by, as the half that is run wants it. All else is the model's own code, whatever
its family: so masks and positions are made as ever, from lengths alone, and the upper half never sees the inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from wfl_sim.errors import MissingResource
from wfl_sim.learning.models import Backbone, Batch, stack

# Both halves are the same operations as the whole: what differs is what padding holds, which nobody reads.
SAME = 1e-5


class Halves:
    """The two halves of a model, at any cut: the number of layers in the lower one.

    Parameters
    ----------
    backbone : Backbone
        Its layers are made to ask here; as long as no half is run, the model does what it did.
    probe : Batch
        Some examples, for which whole and halves are compared.

    Raises
    ------
    MissingResource
        The model has no list of layers, or they cannot be run apart.
    """

    def __init__(self, backbone: Backbone, probe: Batch) -> None:
        self._backbone = backbone
        self.path = stack(backbone.module, backbone.name, "where to cut it in two", "name a model with such a list")
        layers: Any = backbone.module.get_submodule(self.path)
        self._layers: list[Any] = list(layers)
        self.depth = len(self._layers)
        self._cut: int | None = None
        self._given: Tensor | None = None  # what enters the upper half
        self._taken: Tensor | None = None  # what left the lower one
        for number, layer in enumerate(self._layers):
            layer.forward = partial(self._pass, number, layer.forward)
        self._check(probe)

    def layer_of(self, name: str) -> int | None:
        """The layer that a module or tensor belongs to, counted from 0; None outside all of them."""
        before, _, rest = name.partition(f"{self.path}.")
        number = rest.partition(".")[0]
        return int(number) if not before and number.isdigit() else None

    def lower(self, batch: Batch, cut: int) -> Tensor:
        """What leaves the first `cut` layers [rows, longest, hidden]."""
        self._cut, self._given, self._taken = cut, None, None
        try:
            self._backbone.states(batch)
            return self._left()
        finally:
            self._cut = self._taken = None

    def _left(self) -> Tensor:
        assert self._taken is not None  # every model here runs all its layers
        return self._taken

    def upper(self, batch: Batch, cut: int, states: Tensor) -> Tensor:
        """What a head reads, from what left the first `cut` layers; of `batch`, only mask and shape count."""
        self._cut, self._given = cut, states
        try:
            return self._backbone.states(batch)
        finally:
            self._cut = self._given = None

    def weights(self, cut: int) -> tuple[int, int]:
        """Bytes of the weights in the lower half, embeddings included, and in the layers of the upper one."""
        above = {id(p) for layer in self._layers[cut:] for p in layer.parameters()}
        sizes = {id(p): p.numel() * p.element_size() for p in self._backbone.module.parameters()}
        upper = sum(size for key, size in sizes.items() if key in above)
        return sum(sizes.values()) - upper, upper

    def _pass(self, number: int, forward: Callable[..., Any], states: Tensor, *args: Any, **kwargs: Any) -> Any:
        if self._cut is None:
            return forward(states, *args, **kwargs)
        if self._given is None:
            if number < self._cut:
                return forward(states, *args, **kwargs)
            if number == self._cut:
                self._taken = states
            return states.detach()  # nobody reads what comes of it
        if number < self._cut:
            return states
        return forward(self._given if number == self._cut else states, *args, **kwargs)

    def _check(self, probe: Batch) -> None:
        if self.depth < 2:
            raise MissingResource(f"model {self._backbone.name!r} has one layer, which cannot be cut in two")
        try:
            with torch.no_grad():
                wanted, cut = self._backbone.states(probe), self.depth // 2
                got = self.upper(probe, cut, self.lower(probe, cut))
        except (TypeError, AttributeError, AssertionError) as error:
            raise self._apart(str(error)) from error
        if not torch.allclose(got, wanted, atol=SAME * float(wanted.abs().max()), rtol=0.0):
            raise self._apart("the halves give another result than the whole")

    def _apart(self, why: str) -> MissingResource:
        return MissingResource(
            f"model {self._backbone.name!r}: the layers in {self.path} cannot be run apart ({why}); models of the "
            "families BERT, Llama, GPT-2 and ViT can"
        )
