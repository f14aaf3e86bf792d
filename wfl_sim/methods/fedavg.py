"""FedAvg of LoRA adapters: A and B are averaged separately (FedIT, arXiv:2305.05644).

Knows arrays only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from wfl_sim.contracts import Params
from wfl_sim.methods.base import Arrival, add_weighted
from wfl_sim.methods.lora import Lora


@dataclass(frozen=True, kw_only=True)
class FedAvg(Lora):
    """FedAvg of LoRA adapters, A and B averaged separately.

    Adapters sit on the layers that `adapt` names; the task head is averaged along with them.

    Formula
    -------
    With dW = (alpha / rank) B A added to each adapted weight::

        A <- A + sum_k w_k dA_k,    B <- B + sum_k w_k dB_k

    w_k is the client's share of the data among the updates that arrived.

    Validity
    --------
    mean(B) mean(A) differs from mean(B A) by the covariance of the factors, which the trace logs as e_cov; it grows as
    clients drift apart. B is 0 at the start, so the first model is the pre-trained one.

    Source
    ------
    FedIT, arXiv:2305.05644; the averaging: McMahan et al. 2017, arXiv:1602.05629; the adapters: Hu et al. 2021,
    arXiv:2106.09685.
    """

    aliases: ClassVar[tuple[str, ...]] = ("fedit",)

    kind: Literal["fedavg"] = "fedavg"

    def aggregate(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        return add_weighted(model, arrivals)
