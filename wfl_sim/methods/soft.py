"""SOFT: FedAvg of LoRA adapters whose rank components are kept near orthogonal while they train.

Knows arrays; what is then sent is chosen by the ``components`` codec.

A reconstruction of the local objective of Kim & Choi, arXiv:2505.00333, whose abstract says that near
orthogonality is imposed on the factors so that norms of rank components can stand in for singular values.
The penalty leaves the norms free (its diagonal is taken out): pulling both Gram matrices to the identity
would make every norm 1 and the scores empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from channels.units import NonNegative
from wfl_sim.methods.base import Regulariser
from wfl_sim.methods.fedavg import FedAvg


@dataclass(frozen=True, kw_only=True)
class Soft(FedAvg):
    """FedAvg of LoRA adapters whose rank components are kept near orthogonal (SOFT).

    What is then sent is chosen by the codec; ``components`` is the one that SOFT goes with. The penalty leaves the
    norms of the components free, so that they can serve as scores.

    Formula
    -------
    Each client minimises its own loss F_k plus a penalty over its adapters l::

        F_k + (lambda / 2) sum_l (|offdiag(A_l A_l^T)|_F^2 + |offdiag(B_l^T B_l)|_F^2)

    The penalty takes O(r^2 (m + n)) operations a layer; the averaging is that of ``fedavg``.

    Validity
    --------
    If the rows of A and the columns of B are orthogonal, |b_i| |a_i| are the singular values of B A, and the largest
    components are its best approximation (Eckart-Young). They are only nearly so; the trace logs how nearly as
    coherence_a and coherence_b.

    Source
    ------
    A reconstruction of the local objective of Kim and Choi, arXiv:2505.00333, whose abstract says that near
    orthogonality is imposed on the factors so that norms of rank components can stand in for singular values.

    Options
    -------
    orthogonality : Weight lambda of the penalty; 0 switches it off. Larger: nearer to orthogonal, at the price of
        accuracy if too large.
    """

    kind: Literal["soft"] = "soft"  # type: ignore[assignment]
    orthogonality: NonNegative = 0.01

    def regulariser(self) -> Regulariser | None:
        return self._penalty if self.orthogonality > 0 else None

    def _penalty(self, a: Any, b: Any) -> Any:
        return 0.5 * self.orthogonality * (_off_diagonal_energy(a @ a.mT) + _off_diagonal_energy(b.mT @ b))


def _off_diagonal_energy(gram: Any) -> Any:
    """|offdiag(gram)|_F^2; its gradient through gram = A A^T is 4 offdiag(A A^T) A."""
    return (gram - gram.diagonal(dim1=-2, dim2=-1).diag_embed()).square().sum((-2, -1))
