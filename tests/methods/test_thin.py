"""SOFT's penalty and its gradients never form an m x n product: every tensor that is made is looked at."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from wfl_sim.methods.soft import Soft

M, N, RANK = 37, 53, 4


class Sizes(TorchDispatchMode):
    """Numbers in the largest tensor that anything made."""

    def __init__(self):
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for made in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(made, torch.Tensor):
                self.largest = max(self.largest, made.numel())
        return result


def largest_of(work):
    a, b = torch.ones(RANK, N, requires_grad=True), torch.ones(M, RANK, requires_grad=True)
    with Sizes() as sizes:
        work(a, b).sum().backward()
    return sizes.largest


def test_the_penalty_stays_thin():
    assert largest_of(Soft(orthogonality=0.1).regulariser()) == RANK * N


def test_a_product_would_have_been_seen():
    assert largest_of(lambda a, b: b @ a) == M * N
