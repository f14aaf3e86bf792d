"""Groups whose adapters are joined component by component, whatever their ranks (`wfl_sim.methods.zero_padding`).

Knows groups, arrays and shares; neither codecs nor how anything is trained.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from wfl_sim.contracts import AnyPayload, Params
from wfl_sim.federation import Federation
from wfl_sim.grouped import Grouped, Member
from wfl_sim.methods.base import Arrival

Family = tuple[Hashable, ...]  # tensors of one family differ in rank alone


class Padded(Grouped):
    """Each group's tensors are the first components of those of its families, which move as one.

    Parameters
    ----------
    members : sequence of Member
        Whose works are federations.
    families : sequence of mappings
        Of each group, by name of a tensor.
    fill : {"zero", "renormalise"}
        What a change counts for components that it has not.
    """

    def __init__(
        self, members: Sequence[Member], families: Sequence[Mapping[str, Family]], fill: Literal["zero", "renormalise"]
    ) -> None:
        super().__init__(members)
        self._families = {member.name: own for member, own in zip(members, families, strict=True)}
        self._fill = fill
        shapes: dict[Family, tuple[int, ...]] = {}
        firsts = dict[Family, NDArray[np.float32]]()
        for member in members:
            for name, value in self._federation(member).state.model.items():
                family = self._families[member.name][name]
                if family not in firsts or value.size > firsts[family].size:
                    firsts[family], shapes[family] = value, value.shape
        self._shapes = shapes
        for member in members:  # as the one with the most components has drawn them
            state = self._federation(member).state
            state.model = self._cut(member, firsts, state.model)

    @staticmethod
    def _federation(member: Member) -> Federation:
        assert isinstance(member.work, Federation)
        return member.work

    def aggregate(self, arrivals: Mapping[int, AnyPayload], factors: Mapping[int, float] | None = None) -> None:
        """Merge what arrived into what all have, and let each group move by its part of that."""
        order = sorted(arrivals)
        counted = {client: 1.0 if factors is None else factors[client] for client in order}
        moves = self._moves(order, counted)
        for member in self.members:
            federation, own = self._federation(member), [client for client in order if client in member.clients]
            change = self._cut(member, moves, federation.state.model) if any(counted.values()) else {}
            step = sum(federation.weight(k) * counted[k] for k in own) / (sum(map(federation.weight, own)) or 1.0)
            for client in own:  # their mean is then the move of the group
                if step:
                    federation.state.sent[client] = {n: np.asarray(v / step, np.float32) for n, v in change.items()}
            federation.aggregate({client: arrivals[client] for client in own}, factors)
            if change and not step:
                federation.move([Arrival(-1, change, 1.0)])

    def _moves(self, order: Sequence[int], counted: Mapping[int, float]) -> dict[Family, NDArray[np.float32]]:
        """The mean change of each family that anything came of; in order of client, in float64."""
        total = dict[Family, NDArray[np.float64]]()
        known = dict[Family, NDArray[np.float64]]()
        for client in order:
            member, weight = self._of[client], self.weight(client)
            for name, value in self._federation(member).state.sent[client].items():
                family = self._families[member.name][name]
                shape = self._shapes[family]
                if family not in total:
                    total[family], known[family] = np.zeros(shape), np.zeros(shape)
                corner = tuple(slice(size) for size in value.shape)
                total[family][corner] += weight * counted[client] * value.astype(np.float64)
                known[family][corner if self._fill == "renormalise" else ...] += weight
        return {
            family: np.divide(value, known[family], out=np.zeros_like(value), where=known[family] > 0).astype(
                np.float32
            )
            for family, value in total.items()
        }

    def _cut(self, member: Member, whole: Mapping[Family, NDArray[np.float32]], like: Params) -> Params:
        """The part of families' arrays that a group has, of those that are there."""
        families = self._families[member.name]
        return {
            name: np.ascontiguousarray(whole[families[name]][tuple(slice(size) for size in value.shape)])
            for name, value in like.items()
            if families[name] in whole
        }

    def diagnostics(self) -> dict[str, Any]:
        """Of all groups together, but for a covariance within groups, which none are any more."""
        return super().diagnostics() | {"e_cov": None}
