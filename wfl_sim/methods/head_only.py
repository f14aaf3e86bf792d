"""Head only: the backbone stays as it was pre-trained, and the task head alone is trained and sent.

The floor of every comparison: an adapter that does not beat it has bought nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from channels.options import Options
from wfl_sim.contracts import Params
from wfl_sim.methods.base import Adapter, Arrival, Regulariser, add_weighted


@dataclass(frozen=True)
class HeadOnly(Options):
    """FedAvg of the task head on frozen features: the floor of every comparison.

    There is no adapter, so every codec sends the head whole.

    Formula
    -------
    head <- head + sum_k w_k dhead_k, with w_k the client's share of the data among the updates that arrived.

    Validity
    --------
    Shows what the pre-trained features give by themselves: an adapter that does not beat it has bought nothing.

    Source
    ------
    McMahan et al. 2017, arXiv:1602.05629, with all but the last layer frozen.
    """

    kind: Literal["head_only"] = "head_only"

    def adapter(self) -> Adapter | None:
        return None

    def regulariser(self) -> Regulariser | None:
        return None

    def aggregate(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        return add_weighted(model, arrivals)
