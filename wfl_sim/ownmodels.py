"""A federation in which each client has a model of its own, that is judged by the mean over these models.

Knows clients, arrays and how a learner is asked; neither SimPy nor the radio.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

from wfl_sim.codecs.base import Update
from wfl_sim.contracts import Params, Payload
from wfl_sim.errors import NotFinite
from wfl_sim.federation import Federation
from wfl_sim.merging import REMEDY

NOTHING = Payload(b"\0", 1.0)  # what is sent where there is nothing to send
Tested = Literal["part", "all"]


class Judge(Protocol):
    """What evaluates parameters on all held-out examples, or on every `count`-th from the one at `place` on."""

    def evaluate(self, params: Params) -> dict[str, float]: ...
    def evaluate_part(self, params: Params, place: int, count: int) -> dict[str, float]: ...


class OwnModels(Federation):
    """See `wfl_sim.methods.local_only`: the method says ``own_models`` and how they are `tested`."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._known = dict[int, dict[str, float]]()  # by client, of the model that it has now

    def downlink(self, clients: Sequence[int]) -> Payload:
        """A byte where there is nothing to tell."""
        payload = super().downlink(clients)
        return payload if payload.data else NOTHING

    def update(self, client: int) -> Update | None:
        """Its own tensors may change."""
        self._known.pop(client, None)
        return super().update(client)

    def evaluate(self) -> dict[str, Any]:
        """Means over the clients' own models, weighted by data."""
        tested: Tested = self.method.tested  # type: ignore[attr-defined]
        learner: Any = self.learner
        order = sorted(self._weight)
        for place, client in enumerate(order):
            if client not in self._known:
                params = self._personal.with_client(self.state.model, client)
                self._known[client] = judged(learner, params, place, len(order), tested)
        return mean((self._weight[client], self._known[client]) for client in order)


def judged(learner: Judge, params: Params, place: int, count: int, tested: Tested) -> dict[str, float]:
    """The metrics of the model of client number `place` of `count`."""
    found = learner.evaluate(params) if tested == "all" else learner.evaluate_part(params, place, count)
    for name, value in found.items():
        if not math.isfinite(value):
            raise NotFinite(f"the {name} of a client's own model is {value}; {REMEDY}")
    return found


def mean(weighted: Iterable[tuple[float, Mapping[str, float]]]) -> dict[str, float]:
    """Means of metrics, summed in the order that is given."""
    found, total = dict[str, float](), 0.0
    for weight, metrics in weighted:
        total += weight
        for name, value in metrics.items():
            found[name] = found.get(name, 0.0) + weight * value
    return {name: value / total for name, value in found.items()}
