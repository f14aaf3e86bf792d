"""FedTT+: of each tensor train only some factors are trained at a time, so that averaging is exact or nearly so.

Knows arrays and names only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np

from channels.options import Count
from channels.units import Quantity
from wfl_sim.contracts import Params
from wfl_sim.methods.base import AnyAdapter, Arrival, Notes, Regulariser, add_where_sent
from wfl_sim.methods.fedtt import Trains

if TYPE_CHECKING:
    from wfl_sim.codecs.base import Layout


@dataclass(frozen=True, kw_only=True)
class FedTtPlus(Trains):
    """Tensor-train adapters of which some factors at a time are trained and sent (FedTT+).

    All other factors stay as they are, and so do the biases of the adapters, which would be most of the payload.

    Formula
    -------
    With one factor open, and the others the same with all clients, averaging the factor is averaging the matrix::

        W(G_1, ..., sum_k w_k G_i,k, ..., G_d) = sum_k w_k W(G_1, ..., G_i,k, ..., G_d)

    ``cyclic`` opens the factors t m, ..., t m + m - 1 (modulo d) of every tensor train for version t of the model, m
    the number of `factors`. ``adaptive`` opens those m of each tensor train that moved most::

        score <- smoothing score + (1 - smoothing) |G_i' - G_i| / sqrt(size of G_i)

    for the factors that were open; those that never were come first. The server then tells clients which ones, a bit a
    factor.

    Validity
    --------
    Exact with one factor, up to the rounding of values; with more, as far as these are averaged one by one. Versions
    count updates of the model: a round in which nothing arrives opens nothing new. Where late updates are carried into
    later rounds, each factor is averaged over those that sent it. With `error_feedback` what was not sent of a factor
    waits until it is open again. A client that joins late is sent all factors once.

    Source
    ------
    A reconstruction of FedTT+, arXiv:2410.13097, which freezes part of the factors adaptively against unlike data: both
    policies are our own.

    Options
    -------
    policy : Which factors are open: ``cyclic``, one after the other, or ``adaptive``, those that moved most.
    factors : How many factors of each tensor train are open at a time. Larger: more to learn in a round, more to send,
        and averaging is not exact any more.
    smoothing : Share of the old score in the new one under ``adaptive``. Larger: what moved long ago counts for longer.
    """

    kind: Literal["fedtt_plus"] = "fedtt_plus"
    policy: Literal["cyclic", "adaptive"] = "cyclic"
    factors: Count = 1
    smoothing: Annotated[float, Quantity("1", ge=0, lt=1)] = 0.5

    def aggregate(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        return add_where_sent(model, arrivals)

    def stage(self, version: int, rounds: int, notes: Notes) -> Opened:
        """What is open of a version."""
        return Opened(self, version, notes)

    def noted(self, notes: Notes, before: Params, model: Params) -> Notes:
        """The scores after a step of the model, by factor; none unless the policy reads them."""
        if self.policy == "cyclic":
            return {}
        found = dict(notes)
        for name, value in model.items():
            if not _is_factor(name) or value is before[name]:
                continue
            moved = float(np.linalg.norm((value - before[name]).astype(float))) / math.sqrt(value.size)
            if moved > 0.0:
                found[name] = self.smoothing * found[name] + (1 - self.smoothing) * moved if name in found else moved
        return found


@dataclass(frozen=True)
class Opened:
    """FedTT+ for one version of the model."""

    method: FedTtPlus
    version: int
    notes: Notes

    @property
    def kind(self) -> str:
        return self.method.kind

    def adapter(self) -> AnyAdapter | None:
        return self.method.adapter()

    def regulariser(self) -> Regulariser | None:
        return None

    def aggregate(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        return self.method.aggregate(model, arrivals)

    def opened(self, layout: Layout) -> Layout:
        """The open factors and the head."""
        opened = {name for factors in _trains(layout).values() for name in self._chosen(factors)}
        return layout.without({name for name in layout.adapters if name not in opened})

    def told(self, layout: Layout) -> bytes:
        """A bit for each factor, where clients cannot know it."""
        if self.method.policy == "cyclic":
            return b""
        opened = self.opened(layout).shapes.keys()
        return np.packbits([name in opened for factors in _trains(layout).values() for name in factors]).tobytes()

    def _chosen(self, factors: Sequence[str]) -> list[str]:
        count = min(self.method.factors, len(factors))
        if self.method.policy == "cyclic":
            first = self.version * count
            return [factors[(first + place) % len(factors)] for place in range(count)]
        turn = self.version * count  # of equals, and of those that never were open, each has its turn
        order = [factors[(turn + place) % len(factors)] for place in range(len(factors))]
        return sorted(order, key=lambda name: -self.notes.get(name, math.inf))[:count]


def _is_factor(name: str) -> bool:
    return name.rpartition(".")[2].isdigit()


def _trains(layout: Layout) -> dict[str, list[str]]:
    """The factors of each tensor train, in order, by the path that they share."""
    found: dict[str, list[str]] = {}
    for name in layout.adapters:
        if _is_factor(name):
            found.setdefault(name.rpartition(".")[0], []).append(name)
    return found
