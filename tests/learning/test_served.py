"""Layers with a matrix that the server has set: what they compute, for one client and for many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from wfl_sim.learning.adapters import LoraLayer
from wfl_sim.learning.options import Local, Model
from wfl_sim.methods.base import Adapter

M, N, RANK, ROWS = 7, 9, 3, 5
DENSE = Adapter(RANK, 6.0, "orthonormal", dense=True)
TOGETHER = 5e-6  # float32 through two layers and some steps of AdamW, as in test_together
SMALL = {"model": Model(layers=2), "local": Local(steps=2, batch=8, lr=1e-3, head_lr=3e-3)}


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


@pytest.mark.parametrize("clients", [1, 3])
@pytest.mark.parametrize("shared", [True, False])
def test_a_layer_computes_with_the_matrix_as_if_it_were_its_own(clients, shared):
    frozen = torch.nn.Linear(N, M).double()
    layer, x = LoraLayer(frozen, DENSE), draw(clients * ROWS, N)
    whole, a, b = draw(1 if shared else clients, M, N), draw(clients, RANK, N), draw(clients, M, RANK)
    layer.tensors = {"A": a, "B": b, "W": whole}
    for client, own in enumerate(x.reshape(clients, ROWS, N)):
        weight = frozen.weight + whole[0 if shared else client] + 2.0 * b[client] @ a[client]
        wanted = own @ weight.T + frozen.bias
        torch.testing.assert_close(layer(x).reshape(clients, ROWS, M)[client], wanted, rtol=0, atol=1e-12)


def test_matrices_of_zeros_change_no_bit_and_cost_no_work(make_trainer):
    adapter = Adapter(4, 8, "orthonormal")
    plain, dense = make_trainer(adapter=adapter, **SMALL), make_trainer(adapter=replace(adapter, dense=True), **SMALL)
    assert dense.layout == plain.layout and dense.step_flop() == plain.step_flop()
    start = dense.initial()
    served = [name for name in start if name.endswith(".W")]
    assert len(served) == 4 and not any(start[name].any() for name in served) and not dense.frozen
    ours, theirs = (one.train({0: start}, 1)[0]() for one in (plain, dense))
    assert theirs.keys() == plain.layout.shapes.keys()
    assert all((ours[name] == theirs[name]).all() for name in ours)


def test_clients_with_matrices_of_their_own_train_as_they_do_alone(make_trainer):
    trainer = make_trainer(adapter=Adapter(4, 8, "orthonormal", dense=True), **SMALL)
    random = np.random.default_rng(0)
    start = trainer.initial()
    moved = {n: (v + 0.01 * random.standard_normal(v.shape)).astype("f4") for n, v in start.items()}
    other = moved | {n: (2 * v).astype("f4") for n, v in moved.items() if n.endswith(".W")}
    together = trainer.train({0: moved, 1: other}, 1)
    for client, own in ((0, moved), (1, other)):
        alone = trainer.train({client: own}, 1)[client]()
        for name, value in together[client]().items():
            np.testing.assert_allclose(value, alone[name], rtol=0, atol=TOGETHER)
    assert trainer.evaluate(moved)["loss"] != trainer.evaluate(other)["loss"] != trainer.evaluate(start)["loss"]


def test_adapters_that_begin_anew_are_other_ones_in_every_version_and_the_same_again(make_trainer):
    trainer = make_trainer(adapter=Adapter(4, 8, "orthonormal", dense=True), **SMALL)
    first, one, two = trainer.initial(), trainer.fresh(1), trainer.fresh(2)
    assert one.keys() == {name for pair in trainer.layout.pairs for name in pair}
    for a, b in trainer.layout.pairs:
        assert not one[b].any() and (one[a] != two[a]).any() and (one[a] != first[a]).any()
        assert (one[a] == trainer.fresh(1)[a]).all()
