"""FedAvg of LoRA adapters: A and B are averaged separately (FedIT, arXiv:2305.05644).

Knows arrays only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from channels.options import Options, at_least
from wfl_sim.contracts import Params
from wfl_sim.methods.base import Adapter, Arrival, Regulariser, add_weighted


@dataclass(frozen=True)
class FedAvg(Options):
    """FedAvg of LoRA adapters, A and B averaged separately.

    A <- A + sum_k w_k dA_k, B <- B + sum_k w_k dB_k, with w_k the share of the data (McMahan et al. 2017).
    mean(B) mean(A) differs from mean(B A) by the covariance of the factors, which the trace logs as e_cov.
    """

    kind: Literal["fedavg"] = "fedavg"
    rank: int = 8
    alpha: int = 16
    init: Literal["orthonormal", "kaiming"] = "orthonormal"

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "rank", "alpha")

    def adapter(self) -> Adapter | None:
        return Adapter(self.rank, self.alpha, self.init)

    def regulariser(self) -> Regulariser | None:
        return None

    def aggregate(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        return add_weighted(model, arrivals)
