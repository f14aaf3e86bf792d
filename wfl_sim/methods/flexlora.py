"""FlexLoRA: products B A are averaged exactly, and cut back to the rank of the adapters (arXiv:2402.11505).

Knows arrays only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from wfl_sim.contracts import Params
from wfl_sim.methods import exact, factors
from wfl_sim.methods.base import Adapter, Arrival, add_weighted, in_order, pairs_of
from wfl_sim.methods.lora import Lora


@dataclass(frozen=True, kw_only=True)
class FlexLora(Lora):
    """LoRA adapters whose products are averaged, and cut to the rank (FlexLoRA).

    The task head is averaged as ever.

    Formula
    -------
    For each adapted layer, with w_k the client's share of the data among the updates that arrived::

        P = sum_k w_k B_k A_k = U S V^T,    A <- c V_r^T,    B <- U_r S_r / c

    U_r, S_r, V_r are the largest `rank` parts, and c the length with which rows of A begin. From thin factors this
    takes two QR decompositions, without P.

    Validity
    --------
    The best model of that rank (Eckart-Young): exact if the mean of the products has no higher one. What a client could
    not send means nothing in the new factors: it is forgotten, but for the head's, and codecs with error feedback do
    not fit.

    Source
    ------
    FlexLoRA, Bai et al. 2024, arXiv:2402.11505, with one rank for all clients. A reconstruction: that A has orthonormal
    rows times c, which keeps the pace at which B learns.
    """

    merges_products: ClassVar[bool] = True
    renews: ClassVar[bool] = True

    kind: Literal["flexlora"] = "flexlora"

    def aggregate(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        merged = add_weighted(model, arrivals)
        order = in_order(arrivals)
        if not order:
            return merged
        scale = Adapter(self.rank, self.counted_alpha, self.init, self.adapt).scale_a
        for pair in pairs_of(model):
            a, b = pair
            mean_a, left, right = model[a].astype(float), [model[b].astype(float)], list[np.ndarray]()
            for arrival in order:
                own_a, own_b, change_a, change_b = exact.factors_of(arrival, model, pair)
                left.append(arrival.weight * change_b)
                right.append(own_a + change_a)
                if arrival.base is None:
                    mean_a = mean_a + arrival.weight * change_a
                else:
                    left.append(arrival.weight * own_b)
                    right.append(change_a)
            new = factors.cut(np.concatenate(left, axis=1), np.concatenate([mean_a, *right]), len(model[a]), scale)
            merged[a], merged[b] = (x.astype(np.float32) for x in new)
        return merged
