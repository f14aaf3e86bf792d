"""Tensors that stay with each client: what they begin as, what each client has, and their mean.

Knows arrays, names and shares of data; neither rounds nor how anything is trained.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping, Sequence

import numpy as np

from wfl_sim.contracts import Params


class Personal:
    """The clients' own tensors.

    Parameters
    ----------
    first : Params
        As they begin; empty where a method leaves none with the clients.
    held : mutable mapping
        By client; absent: as they began.
    shares : mapping
        Each client's share of all examples.
    order : sequence of str
        All names of a model with them.
    """

    def __init__(
        self, first: Params, held: MutableMapping[int, Params], shares: Mapping[int, float], order: Sequence[str]
    ) -> None:
        self.first, self._held, self._shares, self._order = first, held, shares, order
        self._mean: Params | None = first  # None: not known yet

    def put(self, client: int, own: Params) -> None:
        """What became of a client's."""
        if own:
            self._held[client], self._mean = own, None

    def forget_mean(self) -> None:
        """Clients' tensors have changed at their place."""
        self._mean = None

    def with_client(self, model: Params, client: int) -> Params:
        """The global tensors with those of one client, in order."""
        return self._joined(model, self._held.get(client, self.first))

    def with_mean(self, model: Params) -> Params:
        """The global tensors with means of the clients', in order."""
        return self._joined(model, self.mean())

    def without(self, params: Params) -> Params:
        """The tensors that are not the clients' own."""
        return {name: value for name, value in params.items() if name not in self.first} if self.first else params

    def mean(self) -> Params:
        """Means weighted by data, over all clients: who has not trained yet has the first values."""
        if self._mean is None:
            trained = sorted(self._held)
            rest = 1.0 - math.fsum(self._shares[client] for client in trained)
            total = {name: rest * value.astype(np.float64) for name, value in self.first.items()}
            for client in trained:
                for name, value in self._held[client].items():
                    total[name] += self._shares[client] * value.astype(np.float64)
            self._mean = {name: value.astype(np.float32) for name, value in total.items()}
        return self._mean

    def _joined(self, model: Params, own: Params) -> Params:
        if not own:
            return model
        return {name: own[name] if name in own else model[name] for name in self._order}
