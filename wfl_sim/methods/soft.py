"""SOFT: FedAvg of LoRA adapters whose rank components are kept near orthogonal while they train.

Knows arrays; what is then sent is chosen by the ``components`` codec.

A reconstruction of the local objective of Kim & Choi, arXiv:2505.00333, whose abstract says that near
orthogonality is imposed on the factors so that norms of rank components can stand in for singular values.
The penalty leaves the norms free (its diagonal is taken out): pulling both Gram matrices to the identity
would make every norm 1 and the scores empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from channels.units import NonNegative
from wfl_sim.contracts import FloatArray, Params
from wfl_sim.methods import factors
from wfl_sim.methods.base import Adapter, Arrival, Regulariser, add_weighted, in_order, pairs_of
from wfl_sim.methods.fedavg import FedAvg

# Added to the product of two squared norms: a B that begins as zeros has no cosines, and a gradient all the same.
NO_NORM = 1e-12


@dataclass(frozen=True, kw_only=True)
class Soft(FedAvg):
    """FedAvg of LoRA adapters whose rank components are kept near orthogonal (SOFT).

    What is then sent is chosen by the codec; ``components`` is the one that SOFT goes with. The penalty leaves the
    norms of the components free, so that they can serve as scores.

    Formula
    -------
    Each client minimises its own loss F_k plus a penalty over its adapters l::

        F_k + (lambda / 2) sum_l (|offdiag(A_l A_l^T)|_F^2 + |offdiag(B_l^T B_l)|_F^2)

    With ``offdiag_cosine`` the entries of both Gram matrices are cosines; with ``identity`` the first term is
    |A_l A_l^T - s I|_F^2, s the squared length with which rows of A begin. The penalty takes O(r^2 (m + n)) operations
    a layer; the averaging is that of ``fedavg``. With fill ``renormalise``, of each component::

        a_i <- a_i + sum_k w_k da_k,i / sum_k w_k    over those k of which component i arrived, and b_i likewise

    With basis ``server``, after each averaging, from thin QR and an r x r SVD, B A = (U S / c) (c V^T)::

        A <- c V^T,    B <- U S / c,    that is A <- T A, B <- B T^-1 with a matrix T [r, r]

    Server and clients all work T out from the model that was broadcast. What waits at a client for the next round is
    carried over by the same T; a client that missed a round is sent T (32 bits a value) with the whole model.

    Validity
    --------
    If the rows of A and the columns of B are orthogonal, |b_i| |a_i| are the singular values of B A, and the largest
    components are its best approximation (Eckart-Young). They are only nearly so; the trace logs how nearly as
    coherence_a and coherence_b. With basis ``server`` they are so exactly at the start of each round. A component
    counts as arrived if any of its values is not 0. An A whose rows nearly depend on each other keeps its basis.

    Source
    ------
    A reconstruction of the local objective of Kim and Choi, arXiv:2505.00333, whose abstract says that near
    orthogonality is imposed on the factors so that norms of rank components can stand in for singular values. The
    other penalties, the fill and the basis of the server are our own.

    Options
    -------
    orthogonality : Weight lambda of the penalty; 0 switches it off. Larger: nearer to orthogonal, at the price of
        accuracy if too large.
    penalty : What is kept small: ``offdiag`` entries of the Gram matrices, their cosines (``offdiag_cosine``, whatever
        the lengths), or for A the distance to ``identity`` times its first scale, which fixes the lengths too.
    fill : Who did not send a component counts with no change of it (``zero``), or not at all (``renormalise``).
    basis : Components stay ``as_trained``, or the ``server`` makes them those of the singular value decomposition of
        B A after each aggregation, which leaves the model as it is and the coherence 0.
    """

    kind: Literal["soft"] = "soft"  # type: ignore[assignment]
    orthogonality: NonNegative = 0.01
    penalty: Literal["offdiag", "offdiag_cosine", "identity"] = "offdiag"
    fill: Literal["zero", "renormalise"] = "zero"
    basis: Literal["as_trained", "server"] = "as_trained"

    def regulariser(self) -> Regulariser | None:
        return self._penalty if self.orthogonality > 0 else None

    def aggregate(self, model: Params, arrivals: Sequence[Arrival]) -> Params:
        return add_weighted(model, arrivals) if self.fill == "zero" else _renormalised(model, arrivals)

    def turn(self, model: Params) -> dict[str, FloatArray]:
        """Maps T into the basis of singular vectors, by the name of A; none if components stay as trained."""
        if self.basis == "as_trained":
            return {}
        scale = self._lora().scale_a
        maps = {a: factors.singular_basis(model[a], model[b], scale) for a, b in pairs_of(model)}
        return {name: value for name, value in maps.items() if value is not None}

    def _lora(self) -> Adapter:
        return Adapter(self.rank, self.counted_alpha, self.init, self.adapt)

    def _penalty(self, a: Any, b: Any) -> Any:
        gram_a, gram_b = a @ a.mT, b.mT @ b
        if self.penalty == "offdiag_cosine":
            energy = _cosine_energy(gram_a) + _cosine_energy(gram_b)
        elif self.penalty == "identity":
            ones = gram_a.new_ones(gram_a.shape[-1]).diag()
            energy = (gram_a - self._lora().scale_a ** 2 * ones).square().sum((-2, -1)) + _off_diagonal_energy(gram_b)
        else:
            energy = _off_diagonal_energy(gram_a) + _off_diagonal_energy(gram_b)
        return 0.5 * self.orthogonality * energy


def _off_diagonal_energy(gram: Any) -> Any:
    """|offdiag(gram)|_F^2; its gradient through gram = A A^T is 4 offdiag(A A^T) A."""
    return (gram - gram.diagonal(dim1=-2, dim2=-1).diag_embed()).square().sum((-2, -1))


def _cosine_energy(gram: Any) -> Any:
    """The sum of squared cosines between distinct vectors, each pair twice."""
    squares = gram.diagonal(dim1=-2, dim2=-1)
    other = gram - squares.diag_embed()
    return (other.square() / (squares[..., :, None] * squares[..., None, :] + NO_NORM)).sum((-2, -1))


def _renormalised(model: Params, arrivals: Sequence[Arrival]) -> Params:
    """`add_weighted`, with the sums of each rank component divided by the weight that arrived with it."""
    merged = add_weighted(model, arrivals)
    for a, b in pairs_of(model):
        weight = np.zeros(len(model[a]))
        sum_a, sum_b = np.zeros(model[a].shape), np.zeros(model[b].shape)
        for arrival in in_order(arrivals):
            change_a, change_b = arrival.change[a].astype(float), arrival.change[b].astype(float)
            weight += arrival.weight * (change_a.any(axis=1) | change_b.any(axis=0))
            sum_a += arrival.weight * change_a
            sum_b += arrival.weight * change_b
        share = np.where(weight > 0, weight, 1.0)
        merged[a] = (model[a] + sum_a / share[:, None]).astype(np.float32)
        merged[b] = (model[b] + sum_b / share).astype(np.float32)
    return merged
