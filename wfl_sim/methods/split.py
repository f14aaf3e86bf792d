"""Split training of LoRA adapters: the lower layers on each client, the upper ones on the server.

Knows arrays and options; how the halves are run is the business of `wfl_sim.learning.splitfederation`, and who talks
when that of the protocol ``split``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from channels.options import OptionError, Whole
from channels.units import Seconds
from wfl_sim.contracts import Params
from wfl_sim.methods.base import Arrival, add_weighted
from wfl_sim.methods.lora import Lora

Coding = Literal["int8", "fp16", "fp32"]
CODINGS: dict[str, int] = {"int8": 8, "fp16": 16, "fp32": 32}  # bits a value, in rising order


def coding_of(kept_fraction: float) -> str:
    """The name of the coding whose bits a value, over 32, that is; empty for none (0)."""
    return {bits / 32: name for name, bits in CODINGS.items()}.get(kept_fraction, "")


@dataclass(frozen=True, kw_only=True)
class Split(Lora):
    """Split training of LoRA adapters: lower layers on the clients, upper ones on one server model.

    Goes with the protocol ``split``. A client has the first layers with their adapters, and sends what leaves them; the
    server has one whole model, to which it attaches the upper adapters of the client that it serves, and a head for
    each. After `learning.local.steps` steps the adapters of both halves are joined, averaged and cut again.

    Formula
    -------
    With client u's adapters below (c) and above its cut l_u (s), joined to those of all L layers, and its share w_u of
    the data among those whose adapters arrived, for each layer::

        A <- A + sum_u w_u dA_u,    B <- B + sum_u w_u dB_u,    (A_u, B_u) from c for layers up to l_u, else from s

    Memory, with the weights W of the whole model, W_low(l) of what comes before layer l, and Act those numbers that a
    pass keeps for its gradient; LoRA has gradients and optimiser with it::

        client u:                W_low(l_u) + Act(l_u) + LoRA_u,c
        server, one model:       W + max_u Act(L - l_u) + sum_u LoRA_u,s
        server, one each:        sum_u (W_layers (1 - l_u / L) + Act(L - l_u) + LoRA_u,s)

    A way of a step carries B S h values, the batch's tokens without padding: in 32 bits; as halves of a common scale;
    or as whole numbers of 8 bits with a scale for each token, rounded at random without bias. The way up has labels,
    lengths and cut besides.

    Validity
    --------
    With 32 bits and nothing lost it is FedAvg of the whole adapters, step for step; tests hold it to that. Kept
    fractions of the menu are bits a value over 32, and its errors those of normal values: 2 ln(h) / (6 127^2) with 8
    bits, 2^-24 with 16. Act counts 8 h + m numbers a token and layer (14 h + 3 m in gated layers), m the inner width,
    an estimate beside which the manifest sets what was measured. The norm of a whole gradient is known to neither half,
    so that ``learning.local.clip_norm`` is refused. Codec ``dense`` carries the adapters, the server's never travel.

    Source
    ------
    A reconstruction of memory-efficient split federated learning, arXiv:2506.02940: layers sized to the device, one
    server model that serves one client after another, adapters joined and averaged every few steps. Own: codings of the
    activations, what is told of memory, and that a submodel each leaves the embeddings out.

    Options
    -------
    cut : How many of the first layers are on each client, from 1 to one less than the model has; left out, as many as
        fit its `clients.compute.memory` and `client_time`. ``wfl-sim validate`` tells who gets how many with the first
        seed.
    client_time_s : Longest computing of a client in a step, forward and backward, without jitter; left out, any. It
        limits the cut where that is left out. Larger: more layers on slow devices.
    codings : What activations and gradients may be coded as, in rising order of bits: the points of the menu.
    server_models : Whether the server has ``one`` model for all, or ``each`` client a submodel of its own (plain split
        learning): the same numbers, and another sum of memory.
    """

    kind: Literal["split"] = "split"
    cut: Annotated[int, Whole(ge=0, le=10**6)] | None = None  # what a model has is told by `wfl_sim.splitrules`
    client_time_s: Seconds | None = None
    codings: tuple[Coding, ...] = get_args(Coding)
    server_models: Literal["one", "each"] = "one"

    def __post_init__(self) -> None:
        super().__post_init__()
        if unknown := [name for name in self.codings if name not in CODINGS]:
            message = f"must be among {', '.join(CODINGS)}; got {unknown[0]!r}"
            raise OptionError(type(self).__name__, "codings", message)
        if not self.codings or list(self.codings) != [name for name in CODINGS if name in self.codings]:
            message = f"needs one or more of {', '.join(CODINGS)}, each once and in this order; got "
            raise OptionError(type(self).__name__, "codings", f"{message}[{', '.join(self.codings)}]")

    def aggregate(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        return add_weighted(model, arrivals)
