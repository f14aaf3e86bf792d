"""FedTT: tensor-train adapters behind attention and feed-forward part, averaged factor by factor (arXiv:2410.13097).

Knows arrays and names only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal, get_args

from channels.options import Count, OptionError, Options, Whole
from wfl_sim.contracts import Params
from wfl_sim.methods.base import AnyAdapter, Arrival, Regulariser, Role, add_weighted
from wfl_sim.methods.tensortrain import TensorTrain


@dataclass(frozen=True, kw_only=True)
class Trains(Options):
    """Options of every method with tensor-train adapters.

    Options
    -------
    rank : The bonds between factors of a tensor train. Larger: more to learn with, and a payload that grows with its
        square.
    bottleneck : Width between the two matrices of an adapter. Larger: more to learn with; the payload hardly grows.
    adapt : Behind which linear layers of a block adapters stand, by what these do: ``output`` of the attention and
        ``down``, the last of the feed-forward part, are FedTT's.
    classifier : What reads the states of a classifier: a ``linear`` layer, or one behind a hidden layer of the same
        width, with tanh, whose matrix is a ``tensor_train`` of the same rank, as FedTT's.
    """

    rank: Annotated[int, Whole(ge=1, le=100_000)] = 5
    bottleneck: Count = 64
    adapt: tuple[Role, ...] = ("output", "down")
    classifier: Literal["linear", "tensor_train"] = "linear"

    def __post_init__(self) -> None:
        super().__post_init__()
        roles = get_args(Role)
        if not self.adapt or len(set(self.adapt)) < len(self.adapt):
            message = f"needs one role or more, each once; got [{', '.join(map(str, self.adapt))}]"
            raise OptionError(type(self).__name__, "adapt", message)
        if unknown := [role for role in self.adapt if role not in roles]:
            message = f"must be among {', '.join(roles)}; got {unknown[0]!r}"
            raise OptionError(type(self).__name__, "adapt", message)

    def adapter(self) -> AnyAdapter | None:
        return self.trains()

    def trains(self) -> TensorTrain:
        """What the adapters are."""
        return TensorTrain(self.rank, self.bottleneck, self.adapt, hidden_layer=self.classifier == "tensor_train")

    def regulariser(self) -> Regulariser | None:
        return None


@dataclass(frozen=True, kw_only=True)
class FedTt(Trains):
    """FedAvg of tensor-train adapters, factor by factor (FedTT).

    An adapter is a bottleneck, y = h + Up(gelu(Down(h))), behind a layer whose output is h. Both of its matrices are
    tensor trains with biases; the task head is averaged along with them.

    Formula
    -------
    A matrix of M x N, reshaped to k_1 x ... x k_d with the product M N, is a chain of factors G_i of r_(i-1) x k_i x
    r_i, where r_0 = r_d = 1 and all others are `rank`::

        values = sum_i r_(i-1) k_i r_i,    G_i <- G_i + sum_k w_k dG_i,k

    768 x 64 is [8, 8, 12, 8, 8] and 4096 x 64 is [16, 16, 16, 4, 4, 4]; other widths are three balanced factors, and
    other bottlenecks two. w_k is the client's share of the data among the updates that arrived.

    Validity
    --------
    The mean of the factors is not the mean of the matrices; ``fedtt_plus`` mends that. No factor begins at 0, so that
    the first model is not quite the pre-trained one. On small backbones FedTT sends about a third of what ``fedavg``
    does; with width and rank of that the gap grows. There are no rank components to choose among: codecs are ``dense``,
    ``topk`` and ``parts``.

    Source
    ------
    Ghiasvand et al. 2024 (FedTT), arXiv:2410.13097: adapters, shapes, averaging. Own: balanced factors of other widths,
    and the variance of the first values.

    Options
    -------
    norms : Whether the gains and shifts of the backbone's norms are trained and sent as well: two values a width for
        each, which is often more than all adapters have.
    """

    kind: Literal["fedtt"] = "fedtt"
    norms: bool = False

    def adapter(self) -> AnyAdapter | None:
        return replace(self.trains(), norms=self.norms)

    def aggregate(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        return add_weighted(model, arrivals)
