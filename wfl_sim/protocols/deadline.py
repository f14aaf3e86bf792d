"""Rounds with a deadline: what has arrived by then is aggregated, and who is late is dropped or carried on.

Knows who talks when; neither formulas nor tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from channels.options import OneOf
from channels.units import Quantity
from wfl_sim.protocols.rounds import Rounds
from wfl_sim.protocols.staleness import Constant, Hinge, Polynomial


@dataclass(frozen=True, kw_only=True)
class Deadline(Rounds):
    """Rounds with a deadline: what has arrived by then is aggregated, whoever is missing.

    A round ends at its deadline, and before it once nobody who was called in it is outstanding.

    Formula
    -------
    With the latency l of a transfer, and the clients k that are called::

        T = min(deadline, max_k (T_down,k + l + T_compute,k + T_upload,k + l))

    A carried update that arrives tau versions of the model after the one that its client had fetched counts
    s(tau), the weight of `staleness`, times its share among the arrivals::

        x <- x + sum_k w_k s(tau_k) change_k

    Validity
    --------
    The base station acts on what it knows: an upload has to end a latency before the deadline. It is taken to tell all
    who are late at once that they may stop. A carried upload keeps the band that it was granted, and counts as late at
    the end of each round that it outlasts; a download that is not through by the deadline is never carried on. If
    nobody is there, all are deferred or all are still busy, T = retry. A run ends early if nobody is there nor ever
    comes again.

    Source
    ------
    own: the rule. Aggregation at a deadline as in Bonawitz et al. 2019, arXiv:1902.01046, without their goal count;
    the weights: Xie, Koyejo and Gupta 2019, arXiv:1903.03934.

    Options
    -------
    deadline_s : How long a round lasts at most, from the downlink to the aggregation. Larger: fewer clients are late,
        and rounds are longer.
    late : What becomes of who is late. ``drop``: its computing or upload ends at the deadline; a change that was
        computed waits at the client, and one that was not never comes to be. ``carry``: it goes on and counts in the
        round in which it arrives; its client is not asked again before.
    staleness : What a carried update is worth.
    """

    kind: Literal["deadline"] = "deadline"
    deadline_s: Annotated[float, Quantity("s", ge=1e-6, le=1e9, example="2 s")]
    late: Literal["drop", "carry"] = "drop"
    staleness: Annotated[Constant | Polynomial | Hinge, OneOf()] = Polynomial()

    @property
    def limit_s(self) -> float:
        return self.deadline_s

    @property
    def carries(self) -> bool:
        return self.late == "carry"

    def factors(self, ages: Mapping[int, int]) -> dict[int, float] | None:
        if not any(ages.values()):
            return None
        return {client: self.staleness.weight(age) for client, age in ages.items()}
