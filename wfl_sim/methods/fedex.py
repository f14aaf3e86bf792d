"""FedEx-LoRA: A and B are averaged, and what that misses of the mean of their products goes to the layer.

Knows arrays only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from wfl_sim.contracts import Params
from wfl_sim.methods import exact
from wfl_sim.methods.base import Arrival, in_order, pairs_of

WHOLE = 1e-9  # weights that sum to 1 within this are shares: one client's part follows from the others'


@dataclass(frozen=True, kw_only=True)
class FedEx(exact.Exact):
    """FedAvg of LoRA adapters, with what it misses added to the layers (FedEx-LoRA).

    The task head is averaged as ever.

    Formula
    -------
    For each adapted layer, with w_k the client's share of the data among the updates that arrived::

        A <- Abar = sum_k w_k A_k,    B <- Bbar = sum_k w_k B_k
        W <- W + (alpha / rank) (sum_k w_k B_k A_k - Bbar Abar)

    The server broadcasts the changes of A and B, and the residual as factors of rank (K - 1) rank, or as a product
    where that has fewer values::

        sum_k w_k B_k A_k - Bbar Abar = sum_(k<K) w_k (B_k - B_K) (A_k - Abar)

    Validity
    --------
    The global model is the weighted mean of the clients' models, exactly but for the rounding of values; downlinks grow
    with the number of arrivals. Who missed a round is sent W whole. A and B go on as with ``fedavg``, so that error
    feedback means the same. A device adds the residual to its layer once a round, so its step costs what it costs with
    ``fedavg``.

    Source
    ------
    FedEx-LoRA, Singhal et al., arXiv:2410.09432 (ACL 2025). A reconstruction: the factors of the residual; the product
    where it is smaller is our own.
    """

    kind: Literal["fedex"] = "fedex"

    def broadcast(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        averaged = [*(name for pair in pairs_of(model) for name in pair), *exact.outside(model)]
        arrays = exact.plain_changes(model, arrivals, averaged)
        order = in_order(arrivals)
        shares = abs(sum(arrival.weight for arrival in order) - 1.0) < WHOLE
        for pair in pairs_of(model):
            held = [exact.factors_of(arrival, model, pair) for arrival in order]
            mean_a = sum(
                (x.weight * own[2] for x, own in zip(order, held, strict=True)), np.zeros(model[pair[0]].shape)
            )
            left_out = held.pop()[3] if shares and all(x.base is None for x in order) else 0.0
            blocks: exact.Factors = ([], [])
            for arrival, (a, b, change_a, change_b) in zip(order, held, strict=False):
                # Of w (B'_k A'_k - B_k A_k), without what the means of the changes make of the current A and B.
                blocks[0].append(arrival.weight * (change_b - left_out))
                blocks[1].append(a - model[pair[0]] + change_a - mean_a)
                if arrival.base is not None:
                    blocks[0].append(arrival.weight * (b - model[pair[1]]))
                    blocks[1].append(change_a)
            arrays |= exact.added(pair[0], blocks, model)
        return arrays

    def broadcast_shapes(self, shapes: Mapping[str, tuple[int, ...]], arrivals: int) -> exact.Shapes:
        """The shapes of the largest broadcast, for so many arrivals that hold the current model."""
        return {**shapes, **self._largest(shapes, max(1, arrivals - 1) * self.rank)}
