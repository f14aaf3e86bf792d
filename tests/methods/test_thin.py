"""SOFT's penalty never forms an m x n product: every tensor that is made is looked at.

A gradient has the shape of what it is the gradient of, so that what holds for the penalty holds for its gradients.
"""

from __future__ import annotations

import torch
from torch.overrides import TorchFunctionMode

from wfl_sim.methods.soft import Soft

M, N, RANK = 37, 53, 4


class Sizes(TorchFunctionMode):
    """Numbers in the largest tensor that anything made."""

    def __init__(self):
        super().__init__()
        self.largest = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.largest = max(self.largest, made.numel())
        return made


def largest_of(work):
    a, b = torch.ones(RANK, N), torch.ones(M, RANK)
    with Sizes() as sizes:
        work(a, b)
    return sizes.largest


def test_the_penalty_stays_thin():
    assert largest_of(Soft(orthogonality=0.1).regulariser()) == RANK * N


def test_a_product_would_have_been_seen():
    assert largest_of(lambda a, b: b @ a) == M * N
