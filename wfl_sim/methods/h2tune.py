"""H2Tune: clients with other backbones, depths and tasks share small square matrices, and keep all else.

Knows arrays and options; how a client trains is in `wfl_sim.learning.triples`, what is sent in `wfl_sim.shapework`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from channels.units import NonNegative
from wfl_sim.contracts import Params
from wfl_sim.methods.base import Adapter, Arrival, NothingElse, Product, Role, add_weighted
from wfl_sim.methods.lora import Lora

# Arrays of a client besides those of its layers: G as received, D, Z, and whether it has trained before.
SHAPE, DELTA, ALIGNMENT, BEGUN = "shape", "delta", "alignment", "begun"


@dataclass(frozen=True)
class Triple(NothingElse):
    """Three matrices in place of LoRA's two: dW = (alpha / rank) B (T + I) A, where T is part of a shared S [R, R].

    A and B are as in `Adapter`. ``Q`` [largest, largest] scores the entries of S, of which the rank^2 best, row by row,
    are T. Its first values fall from the upper left corner on, so that at first T is the corner of S.
    """

    rank: int
    alpha: float
    init: Literal["orthonormal", "kaiming"]
    roles: tuple[Role, ...] = ("query", "value")
    largest: int = 0  # rank of any client; 0: no other has a larger one

    @property
    def size(self) -> int:
        """R: rows and columns of S."""
        return max(self.largest, self.rank)

    @property
    def lora(self) -> Adapter:
        """The adapter without T."""
        return Adapter(self.rank, self.alpha, self.init, self.roles)

    def shapes(self, outputs: int, inputs: int) -> dict[str, tuple[int, ...]]:
        return {**self.lora.shapes(outputs, inputs), "Q": (self.size, self.size)}

    def first(self, outputs: int, inputs: int, random: np.random.Generator) -> Params:
        places = np.arange(self.size)
        corner = np.maximum(places[:, None], places) / self.size
        scores = np.asarray(FIRST_SCORES * (1.0 - corner), np.float32)
        return {**self.lora.first(outputs, inputs, random), "Q": scores}

    def products(self, rows: float, outputs: int, inputs: int, needed: bool) -> list[Product]:
        down, up = self.lora.products(rows, outputs, inputs, needed)
        return [down, (rows, self.rank, self.rank, 2), up]

    def most_rank(self, width: int) -> tuple[int, str]:
        return width, "the width of the layers"


FIRST_SCORES = 0.05  # the best of the first scores: a few steps of an optimiser at 0.01 change which are best


@dataclass(frozen=True, kw_only=True)
class H2Tune(Lora):
    """Clients with unlike backbones, depths and tasks tune together through shared square matrices.

    A reconstruction. Each adapted layer has LoRA's A and B, which stay with the client, and between them a matrix T
    that is part of what all share. A rank r_i of the client's group (`learning.groups`) says how much of it.

    Formula
    -------
    Client i has L_i layers of M adapted modules and the rank r_i; R = max r_i, L_max = max L_i::

        y = W0 x + (alpha / r_i) B (T + I) A x,    T = S_P (1 + Q_P - stop(Q_P))

    P are the r_i^2 largest entries of the scores Q, chosen anew each round; stop() has no gradient, so that Q learns
    as if it weighted them. The server's G [L_max, M, R, R] becomes the client's S by shares Psi, the softmax over g of
    Z [L_max, L_i], which begins as -(g / (L_max - 1) - l / (L_i - 1))^2 / 0.02::

        S_l = sum_g Psi[g, l] G[g] + D_l,                          D = 0 at the start of a round
        G_i[g] = sum_l Psi[g, l] S_l / sum_l Psi[g, l]
        G[g] <- sum_i w_i sum_l Psi_i[g, l] G_i[g] / sum_i w_i sum_l Psi_i[g, l]

    A client's first round trains all at once. From its second on each batch is used twice: for D, Q and Z with the
    loss + norm |T|_F + consistency KL(softmax T before the round || softmax T), then for A, B and the head with the
    loss + consistency KL(softmax of the logits of the first pass || softmax of those now). Norms and divergences of T
    are means over its modules.

    An upload is ``dense``, the L_max M R^2 values of G_i and the L_max sums of its shares; or ``sparse``, the entries
    of D in P (L_i M r_i^2, or a share of them with the largest magnitude), a mask of L_i M R^2 bits and Psi, from which
    the server works out G_i for itself. A download is the change of G. Values are written by the codec, which must be
    `dense`.

    Validity
    --------
    Tasks with classes. Adapted modules must be as many in a block of each backbone. A batch costs two steps, and
    counted work says so, of the first round too, in which it is one. G begins as 0, so that the first round is one of
    plain LoRA, B = 0 the pre-trained model. What a sparse upload leaves out is forgotten, and so is what is lost on the
    air of the shared part; A, B, Q and Z keep what they learnt. Clients are trained in one process. The file of the
    model holds what the server has: G and heads.

    Source
    ------
    arXiv:2507.22633, of which the decomposition, private masks and alignment, and the two kinds of steps are. Own,
    where its public description leaves gaps: the gradient of the mask, first values of Q, Z and G, D, the normalised
    fold, the weights of the two terms, what becomes of heads, and both payloads.

    Options
    -------
    payload : What an upload consists of: all of the ``dense`` folded matrices, or the ``sparse`` entries that the
        client has trained, at some share of them that the schedule chooses.
    head : Whether task heads are averaged over the clients of a ``group``, and counted in both directions, or
        ``private``: each client keeps its own.
    norm : Weight of the mean norm of T. Larger: less is shared.
    consistency : Weight of both divergences. Larger: steps of one kind disturb less what the others have learnt.
    tested : On which held-out examples a client's own model is judged: its ``part``, or ``all`` (see `local_only`).
    """

    own_coding: ClassVar[bool] = True  # of uploads: see `wfl_sim.shapecode`
    passes: ClassVar[int] = 2  # of a batch, in steps of training

    kind: Literal["h2tune"] = "h2tune"
    payload: Literal["dense", "sparse"] = "sparse"
    head: Literal["group", "private"] = "group"
    norm: NonNegative = 0.01
    consistency: NonNegative = 1.0
    tested: Literal["part", "all"] = "part"

    def adapter(self) -> Triple:  # type: ignore[override]
        return Triple(self.rank, self.counted_alpha, self.init, self.adapt)

    def personal(self, names: Sequence[str]) -> frozenset[str]:
        """All but heads, where these are averaged; what is shared besides is no tensor of a client's layers."""
        return frozenset(name for name in names if self.head == "private" or not name.startswith("head."))

    def aggregate(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        """Of heads; G is merged by `alignment.mean_change`."""
        return add_weighted(model, arrivals)
