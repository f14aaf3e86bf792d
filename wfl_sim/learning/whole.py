"""All weights of a backbone, as changes of the pre-trained ones, for one client at a time.

Knows modules and tensors; neither adapters, nor clients, nor when weights are trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
        self.shapes: dict[str, tuple[int, ...]] = {n: tuple(first.shape) for n, (*_, first) in self._places.items()}

    def use(self, changes: Mapping[str, Tensor]) -> None:
        """Take changes [1, ...] by name; a weight without one is as it was pre-trained."""
        for name, (place, attribute, first) in self._places.items():
            change = changes.get(name)
            setattr(place, attribute, first if change is None else first + change[0])
