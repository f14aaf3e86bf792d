"""FedAvg of LoRA adapters: A and B are averaged separately (FedIT, arXiv:2305.05644).

Knows arrays only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from channels.options import Count, Options, Whole
from wfl_sim.contracts import Params
from wfl_sim.methods.base import Adapter, Arrival, Regulariser, add_weighted


@dataclass(frozen=True)
class FedAvg(Options):
    """FedAvg of LoRA adapters, A and B averaged separately.

    Adapters sit on the query and value projections of the attention; the task head is averaged along with them.

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

    Options
    -------
    rank : Number of rank components of each adapter. Larger: more to learn with, and adapters whose
        payload grows in proportion.
    alpha : Scale of the adapters: they count alpha / rank times. Twice the rank is a common choice.
    init : First values of A: ``orthonormal`` rows, or ``kaiming``, uniform in +-1/sqrt(n), n the width of the layer.
    """

    kind: Literal["fedavg"] = "fedavg"
    rank: Annotated[int, Whole(ge=1, le=100_000)] = 8
    alpha: Count = 16
    init: Literal["orthonormal", "kaiming"] = "orthonormal"

    def adapter(self) -> Adapter | None:
        return Adapter(self.rank, self.alpha, self.init)

    def regulariser(self) -> Regulariser | None:
        return None

    def aggregate(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        return add_weighted(model, arrivals)
