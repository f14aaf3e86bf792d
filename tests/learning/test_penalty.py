"""SOFT's penalty through the tensor library that differentiates it."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from wfl_sim.codecs.base import Layout, Update
from wfl_sim.codecs.components import Components
from wfl_sim.methods.base import Arrival
from wfl_sim.methods.soft import Soft
from wfl_sim.turning import turned

LAMBDA = 0.37
DOUBLE = 1e-12  # sums of some tens of float64 products

every = pytest.mark.parametrize("penalty", ["offdiag", "offdiag_cosine", "identity"])


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


@every
@pytest.mark.parametrize("init", ["orthonormal", "kaiming"])
def test_gradients_are_those_of_finite_differences(penalty, init):
    regulariser = Soft(orthogonality=LAMBDA, penalty=penalty, init=init).regulariser()
    assert torch.autograd.gradcheck(regulariser, factors(3))


@every
def test_a_b_of_zeros_has_a_finite_gradient(penalty):
    """As every run begins."""
    a, b = factors(3)
    b.data.zero_()
    Soft(orthogonality=LAMBDA, penalty=penalty).regulariser()(a, b).backward()
    assert torch.isfinite(a.grad).all() and not b.grad.any()


@pytest.mark.parametrize("seed", range(2))
def test_cosines_ignore_lengths_and_are_those_of_the_coherence(seed):
    a, b = factors(seed)
    regulariser = Soft(orthogonality=2.0, penalty="offdiag_cosine").regulariser()
    lengths = torch.tensor([0.5, 2.0, 10.0, 300.0], dtype=torch.float64)
    # NO_NORM beside products of squared norms of about 1
    assert regulariser(a * lengths[:, None], b * lengths).item() == pytest.approx(regulariser(a, b).item(), rel=1e-9)
    unit_a, unit_b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=0)
    wanted = sum(np.sum(off_diagonal(x.detach().numpy()) ** 2) for x in (unit_a @ unit_a.T, unit_b.T @ unit_b))
    assert regulariser(a, b).item() == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("init", ["orthonormal", "kaiming"])
def test_identity_is_the_distance_to_the_scale_of_the_first_a(init):
    soft = Soft(rank=4, orthogonality=2.0, penalty="identity", init=init)
    squared = 1.0 if init == "orthonormal" else 1 / 3
    a, b = factors(1)
    row, column = a.detach().numpy(), b.detach().numpy()
    wanted = np.sum((row @ row.T - squared * np.eye(4)) ** 2) + np.sum(off_diagonal(column.T @ column) ** 2)
    assert soft.regulariser()(a, b).item() == pytest.approx(wanted, rel=DOUBLE)
    first = soft.adapter().first(9, 4000, np.random.default_rng(0))["A"].astype(float)
    np.testing.assert_allclose((first**2).sum(1), squared, rtol=0.05)  # of 4000 draws, 5 standard errors


class Watched(TorchDispatchMode):
    """Notes the shapes of all that is computed."""

    def __init__(self):
        super().__init__()
        self.shapes = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        self.shapes |= {tuple(x.shape) for x in (found if isinstance(found, (list, tuple)) else [found])}
        return found


@every
def test_no_product_of_the_size_of_a_layer_is_formed_in_the_penalty(penalty):
    m, n, rank, layers = 53, 41, 4, 3
    a, b = torch.randn(layers, 2, rank, n, requires_grad=True), torch.randn(layers, 2, m, rank, requires_grad=True)
    with Watched() as watched:
        Soft(orthogonality=LAMBDA, penalty=penalty).regulariser()(a, b).sum().backward()
    assert (layers, 2, rank, rank) in watched.shapes  # it sees what is computed
    assert max(math.prod(shape) for shape in watched.shapes) <= layers * 2 * rank * max(m, n)


class Shaped(np.ndarray):
    """An array that notes the shapes of all that is computed from it."""

    seen: ClassVar[set] = set()

    def __array_finalize__(self, other):
        Shaped.seen.add(self.shape)

    def __array_function__(self, function, types, args, kwargs):
        found = super().__array_function__(function, types, args, kwargs)
        Shaped.seen |= {np.shape(x) for x in (found if isinstance(found, tuple) else (found,)) if x is not None}
        return found


def test_nor_in_the_score_the_selection_the_coding_and_the_servers_basis():
    m, n, rank = 53, 41, 4
    random = np.random.default_rng(0)
    shapes = {"q.A": (rank, n), "q.B": (m, rank), "head.weight": (3, 7)}
    base, change = ({k: random.standard_normal(s).astype("f4").view(Shaped) for k, s in shapes.items()} for _ in "ab")
    Shaped.seen.clear()
    layout = Layout((("q.A", "q.B"),), ("head.weight",), shapes)
    for score in ("change", "weight"):
        Components(score=score).encode(Update(base, change, layout), 0.5)
    soft = Soft(rank=rank, basis="server", fill="renormalise")
    merged = soft.aggregate(base, [Arrival(0, change, 0.4), Arrival(1, base, 0.6)])
    turned(base, soft.turn(base), layout.pairs)
    assert merged.keys() == shapes.keys() and (rank, n) in Shaped.seen and (rank, rank) in Shaped.seen
    assert max(math.prod(shape) for shape in Shaped.seen) < m * n / 2


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
