"""Local only: each client trains adapters and head of its own, and nothing is averaged.

Knows names of tensors only; what becomes of clients' own models is the business of `wfl_sim.ownmodels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from wfl_sim.contracts import Params
from wfl_sim.methods.base import Arrival, add_weighted
from wfl_sim.methods.lora import Lora


@dataclass(frozen=True, kw_only=True)
class LocalOnly(Lora):
    """LoRA adapters and a head of each client's own, trained on its own data alone.

    In each round those who are called train on from where they stopped. On the air they get and send one byte.

    Formula
    -------
    The accuracy of a round is sum_k w_k accuracy_k: of each client's own model, weighted by its share of the data. With
    `tested: part` client number i of n is judged on the held-out examples i, i + n, i + 2 n and so on, so that all
    together cost as much as one model; with `all` each is judged on all of them.

    Validity
    --------
    What working together has to beat. A client that knows few classes is judged on all of them. With `part` the mean
    over the clients is the same but for noise, as if a single model were judged on the held-out examples. The file of
    the model holds means of the clients' tensors, which nobody uses.

    Source
    ------
    own: the baseline of every paper on federated learning.

    Options
    -------
    tested : On which held-out examples a client's model is judged: its ``part``, or ``all``, which takes as many times
        as long as there are clients, and leaves less noise.
    """

    own_models: ClassVar[bool] = True

    kind: Literal["local_only"] = "local_only"
    tested: Literal["part", "all"] = "part"

    def personal(self, names: Sequence[str]) -> frozenset[str]:
        """All tensors."""
        return frozenset(names)

    def aggregate(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        return add_weighted(model, arrivals)
