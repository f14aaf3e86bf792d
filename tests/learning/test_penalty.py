"""SOFT's penalty through the tensor library that differentiates it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wfl_sim.methods.soft import Soft

LAMBDA = 0.37
DOUBLE = 1e-12  # sums of some tens of float64 products


def factors(seed, rank=4):
    random = np.random.default_rng(seed)
    return tuple(torch.tensor(random.standard_normal(shape), requires_grad=True) for shape in ((rank, 9), (7, rank)))


def off_diagonal(gram):
    return gram - np.diag(np.diag(gram))


@pytest.mark.parametrize("seed", range(3))
def test_value_and_gradients_are_those_of_the_formula(seed):
    """2 lambda offdiag(A A^T) A, and 2 lambda B offdiag(B^T B)."""
    a, b = factors(seed)
    penalty = Soft(orthogonality=LAMBDA).regulariser()(a, b)
    penalty.backward()
    row, column = a.detach().numpy(), b.detach().numpy()
    gram_a, gram_b = off_diagonal(row @ row.T), off_diagonal(column.T @ column)
    assert penalty.item() == pytest.approx(LAMBDA / 2 * (np.sum(gram_a**2) + np.sum(gram_b**2)), rel=DOUBLE)
    np.testing.assert_allclose(a.grad.numpy(), 2 * LAMBDA * gram_a @ row, rtol=DOUBLE, atol=DOUBLE)
    np.testing.assert_allclose(b.grad.numpy(), 2 * LAMBDA * column @ gram_b, rtol=DOUBLE, atol=DOUBLE)


def test_gradients_are_those_of_finite_differences():
    assert torch.autograd.gradcheck(Soft(orthogonality=LAMBDA).regulariser(), factors(3))


def test_orthogonal_factors_of_any_length_cost_nothing():
    """Lengths are powers of two, so that the Gram matrices are diagonal exactly."""
    a = torch.diag(torch.tensor([4.0, 0.5, 1.0])) @ torch.eye(3, 8)
    b = torch.eye(6, 3) @ torch.diag(torch.tensor([2.0, 0.0, 8.0]))
    a.requires_grad_()
    b.requires_grad_()
    penalty = Soft(orthogonality=LAMBDA).regulariser()(a, b)
    penalty.backward()
    assert penalty.item() == 0.0
    assert not a.grad.any()
    assert not b.grad.any()


def test_one_component_has_nothing_to_be_orthogonal_to():
    assert Soft(rank=1, orthogonality=LAMBDA).regulariser()(*factors(0, rank=1)).item() == 0.0
