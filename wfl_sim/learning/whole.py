"""All weights of a backbone, as changes of the pre-trained ones, for one client at a time.

Knows modules and tensors; neither adapters, nor clients, nor when weights are trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from wfl_sim.methods.base import WEIGHTS


class Whole:
    """The weights of a module, which from now on are its own plus changes that are given.

    Parameters
    ----------
    module : Module
        Its parameters become plain attributes, so that changes which ask for a gradient get one.
    """

    def __init__(self, module: Any) -> None:
        self._places: dict[str, tuple[Any, str, Tensor]] = {}
        for path, parameter in list(module.named_parameters()):
            owner, _, attribute = path.rpartition(".")
            place = module.get_submodule(owner)
            first = parameter.detach()
            del place._parameters[attribute]
            setattr(place, attribute, first)
            self._places[WEIGHTS + path] = place, attribute, first
        self._taken: dict[str, Tensor | None] = dict.fromkeys(self._places)  # what the weights are made of now
        self.shapes: dict[str, tuple[int, ...]] = {n: tuple(first.shape) for n, (*_, first) in self._places.items()}

    def use(self, changes: Mapping[str, Tensor]) -> None:
        """Take changes [1, ...] by name; a weight without one is as it was pre-trained.

        One that asks for no gradient is not written to while it is used: weights that have it already stay as they are.
        """
        for name, (place, attribute, first) in self._places.items():
            change = changes.get(name)
            if name in self._taken and _same(change, self._taken[name]):
                continue
            with torch.inference_mode(False):  # or it could not be trained with later
                setattr(place, attribute, first if change is None else first + change[0])
            if change is None or not change.requires_grad:
                self._taken[name] = change
            else:
                self._taken.pop(name, None)


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether two changes are one memory, which nobody can have given away while `other` is held."""
    if one is None or other is None:
        return one is other
    return not one.requires_grad and one.data_ptr() == other.data_ptr() and one.shape == other.shape
