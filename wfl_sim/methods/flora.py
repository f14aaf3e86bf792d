"""FLoRA: the clients' adapters are stacked, which adds them exactly, and merged into the layers (arXiv:2409.05976).

Knows arrays only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from wfl_sim.contracts import Params
from wfl_sim.methods import exact
from wfl_sim.methods.base import Arrival, in_order, pairs_of


@dataclass(frozen=True, kw_only=True)
class Flora(exact.Exact):
    """LoRA adapters stacked, merged into the layers, and begun anew (FLoRA).

    The task head is averaged as ever.

    Formula
    -------
    For each adapted layer, with w_k the client's share of the data among the updates that arrived::

        W <- W + (alpha / rank) [B_1 ... B_K] [w_1 A_1; ...; w_K A_K],    then A drawn anew, B = 0

    The server broadcasts both stacks, K rank (m + n) values a layer without the components that are 0, or their product
    where that has fewer. Who missed a round is sent W whole, without A and B.

    Validity
    --------
    The global model is the weighted mean of the clients' models, exactly but for the rounding of values; downlinks grow
    with the number of arrivals. What a client could not send means nothing to the fresh adapters: it is forgotten, but
    for the head's, and codecs with error feedback do not fit. A device adds W to its layer once a round, so its step
    costs what it costs with ``fedavg``.

    Source
    ------
    FLoRA, Wang et al. 2024, arXiv:2409.05976. A reconstruction: the fresh A is drawn from the seed and the version of
    the model, so that all draw the same; the averaged head, and the product where it is smaller, are our own.
    """

    renews: ClassVar[bool] = True
    begins_anew: ClassVar[bool] = True

    kind: Literal["flora"] = "flora"

    def broadcast(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        arrays = exact.plain_changes(model, arrivals, exact.outside(model))
        for pair in pairs_of(model):
            blocks: exact.Factors = ([], [])
            for arrival in in_order(arrivals):
                a, b, change_a, change_b = exact.factors_of(arrival, model, pair)
                blocks[0].append(change_b)
                blocks[1].append(arrival.weight * (a + change_a))
                if b.any():  # B' A' - B A = dB A' + B dA; in a run B begins as 0
                    blocks[0].append(b)
                    blocks[1].append(arrival.weight * change_a)
            arrays |= exact.added(pair[0], blocks, model)
        return arrays

    def broadcast_shapes(self, shapes: Mapping[str, tuple[int, ...]], arrivals: int) -> exact.Shapes:
        """The shapes of the largest broadcast, for so many arrivals."""
        pairs = {name for pair in pairs_of(shapes) for name in pair}
        plain = {name: shape for name, shape in shapes.items() if name not in pairs}
        return plain | self._largest(shapes, arrivals * self.rank)
