"""FFA-LoRA: A is frozen and B alone is trained and averaged, which makes averaging exact (arXiv:2403.12313).

Knows arrays only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from wfl_sim.contracts import Params
from wfl_sim.methods.base import Adapter, Arrival, add_weighted
from wfl_sim.methods.lora import Lora


@dataclass(frozen=True, kw_only=True)
class Ffa(Lora):
    """FedAvg of LoRA adapters of which only B is trained (FFA-LoRA).

    A stays as the seed drew it, the same at all clients, and is never sent. The task head is trained and averaged along
    with B.

    Formula
    -------
    With dW = (alpha / rank) B A added to each adapted weight, and A the same for all::

        B <- B + sum_k w_k dB_k,    hence dW <- dW + (alpha / rank) sum_k w_k dB_k A

    w_k is the client's share of the data among the updates that arrived. For a layer of width n in and m out, an update
    holds rank m values instead of rank (m + n).

    Validity
    --------
    The mean of the products is the product of the means, so there is no e_cov; what can be learnt lies in the row space
    of the first A. With A of orthonormal rows every direction in it learns at the same pace. At twice the rank it sends
    about as much as ``fedavg``. There are no rank components to choose among: codecs are ``dense`` and ``topk``.

    Source
    ------
    Sun, Li, Li and Ding 2024, arXiv:2403.12313. Own: that the head is trained along with B.
    """

    kind: Literal["ffa"] = "ffa"

    def adapter(self) -> Adapter | None:
        adapter = super().adapter()
        return adapter and replace(adapter, freeze_a=True)

    def aggregate(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        return add_weighted(model, arrivals)
