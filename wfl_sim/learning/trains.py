"""Tensor trains of many clients side by side: factors become matrices.

Knows stacked tensors [K, bond, mode, bond] only.

Libraries know one tensor train at a time. FedTT's adapter of 768 forward and backward, CPU time over ours: tensorly's
whole matrices 1.9 to 2.4, tensorly-torch's own contraction 2.6; tensorly told to rebuild the thin matrices that
`wfl_sim.learning.adapters` uses 1.06, but of ten clients side by side 3.2, or 1.6 by torch's vmap
(`benchmarks/tensor_trains.py`). So it is no dependency.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def joined(factors: Sequence[Tensor]) -> Tensor:
    """A chain of factors [K, bond, mode, bond], contracted over the bonds between them."""
    whole = factors[0]
    for factor in factors[1:]:
        clients, bond = factor.shape[:2]
        whole = torch.bmm(whole.reshape(clients, -1, bond), factor.reshape(clients, bond, -1))
    return whole


def matrix(factors: Sequence[Tensor]) -> Tensor:
    """The square matrices [K, n, n] of tensor trains whose first half of modes is that of the rows."""
    clients, middle = factors[0].shape[0], len(factors) // 2
    bond = factors[middle].shape[1]
    left, right = joined(factors[:middle]), joined(factors[middle:])
    return torch.bmm(left.reshape(clients, -1, bond), right.reshape(clients, bond, -1))
