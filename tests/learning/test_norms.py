"""Norms whose gains and shifts are trained: each client's own, and what a model without plain norms says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wfl_sim.errors import MissingResource
from wfl_sim.learning.heads import ClassHead
from wfl_sim.learning.norms import Norms
from wfl_sim.methods.base import NORMS

WIDTH, CLIENTS, ROWS = 6, 3, 5
SINGLE = 2e-5  # float32 in another order, after a product of three numbers of size 1


def norm_of(kind):
    norm = torch.nn.LayerNorm(WIDTH) if kind == "layer" else torch.nn.RMSNorm(WIDTH, eps=1e-6)
    for value in norm.parameters():
        value.data = torch.randn(WIDTH)
    return norm.requires_grad_(False)


@pytest.mark.parametrize("kind", ["layer", "rms"])
def test_each_client_has_its_own_gain_and_shift(kind):
    torch.manual_seed(1)
    norm, model = norm_of(kind), torch.nn.Sequential()
    model.append(norm)
    states = torch.randn(CLIENTS * ROWS, WIDTH)
    norms = Norms(model, "made")
    assert torch.equal(model(states), norm(states))  # without changes nothing changes
    assert norms.shapes == {f"{NORMS}0.{n}": (WIDTH,) for n in (("gain", "shift") if kind == "layer" else ("gain",))}
    changes = {n: torch.randn(CLIENTS, WIDTH, requires_grad=True) for n in norms.shapes}
    norms.use(changes)
    got = model(states)
    for client in range(CLIENTS):
        own = norm_of(kind)
        own.weight.data = norm.weight + changes[f"{NORMS}0.gain"][client].detach()
        if kind == "layer":
            own.bias.data = norm.bias + changes[f"{NORMS}0.shift"][client].detach()
        part = slice(client * ROWS, (client + 1) * ROWS)
        torch.testing.assert_close(got[part].detach(), own(states[part]), rtol=SINGLE, atol=SINGLE)
        own.requires_grad_(True)
        own(states[part]).square().sum().backward()
        (gradient,) = torch.autograd.grad(got[part].square().sum(), changes[f"{NORMS}0.gain"], retain_graph=True)
        torch.testing.assert_close(gradient[client], own.weight.grad, rtol=SINGLE, atol=SINGLE)
        assert not gradient[[k for k in range(CLIENTS) if k != client]].any()
    norms.use({})
    assert torch.equal(model(states), norm(states))


def test_a_model_without_plain_norms_says_so():
    with pytest.raises(MissingResource, match=r"model 'made': it has no norms.*set it to false"):
        Norms(torch.nn.Sequential(torch.nn.Linear(2, 2)), "made")
    with pytest.raises(MissingResource, match="0 is no plain layer norm or RMS norm"):
        Norms(torch.nn.Sequential(torch.nn.GroupNorm(2, 4)), "made")


def test_the_hidden_layer_of_a_head_is_the_matrix_of_its_tensor_train():
    head = ClassHead(24, 3, rank=2)
    first = head.initial(np.random.default_rng(1))
    assert first.keys() == head.shapes.keys() and not first["classifier.bias"].any()
    factors = [first[f"classifier.{number}"].astype(float) for number in range(6)]
    whole = factors[0]
    for factor in factors[1:]:
        whole = np.tensordot(whole, factor, axes=1)
    states = np.random.default_rng(2).standard_normal((2 * 4, 24))
    second = head.initial(np.random.default_rng(3))
    tensors = {n: torch.from_numpy(np.stack([first[n], second[n]])).double() for n in head.shapes}
    got = head.logits(torch.from_numpy(states), tensors)[:4].numpy()
    hidden = np.tanh(states[:4] @ whole.reshape(24, 24) + first["classifier.bias"])
    np.testing.assert_allclose(got, hidden @ first["head.weight"].T.astype(float), rtol=0, atol=1e-9)
    spread = np.concatenate([head.initial(np.random.default_rng(n))["classifier.0"].ravel() for n in range(300)])
    assert abs(spread.std() / (48 ** (-0.5 / 6) * 2**-0.5) - 1) < 0.1
